// Durations as people read, hear and type them, in the language of the page. All functions are pure.

import { isolated, list, number, t, unitWords } from "./i18n.js";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** Below this, a countdown shows tenths of a second. */
const TENTHS_BELOW_MS = 10 * SECOND;

/**
 * The digits of a clock, in parts, so that tenths can be smaller than the rest.
 *
 * A countdown is rounded up: it shows zero only when time is up, and −0:01 from one second of overtime on. A
 * clock that counts up is rounded down. Below ten seconds a countdown has tenths.
 *
 * @param {number} ms The time left (or passed); negative in overtime.
 * @param {{countUp?: boolean, tenths?: boolean | "always"}} [options] countUp: the time has passed.
 *   tenths: false for none, "always" for tenths at any time (a stopwatch).
 * @returns {{sign: "" | "−", main: string, tenths: string}} As "−", "0:09", ".4"; sign and tenths may be "".
 */
export function clockParts(ms, { countUp = false, tenths = !countUp } = {}) {
  const round = countUp ? Math.floor : Math.ceil;
  const inTenths = round(ms / 100);
  const fine = tenths === "always" || (tenths && ms > 0 && inTenths < TENTHS_BELOW_MS / 100);
  const units = fine ? inTenths : round(ms / SECOND) * 10;
  const whole = Math.floor(Math.abs(units) / 10);
  const two = (number) => String(number).padStart(2, "0");
  const days = Math.floor(whole / 86_400);
  const hours = Math.floor(whole / 3600) % 24;
  const minutes = Math.floor(whole / 60) % 60;
  const seconds = two(whole % 60);
  let main = hours > 0 ? `${hours}:${two(minutes)}:${seconds}` : `${minutes}:${seconds}`;
  if (days > 0) main = `${days} d ${two(hours)}:${two(minutes)}:${seconds}`;
  return {
    sign: units < 0 ? "−" : "",
    main,
    tenths: fine ? `.${Math.abs(units) % 10}` : "",
  };
}

/**
 * The digits of a clock as text: `3 d 04:05:06`, `1:05:09`, `5:00`, `0:09.4`, `−0:03`.
 *
 * @param {number | null} ms null: a clock without a limit, shown as "–".
 * @param {{countUp?: boolean, tenths?: boolean | "always", plus?: boolean}} [options] Those of
 *   clockParts; plus: puts a + before a time that is not negative, for time that was added.
 * @returns {string}
 */
export function formatClock(ms, options = {}) {
  if (ms === null || ms === undefined) return "–";
  const { sign, main, tenths } = clockParts(ms, options);
  const signed = (sign || (options.plus ? "+" : "")) + main + tenths;
  return /^\d[\d:.]*$/.test(signed) ? signed : isolated(signed);
}

/**
 * A duration in words for a screen reader: `3 days 4 hours`, `1 hour 5 minutes`, `9 seconds`, `3 seconds over`.
 *
 * Seconds are left out from an hour on, and minutes from a day on. It is rounded like the digits of the clock.
 *
 * @param {number | null} ms
 * @param {{countUp?: boolean}} [options]
 * @returns {string}
 */
export function spokenDuration(ms, { countUp = false } = {}) {
  if (ms === null || ms === undefined) return t("word.noLimit");
  const rounded = (countUp ? Math.floor : Math.ceil)(ms / SECOND);
  const whole = Math.abs(rounded);
  const days = Math.floor(whole / 86_400);
  const hours = Math.floor(whole / 3600) % 24;
  const minutes = Math.floor(whole / 60) % 60;
  const seconds = whole % 60;
  const words = [];
  const add = (value, unit) => words.push(number(value, { style: "unit", unit, unitDisplay: "long" }));
  if (days) add(days, "day");
  if (hours) add(hours, "hour");
  if (minutes && !days) add(minutes, "minute");
  if (!days && !hours && (seconds || !minutes)) add(seconds, "second");
  const time = list(words, { type: "unit", style: "narrow" });
  return rounded < 0 ? t("time.over", { time }) : time;
}

/**
 * A short duration for a sentence or a field: `5 min`, `1 h 30 min`, `1 min 30 s`, `2.5 s`, `1 day 12 h`.
 * parseDuration reads it back to the same milliseconds.
 *
 * @param {number} ms
 * @returns {string}
 */
