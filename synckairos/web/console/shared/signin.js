// Asks for a token where the service wants one, and makes the client that sends it.

import { openDialog } from "./dialogs.js";
import { h, newId } from "./dom.js";
import { cameByLink, storeToken, storedToken } from "./token.js";
import { SyncKairos } from "/synckairos.js";
import { t } from "./i18n.js";

/** What people read whose link is not good any more. */
export const LINK_IS_OVER = {
  title: t("signin.linkOver"),
  text: t("signin.linkOverText"),
};

/** What people read who came to a page without a token. */
export const WHOM_TO_ASK = t("signin.whomToAsk");

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
      h("label", { htmlFor: id }, t("signin.token")),
      control,
      h(
        "p",
        { class: "hint", id: `${id}-hint` },
        wasRefused && [t("signin.refused"), " "],
        t("signin.hint"),
      ),
    ),
    h("div", { class: "actions" }, h("button", { class: "button primary" }, t("signin.continue"))),
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
    h("h2", {}, over ? LINK_IS_OVER.title : t("signin.title")),
    h("p", {}, over ? LINK_IS_OVER.text : t("signin.whoRuns")),
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
  title = t("signin.title"),
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
