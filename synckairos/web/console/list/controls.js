// Time controls in words. This page reads their texts only to explain them while the user types: the service
// decides whether one is valid. "Time controls as text" in lua/controls/README.md says how it reads them.

import { formatDuration } from "../shared/time.js";

const MINUTE = 60_000;
const SECOND = 1000;
/** `300+3` is PGN's notation: with an increment or stages, a whole first time from 180 on means seconds. */
const PGN_FROM = 180;

/** Examples as players write them, with the names that players use. */
export const EXAMPLES = Object.freeze([
  ["5+3", "increment"],
  ["10d5", "delay"],
  ["10b5", "Bronstein"],
  ["10+5x30", "byo-yomi"],
  ["10+25/300", "Canadian"],
  ["hourglass 5", "hourglass"],
  ["40/90:30+30", "stages"],
  ["-", "no limit"],
]);

const bank = (minutes) => Math.floor(Number(minutes) * MINUTE);

/**
 * The time control that a text stands for, as the service's state would show it. Null when this page cannot
 * read the text.
 *
 * @param {string} text
 * @returns {{bank_ms: number | null, control: object} | null}
 */
export function readControl(text) {
  let rest = text;
  if (rest === "-" || rest === "pgn -") return { bank_ms: null, control: { kind: "none" } };
  const glass = /^hourglass (\d+(?:\.\d+)?)$/.exec(rest);
  if (glass) return { bank_ms: bank(glass[1]), control: { kind: "hourglass" } };
  const pgnGlass = /^(?:pgn )?\*(\d+)$/.exec(rest);
  if (pgnGlass) return { bank_ms: Number(pgnGlass[1]) * SECOND, control: { kind: "hourglass" } };
  let pgn = false;
  if (rest.startsWith("pgn ")) {
    pgn = true;
    rest = rest.slice(4);
    if (rest.includes(".")) return null;
  }
  if (rest.includes(":")) return readStages(rest.split(":"), pgn);

  const found = /^(\d+(?:\.\d+)?)(?:\+(\d+)x(\d+)|\+(\d+)\/(\d+)|\+(\d+)|b(\d+)|d(\d+))?$/.exec(rest);
  if (!found) return null;
  const [, time, periods, period, moves, block, increment, bronstein, delay] = found;
  const inSeconds = pgn || (increment !== undefined && !time.includes(".") && Number(time) >= PGN_FROM);
  const bank_ms = inSeconds ? Number(time) * SECOND : bank(time);
  if (periods !== undefined) {
    return {
      bank_ms,
      control: { kind: "byoyomi", periods: Number(periods), period_ms: Number(period) * SECOND },
    };
  }
  if (moves !== undefined) {
    return {
      bank_ms,
      control: { kind: "canadian", moves: Number(moves), period_ms: Number(block) * SECOND },
    };
  }
  if (bronstein !== undefined)
    return { bank_ms, control: { kind: "bronstein", delay_ms: Number(bronstein) * SECOND } };
  if (delay !== undefined) return { bank_ms, control: { kind: "delay", delay_ms: Number(delay) * SECOND } };
  return { bank_ms, control: { kind: "fischer", increment_ms: Number(increment ?? 0) * SECOND } };
}

function readStages(parts, pgn) {
  const stages = [];
  for (const [position, part] of parts.entries()) {
    const found = /^(?:(\d+)\/)?(\d+(?:\.\d+)?)(?:\+(\d+))?$/.exec(part);
    const isLast = position === parts.length - 1;
    if (!found || (found[1] === undefined) !== isLast) return null;
    stages.push({ moves: found[1], time: found[2], increment: found[3] });
  }
  const inSeconds = pgn || (!stages[0].time.includes(".") && Number(stages[0].time) >= PGN_FROM);
  const last = stages.at(-1).increment;
  const everywhere = last !== undefined && stages.slice(0, -1).every((each) => each.increment === undefined);
  const read = stages.map(({ moves, time, increment }) => ({
    ...(moves === undefined ? {} : { moves: Number(moves) }),
    time_ms: inSeconds ? Number(time) * SECOND : bank(time),
    kind: "fischer",
    increment_ms: Number((everywhere ? last : increment) ?? 0) * SECOND,
  }));
  return { bank_ms: read[0].time_ms, control: { kind: "stages", stages: read } };
}

const count = (number, word) => `${number} ${word}${number === 1 ? "" : "s"}`;

/** The rule of a control or stage without its main time, as the end of a sentence. */
function ruleText(control) {
  const per = formatDuration(control.period_ms ?? 0);
  switch (control.kind ?? "fischer") {
    case "fischer":
      return control.increment_ms ? `plus ${formatDuration(control.increment_ms)} after every move` : "";
    case "bronstein":
      return `after every move its time is given back, at most ${formatDuration(control.delay_ms)}`;
    case "delay":
      return `in every move the first ${formatDuration(control.delay_ms)} are free`;
    case "byoyomi":
      return `then ${count(control.periods, "period")} of ${per}, each kept by a move within it`;
    case "canadian":
      return `then ${count(control.moves, "move")} in every ${per}`;
    case "hourglass":
      return "the time that one player uses, the other one gets";
    default:
      return "";
  }
}

