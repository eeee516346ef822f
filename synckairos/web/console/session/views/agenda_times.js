// The times of an agenda: when each item should begin, when it began or is going to, and what runs late by how
// much. Each item is a participant with a clock of its own that goes on into overtime. Pure arithmetic.

/** Less than this is on time. */
export const ON_TIME_MS = 30_000;

/**
 * An item of an agenda.
 *
 * @typedef {object} Item
 * @property {string} id The participant's.
 * @property {number} plannedMs Its length as planned.
 * @property {number} leftMs What is left of it; below zero in overtime.
 */

/**
 * The lengths as planned. Later gifts of time change a clock, and not the plan.
 *
 * @param {object} state
 * @returns {{id: string, plannedMs: number}[]} In the order of the agenda.
 */
export function planOf(state) {
  const plan = state.metadata?.agenda?.plan_ms;
  const given = plan !== null && typeof plan === "object" && !Array.isArray(plan) ? plan : {};
  return state.participants.map((each) => {
    const id = each.participant_id;
    const length = Object.hasOwn(given, id) ? given[id] : null;
    const isLength = Number.isFinite(length) && length >= 0;
    return { id, plannedMs: isLength ? length : Math.max(0, (each.total_time_ms ?? 0) + each.time_used_ms) };
  });
}

/**
 * When the agenda should have begun; null: not known.
 *
 * @param {object} state
 * @param {number | null} scheduledMs The start that was set, as far as the history tells.
 */
export function plannedStart(state, scheduledMs) {
  if (state.status === "pending" && (state.starts_at_ms ?? null) !== null) return state.starts_at_ms;
  const given = state.metadata?.agenda?.starts_at_ms;
  const started = state.session_started_at ? Date.parse(state.session_started_at) : null;
  if (scheduledMs !== null) return scheduledMs;
  return Number.isFinite(given) && given > 0 ? given : started;
}

/**
 * @typedef {object} ItemTimes
 * @property {string} id
 * @property {number | null} plannedAt When it should begin.
 * @property {number | null} at When it began, or is expected to begin.
 * @property {"done" | "now" | "ahead"} place What lies behind, is on, or comes.
 * @property {boolean} isActual Whether `at` is when it began.
 * @property {number | null} lateMs By how much `at` is after the plan; below zero: before it.
 */

/**
 * The times of an agenda at a moment. What comes after the item that is on is expected in the order of the plan,
 * each with what is left of it: also an item that was on before, when somebody has gone back.
 *
 * @param {Item[]} items
 * @param {{now: number | null, startMs: number | null, activeId: string | null, status: string,
 *   begun: Map<string, number>, endedMs: number | null}} at startMs: the planned start; begun: when items began.
 * @returns {{items: ItemTimes[], plannedEnd: number | null, expectedEnd: number | null, lateMs: number | null,
 *   endLateMs: number | null}} lateMs: how late the agenda is now; endLateMs: how late it is expected to end
 */
export function timesOf(items, { now, startMs, activeId, status, begun, endedMs }) {
  const over = endedMs !== null;
  const isPending = status === "pending";
  const active = over || isPending ? -1 : items.findIndex(({ id }) => id === activeId);
  let planned = startMs;
  let expected = null;
  if (isPending && startMs !== null) expected = now === null ? startMs : Math.max(startMs, now);
  let lateMs = isPending && startMs !== null && now !== null ? Math.max(0, now - startMs) : null;
  const first = isPending ? Math.max(0, items.findIndex(({ id }) => id === activeId)) : 0;
  const times = items.map((item, at) => {
    const plannedAt = planned;
    if (planned !== null) planned += item.plannedMs;
    const began = begun.get(item.id) ?? null;
    let place = "ahead";
    if (over) place = "done";
    else if (at === active) place = "now";
    else if (at < active || (isPending && at < first)) place = "done";
    let when = null;
    let isActual = false;
    if (place === "done" || place === "now") {
      when = began;
      isActual = began !== null;
    } else if (expected !== null) when = expected;
    if (place === "now" && now !== null) {
      const left = Math.max(0, item.leftMs);
      expected = now + left;
      lateMs = planned === null ? null : expected - planned;
    } else if (place === "ahead" && expected !== null) expected += Math.max(0, item.leftMs);
    const late = when !== null && plannedAt !== null ? when - plannedAt : null;
    return { id: item.id, plannedAt, at: when, place, isActual, lateMs: late };
  });
  const expectedEnd = over ? endedMs : expected;
  const endLateMs = expectedEnd !== null && planned !== null ? expectedEnd - planned : null;
  return { items: times, plannedEnd: planned, expectedEnd, lateMs: over ? null : lateMs, endLateMs };
}
