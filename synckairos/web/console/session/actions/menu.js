// The menu of a session's page: all actions, the views, links for players, and the keys.

import { button, h, icon, languageChoice, openDialog, schemeSwitch, setText, shareDialog } from "../../shared/ui.js";
import { leaveFor } from "../../shared/back.js";
import { list, t } from "../../shared/i18n.js";
import { VIEWS } from "../../shared/names.js";
import { againLabel, followLabel } from "./again.js";
import { faceItems } from "../faces/looks.js";
import { screenItems } from "../screens/overlay.js";
import { canAdjust, canSetTurn, canTakeBack, hasNext, isOver } from "../rules.js";
import { openAgain, openHistory, openSchedule, share } from "./opening.js";
import { viewChoices } from "../choices.js";
import { Screen } from "../device/screen.js";
import { Sound } from "../device/sound.js";

/** For so long a press may have been meant for a button that was there before. */
const AFTER_MOVE_MS = 500;

/** Offers a link for each participant, on which the page keeps to what that participant may. */
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
      h("p", { class: "hint" }, t("roles.linkHint")),
    ],
  });
}

/** Shows a link to a page that only watches. */
function openWatchLink() {
  const url = new URL(location.href);
  url.searchParams.set("watch", "");
  url.search = url.search.replace("watch=", "watch");
  shareDialog(url.href, { title: t("roles.watchLink"), hint: t("roles.linkHint") });
}

/**
 * The actions of the menu in this state, in groups.
 *
 * @param {import("../session.js").Page} page
 * @returns {[string, string, (() => void) | string, string?][][]} label, icon, work or an address, and the classes
 *   of its button
 */
function itemsOf(page) {
  const { actions, rights, screen, sound, state } = page;
  const over = isOver(state);
  const [soundLabel, soundSign] =
    sound.state === "on" ? [t("sound.turnOff"), "mute"] : [t("sound.turnOn"), "sound"];
  const clocks = [
    actions.following !== null && [followLabel(state), "next", () => actions.follow()],
    actions.mayPlayAgain && [againLabel(state), "swap", () => openAgain(page)],
    state.status === "running" &&
      hasNext(state) &&
      !page.view?.ownsNext &&
      actions.may("switch") &&
      [page.view?.nextLabel ?? page.uses.switchLabel ?? t("menu.next"), "next", () => page.next()],
    actions.mayNameNext && [t("roles.chooseNext"), "people", () => actions.openTurn()],
    canAdjust(state) && actions.may("adjust") && [t("adjust.title"), "clock", () => actions.openTime()],
    actions.mayPauseFreely && [t("menu.pauseFreely"), "pause", () => actions.pauseFreely()],
    canTakeBack(state) && actions.may("takeback") && [t("menu.takeBack"), "undo", () => actions.openTakeBack()],
    canSetTurn(state) &&
      actions.may("turn") &&
      [state.status === "pending" ? t("menu.whoBegins") : t("menu.whoseTurn"), "swap", () => actions.openTurn()],
    !over && actions.may("schedule") && [t("menu.schedule"), "calendar", () => openSchedule(page)],
    [t("history.title"), "history", () => openHistory(page)],
    rights.mayShare && [t("share.session"), "share", () => share(page)],
    !rights.needsToken &&
      rights.mayShare &&
      state.participants.length > 1 &&
      [t("playerLink.title"), "person", () => openPlayerLinks(page)],
    !rights.needsToken && rights.mayShare && [t("roles.watchLink"), "link", openWatchLink],
    ...screenItems(page),
    ...faceItems(page),
    Sound.possible && [soundLabel, soundSign, () => sound.toggle()],
    Screen.possible && [screen.full ? t("screen.leaveFull") : t("screen.full"), "full", () => screen.toggleFull()],
    [t("help.title"), "info", () => openHelp(page)],
    !rights.isCourtesy && [t("session.all"), "back", "/"],
  ];
  const corrections = [
    over && actions.may("reopen") && [t("menu.reopen"), "undo", () => actions.reopen()],
    actions.may("reset") && [t("menu.reset"), "reset", () => actions.reset(), "danger"],
    !over && actions.may("complete") && [t("menu.complete"), "check", () => actions.complete()],
    !over && actions.may("cancel") && [t("menu.cancel"), "cross", () => actions.cancel(), "danger"],
    actions.may("delete") && [t("again.delete"), "trash", () => actions.delete(), "danger"],
  ];
  return [clocks, corrections].map((group) => group.filter(Boolean));
}

/**
 * Opens the menu, which follows the session while it is open: what is no longer possible stays in its place and
 * cannot be pressed, and what has become possible comes.
 *
 * @param {import("../session.js").Page} page
 */
