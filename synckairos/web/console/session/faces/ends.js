// The end of a session in words: how it ended, who won, and why.

import { t } from "../../shared/i18n.js";
import { isOver, ownClocks } from "../rules.js";

/**
 * @typedef {object} End
 * @property {"expired" | "completed" | "cancelled"} status
 * @property {string} title How it ended: "Completed", "Anna is out of time".
 * @property {string} winner "Ben wins"; "" where nobody won by the clock.
 * @property {string} why One sentence; may be "".
 */

/**
 * Whose turn the end cut short, for a page that saw it. Null where the turn was whole: the last of a given number.
 *
 * @param {object | null} before The state before the end.
 * @param {object | null} change The event of the end; null where there was none.
 * @returns {string | null} A participant's id.
 */
export function cutShortBy(before, change) {
  if (!before || isOver(before) || before.sync_mode === "count_up") return null;
  return isLastTurn(change?.payload ?? {}, before) ? null : before.active_participant_id;
}

const isLastTurn = (payload, state) =>
  payload.event === "session.completed" && payload.reason === "auto" && payload.cycle_count >= (state.max_cycles ?? Infinity);

/**
 * @param {object} state A state that is over.
 * @param {import("./result.js").Result} result
 * @param {(id: string) => string} name
 * @param {object | null} payload The payload of the event that ended it; null: not known.
 * @returns {End}
 */
export function endOf(state, result, name, payload) {
  const { status } = state;
  const end = { status, title: result.title, winner: "", why: "" };
  if (result.winner) end.winner = t("face.wins", { name: name(result.winner) });
  if (status === "expired") {
    if (!ownClocks(state) || payload?.expired_clock === "total") end.why = t("faces.why.time");
    else if (!result.winner) end.why = t("faces.why.noWinner");
  } else if (status === "cancelled") {
    end.why = t("faces.why.cancelled");
  } else if (payload?.event === "session.completed") {
    if (isLastTurn(payload, state)) end.why = t("faces.why.lastTurn");
    else end.why = t(payload.reason === "auto" ? "faces.why.endCame" : "faces.why.byHand");
  }
  return end;
}

/** Whether a page of this session goes on to the next one by itself: it was open when that was made. */
export const leadsOn = (before, after, nextOf) =>
  before !== null && isOver(after) && nextOf(after) !== null && nextOf(before) !== nextOf(after);
