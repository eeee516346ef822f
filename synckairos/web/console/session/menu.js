// The menu of a session's page: all actions, the views, links for players, and the keys.

import { button, h, icon, linksDialog, openDialog, schemeSwitch, setText, shareDialog } from "../shared/ui.js";
import { leaveFor } from "../shared/back.js";
import { t } from "../shared/i18n.js";
import { VIEWS } from "../shared/names.js";
import { nextSessionOf } from "../shared/next.js";
import { againLabel, openAgain } from "./again.js";
import { canAdjust, canSetTurn, canTakeBack, hasNext, isOver } from "./rules.js";
import { openHistory } from "./history.js";
import { openSchedule } from "./schedule.js";
import { Screen } from "./screen.js";
import { Sound } from "./sound.js";

/** For so long a press may have been meant for a button that was there before. */
const AFTER_MOVE_MS = 500;

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
  return Object.entries(VIEWS).map(choice);
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
  shareDialog(url.href);
}

/** Offers a link for each participant, on which the page keeps to what that participant may. */
function openPlayerLinks({ people }) {
  const link = (person) => {
    opened.close();
    const url = new URL(location.href);
    url.searchParams.set("as", person.id);
    shareDialog(url.href, { title: `Clock of ${person.name}` });
  };
  const choices = people.participants.map((each) => button(each.name, { onclick: () => link(each) }));
  const opened = openDialog({
    title: "Link for one player",
    body: [
      h("p", {}, t("roles.linkText")),
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
 * @param {import("./session.js").Page} page
 * @returns {[string, string, (() => void) | string, string?][][]} label, icon, work or an address, and the classes
 *   of its button
 */
function itemsOf(page) {
  const { actions, rights, screen, sound, state } = page;
  const over = isOver(state);
  const [soundLabel, soundSign] =
    sound.state === "on" ? ["Turn sound off", "mute"] : ["Turn sound on", "sound"];
  const next = nextSessionOf(state);
  const clocks = [
    next !== null && over && [t("again.follow"), "next", () => actions.follow()],
    actions.mayPlayAgain && [againLabel(state), "swap", () => openAgain(page)],
    state.status === "running" && hasNext(state) && actions.may("switch") && ["Next turn", "next", () => actions.next()],
    actions.mayNameNext && [t("roles.chooseNext"), "people", () => actions.openTurn()],
    canAdjust(state) && actions.may("adjust") && ["Give or take time", "clock", () => actions.openTime()],
    actions.mayPauseFreely && ["Pause without counting it", "pause", () => actions.pauseFreely()],
    canTakeBack(state) && actions.may("takeback") && ["Take back turns …", "undo", () => actions.openTakeBack()],
    canSetTurn(state) &&
      actions.may("turn") &&
      [state.status === "pending" ? "Who begins …" : "Whose turn it is …", "swap", () => actions.openTurn()],
    !over && actions.may("schedule") && ["Start and end …", "calendar", () => openSchedule(page)],
    ["History", "history", () => openHistory(page)],
    rights.mayShare && ["Share this session", "share", () => share(page)],
    !rights.needsToken &&
      rights.mayShare &&
      state.participants.length > 1 &&
      ["Link for one player", "person", () => openPlayerLinks(page)],
    !rights.needsToken && rights.mayShare && [t("roles.watchLink"), "link", openWatchLink],
    Sound.possible && [soundLabel, soundSign, () => sound.toggle()],
    Screen.possible && [screen.full ? "Leave full screen" : "Full screen", "full", () => screen.toggleFull()],
    ["Keys and help", "info", () => openHelp(page)],
    !rights.isCourtesy && ["All sessions", "back", "/"],
  ];
  const corrections = [
    over && actions.may("reopen") && ["Reopen the session …", "back", () => actions.reopen()],
    actions.may("reset") && ["Reset the session …", "reset", () => actions.reset(), "danger"],
    !over && actions.may("complete") && ["Complete the session …", "check", () => actions.complete()],
    !over && actions.may("cancel") && ["Cancel the session …", "cross", () => actions.cancel(), "danger"],
    actions.may("delete") && [t("again.delete"), "trash", () => actions.delete(), "danger"],
  ];
  return [clocks, corrections].map((group) => group.filter(Boolean));
}

/**
 * Opens the menu, which follows the session while it is open: what is no longer possible stays in its place and
 * cannot be pressed, and what has become possible comes.
 *
 * @param {import("./session.js").Page} page
 */
export function openMenu(page) {
  const list = h("div", { class: "menu" });
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
    itemsOf(page).forEach((items, place) => {
      const group = shown[place];
      const found = new Map(items.map((each) => [each[0], each]));
      let before = null;
      for (const [label, ...rest] of items) {
        let control = group.get(label);
        if (!control) {
          control = make(label, ...rest);
          if (before) before.after(control);
          else (place === 0 ? list : line).insertAdjacentElement(place === 0 ? "afterbegin" : "afterend", control);
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
  list.append(line);
  const views = viewChoices(page, "menu-view", () => opened.close());
  const opened = openDialog({
    title: page.title,
    class: "menu-dialog",
    body: [
      h("fieldset", { class: "menu-views" }, [
        h("legend", { class: "visually-hidden" }, "View"),
        h("div", { class: "segments" }, views),
      ]),
      list,
      page.rights.isCourtesy && h("p", { class: "hint" }, courtesyText(page)),
      h("div", { class: "menu-scheme" }, h("span", { class: "muted" }, "Light or dark"), schemeSwitch()),
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
  ["Space", "Start the session", ["start"]],
  ["Space", "End the turn", ["switch"]],
  ["P", "Pause or resume", ["pause"]],
  ["N", "Next, or a lap", ["switch"]],
  ["T", "Give or take time", ["adjust"]],
  ["U", "Take back turns", ["takeback"]],
  ["W", t("roles.keyTurn"), ["turn"]],
  ["O", t("roles.keyReopen"), ["reopen"]],
  ["R", t("again.key"), ["create"]],
  ["S", "Start and end", ["schedule"]],
  ["H", "History"],
  ["1 2 3 4", Object.values(VIEWS).join(", ").toLowerCase()],
  ["F", "Full screen"],
  ["M", "Sound on or off"],
  ["?", "This help"],
];

/**
 * Opens the list of keys, with a hint how to read the page.
 *
 * @param {import("./session.js").Page} page
 */
export function openHelp({ rights, uses }) {
  const works = ([, , actions]) => !actions || actions.some((each) => rights.ever(each));
  const row = ([keys, text]) => {
    const caps = keys.split(" ").map((key) => h("kbd", {}, key));
    return [h("dt", {}, caps), h("dd", {}, text)];
  };
  const use = uses.label ?? uses.switchLabel;
  const keys = [...KEYS.filter(works), ...(use !== null ? [["B", use]] : [])];
  const press = rights.ever("switch") ? "On the game clock, press the half that runs. " : "";
  const hint =
    `${press}All devices show the same time, even if their own clocks are wrong. ` +
    "The number after ± says how far the shown time may be off.";
  openDialog({
    title: "Keys and help",
    body: [h("dl", { class: "keys" }, keys.map(row)), h("p", { class: "hint" }, hint)],
  });
}
