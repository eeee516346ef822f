// A broken service, an answer from something else, and a hostile network: the client does not crash, does not
// loop, leaks nothing, and never shows a wrong clock without an error.
import assert from "node:assert/strict";
import { test } from "node:test";
import { adopt, ClockFilter } from "../../synckairos/web/synckairos.js";
import { ANNA, BEN, game, ID, World } from "./world.mjs";

async function playing(options = {}, prepare = () => {}) {
  const world = new World();
  prepare(world);
  const client = world.client(options);
  const session = client.session(ID);
  const errors = [];
  session.onError((error) => errors.push(error.code));
  await world.pass(3_000);
  return { world, client, session, errors, service: world.service };
}

const code = (expected) => (error) => error.name === "SyncKairosError" && error.code === expected;

/** Sends a text unchanged from the service to the client. */
const receive = (world, data) => world.socket.onmessage({ data });

const isRight = (world, session) => Math.abs(session.remaining(ANNA) - (600_000 - world.at)) < 1;

const GARBAGE = {
  "HTML": "<html>log in</html>",
  "nothing": "",
  "null": "null",
  "a list": "[]",
  "a number": "7",
  "half a message": '{"v":1,"type":"STATE_SYNC","payload":{"full_st',
  "a state without anything": JSON.stringify({ type: "STATE_SYNC", payload: { full_state: {} } }),
  "a state whose deadline is text": JSON.stringify({ type: "STATE_SYNC",
    payload: { full_state: game({ version: 3, deadline_ms: "soon" }) } }),
  "an event without fields": JSON.stringify({ type: "STATE_UPDATE", version: 3, epoch: "1",
    server_time_ms: 1_800_000_001_000, payload: { event: "session.paused" } }),
  "an event at no time": JSON.stringify({ type: "STATE_UPDATE", version: 3, epoch: "1", server_time_ms: "now",
    payload: { event: "session.paused", participants: [], groups: [] } }),
};

test("message that is not understood is reported, and the next connection begins anew", async () => {
  for (const [name, data] of Object.entries(GARBAGE)) {
    const { world, session, errors } = await playing();
    receive(world, data);
    const isIgnored = name === "a list" || name === "a number";
    assert.deepEqual(errors, isIgnored ? [] : ["UNEXPECTED_ANSWER"], name);
    await world.pass(2_000);
    assert.equal(session.connection, "live", name);
    assert.equal(world.sockets.length, isIgnored ? 1 : 2, name);
    assert.deepEqual(world.kinds("RECONNECT"), [], `${name}: the log would have it again`);
    assert.ok(isRight(world, session), name);
  }
});

test("service that is never understood is asked less and less often, and then given up", async () => {
  const { world, session, errors } = await playing({}, ({ service }) => {
    const { sync } = service;
    service.sync = (socket, ...more) => {
      sync.call(service, socket, ...more);
      socket.receive({ type: "STATE_UPDATE", version: 3, epoch: "1", payload: { event: "x" } });
    };
  });
  await world.pass(300_000);
  assert.equal(session.connection, "closed");
  assert.equal(session.closeReason.code, "CONNECTION_LOST");
  assert.equal(world.sockets.length, 1 + 10);
  assert.equal(errors.filter((one) => one === "UNEXPECTED_ANSWER").length, 11);
});

test("message of an unknown type, and unknown fields, change nothing", async () => {
  const { world, session, errors } = await playing();
  const before = session.state;
  receive(world, JSON.stringify({ v: 2, type: "WEATHER", payload: { sun: true } }));
  receive(world, JSON.stringify({ type: "PONG" }));
  receive(world, JSON.stringify({ type: "PONG", t1: "x", t2: null }));
  receive(world, JSON.stringify({ type: "ACK", request_id: "of nobody", version: 9 }));
  assert.equal(session.state, before);
  assert.deepEqual(errors, []);
  assert.equal(world.sockets.length, 1);
});

test("error without a code is reported", async () => {
  const { world, session, errors } = await playing();
  receive(world, JSON.stringify({ type: "ERROR" }));
  assert.deepEqual(errors, ["UNEXPECTED_ANSWER"]);
  assert.equal(session.connection, "live");
});

test("epoch that is a number is the same as in text", async () => {
  const { world, session, service } = await playing({}, (it) => {
    it.service.state = adopt(game({ epoch: 1 }));
  });
  assert.equal(session.state.epoch, "1");
  service.publish(service.happen("session.paused"));
  await world.pass(200);
  assert.equal(session.state.version, 3);
  assert.deepEqual(world.kinds("RECONNECT"), []);
});

test("service that sends nothing but an older state is not believed, and not live", async () => {
  const { world, session, service } = await playing();
  const old = service.now();
  service.publish(service.happen("session.paused"));
  await world.pass(200);
  service.sync = (socket) => socket.receive({ type: "STATE_SYNC", payload: { full_state: old } });
  service.reconnect = (socket) => service.sync(socket);
  world.socket.drop(1006);
  await world.pass(400_000);
  assert.equal(session.connection, "closed");
  assert.deepEqual([session.state.version, session.state.status], [3, "paused"]);
});

