// Calls over HTTP: what they send with and without a socket, and waiting for a session's end.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ANNA, ID, World } from "./world.mjs";

const PATH = `/v1/sessions/${ID}`;

/** What a session, or a handle, sends for these calls. */
async function sent(calls, ofHandle) {
  const world = new World();
  const client = world.client();
  const session = ofHandle ? client.handle(ID.toUpperCase()) : client.session(ID);
  await world.pass(3_000);
  world.requests.length = 0;
  for (const call of calls) {
    call(session);
    await world.pass(3_000);
  }
  return world.requests.filter(({ path }) => path !== "/v1/time")
    .map(({ method, path, body }) => [`${method} ${path.replace(PATH, "")}`, body]);
}

const CORRECTIONS = [
  [(it) => it.takeback(), ["POST /takeback", { turns: 1 }]],
  [(it) => it.takeback(3, { expectedVersion: 7 }), ["POST /takeback", { turns: 3, expected_version: 7 }]],
  [(it) => it.turn(ANNA), ["PATCH /turn", { active_participant_id: ANNA }]],
  [(it) => it.reopen(), ["POST /reopen", {}]],
  [(it) => it.reset({ expectedVersion: 7 }), ["POST /reset", { expected_version: 7 }]],
  [(it) => it.schedule({ startsAt: 5, endsAt: null }), ["PATCH /schedule", { starts_at_ms: 5, ends_at_ms: null }]],
  [(it) => it.schedule({ endsAt: 9, expectedVersion: 7 }),
    ["PATCH /schedule", { ends_at_ms: 9, expected_version: 7 }]],
  [(it) => it.pause({ counted: false }), ["POST /pause", { counted: false }]],
  [(it) => it.add(null, 1000, { clock: "total" }), ["PATCH /clock", { add_ms: 1000, clock: "total" }]],
  [(it) => it.set(ANNA, 1000, { reason: "x" }),
    [`PATCH /participants/${ANNA}`, { total_time_ms: 1000, reason: "x" }]],
  [(it) => it.leave(ANNA, { expectedVersion: 7 }), [`DELETE /participants/${ANNA}`, { expected_version: 7 }]],
];

for (const ofHandle of [false, true]) {
  test(`corrections ${ofHandle ? "without" : "beside"} a socket`, async () => {
    assert.deepEqual(await sent(CORRECTIONS.map(([call]) => call), ofHandle), CORRECTIONS.map(([, what]) => what));
  });
}

test("handle switches, pauses and resumes over HTTP, with the caller's key", async () => {
  const calls = [(it) => it.switch({ current: ANNA, expectedVersion: 2 }), (it) => it.pause(), (it) => it.resume()];
  assert.deepEqual(await sent(calls, true), [
    ["POST /switch", { current_participant_id: ANNA, expected_version: 2 }], ["POST /pause", {}], ["POST /resume", {}],
  ]);
  const world = new World();
  world.client().handle(ID).switch({ idempotencyKey: "move-1" });
  await world.pass(500);
  assert.equal(world.requests[0].headers["idempotency-key"], "move-1");
  assert.equal(world.kinds("SWITCH").length, 0);
});

test("owner that is no participant is looked for among the groups", async () => {
  const world = new World();
  const refused = (code) => ({ status: 400, json: { error: { code, message: "no", retryable: false, context: {} } } });
  world.service.answers.push(refused("VALIDATION_ERROR"), { json: { data: { version: 3 } } });
  const found = world.client().handle(ID).add(ANNA, 1000);
  await world.pass(500);
  assert.deepEqual(await found, { version: 3 });
  assert.deepEqual(world.requests.map(({ path }) => path), [`${PATH}/participants/${ANNA}`, `${PATH}/groups/${ANNA}`]);
});

test("over of a session waits for its end", async () => {
  const world = new World();
  const session = world.client().session(ID);
  const over = session.over();
  const late = session.over({ timeoutMs: 4_000 }).catch((error) => error.code);
  await world.pass(5_000);
  assert.equal(await late, "NETWORK_TIMEOUT");
  world.service.publish(world.service.happen("session.completed", {
    status: "completed", active_participant_id: null, active_group_id: null, cycle_started_at: null,
    deadline_ms: null, participants: [], groups: [],
  }));
  await world.pass(500);
  assert.equal((await over).status, "completed");
  assert.equal((await session.over()).status, "completed");
});

test("over of a session that goes, or is closed, rejects with the reason", async () => {
  const world = new World();
  const session = world.client().session(ID);
  const over = session.over().catch((error) => error.code);
  await world.pass(500);
  session.close();
  assert.equal(await over, "CLOSED");
});

test("timeout of a month is no timeout of a moment", async () => {
  const world = new World();
  let code = null;
  world.client().session(ID).over({ timeoutMs: 30 * 86_400_000 }).catch((error) => { code = error.code; });
  await world.pass(5_000);
  assert.equal(code, null);
});

test("over of a handle asks until the end, and right after the deadline", async () => {
  const world = new World();
  const state = (more) => ({ json: { data: { status: "running", deadline_ms: null, server_time_ms: 1000, ...more } } });
  world.service.answers.push(state(), state({ deadline_ms: 1300 }), state({ status: "expired" }));
  const over = world.client().handle(ID).over();
  await world.pass(6_000);
  assert.equal((await over).status, "expired");
  const [first, second, third] = world.requests.map(({ at }) => at);
  assert.ok(second - first >= 2_000 && third - second < 600, `${first} ${second} ${third}`);
  world.service.answers.push(...Array.from({ length: 9 }, () => state()));
  const late = world.client().handle(ID).over({ timeoutMs: 3_000, everyMs: 1_000 }).catch((error) => error.code);
  await world.pass(9_000);
  assert.equal(await late, "NETWORK_TIMEOUT");
});
