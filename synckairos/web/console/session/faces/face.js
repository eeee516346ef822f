// The face of a clock under any time control: one number, a line below it, and a level of urgency.

import { t } from "../../shared/i18n.js";
import { clockParts, formatClock, formatDuration, spokenDuration } from "../../shared/time.js";
import { entryOf } from "../people.js";

/**
 * calm, warn (little time), urgent (very little), over (in overtime), out (time is up).
 * @typedef {"calm" | "warn" | "urgent" | "over" | "out"} Level
 */

/**
 * @typedef {object} Face
 * @property {number | null} ms The time of the big number; null: none.
 * @property {boolean} countUp Whether the time has passed, and is not left.
 * @property {string} note The line below the number; may be "".
 * @property {Level} level
 * @property {number | null} share The share of the whole that is left, 0 to 1; null without a limit.
 */

/** The longest full clock (ms) of each state: each clock of it asks, in each frame. @type {WeakMap<object, number>} */
const longest = new WeakMap();

/** The longest full clock (ms) of all that a state has; 0 when none has a limit. */
function longestOf(state) {
  if (!longest.has(state)) {
    let owners = [];
    if (state.sync_mode === "per_group") owners = state.groups.map((each) => each.group_id);
    if (state.sync_mode === "per_participant") owners = state.participants.map((each) => each.participant_id);
    longest.set(state, Math.max(0, ...owners.map((owner) => wholeOf(state, owner) ?? 0)));
  }
  return longest.get(state);
}

/**
 * The times (ms) below which a clock is at the levels [warn, urgent]. They follow from the session's highest
 * warning, or without warnings from the longest clock: one that was set to nine seconds is short of time, too.
 */
export function thresholds(state, wholeMs) {
  // A warning at zero or in overtime is a bell, and does not say when time is short.
  const early = state.warnings_ms.filter((ms) => ms > 0);
  const highest = early.length > 0 ? Math.max(...early) : null;
  const whole = Math.max(wholeMs ?? 60_000, longestOf(state));
  const warn = highest ?? Math.min(20_000, Math.max(whole / 6, Math.min(10_000, whole / 2)));
  return [warn, Math.min(10_000, warn / 2)];
}

/** The time (ms) of a full clock, for its bar, as far as it is known. Null without a limit. */
export function wholeOf(state, ownerId) {
  if (state.sync_mode === "per_cycle" || state.time_per_cycle_ms !== null) return state.time_per_cycle_ms;
  if (state.sync_mode === "count_up") return state.max_time_ms;
  if (state.sync_mode === "global") {
    return state.total_time_ms + (state.status === "pending" ? 0 : state.time_used_ms);
  }
  const entry = entryOf(state, ownerId);
  return entry?.total_time_ms === null || !entry ? null : entry.total_time_ms + entry.time_used_ms;
}

/**
 * The face of a clock.
 *
 * @param {object} state
 * @param {object | null} clock The clock from the client's `session.clock(owner)`; null: no such clock.
 * @param {number | null} wholeMs The result of wholeOf.
 * @returns {Face}
 */
