// Elements. They are built, never written as HTML text, so that no name that people give can become markup.

import { icon } from "./icons.js";
import { STATUSES } from "./names.js";

const PROPERTIES = new Set([
  "value",
  "checked",
  "selected",
  "indeterminate",
  "disabled",
  "open",
  "htmlFor",
  "textContent",
]);

/**
 * An element.
 *
 * @param {string} tag
 * @param {object} [attributes] `class`, `aria-label` and so on as attributes: true is present without a
 *   value, null, undefined and false are absent. `onclick` and the like are listeners, `dataset` and `style`
 *   (custom properties too) objects, `value`, `checked`, `disabled` and `textContent` properties.
 * @param {...(Node | string | number | null | undefined | false | Array)} children
 * @returns {HTMLElement}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined) continue;
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (name === "dataset") Object.assign(element.dataset, value);
    else if (name === "style")
      for (const [key, each] of Object.entries(value)) element.style.setProperty(key, each);
    else if (PROPERTIES.has(name)) element[name] = value;
    else if (value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...flat(children));
  return element;
}

/** Children in one list, without those that are absent. */
export const flat = (children) =>
  children.flat(Infinity).filter((each) => each !== null && each !== undefined && each !== false);

/** Gives an element these children in place of those that it has. */
export function fill(element, ...children) {
  element.replaceChildren(...flat(children));
  return element;
}

/** Sets an element's text, and touches nothing when it is that already. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

let ids = 0;

/** An id that no other element of the page has. */
export function newId(prefix = "id") {
  ids += 1;
  return `${prefix}-${ids}`;
}

/** A random UUID (version 4). crypto.randomUUID is for secure origins only, and a network address is none. */
export function newUuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (each) => each.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

/**
 * A button.
 *
 * @param {string} label What it does. With `square` it is there for screen readers and as a tooltip only.
 * @param {{icon?: string, square?: boolean, class?: string, onclick?: (event: Event) => void}} [options] And
 *   further attributes of the element.
 * @returns {HTMLButtonElement}
 */
export function button(label, { icon: sign, square = false, class: more = "", ...rest } = {}) {
  const names = ["button", square && "square", more].filter(Boolean).join(" ");
  const labels = square ? { "aria-label": label, title: label } : {};
  return h(
    "button",
    { type: "button", class: names, ...labels, ...rest },
    sign && icon(sign),
    !square && h("span", {}, label),
  );
}

const SIGNS = {
  pending: "clock",
  running: "play",
  paused: "pause",
  expired: "flag",
  completed: "check",
  cancelled: "cross",
};

/** What a session is doing, as a small label. */
export function statusPill(status) {
  return h("span", { class: `pill ${status}` }, icon(SIGNS[status] ?? "info"), STATUSES[status] ?? status);
}

/** Something to know, in a box. kind: "", "warn" or "danger". */
export function note(kind, ...children) {
  return h(
    "div",
    { class: `note ${kind}` },
    icon(kind === "" ? "info" : "warning"),
    h("div", {}, ...children),
  );
}
