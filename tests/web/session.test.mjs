// A session and its socket, in the simulated world of world.mjs.
import assert from "node:assert/strict";
import { test } from "node:test";
import { adopt, SyncKairos } from "../../synckairos/web/synckairos.js";
import { ANNA, BEN, game, ID, World } from "./world.mjs";

/** A world with a live session. */
async function playing(options = {}, prepare = () => {}) {
  const world = new World();
  prepare(world);
  const client = world.client(options);
  const session = client.session(ID);
  await world.pass(1_000);
  return { world, client, session, service: world.service };
}

const code = (expected) => (error) => error.name === "SyncKairosError" && error.code === expected;

// Connecting

test("a module that did not come from a service has no default for the service's address", () => {
  assert.throws(() => new SyncKairos(), (error) => code("NO_URL")(error)
    && error.message.includes("new SyncKairos({ url: "));
  new SyncKairos({ url: "http://clock.test" }).close();
});

test("runtime without a WebSocket is told what is needed, and calls over HTTP work there", async () => {
  const world = new World();
  const passed = world.WebSocket;
  world.WebSocket = undefined;
  const client = world.client();
  assert.throws(() => client.session(ID), (error) => code("NO_WEBSOCKET")(error)
    && error.message.includes("Node.js 22") && error.message.includes("new SyncKairos({ url, WebSocket })"));
  assert.equal(client.find(ID), null);
  const answer = client.request("GET", "/v1/time");
  await world.pass(100);
  assert.ok((await answer).receive_ms > 0);
  client.close();
  assert.equal(world.waiting, 0);
  const other = new SyncKairos({ url: "http://clock.test/", WebSocket: passed });
  const { ready } = other.session(ID);
  await world.pass(100);
  assert.equal((await ready).session_id, ID, "one that is passed is used");
  other.close();
});

test("session becomes live with its first state", async () => {
  const world = new World();
  const session = world.client().session(ID);
  assert.equal(session.connection, "connecting");
  assert.equal(session.state, null);
  assert.equal(session.remaining(ANNA), null);
  assert.equal(session.clock(ANNA), null);
  await world.pass(100);
  assert.equal(session.connection, "live");
  assert.equal((await session.ready).version, 2);
  assert.equal(world.socket.url, `ws://clock.test/ws?session_id=${ID}`);
  assert.deepEqual(world.socket.protocols, ["synckairos.v1"]);
  assert.deepEqual(world.kinds("AUTH"), []);
});

test("token is the first message of each socket", async () => {
  let tokens = 0;
  const { world } = await playing({ token: async () => `token ${++tokens}` },
    ({ service }) => { service.wantsToken = true; });
  assert.deepEqual(world.socket.sent[0], { v: 1, type: "AUTH", token: "token 1" });
  assert.equal(world.socket.sent[1].type, "PING");
  world.socket.drop(1006);
  await world.pass(2_000);
  assert.equal(world.sockets.length, 2);
  assert.equal(world.socket.sent[0].token, "token 2");
});

test("token that cannot be had is tried again", async () => {
  let asked = 0;
  const { world, session } = await playing({ token: () => {
    asked += 1;
    if (asked === 1) {
      throw new Error("not yet");
    }
    return "token";
  } });
  await world.pass(1_000);
  assert.equal(session.connection, "live");
});

test("state is frozen through and through", async () => {
  const { session } = await playing();
  assert.throws(() => { session.state.status = "over"; }, TypeError);
  assert.throws(() => { session.state.participants[0].clock.x = 1; }, TypeError);
  assert.throws(() => { session.state.participants.push({}); }, TypeError);
});

test("session that does not exist is not asked for again", async () => {
  const { world, session } = await playing({},
    ({ service }) => { service.closeWith = [4404, "there is no such session"]; });
  await assert.rejects(session.ready, code("SESSION_NOT_FOUND"));
  await world.pass(100_000);
  assert.equal(world.sockets.length, 1);
  assert.equal(session.connection, "closed");
  assert.equal(session.closeReason.code, "SESSION_NOT_FOUND");
});

test("refused token ends the session", async () => {
  const { world, session } = await playing({}, ({ service }) => { service.closeWith = [1008, "bad token"]; });
  await assert.rejects(session.ready, code("UNAUTHENTICATED"));
  await world.pass(100_000);
  assert.equal(world.sockets.length, 1);
});

