import type { ClockFace, Connection, Session, State, SyncKairos, SyncKairosError } from "./synckairos.js";

/** What a component shows of a session. Before it is there: nulls, and "connecting". */
export interface Shown {
  readonly session: Session | null;
  readonly state: State | null;
  readonly connection: Connection;
  /** Whether an own command is not confirmed yet. */
  readonly pending: boolean;
  /** Why the session is closed; null while it is not. */
  readonly error: SyncKairosError | null;
  remaining(owner?: string | null): number | null;
  elapsed(participantId?: string | null): number | null;
  clock(owner?: string | null): ClockFace | null;
}

/**
 * A session in a component. interval: ms between two renderings while a clock runs (default 100); null: only
 * when something happens.
 */
export function useSyncKairos(
  clientOrUrl: SyncKairos | string, sessionId: string, options?: { interval?: number | null },
): Shown;
