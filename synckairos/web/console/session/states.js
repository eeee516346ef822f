// The page without clocks: what is the matter, and what to do.

import { button, fill, h, icon, schemeSwitch } from "../shared/ui.js";

/**
 * @typedef {object} PageState
 * @property {string} sign An icon.
 * @property {string} title
 * @property {string} [text]
 * @property {Node[]} [actions]
 */

const home = () => h("a", { class: "button primary", href: "/" }, "All sessions");
const again = (label) => button(label, { class: "primary", onclick: () => location.reload() });

export const connecting = () => ({ sign: "clock", title: "Connecting …" });

export const away = () => ({
  sign: "warning",
  title: "The service does not answer",
  text: "This page goes on trying, and shows the session as soon as it can.",
  actions: [again("Try now")],
});

export const deleted = () => ({
  sign: "trash",
  title: "This session was deleted",
  text: "Its clocks are gone for everybody.",
  actions: [home()],
});

export const notFound = () => ({
  sign: "info",
  title: "There is no such session",
  text:
    "It ended long ago, was deleted, or the link is not complete. " +
    "Check the link, or make a new session.",
  actions: [home()],
});

export const badLink = () => ({
  sign: "link",
  title: "This link is not complete",
  text:
    "A session’s address ends with its id, 36 characters long. " +
    "Ask for the link again, or find the session in the list.",
  actions: [home()],
});

/** @param {() => void} ask */
export const noToken = (ask) => ({
  sign: "key",
  title: "The service wants a token",
  text: "Whoever shared this link can give you one.",
  actions: [button("Enter a token", { class: "primary", onclick: ask })],
});

export const unreadable = () => ({
  sign: "warning",
  title: "This page cannot show the session",
  text: "The service may be newer than this page: load it again. The session itself goes on.",
  actions: [again("Load again"), home()],
});

/** @param {string} why */
export const refused = (why) => ({
  sign: "warning",
  title: "The service does not show this session",
  text: why,
  actions: [again("Try again"), home()],
});

/**
 * Shows a state in place of the clocks.
 *
 * @param {HTMLElement} top Where the bar is; it gets a plain one when it has none.
 * @param {HTMLElement} stage
 * @param {PageState} state
 */
export function showState(top, stage, { sign, title, text = "", actions = [] }) {
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
      icon(sign),
      h("h1", {}, title),
      text && h("p", { class: "muted" }, text),
      actions.length > 0 && h("div", { class: "buttons" }, actions),
    ]),
  );
}