test("events that were replayed count, whatever number was announced", async () => {
  const { world, session, service } = await playing();
  service.reconnect = (socket) => socket.receive({ type: "RECONNECT_ACK", success: true, replayed: 1e300 });
  world.socket.drop(1006);
  await world.pass(2_000);
  assert.equal(session.connection, "live");
  assert.equal(session.state.version, 2);
});

test("events that never come are not asked for without end", async () => {
  const { world, session, service } = await playing();
  service.happen("session.paused");
  const late = service.happen("session.resumed");
  service.reconnect = (socket) => {
    socket.receive({ type: "RECONNECT_ACK", success: true, replayed: 1 });
    socket.receive(late);
  };
  service.publish(late);
  await world.pass(3_000);
  assert.equal(world.kinds("RECONNECT").length, 3);
  assert.equal(session.state.version, 4, "the whole state came instead");
  assert.equal(session.connection, "live");
});

test("connection that does not answer the question for missed events is replaced", async () => {
  const { world, session, service } = await playing();
  service.reconnect = () => {};
  service.happen("session.paused");
  service.publish(service.happen("session.resumed"));
  await world.pass(11_000);
  assert.equal(session.connection, "reconnecting");
});

test("service that greets and sends nothing more is left again", async () => {
  const { world, session } = await playing({ reconnectAttempts: 2 }, ({ service }) => {
    service.sync = () => {};
  });
  await world.pass(60_000);
  assert.equal(world.sockets.length, 3);
  await assert.rejects(session.ready, code("CONNECTION_LOST"));
});

test("unknown close codes lead to another attempt", async () => {
  const { world, session } = await playing();
  for (const unknown of [1000, 1002, 1011, 1015, 3000, 4999, undefined]) {
    world.socket.drop(unknown);
    await world.pass(2_000);
    assert.equal(session.connection, "live", `${unknown}`);
  }
});

test("command that is never answered is taken back in the end", async () => {
  const { world, session, service } = await playing();
  const handle = service.handle.bind(service);
  service.handle = (socket, message) => message.type === "SWITCH" || handle(socket, message);
  let failed = null;
  session.switch().catch((error) => { failed = error.code; });
  assert.equal(session.state.active_participant_id, BEN);
  await world.pass(60_000);
  assert.equal(failed, "NETWORK_TIMEOUT");
  assert.equal(session.state.active_participant_id, ANNA);
  assert.equal(world.kinds("SWITCH").length, 4);
  assert.equal(new Set(world.kinds("SWITCH").map(({ request_id }) => request_id)).size, 1);
  assert.equal(session.connection, "live");
});

test("command whose version never comes is not shown for ever", async () => {
  const { world, session, service } = await playing();
  const handle = service.handle.bind(service);
  service.handle = (socket, message) => {
    if (message.type === "SWITCH") {
      socket.receive({ type: "ACK", request_id: message.request_id, version: 1e9 });
    } else {
      handle(socket, message);
    }
  };
  let failed = null;
  session.switch().catch((error) => { failed = error.code; });
  await world.pass(90_000);
  assert.equal(failed, "NETWORK_TIMEOUT");
  assert.equal(session.state.active_participant_id, ANNA);
});

test("lost event of an own command is asked for", async () => {
  const { world, session, service } = await playing();
  service.publish = (event) => event;
  const answer = session.switch();
  await world.pass(2_000);
  assert.equal(await answer, 3);
  assert.equal(session.confirmed.active_participant_id, BEN);
  assert.equal(world.sockets.length, 1);
});

// Time

test("answer that claims more work than the round trip took is no sample", () => {
  const filter = new ClockFilter();
  filter.add(0, 1_000, 11_000, 20);
  filter.add(0, 1_000, 900, 20);
  filter.add(0, NaN, NaN, 20);
  filter.add(0, -Infinity, Infinity, 20);
  assert.equal(filter.estimate(20), null);
  filter.add(0, 1_000, 1_021, 20);
  assert.notEqual(filter.estimate(20), null, "stamps are cut to whole ms");
});

test("times that are no numbers are no samples", async () => {
  const { world, client, session } = await playing({}, ({ service }) => {
    const handle = service.handle.bind(service);
    service.handle = (socket, message) => {
      if (message.type === "PING") {
        socket.receive({ type: "PONG", t1: message.t1, t2: "1800000000000", t3: "1800000000000" });
      } else {
        handle(socket, message);
      }
    };
    service.answers = [];
  });
  assert.equal(client.time.now(), null);
  assert.ok(Math.abs(session.remaining(ANNA) - (600_000 - world.at)) < 50);
});

// Tokens

test("token that never comes is a failed attempt, and a call's timeout", async () => {
  const world = new World();
  const client = world.client({ token: () => new Promise(() => {}), reconnectAttempts: 1 });
  const session = client.session(ID);
  let failed = null;
  client.presets().catch((error) => { failed = error.code; });
  await world.pass(60_000);
  assert.equal(failed, "NETWORK_TIMEOUT");
  assert.equal(session.connection, "closed");
  await assert.rejects(session.ready, code("CONNECTION_LOST"));
  assert.equal(world.sockets.length, 0);
});

