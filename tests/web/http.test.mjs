// Calls over HTTP: requests, tries and errors.
import assert from "node:assert/strict";
import { test } from "node:test";
import { SyncKairosError } from "../../synckairos/web/synckairos.js";
import { ANNA, game, ID, World } from "./world.mjs";

const GROUP = "b0000000-0000-4000-8000-000000000000";
const failure = (code,
  more = {}) => ({ error: { code, message: "no", retryable: false, context: {}, ...more } });

function begin(answers = [], options = {}) {
  const world = new World();
  world.service.answers = answers;
  return { world, client: world.client(options) };
}

/** The result of a call after `ms` of time. */
async function after(world, ms, call) {
  const outcome = call.then((value) => ({ value }), (error) => ({ error }));
  await world.pass(ms);
  return Promise.race([outcome, Promise.resolve({ pending: true })]);
}

test("data is unwrapped, a body without it is given whole, and no body is null", async () => {
  const { world, client } = begin([{ json: { data: { a: 1 } } }, { json: { status: "ok" } }, { status: 204 },
    { json: { data: null } }]);
  assert.deepEqual((await after(world, 100, client.request("GET", "/v1/x"))).value, { a: 1 });
  assert.deepEqual((await after(world, 100, client.request("GET", "/health"))).value, { status: "ok" });
  assert.equal((await after(world, 100, client.request("DELETE", "/v1/x"))).value, null);
  assert.equal((await after(world, 100, client.request("PATCH", "/v1/x", {}))).value, null);
});

test("token, body, condition and key are sent as the service reads them", async () => {
  const { world, client } = begin([], { token: () => "secret" });
  await after(world, 100, client.request("POST", "/v1/x", { a: 1 }, { idempotencyKey: "k", ifMatch: 7 }));
  await after(world, 100, client.request("GET", "/v1/x", undefined, { ifMatch: '"7@1"' }));
  const [post, get] = world.requests;
  assert.deepEqual(post.body, { a: 1 });
  assert.deepEqual(post.headers, { accept: "application/json", authorization: "Bearer secret",
    "content-type": "application/json", "idempotency-key": "k", "if-match": '"7"' });
  assert.deepEqual(get.headers,
    { accept: "application/json", authorization: "Bearer secret", "if-match": '"7@1"' });
});

test("service below a path is found there", async () => {
  const { world, client } = begin([], { url: "https://example.test/clocks" });
  await after(world, 100, client.request("GET", "/v1/presets"));
  assert.equal(world.requests[0].path, "/clocks/v1/presets");
  client.session(ID);
  await world.pass(1);
  assert.equal(world.socket.url, `wss://example.test/clocks/ws?session_id=${ID}`);
});

test("call that was lost on its way is tried again under the same key", async () => {
  const { world, client } = begin(["lost", "lost", { json: { data: 1 } }]);
  assert.equal((await after(world, 5_000, client.create({}))).value, 1);
  const keys = world.requests.map(({ headers }) => headers["idempotency-key"]);
  assert.equal(keys.length, 3);
  assert.equal(new Set(keys).size, 1);
});

test("each call has its own idempotency key", async () => {
  const { world, client } = begin();
  await after(world, 100, client.create({}));
  await after(world, 100, client.create({}));
  const keys = world.requests.map(({ headers }) => headers["idempotency-key"]);
  assert.equal(new Set(keys).size, 2);
});

test("busy service is asked again after its Retry-After", async () => {
  const busy = { status: 503, json: failure("STORAGE_UNAVAILABLE", { retryable: true }),
    headers: { "retry-after": "2" } };
  const { world, client } = begin([busy, { json: { data: 1 } }]);
  assert.equal((await after(world, 5_000, client.create({}))).value, 1);
  assert.equal(world.requests[1].at - world.requests[0].at, 2_040);
});

test("service that is busy for long is not waited for", async () => {
  const busy = { status: 429, json: failure("RATE_LIMIT_EXCEEDED", { retryable: true }),
    headers: { "retry-after": "60" } };
  const { world, client } = begin([busy]);
  const { error } = await after(world, 100, client.create({}));
  assert.deepEqual([error.code, error.status, error.retryAfterMs], ["RATE_LIMIT_EXCEEDED", 429, 60_000]);
  assert.equal(world.requests.length, 1);
});

test("tries are bounded", async () => {
  const { world, client } = begin(["lost", "lost", "lost", "lost", "lost"]);
  const { error } = await after(world, 60_000, client.create({}));
  assert.equal(error.code, "CONNECTION_LOST");
  assert.equal(world.requests.length, 4);
});

test("refusal is not tried again and has all details", async () => {
  const details = [{ field: "sync_mode", message: "is required" }];
  const { world, client } = begin([{ status: 400, json: failure("VALIDATION_ERROR", { details }) }]);
  const { error } = await after(world, 60_000, client.create({}));
  assert.ok(error instanceof SyncKairosError && error instanceof Error);
  assert.deepEqual([error.name, error.code, error.status, error.message, error.retryable, error.details],
    ["SyncKairosError", "VALIDATION_ERROR", 400, "no", false, details]);
  assert.equal(world.requests.length, 1);
});

