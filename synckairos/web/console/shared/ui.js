// The parts that both pages are made of, in one place, and the button that switches the colours.

import { button, fill } from "./dom.js";
import { t } from "./i18n.js";
import { icon } from "./icons.js";

export { connectionIndicator } from "./connection.js";
export { errorText, openDialog, toast } from "./dialogs.js";
export { button, fill, flat, h, newId, note, setText, statusPill } from "./dom.js";
export { icon } from "./icons.js";
export { languageChoice } from "./language.js";
export { copy } from "./copying.js";
export { linksDialog, shareDialog } from "./later.js";
export { askForToken, createClient, tokenCard } from "./signin.js";

const SCHEMES = {
  "": [t("colours.system"), "contrast"],
  light: [t("colours.light"), "sun"],
  dark: [t("colours.dark"), "moon"],
};

/**
 * The button that switches the colours: the system's, light, dark, and round again. The choice is kept in
 * local storage, where scheme.js reads it before the page is painted.
 */
export function schemeSwitch() {
  const control = button(t("colours.colours"), {
    square: true,
    class: "quiet",
    onclick: () => {
      const order = Object.keys(SCHEMES);
      const next = order[(order.indexOf(document.documentElement.dataset.scheme ?? "") + 1) % order.length];
      if (next) document.documentElement.dataset.scheme = next;
      else delete document.documentElement.dataset.scheme;
      try {
        if (next) localStorage.setItem("synckairos.scheme", next);
        else localStorage.removeItem("synckairos.scheme");
      } catch {
        // The browser may forbid storage. Then the choice holds until the page is loaded again.
      }
      show();
    },
  });
  const show = () => {
    const [label, iconName] = SCHEMES[document.documentElement.dataset.scheme ?? ""];
    control.setAttribute("aria-label", label);
    control.title = label;
    fill(control, icon(iconName));
    // The browser's own bar follows a scheme that was chosen by hand.
    for (const meta of document.querySelectorAll('meta[name="theme-color"]')) {
      meta.dataset.own ??= meta.content;
      meta.content = document.documentElement.dataset.scheme
        ? getComputedStyle(document.documentElement).backgroundColor
        : meta.dataset.own;
    }
  };
  show();
  return control;
}
