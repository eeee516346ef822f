// How the client measures the server's time: when it asks, what it reports, and when it shows no time.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ANNA, ID, World } from "./world.mjs";

const HOUR_MS = 3_600_000;

function begin(prepare = () => {}, options = {}) {
  const world = new World();
  prepare(world);
  const client = world.client(options);
  const session = client.session(ID);
  const errors = [];
  session.onError((error) => errors.push(error.code));
  return { world, client, session, errors };
}

/** The true time (ms) at which each PING was sent. */
function pings(world) {
  const times = [];
  const handle = world.service.handle.bind(world.service);
  world.service.handle = (socket, message) => {
    if (message.type === "PING") {
      times.push(world.at - world.there);
    }
    return handle(socket, message);
  };
  return times;
}

const gaps = (times) => times.slice(1).map((time, at) => time - times[at]);

test("time is known to within half the round trip", async () => {
  const { world, client } = begin();
  assert.equal(client.time.now(), null);
  assert.equal(client.time.offsetMs, null);
  assert.equal(client.time.skewMs, null);
  await world.pass(2_000);
  assert.ok(Math.abs(client.time.now() - world.serverTime) <= client.time.uncertaintyMs);
  assert.ok(client.time.uncertaintyMs < 21);
  assert.equal(client.time.rttMs, 40);
});

test("connecting begins with five samples 100 to 200 ms apart and then one every 10 to 15 s", async () => {
  for (const chance of [0, 1]) {
    const { world } = begin((it) => { it.chance = chance; });
    const times = pings(world);
    await world.pass(60_000);
    const [first, regular] = [gaps(times).slice(0, 4), gaps(times).slice(4)];
    assert.deepEqual(first, [1, 2, 3, 4].map(() => (chance ? 200 : 100)));
    assert.ok(regular.length >= 3);
    const [least, most] = chance ? [14_000, 16_000] : [9_000, 11_001];
    assert.ok(regular.slice(1).every((gap) => gap >= least && gap <= most), String(regular));
  }
});

test("page that becomes visible again measures anew, though not more often than every 5 s", async () => {
  const { world } = begin();
  await world.pass(6_000);
  const times = pings(world);
  world.document.dispatchEvent(new Event("visibilitychange"));
  await world.pass(1_000);
  world.document.dispatchEvent(new Event("visibilitychange"));
  await world.pass(1_000);
  assert.equal(times.length, 5 + 1, "five, and one to see whether the socket is alive");
});

test("messages stay far below the limit in every minute", async () => {
  const { world } = begin();
  const times = [];
  const handle = world.service.handle.bind(world.service);
  world.service.handle = (socket, message) => { times.push(world.at); return handle(socket, message); };
  for (let look = 0; look < 400; look += 1) {
    if (look % 7 === 0) {
      world.document.dispatchEvent(new Event("visibilitychange"));
    }
    await world.pass(500);
  }
  const busiest = Math.max(...times.map((from) => times.filter((time) => time >= from
    && time < from + 60_000).length));
  assert.ok(busiest < 85, `${busiest} in a minute`);
});

test("after each burst the client reports its measurement to the service", async () => {
  const { world, client } = begin((it) => { it.dateAhead = -5_000; });
  await world.pass(3_000);
  const [{ offset_ms, rtt_ms, uncertainty_ms }, ...more] = world.kinds("CLOCK");
  assert.deepEqual(more, []);
  assert.ok(Math.abs(offset_ms - 5_000) < 2, String(offset_ms));
  assert.equal(rtt_ms, 40);
  assert.ok(uncertainty_ms >= 20 && uncertainty_ms < 21);
  assert.ok(Math.abs(client.time.skewMs - offset_ms) < 1);
});

test("device that slept measures anew and is right again at once", async () => {
  const { world, client, session } = begin();
  await world.pass(10_000);
  await world.sleep(300_000);
  await world.pass(1_500);
  assert.ok(Math.abs(client.time.now() - world.serverTime) <= client.time.uncertaintyMs);
  assert.ok(client.time.uncertaintyMs < 21);
  assert.ok(Math.abs(session.remaining(ANNA) - (600_000 - world.at)) < 21);
});

test("device whose monotonic clock runs on in sleep measures anew as well", async () => {
  const { world } = begin();
  await world.pass(10_000);
  const times = pings(world);
  await world.sleep(300_000, { standsStill: false });
  await world.pass(2_000);
  assert.ok(times.length >= 5);
});

test("after sleep nothing is claimed of the time before it is measured anew", async () => {
  const { world, client } = begin();
  await world.pass(10_000);
  world.away = true;
  await world.sleep(300_000);
  await world.pass(1_500);
  assert.equal(client.time.uncertaintyMs, Infinity);
});

