// What a card of the room shows of a session at a moment, and how cards are found, filtered and sorted. It works
// from the states of the service's list. All functions are pure.

import { adopt } from "/synckairos.js";
import { activeOwner, glanceAt, ownersOf } from "../shared/glance.js";
import { rowAt, rowsOf } from "../shared/exam.js";
import { nameGiven, titleOf } from "../shared/names.js";
import { nextSessionOf } from "../shared/next.js";

/** A card has a row for each of so many owners; of more only the current one. */
export const MOST_ROWS = 4;

/** The filters, in their order. A session is in each of those that hold for it. */
export const FILTERS = ["running", "pending", "paused", "out", "over"];
export const SORTS = ["board", "time", "state"];

const OVER = new Set(["expired", "completed", "cancelled"]);

/**
 * @typedef {object} Board
 * @property {string} id
 * @property {object} state Ready for the client's functions.
 * @property {number | null} number The board's number.
 * @property {string} title
 * @property {(string | null)[]} owners Whose clocks the card shows.
 * @property {number} more How many owners it does not show.
 * @property {string} words What a search looks through.
 */

/**
 * @param {object} state A state of the list; it may be without participants.
 * @returns {Board}
 */
export function boardOf(state) {
  const whole = adopt({ ...state, participants: state.participants ?? [], groups: state.groups ?? [] });
  const given = whole.metadata?.board;
  const number = Number.isInteger(given) && given >= 0 && given < 1e6 ? given : null;
  const all = ownersOf(whole);
  const owners = all.length <= MOST_ROWS && all.length > 0 ? all : [activeOwner(whole)];
  const names = Object.keys(whole.metadata?.names ?? {}).map((id) => nameGiven(whole, id) ?? "");
  const title = titleOf(whole);
  return {
    id: whole.session_id,
    state: whole,
    number,
    title,
    owners,
    more: Math.max(0, all.length - owners.length),
    words: fold([title, ...names].join(" ")),
  };
}

/**
 * The states without those that are over and go on in another one of them, such as a game that has its rematch
 * here: a table shows what is played at it now.
 */
export function withoutFollowed(states) {
  const byId = new Map(states.map((state) => [state.session_id, state]));
  const next = (state) => (OVER.has(state.status) ? byId.get(nextSessionOf(state)) : undefined);
  return states.filter((state) => {
    // Metadata may also name sessions in a circle. Of those each stays.
    const seen = new Set();
    let last = state;
    while (next(last) && !seen.has(last)) {
      seen.add(last);
      last = next(last);
    }
    return last === state;
  });
}

const fold = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();

/** Whether a board is one that somebody looks for: by its number, or by parts of names. */
export function matches(board, text) {
  const wanted = fold(text.trim());
  if (wanted === "") return true;
  const number = /^#?(\d{1,6})$/.exec(wanted);
  if (number) return board.number === Number(number[1]) || board.words.split(/\P{N}+/u).includes(number[1]);
  return wanted.split(/\s+/).every((word) => board.words.includes(word));
}

/**
 * A clock of a card at a glance. In an exam with extra time the session's clock is that of the longest row; the card
 * shows the row that finishes next.
 *
 * @returns {(import("../shared/glance.js").Glance & {row?: import("../shared/exam.js").Row}) | null}
 */
export function cardGlance(state, now, owner) {
  const glance = glanceAt(state, now, owner);
  if (state.sync_mode !== "global" || !glance || glance.ms === null || OVER.has(state.status)) return glance;
  const rows = rowsOf(state.metadata, state.total_time_ms + (state.status === "pending" ? 0 : state.time_used_ms));
  if (rows.length < 2) return glance;
  const isRunning = state.status === "running" && state.deadline_ms !== null;
  const exam = {
    status: state.status, now, leftMs: isRunning ? state.deadline_ms - now : glance.ms,
    deadlineMs: state.deadline_ms, startsAtMs: null, endsAtMs: state.ends_at_ms,
  };
  for (const row of rows) {
    const { leftMs: ms, isOver, level } = rowAt(row, exam);
    if (!isOver) return { ...glance, ms, level, row };
  }
  return glance;
}

/** Whether the time of somebody on the board is up. */
export const isOut = (board, now) =>
  board.state.status === "expired" ||
  board.state.participants.some((each) => each.has_expired) ||
  (!OVER.has(board.state.status) && board.owners.some((owner) => glanceAt(board.state, now, owner)?.level === "out"));

/** The filters that hold for a board. */
export function kindsOf(board, now) {
  const { status } = board.state;
  return [
    ...(OVER.has(status) ? ["over"] : [status]),
    ...(isOut(board, now) ? ["out"] : []),
  ];
}

/** How much is left of the running clock, or of the one that runs next; null: no limit, or nothing runs again. */
function timeLeft(board, now) {
  if (OVER.has(board.state.status)) return null;
  const glance = cardGlance(board.state, now, activeOwner(board.state) ?? board.owners[0]);
  return glance === null || glance.countUp ? null : glance.ms;
}

const STATE_ORDER = ["out", "running", "paused", "pending", "over"];

/** The boards in the order of a sort. What is equal is ordered by number, title and id. */
export function sorted(boards, sort, now) {
  const key = (board) => {
    if (sort === "time") {
      const left = timeLeft(board, now);
      return [RANKS[board.state.status] ?? 3, left ?? Number.MAX_SAFE_INTEGER];
    }
    if (sort === "state") {
      const kinds = kindsOf(board, now);
      const place = OVER.has(board.state.status) && board.state.status !== "expired" ? "over" : kinds.includes("out") ? "out" : kinds[0];
      return [STATE_ORDER.indexOf(place)];
    }
    return [];
  };
  const keyed = boards.map((board) => ({ board, key: [...key(board), board.number ?? Infinity] }));
  return keyed
    .sort((one, other) => {
      for (const [place, value] of one.key.entries()) {
        if (value !== other.key[place]) return value < other.key[place] ? -1 : 1;
      }
      return one.board.title.localeCompare(other.board.title) || (one.board.id < other.board.id ? -1 : 1);
    })
    .map(({ board }) => board);
}

/** Live clocks first: they are the ones that run out. */
const RANKS = { running: 0, paused: 1, pending: 2 };

/** How many boards are in each filter. */
export function countsOf(boards, now) {
  const counts = Object.fromEntries(FILTERS.map((name) => [name, 0]));
  for (const board of boards) for (const kind of kindsOf(board, now)) counts[kind] += 1;
  return counts;
}

/** What may be done to a board in its state, as far as the page knows. */
export const CAN = {
  start: ({ state }) => state.status === "pending",
  pause: ({ state }) => state.status === "running",
  resume: ({ state }) => state.status === "paused",
  adjust: ({ state }) =>
    !OVER.has(state.status) && (state.sync_mode === "count_up" ? false : state.time_control?.kind !== "none"),
};
