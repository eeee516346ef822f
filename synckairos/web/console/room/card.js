// The card of one session: its number, its players, and both clocks as they run.

import { rowName } from "../shared/exam.js";
import { activeOwner } from "../shared/glance.js";
import { icon } from "../shared/icons.js";
import { t } from "../shared/i18n.js";
import { nameGiven, participantName, teamName } from "../shared/names.js";
import { clockParts, spokenDuration } from "../shared/time.js";
import { fill, h, setText, statusPill } from "../shared/ui.js";
import { cardGlance, isOut } from "./boards.js";

const SPEAK_MS = 5000;

/** The name of an owner of a clock; "" for the clock of the session or cycle. */
export function ownerName(state, owner) {
  if (owner === null) return "";
  const place = state.participants.findIndex((each) => each.participant_id === owner);
  if (place >= 0) return participantName(state, place);
  const team = state.groups.findIndex((each) => each.group_id === owner);
  return nameGiven(state, owner) ?? (team >= 0 ? teamName(team) : t("name.someone"));
}

/** One row of a card: an owner, and the time. */
class Row {
  constructor() {
    this.mark = h("span", { class: "board-mark" });
    this.name = h("span", { class: "board-name" });
    this.time = h("span", { "aria-hidden": "true" });
    this.spoken = h("span", { class: "visually-hidden" });
    this.element = h(
      "li",
      { class: "board-row" },
      this.mark,
      this.name,
      h("span", { class: "board-time digits", role: "timer" }, this.time, this.spoken),
    );
    this.kind = null;
    this.spokenAt = -Infinity;
  }

  /** @param {ReturnType<typeof cardGlance>} glance */
  draw(glance, { live, active }) {
    if (glance?.row) setText(this.name, rowName(glance.row));
    const level = glance?.level ?? "calm";
    // The mark says by its form and by a word for screen readers what the colour says.
    const kind = level === "out" ? "out" : level === "over" ? "over" : active ? (glance?.running ? "running" : "active") : "";
    if (kind !== this.kind) {
      this.kind = kind;
      this.element.dataset.mark = kind;
      fill(this.mark, kind !== "" && MARKS[kind]());
    }
    const shown = live && level !== "out" ? level : level === "out" ? "out" : "calm";
    if (this.element.dataset.level !== shown) this.element.dataset.level = shown;
    const ms = glance?.ms ?? null;
    const { sign, main, tenths } = ms === null
      ? { sign: "", main: "–", tenths: "" } : clockParts(ms, { countUp: glance.countUp });
    setText(this.time, sign + main + (glance?.running ? tenths : ""));
    if (performance.now() - this.spokenAt > SPEAK_MS) {
      this.spokenAt = performance.now();
      setText(this.spoken, ms === null ? t("room.noTime") : spokenDuration(ms, { countUp: glance.countUp }));
    }
  }
}

const mark = (name, text) => () => [icon(name), h("span", { class: "visually-hidden" }, t(text))];
const MARKS = {
  running: mark("play", "room.onTheMove"),
  active: mark("forward", "room.isNext"),
  out: mark("flag", "room.outOfTime"),
  over: mark("hourglass", "room.overtime"),
};

/** A card. Its element stays from answer to answer, so that a reader keeps the focus and the place. */
export class Card {
  /** @param {{onPick: (id: string, picked: boolean) => void}} on */
  constructor(id, { onPick }) {
    this.id = id;
    this.pick = h("input", { type: "checkbox", onchange: () => onPick(id, this.pick.checked) });
    this.picker = h("label", { class: "board-pick" }, this.pick);
    this.number = h("span", { class: "board-number digits" });
    this.label = h("span", { class: "board-title" });
    this.link = h("a", { class: "board-link", href: `/s/${id}` }, this.number, " ", this.label);
    this.pill = h("span", { class: "board-status" });
    this.rows = h("ol", { role: "list", class: "board-rows" });
    this.note = h("p", { class: "board-note", hidden: true });
    this.element = h(
      "li",
      { class: "board", dataset: { id } },
      h("div", { class: "board-head" }, this.picker, h("h2", { class: "board-heading" }, this.link), this.pill),
      this.rows,
      this.note,
    );
    /** @type {Row[]} */
    this.lines = [];
    this.shown = "";
  }

  /** @param {import("./boards.js").Board} board */
  show(board) {
    this.board = board;
    const { state } = board;
    const key = JSON.stringify([state.status, board.number, board.title, board.owners, state.metadata]);
    if (key === this.shown) return;
    this.shown = key;
    setText(this.number, board.number === null ? "" : String(board.number));
    // Where the rows have the same names as the title, the title is for screen readers.
    const names = board.owners.map((owner) => ownerName(state, owner));
    const isSaid = board.number !== null && !state.metadata?.title && names.length > 1;
    this.label.className = isSaid ? "board-title visually-hidden" : "board-title";
    setText(this.label, board.title);
    this.pick.setAttribute("aria-label", t("room.select", { name: [board.number, board.title].filter(Boolean).join(" ") }));
    this.element.dataset.status = state.status;
    fill(this.pill, statusPill(state.status));
    this.lines = board.owners.map(() => new Row());
    fill(this.rows, this.lines.map((line) => line.element));
    this.lines.forEach((line, place) => setText(line.name, names[place] || this.#shared(state)));
    this.element.style.setProperty("--rows", String(this.lines.length));
    this.element.classList.toggle("single", this.lines.length === 1);
    setText(this.note, board.more > 0 ? t("room.more", { count: board.more }) : "");
    this.note.hidden = board.more === 0;
  }

  /** What stands beside a clock that the session or the cycle owns. */
  #shared(state) {
    const who = nameGiven(state, state.active_participant_id);
    return state.participants.length > 1 && who ? who : "";
  }

  /** @param {number | null} time The server's time; null until it is known. */
  draw(time) {
    const { board } = this;
    const { state } = board;
    const now = time ?? state.server_time_ms;
    const active = activeOwner(state);
    const live = state.status === "running" || state.status === "paused";
    board.owners.forEach((owner, place) =>
      this.lines[place].draw(cardGlance(state, now, owner), { live, active: live && owner === active }));
    const out = isOut(board, now);
    if (this.out === out) return;
    this.out = out;
    this.element.classList.toggle("out", out);
  }
}