test("token function that throws fails the call with its error", async () => {
  for (const thrown of [new Error("no"), "no", undefined]) {
    const world = new World();
    const client = world.client({ token: () => { throw thrown; } });
    const failed = client.presets().then(() => "done", (error) => error);
    await world.pass(1_000);
    assert.equal(await failed, thrown);
  }
});

// HTTP

test("answers in JSON that are not the service's are UNEXPECTED_ANSWER", async () => {
  for (const text of ['"data"', "7", "true", "[]"]) {
    const world = new World();
    world.service.answers = [{ text }];
    const failed = world.client().presets().then(() => "done", (error) => error);
    await world.pass(1_000);
    assert.equal((await failed).code, "UNEXPECTED_ANSWER", text);
  }
});

test("redirect that leads nowhere is UNEXPECTED_ANSWER", async () => {
  const world = new World();
  world.service.answers = [{ status: 302, text: "", headers: { location: "/login" } }];
  const failed = world.client().create({}).then(() => "done", (error) => error);
  await world.pass(1_000);
  assert.deepEqual([(await failed).code, (await failed).status], ["UNEXPECTED_ANSWER", 302]);
  assert.equal(world.requests.length, 1);
});

test("Retry-After that is a date, or unreadable, is ignored", async () => {
  for (const when of ["Wed, 21 Oct 2037 07:28:00 GMT", "soon", "1e400", "-5", ""]) {
    const world = new World();
    const busy = { status: 503, text: "", headers: { "retry-after": when } };
    world.service.answers = [busy, { json: { data: 1 } }];
    const call = world.client().create({});
    await world.pass(1_000);
    assert.equal(await call, 1, when);
    assert.equal(world.requests.length, 2, when);
  }
});

test("Retry-After that is far away is not waited for", async () => {
  const world = new World();
  world.service.answers = [{ status: 503, text: "", headers: { "retry-after": "1000000000" } }];
  const failed = world.client().create({}).then(() => "done", (error) => error);
  await world.pass(1_000);
  assert.equal((await failed).retryAfterMs, 1e12);
});

// Closing

test("closing at any moment of connecting leaves no socket and no timer", async () => {
  for (let ms = 0; ms < 200; ms += 10) {
    const world = new World();
    const client = world.client({ token: async () => "token" });
    client.session(ID);
    await world.pass(ms);
    client.close();
    const { length } = world.sockets;
    await world.pass(100_000);
    assert.equal(world.sockets.length, length, `after ${ms} ms`);
    assert.ok(world.sockets.every(({ readyState }) => readyState === 3), `after ${ms} ms`);
    assert.equal(world.waiting, 0, `after ${ms} ms`);
  }
});

test("session may be closed by any of its listeners", async () => {
  const happenings = {
    onChange: (service) => service.publish(service.happen("session.paused")),
    onWarning: (service) => service.publish(service.happen("time.warning", {}, "TIME_WARNING")),
    onConnection: (service) => service.world.socket.drop(1006),
    onError: (service) => service.world.socket.receive({ type: "ERROR" }),
  };
  for (const [name, happen] of Object.entries(happenings)) {
    const { world, client, session, service } = await playing();
    session[name](() => session.close());
    happen(service);
    await world.pass(60_000);
    assert.equal(session.connection, "closed", name);
    assert.equal(session.closeReason.code, "CLOSED", name);
    assert.equal(world.sockets.length, 1, name);
    client.close();
    assert.equal(world.waiting, 0, name);
  }
});

test("listener that closes the session that is just connected again leaves no socket", async () => {
  const { world, session, client } = await playing({ reconnectAttempts: 0 });
  world.socket.drop(1006);
  assert.equal(session.connection, "closed");
  session.onConnection(() => session.close());
  session.reconnect();
  await world.pass(10_000);
  assert.equal(session.connection, "closed");
  assert.equal(world.sockets.length, 1);
  client.close();
  assert.equal(world.waiting, 0);
});

test("client that is closed while a call waits tries nothing again", async () => {
  const world = new World();
  world.service.answers = ["lost", "lost"];
  const client = world.client();
  const failed = client.create({}).then(() => "done", (error) => error.code);
  await world.pass(100);
  client.close();
  await world.pass(10_000);
  assert.equal(await failed, "CONNECTION_LOST");
  assert.equal(world.requests.length, 1);
});

test("two hundred sessions share one client, its clock and its end", async () => {
  const world = new World();
  const client = world.client();
  const ids = Array.from({ length: 200 }, (_, at) => ID.slice(0, -3) + String(at).padStart(3, "0"));
  const sessions = ids.map((id) => client.session(id));
  await world.pass(3_000);
  assert.ok(sessions.every(({ connection }) => connection === "live"));
  assert.equal(world.kinds("PING").length, 5, "one of them asks for the time");
  world.sockets.forEach((socket) => socket.drop(1006));
  await world.pass(3_000);
  assert.ok(sessions.every(({ connection }) => connection === "live"));
  assert.equal(world.sockets.length, 400);
  client.close();
  await world.pass(60_000);
  assert.equal(world.waiting, 0);
  assert.equal(world.sockets.length, 400);
});
