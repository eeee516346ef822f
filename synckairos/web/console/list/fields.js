// Fields of a form: label, control, what it means and what is wrong with it, tied together for screen readers.
// A field knows the dotted path of what it says in a session's config, so that a refusal finds its way to it.

import { h, newId, setText } from "../shared/ui.js";
import { formatDuration, parseDuration } from "../shared/time.js";

/** What a person reads in place of a sentence that speaks of milliseconds and of modes by their names. */
function inWords(path, given) {
  const message = given.replace(/^(is required) in [a-z_]+$/, "$1");
  if (!/_ms(?:\.\d+)?$/.test(path)) return message;
  const range = /must be an integer from (\d+) to (\d+)/.exec(message);
  return range
    ? `must be from ${formatDuration(Number(range[1]))} to ${formatDuration(Number(range[2]))}`
    : message;
}

const sentence = (message) => message[0].toUpperCase() + message.slice(1);

/**
 * A control with its label.
 *
 * @typedef {object} Field
 * @property {HTMLElement} element The whole of it.
 * @property {HTMLElement} control
 * @property {string[]} paths What it says in the config.
 * @property {(message: string, focus?: boolean) => void} fail Shows what is wrong; "" for nothing.
 */

/**
 * @param {{label: string, control: HTMLElement, paths?: string[], hint?: Node | string | null,
 *   class?: string, hideLabel?: boolean}} parts
 * @returns {Field}
 */
export function field({ label, control, paths = [], hint = null, class: more = "", hideLabel = false }) {
  control.id ||= newId("field");
  const problem = h("p", { class: "problem", id: `${control.id}-problem` });
  const meaning = hint && h("p", { class: "hint", id: `${control.id}-hint` }, hint);
  control.setAttribute("aria-describedby", [meaning?.id, problem.id].filter(Boolean).join(" "));
  const element = h(
    "div",
    { class: `field ${more}` },
    h("label", { htmlFor: control.id, class: hideLabel ? "visually-hidden" : "" }, label),
    control,
    meaning,
    problem,
  );
  return { element, control, paths, fail: failing(control, problem) };
}

function failing(control, problem) {
  return (message, path = "") => {
    setText(problem, message && sentence(inWords(path, message)));
    if (message) control.setAttribute("aria-invalid", "true");
    else control.removeAttribute("aria-invalid");
    const place = /at position (\d+)/.exec(message);
    if (place && control instanceof HTMLInputElement) {
      control.setSelectionRange(Number(place[1]) - 1, Number(place[1]));
    }
  };
}

/** One line of text. */
export function textField({
  value = "",
  placeholder = null,
  short = false,
  oninput = null,
  attributes = {},
  ...rest
}) {
  const control = h("input", {
    class: `input${short ? " short" : ""}`,
    type: "text",
    value,
    placeholder,
    autocomplete: "off",
    autocapitalize: "off",
    spellcheck: "false",
    oninput,
    ...attributes,
  });
  return {
    ...field({ ...rest, control }),
    get text() {
      return control.value.trim();
    },
  };
}

/** Thrown by a field that cannot say what its person means. */
export class Unreadable extends Error {
  constructor(where, message) {
    super(message);
    this.field = where;
  }
}

/** The milliseconds that a field's text says. Throws Unreadable. */
export function readDuration(where, text, unit = "min") {
  const read = parseDuration(text, unit);
  if (read === null)
    throw new Unreadable(where, `“${text}” cannot be read as a time: write 5:00, 90 s or 1 h 30 min`);
  return read;
}

/** A duration: `ms` is null where it is left empty, and throws Unreadable where it cannot be read. */
export function durationField({ ms = null, unit = "min", ...rest }) {
  const made = textField({ short: true, value: ms === null ? "" : formatDuration(ms), ...rest });
  return Object.defineProperty(made, "ms", {
    get: () => (made.text === "" ? null : readDuration(made, made.text, unit)),
  });
}

/** Several durations in one line, with commas between. */
export function durationsField({ list = [], unit = "s", ...rest }) {
  const made = textField({ value: list.map(formatDuration).join(", "), ...rest });
  const read = () =>
    made.text
      .split(/[,;]/)
      .map((each) => each.trim())
      .filter(Boolean)
      .map((each) => readDuration(made, each, unit));
  return Object.defineProperty(made, "list", { get: read });
}

