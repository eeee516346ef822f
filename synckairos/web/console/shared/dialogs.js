// Messages and dialogs, which are shown above a page for a while.

import { icon } from "./icons.js";
import { button, h, newId } from "./dom.js";
import { closedByBack, settle } from "./back.js";
import { t } from "./i18n.js";

const SENTENCES = {
  UNAUTHENTICATED: t("error.needsToken"),
  FORBIDDEN: t("error.forbidden"),
  SESSION_NOT_FOUND: t("error.noSession"),
  CONCURRENT_MODIFICATION: t("error.someoneFaster"),
  RATE_LIMIT_EXCEEDED: t("error.tooOften"),
  QUOTA_EXCEEDED: t("error.noRoom"),
  STORAGE_UNAVAILABLE: t("error.noStorage"),
  CIRCUIT_OPEN: t("error.noStorage"),
  MESSAGE_BROKER_ERROR: t("error.noStorage"),
  NETWORK_TIMEOUT: t("error.tooSlow"),
  INTERNAL_ERROR: t("error.inService"),
};

/** For an admin, whose actions are put on record, at a service without a database to put them into. */
const NO_RECORD = t("error.noRecord");

/** An error as a sentence for people. */
export function errorText(error) {
  if (error?.context?.needs === "DATABASE_URL") return NO_RECORD;
  if (Object.hasOwn(SENTENCES, error?.code)) return SENTENCES[error.code];
  const message = error?.message ? String(error.message) : t("error.unknown");
  const sentence = message[0].toUpperCase() + message.slice(1);
  return /[.!?]$/.test(sentence) ? sentence : `${sentence}.`;
}

let toasts = null;

/** Removes a message. The focus, where it was in it, goes to the beginning of what can be pressed now. */
function removeToast(element) {
  const hadFocus = element.contains(document.activeElement);
  element.remove();
  if (!hadFocus) return;
  const dialog = toasts.closest("dialog");
  (dialog ? dialog.querySelector("button") : document.querySelector("main"))?.focus({ preventScroll: true });
}

/**
 * Shows a message at the lower edge. Errors stay until they are dismissed, others for some seconds, and as long as
 * they have the focus or the pointer.
 *
 * @param {string} message
 * @param {{kind?: "info" | "error", seconds?: number, action?: {label: string, onclick: () => void}}} [more]
 * @returns {() => void} removes the message
 */
export function toast(message, { kind = "info", seconds = kind === "error" ? 0 : 5, action = null } = {}) {
  toasts ??= h("div", { class: "toasts" });
  // While a modal dialog is open, nothing outside of it can be pressed or read by a screen reader.
  const host = [...document.querySelectorAll("dialog:modal")].pop() ?? document.body;
  if (toasts.parentNode !== host) host.append(toasts);
  for (const same of toasts.children) if (same.dataset.message === message) removeToast(same);
  while (toasts.children.length >= 3) removeToast(toasts.firstChild);
  const dismiss = () => removeToast(element);
  const expire = () => (element.matches(":hover, :focus-within") ? setTimeout(expire, 1000) : dismiss());
  const element = h(
    "div",
    { class: `toast ${kind}`, role: kind === "error" ? "alert" : "status", dataset: { message } },
    icon(kind === "error" ? "warning" : "info"),
    h("p", {}, message),
    action &&
      button(action.label, {
        class: "quiet",
        onclick: () => {
          dismiss();
          action.onclick();
        },
      }),
    button(t("word.dismiss"), { icon: "cross", square: true, class: "quiet", onclick: dismiss }),
  );
  toasts.append(element);
  if (seconds) setTimeout(expire, seconds * 1000);
  return dismiss;
}

/** Where the focus goes when the last dialog is closed; null: to what opened it. @type {(() => HTMLElement) | null} */
let restingPlace = null;

/**
 * Says where the focus goes when the last dialog is closed, on a page where the space bar does something of its
 * own. On the button that opened the dialog, the space bar would press that button.
 *
 * @param {() => HTMLElement} place Gives an element that can have the focus and is no control.
 */
export function restFocusOn(place) {
  restingPlace = place;
}

/**
 * Opens a modal dialog. Escape, the cross, a press outside of the dialog, and Back close it.
 *
 * @param {{title: string, body: Node | string | Array, actions?: Array, class?: string}} content
 * @returns {{element: HTMLDialogElement, close: (value?: string) => void, closed: Promise<string>}}
 *   closed: the value that it was closed with, "" when it was dismissed. By then the browser's history is as it
 *   was before the dialog
 */
export function openDialog({ title, body, actions = [], class: more = "" }) {
  const heading = newId("dialog");
  const close = (value = "") => {
    if (element.open) element.close(value);
  };
  const element = h(
    "dialog",
    { class: `dialog ${more}`, "aria-labelledby": heading },
    h(
      "div",
      { class: "inside" },
      h(
        "div",
        { class: "head" },
        h("h2", { id: heading, tabindex: "-1", autofocus: true }, title),
        button(t("word.close"), { icon: "cross", square: true, class: "quiet", onclick: () => close() }),
      ),
      body,
      actions.length > 0 && h("div", { class: "actions" }, actions),
    ),
  );
  let pressed = null;
  element.addEventListener("pointerdown", (event) => {
    pressed = event.target;
  });
  element.addEventListener("click", (event) => {
    if (event.target === element && pressed === element) close();
  });
  const closed = new Promise((resolve) => {
    element.addEventListener("close", async () => {
      if (toasts && element.contains(toasts)) document.body.append(toasts);
      element.remove();
      if (restingPlace && !document.querySelector("dialog:modal")) restingPlace().focus({ preventScroll: true });
      await settle();
      resolve(element.returnValue);
    });
  });
  // The browser gives the focus back to what had it, unless that gave it up before.
  if (restingPlace && !document.querySelector("dialog:modal")) document.activeElement?.blur();
  document.body.append(element);
  element.showModal();
  closedByBack(element, close);
  return { element, close, closed };
}
