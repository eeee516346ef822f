// A clock at a glance, for pages that show many of them, or nothing else: the number to show, and how urgent it
// is. It works from a state alone, by the server's time. All functions are pure.

import { clockAt, elapsedAt } from "/synckairos.js";
import { overtimeOf } from "./overtime.js";

/** In a session without warnings a clock is short of time from here on at the latest, and very short from here. */
const LOW_MS = 20_000;
const VERY_LOW_MS = 10_000;

/**
 * @typedef {object} Glance
 * @property {number | null} ms The number to show; null: no time.
 * @property {boolean} countUp Whether the time has passed, and is not left.
 * @property {boolean} running
 * @property {"calm" | "warn" | "urgent" | "over" | "out"} level over: in overtime; out: its time is up.
 */

/** The ids of those who own a clock; [null] where the session or the cycle owns the only one. */
export function ownersOf(state) {
  if (state.sync_mode === "per_group") return (state.groups ?? []).map((each) => each.group_id);
  if (state.sync_mode === "per_participant") return (state.participants ?? []).map((each) => each.participant_id);
  return [null];
}

/** Whose clock is the current one; null where the session or the cycle owns it. */
export const activeOwner = (state) =>
  state.sync_mode === "per_group" ? state.active_group_id
    : state.sync_mode === "per_participant" ? state.active_participant_id : null;

/**
 * @param {object} state A state that was made ready by the client's `adopt`.
 * @param {number} now The server's time.
 * @param {string | null} owner A participant's or a group's id; null for the clock of the session or cycle.
 * @returns {Glance | null} null: no such clock
 */
export function glanceAt(state, now, owner) {
  const clock = clockAt(state, now, owner);
  if (clock === null) return null;
  const { running, expired } = clock;
  const left = clock.remainingMs;
  if (clock.kind === "none") return { ms: elapsedAt(state, now, owner), countUp: true, running, level: "calm" };
  if (state.sync_mode === "count_up") {
    const level = expired ? "out" : left === null ? "calm" : levelOf(state, left);
    return { ms: clock.elapsedMs ?? 0, countUp: true, running, level };
  }
  const overMs = expired && owner === activeOwner(state) ? overtimeOf(state, elapsedAt(state, now)) : null;
  if (overMs !== null) return { ms: Math.min(0, left ?? 0) - overMs, countUp: false, running, level: "over" };
  if (expired) return { ms: Math.min(0, left ?? 0), countUp: false, running, level: "out" };
  if (left === null) return { ms: null, countUp: false, running, level: "calm" };
  if (left < 0) return { ms: left, countUp: false, running, level: "over" };
  let ms = clock.mainMs ?? left;
  if (ms <= 0) {
    // The main time is used up: what counts now is the period or the block.
    if (clock.periodsLeft > 0) ms = clock.periodRemainingMs;
    else if (clock.blockRemainingMs !== null) ms = clock.blockRemainingMs;
  }
  return { ms, countUp: false, running, level: levelOf(state, left) };
}

function levelOf(state, left) {
  const early = (state.warnings_ms ?? []).filter((ms) => ms > 0); // one at zero or below is a bell
  const low = early.length > 0 ? Math.max(...early) : Math.min(LOW_MS, (state.time_per_cycle_ms ?? Infinity) / 2);
  if (left > low) return "calm";
  return left <= Math.min(VERY_LOW_MS, low / 2) ? "urgent" : "warn";
}
