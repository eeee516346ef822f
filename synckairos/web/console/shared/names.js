// What people call things. The service knows only ids; names are in a session's metadata, which it gives back
// as it got it: `metadata.title`, `metadata.view`, and `metadata.names`, names by participant or group id.

/** The ways to look at a session, and what each is called. */
export const VIEWS = Object.freeze({
  clock: "Game clock",
  countdown: "Wall countdown",
  board: "Board",
  stopwatch: "Stopwatch",
});

/** What people call the five modes. */
export const MODES = Object.freeze({
  per_participant: "A clock for each participant",
  per_group: "A clock for each team",
  per_cycle: "Fresh time every turn",
  global: "One clock for everybody",
  count_up: "Count up",
});

/** The modes in which participants or teams own clocks, each spent by a time control. */
export const OWNERS = new Set(["per_participant", "per_group"]);

/** What people call the statuses of a session. */
export const STATUSES = Object.freeze({
  pending: "Not started",
  running: "Running",
  paused: "Paused",
  expired: "Time is up",
  completed: "Completed",
  cancelled: "Cancelled",
});

/** As many characters of a name or a title are shown. */
const MOST_CHARACTERS = 200;
/** Characters that cannot be drawn, or that turn the direction of the text around them. */
const DISTURBS = /[\p{Cc}\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\s]+/gu;
/** A character that can be seen by itself. */
const VISIBLE = /[^\s\p{Cc}\p{M}\p{DI}]/u;

/** A name or a title as it is shown: in one line, of a bounded length, and something to see; else null. */
function text(value) {
  if (typeof value !== "string" || !VISIBLE.test(value)) return null;
  const line = value.replace(DISTURBS, " ").trim();
  if (line.length <= MOST_CHARACTERS) return line;
  return `${[...line].slice(0, MOST_CHARACTERS - 1).join("")}…`;
}

/**
 * The session's title: the one that it was given, else who takes part, else what it is.
 *
 * @param {object} state A state, or one of the list (which is without participants).
 * @returns {string}
 */
export function titleOf(state) {
  const given = text(state.metadata?.title);
  if (given) return given;
  const owners = state.groups?.length ? state.groups : state.participants;
  const ids =
    owners?.map((each) => each.participant_id ?? each.group_id) ?? Object.keys(state.metadata?.names ?? {});
  const named = ids.map((id) => nameGiven(state, id)).filter(Boolean);
  if (named.length === 2) return `${named[0]} – ${named[1]}`;
  if (named.length > 0)
    return named.length === 1 ? named[0] : `${named[0]}, ${named[1]} and ${named.length - 2} more`;
  return `Session ${state.session_id.slice(0, 8)}`;
}

/** The name that an id was given in the metadata, or null. */
export function nameGiven(state, id) {
  const names = state.metadata?.names;
  const isMap = names !== null && typeof names === "object" && !Array.isArray(names);
  return isMap && Object.hasOwn(names, id) ? text(names[id]) : null;
}

/**
 * How to look at a session: as its metadata says, else as suits its mode and who takes part.
 *
 * @param {object} state
 * @returns {"clock" | "countdown" | "board" | "stopwatch"}
 */
export function viewOf(state) {
  const wanted = state.metadata?.view;
  if (typeof wanted === "string" && Object.hasOwn(VIEWS, wanted)) return wanted;
  if (state.sync_mode === "count_up") return "stopwatch";
  if (state.sync_mode === "per_participant" && state.participants?.length === 2) return "clock";
  if (state.sync_mode === "per_group" && state.groups?.length === 2) return "clock";
  if (state.sync_mode === "per_cycle" || state.sync_mode === "global") return "countdown";
  return "board";
}
