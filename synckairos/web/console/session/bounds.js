// What bounds a session beside its clocks, in words: its start and end, its pauses and its turns.

import { momentText } from "../shared/moments.js";
import { formatClock } from "../shared/time.js";
import { isOver } from "./rules.js";

const digits = (ms) => formatClock(Math.max(0, ms), { tenths: false });
const left = (count, word) => (count === 0 ? `no ${word}s left` : `${count} ${word}${count === 1 ? "" : "s"} left`);

/**
 * The words for a session that waits for its start, with the time until it starts by itself.
 *
 * @param {object} state A pending state.
 * @param {number | null} now The server's time; null: not known yet.
 */
export function waitingText(state, now) {
  const start = state.starts_at_ms ?? null;
  if (start === null) return "Not started";
  return now === null ? `Starts at ${momentText(start)}` : `Starts in ${digits(start - now)}`;
}

/**
 * What bounds a session beside its clocks, in the order in which it matters: its start and end, its turns, and
 * its pauses. Empty in sessions that have no such bounds.
 *
 * @param {object} state
 * @param {number | null} now The server's time; null: not known yet.
 * @param {number | null} pauseMs What is left of the time for pauses now; null: no such bound.
 * @returns {string[]}
 */
export function boundsOf(state, now, pauseMs) {
  if (isOver(state)) return [];
  const words = [];
  const { starts_at_ms: start, ends_at_ms: end } = state;
  if (state.status === "pending" && (start ?? null) !== null) words.push(`starts at ${momentText(start, now ?? undefined)}`);
  if ((end ?? null) !== null) {
    const at = `ends at ${momentText(end, now ?? undefined)}`;
    words.push(now === null || state.status === "pending" ? at : `${at}, in ${digits(end - now)}`);
  }
  if ((state.max_cycles ?? null) !== null) {
    const turn = Math.min(state.cycle_count + (state.status === "pending" ? 0 : 1), state.max_cycles);
    words.push(turn === 0 ? `${state.max_cycles} turns` : `turn ${turn} of ${state.max_cycles}`);
  }
  if ((state.pauses_left ?? null) !== null) words.push(left(state.pauses_left, "pause"));
  if (pauseMs !== null) words.push(`${digits(pauseMs)} of pauses left`);
  return words;
}
