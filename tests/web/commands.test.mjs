// Own commands: they are shown at once, confirmed or corrected, and safe to repeat.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ANNA, BEN, ID, World } from "./world.mjs";

async function playing(options = {}, prepare = () => {}) {
  const world = new World();
  prepare(world);
  const client = world.client(options);
  const session = client.session(ID);
  await world.pass(3_000);
  return { world, client, session, service: world.service };
}

const code = (expected) => (error) => error.name === "SyncKairosError" && error.code === expected;

/** The outcome of a promise, to look at while time passes. */
function outcome(promise) {
  const found = { done: false };
  promise.then((value) => Object.assign(found, { done: true, value }),
    (error) => Object.assign(found, { done: true, code: error.code }));
  return found;
}

/** The time left on these clocks, every 5 ms while time passes. */
async function watch(world, session, ms, ids = [ANNA, BEN]) {
  const seen = Object.fromEntries(ids.map((id) => [id, []]));
  for (let passed = 0; passed < ms; passed += 5) {
    await world.pass(5);
    ids.forEach((id) => seen[id].push(session.remaining(id)));
  }
  return seen;
}

test("switch starts the other clock at once", async () => {
  const { world, session } = await playing();
  const answer = outcome(session.switch());
  assert.equal(session.state.active_participant_id, BEN);
  assert.equal(session.confirmed.active_participant_id, ANNA);
  assert.equal(session.pending, true);
  assert.equal(session.remaining(BEN), 600_000,
    "not more, though it will begin only when the server hears of it");
  const { [ANNA]: stopped, [BEN]: running } = await watch(world, session, 30);
  assert.equal(new Set(stopped).size, 1);
  assert.ok(running.at(-1) < 600_000);
  await world.pass(100);
  assert.deepEqual(answer, { done: true, value: 3 });
  assert.equal(session.pending, false);
  assert.equal(session.state, session.confirmed);
});

async function showsNoJump(there, back) {
  const { world, session } = await playing({}, (it) => Object.assign(it, { there, back }));
  session.switch();
  const { [BEN]: running } = await watch(world, session, 4_000);
  runsDown(running);
  const exact = session.confirmed.deadline_ms - world.serverTime;
  assert.ok(Math.abs(running.at(-1) - exact) <= 60.6, "right within what the time is known");
}

/** Asserts that a clock runs, and by at most 1.25 times the time between two looks. */
function runsDown(seen) {
  seen.reduce((before, now) => {
    assert.ok(now <= before && before - now < 6.3, `${before} to ${now}`);
    return now;
  });
}

test("confirmed switch shows no jump where the network is as slow both ways", () => showsNoJump(60, 60));
test("confirmed switch shows no jump where the way there is longer", () => showsNoJump(110, 10));
test("confirmed switch shows no jump where the way back is longer", () => showsNoJump(10, 110));

test("confirmed switch shows no jump where the network became slower", async () => {
  const { world, session } = await playing();
  Object.assign(world, { there: 400, back: 400 });
  session.switch();
  const { [BEN]: running } = await watch(world, session, 10_000);
  runsDown(running);
  assert.ok(Math.abs(running.at(-1) - (session.confirmed.deadline_ms - world.serverTime)) < 21);
});

test("refused switch is corrected and rejects", async () => {
  const { world, session, service } = await playing();
  service.refuse = { code: "RATE_LIMIT_EXCEEDED", message: "too many", retryable: true };
  const answer = outcome(session.switch());
  assert.equal(session.state.active_participant_id, BEN);
  await world.pass(100);
  assert.deepEqual(answer, { done: true, code: "RATE_LIMIT_EXCEEDED" });
  assert.equal(session.state.active_participant_id, ANNA);
  assert.equal(session.pending, false);
  assert.ok(Math.abs(session.remaining(ANNA) - (600_000 - world.at)) < 1);
});

test("switch after another player's switch is corrected and rejects", async () => {
  const { world, session, service } = await playing();
  const changes = [];
  service.publish(service.happen("cycle.switched"));
  const answer = outcome(session.switch());
  session.onChange((state) => changes.push(state.active_participant_id));
  await world.pass(200);
  assert.deepEqual(answer, { done: true, code: "CONCURRENT_MODIFICATION" });
  assert.deepEqual(new Set(changes), new Set([BEN]), "it was never anybody else's turn");
});