/** One of several, from a list that opens. options: [value, label] */
export function selectField({ options, value = "", onchange = null, ...rest }) {
  const control = h(
    "select",
    { class: "select", onchange },
    options.map(([each, label]) => h("option", { value: each, selected: each === value }, label)),
  );
  return {
    ...field({ ...rest, control }),
    get value() {
      return control.value;
    },
  };
}

/** Yes or no. */
export function checkField({ label, checked = false, hint = null, paths = [], onchange = null }) {
  const control = h("input", { type: "checkbox", id: newId("field"), checked, onchange });
  const problem = h("span", { class: "problem", id: `${control.id}-problem` });
  const meaning = hint && h("span", { class: "hint", id: `${control.id}-hint` }, hint);
  control.setAttribute("aria-describedby", [meaning?.id, problem.id].filter(Boolean).join(" "));
  const element = h(
    "div",
    { class: "check" },
    control,
    h("div", {}, h("label", { htmlFor: control.id }, label), meaning, problem),
  );
  return {
    element,
    control,
    paths,
    fail: failing(control, problem),
    get checked() {
      return control.checked;
    },
  };
}

/**
 * One of a few, all in sight.
 *
 * @param {{label: string, options: [string, string][], value: string, onchange: (value: string) => void,
 *   hideLabel?: boolean}} parts
 */
export function segments({ label, options, value, onchange, hideLabel = false }) {
  const name = newId("choice");
  let chosen = value;
  const element = h(
    "fieldset",
    { class: "choice" },
    h("legend", { class: hideLabel ? "visually-hidden" : "" }, label),
    h(
      "div",
      { class: "segments" },
      options.map(([each, text]) =>
        h(
          "label",
          {},
          h("input", {
            type: "radio",
            name,
            value: each,
            checked: each === value,
            onchange: () => {
              chosen = each;
              onchange(each);
            },
          }),
          h("span", {}, text),
        ),
      ),
    ),
  );
  return {
    element,
    get value() {
      return chosen;
    },
  };
}

/**
 * How well a path of a field fits the one that a refusal names, which may go on below it; 0: not at all.
 *
 * @param {string} path `*` stands for any position.
 * @param {string} named
 */
function fit(path, named) {
  const [parts, names] = [path.split("."), named.split(".")];
  if (parts.length > names.length || !parts.every((part, at) => part === "*" || part === names[at])) return 0;
  return parts.length + (path.includes("*") ? 0.5 : 0.75);
}

/**
 * Shows a refusal's details at the fields that they are about: each at the one in sight whose path fits best.
 *
 * @param {Field[]} fields
 * @param {{field: string, message: string}[]} details
 * @returns {{field: string, message: string}[]} those that no field is there for
 */
export function place(fields, details) {
  const messages = new Map();
  const left = [];
  for (const detail of details) {
    let best = null;
    let most = 0;
    for (const each of fields.filter(({ element }) => !element.closest("[hidden]"))) {
      const found = Math.max(...each.paths.map((path) => fit(path, detail.field)), 0);
      if (found > most) [best, most] = [each, found];
    }
    if (best === null) left.push(detail);
    else messages.set(best, [...(messages.get(best) ?? []), detail]);
  }
  for (const [each, wrong] of messages) {
    each.fail(
      [...new Set(wrong.map((detail) => inWords(detail.field, detail.message)))].join("; "),
      wrong[0].field,
    );
  }
  return left;
}

/** Takes all messages away. */
export function clear(fields) {
  for (const each of fields) each.fail("");
}

/** Brings all fields that are wrong into sight, and focuses the first. Whether there is one. */
export function focusWrong(root) {
  const wrong = [...root.querySelectorAll('[aria-invalid="true"], .problem[tabindex]:not(:empty)')].filter(
    (each) => !each.closest("[hidden]"),
  );
  for (const details of root.querySelectorAll("details"))
    if (wrong.some((each) => details.contains(each))) details.open = true;
  wrong[0]?.focus();
  return wrong.length > 0;
}
