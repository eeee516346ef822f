// What can be done in a state, as far as the page has to know it without asking the service.

import { VIEWS } from "../shared/names.js";
import { segmentNames } from "./speedrun/segments.js";

/** Statuses in which a session can still be changed. */
const LIVE = new Set(["pending", "running", "paused"]);

/** Whether a session is over: expired, completed or cancelled. */
export const isOver = (state) => !LIVE.has(state.status);

/** Whether `Next` does something: another participant's turn, or a new cycle of the same participant. */
export function hasNext(state) {
  return (
    state.participants.length > 1 ||
    state.sync_mode === "count_up" ||
    state.sync_mode === "per_cycle" ||
    state.time_per_cycle_ms !== null
  );
}

/** Whether participants or teams own the clocks, and not the session or the cycle. */
export const ownClocks = (state) => state.sync_mode === "per_participant" || state.sync_mode === "per_group";

/** Whether the last turns can be taken back, as far as the page knows. */
export const canTakeBack = (state) =>
  (state.status === "running" || state.status === "paused") && state.cycle_count > 0;

/** Whether it can be said whose turn it is, and there is a choice. */
export const canSetTurn = (state) =>
  (state.status === "pending" || state.status === "paused") && state.participants.length > 1;

/** Whether there is a total of all cycles, beside the clock of each, whose time can be changed. */
export const canAdjustTotal = (state) =>
  !isOver(state) && (state.total_remaining_ms ?? null) !== null;

/** Whether there is anything whose time can be changed. */
export const canAdjust = (state) => canAdjustClock(state) || canAdjustTotal(state);

/** Whether there is a clock whose time can be changed, totals left out. */
export function canAdjustClock(state) {
  if (isOver(state)) return false;
  if (state.sync_mode === "count_up") return state.max_time_ms !== null;
  if (state.sync_mode === "per_cycle" || state.time_per_cycle_ms !== null) return state.status !== "pending";
  if (!ownClocks(state)) return true;
  return [...state.participants, ...state.groups].some((each) => each.total_time_ms !== null);
}

/**
 * The views that make something of a session. An exam's wall needs one clock for all, an agenda
 * its items, and a speedrun a clock that counts up.
 *
 * @param {object} state
 * @returns {string[]}
 */
export function viewsFor(state) {
  const isMap = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
  const { metadata } = state;
  const isExam = state.sync_mode === "global" && state.time_per_cycle_ms === null;
  const wanted = {
    exam: isExam && (isMap(metadata?.exam) || metadata?.view === "exam"),
    speedrun: state.sync_mode === "count_up",
    agenda: state.sync_mode === "per_participant" && (isMap(metadata?.agenda) || metadata?.view === "agenda"),
  };
  return Object.keys(VIEWS).filter((name) => wanted[name] ?? true);
}

/**
 * The view to open a session with: the one in its metadata, else the one that suits its mode and the number
 * of owners.
 *
 * @param {object} state
 * @returns {"clock" | "countdown" | "board" | "stopwatch" | "exam" | "agenda"}
 */
export function viewOf(state) {
  const wanted = state.metadata?.view;
  const offered = viewsFor(state);
  if (typeof wanted === "string" && offered.includes(wanted)) return wanted;
  for (const own of ["exam", "agenda"]) if (offered.includes(own)) return own;
  if (state.sync_mode === "count_up" && segmentNames(state).length > 0) return "speedrun";
  if (state.sync_mode === "count_up") return "stopwatch";
  if (state.sync_mode === "per_participant" && state.participants?.length === 2) return "clock";
  if (state.sync_mode === "per_group" && state.groups?.length === 2) return "clock";
  if (state.sync_mode === "per_cycle" || state.sync_mode === "global") return "countdown";
  return "board";
}