test("sleeping kills a socket that is found dead within seconds", async () => {
  const { world, session } = begin();
  await world.pass(10_000);
  const dead = world.socket;
  await world.sleep(300_000);
  dead.readyState = 3; // without a close event
  await world.pass(8_000);
  assert.equal(world.sockets.length, 2);
  assert.equal(session.connection, "live");
});

test("while there is no socket the time is asked for over HTTP", async () => {
  const { world, client } = begin((it) => {
    it.WebSocket = class { constructor() { throw new Error("no sockets here"); } };
  });
  await world.pass(60_000);
  const asked = world.requests.filter(({ path }) => path === "/v1/time").map(({ at }) => at);
  assert.ok(asked.length >= 8 && asked.length <= 12, String(asked));
  assert.ok(Math.abs(client.time.now() - world.serverTime) <= client.time.uncertaintyMs);
});

test("client without a session measures once the page asks for the time", async () => {
  const world = new World();
  const client = world.client();
  await world.pass(1_000);
  assert.deepEqual(world.requests, []);
  let told = 0;
  client.time.onChange(() => { told += 1; });
  await world.pass(1_000);
  assert.ok(told > 0);
  assert.ok(Math.abs(client.time.now() - world.serverTime) < 21);
  client.close();
  const before = world.requests.length;
  await world.pass(60_000);
  assert.equal(world.requests.length, before, "closed for good");
});

test("countdown never jumps back when the estimate gets better", async () => {
  const { world, client, session } = begin((it) => { it.there = 300; });
  await world.pass(1_000);
  Object.assign(world, { there: 5, back: 5 });
  let before = session.remaining(ANNA);
  for (let look = 0; look < 2_000; look += 1) {
    await world.pass(10);
    const now = session.remaining(ANNA);
    assert.ok(now <= before);
    before = now;
  }
  assert.ok(Math.abs(client.time.now() - world.serverTime) < 6);
});

test("device clock that is minutes off is reported once and the display is right", async () => {
  const { world, session, errors } = begin((it) => { it.dateAhead = 5 * 60_000; });
  await world.pass(120_000);
  assert.deepEqual(errors, ["CLOCK_SKEW"]);
  assert.ok(Math.abs(session.remaining(ANNA) - (600_000 - world.at)) < 1);
});

test("device clock that is a minute off is not reported", async () => {
  const { world, errors } = begin((it) => { it.dateAhead = -59_000; });
  await world.pass(30_000);
  assert.deepEqual(errors, []);
});

test("device clock that is an hour off, as by a wrong time zone, still shows the right time", async () => {
  for (const dateAhead of [HOUR_MS + 500, -HOUR_MS - 500]) {
    const { world, session, errors } = begin((it) => { it.dateAhead = dateAhead; });
    await world.pass(30_000);
    assert.deepEqual(errors, ["CLOCK_SKEW"]);
    assert.ok(Math.abs(session.remaining(ANNA) - (600_000 - world.at)) < 1);
  }
});

test("device clock that is hours or years off shows the right time", async () => {
  for (const dateAhead of [5 * HOUR_MS, -5 * HOUR_MS, 20 * 8_766 * HOUR_MS, -30 * 8_766 * HOUR_MS]) {
    const { world, session, errors } = begin((it) => { it.dateAhead = dateAhead; });
    await world.pass(30_000);
    assert.deepEqual(errors, ["CLOCK_SKEW"]);
    assert.ok(Math.abs(session.remaining(ANNA) - (600_000 - world.at)) < 1);
  }
});

test("device clock that is further off than a page allows shows no time", async () => {
  const { world, session, errors } = begin((it) => { it.dateAhead = HOUR_MS + 2_000; }, { maxSkewMs: HOUR_MS });
  await world.pass(30_000);
  assert.deepEqual(errors, ["CLOCK_SKEW_REFUSED"]);
  assert.equal(session.remaining(ANNA), null);
  assert.equal(session.clock(ANNA), null);
  assert.equal(session.elapsed(), null);
  assert.equal(session.state.status, "running");
});

test("device clock that was set right shows the time again", async () => {
  const { world, session } = begin((it) => { it.dateAhead = 2 * HOUR_MS; }, { maxSkewMs: HOUR_MS });
  await world.pass(10_000);
  assert.equal(session.remaining(ANNA), null);
  world.dateAhead = 0;
  await world.pass(5_000);
  assert.ok(Math.abs(session.remaining(ANNA) - (600_000 - world.at)) < 21);
});

test("how far off a device may be is an option", async () => {
  const { world, errors } = begin((it) => { it.dateAhead = 5_000; }, { maxSkewMs: 3_000 });
  await world.pass(3_000);
  assert.deepEqual(errors, ["CLOCK_SKEW_REFUSED"]);
});
