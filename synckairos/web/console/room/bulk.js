// One action on many sessions, a few at a time, with an account of what became of each.

import { errorText } from "../shared/ui.js";
import { STATUSES } from "../shared/names.js";
import { t } from "../shared/i18n.js";

/** So many calls are under way at once. */
const AT_ONCE = 6;

/**
 * Does something for each item, some at a time and in their order.
 *
 * @template T
 * @param {T[]} items
 * @param {(item: T, place: number) => Promise<void>} work May throw.
 * @param {{atOnce?: number, onDone?: (done: number) => void, stop?: () => boolean}} [options]
 * @returns {Promise<{item: T, error: Error | null}[]>} What became of each, in the order of the items; those
 *   that were not begun because of `stop` are not in it.
 */
export async function forEach(items, work, { atOnce = AT_ONCE, onDone = () => {}, stop = () => false } = {}) {
  const results = new Array(items.length);
  let next = 0;
  let done = 0;
  const one = async () => {
    while (next < items.length && !stop()) {
      const place = next;
      next += 1;
      let error = null;
      try {
        await work(items[place], place);
      } catch (refusal) {
        error = refusal;
      }
      results[place] = { item: items[place], error };
      done += 1;
      onDone(done);
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, one));
  return results.filter(Boolean);
}

/** A random key, under which a call that is repeated is carried out once. */
export const newKey = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(12)), (each) => each.toString(16).padStart(2, "0")).join("");

/** Why an action did not work, as a sentence. */
export function reasonOf(error) {
  if (error.sentence) return error.sentence;
  const status = error.context?.status;
  if (error.code === "INVALID_SESSION_STATE" && Object.hasOwn(STATUSES, status ?? ""))
    return t("room.notNow", { status: STATUSES[status] });
  return errorText(error);
}

/** The name of a board in a sentence. */
export const nameOf = (board) =>
  board.number === null ? board.title : t("room.boardNamed", { number: board.number, title: board.title });
