// Moments of the calendar as people read and enter them, in the time zone of the device. All functions are pure.

import { moment, t } from "./i18n.js";

const TIME = { hour: "numeric", minute: "2-digit" };
const DAY_AND_TIME = { weekday: "short", day: "numeric", month: "short", ...TIME };
const DATE_AND_TIME = { dateStyle: "medium", timeStyle: "short" };

const dayOf = (ms) => new Date(ms).toDateString();

/** The day so many days after a moment. Days have 23 hours and 25. */
function dayAfter(ms, days) {
  const at = new Date(ms);
  at.setHours(12);
  at.setDate(at.getDate() + days);
  return at.toDateString();
}

const two = (number) => String(number).padStart(2, "0");

/**
 * A moment as text: the time of day, with the day where it is another one than today ("1:54 AM tomorrow", "Tue,
 * Dec 8, 1:54 AM"), and with the year where it is another one.
 *
 * @param {number} ms since 1970
 * @param {number} [now] since 1970
 */
export function momentText(ms, now = Date.now()) {
  const time = moment(ms, TIME);
  if (dayOf(ms) === dayOf(now)) return time;
  if (dayOf(ms) === dayAfter(now, 1)) return t("faces.tomorrow", { time });
  if (dayOf(ms) === dayAfter(now, -1)) return t("faces.yesterday", { time });
  const isThisYear = new Date(ms).getFullYear() === new Date(now).getFullYear();
  return moment(ms, isThisYear ? DAY_AND_TIME : DATE_AND_TIME);
}

/** The time zone of this device, with its distance from UTC: `Europe/Berlin (UTC+1)`. */
export function timeZone(at = Date.now()) {
  const { timeZone: name } = Intl.DateTimeFormat().resolvedOptions();
  const minutes = -new Date(at).getTimezoneOffset();
  const size = Math.abs(minutes);
  const hours = `${Math.floor(size / 60)}${size % 60 ? `:${two(size % 60)}` : ""}`;
  const offset = minutes === 0 ? "UTC" : `UTC${minutes < 0 ? "−" : "+"}${hours}`;
  return !name || name === "UTC" ? offset : `${name} (${offset})`;
}

/**
 * A moment as the value of an `<input type="datetime-local">`, to the second.
 *
 * @param {number | null} ms null: "".
 */
export function toLocal(ms) {
  if (ms === null) return "";
  const at = new Date(ms);
  const date = `${String(at.getFullYear()).padStart(4, "0")}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return `${date}T${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

/**
 * The moment (ms since 1970) that the value of such a field stands for; null where it is none.
 *
 * @param {string} text
 */
export function fromLocal(text) {
  if (!/^\d{4,6}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?$/.test(text)) return null;
  const ms = new Date(text).getTime();
  return Number.isNaN(ms) ? null : ms;
}
