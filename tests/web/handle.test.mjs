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
  [(it) => it.patchMetadata({ title: null, message: { text: "Time" } }),
    ["PATCH /metadata", { metadata: { title: null, message: { text: "Time" } } }]],
  [(it) => it.patchMetadata({}, { expectedVersion: 7 }), ["PATCH /metadata", { metadata: {}, expected_version: 7 }]],
  [(it) => it.pause({ counted: false }), ["POST /pause", { counted: false }]],
  [(it) => it.add(null, 1000, { clock: "total" }), ["PATCH /clock", { add_ms: 1000, clock: "total" }]],
  [(it) => it.set(ANNA, 1000, { reason: "x" }),
    [`PATCH /participants/${ANNA}`, { total_time_ms: 1000, reason: "x" }]],
  [(it) => it.leave(ANNA, { expectedVersion: 7 }), [`DELETE /participants/${ANNA}`, { expected_version: 7 }]],
];

test("corrections are the same calls beside a socket and without one", async () => {
  for (const ofHandle of [false, true]) {
    assert.deepEqual(await sent(CORRECTIONS.map(([call]) => call), ofHandle), CORRECTIONS.map(([, what]) => what));
  }
});

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

test("over of a handle looks right after whatever the session does by itself", async () => {
  for (const due of [{ status: "pending", starts_at_ms: 1300 }, { ends_at_ms: 1300, deadline_ms: 9000 },
    { status: "paused", deadline_ms: null, resumes_at_ms: 1300 }]) {
    const world = new World();
    const state = (more) => ({ json: { data: { status: "running", server_time_ms: 1000, ...more } } });
    world.service.answers.push(state(due), state({ status: "completed" }));
    const over = world.client().handle(ID).over({ everyMs: Infinity });
    await world.pass(1_000);
    assert.equal((await over).status, "completed");
  }
});

test("over of a handle goes on when the service was away, but not for ever", async () => {
  const away = { status: 503, headers: { "retry-after": "60" },
    json: { error: { code: "STORAGE_UNAVAILABLE", message: "away", retryable: true, context: {} } } };
  const world = new World();
  const told = { json: { data: { status: "completed", server_time_ms: 1000 } } };
  world.service.answers.push(away, away, told);
  const over = world.client({ reconnectAttempts: 2 }).handle(ID).over();
  await world.pass(121_000);
  assert.equal((await over).status, "completed");
  const codes = [];
  for (const answers of [[away, away, away, told], [{ status: 404, json: { error: { code: "SESSION_NOT_FOUND",
    message: "none", retryable: false, context: {} } } }, told]]) {
    world.service.answers.splice(0, Infinity, ...answers);
    world.client({ reconnectAttempts: 2 }).handle(ID).over().catch(({ code }) => codes.push(code));
    await world.pass(200_000);
  }
  assert.deepEqual(codes, ["STORAGE_UNAVAILABLE", "SESSION_NOT_FOUND"]);
});

test("over of a handle with nothing due for a month sets no timer that fires at once", async () => {
  const world = new World();
  const state = { json: { data: { status: "running", deadline_ms: 30 * 86_400_000, server_time_ms: 1000 } } };
  world.service.answers.push(...Array.from({ length: 9 }, () => state));
  world.client().handle(ID).over({ everyMs: Infinity });
  await world.pass(60_000);
  assert.equal(world.requests.length, 1);
  assert.ok(world.longestTimer < 2 ** 31, `${world.longestTimer}`);
});

test("over tells an end that was reset at once", async () => {
  const world = new World();
  const session = world.client().session(ID);
  const over = session.over();
  await world.pass(500);
  const ended = { status: "completed", active_participant_id: null, cycle_started_at: null, deadline_ms: null };
  const events = [world.service.happen("session.completed", ended),
    world.service.happen("session.reset", { ...ended, status: "pending" })];
  events.forEach((event) => world.service.publish(event));
  await world.pass(500);
  assert.equal(session.state.status, "pending");
  assert.equal((await over).status, "completed");
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
