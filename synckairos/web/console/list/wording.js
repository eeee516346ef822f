// The words of the form that depend on what a session is for: not everybody takes turns.

import { t } from "../shared/i18n.js";

/**
 * @typedef {object} Wording
 * @property {string} hint What the list of names is for.
 * @property {string} turn The time of a turn.
 * @property {(time: string) => string} perTurn So much time a turn.
 * @property {string} aTurn The same without the time.
 * @property {string} total The time of all together.
 * @property {string} advance Whether a turn begins by itself.
 * @property {string} turns After how many turns the session is completed.
 * @property {((turn: number, all: number | null) => string) | null} number Which turn it is, of how many; null: nobody counts them.
 * @property {boolean} hasTurns Whether there are any: where one clock runs for everybody at once, nobody is asked for them.
 */

const turns = () => ({
  hint: t("people.order"),
  turn: t("timing.turn"),
  perTurn: (time) => t("control.perTurn", { time }),
  aTurn: t("control.aTurn"),
  total: t("timing.total"),
  advance: t("timing.advance"),
  turns: t("settings.cycles"),
  number: null,
  hasTurns: true,
});
const speaking = () => ({ ...turns(), hint: t("people.speak"), turn: t("timing.speech"), turns: t("settings.speeches") });
const oneClock = () => ({ ...turns(), hint: t("people.oneClock") });
const sitting = () => ({ ...turns(), hint: t("people.sit"), total: t("timing.exam"), hasTurns: false });

/** The words of presets. */
const OF_PRESETS = {
  auction: () => ({ ...turns(), hint: t("people.bid"), total: t("timing.lot"), hasTurns: false }),
  contest: sitting,
  debate: speaking,
  exam: sitting,
  meeting: speaking,
  quiz: () => ({
    ...turns(),
    hint: t("people.quiz"),
    turn: t("timing.question"),
    perTurn: (time) => t("control.perQuestion", { time }),
    aTurn: t("control.aQuestion"),
    advance: t("timing.advanceQuestion"),
    turns: t("settings.questions"),
    number: (turn, all) => (all === null ? t("bounds.question", { turn }) : t("bounds.questionOf", { turn, all })),
  }),
  speech: speaking,
  speedrun: () => ({ ...turns(), hint: t("people.run"), turns: t("settings.laps") }),
};
const OF_MODES = { global: oneClock, count_up: oneClock };

/**
 * The words for a preset, or without one for a mode.
 *
 * @param {string | null} preset
 * @param {string} mode
 * @returns {Wording}
 */
export function wordingOf(preset, mode) {
  const made = preset !== null && Object.hasOwn(OF_PRESETS, preset) ? OF_PRESETS[preset] : (OF_MODES[mode] ?? turns);
  return made();
}

/** Whether a session is a quiz: its metadata says so, or it has all that the preset has, as one that a program made. */
export const isQuiz = ({ metadata, sync_mode: mode, time_per_cycle_ms: turn, auto_advance: goesOn, warnings_ms: warnings }) =>
  metadata?.preset === "quiz" ||
  (metadata?.preset === undefined && mode === "per_cycle" && turn === 30_000 && goesOn && String(warnings) === "5000");
