// The console's words, in the language of the user. Every text stands in a file of texts/, one a language,
// under a key that says where it is used. Modules ask for it by `t`, also while they are loaded: this module
// is ready only when the texts are.

import { STORED, language } from "./language.js";

export { LANGUAGES, chosenLanguage, direction, language } from "./language.js";

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
    return typeof value === "number" ? number(value) : String(value);
  });
}

const formats = new Map();

/** A format of Intl, made once: they are dear. */
function format(Kind, options) {
  const key = Kind.name + JSON.stringify(options);
  if (!formats.has(key)) formats.set(key, new Kind(language, options));
  return formats.get(key);
}

/** A number as the language writes it. options: those of Intl.NumberFormat. */
export const number = (value, options = {}) => format(Intl.NumberFormat, options).format(value);

/** A moment (ms since 1970) as the language writes it. options: those of Intl.DateTimeFormat. */
export const moment = (ms, options) => format(Intl.DateTimeFormat, options).format(ms);

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