test("what the token allows is what the newest connection said", async () => {
  const { world, session } = await playing();
  assert.equal(session.access, null); // an older service does not say it
  const access = { auth_mode: "jwt", may: ["read"], player: { participant_id: ID, may: ["switch"] } };
  world.service.greeting = { access };
  world.socket.drop(1006);
  await world.pass(2_000);
  assert.deepEqual(session.access, access);
  assert.throws(() => { session.access.may.push("delete"); }, TypeError);
});

test("same id gives the same session until it is closed", async () => {
  const { client, session } = await playing();
  assert.equal(client.session(ID.toUpperCase()), session);
  session.close();
  assert.notEqual(client.session(ID), session);
});

test("session id that is no UUID is refused at once", () => {
  assert.throws(() => new World().client().session("game 7"), code("VALIDATION_ERROR"));
});

// Reconnecting

async function waits(chance) {
  const { world } = await playing({ reconnectAttempts: 7 }, (it) => { it.chance = chance; });
  world.down = true;
  world.socket.drop(1006);
  let since = world.at;
  await world.pass(300_000);
  return world.sockets.slice(1).map((socket) => {
    const waited = socket.begun - since;
    since = socket.begun + world.there + world.back;
    return waited;
  });
}

test("waits before a reconnect are at most 1, 2, 4, 8, 16, 30, 30 seconds", async () => {
  assert.deepEqual(await waits(1), [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
});

test("waits before a reconnect are at least half of that", async () => {
  assert.deepEqual(await waits(0), [500, 1000, 2000, 4000, 8000, 15_000, 15_000]);
});

test("session is given up after so many attempts in a row", async () => {
  const errors = [];
  const { world, session } = await playing({ reconnectAttempts: 3 });
  session.onError((error) => errors.push(error.code));
  world.down = true;
  world.socket.drop(1006);
  await world.pass(100_000);
  assert.equal(world.sockets.length, 1 + 3);
  assert.equal(session.connection, "closed");
  assert.equal(session.closeReason.code, "CONNECTION_LOST");
  assert.deepEqual(errors, ["CONNECTION_LOST"]);
});

test("session that was given up can be connected again", async () => {
  const { world, session, client } = await playing({ reconnectAttempts: 1 });
  world.down = true;
  world.socket.drop(1006);
  await world.pass(10_000);
  assert.equal(session.connection, "closed");
  world.down = false;
  session.reconnect();
  await world.pass(1_000);
  assert.equal(session.connection, "live");
  assert.equal(client.session(ID), session);
});

test("infinitely many attempts never end", async () => {
  const { world, session } = await playing({ reconnectAttempts: Infinity });
  world.down = true;
  world.socket.drop(1006);
  await world.pass(3_600_000);
  assert.equal(session.connection, "reconnecting");
  assert.ok(world.sockets.length > 100);
});

test("count of attempts starts again once the service has answered", async () => {
  const { world, session } = await playing({ reconnectAttempts: 2 });
  for (let round = 0; round < 5; round += 1) {
    world.socket.drop(1001);
    await world.pass(3_000);
  }
  assert.equal(session.connection, "live");
});

test("network that is back or page that becomes visible again reconnects at once", async () => {
  const { world, session } = await playing();
  for (const wake of [() => world.window.dispatchEvent(new Event("online")),
    () => world.document.dispatchEvent(new Event("visibilitychange"))]) {
    world.down = true;
    world.socket.drop(1006);
    await world.pass(20_000);
    assert.equal(session.connection, "reconnecting");
    world.down = false;
    const before = world.sockets.length;
    wake();
    await world.pass(200);
    assert.equal(world.sockets.length, before + 1);
    assert.equal(session.connection, "live");
  }
});

test("page that becomes hidden does not reconnect", async () => {
  const { world } = await playing();
  world.down = true;
  world.socket.drop(1006);
  await world.pass(100);
  world.document.visibilityState = "hidden";
  world.document.dispatchEvent(new Event("visibilitychange"));
  await world.pass(10);
  assert.equal(world.sockets.length, 1);
});

test("socket that is not open in time is given up", async () => {
  const { world } = await playing({}, (it) => { it.away = true; });
  await world.pass(11_000);
  assert.equal(world.sockets.length, 2);
});

test("socket that has fallen silent is taken for dead", async () => {
  const { world, session } = await playing();
  world.away = true;
  await world.pass(30_000);
  assert.notEqual(session.connection, "live");
  world.away = false;
  await world.pass(40_000);
  assert.equal(session.connection, "live");
});

test("every change of the connection is reported once", async () => {
  const world = new World();
  const session = world.client().session(ID);
  const told = [];
  session.onConnection((connection) => told.push(connection));
  await world.pass(1_000);
  world.socket.drop(1006);
  await world.pass(3_000);
  session.close();
  assert.deepEqual(told, ["live", "reconnecting", "live", "closed"]);
});

// Catching up

test("after a reconnect the missed events come one by one", async () => {
  const { world, session, service } = await playing();
  const seen = [];
  session.onChange((state, change) => seen.push([state.version, change?.payload.event]));
  world.socket.drop(1006);
  service.happen("session.paused");
  service.happen("session.resumed");
  await world.pass(2_000);
  assert.deepEqual(world.kinds("RECONNECT").map(({ last_known_version, epoch }) => [last_known_version,
    epoch]), [[2, "1"]]);
  assert.deepEqual(seen, [[3, "session.paused"], [4, "session.resumed"]]);
  assert.equal(world.kinds("RECONNECT")[0].reconnect_attempt, 1);
});

test("missed events are asked for once, on the same socket", async () => {
  const { world, session, service } = await playing();
  service.happen("session.paused");
  service.publish(service.happen("session.resumed"));
  service.publish(service.happen("session.paused"));
  await world.pass(200);
  assert.equal(session.state.version, 5);
  assert.equal(world.kinds("RECONNECT").length, 1);
  assert.equal(world.sockets.length, 1);
});

test("event that came twice is reported once", async () => {
  const { world, session, service } = await playing();
  const seen = [];
  session.onChange((state) => seen.push(state.version));
  const event = service.publish(service.happen("session.paused"));
  service.publish(event);
  await world.pass(200);
  assert.deepEqual(seen, [3]);
});

test("state older than the one shown is not shown", async () => {
  const { world, session, service } = await playing();
  const old = service.now();
  service.publish(service.happen("session.paused"));
  service.sync(world.socket, old);
  await world.pass(200);
  assert.equal(session.state.version, 3);
  assert.equal(session.state.status, "paused");
});

test("event of another epoch asks for the state", async () => {
  const { world, session, service } = await playing();
  service.state = adopt(game({ epoch: "2", version: 7 }));
  service.publish(service.happen("session.paused"));
  await world.pass(200);
  assert.deepEqual([session.state.epoch, session.state.version], ["2", 8]);
  assert.equal(world.kinds("RECONNECT")[0].epoch, "1");
});

test("state of another epoch replaces everything", async () => {
  const { world, session, service } = await playing();
  service.state = adopt(game({ epoch: "2", version: 1, recovered: true }));
  service.sync(world.socket);
  await world.pass(200);
  assert.deepEqual([session.state.epoch, session.state.version, session.state.recovered], ["2", 1, true]);
});

test("session whose newest changes the server lost starts afresh", async () => {
  const { world, session, service } = await playing();
  const before = service.state;
  service.publish(service.happen("session.paused"));
  await world.pass(200);
  service.state = before;
  service.log = [];
  world.socket.drop(1012, "the session's newest changes were lost; connect again");
  await world.pass(2_000);
  assert.deepEqual([session.state.version, session.state.status], [2, "running"]);
  service.publish(service.happen("session.paused"));
  await world.pass(200);
  assert.deepEqual([session.state.version, session.state.status], [3, "paused"]);
});

test("when the log cannot be read the first state of the connection counts", async () => {
  const { world, session, service } = await playing();
  const errors = [];
  session.onError((error) => errors.push(error.code));
  world.socket.drop(1006);
  service.happen("session.paused");
  service.reconnect = (socket) => socket.receive({ type: "ERROR",
    error: { code: "STORAGE_UNAVAILABLE", message: "away", retryable: true, context: {} } });
  await world.pass(2_000);
  assert.equal(session.state.status, "paused");
  assert.equal(session.connection, "live");
  assert.deepEqual(errors, ["STORAGE_UNAVAILABLE"]);
});

test("deletion of a session is reported, and the session is not asked for again", async () => {
  const { world, session, service } = await playing();
  const seen = [];
  session.onChange((state, change) => seen.push([state.version, change?.type]));
  const pending = session.switch();
  service.deaf = true;
  world.socket.receive({ type: "SESSION_DELETED", session_id: ID, version: 3, epoch: "1",
    payload: { reason: "deleted" } });
  await assert.rejects(Promise.all([pending, world.pass(100_000)]), code("SESSION_NOT_FOUND"));
  assert.equal(session.closeReason.context.reason, "deleted");
  assert.equal(world.sockets.length, 1);
  assert.ok(seen.some(([, type]) => type === "SESSION_DELETED"));
});

test("warnings and expiries have listeners of their own", async () => {
  const { world, session, service } = await playing();
  const seen = [];
  session.onWarning((change) => seen.push(["warning", change.payload.warning_ms]));
  const forget = session.onExpire((change) => seen.push(["expired", change.payload.expired_participant_id]));
  service.publish(service.happen("time.warning", { warning_ms: 30_000 }, "TIME_WARNING"));
  const over = { status: "expired", active_participant_id: null, deadline_ms: null, cycle_started_at: null,
    cycle_count: 1, expired_participant_id: ANNA, expired_deadline_ms: 5 };
  service.publish(service.happen("session.expired", over, "TIME_EXPIRED"));
  await world.pass(200);
  assert.deepEqual(seen, [["warning", 30_000], ["expired", ANNA]]);
  assert.equal(session.state.session_completed_at, "1970-01-01T00:00:00.005Z");
  forget();
});

test("listener that was removed is not called", async () => {
  const { world, session, service } = await playing();
  let heard = 0;
  session.onChange(() => { heard += 1; })();
  service.publish(service.happen("session.paused"));
  await world.pass(200);
  assert.equal(heard, 0);
});

test("listener that fails does not stop the other listeners", async (t) => {
  const { world, session, service } = await playing();
  const uncaught = new Promise((resolve) => { process.once("uncaughtException", resolve); });
  let heard = 0;
  session.onChange(() => { throw new Error("a page's own mistake"); });
  session.onChange(() => { heard += 1; });
  service.publish(service.happen("session.paused"));
  await world.pass(200);
  assert.equal(heard, 1);
  assert.equal((await uncaught).message, "a page's own mistake");
});

// Clocks

test("remaining time runs down by itself and the other clock stands", async () => {
  const { world, session } = await playing();
  assert.ok(Math.abs(session.remaining(ANNA) - (600_000 - world.at)) < 1);
  assert.equal(session.remaining(BEN), 600_000);
  assert.equal(session.remaining(), session.remaining(ANNA));
  await world.pass(10_000);
  assert.ok(Math.abs(session.remaining(ANNA) - (600_000 - world.at)) < 1);
  assert.ok(Math.abs(session.elapsed() - world.at) < 1);
  assert.ok(Math.abs(session.elapsed(ANNA) - world.at) < 1);
  assert.equal(session.elapsed(BEN), 0);
});

test("page whose timers were throttled is right at once", async () => {
  const { world, session } = await playing();
  world.throttled = true;
  await world.pass(240_000);
  assert.ok(Math.abs(session.remaining(ANNA) - (600_000 - world.at)) < 1);
});

test("clock stops at zero until the server says so", async () => {
  const { world, session } = await playing();
  await world.pass(700_000);
  assert.equal(session.remaining(ANNA), 0);
});

test("there is a time to show even before the server's was measured", async () => {
  const { world, client, session } = await playing({}, ({ service }) => {
    const handle = service.handle.bind(service);
    service.handle = (socket, message) => message.type === "PING" || handle(socket, message);
    service.http = () => Promise.reject(new TypeError("fetch failed"));
  });
  assert.equal(client.time.now(), null);
  assert.equal(client.time.uncertaintyMs, Infinity);
  assert.ok(Math.abs(session.remaining(ANNA) - (600_000 - world.at)) < 50);
});

test("unknown owner has no clock", async () => {
  const { session } = await playing();
  assert.equal(session.remaining(ID), null);
  assert.equal(session.clock(ID), null);
  assert.equal(session.elapsed(ID), null);
});

test("ids may be written in upper case", async () => {
  const { session } = await playing();
  assert.equal(session.remaining(BEN.toUpperCase()), 600_000);
});
