// Time controls in words. This page reads their texts only to explain them while the user types: the service
// decides whether one is valid. "Time controls as text" in lua/controls/README.md says how it reads them.

import { list, t } from "../shared/i18n.js";
import { formatDuration } from "../shared/time.js";
import { isQuiz, wordingOf } from "./wording.js";

const MINUTE = 60_000;
const SECOND = 1000;
const DAY = 86_400_000;
/** A whole first time from here on means seconds, as in PGN: alone, before an increment, or in stages. */
const PGN_FROM = 180;

/** Examples as players write them, with the names that players use. */
export const EXAMPLES = Object.freeze([
  ["5+3", t("example.increment")],
  ["10d5", t("example.delay")],
  ["10b5", t("example.bronstein")],
  ["10+5x30", t("example.byoyomi")],
  ["10+5+3x30", t("example.byoyomiIncrement")],
  ["10+25/300", t("example.canadian")],
  ["hourglass 5", t("example.hourglass")],
  ["40/90:30+30", t("example.stages")],
  ["G/60;d5", t("example.usChess")],
  ["-", t("word.noLimit")],
]);

const QUARTERS = { "¼": 0.25, "½": 0.5, "¾": 0.75 };
const DECIMAL = String.raw`\d+(?:\.\d+)?`;
const MINUTES = String.raw`(?:\d*[¼½¾]|${DECIMAL})`;
const PLUS = " *[+|] *";
/** Between the parts of a text of US Chess. */
const BETWEEN = "(?: *[,;:] *| +)";
/** What US Chess writes behind a time: `;d5`, `;inc5`, `;+5`, `+5`. */
const US_RULE = String.raw`(?:(?:${BETWEEN}(d|inc|\+ *)| *\+ *)(\d+))?`;

const CLOCK = new RegExp(
  `^(${MINUTES})(?:(?:${PLUS}(\\d+))?${PLUS}(\\d+)x(\\d+)|${PLUS}(\\d+)/(\\d+)|${PLUS}(${DECIMAL})|b(\\d+)|d(\\d+))?$`,
);
const PGN_CLOCK = new RegExp(String.raw`^(${DECIMAL})(?: *\+ *(${DECIMAL}))?$`);
const STAGE = new RegExp(`^(?:(\\d+)/)?(${MINUTES})(?:${PLUS}(${DECIMAL}))?$`);
const HOURGLASS = new RegExp(`^hourglass (${MINUTES})$`);
const SANDCLOCK = new RegExp(String.raw`^(?:pgn )?\*(${DECIMAL})$`);
const US_GAME = new RegExp(`^(?:g|sd)/(${MINUTES})${US_RULE}$`);
const US_STAGE = new RegExp(`(?:(\\d+)/|(?:g|sd)/)(${MINUTES})${US_RULE}(${BETWEEN}|$)`, "y");
const SGF = new RegExp(
  String.raw`^ *(?:tm\[(${DECIMAL})\]|ot\[(\d+)x(\d+) *byo-?yomi\]|ot\[(\d+)/(\d+) *canadian\]|ot\[(\d+) *(fischer|simple)\]|tc\[(\d+)\]tt\[(\d+)\])`,
);

/** Digits, which may have decimals, in ms; rounded down. */
function decimalMs(text, unit) {
  const [whole, decimals = ""] = text.split(".");
  return Number(whole) * unit + Math.floor((Number(decimals) * unit) / 10 ** decimals.length);
}

const secondsMs = (text) => decimalMs(text, SECOND);

function minutesMs(text) {
  const quarter = QUARTERS[text.at(-1)];
  return quarter ? (Number(text.slice(0, -1)) + quarter) * MINUTE : decimalMs(text, MINUTE);
}

/** Whether a first time can only be PGN's seconds. */
const isPgn = (time, text) => /^\d+$/.test(time) && Number(time) >= PGN_FROM && !text.includes("|");

/** Whether a block after main time is one that nobody means: 30 moves in 30 seconds. */
const isHasty = (bank_ms, moves, block_ms) => bank_ms > 0 && block_ms > 0 && block_ms < 2 * SECOND * moves;

/**
 * The time control that a text stands for, as the service's state would show it. Null when this page cannot
 * read the text, and where it has two meanings. Bounds are the service's to judge.
 *
 * @param {string} text
 * @returns {{bank_ms: number | null, control: object} | null}
 */