export function formatDuration(ms) {
  const sign = ms < 0 ? "−" : "";
  let rest = Math.abs(Math.round(ms));
  const words = [];
  const days = Math.floor(rest / DAY);
  rest %= DAY;
  // Without separators between thousands: the text can be read back.
  if (days) words.push(t("time.days", { count: days, number: String(days) }));
  const hours = Math.floor(rest / HOUR);
  rest %= HOUR;
  const minutes = Math.floor(rest / MINUTE);
  const seconds = (rest % MINUTE) / SECOND;
  if (hours) words.push(t("time.h", { number: hours }));
  if (minutes) words.push(t("time.min", { number: minutes }));
  if (seconds || words.length === 0) words.push(t("time.s", { number: seconds }));
  return sign + words.join(" ");
}

/** A text in which a line never ends between a number and its unit. */
export const unbroken = (text) => text.replace(/(\d) (?=\p{L})/gu, "$1\u00a0");

const UNITS = [
  [/^(?:ms|msec|milliseconds?)$/, 1],
  [/^(?:s|sec|secs|seconds?|")$/, SECOND],
  [/^(?:m|min|mins|minutes?|')$/, MINUTE],
  [/^(?:h|hr|hrs|hours?)$/, HOUR],
  [/^(?:d|days?)$/, DAY],
];

/** The words of the language, in lower case, with what each stands for: those that are written and those of Intl. */
const WORDS = new Map(
  [
    ["second", SECOND],
    ["minute", MINUTE],
    ["hour", HOUR],
    ["day", DAY],
  ].flatMap(([unit, ms]) => unitWords(unit).map((word) => [word.toLowerCase(), ms])),
);
const UNIT_MS = { ms: 1, s: SECOND, min: MINUTE, h: HOUR };

/**
 * Reads a duration as people type it: `5`, `5:00`, `1:30:00`, `90 s`, `1h 30m`, `1,5 min`, `-30s`,
 * `+1:00`.
 *
 * @param {string} text
 * @param {"ms" | "s" | "min" | "h"} [unit] The unit of a number alone.
 * @returns {number | null} Whole milliseconds; null when the text cannot be read or is empty.
 */
export function parseDuration(text, unit = "min") {
  let rest = plainDigits(String(text)).trim().toLowerCase().replaceAll(",", ".");
  const signed = /^([+\-−–])\s*/.exec(rest);
  if (signed) rest = rest.slice(signed[0].length);
  const sign = signed && signed[1] !== "+" ? -1 : 1;
  if (rest === "") return null;

  const colons = /^(\d+):([0-5]?\d)(?::([0-5]\d))?(?:\.(\d{1,3}))?$/.exec(rest);
  if (colons) {
    const [, first, second, third, fraction] = colons;
    const whole =
      third === undefined
        ? Number(first) * MINUTE + Number(second) * SECOND
        : Number(first) * HOUR + Number(second) * MINUTE + Number(third) * SECOND;
    return sign * (whole + Math.round(Number(`0.${fraction ?? 0}`) * SECOND));
  }
  const isNumber = /^\d*\.?\d+$/.test(rest) || /^\d+\.$/.test(rest);
  if (isNumber) return sign * Math.round(Number(rest) * UNIT_MS[unit]);

  let total = 0;
  while (rest !== "") {
    const part = /^(\d+(?:\.\d+)?)\s*([\p{L}\p{M}"'.]+)\s*(?:and\s+)?/u.exec(rest);
    const factor = part && (WORDS.get(part[2]) ?? UNITS.find(([pattern]) => pattern.test(part[2]))?.[1]);
    if (!factor) return null;
    total += Number(part[1]) * factor;
    rest = rest.slice(part[0].length);
  }
  return sign * Math.round(total);
}

/** The digits 0 to 9 and plain signs in place of those of Arabic keyboards and of full width. */
const plainDigits = (text) =>
  text
    .normalize("NFKC")
    .replace(/[\u0660-\u0669\u06f0-\u06f9]/g, (digit) => String(digit.charCodeAt(0) % 16))
    .replaceAll("\u066b", ".");

/**
 * How long ago something was, in short: `just now`, `3 min ago`, `2 h ago`, `4 days ago`.
 *
 * @param {number} then ms since 1970
 * @param {number} now
 * @returns {string}
 */
export function ago(then, now) {
  const passed = Math.max(0, now - then);
  if (passed < MINUTE) return t("ago.now");
  if (passed < HOUR) return t("ago.minutes", { count: Math.floor(passed / MINUTE) });
  if (passed < DAY) return t("ago.hours", { count: Math.floor(passed / HOUR) });
  return t("ago.days", { count: Math.floor(passed / DAY) });
}
