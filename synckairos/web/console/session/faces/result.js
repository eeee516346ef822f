// The result of a session that is over.

import { t } from "../../shared/i18n.js";
import { STATUSES } from "../../shared/names.js";
import { ownClocks } from "../rules.js";

/**
 * @typedef {object} Result
 * @property {string} title
 * @property {string | null} about The owner whose clock ran out: a participant's or a group's id.
 * @property {string | null} winner The id of the winner.
 */

/**
 * The result of a session. A page that was open knows it from the event, one that is opened later from the
 * state.
 *
 * @param {object} state A state that is over.
 * @param {import("../people.js").People} people
 * @param {object | null} change The newest event, which may be the one that ended the session.
 * @param {Result | null} before The result if it is known already.
 * @returns {Result}
 */
export function resultOf(state, people, change, before) {
  if (before) return before;
  if (state.status !== "expired") {
    return { title: STATUSES[state.status] ?? state.status, about: null, winner: null };
  }
  const payload = change?.payload.event === "session.expired" ? change.payload : {};
  if (!ownClocks(state) || payload.expired_clock === "total") {
    return { title: t("status.expired"), about: null, winner: null };
  }
  const withMembers = new Set(state.participants.map((each) => each.group_id));
  const owners = people.byGroup
    ? state.groups.filter((each) => withMembers.has(each.group_id))
    : state.participants;
  const idOf = (each) => (people.byGroup ? each.group_id : each.participant_id);
  const out = owners.filter((each) => each.has_expired).map(idOf);
  const left = owners.filter((each) => !each.has_expired).map(idOf);
  const named = payload.expired_group_id ?? people.ownerOf(payload.expired_participant_id ?? null);
  const about = named ?? (out.length === 1 ? out[0] : null);
  const ends = state.action_on_timeout.type === "end_session";
  const winner = payload.action_applied?.winner ?? (ends && left.length === 1 ? left[0] : null);
  return { title: about ? t("result.outOfTime", { name: people.name(about) }) : t("status.expired"), about, winner };
}
