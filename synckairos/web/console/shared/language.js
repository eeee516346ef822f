// The choice of the language, beside the one of the colours.

import { h } from "./dom.js";
import { chooseLanguage, chosenLanguage, LANGUAGES, t } from "./i18n.js";
import { icon } from "./icons.js";

/**
 * A select with the languages, each by its own name, and the browser's first. With `square` only its icon is seen
 * until it is opened.
 *
 * @param {{square?: boolean}} [options]
 * @returns {HTMLElement}
 */
export function languageChoice({ square = false } = {}) {
  const chosen = chosenLanguage() ?? "";
  const label = t("language.language");
  const control = h(
    "select",
    {
      class: square ? "" : "select",
      "aria-label": label,
      title: label,
      onchange: () => chooseLanguage(control.value || null),
    },
    h("option", { value: "", selected: chosen === "" }, t("language.browser")),
    Object.entries(LANGUAGES).map(([code, name]) =>
      h("option", { value: code, lang: code, selected: code === chosen }, name),
    ),
  );
  if (!square) return control;
  return h("span", { class: "button square quiet language" }, icon("globe"), control);
}
