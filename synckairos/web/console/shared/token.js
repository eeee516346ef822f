// The user's token, which is kept for this tab only, and the client that sends it.

import { openDialog } from "./dialogs.js";
import { h, newId } from "./dom.js";
import { SyncKairos } from "/synckairos.js";

const TOKEN = "synckairos.token";

/** The token that the user entered, or null. A token that cannot be sent in a header counts as none. */
export function storedToken() {
  try {
    const token = sessionStorage.getItem(TOKEN);
    return /^[\x21-\x7e]+$/.test(token ?? "") ? token : null;
  } catch {
    return null;
  }
}

/**
 * The form for a token, which is kept for this tab.
 *
 * @param {() => void} onEntered Called after the user entered one.
 * @returns {HTMLFormElement}
 */
export function tokenForm(onEntered) {
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
        sessionStorage.setItem(TOKEN, control.value.trim());
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
        storedToken() ? "The service did not accept the last one. " : "",
        "A JWT. It is kept until this tab is closed, and sent to this service only.",
      ),
    ),
    h("div", { class: "actions" }, h("button", { class: "button primary" }, "Continue")),
  );
}

/** The dialog that is open, as a promise of its answer; null when there is none. */
let openQuestion = null;

/**
 * Asks for a token in a dialog.
 *
 * @param {{reload?: boolean}} [options] reload: whether the page is then loaded again
 * @returns {Promise<boolean>} whether the user entered one
 */
export function askForToken({ reload = true } = {}) {
  openQuestion ??= (async () => {
    const form = tokenForm(() => dialog.close("entered"));
    const dialog = openDialog({ title: "The service needs a token", body: form });
    form.querySelector("input").focus();
    const entered = (await dialog.closed) === "entered";
    openQuestion = null;
    if (entered && reload) location.reload();
    return entered;
  })();
  return openQuestion;
}

/** A client of the service that this page came from. It sends the token that the user entered, if any. */
export function createClient(options = {}) {
  return new SyncKairos({ url: location.origin, token: storedToken, ...options });
}
