// What the service says of a field that it does not take, in the words of the user. The service's messages are
// English and for programs: times are in milliseconds, moments in milliseconds since 1970. Each kind of message that
// a form can get is in the table below; another one is shown as it came.

import { list, moment, number, t } from "./i18n.js";
import { formatDuration } from "./time.js";

const oneOf = (choices) => list(choices, { type: "disjunction" });
const isMoment = (path) => /^(?:starts|ends)_at_ms$/.test(path);
const isTime = (path) => /_ms(?:\.\d+)?$/.test(path);

/** A moment with its seconds: it may be this very minute. */
const momentOf = (ms) => moment(Number(ms), { dateStyle: "medium", timeStyle: "medium" });
const ahead = (ms) => t("fault.ahead", { now: momentOf(ms) });
const range = (least, most, path) => {
  const write = isTime(path) ? (value) => formatDuration(Number(value)) : (value) => number(Number(value));
  return t("fault.range", { least: write(least), most: write(most) });
};
const times = (least, most) => range(least, most, "time_ms");

/** What the service expects at a place of a time control, where that is no symbol in quotes. */
const EXPECTED = {
  "the end": () => t("fault.theEnd"),
  "a time": () => t("fault.aTime"),
  minutes: () => t("fault.minutes"),
  seconds: () => t("fault.seconds"),
  moves: () => t("fault.moves"),
  periods: () => t("fault.periods"),
  decimals: () => t("fault.decimals"),
  "a number": () => t("fault.aNumber"),
  "a whole number": () => t("fault.wholeNumber"),
  "whole seconds": () => t("fault.wholeSeconds"),
  "whole seconds after minutes": () => t("fault.wholeSeconds"),
  '"pgn" and seconds': () => '"pgn" …',
  '"pgn" in front of seconds': () => '"pgn" …',
};
/** Choices are apart by commas and "or"; in quotes both are symbols. */
const expected = (choices) =>
  oneOf(
    [...choices.matchAll(/(?:,? or |, |^)((?:"[^"]*"|[^",])+?)(?=,? or |, |$)/g)].map(([, choice]) => EXPECTED[choice]?.() ?? choice),
  );

const minutes = (value) => t("time.min", { number: Number(value) });
const seconds = (value) => t("time.s", { number: Number(value) });
const hours = (value) => t("time.h", { number: Number(value) });
const perMove = (value) => t("control.perTurn", { time: seconds(value) });
const movesIn = (count, time) => t("fault.movesIn", { count: Number(count), time });

/** One of the meanings of a time control that has several. */
const MEANINGS = [
  [/^(\S+) minutes and (\S+) seconds$/, (first, second) => `${minutes(first)} + ${seconds(second)}`],
  [/^(\S+) seconds and (\S+) seconds$/, (first, second) => `${seconds(first)} + ${seconds(second)}`],
  [/^(\d+) moves in (\S+) minutes$/, (count, time) => movesIn(count, minutes(time))],
  [/^(\d+) moves in (\S+) seconds$/, (count, time) => movesIn(count, seconds(time))],
  [/^(\d+) moves in (\S+) hours$/, (count, time) => movesIn(count, hours(time))],
  [/^(\d+) more minutes with (\d+) seconds a move$/, (more, added) => `+ ${minutes(more)} (${perMove(added)})`],
];

/** What is wrong at a place of a time control. */
const AT_PLACE = [
  [
    /^two meanings: (.*); (.*) expected$/,
    (meanings, choices) => {
      const [first, ...others] = meanings.split(/, or /);
      const moves = /^\d+ moves /.exec(first)?.[0] ?? "";
      const whole = others.map((each) => each.replace(/^in /, `${moves}in `));
      const least = /^at least (\d+) seconds a move$/.exec(choices);
      return t("fault.meanings", {
        meanings: oneOf([first, ...whole].map((each) => matched(MEANINGS, each))),
        what: least ? `≥ ${perMove(least[1])}` : expected(choices),
      });
    },
  ],
  [/^no more than (\d+) stages expected$/, (most) => t("fault.mostEntries", { most: Number(most) })],
  [/^a text of at most (\d+) characters expected$/, (most) => t("fault.characters", { most: Number(most) })],
  [/^a number of at most (\d+) characters expected$/, (most) => t("fault.characters", { most: Number(most) })],
  [/^(.*) expected$/s, (choices) => t("fault.expected", { what: expected(choices) })],
  [/^(\w+) (must .*)$/s, (member, message) => faultText(member, message)],
];

