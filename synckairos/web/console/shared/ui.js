// The parts that the console's pages are made of, in one place; and the bar at the top of every page.

import { fill, flat, h, button } from "./dom.js";
import { icon } from "./icons.js";

export { connectionIndicator } from "./connection.js";
export { confirmDialog, errorText, openDialog, toast } from "./dialogs.js";
export { button, fill, h, newId, newUuid, note, setText, statusPill } from "./dom.js";
export { icon } from "./icons.js";
export { copy, shareDialog } from "./share.js";
export { askForToken, createClient, showError, tokenForm } from "./token.js";

const SCHEMES = {
  "": ["Colours: as the system", "contrast"],
  light: ["Colours: light", "sun"],
  dark: ["Colours: dark", "moon"],
};

/** The button that goes round: as the system has it, light, dark. Kept in local storage (see scheme.js). */
export function schemeSwitch() {
  const control = button("Colours", {
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
        // Storage may be forbidden; then the choice holds for this page.
      }
      show();
    },
  });
  const show = () => {
    const [label, sign] = SCHEMES[document.documentElement.dataset.scheme ?? ""];
    control.setAttribute("aria-label", label);
    control.title = label;
    fill(control, icon(sign));
    // The browser's own bar goes with a scheme that was chosen by hand.
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

/**
 * The bar at the top of a page: the way home, what the page puts there, and the switch of colours. A page
 * that has a bar with the way home in its HTML gets the rest put into that.
 */
export function pageBar(...children) {
  const there = document.querySelector("header.bar");
  const bar =
    there ??
    h(
      "header",
      { class: "bar" },
      h(
        "a",
        { class: "brand", href: "/" },
        h("img", { src: "/console/shared/icon.svg", alt: "", width: "28", height: "28" }),
        h("span", {}, "SyncKairos"),
      ),
    );
  bar.append(h("span", { class: "grow" }), ...flat(children), schemeSwitch());
  return bar;
}
