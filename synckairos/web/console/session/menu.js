// The menu of a session's page: all actions, the views, links for players, and the keys.

import { button, h, icon, languageChoice, linksDialog, openDialog, schemeSwitch, shareDialog } from "../shared/ui.js";
import { list, t } from "../shared/i18n.js";
import { VIEWS } from "../shared/names.js";
import { canAdjust, canSetTurn, canTakeBack, hasNext, isOver, suits } from "./rules.js";
import { faceItems } from "./looks.js";
import { openHistory } from "./history.js";
import { openSchedule } from "./schedule.js";
import { Screen } from "./screen.js";
import { Sound } from "./sound.js";

/**
 * The views as radio buttons.
 *
 * @param {import("./session.js").Page} page
 * @param {string} name The name of the radio buttons.
 * @param {() => void} [chosen] Called before the view changes.
 */
export function viewChoices(page, name, chosen = () => {}) {
  const choice = ([value, label]) => {
    const choose = () => {
      chosen();
      page.showView(value);
    };
    const radio = { type: "radio", name, value, checked: value === page.viewName, onchange: choose };
    return h("label", {}, h("input", radio), h("span", {}, label));
  };
  return Object.entries(VIEWS)
    .filter(([value]) => suits(value, page.state))
    .map(choice);
}

/**
 * Shares this session: links for people without an account, or the address where nobody needs a token.
 *
 * @param {import("./session.js").Page} page
 */
export function share({ client, rights, state }) {
  const url = new URL(location.href);
  if (rights.mayLink) {
    linksDialog(client, state, { view: url.searchParams.get("view") ?? "" });
    return;
  }
  url.searchParams.delete("as");
  shareDialog(url.href);
}

/** Offers a link for each participant that binds a device to that participant. */
function openPlayerLinks({ people }) {
  const link = (person) => {
    opened.close();
    const url = new URL(location.href);
    url.searchParams.set("as", person.id);
    shareDialog(url.href, { title: t("playerLink.clockOf", { name: person.name }) });
  };
  const choices = people.participants.map((each) => button(each.name, { onclick: () => link(each) }));
  const opened = openDialog({
    title: t("playerLink.title"),
    body: [
      h("p", {}, t("playerLink.text")),
      h("div", { class: "choices scroll" }, choices),
    ],
  });
}

/** @param {import("./session.js").Page} page */
export function openMenu(page) {
  const { actions, rights, screen, sound, state } = page;
  const over = isOver(state);
  const close = (work) => () => {
    opened.close();
    work();
  };
  const item = (label, sign, work, more = "") =>
    button(label, { icon: sign, class: `quiet item ${more}`, onclick: close(work) });
  const [soundLabel, soundSign] =
    sound.state === "on" ? [t("sound.turnOff"), "mute"] : [t("sound.turnOn"), "sound"];
  const items = [
    state.status === "running" && hasNext(state) && actions.may("switch") && item(page.view?.nextLabel ?? t("menu.next"), "next", () => page.next()),
    canAdjust(state) && actions.may("adjust") && item(t("adjust.title"), "clock", () => actions.openTime()),
    actions.mayPauseFreely && item(t("menu.pauseFreely"), "pause", () => actions.pauseFreely()),
    canTakeBack(state) && actions.may("takeback") && item(t("menu.takeBack"), "undo", () => actions.openTakeBack()),
    canSetTurn(state) &&
      actions.may("turn") &&
      item(state.status === "pending" ? t("menu.whoBegins") : t("menu.whoseTurn"), "swap", () => actions.openTurn()),
    !over && actions.may("schedule") && item(t("menu.schedule"), "calendar", () => openSchedule(page)),
    item(t("history.title"), "history", () => openHistory(page)),
    rights.mayShare && item(t("share.session"), "share", () => share(page)),
    !rights.needsToken && state.participants.length > 1 && item(t("playerLink.title"), "person", () => openPlayerLinks(page)),
    page.as && !rights.player && item(t("menu.unbind"), "people", () => page.unbind()),
    ...faceItems(page).map(([label, sign, work]) => item(label, sign, work)),
    Sound.possible && item(soundLabel, soundSign, () => sound.toggle()),
    Screen.possible &&
      item(screen.full ? t("screen.leaveFull") : t("screen.full"), "full", () => screen.toggleFull()),
    item(t("help.title"), "info", () => openHelp(page)),
    h("a", { class: "button quiet item", href: "/" }, icon("back"), h("span", {}, t("session.all"))),
    ["complete", "cancel"].some((each) => !over && actions.may(each)) ||
    ["reopen", "reset"].some((each) => actions.may(each))
      ? h("hr")
      : null,
    over && actions.may("reopen") && item(t("menu.reopen"), "back", () => actions.reopen()),
    actions.may("reset") && item(t("menu.reset"), "reset", () => actions.reset(), "danger"),
    !over && actions.may("complete") && item(t("menu.complete"), "check", () => actions.complete()),
    !over && actions.may("cancel") && item(t("menu.cancel"), "cross", () => actions.cancel(), "danger"),
  ];
  const views = viewChoices(page, "menu-view", () => opened.close());
  const opened = openDialog({
    title: page.title,
    class: "menu-dialog",
    body: [
      h("fieldset", { class: "menu-views" }, [
        h("legend", { class: "visually-hidden" }, t("session.view")),
        h("div", { class: "segments" }, views),
      ]),
      h("div", { class: "menu" }, items),
      h("div", { class: "menu-scheme" }, h("span", { class: "muted" }, t("language.language")), languageChoice()),
      h("div", { class: "menu-scheme" }, h("span", { class: "muted" }, t("colours.choice")), schemeSwitch()),
    ],
  });
}

/** Keys, what they do, and the actions of which one has to be allowed. */
const KEYS = [
  [t("key.space"), t("help.start"), ["start"]],
  [t("key.space"), t("help.endTurn"), ["switch"]],
  ["P", t("help.pause"), ["pause"]],
  ["N", t("help.next"), ["switch"]],
  ["T", t("adjust.title"), ["adjust"]],
  ["U", t("takeback.title"), ["takeback"]],
  ["S", t("schedule.title"), ["schedule"]],
  ["H", t("history.title")],
  ["1 2 3 4", list(Object.values(VIEWS), { type: "unit" })],
  ["F", t("screen.full")],
  ["M", t("help.sound")],
  ["?", t("help.help")],
];

/**
 * Opens the list of keys, with a hint how to read the page.
 *
 * @param {import("./session.js").Page} page
 */
export function openHelp({ rights }) {
  const works = ([, , actions]) => !actions || actions.some((each) => rights.ever(each));
  const row = ([keys, text]) => {
    const caps = keys.split(" ").map((key) => h("kbd", {}, key));
    return [h("dt", {}, caps), h("dd", {}, text)];
  };
  const hints = [t("help.sameTime"), t("help.uncertainty")];
  if (rights.ever("switch")) hints.unshift(t("help.press"));
  openDialog({
    title: t("help.title"),
    body: [h("dl", { class: "keys" }, KEYS.filter(works).map(row)), h("p", { class: "hint" }, hints.join(" "))],
  });
}
