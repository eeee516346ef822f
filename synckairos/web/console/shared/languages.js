// Which language the page is in. The module imports nothing and waits for nothing, so that the texts of the
// language can be loaded with the page's first files, and nothing is painted in the other direction.

/** The languages of the console by their code, each in its own words. */
export const LANGUAGES = Object.freeze({
  en: "English",
  de: "Deutsch",
  es: "Español",
  fr: "Français",
  pt: "Português",
  zh: "中文",
  ja: "日本語",
  ar: "العربية",
});

const RIGHT_TO_LEFT = new Set(["ar"]);
/** Where the choice is kept. */
export const STORED = "synckairos.language";

/** The language that the user chose in the menu; null: none, then the browser's counts. */
export function chosenLanguage() {
  try {
    const stored = globalThis.localStorage?.getItem(STORED) ?? null;
    return stored !== null && Object.hasOwn(LANGUAGES, stored) ? stored : null;
  } catch {
    return null; // the browser may forbid storage
  }
}

function findLanguage() {
  const wanted = [chosenLanguage(), ...(globalThis.document ? (navigator.languages ?? []) : [])];
  const codes = wanted.map((each) => each?.toLowerCase().split("-")[0]);
  return codes.find((each) => Object.hasOwn(LANGUAGES, each)) ?? "en";
}

/** The code of the language of this page. Outside of a browser it is English. */
export const language = findLanguage();

/** The direction in which it is written. */
export const direction = RIGHT_TO_LEFT.has(language) ? "rtl" : "ltr";

if (globalThis.document) {
  document.documentElement.lang = language;
  document.documentElement.dir = direction;
}
