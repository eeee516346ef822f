// Builds elements. They are never written as HTML text, so that a participant's name cannot become markup.

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
 * Makes an element.
 *
 * @param {string} tag
 * @param {object} [attributes] Most become attributes: true stands for an empty value; null, undefined and
 *   false leave the attribute out. Functions such as `onclick` become listeners. `dataset` and `style`
 *   (custom properties too) are objects. `value`, `checked` and the others of PROPERTIES are properties.
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

/** The children in one flat list, without null, undefined and false. */
export const flat = (children) =>
  children.flat(Infinity).filter((each) => each !== null && each !== undefined && each !== false);

/** Replaces an element's children. */
export function fill(element, ...children) {
  element.replaceChildren(...flat(children));
  return element;
}

/** Sets an element's text, unless it is the same already: then no layout is needed. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

let ids = 0;

/** An id that no other element of the page has. */
export function newId(prefix = "id") {
  ids += 1;
  return `${prefix}-${ids}`;
}

/**
 * Makes a button.
 *
 * @param {string} label What the button does. With `square` only screen readers and the tooltip give it.
 * @param {{icon?: string, square?: boolean, class?: string, onclick?: (event: Event) => void}} [options]
 *   All others become attributes of the element.
 * @returns {HTMLButtonElement}
 */
export function button(label, { icon: iconName, square = false, class: more = "", ...rest } = {}) {
  const names = ["button", square && "square", more].filter(Boolean).join(" ");
  const labels = square ? { "aria-label": label, title: label } : {};
  return h(
    "button",
    { type: "button", class: names, ...labels, ...rest },
    iconName && icon(iconName),
    !square && h("span", {}, label),
  );
}

const STATUS_ICONS = {
  pending: "clock",
  running: "play",
  paused: "pause",
  expired: "flag",
  completed: "check",
  cancelled: "cross",
};

/** A session's status, as a small label with an icon. */
export function statusPill(status) {
  const iconName = STATUS_ICONS[status] ?? "info";
  return h("span", { class: `pill ${status}` }, icon(iconName), STATUSES[status] ?? status);
}

/** A message in a box. kind: "" (information), "warn" or "danger". */
export function note(kind, ...children) {
  return h(
    "div",
    { class: `note ${kind}` },
    icon(kind === "" ? "info" : "warning"),
    h("div", {}, ...children),
  );
}