export function readControl(text) {
  const small = text.toLowerCase();
  if (small === "-" || small === "pgn -") return { bank_ms: null, control: { kind: "none" } };
  const glass = HOURGLASS.exec(small);
  if (glass) return { bank_ms: minutesMs(glass[1]), control: { kind: "hourglass" } };
  const sand = SANDCLOCK.exec(small);
  if (sand) return { bank_ms: secondsMs(sand[1]), control: { kind: "hourglass" } };
  if (/^(?:pgn )?\d+\//.test(small)) {
    const pgn = small.startsWith("pgn ");
    if (!pgn && /[,;]|sd\/|g\//.test(small)) return readUsStages(small);
    return readStages(pgn ? small.slice(4) : small, pgn);
  }
  if (/^(?:g|sd)\//.test(small)) return readUsGame(small);
  if (/^[ot][mtc]\[/.test(small)) return readSgf(small);
  return small.startsWith("pgn ") ? readPgnClock(small.slice(4)) : readClock(small);
}

function readPgnClock(text) {
  const found = PGN_CLOCK.exec(text);
  if (!found) return null;
  const increment_ms = secondsMs(found[2] ?? "0");
  return { bank_ms: secondsMs(found[1]), control: { kind: "fischer", increment_ms } };
}

function readClock(text) {
  const found = CLOCK.exec(text);
  if (!found) return null;
  const [, time, added, periods, period, moves, block, increment, bronstein, delay] = found;
  const bank_ms = minutesMs(time);
  if (periods !== undefined) {
    const control = { kind: "byoyomi", periods: Number(periods), period_ms: secondsMs(period) };
    if (Number(added ?? 0) > 0) control.increment_ms = secondsMs(added);
    return { bank_ms, control };
  }
  if (moves !== undefined) {
    const period_ms = secondsMs(block);
    if (isHasty(bank_ms, Number(moves), period_ms)) return null;
    return { bank_ms, control: { kind: "canadian", moves: Number(moves), period_ms } };
  }
  if (bronstein !== undefined)
    return { bank_ms, control: { kind: "bronstein", delay_ms: secondsMs(bronstein) } };
  if (delay !== undefined) return { bank_ms, control: { kind: "delay", delay_ms: secondsMs(delay) } };
  if (isPgn(time, text)) return readPgnClock(text);
  if (increment?.includes(".")) return null;
  return { bank_ms, control: { kind: "fischer", increment_ms: secondsMs(increment ?? "0") } };
}

const stagesOf = (stages) => ({
  bank_ms: stages[0].time_ms,
  control: { kind: "stages", stages, ...(stages.at(-1).moves === undefined ? {} : { repeat: true }) },
});

function readStages(text, isWord) {
  const parts = text.split(":").map((part) => STAGE.exec(part));
  if (parts.length > 8 || parts.some((part) => part === null)) return null;
  if (parts.slice(0, -1).some((part) => part[1] === undefined)) return null;
  const pgn = isWord || isPgn(parts[0][2], text);
  if (pgn ? /[¼½¾|]/.test(text) : parts.some((part) => part[3]?.includes("."))) return null;
  const last = parts.at(-1)[3];
  const isShared = !pgn && last !== undefined && parts.slice(0, -1).every((part) => part[3] === undefined);
  return stagesOf(
    parts.map(([, moves, time, increment]) => ({
      ...(moves === undefined ? {} : { moves: Number(moves) }),
      time_ms: pgn ? secondsMs(time) : minutesMs(time),
      kind: "fischer",
      increment_ms: secondsMs((isShared ? last : increment) ?? "0"),
    })),
  );
}

/** The rule of US Chess; null where none is written. */
function usRule(word, seconds) {
  if (seconds === undefined) return null;
  const ms = secondsMs(seconds);
  return word === "d" ? { kind: "delay", delay_ms: ms } : { kind: "fischer", increment_ms: ms };
}

function readUsGame(text) {
  const found = US_GAME.exec(text);
  if (!found) return null;
  const control = usRule(found[2], found[3]) ?? { kind: "fischer", increment_ms: 0 };
  return { bank_ms: minutesMs(found[1]), control };
}

function readUsStages(text) {
  const found = [];
  US_STAGE.lastIndex = 0;
  for (;;) {
    const part = US_STAGE.exec(text);
    if (!part || found.length === 8) return null;
    const [, moves, time, word, seconds, after] = part;
    const time_ms = minutesMs(time);
    // 40/2, SD/1 may be hours.
    const isHalves = time_ms >= MINUTE && time_ms % (MINUTE / 2) === 0;
    if (isHalves && Number(moves) >= 10 && time_ms < 5 * SECOND * Number(moves)) return null;
    const stage = { ...(moves === undefined ? {} : { moves: Number(moves) }), time_ms };
    found.push({ stage, rule: usRule(word, seconds) });
    if (after === "") break;
    if (moves === undefined) return null;
  }
  const isShared = found.slice(0, -1).every(({ rule }) => rule === null);
  const shared = (isShared && found.at(-1).rule) || { kind: "fischer", increment_ms: 0 };
  return stagesOf(found.map(({ stage, rule }) => ({ ...stage, ...(rule ?? shared) })));
}

function readSgf(text) {
  let rest = text;
  let bank_ms = null;
  let control = null;
  while (rest !== "") {
    const found = SGF.exec(rest);
    if (!found) return null;
    const [all, main, periods, period, moves, block, seconds, word, many, each] = found;
    if ((main === undefined ? control : bank_ms) !== null) return null;
    if (main !== undefined) bank_ms = secondsMs(main);
    else if (moves !== undefined)
      control = { kind: "canadian", moves: Number(moves), period_ms: secondsMs(block) };
    else if (word === "fischer") control = { kind: "fischer", increment_ms: secondsMs(seconds) };
    else
      control = {
        kind: "byoyomi",
        periods: Number(periods ?? many ?? 1),
        period_ms: secondsMs(period ?? each ?? seconds),
      };
    rest = rest.slice(all.length);
  }
  control ??= { kind: "fischer", increment_ms: 0 };
  if (control.kind === "canadian" && isHasty(bank_ms ?? 0, control.moves, control.period_ms)) return null;
  return { bank_ms: bank_ms ?? 0, control };
}

/** The rule of a control or stage without its main time, as the end of a sentence. */
function ruleText(control) {
  const time = formatDuration(control.period_ms ?? 0);
  switch (control.kind ?? "fischer") {
    case "fischer":
      return control.increment_ms
        ? t("control.increment", { time: formatDuration(control.increment_ms) })
        : "";
    case "bronstein":
      return t("control.bronstein", { time: formatDuration(control.delay_ms) });
    case "delay":
      return t("control.delay", { time: formatDuration(control.delay_ms) });
    case "byoyomi": {
      const increment = formatDuration(control.increment_ms ?? 0);
      const values = { count: control.periods, time, increment };
      return control.increment_ms ? t("control.byoyomiIncrement", values) : t("control.byoyomi", values);
    }
    case "canadian":
      return t("control.canadian", { count: control.moves, time });
    case "hourglass":
      return t("control.hourglassRule");
    default:
      return "";
  }
}

/** Kinds whose rule goes on with the sentence. The others have one of their own. */
const GOES_ON = new Set(["fischer", "byoyomi", "canadian"]);

const ownersTime = (ms, teams) => t(teams ? "control.eachTeam" : "control.each", { time: formatDuration(ms) });

const closed = (words) => t("control.sentence", { words: `${words[0].toUpperCase()}${words.slice(1)}` });

/** A stage of a control: its time, and for which moves. */
function stageText(stage, { isFirst, isRepeated, teams }) {
  const time = isFirst ? ownersTime(stage.time_ms, teams) : formatDuration(stage.time_ms);
  const values = { time, count: stage.moves };
  if (!stage.moves) return isFirst ? time : t("control.stageRest", values);
  if (isRepeated) return isFirst ? t("control.stageFirstEvery", values) : t("control.stageNextEvery", values);
  return isFirst ? t("control.stageFirst", values) : t("control.stageNext", values);
}

/** A stage with the rule that holds in it alone. */
function stageWithRule(stage, words) {
  const rule = ruleText(stage);
  if (rule === "") return words;
  if ((stage.kind ?? "fischer") === "fischer")
    return t("control.stageIncrement", { stage: words, time: formatDuration(stage.increment_ms) });
  return t("control.stageRule", { stage: words, rule });
}

/**
 * A time control in a sentence: "5 min each, plus 3 s after every move."
 *
 * @param {object} control A control with a `kind`, as a state shows it.
 * @param {{bank_ms?: number | null, teams?: boolean, increment_ms?: number}} [options] bank_ms: the time that
 *   every owner begins with; teams: whether teams own the clocks; increment_ms: the session's increment
 * @returns {string}
 */
export function explainControl(control, { bank_ms = null, teams = false, increment_ms = 0 } = {}) {
  if (control.kind === "none") return t("control.none");
  const words = [closed(clauses(control, { bank_ms, teams, increment_ms }))];
  if (control.overtime_ms) words.push(t("control.overtime", { time: formatDuration(control.overtime_ms) }));
  return words.join(" ");
}

function clauses(control, { bank_ms, teams, increment_ms }) {
  if (control.kind === "stages") {
    const { stages } = control;
    const same = stages.every((stage) => ruleText(stage) === ruleText(stages[0]));
    const words = stages.map((stage, position) => {
      const isRepeated = Boolean(control.repeat) && position === stages.length - 1;
      const text = stageText(stage, { isFirst: position === 0, isRepeated, teams });
      return same ? text : stageWithRule(stage, text);
    });
    const rule = same ? ruleText(stages[0]) : "";
    return [...words, rule].filter(Boolean).reduce((first, second) => t("control.goesOn", { first, second }));
  }
  const rule = ruleText(control.kind === "fischer" || !control.kind ? { increment_ms, ...control } : control);
  let time = bank_ms === null ? "" : ownersTime(bank_ms, teams);
  if (bank_ms === 0) time = t("control.noMain");
  if (time === "" || rule === "") return time || rule || t("control.suddenDeath");
  const values = { first: time, second: rule };
  return GOES_ON.has(control.kind ?? "fischer") ? t("control.goesOn", values) : t("control.besides", values);
}

/** The same without the stop at its end, for a label. */
const withoutStop = (text) => text.replace(/[.。]$/, "");

const inSeconds = (ms) => formatDuration(Math.round(ms / SECOND) * SECOND);

/**
 * The time that a config's clock begins with, and a caption to show next to it.
 *
 * @param {object} config A preset's.
 * @param {string | null} [preset] Its name.
 * @returns {{ms: number | null, caption: string}} ms: null for a clock without a limit
 */
export function initialTime(config, preset = null) {
  if (config.sync_mode === "count_up") return { ms: 0, caption: t("control.countsUpCaption") };
  if (config.time_per_cycle_ms) {
    return {
      ms: config.time_per_cycle_ms,
      caption: config.total_time_ms
        ? t("control.ofTotal", { time: formatDuration(config.total_time_ms) })
        : wordingOf(preset, config.sync_mode).aTurn,
    };
  }
  if (config.total_time_ms) return { ms: config.total_time_ms, caption: t("control.forAllCaption") };
  const text =
    typeof config.time_control === "string" ? config.time_control : (config.time_control?.notation ?? "");
  const read = readControl(text);
  if (!read) return { ms: null, caption: "" };
  return { ms: read.bank_ms, caption: captionOf(read.control) };
}

function captionOf(control) {
  const per = (ms) => formatDuration(ms);
  switch (control.kind) {
    case "fischer":
      return control.increment_ms ? `+ ${per(control.increment_ms)}` : "";
    case "bronstein":
      return t("control.bronsteinCaption", { time: per(control.delay_ms) });
    case "delay":
      return t("control.delayCaption", { time: per(control.delay_ms) });
    case "byoyomi":
      return `${control.increment_ms ? `+ ${per(control.increment_ms)} ` : ""}+ ${control.periods} × ${per(control.period_ms)}`;
    case "canadian":
      return t("control.canadianCaption", { count: control.moves, time: per(control.period_ms) });
    case "stages": {
      const later = control.stages.slice(1).map((stage) => per(stage.time_ms));
      const again = control.repeat ? t("control.every", { count: control.stages.at(-1).moves }) : "";
      const then = later.length > 0 ? t("control.stagesCaption", { times: list(later, { type: "unit" }) }) : "";
      return [then, again].filter(Boolean).join(" ");
    }
    case "none":
      return t("word.noLimit");
    case "hourglass":
      return t("example.hourglass");
    default:
      return control.kind;
  }
}

/**
 * A session's clock in short, for a card: `5+3`, `30 s a turn`, `1 h for all`.
 *
 * @param {object} state A state. One of the service's list is without participants.
 * @returns {string}
 */
export function clockLabel(state) {
  const { perTurn } = wordingOf(isQuiz(state) ? "quiz" : null, state.sync_mode);
  const turn = state.time_per_cycle_ms === null ? "" : perTurn(formatDuration(state.time_per_cycle_ms));
  // A session's own bank is the one at the start of the cycle. The time used before belongs to the whole.
  const whole =
    state.total_time_ms +
    (state.time_per_cycle_ms === null && state.status !== "pending" ? state.time_used_ms : 0);
  switch (state.sync_mode) {
    case "per_cycle":
      return turn;
    case "global":
      return [state.total_time_ms === null ? "" : t("control.forAll", { time: inSeconds(whole) }), turn]
        .filter(Boolean)
        .join(", ");
    case "count_up":
      return state.max_time_ms === null
        ? t("control.countsUp")
        : t("control.countsUpTo", { time: formatDuration(state.max_time_ms) });
    default: {
      const control = state.time_control ?? {};
      if (control.kind === "none") return t("control.noLimit");
      if (/^\d+(?:\.\d+)?$/.test(control.notation ?? ""))
        return ownersTime(readControl(control.notation).bank_ms, false);
      // Minutes are hard to read where they are days.
      const read = control.notation ? readControl(control.notation) : null;
      if (control.notation && !(read?.bank_ms >= DAY)) return control.notation;
      if (read) return withoutStop(explainControl(control, { bank_ms: read.bank_ms }));
      const banks = new Set(
        (state.groups?.length ? state.groups : (state.participants ?? [])).map((each) => each.total_time_ms),
      );
      const [only] = banks;
      const begins = state.status === "pending" && banks.size === 1 && only ? only : null;
      return withoutStop(explainControl(control, { bank_ms: begins, increment_ms: state.increment_ms }));
    }
  }
}
