// The page without clocks: a message that says why, and what the user can do.

import { t } from "../shared/i18n.js";
import { LINK_IS_OVER, WHOM_TO_ASK } from "../shared/signin.js";
import { button, fill, h, icon, languageChoice, schemeSwitch } from "../shared/ui.js";

/**
 * @typedef {object} PageState
 * @property {string} iconName
 * @property {string} title
 * @property {string} [text]
 * @property {Node[]} [actions]
 */

const home = () => h("a", { class: "button primary", href: "/" }, t("session.all"));
const again = (label) => button(label, { class: "primary", onclick: () => location.reload() });

export const connecting = () => ({ iconName: "clock", title: t("page.connecting") });

export const away = () => ({
  iconName: "warning",
  title: t("page.away"),
  text: t("page.awayText"),
  actions: [again(t("page.tryNow"))],
});

export const deleted = () => ({
  iconName: "trash",
  title: t("page.deleted"),
  text: t("page.deletedText"),
  actions: [home()],
});

/** @param {boolean} withToken Whether the page sent a token, which may be for other sessions. */
export const notFound = (withToken) => ({
  iconName: "info",
  title: t("page.notFound"),
  text: withToken
    ? t("page.notFoundToken")
    : t("page.notFoundText"),
  actions: [home()],
});

export const badLink = () => ({
  iconName: "link",
  title: t("page.badLink"),
  text: t("page.badLinkText"),
  actions: [home()],
});

/** @param {() => void} ask Opens the dialog for a token. */
export const noToken = (ask) => ({
  iconName: "key",
  title: t("signin.title"),
  text: WHOM_TO_ASK,
  actions: [button(t("signin.enter"), { class: "primary", onclick: ask })],
});

/** @param {() => void} ask Opens the dialog for a token. */
export const linkIsOver = (ask) => ({
  iconName: "link",
  ...LINK_IS_OVER,
  actions: [button(t("signin.enter"), { onclick: ask })],
});

export const unreadable = () => ({
  iconName: "warning",
  title: t("page.unreadable"),
  text: t("page.unreadableText"),
  actions: [again(t("page.loadAgain")), home()],
});

/** @param {string} reason */
export const refused = (reason) => ({
  iconName: "warning",
  title: t("page.refused"),
  text: reason,
  actions: [again(t("word.tryAgain")), home()],
});

/**
 * Shows a message in place of the clocks.
 *
 * @param {HTMLElement} top The place of the bar, which gets a plain bar when it is empty.
 * @param {HTMLElement} stage
 * @param {PageState} state
 */
export function showState(top, stage, { iconName, title, text = "", actions = [] }) {
  if (!top.hasChildNodes()) {
    const mark = h("img", { src: "/console/shared/icon.svg", alt: "", width: "28", height: "28" });
    const brand = h("a", { class: "brand", href: "/" }, mark, h("span", {}, "SyncKairos"));
    fill(top, h("header", { class: "bar" }, brand, h("span", { class: "grow" }), languageChoice({ square: true }), schemeSwitch()));
  }
  document.title = `${title} – SyncKairos`;
  stage.removeAttribute("aria-label");
  fill(
    stage,
    h("div", { class: "page-state" }, [
      icon(iconName),
      h("h1", {}, title),
      text && h("p", { class: "muted" }, text),
      actions.length > 0 && h("div", { class: "buttons" }, actions),
    ]),
  );
}
