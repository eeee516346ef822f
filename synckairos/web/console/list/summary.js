// What a card of the list shows of a session at a moment. A listed state is without its participants, and what
// it says of the running clock is enough: what is left of everything, as of the server's time then.

import { readControl } from "./controls.js";
import { nameGiven } from "../shared/names.js";
import { ago, formatDuration } from "../shared/time.js";

const LIVE = new Set(["running", "paused"]);
/** Without warnings of its own a clock is short of time here, and very short there. */
const LOW_MS = 20_000;
const VERY_LOW_MS = 10_000;

/**
 * How long the current cycle has run.
 *
 * @param {object} state
 * @param {number} now The server's time.
 */
function elapsed(state, now) {
  if (state.status === "running" && state.cycle_started_at)
    return Math.max(0, now - Date.parse(state.cycle_started_at));
  return state.cycle_elapsed_ms ?? 0;
}

/**
 * What is left of the running clock, or null where it has no end.
 *
 * @param {object} state
 * @param {number} now The server's time.
 */
export function remaining(state, now) {
  const { time_remaining_ms: then, deadline_ms: deadline, server_time_ms: asOf } = state;
  if (then === null || deadline === null || state.status !== "running") return then;
  // Past the deadline it stands where it was then, until the next answer says what came of it.
  return then - (Math.min(Math.max(now, asOf), Math.max(deadline, asOf)) - asOf);
}

/** The name of who is active: given, or "" where a listed state does not tell. */
function active(state) {
  const member = nameGiven(state, state.active_participant_id) ?? "";
  const team = nameGiven(state, state.active_group_id) ?? "";
  return [team, member].filter(Boolean).join(": ");
}

/**
 * The time that a clock begins with, or (a listed state without a text for its time control does not tell who
 * has how much) of all of them together.
 *
 * @returns {{ms: number | null, unit: string}}
 */
function atFirst(state) {
  if (state.sync_mode === "count_up") return { ms: 0, unit: "" };
  if (state.time_per_cycle_ms !== null)
    return { ms: Math.min(state.time_per_cycle_ms, state.total_time_ms ?? Infinity), unit: "" };
  if (state.sync_mode === "global") return { ms: state.total_time_ms, unit: "" };
  const text = state.time_control?.notation;
  const read = text ? readControl(text) : null;
  if (read) return { ms: read.bank_ms ?? 0, unit: "" };
  const banks = new Set(
    (state.groups?.length ? state.groups : (state.participants ?? [])).map((each) => each.total_time_ms),
  );
  const [only] = banks;
  return banks.size === 1 && only !== null
    ? { ms: only, unit: "each" }
    : { ms: state.total_time_ms, unit: "in all" };
}

/** Whose turn it is, or which one; a single participant takes no turns. */
function lineOf(state, who) {
  const alone = Object.keys(state.metadata?.names ?? {}).length === 1 || state.participants?.length === 1;
  const number = state.cycle_count + 1;
  if (state.sync_mode === "count_up") return alone || !who ? `Lap ${number}` : `${who}, lap ${number}`;
  if (!alone && who) return `${who}’s turn`;
  return alone && state.sync_mode === "global" && state.time_per_cycle_ms === null
    ? "Time left"
    : `Turn ${number}`;
}

/**
 * @typedef {object} Summary
 * @property {number | null} ms What the digits show; null: nothing.
 * @property {boolean} countUp It is time that has passed.
 * @property {"calm" | "warn" | "urgent" | "idle" | "over"} level
 * @property {string} unit What stands next to the digits; may be "".
 * @property {string} line Below the digits.
 *
 * @param {object} state
 * @param {number} now The server's time.
 * @returns {Summary}
 */
export function summaryOf(state, now) {
  const who = active(state);
  if (LIVE.has(state.status)) {
    const left = remaining(state, now);
    const countUp = state.sync_mode === "count_up" || left === null;
    const line = lineOf(state, who);
    const pause =
      state.status === "paused" && state.resumes_at_ms ? Math.max(0, state.resumes_at_ms - now) : null;
    const until = pause === null ? "" : ` · goes on in ${formatDuration(Math.ceil(pause / 1000) * 1000)}`;
    const low =
      state.warnings_ms.length > 0
        ? Math.max(...state.warnings_ms)
        : Math.min(LOW_MS, (state.time_per_cycle_ms ?? Infinity) / 2);
    const level = countUp || left > low ? "calm" : left <= Math.min(VERY_LOW_MS, low / 2) ? "urgent" : "warn";
    return {
      ms: countUp ? elapsed(state, now) + (state.sync_mode === "count_up" ? state.time_used_ms : 0) : left,
      countUp,
      level: state.status === "paused" ? "idle" : level,
      unit: "",
      line: line + until,
    };
  }
  if (state.status === "pending") {
    return {
      ...atFirst(state),
      countUp: false,
      level: "idle",
      line: who ? `${who} begins` : `Created ${ago(Date.parse(state.created_at), now)}`,
    };
  }
  const ended = state.session_completed_at
    ? `Ended ${ago(Date.parse(state.session_completed_at), now)}`
    : "Ended";
  return { ms: state.time_used_ms, countUp: true, level: "over", unit: "used", line: ended };
}
