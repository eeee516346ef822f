// An exam for which some have extra time. The session's clock is that of the longest row, so that it runs until
// the last one has finished; the other rows end earlier by a fixed time. Pauses and time that is given to
// everybody move all rows together, because there is one clock. Pure arithmetic.

import { number, t } from "./i18n.js";
import { displayText } from "./names.js";

/** So many rows and announcements are shown at most: the metadata of a session is a stranger's text. */
const MAX_EXTRAS = 6;
const MAX_PERCENT = 400;
export const MAX_ANNOUNCEMENTS = 10;
/** So long before its end a row is marked, and marked as urgent. */
const WARN_MS = 600_000;
const URGENT_MS = 300_000;

/**
 * @typedef {object} Row
 * @property {number} percent Extra time; 0: the normal row.
 * @property {string | null} name Given in the metadata, as for a room.
 * @property {number} lengthMs
 * @property {number} earlierMs By how much it ends before the session's clock.
 */

/** The extra times of an exam's metadata, each once, from the least on. */
function extrasOf(exam) {
  const given = Array.isArray(exam?.extra) ? exam.extra : [];
  const found = new Map();
  for (const each of given) {
    const percent = typeof each === "object" && each !== null ? each.percent : each;
    if (typeof percent !== "number" || !(percent > 0 && percent <= MAX_PERCENT)) continue;
    if (found.size < MAX_EXTRAS) found.set(percent, { percent, name: displayText(each?.name) });
  }
  return [...found.values()].sort((one, other) => one.percent - other.percent);
}

/**
 * The rows of an exam: the normal one, and one for each extra time.
 *
 * @param {object} metadata Of the session; `exam: {base_ms, extra: [25, {percent: 50, name}]}`.
 * @param {number | null} totalMs The session's time in all, from which the normal time follows where `base_ms` is
 *   not given.
 * @returns {Row[]}
 */
export function rowsOf(metadata, totalMs) {
  const exam = metadata?.exam;
  const extras = extrasOf(exam);
  const most = extras.at(-1)?.percent ?? 0;
  const isGiven = Number.isFinite(exam?.base_ms) && exam.base_ms > 0;
  const base = isGiven ? exam.base_ms : (totalMs ?? 0) / (1 + most / 100);
  const lengthOf = (percent) => Math.round(base * (1 + percent / 100));
  const longest = lengthOf(most);
  return [{ percent: 0, name: displayText(exam?.name) }, ...extras].map((each) => ({
    ...each,
    lengthMs: lengthOf(each.percent),
    earlierMs: longest - lengthOf(each.percent),
  }));
}

/** What a row is called: its name in the metadata, or its extra time. */
export function rowName({ percent, name }) {
  if (name) return name;
  if (percent === 0) return t("exam.normal");
  return t("exam.extra", { percent: number(percent / 100, { style: "percent", maximumFractionDigits: 1 }) });
}

/**
 * What a row shows.
 *
 * @typedef {object} RowNow
 * @property {number | null} leftMs What is left of it; 0 when it is over.
 * @property {number | null} finishMs When it finishes by the server's clock; null: not known.
 * @property {boolean} isOver
 * @property {"calm" | "warn" | "urgent" | "out"} level
 */

/**
 * What a row of a live exam shows now.
 *
 * @param {Row} row
 * @param {{status: string, now: number | null, leftMs: number | null, deadlineMs: number | null,
 *   startsAtMs: number | null, endsAtMs: number | null}} exam leftMs: what is left on the session's clock.
 * @returns {RowNow}
 */
export function rowAt(row, { status, now, leftMs, deadlineMs, startsAtMs, endsAtMs }) {
  if (leftMs === null) return { leftMs: null, finishMs: null, isOver: false, level: "calm" };
  let left = leftMs - row.earlierMs;
  let finish = null;
  if (status === "running") finish = (deadlineMs ?? (now === null ? null : now + leftMs)) - row.earlierMs;
  else if (status === "pending") finish = startsAtMs === null ? null : startsAtMs + left;
  else if (status === "paused" && left > 0 && now !== null) finish = now + left;
  if (endsAtMs !== null && finish !== null && endsAtMs < finish) {
    // The session ends by itself before.
    finish = endsAtMs;
    if (status === "running" && now !== null) left = Math.min(left, endsAtMs - now);
  }
  const isOver = status !== "pending" && left <= 0;
  const level = isOver ? "out" : left <= URGENT_MS ? "urgent" : left <= WARN_MS ? "warn" : "calm";
  const isShort = row.lengthMs <= 2 * WARN_MS;
  const shown = status === "pending" || (isShort && level === "warn") ? "calm" : level;
  return { leftMs: Math.max(0, left), finishMs: finish, isOver, level: shown };
}

/**
 * The announcements of a session's metadata, newest first.
 *
 * @param {object} metadata
 * @returns {{atMs: number, text: string}[]}
 */
export function announcementsOf(metadata) {
  const given = Array.isArray(metadata?.announcements) ? metadata.announcements : [];
  return given
    .map((each) => ({ atMs: each?.at_ms, text: displayText(each?.text) }))
    .filter(({ atMs, text }) => Number.isFinite(atMs) && Math.abs(atMs) < 8.64e15 && text !== null)
    .sort((one, other) => other.atMs - one.atMs)
    .slice(0, MAX_ANNOUNCEMENTS);
}

/**
 * The members of a config for an exam with extra time.
 *
 * @param {number} baseMs The normal time.
 * @param {number[]} extra In percent, from the least on.
 * @param {number[]} warningsMs Warnings before the end of the normal time.
 * @returns {{total_time_ms: number, warnings_ms: number[], exam: object}} With a warning at the end of each row
 *   but the last, which is the session's; at most the eight that a session may have.
 */
export function examConfig(baseMs, extra, warningsMs) {
  const rows = rowsOf({ exam: { base_ms: baseMs, extra } }, null);
  const total = rows.at(-1).lengthMs;
  const [normal] = rows;
  const ends = rows.slice(0, -1).map((row) => row.earlierMs);
  const before = warningsMs.filter((ms) => ms < baseMs).map((ms) => ms + normal.earlierMs);
  const last = rows.length > 1 ? warningsMs.filter((ms) => ms < total) : [];
  const all = [...new Set([...ends, ...before, ...last])].slice(0, 8).sort((one, other) => other - one);
  return { total_time_ms: total, warnings_ms: all, exam: { base_ms: baseMs, extra } };
}

const MINUTE_MS = 60_000;
/** A full minute that is nearer might be over before the service hears of it. */
const NEAREST_MS = 5000;

/** The full minute at which an exam can begin next, so that it ends at one, too. */
export const nextMinute = (now) => Math.ceil((now + NEAREST_MS) / MINUTE_MS) * MINUTE_MS;