/** The texts of the first line of a table that a message matches; the message itself where none does. */
function matched(table, message, path = "") {
  for (const [pattern, text] of table) {
    const found = pattern.exec(message);
    if (found) return text(...found.slice(1), path);
  }
  return message;
}

const FAULTS = [
  [/^cannot be read at position (\d+): (.*)$/s, (position, what) => t("fault.unreadable", { position: Number(position), what: matched(AT_PLACE, what) })],
  [/^(?:is required(?:[ :,].*)?|must be given(?:: .*)?)$/, () => t("fault.required")],
  [/^must be ahead: the server time is (\d+)$/, (now) => ahead(now)],
  [/^must be at most 366 days ahead$/, () => t("fault.daysAhead", { most: formatDuration(366 * 86_400_000) })],
  [/^must be after starts_at_ms$/, () => t("fault.afterStart")],
  [/^must be after the start, \d+$/, () => t("fault.afterStart")],
  [/^must be before the end, \d+$/, () => t("fault.beforeEnd")],
  [/^must be an integer from (\d+) to (\d+)(?:: nothing comes after a bank of 0)?$/,
    (least, most, path) => (isMoment(path) ? ahead(Date.now()) : range(least, most, path))],
  [/^must be 0 or an integer from (\d+) to (\d+)$/, (least, most, path) => range(least, most, path)],
  [/^must be (?:0 or )?a time from 1 second to (\d+) (days|hours)\b.*$/, (most, unit) => times(1000, most * (unit === "days" ? 86_400_000 : 3_600_000))],
  [/^must be (-?\d+) to (\d+) milliseconds$/, (least, most) => times(least, most)],
  [/^must be a whole number from (-?\d+) to (\d+)$/, (least, most) => range(least, most, "")],
  [/^must be (\d+) to (\d+)(?: turns)?$/, (least, most) => range(least, most, "")],
  [/^must be (?:a text of )?\d+ to (\d+) characters\b.*$/, (most) => t("fault.characters", { most: Number(most) })],
  [/^must be at most (\d+)$/, (most) => t("fault.mostEntries", { most: Number(most) })],
  [/^must have at most (\d+) (?:keys|stages|members|lists)\b.*$/, (most) => t("fault.mostEntries", { most: Number(most) })],
  [/^must be at most (\d+) bytes\b.*$/, (most) => t("fault.tooLong", { most: Number(most) })],
  [/^have names of which the metadata becomes \d+ bytes long, and it may have (\d+):.*$/, (most) => t("fault.tooLong", { most: Number(most) })],
  [/^must be \d+ to \d+ letters, digits, .*$/, () => t("room.fieldBad")],
  [/^(?:is there twice|is given twice|is taken|is in the session already|is another group's name, too)$/, () => t("fault.twice")],
  [/^(?:is none of (?:participants|groups)|is no group of this session|must be the name of one of the groups: .*)$/s, () => t("fault.none")],
  [/^(?:must be left out(?:[ :,].*)?|has no effect\b.*|is no parameter of \w+|says something else than the notation)$/, () => t("fault.leaveOut")],
  [/^is unknown(?:; did you mean .*)?$/s, () => t("fault.unknown")],
  [/^(?:must be UTF-8\b.*|has half a surrogate pair.*)$/, () => t("fault.character")],
  [/^\w+ needs a service with LONG_CLOCKS=true$/, () => t("fault.longClocks")],
];

/**
 * What is wrong with a field, without its name.
 *
 * @param {string} path The field's path in the config, by which a number is known for a time.
 * @param {string} message The service's.
 * @returns {string}
 */
export const faultText = (path, message) => matched(FAULTS, message, path);

/** The same of several fields in one line, each with its name. */
export const faultsText = (details) =>
  details.map(({ field, message }) => `${field}${field && ": "}${faultText(field, message)}`).join("; ");