/**
 * A time control in a sentence: "5 min each, plus 3 s after every move."
 *
 * @param {object} control A control with a `kind`, as a state shows it.
 * @param {{bank_ms?: number | null, each?: string, increment_ms?: number}} [options] bank_ms: the time that
 *   every owner begins with; each: "each" or "for each team"; increment_ms: the session's increment
 * @returns {string}
 */
export function explainControl(control, { bank_ms = null, each = "each", increment_ms = 0 } = {}) {
  if (control.kind === "none") return "No limit: time is counted and never runs out.";
  const overtime = control.overtime_ms
    ? ` After that up to ${formatDuration(control.overtime_ms)} of overtime, below zero.`
    : "";
  if (control.kind === "stages") {
    const same = control.stages.every((stage) => ruleText(stage) === ruleText(control.stages[0]));
    const parts = control.stages.map((stage, position) => {
      const time = `${formatDuration(stage.time_ms)}${position === 0 ? ` ${each}` : " more"}`;
      const moves = stage.moves
        ? ` for ${position === 0 ? "the first" : "the next"} ${count(stage.moves, "move")}`
        : "";
      const rule = same ? "" : ruleText(stage);
      const how = rule.startsWith("plus ") ? ` with ${rule.slice(5)}` : rule && ` (${rule})`;
      return `${position === 0 ? "" : "then "}${time}${moves || (position ? " for the rest" : "")}${how}`;
    });
    const how = same ? ruleText(control.stages[0]) : "";
    return `${parts.join(", ")}${how ? `, ${how}` : ""}.${overtime}`;
  }
  const how = ruleText(control.kind === "fischer" || !control.kind ? { increment_ms, ...control } : control);
  const time = bank_ms === null ? "" : `${formatDuration(bank_ms)} ${each}`;
  const sentence =
    [time, how].filter(Boolean).join(/^(?:plus|then) /.test(how) ? ", " : "; ") ||
    "sudden death: time only runs down";
  return `${sentence[0].toUpperCase()}${sentence.slice(1)}.${overtime}`;
}

const inSeconds = (ms) => formatDuration(Math.round(ms / SECOND) * SECOND);

/**
 * The time that a config's clock begins with, and a caption to show next to it.
 *
 * @param {object} config A preset's.
 * @returns {{ms: number | null, caption: string}} ms: null for a clock without a limit
 */
export function initialTime(config) {
  if (config.sync_mode === "count_up") return { ms: 0, caption: "counts up" };
  if (config.time_per_cycle_ms) {
    return {
      ms: config.time_per_cycle_ms,
      caption: config.total_time_ms ? `of ${formatDuration(config.total_time_ms)}` : "a turn",
    };
  }
  if (config.total_time_ms) return { ms: config.total_time_ms, caption: "for all" };
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
      return `${per(control.delay_ms)} back`;
    case "delay":
      return `${per(control.delay_ms)} delay`;
    case "byoyomi":
      return `+ ${control.periods} × ${per(control.period_ms)}`;
    case "canadian":
      return `+ ${control.moves} in ${per(control.period_ms)}`;
    case "stages":
      return `then ${control.stages
        .slice(1)
        .map((stage) => per(stage.time_ms))
        .join(", ")}`;
    case "none":
      return "no limit";
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
  const turn = state.time_per_cycle_ms === null ? "" : `${formatDuration(state.time_per_cycle_ms)} a turn`;
  // A session's own bank is the one at the start of the cycle. The time used before belongs to the whole.
  const whole =
    state.total_time_ms +
    (state.time_per_cycle_ms === null && state.status !== "pending" ? state.time_used_ms : 0);
  switch (state.sync_mode) {
    case "per_cycle":
      return turn;
    case "global":
      return [state.total_time_ms === null ? "" : `${inSeconds(whole)} for all`, turn]
        .filter(Boolean)
        .join(", ");
    case "count_up":
      return state.max_time_ms === null ? "Counts up" : `Counts up to ${formatDuration(state.max_time_ms)}`;
    default: {
      const control = state.time_control ?? {};
      if (control.kind === "none") return "No limit";
      if (/^\d+(?:\.\d+)?$/.test(control.notation ?? ""))
        return `${formatDuration(readControl(control.notation).bank_ms)} each`;
      if (control.notation) return control.notation;
      const banks = new Set(
        (state.groups?.length ? state.groups : (state.participants ?? [])).map((each) => each.total_time_ms),
      );
      const [only] = banks;
      const begins = state.status === "pending" && banks.size === 1 && only ? only : null;
      return explainControl(control, { bank_ms: begins, increment_ms: state.increment_ms }).slice(0, -1);
    }
  }
}
