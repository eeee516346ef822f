// Tokens that are renewed, and why a session ends when they are no good, in the simulated world of world.mjs.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ID, World } from "./world.mjs";

/** A world with a session whose service wants a token. */
async function playing(token, prepare = () => {}) {
  const world = new World();
  world.service.wantsToken = token !== null;
  prepare(world);
  const client = world.client({ token });
  const session = client.session(ID);
  const errors = [];
  session.onError((error) => errors.push(error));
  await world.pass(1_000);
  return { world, client, session, service: world.service, errors };
}

const EXPIRES = { type: "TOKEN_EXPIRES", expires_at: "2027-01-15T08:00:30.000Z" };

test("game across three expiries misses nothing", async () => {
  let made = 0;
  const { world, session, service, errors } = await playing(async () => `token ${++made}`);
  const versions = [];
  const connections = [];
  session.onChange((_, change) => change && versions.push(change.version));
  session.onConnection((connection) => connections.push(connection));
  for (let round = 0; round < 3; round += 1) {
    world.socket.receive(EXPIRES);
    service.publish(service.happen("cycle.switched"));
    await world.pass(5_000);
    await Promise.all([session.switch(), world.pass(1_000)]);
  }
  assert.deepEqual(world.kinds("AUTH").map(({ token }) => token), ["token 1", "token 2", "token 3", "token 4"]);
  assert.deepEqual(versions, [3, 4, 5, 6, 7, 8]);
  assert.deepEqual(connections, []);
  assert.deepEqual(errors, []);
  assert.equal(world.sockets.length, 1);
});

test("newer token is tried until the service takes it", async () => {
  const given = ["first", "first", new Error("not now"), "worse", "better"];
  const { world, client, errors } = await playing(() => {
    const found = given.shift();
    if (found instanceof Error) {
      throw found;
    }
    return found;
  }, ({ service }) => {
    service.renew = (socket, { token, request_id }) => socket.receive(token === "worse"
      ? { type: "ERROR", request_id, error: { code: "FORBIDDEN", message: "worse", retryable: false } }
      : { type: "ACK", request_id, token_expires_at: null });
  });
  world.socket.receive(EXPIRES);
  world.socket.receive(EXPIRES);
  await world.pass(60_000);
  assert.deepEqual(world.kinds("AUTH").map(({ token }) => token), ["first", "worse", "better"]);
  assert.deepEqual(errors.map(({ code }) => code), ["UNAUTHENTICATED", "CONNECTION_LOST", "FORBIDDEN"]);
  client.close();
  assert.equal(world.waiting, 0);
});

test("tokens that are good for a few seconds only are renewed every two seconds at most", async () => {
  let made = 0;
  const { world } = await playing(() => `token ${++made}`, ({ service }) => {
    service.renew = (socket, { request_id }) => {
      socket.receive({ type: "ACK", request_id, token_expires_at: null });
      socket.receive(EXPIRES);
    };
  });
  world.socket.receive(EXPIRES);
  await world.pass(20_000);
  const sent = world.kinds("AUTH").length;
  assert.ok(sent >= 9 && sent <= 12, `${sent} in 20 s`);
});

test("answer to a newer token that does not come is not waited for", async () => {
  let made = 0;
  const { world, errors } = await playing(() => `token ${++made}`, ({ service }) => { service.renew = () => {}; });
  world.socket.receive(EXPIRES);
  await world.pass(40_000);
  assert.deepEqual(world.kinds("AUTH").map(({ token }) => token), ["token 1", "token 2", "token 3", "token 4"]);
  assert.deepEqual([...new Set(errors.map(({ code }) => code))], ["NETWORK_TIMEOUT"]);
});

test("renewal ends with its socket", async () => {
  let made = 0;
  const { world, session } = await playing(() => `token ${++made}`, ({ service }) => { service.renew = () => {}; });
  world.socket.receive(EXPIRES);
  await world.pass(2_000);
  world.socket.drop(1006);
  await world.pass(60_000);
  assert.equal(session.connection, "live");
  assert.deepEqual(world.kinds("AUTH").map(({ token }) => token), ["token 1", "token 2", "token 3"]);
});