test("two taps for one turn are one switch", async () => {
  const { world, session } = await playing();
  const taps = [outcome(session.switch()), outcome(session.switch()),
    outcome(session.switch({ current: ANNA }))];
  await world.pass(100);
  assert.equal(world.kinds("SWITCH").length, 1);
  assert.deepEqual(taps, [1, 2, 3].map(() => ({ done: true, value: 3 })));
  assert.equal(session.state.active_participant_id, BEN);
});

test("second tap that names the one whose turn is over is refused by the service", async () => {
  const { world, session } = await playing();
  session.switch({ current: ANNA });
  await world.pass(100);
  const late = outcome(session.switch({ current: ANNA }));
  assert.equal(session.state.active_participant_id, BEN, "nothing is shown of it");
  await world.pass(100);
  assert.deepEqual(late, { done: true, code: "CONCURRENT_MODIFICATION" });
  assert.equal(session.state.active_participant_id, BEN);
});

test("turn that has begun takes a tap of its own though the last one is not answered yet", async () => {
  const { world, session } = await playing({}, ({ service }) => { service.ackLaterMs = 500; });
  const first = outcome(session.switch());
  await world.pass(100);
  assert.deepEqual([session.confirmed.active_participant_id, session.pending], [BEN, true]);
  const second = outcome(session.switch());
  await world.pass(1_000);
  assert.deepEqual([first.value, second.value], [3, 4]);
  assert.equal(session.state.active_participant_id, ANNA);
});

test("players who share a device may be quicker than the network", async () => {
  const { world, session } = await playing({}, (it) => Object.assign(it, { there: 200, back: 200 }));
  const first = outcome(session.switch({ current: ANNA }));
  await world.pass(50);
  const second = outcome(session.switch({ current: BEN }));
  assert.equal(session.state.active_participant_id, ANNA);
  await world.pass(600);
  assert.deepEqual([first.value, second.value], [3, 4]);
  assert.equal(session.state.active_participant_id, ANNA);
  assert.equal(session.state.cycle_count, 2);
});

async function isShownOnce(ackFirst) {
  const { world, session } = await playing({}, ({ service }) => { service.ackFirst = ackFirst; });
  const turns = [];
  session.onChange((state,
    change) => turns.push([state.active_participant_id, change?.payload.event ?? null, session.pending]));
  const answer = outcome(session.switch());
  await world.pass(200);
  assert.deepEqual(turns, ackFirst ? [[BEN, null, true], [BEN, "cycle.switched", false]]
    : [[BEN, null, true], [BEN, "cycle.switched", true], [BEN, null, false]]);
  assert.equal(answer.value, 3);
}

test("switch is shown once where the answer comes before the event", () => isShownOnce(true));
test("switch is shown once where the event comes before the answer", () => isShownOnce(false));

test("command resolves with the version that it made only when the state shows it", async () => {
  const { world, session } = await playing({}, ({ service }) => { service.ackFirst = true; });
  let seen = null;
  session.switch().then((version) => { seen = [version, session.confirmed.version]; });
  await world.pass(200);
  assert.deepEqual(seen, [3, 3]);
});

test("command that was not answered is sent again under the same id after a reconnect", async () => {
  const { world, session, service } = await playing();
  world.away = true;
  const answer = outcome(session.switch());
  await world.pass(50);
  world.socket.drop(1006);
  world.away = false;
  await world.pass(2_000);
  const [one, again, ...more] = world.kinds("SWITCH");
  assert.equal(one.request_id, again.request_id);
  assert.deepEqual(more, []);
  assert.equal(answer.value, 3);
  assert.equal(service.state.version, 3);
});

test("command whose answer was lost is not carried out twice", async () => {
  const { world, session, service } = await playing();
  const answer = outcome(session.switch());
  await world.pass(world.there + 1); // the command has reached the service
  world.socket.drop(1006);
  assert.equal(session.state.active_participant_id, BEN);
  await world.pass(2_000);
  assert.equal(answer.value, 3);
  assert.equal(service.state.version, 3);
  assert.equal(session.state.active_participant_id, BEN);
});

