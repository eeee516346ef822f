// A message and a blackout on the screens of a session. Pages with nothing to press are covered by them; the page of
// whoever leads shows a small sign, with the way to take them away again, and a player's says the message.

import { t } from "../../shared/i18n.js";
import { button, fill, h, icon, linksDialog, newId, openDialog, setText, shareDialog, toast } from "../../shared/ui.js";
import { Cover } from "./cover.js";
import { screenAddress, screensOf, shownOn } from "./screens.js";

/** As long as a message may be; longer ones could not be read from a stage. */
const MAX_MESSAGE = 140;
const QUICK = ["screens.wrapUp", "screens.louder", "screens.stop"];

export class Overlay {
  /**
   * @param {import("../session.js").Page} page
   * @param {HTMLElement} host What is covered.
   */
  constructor(page, host) {
    this.page = page;
    this.cover = new Cover(host);
    this.sign = h("div", { class: "overlay-sign", role: "region", "aria-label": t("screens.sign") });
    this.sign.hidden = true;
    host.append(this.sign);
    this.shown = "";
    /** Takes away the message that a player's page shows. */
    this.untoast = () => {};
  }

  /** Shows what the state says. */
  update() {
    const { page } = this;
    const screens = screensOf(page.state?.metadata ?? null);
    const { message, blackout } = screens;
    const { kind } = page;
    const key = JSON.stringify([screens, kind]);
    if (key === this.shown) return;
    this.shown = key;
    const shown = shownOn(screens, kind);
    this.cover.show(shown);
    this.untoast();
    this.untoast = shown.toast === null ? () => {} : toast(shown.toast, { seconds: 0 });
    this.sign.hidden = kind !== "leader" || (!blackout && message === null);
    const { actions } = page;
    fill(
      this.sign,
      message !== null && [
        icon("info"),
        h("span", { class: "overlay-said" }, message),
        button(t("screens.takeAway"), { onclick: () => actions.patch({ message: null }) }),
      ],
      blackout && [
        icon("moon"),
        h("span", {}, t("screens.areBlack")),
        button(t("screens.light"), { onclick: () => actions.patch({ blackout: null }) }),
      ],
    );
  }
}

/** Asks for the message on the screens, and shows it. */
export function openMessage(page) {
  const id = newId("message");
  const problem = h("p", { class: "problem", id: newId("problem"), role: "status" });
  const { message, toAll } = screensOf(page.state.metadata);
  const field = h("input", {
    class: "input",
    id,
    value: message ?? "",
    maxlength: String(MAX_MESSAGE),
    autocomplete: "off",
    "aria-describedby": problem.id,
  });
  const name = newId("to");
  const choice = (value, label, checked) =>
    h("label", {}, h("input", { type: "radio", name, value, checked }), h("span", {}, label));
  const all = choice("all", t("screens.toAll"), toAll);
  const to = h(
    "div",
    { class: "segments", role: "radiogroup", "aria-label": t("screens.to") },
    choice("speaker", t("screens.speaker"), !toAll),
    all,
  );
  const show = async (text) => {
    const words = text.trim();
    field.setAttribute("aria-invalid", String(words === ""));
    setText(problem, words === "" ? t("screens.empty") : "");
    if (words === "") field.focus();
    else if (await page.actions.patch({ message: { text: words, to: all.firstChild.checked ? "all" : null } })) opened.close();
  };
  const form = h(
    "form",
    {
      class: "message-form",
      onsubmit: (event) => {
        event.preventDefault();
        show(field.value);
      },
    },
    h("div", { class: "field" }, h("label", { htmlFor: id }, t("screens.text")), field, problem),
    to,
    h("div", { class: "buttons" }, QUICK.map((each) => button(t(each), { onclick: () => show(t(each)) }))),
    h(
      "div",
      { class: "actions" },
      message !== null &&
        button(t("screens.takeAway"), {
          onclick: async () => {
            if (await page.actions.patch({ message: null })) opened.close();
          },
        }),
      h("button", { class: "button primary" }, t("screens.show")),
    ),
  );
  const opened = openDialog({ title: t("screens.message"), body: [h("p", { class: "hint" }, t("screens.where")), form] });
  field.focus();
}

/** Shows the address of the screen for whoever speaks. */
export function openScreen(page) {
  const url = screenAddress(location.href);
  if (page.rights.mayLink) {
    linksDialog(page.client, page.state, { view: "countdown", screen: true });
    return;
  }
  shareDialog(url, { title: t("screens.speaker") });
}

/**
 * What the menu of whoever leads has for the screens: [text, icon, what it does].
 *
 * @param {import("../session.js").Page} page
 * @returns {[string, string, () => void][]}
 */
export function screenItems(page) {
  if (!page.leads) return [];
  const { blackout } = screensOf(page.state.metadata);
  return [
    [t("screens.speaker"), "full", () => openScreen(page)],
    [t("screens.message"), "info", () => openMessage(page)],
    blackout
      ? [t("screens.light"), "sun", () => page.actions.patch({ blackout: null })]
      : [t("screens.blackout"), "moon", () => page.actions.patch({ blackout: true })],
  ];
}
