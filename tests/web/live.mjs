// Plays random sessions with a real service, over HTTP and the socket, and compares the state that the client
// keeps by events with the answer of GET at the same version. Arguments: the service's URL, a seed. Input:
// configs as JSON.
import { text } from "node:stream/consumers";
import { stateAt, SyncKairos } from "../../synckairos/web/synckairos.js";

const [url, seed] = process.argv.slice(2);
const PATIENCE_MS = 20_000;
const NEWCOMER = "d0000000-0000-4000-8000-00000000000";

// A small generator (mulberry32), so that a failure can be played again.
let random = Number(seed);
function chance() {
  random = (random + 0x6d2b79f5) | 0;
  let t = Math.imul(random ^ (random >>> 15), 1 | random);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
}
const pick = (list) => list[Math.floor(chance() * list.length)];
const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

function* differences(found, wanted, path = "") {
  if (typeof found === "object" && typeof wanted === "object" && found !== null && wanted !== null) {
    for (const name of new Set([...Object.keys(found), ...Object.keys(wanted)])) {
      yield* differences(found[name], wanted[name], `${path}.${name}`);
    }
  } else if (found !== wanted) {
    yield `${path}: ${JSON.stringify(found)} instead of ${JSON.stringify(wanted)}`;
  }
}

const client = new SyncKairos({ url });
const told = { compared: 0, changes: 0, events: [], problems: [] };

/** The answer of GET and the state kept by events, at the same version. */
async function compare(session) {
  for (const end = performance.now() + PATIENCE_MS; performance.now() < end; await pause(5)) {
    const wanted = await client.request("GET", `/v1/sessions/${session.id}`);
    if (wanted.version === session.confirmed.version) {
      const problems = [...differences(stateAt(session.confirmed, wanted.server_time_ms), wanted)];
      told.problems.push(...problems.map((problem) => `${session.id} version ${wanted.version}${problem}`));
      told.compared += 1;
      return;
    }
  }
  told.problems.push(`${session.id} stays at version ${session.confirmed.version}`);
}

const isOver = ({ status }) => ["expired", "completed", "cancelled"].includes(status);

/** A random call that a session can do, which the service seldom refuses. */
function call(session) {
  const { state } = session;
  const owners = { per_participant: state.participants, per_group: state.groups }[state.sync_mode] ?? [];
  const owner = owners.length === 0 ? null : pick(owners);
  const id = owner && (owner.participant_id ?? owner.group_id);
  const some = pick(state.participants).participant_id;
  if (state.status === "pending") {
    return session.start();
  }
  if (state.status === "paused" && chance() < 0.6) {
    return pick([() => session.resume(), () => session.resume(), () => session.turn(some)])();
  }
  if (isOver(state)) {
    return pick([() => session.reopen(), () => session.reset()])();
  }
  return pick([
    ...Array.from({ length: 5 }, () => () => session.switch()),
    () => session.switch({ next: some }),
    () => session.pause(),
    () => session.add(id, pick([-500, 0, 700, 5_000])),
    () => session.set(id, pick([0, 900, 3_000])),
    () => session.takeback(),
    () => session.takeback(2),
    () => session.schedule({ endsAt: Date.now() + 60_000 }),
    () => session.patchMetadata(pick([{ title: "A" }, { title: null, tags: [null, {}] }, { names: { x: "Anna" } }])),
    () => session.complete(),
    () => session.leave(some),
    () => session.join({ participant_id: NEWCOMER + Math.floor(10 * chance()),
      ...(state.sync_mode === "per_group" ? { group_id: pick(state.groups).group_id } : {}),
      ...(owner?.total_time_ms && state.sync_mode === "per_participant" && !state.time_control.notation
        && state.time_control.kind !== "stages" ? { total_time_ms: 2_000 } : {}) }),
  ])();
}

async function play(config) {
  const session = client.session((await client.create(config)).session_id);
  const versions = [];
  session.onChange((_, change) => change && versions.push(change.version));
  await session.ready;
  for (let round = 0; round < 14; round += 1) {
    await call(session).catch((error) => {
      if (["INTERNAL_ERROR", "CONNECTION_LOST"].includes(error.code)) {
        told.problems.push(`${error.code}: ${error.message}`);
      }
    });
    await compare(session);
    await pause(pick([0, 5, 20, 120, 300]));
  }
  await pick([session.complete, session.cancel]).call(session).catch(() => {});
  await compare(session);
  told.changes += versions.length;
  // Every version came once and in order.
  versions.forEach((version, at) => version === versions[0] + at
    || told.problems.push(`${session.id}: versions ${versions}`));
  await session.delete();
  if (session.connection !== "closed") {
    told.problems.push(`${session.id} is ${session.connection} after it was deleted`);
  }
}

const configs = JSON.parse(await text(process.stdin));
await Promise.all(configs.map(async (config, at) => {
  await pause(20 * at);
  await play(config);
}));
client.close();
process.stdout.write(JSON.stringify(told));
