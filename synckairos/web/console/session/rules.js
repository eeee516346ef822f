// What a state allows, as far as the page has to know it before it asks the service.

/** Statuses in which a session can still be changed. */
const LIVE = new Set(["pending", "running", "paused"]);

/** Whether a session is over: expired, completed or cancelled. */
export const isOver = (state) => !LIVE.has(state.status);

/** Whether `Next` has a meaning: somebody else, or a new cycle of the same one. */
export function hasNext(state) {
  return (
    state.participants.length > 1 ||
    state.sync_mode === "count_up" ||
    state.sync_mode === "per_cycle" ||
    state.time_per_cycle_ms !== null
  );
}

/** Whether clocks belong to participants or teams, and not to the session or the cycle. */
export const ownClocks = (state) => state.sync_mode === "per_participant" || state.sync_mode === "per_group";

/** Whether there is a clock to give time to, or to take it from. */
export function canAdjust(state) {
  if (isOver(state)) return false;
  if (state.sync_mode === "count_up") return state.max_time_ms !== null;
  if (state.sync_mode === "per_cycle" || state.time_per_cycle_ms !== null) return state.status !== "pending";
  if (!ownClocks(state)) return true;
  return [...state.participants, ...state.groups].some((each) => each.total_time_ms !== null);
}
