// What can be done in a state, as far as the page has to know it without asking the service.

import { VIEWS } from "../shared/names.js";
import { segmentNames } from "./splits.js";

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

/** The views of one use: which sessions can be shown in each. All other views are for every session. */
const SUITS = {
  speedrun: (state) => state.sync_mode === "count_up",
};

/** Whether a session can be shown in a view. */
export const suits = (view, state) => !Object.hasOwn(SUITS, view) || SUITS[view](state);

/**
 * The view to open a session with: the one in its metadata, else the one that suits its mode and the number
 * of owners.
 *
 * @param {object} state
 * @returns {"clock" | "countdown" | "board" | "stopwatch"}
 */
export function viewOf(state) {
  const wanted = state.metadata?.view;
  if (typeof wanted === "string" && Object.hasOwn(VIEWS, wanted) && suits(wanted, state)) return wanted;
  if (state.sync_mode === "count_up" && segmentNames(state).length > 0) return "speedrun";
  if (state.sync_mode === "count_up") return "stopwatch";
  if (state.sync_mode === "per_participant" && state.participants?.length === 2) return "clock";
  if (state.sync_mode === "per_group" && state.groups?.length === 2) return "clock";
  if (state.sync_mode === "per_cycle" || state.sync_mode === "global") return "countdown";
  return "board";
}