test("token that is text cannot be renewed, and ends the session when it ends", async () => {
  const { world, session } = await playing("text");
  world.socket.receive(EXPIRES);
  await world.pass(10_000);
  assert.equal(world.kinds("AUTH").length, 1);
  world.socket.drop(4401, "the token has ended; get a new one");
  await world.pass(60_000);
  assert.equal(session.closeReason.code, "UNAUTHENTICATED");
  assert.equal(session.closeReason.message, "the token has ended; get a new one");
  assert.equal(world.sockets.length, 1);
});

test("token function gives a newer token after one that has ended", async () => {
  let made = 0;
  const { world, session, errors } = await playing(() => `token ${++made}`);
  world.socket.drop(4401, "the token has ended");
  await world.pass(5_000);
  assert.equal(session.connection, "live");
  assert.equal(world.socket.sent[0].token, "token 2");
  assert.deepEqual(errors.map(({ code }) => code), ["UNAUTHENTICATED"]);
});

test("third token in a row that had ended when it was given ends the session", async () => {
  const { world, session } = await playing(() => "old", ({ service }) => { service.closeWith = [4401, "ended"]; });
  await world.pass(60_000);
  assert.equal(session.closeReason.code, "UNAUTHENTICATED");
  assert.equal(world.sockets.length, 3);
});

const ENDS = [
  [4403, "the token was revoked", null, "FORBIDDEN", 403],
  [1008, "too many messages: at most 100 a minute", null, "RATE_LIMIT_EXCEEDED", 429],
  [1008, "the token is not good", null, "UNAUTHENTICATED", 401],
  [1008, "not here", null, "FORBIDDEN", 403],
  [1008, "", { code: "RATE_LIMIT_EXCEEDED", message: "too many" }, "RATE_LIMIT_EXCEEDED", null],
];

test("session says why its token was not good enough, and does not try again", async () => {
  for (const [code, reason, before, name, status] of ENDS) {
    const { world, session } = await playing(() => "token");
    if (before !== null) {
      world.socket.receive({ type: "ERROR", error: { retryable: true, context: {}, ...before } });
      await world.pass(100);
    }
    world.socket.drop(code, reason);
    await world.pass(60_000);
    assert.equal(session.connection, "closed");
    assert.equal(session.closeReason.code, name, reason);
    assert.equal(session.closeReason.status, status);
    assert.equal(session.closeReason.message, before?.message ?? reason);
    assert.equal(world.sockets.length, 1);
  }
});

test("session whose token came too late tries again, and one that has no token does not", async () => {
  const late = ({ service }) => { service.closeWith = [1008, "no token came in time"]; };
  const { world, session, service } = await playing(() => "token", late);
  assert.equal(session.connection, "connecting");
  service.closeWith = null;
  await world.pass(5_000);
  assert.equal(session.connection, "live");

  const stranger = await playing(null, late);
  await stranger.world.pass(60_000);
  assert.equal(stranger.session.closeReason.code, "UNAUTHENTICATED");
  assert.equal(stranger.world.sockets.length, 1);
});

test("error that other messages came after does not explain a close", async () => {
  const { world, session, service } = await playing(() => "token");
  world.socket.receive({ type: "ERROR", error: { code: "RATE_LIMIT_EXCEEDED", message: "x", context: {} } });
  service.publish(service.happen("cycle.switched"));
  await world.pass(100);
  world.socket.drop(1008, "the token is not good");
  await world.pass(100);
  assert.equal(session.closeReason.code, "UNAUTHENTICATED");
});

test("session may be closed by the listener that is told that its token has ended", async () => {
  const { world, client, session } = await playing(() => "token");
  session.onError(() => session.close());
  world.socket.drop(4401, "the token has ended");
  await world.pass(60_000);
  assert.equal(session.connection, "closed");
  assert.equal(world.sockets.length, 1);
  client.close();
  assert.equal(world.waiting, 0);
});

test("state of a replica says how old it may be until there is a newer one", async () => {
  const { world, session, service } = await playing(null);
  const shown = [];
  session.onChange(() => shown.push(session.staleMs));
  assert.equal(session.staleMs, null);
  const message = { type: "STATE_SYNC", session_id: ID, version: 2, epoch: "1", server_time_ms: 0,
    payload: { full_state: service.now() } };
  world.socket.receive({ ...message, stale: { age_ms: 3_000 } });
  await world.pass(100);
  world.socket.receive(message);
  await world.pass(100);
  assert.deepEqual(shown, [3_000, null]);
});
