// The splits of a speedrun, and the files in which runners keep them.

import assert from "node:assert/strict";
import { test } from "node:test";

const session = "../../synckairos/web/console/session";
const splits = await import(`${session}/speedrun/splits.js`);
const { readTime, writeTime, writeLss } = await import(`${session}/speedrun/lss.js`);

const NAMES = ["Forest", "Cave", "Tower"];
const none = { undone: new Set(), skipped: new Set() };
const cycles = (...totals) => totals.map((totalMs, place) => ({ number: place + 1, totalMs }));
const of = (totals, marks = none) => splits.segmentsOf(NAMES, cycles(...totals), marks);
const times = ({ segments }) => segments.map((each) => [each.splitMs, each.ms]);

test("each cycle ends a segment", () => {
  assert.deepEqual(times(of([10, 25])), [[10, 10], [25, 15], [null, null]]);
  assert.equal(of([10, 25]).at, 2);
  assert.equal(of([10, 25, 40, 50]).at, 3);
  assert.equal(of([]).at, 0);
});

test("a split that was undone belongs to the segment after it", () => {
  const undone = of([10, 25], { ...none, undone: new Set([1]) });
  assert.deepEqual(times(undone), [[25, 25], [null, null], [null, null]]);
  assert.deepEqual(splits.lastStep(undone), { cycle: 2 });
  assert.equal(splits.lastStep(of([])), null);
});

test("a segment that was skipped has no time, nor has the one after it, but the split has", () => {
  const skipped = of([10, 40], { ...none, skipped: new Set([1]) });
  assert.deepEqual(times(skipped), [[10, 10], [null, null], [40, null]]);
  assert.deepEqual(splits.lastStep(of([10], { ...none, skipped: new Set([1]) })), { skipped: 1 });
  assert.equal(of([], { ...none, skipped: new Set([0, 1]) }).at, 2);
  assert.equal(of([], { ...none, skipped: new Set([0, 1, 2]) }).at, 2, "the last one cannot be skipped");
});

test("deltas are to the personal best, and a best segment is gold", () => {
  const best = { names: NAMES, splits: [12, 30, 50], best: [11, 15, 18], attempts: 3 };
  const run = of([10, 31, 52]);
  const seen = run.segments.map((each, place) => splits.compared(each, place, best));
  assert.deepEqual(seen, [
    { deltaMs: -2, tone: "gold" },
    { deltaMs: 1, tone: "behind" },
    { deltaMs: 2, tone: "behind" },
  ]);
  assert.deepEqual(splits.compared(of([12]).segments[0], 0, best), { deltaMs: 0, tone: "behind" });
  assert.deepEqual(splits.compared(of([11]).segments[0], 0, best), { deltaMs: -1, tone: "ahead" });
  assert.deepEqual(splits.compared(of([11]).segments[0], 0, splits.noBest(NAMES)), { deltaMs: null, tone: "" });
  assert.equal(splits.sumOfBest(best), 44);
  assert.equal(splits.sumOfBest(splits.noBest(NAMES)), null);
  assert.equal(splits.bestPossible(of([10]), best, 12), 10 + 15 + 18);
  assert.equal(splits.bestPossible(of([10]), best, 30), 10 + 20 + 18);
});

test("the running delta is there once the run is behind, or the segment slower than its best", () => {
  const best = { names: NAMES, splits: [12, 30, 50], best: [11, 15, 18], attempts: 0 };
  assert.equal(splits.liveDelta(of([]), 10, best), null);
  assert.equal(splits.liveDelta(of([]), 11.5, best), -0.5);
  assert.equal(splits.liveDelta(of([]), 13, best), 1);
  assert.equal(splits.liveDelta(of([10, 31, 52]), 60, best), null);
});

