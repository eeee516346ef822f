// The names of things for people. The service knows only ids. The console keeps names in a session's
// metadata, which the service stores unread: `metadata.title`, `metadata.view`, and `metadata.names` by
// participant or group id.

import { t } from "./i18n.js";

/** The views of a session, with their names. */
export const VIEWS = Object.freeze({
  clock: t("view.clock"),
  countdown: t("view.countdown"),
  board: t("view.board"),
  stopwatch: t("view.stopwatch"),
  speedrun: t("view.speedrun"),
  exam: t("exam.view"),
  agenda: t("agenda.view"),
});

/** The names of a session's statuses. */
export const STATUSES = Object.freeze({
  pending: t("status.pending"),
  running: t("status.running"),
  paused: t("status.paused"),
  expired: t("status.expired"),
  completed: t("status.completed"),
  cancelled: t("status.cancelled"),
});

/** A longer name or title is cut to this length. */
const MAX_CHARACTERS = 200;
/** Spaces, characters that cannot be drawn, and those that turn the direction of the text around them. */
const UNSAFE_RUN = /[\p{Cc}\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\s]+/gu;
/** A character that is visible without another one. */
const VISIBLE = /[^\s\p{Cc}\p{M}\p{DI}]/u;

/** A stranger's text, made safe to show: one line of bounded length. Null when nothing of it is visible. */
export function displayText(value, most = MAX_CHARACTERS) {
  if (typeof value !== "string" || !VISIBLE.test(value)) return null;
  const line = value.replace(UNSAFE_RUN, " ").trim();
  if (line.length <= most) return line;
  return `${[...line].slice(0, most - 1).join("")}…`;
}

/**
 * The session's title: the one in its metadata, else the participants' names, else the start of its id.
 *
 * @param {object} state A state. One of the service's list is without participants.
 * @returns {string}
 */
export function titleOf(state) {
  const given = displayText(state.metadata?.title);
  if (given) return given;
  const owners = state.groups?.length ? state.groups : state.participants;
  const ids =
    owners?.map((each) => each.participant_id ?? each.group_id) ?? Object.keys(state.metadata?.names ?? {});
  const named = ids.map((id) => nameGiven(state, id)).filter(Boolean);
  if (named.length === 2) return `${named[0]} – ${named[1]}`;
  if (named.length === 1) return named[0];
  if (named.length > 0)
    return t("title.more", { first: named[0], second: named[1], count: named.length - 2 });
  return t("title.session", { id: state.session_id.slice(0, 8) });
}

/** The name of an id in the session's metadata, or null. */
export function nameGiven(state, id) {
  const names = state.metadata?.names;
  const isMap = names !== null && typeof names === "object" && !Array.isArray(names);
  return isMap && Object.hasOwn(names, id) ? displayText(names[id]) : null;
}

/** The name of a participant without one, at a place counted from 0. */
export const playerName = (place) => t("name.player", { number: String(place + 1) });

/** The name of a team without one, at a place counted from 0. */
export const teamName = (place) => t("name.team", { number: String(place + 1) });

/** The name of the participant at a place of a state, counted from 0. */
export const participantName = (state, place) =>
  nameGiven(state, state.participants[place].participant_id) ?? playerName(place);
