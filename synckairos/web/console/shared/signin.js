// Asks for a token where the service wants one, and makes the client that sends it.

import { openDialog } from "./dialogs.js";
import { h, newId } from "./dom.js";
import { cameByLink, storeToken, storedToken } from "./token.js";
import { SyncKairos } from "/synckairos.js";

/** What people read whose link is not good any more. */
export const LINK_IS_OVER = {
  title: "This link is not good any more",
  text:
    "Its time is over, it was taken back, or its session is gone. " +
    "Ask the person who sent it to you for a new one.",
};

/** What people read who came to a page without a token. */
export const WHOM_TO_ASK = "Ask the person who shared this address for one, or for a link that needs none.";

/**
 * The form for a token, which is kept for this tab.
 *
 * @param {() => void} onEntered Called after the user entered one.
 * @param {boolean} [wasRefused] Whether the last one that the user entered was not good.
 * @returns {HTMLFormElement}
 */
export function tokenForm(onEntered, wasRefused = storedToken() !== null && !cameByLink()) {
  const id = newId("token");
  const control = h("input", {
    class: "input mono",
    id,
    type: "password",
    autocomplete: "off",
    spellcheck: "false",
    required: true,
    "aria-describedby": `${id}-hint`,
  });
  return h(
    "form",
    {
      class: "token-form",
      onsubmit: (event) => {
        event.preventDefault();
        storeToken(control.value.trim(), "typed");
        onEntered();
      },
    },
    h(
      "div",
      { class: "field" },
      h("label", { htmlFor: id }, "Token"),
      control,
      h(
        "p",
        { class: "hint", id: `${id}-hint` },
        wasRefused ? "The service does not accept the last one, or not any more. " : "",
        "A JWT or an API key. It is kept until this tab is closed, and sent to this service only.",
      ),
    ),
    h("div", { class: "actions" }, h("button", { class: "button primary" }, "Continue")),
  );
}

/**
 * What a page shows in place of what needs a token: a form, and for a link that is over whom to ask.
 *
 * @param {() => void} onEntered
 * @returns {HTMLElement}
 */
export function tokenCard(onEntered) {
  const over = cameByLink();
  return h(
    "div",
    { class: "card token-card" },
    h("h2", {}, over ? LINK_IS_OVER.title : "The service needs a token"),
    h("p", {}, over ? LINK_IS_OVER.text : "Ask whoever runs this service for one, or for a link that needs none."),
    tokenForm(onEntered),
  );
}

/** The dialog that is open, as a promise of its answer; null when there is none. */
let openQuestion = null;

async function ask(title, text, wasRefused) {
  const form = tokenForm(() => dialog.close("entered"), wasRefused);
  const dialog = openDialog({
    title: cameByLink() ? LINK_IS_OVER.title : title,
    body: [h("p", {}, cameByLink() ? LINK_IS_OVER.text : text), form],
  });
  form.querySelector("input").focus();
  const entered = (await dialog.closed) === "entered";
  openQuestion = null;
  return entered;
}

/**
 * Asks for a token in a dialog. Where one is open already, its answer is for this caller, too.
 *
 * @param {{reload?: boolean, wasRefused?: boolean, title?: string, text?: string}} [options] reload: whether the
 *   page is then loaded again, at the address where the user was; wasRefused: as for tokenForm
 * @returns {Promise<boolean>} whether the user entered one
 */
export async function askForToken({
  reload = true,
  wasRefused = undefined,
  title = "The service needs a token",
  text = WHOM_TO_ASK,
} = {}) {
  openQuestion ??= ask(title, text, wasRefused);
  const entered = await openQuestion;
  if (entered && reload) location.reload();
  return entered;
}

/** A client of the service that this page came from. It sends the tab's token, if there is one. */
export function createClient(options = {}) {
  return new SyncKairos({ url: location.origin, token: storedToken, ...options });
}
