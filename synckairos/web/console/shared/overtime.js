// How long a clock has stood at its end while its turn goes on, under `notify`. All functions are pure.

/** Whether turns go on in a state when their clock is at its end. */
export const goesOnAtEnd = (state) =>
  (state.status === "running" || state.status === "paused") &&
  state.action_on_timeout?.type === "notify" &&
  state.sync_mode !== "count_up";

/**
 * How long (ms) the running cycle had run when its clock came to its end, under `notify`, as far as a state tells.
 * The session's events know it in all cases.
 *
 * @param {object} state Without participants it is one of the service's list.
 * @returns {number | null}
 */
export function ranAtEnd(state) {
  const byGroup = state.sync_mode === "per_group";
  const entries = byGroup ? state.groups : state.participants;
  const active = byGroup ? state.active_group_id : state.active_participant_id;
  const entry = entries ? entries.find((each) => (byGroup ? each.group_id : each.participant_id) === active) : state;
  // The end charges the owner's clock, and the turn is counted only when it is over.
  if (entry?.cycle_count === 0) return entry.time_used_ms;
  const isOwned = byGroup || state.sync_mode === "per_participant";
  return isOwned ? null : state.time_per_cycle_ms;
}

/**
 * The overtime (ms) of the current clock, which is at its end; null: there is none, or the state does not tell.
 *
 * @param {object} state
 * @param {number | null} ranMs How long the running cycle has run.
 */
export function overtimeOf(state, ranMs) {
  const since = goesOnAtEnd(state) ? ranAtEnd(state) : null;
  return since === null ? null : Math.max(0, (ranMs ?? since) - since);
}