test("call after a version conflict is not tried again, though the error is retryable", async () => {
  const { world,
    client } = begin([{ status: 409, json: failure("CONCURRENT_MODIFICATION", { retryable: true }) }]);
  const { error } = await after(world, 60_000, client.create({}));
  assert.equal(error.code, "CONCURRENT_MODIFICATION");
  assert.equal(world.requests.length, 1);
});

test("call without an answer ends", async () => {
  const { world, client } = begin(["never", "never", "never", "never"]);
  const { error } = await after(world, 60_000, client.create({}));
  assert.equal(error.code, "NETWORK_TIMEOUT");
  assert.equal(world.requests.length, 4);
});

test("answer that is not the service's is UNEXPECTED_ANSWER", async () => {
  const page = { status: 404, text: "<html>nothing here</html>" };
  const { world, client } = begin([page, { status: 200, text: "<html>log in</html>" }]);
  const first = await after(world, 1_000, client.presets());
  const second = await after(world, 1_000, client.presets());
  assert.deepEqual([first.error.code, first.error.status], ["UNEXPECTED_ANSWER", 404]);
  assert.deepEqual([second.error.code, second.error.status], ["UNEXPECTED_ANSWER", 200]);
});

test("proxy that cannot reach the service is tried again", async () => {
  const { world, client } = begin([{ status: 502, text: "bad gateway" }, { json: { data: 1 } }]);
  assert.equal((await after(world, 5_000, client.create({}))).value, 1);
});

test("list sends the given options", async () => {
  const { world, client } = begin();
  await after(world, 100, client.list());
  await after(world, 100, client.list({ status: "running", limit: 5, cursor: "a b" }));
  assert.deepEqual(world.requests.map(({ path }) => path),
    ["/v1/sessions", "/v1/sessions?status=running&limit=5&cursor=a+b"]);
});

test("commands of a session go where the service takes them", async () => {
  const world = new World();
  world.service.state = world.service.state.participants
    && (await import("../../synckairos/web/synckairos.js"))
    .adopt(game({ groups: [{ total_time_ms: null, time_used_ms: 0, time_remaining_ms: null, cycle_count: 0,
      is_active: false,
      has_expired: false, clock: null, group_id: GROUP, time_control: null }] }));
  const session = world.client().session(ID);
  await world.pass(1_000);
  world.service.answers = Array.from({ length: 20 }, () => ({ json: { data: { version: 1, epoch: "1" } } }));
  const calls = [
    [() => session.start(), "POST", "/start", {}],
    [() => session.complete({ expectedVersion: 2 }), "POST", "/complete", { expected_version: 2 }],
    [() => session.cancel(), "POST", "/cancel", {}],
    [() => session.add(ANNA, 5000, { withinMs: 100, reason: "late" }), "PATCH", `/participants/${ANNA}`,
      { add_ms: 5000, within_ms: 100, reason: "late" }],
    [() => session.add(GROUP.toUpperCase(), 5000), "PATCH", `/groups/${GROUP}`, { add_ms: 5000 }],
    [() => session.set(null, 0), "PATCH", "/clock", { total_time_ms: 0 }],
    [() => session.join({ participant_id: GROUP }), "POST", "/participants", { participant_id: GROUP }],
    [() => session.leave(ANNA), "DELETE", `/participants/${ANNA}`, undefined],
    [() => session.events(3), "GET", "/events?since=3", undefined],
  ];
  for (const [call, method, path, body] of calls) {
    await after(world, 100, call());
    const { method: sent, path: at, body: text } = world.requests.at(-1);
    assert.deepEqual([sent, at, text], [method, `/v1/sessions/${ID}${path}`, body]);
  }
});

test("command over HTTP resolves when the state shows it", async () => {
  const world = new World();
  const session = world.client().session(ID);
  await world.pass(1_000);
  world.service.answers = [{ json: { data: { version: 3, epoch: "1" } } }];
  const call = session.add(ANNA, 1000).then(() => session.state.version);
  await world.pass(100);
  world.service.publish(world.service.happen("time.adjusted", { adjusted_ms: 0 }));
  await world.pass(100);
  assert.equal(await call, 3);
});

test("command over HTTP resolves all the same where its event does not come", async () => {
  const world = new World();
  const session = world.client().session(ID);
  await world.pass(1_000);
  world.service.answers = [{ json: { data: { version: 3, epoch: "1" } } }];
  const { value } = await after(world, 3_000, session.add(ANNA, 1000));
  assert.equal(value.version, 3);
});

test("closed client takes no session and tries nothing again", async () => {
  const { world, client } = begin(["lost", "lost"]);
  const call = after(world, 10_000, client.create({}));
  client.close();
  assert.equal((await call).error.code, "CONNECTION_LOST");
  assert.equal(world.requests.length, 1);
  assert.throws(() => client.session(ID), { code: "CLOSED" });
});
