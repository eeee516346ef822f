// The page without clocks: a message that says why, and what the user can do.

import { LINK_IS_OVER, WHOM_TO_ASK } from "../shared/signin.js";
import { button, fill, h, icon, schemeSwitch } from "../shared/ui.js";

/**
 * @typedef {object} PageState
 * @property {string} iconName
 * @property {string} title
 * @property {string} [text]
 * @property {Node[]} [actions]
 */

const home = () => h("a", { class: "button primary", href: "/" }, "All sessions");
const again = (label) => button(label, { class: "primary", onclick: () => location.reload() });

export const connecting = () => ({ iconName: "clock", title: "Connecting …" });

export const away = () => ({
  iconName: "warning",
  title: "The service does not answer",
  text: "This page keeps trying, and shows the session as soon as it can.",
  actions: [again("Try now")],
});

export const deleted = () => ({
  iconName: "trash",
  title: "This session was deleted",
  text: "Its clocks are gone for everybody.",
  actions: [home()],
});

/** @param {boolean} withToken Whether the page sent a token, which may be for other sessions. */
export const notFound = (withToken) => ({
  iconName: "info",
  title: "There is no such session",
  text: withToken
    ? "It ended long ago, was deleted, or your link or token is for another one. Check the address."
    : "It ended long ago, was deleted, or the link is not complete. Check the link, or make a new session.",
  actions: [home()],
});

export const badLink = () => ({
  iconName: "link",
  title: "This link is not complete",
  text:
    "A session’s address ends with its id, 36 characters long. " +
    "Ask for the link again, or find the session in the list.",
  actions: [home()],
});

/** @param {() => void} ask Opens the dialog for a token. */
export const noToken = (ask) => ({
  iconName: "key",
  title: "The service needs a token",
  text: WHOM_TO_ASK,
  actions: [button("Enter a token", { class: "primary", onclick: ask })],
});

/** @param {() => void} ask Opens the dialog for a token. */
export const linkIsOver = (ask) => ({
  iconName: "link",
  ...LINK_IS_OVER,
  actions: [button("Enter a token", { onclick: ask })],
});

export const unreadable = () => ({
  iconName: "warning",
  title: "This page cannot show the session",
  text: "The service may be newer than this page. Load the page again. The session itself goes on.",
  actions: [again("Load again"), home()],
});

/** @param {string} reason */
export const refused = (reason) => ({
  iconName: "warning",
  title: "The service does not show this session",
  text: reason,
  actions: [again("Try again"), home()],
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
    fill(top, h("header", { class: "bar" }, brand, h("span", { class: "grow" }), schemeSwitch()));
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
