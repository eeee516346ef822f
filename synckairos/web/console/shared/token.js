// Who is asking: a token, kept for this tab only, and the client that sends it.

import { errorText, openDialog, toast } from "./dialogs.js";
import { h, newId } from "./dom.js";
import { SyncKairos } from "/synckairos.js";

const TOKEN = "synckairos.token";

/** The token that was entered, or null. One that no header can carry is as good as none. */
export function storedToken() {
  try {
    const token = sessionStorage.getItem(TOKEN);
    return /^[\x21-\x7e]+$/.test(token ?? "") ? token : null;
  } catch {
    return null;
  }
}

/**
 * The field for a token, which is kept for this tab.
 *
 * @param {() => void} done Called when one was entered.
 * @returns {HTMLFormElement}
 */
export function tokenForm(done) {
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
        done();
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
        "A JWT. It is kept in this tab until that is closed, and sent to this service only.",
      ),
    ),
    h("div", { class: "actions" }, h("button", { class: "button primary" }, "Continue")),
  );
}

let asking = null;

/**
 * Asks for a token in a dialog.
 *
 * @param {{reload?: boolean}} [options] reload: whether the page is loaded again, or goes on by itself
 * @returns {Promise<boolean>} whether one was entered
 */
export function askForToken({ reload = true } = {}) {
  asking ??= (async () => {
    const form = tokenForm(() => asked.close("entered"));
    const asked = openDialog({ title: "The service wants a token", body: form });
    form.querySelector("input").focus();
    const entered = (await asked.closed) === "entered";
    asking = null;
    if (entered && reload) location.reload();
    return entered;
  })();
  return asking;
}

/** A client of the service that this page came from, with the token that was entered, if any. */
export function createClient(options = {}) {
  return new SyncKairos({ url: location.origin, token: storedToken, ...options });
}

/** Shows that something failed; without a token where one is wanted, asks for it. */
export function showError(error) {
  if (error?.code === "UNAUTHENTICATED") askForToken();
  else toast(errorText(error), { kind: "error" });
}