export function openMenu(page) {
  const items = h("div", { class: "menu" });
  /** The buttons by their labels, in groups. @type {Map<string, HTMLButtonElement>[]} */
  const shown = [new Map(), new Map()];
  /** When buttons came, which moved those below them. */
  let moved = -Infinity;

  function make(label, sign, work, more = "") {
    const press = (event) => {
      const wasMoved = event.detail > 0 && performance.now() - moved < AFTER_MOVE_MS;
      const isPlain = !event.ctrlKey && !event.metaKey && !event.shiftKey;
      if (typeof control.work === "string" && isPlain) event.preventDefault();
      if (wasMoved || control.getAttribute("aria-disabled") === "true") return;
      if (typeof control.work === "string") {
        if (isPlain) leaveFor(control.work);
        return;
      }
      opened.close();
      control.work();
    };
    const control =
      typeof work === "string"
        ? h("a", { class: "button quiet item", href: work, onclick: press }, icon(sign), h("span", {}, label))
        : button(label, { icon: sign, class: `quiet item ${more}`, onclick: press });
    control.work = work;
    return control;
  }

  function draw() {
    let hasNew = false;
    itemsOf(page).forEach((wanted, place) => {
      const group = shown[place];
      const found = new Map(wanted.map((each) => [each[0], each]));
      let before = null;
      for (const [label, ...rest] of wanted) {
        let control = group.get(label);
        if (!control) {
          control = make(label, ...rest);
          if (before) before.after(control);
          else (place === 0 ? items : line).insertAdjacentElement(place === 0 ? "afterbegin" : "afterend", control);
          group.set(label, control);
          hasNew = true;
        }
        [, control.work] = rest;
        before = control;
      }
      for (const [label, control] of group) control.setAttribute("aria-disabled", String(!found.has(label)));
      if (place === 1) line.hidden = group.size === 0;
    });
    if (hasNew) moved = performance.now();
    setText(opened.element.querySelector("h2"), page.title);
  }

  const line = h("hr");
  items.append(line);
  const views = viewChoices(page, "menu-view", () => opened.close());
  const opened = openDialog({
    title: page.title,
    class: "menu-dialog",
    body: [
      h("fieldset", { class: "menu-views" }, [
        h("legend", { class: "visually-hidden" }, t("session.view")),
        h("div", { class: "segments" }, views),
      ]),
      items,
      page.rights.isCourtesy && h("p", { class: "hint" }, courtesyText(page)),
      h("div", { class: "menu-scheme" }, h("span", { class: "muted" }, t("language.language")), languageChoice()),
      h("div", { class: "menu-scheme" }, h("span", { class: "muted" }, t("colours.choice")), schemeSwitch()),
    ],
  });
  draw();
  moved = -Infinity;
  page.listeners.add(draw);
  opened.closed.then(() => page.listeners.delete(draw));
}

/** What a page that its address makes a player's or a viewer's says of that. */
function courtesyText({ people, rights }) {
  return rights.player === null
    ? t("roles.courtesyWatch")
    : t("roles.courtesyPlayer", { name: people.name(rights.player) });
}

/** Keys, what they do, and the actions of which one has to be allowed. */
const KEYS = [
  [t("key.space"), t("help.start"), ["start"]],
  [t("key.space"), t("help.endTurn"), ["switch"]],
  ["P", t("help.pause"), ["pause"]],
  ["N", t("help.next"), ["switch"]],
  ["T", t("adjust.title"), ["adjust"]],
  ["U", t("takeback.title"), ["takeback"]],
  ["W", t("roles.keyTurn"), ["turn"]],
  ["O", t("roles.keyReopen"), ["reopen"]],
  ["R", t("again.key"), ["create"]],
  ["S", t("schedule.title"), ["schedule"]],
  ["H", t("history.title")],
  ["1 2 3 4", list(Object.values(VIEWS).slice(0, 4), { type: "unit" })],
  ["F", t("screen.full")],
  ["M", t("help.sound")],
  ["?", t("help.help")],
];

/**
 * Opens the list of keys, with a hint how to read the page.
 *
 * @param {import("../session.js").Page} page
 */
export function openHelp({ rights, uses, view }) {
  const works = ([, , actions]) => !actions || actions.some((each) => rights.ever(each));
  const row = ([keys, text]) => {
    const caps = keys.split(" ").map((key) => h("kbd", {}, key));
    return [h("dt", {}, caps), h("dd", {}, text)];
  };
  const use = uses.label ?? uses.switchLabel;
  const own = view.keysHelp ?? [];
  const isTaken = ([key]) => own.some(([keys]) => keys.split(" ").includes(key));
  const common = KEYS.filter((each) => !isTaken(each));
  const keys = [...[...own, ...common].filter(works), ...(use !== null ? [["B", use]] : [])];
  const hints = [t("help.sameTime"), t("help.uncertainty")];
  if (rights.ever("switch")) hints.unshift(t("help.press"));
  openDialog({
    title: t("help.title"),
    body: [h("dl", { class: "keys" }, keys.map(row)), h("p", { class: "hint" }, hints.join(" "))],
  });
}
