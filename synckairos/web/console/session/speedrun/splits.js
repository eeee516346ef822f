// The splits of a speedrun, without anything of the page. The session counts up, and each of its cycles ends a
// segment. Two things are only said in the session's metadata, because they change no clock: a split that was
// pressed too early (`run.undone`, numbers of cycles that ended nothing) and one that was forgotten
// (`run.skipped`, places of segments that have no time of their own).

import { MAX_NAME, MAX_SEGMENTS, segmentNames } from "./segments.js";

export { MAX_SEGMENTS, segmentNames };

/** Names of segments from a text, one a line. */
export const namesFromText = (text) =>
  text
    .split("\n")
    .map((each) => each.trim().slice(0, MAX_NAME))
    .filter(Boolean);

const wholeNumbers = (value) =>
  new Set(Array.isArray(value) ? value.filter((each) => Number.isInteger(each) && each >= 0).slice(0, 1000) : []);

/**
 * What the metadata says of a run: `undone` numbers of cycles, `skipped` places of segments. They belong to the
 * run that began at `started`; a reset leaves them in the metadata, where they say nothing of the next run.
 */
export function marksOf(state) {
  const { undone, skipped, started } = state.metadata?.run ?? {};
  if (started !== undefined && started !== state.session_started_at) return { undone: new Set(), skipped: new Set() };
  return { undone: wholeNumbers(undone), skipped: wholeNumbers(skipped) };
}

/**
 * One segment of a run.
 *
 * @typedef {object} Segment
 * @property {string} name
 * @property {number | null} splitMs The time of the run at its end; null: it has not ended, or was skipped.
 * @property {number | null} ms How long it took; null where it, or the one before it, has no time.
 * @property {boolean} skipped
 * @property {number | null} cycle The number of the cycle that ended it.
 */

/**
 * The segments of a run as far as it has come, and the place of the one that runs (`names.length`: none).
 *
 * @param {string[]} names
 * @param {{number: number, totalMs: number}[]} cycles Those that are over, in order.
 * @param {{undone: Set<number>, skipped: Set<number>}} marks
 * @returns {{segments: Segment[], at: number}}
 */
export function segmentsOf(names, cycles, { undone, skipped }) {
  const segments = names.map((name, place) => ({
    name,
    splitMs: null,
    ms: null,
    skipped: skipped.has(place) && place < names.length - 1,
    cycle: null,
  }));
  let at = 0;
  let before = 0;
  const pass = () => {
    while (segments[at]?.skipped) {
      before = null;
      at += 1;
    }
  };
  pass();
  for (const { number, totalMs } of cycles) {
    if (at >= segments.length) break;
    if (undone.has(number)) continue;
    const segment = segments[at];
    segment.splitMs = totalMs;
    segment.cycle = number;
    segment.ms = before === null ? null : totalMs - before;
    before = totalMs;
    at += 1;
    pass();
  }
  return { segments, at };
}

/**
 * What is undone next: a skipped segment right before the running one, or else the last split.
 *
 * @returns {{skipped: number} | {cycle: number} | null}
 */
export function lastStep({ segments, at }) {
  const segment = segments[at - 1];
  if (!segment) return null;
  return segment.skipped ? { skipped: at - 1 } : { cycle: segment.cycle };
}

/**
 * A run as the device keeps it: the times at the splits of the personal best, and the best time of each
 * segment, both in ms and null where there is none.
 *
 * @typedef {object} Best
 * @property {string[]} names
 * @property {(number | null)[]} splits
 * @property {(number | null)[]} best
 * @property {number} attempts
 */

/** @returns {Best} */
export const noBest = (names) => ({ names, splits: names.map(() => null), best: names.map(() => null), attempts: 0 });

/** What was kept, for these names. Of other names nothing can be compared. */
export function bestFor(names, kept) {
  if (!kept || kept.names.length !== names.length) return noBest(names);
  return { ...kept, names };
}

/** What a run is known by: a session that was reset begins another one. Null before the start. */
export const runOf = (state) => (state.session_started_at ? `${state.session_id} ${state.session_started_at}` : null);

/**
 * The personal best as it was before this run. A run that is over may have been kept and then reopened: its
 * first end counts no more.
 */
export const bestBefore = (kept, run) => (run !== null && kept.last === run && kept.before ? kept.before : kept);

/**
 * How a segment compares.
 *
 * @param {Segment} segment
 * @param {number} place
 * @param {Best} best
 * @returns {{deltaMs: number | null, tone: "gold" | "ahead" | "behind" | ""}} deltaMs: the split less that of
 *   the personal best.
 */
export function compared(segment, place, best) {
  const { splitMs, ms } = segment;
  const pb = best.splits[place];
  const deltaMs = splitMs === null || pb === null ? null : splitMs - pb;
  const record = best.best[place];
  if (ms !== null && record !== null && ms < record) return { deltaMs, tone: "gold" };
  if (deltaMs === null) return { deltaMs, tone: "" };
  return { deltaMs, tone: deltaMs < 0 ? "ahead" : "behind" };
}

/**
 * How the running segment compares now: how far the run is behind the personal best, once it is behind, or
 * once the segment takes longer than its best.
 *
 * @returns {number | null}
 */
export function liveDelta({ segments, at }, runMs, best) {
  const pb = best.splits[at];
  if (pb === undefined || pb === null) return null;
  const delta = runMs - pb;
  const start = at === 0 ? 0 : (segments[at - 1].splitMs ?? null);
  const record = best.best[at];
  const isSlow = start !== null && record !== null && runMs - start > record;
  return delta > 0 || isSlow ? delta : null;
}

/** The sum of the best segments in ms; null where one has none. */
export const sumOfBest = (best) =>
  best.best.includes(null) || best.best.length === 0 ? null : best.best.reduce((sum, each) => sum + each, 0);

/** The time that the run can still have: that of its last split and the best of all segments to come. */
export function bestPossible({ segments, at }, best, runMs) {
  const rest = best.best.slice(at);
  if (rest.length === 0 || rest.includes(null)) return null;
  const start = at === 0 ? 0 : segments[at - 1].splitMs;
  if (start === null) return null;
  const [now, ...later] = rest;
  return later.reduce((sum, each) => sum + each, start + Math.max(now, runMs - start));
}

/**
 * What the device keeps after a run.
 *
 * @param {Best} best
 * @param {Segment[]} segments
 * @param {boolean} finished Whether the last segment has ended.
 * @returns {{best: Best, isRecord: boolean}} isRecord: whether it is a new personal best.
 */
export function afterRun(best, segments, finished) {
  const total = segments.at(-1)?.splitMs ?? null;
  const record = best.splits.at(-1) ?? null;
  const isRecord = finished && total !== null && (record === null || total < record);
  return {
    isRecord,
    best: {
      names: best.names,
      splits: isRecord ? segments.map((each) => each.splitMs) : best.splits,
      best: best.best.map((known, place) => {
        const { ms } = segments[place];
        return ms !== null && (known === null || ms < known) ? ms : known;
      }),
      attempts: best.attempts + 1,
    },
  };
}
