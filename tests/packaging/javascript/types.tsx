// What a program in TypeScript may write, and what it may not.
import { SyncKairos, SyncKairosError, clockText, type State } from "synckairos";
import { useSyncKairos } from "synckairos/react";

const client = new SyncKairos({ url: "https://clock.example", token: async () => "a token" });

export async function play(id: string): Promise<string> {
  const session = client.session(id);
  const state: State = await session.ready;
  session.onChange((_, change) => console.info(change?.payload.event ?? "none"));
  try {
    await session.switch({ current: state.active_participant_id ?? undefined });
  } catch (error) {
    if (error instanceof SyncKairosError && error.code === "NO_URL") return error.message;
  }
  return clockText(session.remaining(), { countUp: false });
}

export function Clock({ id }: { id: string }) {
  const { state, remaining } = useSyncKairos(client, id, { interval: null });
  return <p title={state?.status}>{(remaining() ?? 0).toFixed(1)}</p>;
}

// @ts-expect-error: an id is a text
client.session(7);
// @ts-expect-error: there is no such option
new SyncKairos({ adress: "https://clock.example" });
// @ts-expect-error: a state does not change
client.find("")!.state!.version = 1;
// @ts-expect-error: the hook gives no such value
useSyncKairos(client, "").left;
