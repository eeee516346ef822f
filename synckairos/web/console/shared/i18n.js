// The console's words, in the language of the user. Every text stands in a file of texts/, one a language,
// under a key that says where it is used. Modules ask for it by `t`, also while they are loaded: this module
// is ready only when the texts are.

import { STORED, direction, language } from "./languages.js";

export { LANGUAGES, chosenLanguage, direction, language } from "./languages.js";

/**
 * The language for Intl: as the browser's user writes it in their country, where they named one (a British user
 * has no AM and PM). Digits are 0 to 9 in every language, as on the clocks and in what people type.
 */
const locale = (() => {
  const own = globalThis.document ? (navigator.languages ?? []) : [];
  const regional = own.find((each) => each.toLowerCase().split("-")[0] === language);
  return new Intl.Locale(regional ?? language, { numberingSystem: "latn" }).toString();
})();

const texts = (await import(`../texts/${language}.js`)).default;
const plurals = new Intl.PluralRules(language);

/**
 * A text of the console.
 *
 * @param {string} key As in texts/en.js: "<where>.<what>".
 * @param {Record<string, string | number>} [values] What stands for each `{name}` of the text. An entry with
 *   several forms (`{one, other}` and what else the language has) is chosen by `values.count`. Numbers are
 *   written as the language does.
 * @returns {string} The key itself where there is no such text, so that a mistake can be seen.
 */
export function t(key, values = {}) {
  const entry = texts[key];
  if (entry === undefined) return key;
  const text = typeof entry === "string" ? entry : (entry[plurals.select(values.count)] ?? entry.other);
  return text.replace(/\{(\w+)\}/g, (whole, name) => {
    const value = values[name];
    if (value === undefined) return whole;
    return typeof value === "number" ? number(value) : isolated(String(value));
  });
}

/**
 * A value that keeps its own direction within a text from right to left: a Latin name, the minus before digits.
 * Plain numbers need nothing, and can be read back where people type.
 */
export const isolated = (value) =>
  direction === "ltr" || /^\d[\d.]*$/.test(value) ? value : `\u2068${value}\u2069`;

/**
 * The same text in pieces, where a value is an element: "Open {link} again." with an element for `link`.
 *
 * @param {string} key
 * @param {Record<string, string | number | Node>} values
 * @returns {(string | Node)[]}
 */
export function parts(key, values) {
  const strings = Object.entries(values).filter(([, value]) => typeof value !== "object");
  return t(key, Object.fromEntries(strings))
    .split(/\{(\w+)\}/)
    .map((piece, place) => (place % 2 ? (values[piece] ?? `{${piece}}`) : piece))
    .filter((piece) => piece !== "");
}

/** Whether there is a text under a key: for keys that are made of what the service says. */
export const has = (key) => Object.hasOwn(texts, key);

const formats = new Map();

/** A format of Intl, made once, as making one takes long. */
function format(Kind, options) {
  const key = Kind.name + JSON.stringify(options);
  if (!formats.has(key)) formats.set(key, new Kind(locale, options));
  return formats.get(key);
}

/** A number as the language writes it. options: those of Intl.NumberFormat. */
export const number = (value, options = {}) => format(Intl.NumberFormat, options).format(value);

/** A moment (ms since 1970) as the language writes it. options: those of Intl.DateTimeFormat. */
export const moment = (ms, options) => format(Intl.DateTimeFormat, options).format(ms);

/**
 * The words of the language for a unit of time: those that the console writes (`time.*`), and all of Intl.
 *
 * @param {"second" | "minute" | "hour" | "day"} unit
 * @returns {string[]}
 */
export function unitWords(unit) {
  const entry = texts[{ second: "time.s", minute: "time.min", hour: "time.h", day: "time.days" }[unit]];
  const own = typeof entry === "string" ? [entry] : Object.values(entry);
  const words = own.map((text) => text.replace("{number}", "").trim());
  for (const unitDisplay of ["long", "short", "narrow"])
    for (const value of [0, 1, 2, 3, 11, 100])
      for (const part of format(Intl.NumberFormat, { style: "unit", unit, unitDisplay }).formatToParts(value))
        if (part.type === "unit") words.push(part.value.trim());
  return [...new Set(words)];
}

/** Names in one sentence: "Anna, Ben and Cleo". */
export const list = (names, options = {}) => format(Intl.ListFormat, options).format(names);

/**
 * Chooses another language, and loads the page again in it.
 *
 * @param {string | null} code null: the browser's.
 */
export function chooseLanguage(code) {
  try {
    if (code === null) localStorage.removeItem(STORED);
    else localStorage.setItem(STORED, code);
  } catch {
    return; // without storage the choice could not outlive the page
  }
  location.reload();
}

/** Puts the texts of a page's own elements in place of the English ones that its file has. */
function translatePage() {
  for (const each of document.querySelectorAll("[data-t]")) each.textContent = t(each.dataset.t);
  for (const each of document.querySelectorAll("[data-t-label]"))
    each.setAttribute("aria-label", t(each.dataset.tLabel));
  delete document.documentElement.dataset.texts; // scheme.js has hidden them until now
}

if (globalThis.document) translatePage();
