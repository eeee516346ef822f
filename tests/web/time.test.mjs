// The clock filter and the shown clock, with all times passed in.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ClockFilter, SlewedClock } from "../../synckairos/web/synckairos.js";

// A round trip that begins at local time t1 and takes `there` and `back`; the server is `offset` ahead.
const sample = (filter, t1, { offset = 1000, there = 10, back = 10, now } = {}) =>
  filter.add(t1, t1 + there + offset, t1 + there + offset, t1 + there + back, now);

test("filter without a sample has no estimate", () => {
  assert.equal(new ClockFilter().estimate(0), null);
});

test("symmetric round trip gives the exact offset and half of itself as uncertainty", () => {
  const filter = new ClockFilter();
  sample(filter, 0, { there: 20, back: 20 });
  assert.deepEqual(filter.estimate(40), { offset: 1000, uncertainty: 20.5, rtt: 40 });
});

test("time that the server held the question is no part of the round trip", () => {
  const filter = new ClockFilter();
  filter.add(0, 1010, 1060, 70);
  assert.equal(filter.estimate(70).rtt, 20);
});

test("asymmetric round trip is wrong by no more than the stated uncertainty", () => {
  const filter = new ClockFilter();
  sample(filter, 0, { there: 90, back: 10 });
  const { offset, uncertainty } = filter.estimate(100);
  assert.equal(offset, 1040);
  assert.ok(Math.abs(offset - 1000) <= uncertainty);
});

test("shortest round trip of the newest eight counts", () => {
  const filter = new ClockFilter();
  sample(filter, 0, { there: 1, back: 1, offset: 999 });
  [30, 5, 25].forEach((way, at) => sample(filter, 100 * (at + 1), { there: way, back: way }));
  assert.equal(filter.estimate(500).rtt, 2);
  [30, 30, 30, 30, 30].forEach((way, at) => sample(filter, 600 + 100 * at, { there: way, back: way }));
  assert.equal(filter.estimate(1200).rtt, 10, "the first one is forgotten with the ninth");
});

test("an old sample is trusted less by 50 ppm of its age", () => {
  const filter = new ClockFilter();
  sample(filter, 0, { there: 10, back: 10, offset: 1000 });
  sample(filter, 200_000, { there: 11, back: 11, offset: 1003 });
  assert.equal(filter.estimate(200_022).offset, 1003);
  assert.equal(filter.estimate(200_022 + 100_000).uncertainty, 11 + 0.5 + 5);
});

test("impossible samples are ignored", () => {
  const filter = new ClockFilter();
  filter.add(10, 1000, 1000, 5);
  filter.add(NaN, 1000, 1000, 5);
  filter.add(0, undefined, 1000, 5);
  assert.equal(filter.estimate(10), null);
});

test("round trip is never negative, though stamps are cut", () => {
  const filter = new ClockFilter();
  filter.add(0, 1000.5, 1001.5, 0.4);
  assert.equal(filter.estimate(0.4).rtt, 0);
});

test("filter that was reset knows nothing", () => {
  const filter = new ClockFilter();
  sample(filter, 0);
  filter.reset();
  assert.equal(filter.estimate(100), null);
});

test("clock shows nothing before the first estimate and then takes it as it is", () => {
  const clock = new SlewedClock();
  assert.equal(clock.now(5), null);
  clock.set(1000, 5);
  assert.equal(clock.now(5), 1005);
  assert.equal(clock.now(10), 1010);
});

test("clock that is behind runs five per cent fast until it is right", () => {
  const clock = new SlewedClock();
  clock.set(1000, 0);
  clock.set(1010, 0);
  assert.equal(clock.gap(0), 10);
  assert.equal(clock.now(100), 1105);
  assert.equal(clock.now(200), 1210);
  assert.equal(clock.now(300), 1310);
  assert.equal(clock.gap(300), 0);
});

test("clock that is ahead runs five per cent slow and never goes back", () => {
  const clock = new SlewedClock();
  clock.set(1000, 0);
  clock.set(995, 0);
  let before = clock.now(0);
  for (let local = 1; local <= 200; local += 1) {
    const now = clock.now(local);
    assert.ok(now > before);
    before = now;
  }
  assert.equal(before, 1195);
});

test("step forward of more than a second is taken at once", () => {
  const clock = new SlewedClock();
  clock.set(0, 0);
  clock.set(1000, 100);
  assert.equal(clock.now(100), 100, "a second is none");
  clock.set(60_000, 100);
  assert.equal(clock.now(100), 60_100);
});

test("clock that is seconds ahead runs at half speed until less than a second is left", () => {
  const clock = new SlewedClock();
  clock.set(10_000, 0);
  clock.set(0, 0);
  assert.equal(clock.now(1000), 10_500);
  for (let local = 1100; local <= 18_000; local += 100) {
    clock.now(local);
  }
  assert.equal(Math.round(clock.gap(18_000)), 1000);
});

test("local time that goes back is not shown", () => {
  const clock = new SlewedClock();
  clock.set(1000, 50);
  assert.equal(clock.now(60), 1060);
  assert.equal(clock.now(55), 1060);
});
