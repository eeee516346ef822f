// The fields of a form: label, control, hint and error message, tied together for screen readers. A field
// knows the dotted path of its value in a session's config, so that the service's errors find their field.

import { drawCaret } from "/synckairos.js";
import { h, newId, setText } from "../shared/ui.js";
import { number, t } from "../shared/i18n.js";
import { faultText } from "../shared/faults.js";
import { fromLocal, toLocal } from "../shared/moments.js";
import { formatDuration, parseDuration, unbroken } from "../shared/time.js";

const sentence = (message) => message[0].toUpperCase() + message.slice(1);

/**
 * A control with its label.
 *
 * @typedef {object} Field
 * @property {HTMLElement} element The whole field.
 * @property {HTMLElement} control
 * @property {string[]} paths The paths of its value in the config.
 * @property {(message: string, serviceMessage?: string) => void} fail Shows an error message; "" removes it.
 */

/**
 * @param {{label: string, control: HTMLElement, paths?: string[], hint?: Node | string | null,
 *   class?: string, hideLabel?: boolean}} parts
 * @returns {Field}
 */
export function field({ label, control, paths = [], hint = null, class: more = "", hideLabel = false }) {
  control.id ||= newId("field");
  const problem = h("p", { class: "problem", id: `${control.id}-problem` });
  const caret = h("pre", { class: "caret mono", "aria-hidden": "true" });
  const words = typeof hint === "string" ? unbroken(hint) : hint;
  const meaning = hint && h("p", { class: "hint", id: `${control.id}-hint` }, words);
  control.setAttribute("aria-describedby", [meaning?.id, problem.id].filter(Boolean).join(" "));
  const element = h(
    "div",
    { class: `field ${more}` },
    h("label", { htmlFor: control.id, class: hideLabel ? "visually-hidden" : "" }, label),
    control,
    h("div", { class: "below" }, meaning, problem, caret),
  );
  return { element, control, paths, fail: errorSetter(control, problem, caret) };
}

/**
 * Sets a field's error message. Where the service's own message names a position in the text, a caret is drawn under
 * the place, and the character there is selected.
 */
function errorSetter(control, problem, caret = null) {
  return (message, serviceMessage = "") => {
    setText(problem, message && sentence(message));
    if (message) control.setAttribute("aria-invalid", "true");
    else control.removeAttribute("aria-invalid");
    const isText = control instanceof HTMLInputElement && control.type === "text";
    const drawn = isText ? drawCaret(control.value.trim(), serviceMessage) : null;
    if (caret) setText(caret, drawn === null ? "" : drawn.replace(/\^ .*$/s, "^"));
    if (drawn === null) return;
    // Positions count the characters of the text without the spaces around it.
    const at = Number(/at position (\d+)/.exec(serviceMessage)[1]) - 1;
    const before = control.value.length - control.value.trimStart().length;
    const [from, to] = [at, at + 1].map(
      (end) => before + Array.from(control.value.trim()).slice(0, end).join("").length,
    );
    control.setSelectionRange(from, to);
  };
}

/** A field for one line of text. */
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

/** Durations as they can be typed. */
const DURATIONS = { first: "5:00", second: t("time.s", { number: 90 }), third: formatDuration(5_400_000) };

/** Thrown when a field's text cannot be read. */
export class Unreadable extends Error {
  constructor(formField, message) {
    super(message);
    this.field = formField;
  }
}

/** Reads the text of a field as a duration in ms. Throws Unreadable. */
export function readDuration(formField, text, unit = "min") {
  const read = parseDuration(text, unit);
  if (read === null) {
    throw new Unreadable(formField, t("fault.noDuration", { text, ...DURATIONS }));
  }
  return read;
}

/** A field for a duration. Its `ms` is null when it is empty. Throws Unreadable for an unreadable text. */
export function durationField({ ms = null, unit = "min", ...rest }) {
  const formField = textField({ short: true, value: ms === null ? "" : formatDuration(ms), ...rest });
  return Object.defineProperty(formField, "ms", {
    get: () => (formField.text === "" ? null : readDuration(formField, formField.text, unit)),
  });
}

/** What separates durations. Where a comma begins the decimals, one before a digit separates nothing. */
const SEPARATOR = number(0.5).includes(",") ? /[;；،、，]|,(?!\d)/ : /[,;；،、，]/;

/** A field for several durations, separated by commas. */
export function durationsField({ list: durations = [], unit = "s", ...rest }) {
  const formField = textField({ value: durations.map(formatDuration).join(", "), ...rest });
  const read = () =>
    formField.text
      .split(SEPARATOR)
      .map((each) => each.trim())
      .filter(Boolean)
      .map((each) => readDuration(formField, each, unit));
  return Object.defineProperty(formField, "list", { get: read });
}

/** A field for a whole number. Its `number` is null when it is empty. Throws Unreadable. */
export function numberField({ number: given = null, ...rest }) {
  const formField = textField({
    short: true,
    value: given === null ? "" : String(given),
    ...rest,
    attributes: { inputmode: "numeric" },
  });
  const read = () => {
    if (formField.text === "") return null;
    if (/^\d{1,9}$/.test(formField.text)) return Number(formField.text);
    throw new Unreadable(formField, t("fault.noWholeNumber", { text: formField.text }));
  };
  return Object.defineProperty(formField, "number", { get: read });
}

/** A field for a moment in the time zone of the device. Its `ms` is null when it is empty. Throws Unreadable. */
export function momentField({ ms = null, ...rest }) {
  const control = h("input", { class: "input", type: "datetime-local", step: "1", value: toLocal(ms) });
  const formField = field({ ...rest, control });
  const read = () => {
    const at = fromLocal(control.value);
    if (control.validity.badInput || (at === null && control.value !== ""))
      throw new Unreadable(formField, t("fault.noMoment"));
    return at;
  };
  return Object.defineProperty(formField, "ms", { get: read });
}

/** A field with a drop-down list. options: [value, label] */
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

/** A check box. */
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
    fail: errorSetter(control, problem),
    get checked() {
      return control.checked;
    },
  };
}

/**
 * A choice of a few options that are all visible.
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
 * How well a field's path fits the path of an error, which may be longer; 0: not at all.
 *
 * @param {string} path `*` stands for any position in a list.
 * @param {string} errorPath
 */
function fit(path, errorPath) {
  const [parts, names] = [path.split("."), errorPath.split(".")];
  if (parts.length > names.length || !parts.every((part, at) => part === "*" || part === names[at])) return 0;
  return parts.length + (path.includes("*") ? 0.5 : 0.75);
}

/**
 * Shows each error of the service at the visible field whose path fits best.
 *
 * @param {Field[]} fields
 * @param {{field: string, message: string}[]} details
 * @returns {{field: string, message: string}[]} the errors that fit no field
 */
export function showErrors(fields, details) {
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
      [...new Set(wrong.map((detail) => faultText(detail.field, detail.message)))].join("; "),
      wrong[0].message,
    );
  }
  return left;
}

/** Removes all error messages. */
export function clearErrors(fields) {
  for (const each of fields) each.fail("");
}

/** Opens all sections with errors and focuses the first error. Returns whether there is one. */
export function focusFirstError(root) {
  const wrong = [...root.querySelectorAll('[aria-invalid="true"], .problem[tabindex]:not(:empty)')].filter(
    (each) => !each.closest("[hidden]"),
  );
  for (const details of root.querySelectorAll("details"))
    if (wrong.some((each) => details.contains(each))) details.open = true;
  wrong[0]?.focus();
  return wrong.length > 0;
}