test("command while there is no connection waits for one", async () => {
  const { world, session } = await playing();
  world.socket.drop(1006);
  const answer = outcome(session.switch());
  assert.equal(session.state.active_participant_id, BEN);
  await world.pass(2_000);
  assert.equal(answer.value, 3);
});

test("command before the first state waits for it", async () => {
  const world = new World();
  const session = world.client().session(ID);
  const taps = [outcome(session.switch()), outcome(session.switch())];
  await world.pass(500);
  assert.deepEqual(taps.map(({ value }) => value), [3, 3]);
  assert.equal(world.kinds("SWITCH").length, 1);
});

test("command rejects when the client gives up", async () => {
  const { world, session } = await playing({ reconnectAttempts: 2 });
  world.down = true;
  world.socket.drop(1006);
  const answer = outcome(session.switch());
  await world.pass(30_000);
  assert.deepEqual(answer, { done: true, code: "CONNECTION_LOST" });
  assert.equal(session.state.active_participant_id, ANNA);
  await assert.rejects(session.switch(), code("CONNECTION_LOST"));
});

test("command rejects when the session is closed", async () => {
  const { world, session } = await playing();
  const answer = outcome(session.switch());
  session.close();
  await world.pass(0);
  assert.deepEqual(answer, { done: true, code: "CLOSED" });
  await assert.rejects(session.pause(), code("CLOSED"));
});

test("commands carry what was asked for and nothing else", async () => {
  const { world, session } = await playing();
  session.switch({ next: BEN.toUpperCase(), expectedVersion: 2 });
  await world.pass(200);
  const [{ request_id, ...rest }] = world.kinds("SWITCH");
  assert.match(request_id, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.deepEqual(rest,
    { v: 1, type: "SWITCH", current_participant_id: ANNA, next_participant_id: BEN, expected_version: 2 });
});

test("pause and resume carry the expected version", async () => {
  const { world, session } = await playing();
  session.pause({ expectedVersion: 2 });
  await world.pass(200);
  session.resume({ expectedVersion: 3 });
  await world.pass(200);
  const sent = [...world.kinds("PAUSE"), ...world.kinds("RESUME")].map(({ request_id, ...rest }) => rest);
  assert.deepEqual(sent, [{ v: 1, type: "PAUSE", expected_version: 2 }, { v: 1, type: "RESUME", expected_version: 3 }]);
});

test("second switch of a turn is another command only when it expects another version", async () => {
  const { world, session } = await playing();
  for (const expectedVersion of [2, 2, undefined, 5]) {
    session.switch({ expectedVersion }).catch(() => {});
  }
  await world.pass(200);
  assert.deepEqual(world.kinds("SWITCH").map((sent) => sent.expected_version), [2, 5]);
});

test("pause stops the clock at once and resume lets it run on", async () => {
  const { world, session } = await playing();
  const paused = outcome(session.pause());
  assert.equal(session.state.status, "paused");
  const { [ANNA]: standing } = await watch(world, session, 1_000, [ANNA]);
  assert.ok(Math.max(...standing) - Math.min(...standing) < 2);
  assert.equal(paused.value, 3);
  const resumed = outcome(session.resume());
  assert.equal(session.state.status, "running");
  const { [ANNA]: running } = await watch(world, session, 1_000, [ANNA]);
  runsDown(running);
  assert.equal(resumed.value, 4);
});

test("pause that is not allowed is corrected and rejects", async () => {
  const { world, session, service } = await playing();
  service.refuse = { code: "FORBIDDEN", message: "players may not pause" };
  const answer = outcome(session.pause());
  await world.pass(100);
  assert.equal(answer.code, "FORBIDDEN");
  assert.equal(session.state.status, "running");
});

test("switch of a clock at zero is left to the server", async () => {
  const { world, session } = await playing();
  await world.pass(600_000);
  session.switch().catch(() => {});
  assert.equal(session.state.active_participant_id, ANNA);
});

test("event that changes nothing leaves a prediction as it is", async () => {
  const { world, session, service } = await playing();
  const turns = [];
  session.onChange((state) => turns.push(state.active_participant_id));
  service.publish(service.happen("time.warning", { warning_ms: 30_000 }, "TIME_WARNING"));
  session.switch();
  await world.pass(30);
  assert.equal(session.confirmed.version, 3);
  await world.pass(200);
  assert.deepEqual([...new Set(turns)], [BEN]);
});
