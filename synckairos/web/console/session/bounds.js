// What bounds a session beside its clocks, in words: its start and end, its pauses and its turns.

import { t } from "../shared/i18n.js";
import { momentText } from "../shared/moments.js";
import { formatClock } from "../shared/time.js";
import { fill, h, setText } from "../shared/dom.js";
import { isQuiz, wordingOf } from "../list/wording.js";
import { isOver } from "./rules.js";

const digits = (ms) => formatClock(Math.max(0, ms), { tenths: false });

/**
 * The words for a session that waits for its start, with the time until it starts by itself.
 *
 * @param {object} state A pending state.
 * @param {number | null} now The server's time; null: not known yet.
 */
export function waitingText(state, now) {
  const start = state.starts_at_ms ?? null;
  if (start === null) return t("status.pending");
  return now === null
    ? t("session.startsAt", { moment: momentText(start) })
    : t("session.startsIn", { time: digits(start - now) });
}

/** The same for the participant who begins. */
export function beginsText(state, now) {
  const start = state.starts_at_ms;
  return now === null
    ? t("clock.beginsAt", { moment: momentText(start) })
    : t("clock.beginsIn", { time: digits(start - now) });
}

/**
 * Which turn it is, in sessions whose turns people count, such as the questions of a quiz. Null in others, and where
 * none is under way.
 *
 * @param {object} state
 * @returns {string | null}
 */
export function numberOf(state) {
  if (isOver(state) || state.status === "pending" || !isQuiz(state)) return null;
  const all = state.max_cycles ?? null;
  return wordingOf("quiz", state.sync_mode).number(Math.min(state.cycle_count + 1, all ?? Infinity), all);
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
  if (state.status === "pending" && (start ?? null) !== null) words.push(t("bounds.startsAt", { moment: momentText(start, now ?? undefined) }));
  if ((end ?? null) !== null) {
    const moment = momentText(end, now ?? undefined);
    words.push(
      now === null || state.status === "pending"
        ? t("bounds.endsAt", { moment })
        : t("bounds.endsAtIn", { moment, time: digits(end - now) }),
    );
  }
  if ((state.max_cycles ?? null) !== null) {
    const turn = Math.min(state.cycle_count + (state.status === "pending" ? 0 : 1), state.max_cycles);
    words.push(
      turn === 0
        ? t("count.turns", { count: state.max_cycles })
        : (numberOf(state) ?? t("bounds.turnOf", { turn, all: state.max_cycles })),
    );
  }
  if ((state.pauses_left ?? null) !== null) words.push(state.pauses_left === 0 ? t("bounds.noPauses") : t("bounds.pauses", { count: state.pauses_left }));
  if (pauseMs !== null) words.push(t("bounds.pauseTime", { time: digits(pauseMs) }));
  return words;
}

/** A line with a session's bounds, for all views. It is hidden in sessions without any. */
export class Bounds {
  /** @param {import("./session.js").Page} page */
  constructor(page, element) {
    this.page = page;
    this.element = element;
    this.texts = [];
  }

  draw() {
    const { page } = this;
    const { session, state } = page;
    // The wall countdown has the number of a question itself, so that screens have it, too.
    const isSaid = page.viewName === "countdown" && numberOf(state) !== null;
    const lines = boundsOf(isSaid ? { ...state, max_cycles: null } : state, page.client.time.now(), session.pauseRemaining?.() ?? null);
    const total = page.totalLeft();
    const isShown = page.viewName === "countdown" || page.viewName === "board";
    if (total !== null && !isShown && !isOver(state)) lines.push(t("bounds.sessionLeft", { time: digits(total) }));
    this.element.hidden = lines.length === 0;
    if (lines.length !== this.texts.length) {
      this.texts = lines.map(() => h("span", {}));
      fill(this.element, this.texts);
    }
    lines.forEach((text, place) => setText(this.texts[place], text[0].toUpperCase() + text.slice(1)));
  }
}
