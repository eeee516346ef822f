// Where a device keeps its personal bests: one for each title of a run. They are the runner's own, so they
// are not in the session, which everybody sees.

import { bestFor, noBest } from "./splits.js";

const STORED = "synckairos.run.";

const keyOf = (title) => STORED + title.trim().toLowerCase();
const isTime = (value) => value === null || (Number.isFinite(value) && value >= 0);

/** Whether what was stored is a run; another release, or a person, may have written something else. */
function isBest(value) {
  const lists = [value?.names, value?.splits, value?.best];
  return (
    lists.every(Array.isArray) &&
    lists.every((each) => each.length === value.names.length) &&
    value.names.every((each) => typeof each === "string") &&
    [...value.splits, ...value.best].every(isTime)
  );
}

const withCount = (best) => ({ ...best, attempts: Number.isInteger(best.attempts) ? best.attempts : 0 });

/**
 * The personal best of a run with this title, for these names of segments.
 *
 * @param {string} title
 * @param {string[]} names
 * @returns {import("./splits.js").Best & {game: string, category: string, last: string | null, ended: string | null,
 *   before: import("./splits.js").Best | null}} last: the newest run that is in it; ended: when that one ended;
 *   before: what was kept before it
 */
export function readBest(title, names) {
  let kept = null;
  try {
    kept = JSON.parse(localStorage.getItem(keyOf(title)));
  } catch {
    // The browser may forbid storage.
  }
  if (!isBest(kept)) return { ...noBest(names), game: "", category: "", last: null, ended: null, before: null };
  return {
    ...withCount(bestFor(names, kept)),
    game: typeof kept.game === "string" ? kept.game : "",
    category: typeof kept.category === "string" ? kept.category : "",
    last: typeof kept.last === "string" ? kept.last : null,
    ended: typeof kept.ended === "string" ? kept.ended : null,
    before: isBest(kept.before) ? withCount(bestFor(names, kept.before)) : null,
  };
}

/** Keeps it. Returns whether the browser could. */
export function writeBest(title, best) {
  try {
    localStorage.setItem(keyOf(title), JSON.stringify(best));
    return true;
  } catch {
    return false;
  }
}