export function faceOf(state, clock, wholeMs) {
  if (!clock) return { ms: null, countUp: false, note: "", level: "calm", share: null };
  const { remainingMs } = clock;
  if (state.sync_mode === "count_up" || clock.kind === "none") {
    const [warn, urgent] = thresholds(state, remainingMs === null ? null : wholeMs);
    return {
      ms: clock.elapsedMs ?? 0,
      countUp: true,
      note: "",
      level: clock.expired ? "out" : remainingMs !== null ? levelOf(remainingMs, warn, urgent) : "calm",
      share: remainingMs !== null && wholeMs ? clamp(remainingMs / wholeMs) : null,
    };
  }
  if (remainingMs === null) return { ms: null, countUp: false, note: "", level: "calm", share: null };

  let ms = clock.mainMs ?? remainingMs;
  const notes = [];
  const [warn, urgent] = thresholds(state, wholeMs);
  let level = levelOf(remainingMs, warn, urgent);
  let whole = wholeMs;

  if (clock.stage !== null && clock.movesLeft !== null && clock.blockRemainingMs === null) {
    notes.push(t("face.toNextStage", { count: clock.movesLeft }));
  }
  if (clock.periodsLeft !== null) {
    if (ms > 0) {
      notes.push(t("face.thenPeriods", { number: clock.periodsLeft, time: formatDuration(clock.periodMs) }));
      level = levelOf(ms, warn, 0);
    } else if (clock.periodsLeft > 0) {
      ms = clock.periodRemainingMs;
      whole = clock.periodMs;
      const last = clock.periodsLeft === 1;
      notes.push(last ? t("face.lastPeriod") : t("face.periodsLeft", { count: clock.periodsLeft }));
      const short = Math.min(10_000, clock.periodMs / 3);
      level = last ? levelOf(ms, short, short / 2) : levelOf(ms, short, 0);
    }
  } else if (clock.blockRemainingMs !== null) {
    const count = clock.movesLeft;
    if (ms > 0) {
      notes.push(t("face.thenMoves", { count, time: formatClock(clock.blockRemainingMs, { tenths: false }) }));
      level = levelOf(ms, warn, 0);
    } else {
      ms = clock.blockRemainingMs;
      notes.push(t("face.movesToMake", { count }));
      whole = clock.periodMs ?? whole;
    }
  }
  if (clock.delayMs !== null && clock.delayMs > 0) {
    notes.push(
      t("face.delay", {
        time: clock.running ? Math.ceil(clock.delayMs / 1000) : formatDuration(clock.delayMs),
      }),
    );
  }
  if (remainingMs < 0 && !clock.expired) {
    ms = remainingMs;
    notes.splice(0, notes.length, t("face.overtime"));
    level = "over";
  }
  if (clock.expired) {
    level = "out";
    ms = Math.min(0, remainingMs);
  }
  return { ms, countUp: false, note: notes.join(" · "), level, share: whole ? clamp(ms / whole) : null };
}

function levelOf(ms, warn, urgent) {
  if (ms <= urgent) return "urgent";
  return ms <= warn ? "warn" : "calm";
}

const clamp = (share) => Math.min(1, Math.max(0, share));

/** A face as text for a screen reader. */
export function spokenFace(face) {
  if (face.ms === null) return "";
  const time = spokenDuration(face.ms, { countUp: face.countUp });
  const isPlain = face.countUp || face.ms < 0;
  const words = face.level === "out" ? t("face.out") : isPlain ? time : t("time.left", { time });
  const notes = [face.light?.text, face.note].filter(Boolean);
  return notes.reduce((all, note) => t("face.withNote", { words: all, note }), words);
}

/**
 * A big number. Only the parts that changed are written. Its size depends on the length of its text and not
 * on the digits in it, so that it does not jump while it counts.
 */
export class Digits {
  /**
   * @param {string} [className]
   * @param {{tenths?: boolean | "always"}} [options] Those of clockParts.
   */
  constructor(className = "", options = {}) {
    this.options = options;
    this.element = document.createElement("span");
    this.element.className = `digits ${className}`;
    this.main = this.element
      .appendChild(document.createElement("span"))
      .appendChild(document.createTextNode(""));
    const small = this.element.appendChild(document.createElement("span"));
    small.className = "tenths";
    this.tenths = small.appendChild(document.createTextNode(""));
    this.text = null;
    this.size = null;
  }

  /**
   * @param {number | null} ms
   * @param {boolean} [countUp]
   */
  show(ms, countUp = false) {
    const parts = ms === null ? NO_TIME : clockParts(ms, { countUp, ...this.options });
    const main = parts.sign + parts.main;
    if (main + parts.tenths === this.text) return;
    this.text = main + parts.tenths;
    this.main.data = main;
    this.tenths.data = parts.tenths;
    // The size is counted in digits. A colon is about half as wide as one, a minus sign wider, and tenths are smaller.
    const size = Math.max(3.4, digitsIn(main) + (parts.tenths ? 0.9 : 0));
    if (size !== this.size) {
      this.size = size;
      this.element.style.setProperty("--width", String(size));
    }
  }
}

const NO_TIME = { sign: "", main: "–:––", tenths: "" };

const WIDTHS = { ":": 0.45, "\u2212": 1.3 };

function digitsIn(text) {
  let width = 0;
  for (const each of text) width += WIDTHS[each] ?? 1;
  return width;
}