test("a run that is over is kept when it is the best, and its best segments always", () => {
  const kept = splits.afterRun(splits.noBest(NAMES), of([10, 25, 40]).segments, true);
  assert.equal(kept.isRecord, true);
  assert.deepEqual(kept.best, { names: NAMES, splits: [10, 25, 40], best: [10, 15, 15], attempts: 1 });
  const slower = splits.afterRun(kept.best, of([9, 30, 45]).segments, true);
  assert.equal(slower.isRecord, false);
  assert.deepEqual(slower.best, { names: NAMES, splits: [10, 25, 40], best: [9, 15, 15], attempts: 2 });
  const given = splits.afterRun(kept.best, of([8]).segments, false);
  assert.deepEqual([given.isRecord, given.best.best], [false, [8, 15, 15]]);
  assert.deepEqual(splits.bestFor(["Forest"], kept.best), splits.noBest(["Forest"]));
});

test("what a stranger wrote into the metadata is read safely", () => {
  assert.deepEqual(splits.segmentNames({ metadata: { splits: [" Forest ", 7, "", null, {}] } }), ["Forest"]);
  assert.deepEqual(splits.segmentNames({ metadata: { splits: "Forest" } }), []);
  assert.deepEqual(splits.segmentNames({ metadata: null }), []);
  assert.equal(splits.segmentNames({ metadata: { splits: Array(500).fill("x") } }).length, splits.MAX_SEGMENTS);
  const marks = splits.marksOf({ metadata: { run: { undone: [1, -1, "2", 1.5], skipped: {} } } });
  assert.deepEqual([[...marks.undone], [...marks.skipped]], [[1], []]);
});

test("marks belong to the run that they were made in, and not to the one after a reset", () => {
  const run = { undone: [1], skipped: [0], started: "2030-01-01T00:00:00.000Z" };
  const marks = (started) => splits.marksOf({ session_started_at: started, metadata: { run } });
  assert.deepEqual([[...marks(run.started).undone], [...marks(run.started).skipped]], [[1], [0]]);
  for (const other of [null, "2030-01-01T00:01:00.000Z"]) assert.deepEqual(marks(other), none);
});

test("a session that was reset begins another run, and one that was reopened goes on with its own", () => {
  const session = (started) => ({ session_id: "x", session_started_at: started });
  assert.equal(splits.runOf(session(null)), null);
  assert.notEqual(splits.runOf(session("a")), splits.runOf(session("b")));
  const before = splits.noBest(NAMES);
  const kept = { ...before, splits: [1, 2, 3], last: splits.runOf(session("a")), before };
  assert.equal(splits.bestBefore(kept, splits.runOf(session("a"))), before);
  for (const run of [splits.runOf(session("b")), null]) assert.equal(splits.bestBefore(kept, run), kept);
  assert.equal(splits.bestBefore({ ...kept, before: null }, kept.last).splits, kept.splits);
});

test("times are read and written as LiveSplit does", () => {
  assert.equal(readTime("00:01:02.3450000"), 62_345);
  assert.equal(readTime("1.02:00:00"), 26 * 3_600_000);
  assert.equal(readTime("12:00:00.5"), 43_200_500);
  for (const wrong of ["", "1:2", "00:61:00", "x", "-00:00:01", null]) assert.equal(readTime(wrong), null);
  for (const ms of [0, 1, 999, 62_345, 3_600_000, 26 * 3_600_000 + 7]) assert.equal(readTime(writeTime(ms)), ms);
});

test("a file has the names as text and the times that there are", () => {
  const best = { names: ["A & <b>", "End\u0000"], splits: [1500, null], best: [null, 2000], attempts: 7 };
  const file = writeLss({ game: 'The "Game"', category: "Any%", best });
  assert.match(file, /<GameName>The &quot;Game&quot;<\/GameName>/);
  assert.match(file, /<Name>A &amp; &lt;b&gt;<\/Name>/);
  assert.match(file, /<Name>End<\/Name>/);
  assert.match(file, /<SplitTime name="Personal Best"><RealTime>00:00:01\.5000000<\/RealTime><\/SplitTime>/);
  assert.match(file, /<AttemptCount>7<\/AttemptCount>/);
});
