// The menu of a session's page: all actions, the views, links for players, and the keys.

import { button, h, icon, linksDialog, openDialog, schemeSwitch, shareDialog } from "../shared/ui.js";
import { VIEWS } from "../shared/names.js";
import { screenItems } from "./overlay.js";
import { canAdjust, canSetTurn, canTakeBack, hasNext, isOver, viewsFor } from "./rules.js";
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
  const offered = viewsFor(page.state);
  return Object.entries(VIEWS).filter(([value]) => offered.includes(value)).map(choice);
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
    shareDialog(url.href, { title: `Clock of ${person.name}` });
  };
  const choices = people.participants.map((each) => button(each.name, { onclick: () => link(each) }));
  const opened = openDialog({
    title: "Link for one player",
    body: [
      h("p", {}, "On a device that opens this link, only this player’s own clock can be pressed."),
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
    sound.state === "on" ? ["Turn sound off", "mute"] : ["Turn sound on", "sound"];
  const items = [
    state.status === "running" && hasNext(state) && !page.view.ownsNext && actions.may("switch") && item("Next turn", "next", () => actions.next()),
    canAdjust(state) && actions.may("adjust") && item("Give or take time", "clock", () => actions.openTime()),
    actions.mayPauseFreely && item("Pause without counting it", "pause", () => actions.pauseFreely()),
    canTakeBack(state) && actions.may("takeback") && item("Take back turns …", "undo", () => actions.openTakeBack()),
    canSetTurn(state) &&
      actions.may("turn") &&
      item(state.status === "pending" ? "Who begins …" : "Whose turn it is …", "swap", () => actions.openTurn()),
    !over && actions.may("schedule") && item("Start and end …", "calendar", () => openSchedule(page)),
    item("History", "history", () => openHistory(page)),
    rights.mayShare && item("Share this session", "share", () => share(page)),
    !rights.needsToken && state.participants.length > 1 && item("Link for one player", "person", () => openPlayerLinks(page)),
    ...screenItems(page).map((each) => item(...each)),
    page.as && !rights.player && item("Let this device press all clocks", "people", () => page.unbind()),
    Sound.possible && item(soundLabel, soundSign, () => sound.toggle()),
    Screen.possible &&
      item(screen.full ? "Leave full screen" : "Full screen", "full", () => screen.toggleFull()),
    item("Keys and help", "info", () => openHelp(page)),
    h("a", { class: "button quiet item", href: "/" }, icon("back"), h("span", {}, "All sessions")),
    ["complete", "cancel"].some((each) => !over && actions.may(each)) ||
    ["reopen", "reset"].some((each) => actions.may(each))
      ? h("hr")
      : null,
    over && actions.may("reopen") && item("Reopen the session …", "back", () => actions.reopen()),
    actions.may("reset") && item("Reset the session …", "reset", () => actions.reset(), "danger"),
    !over && actions.may("complete") && item("Complete the session …", "check", () => actions.complete()),
    !over && actions.may("cancel") && item("Cancel the session …", "cross", () => actions.cancel(), "danger"),
  ];
  const views = viewChoices(page, "menu-view", () => opened.close());
  const opened = openDialog({
    title: page.title,
    class: "menu-dialog",
    body: [
      h("fieldset", { class: "menu-views" }, [
        h("legend", { class: "visually-hidden" }, "View"),
        h("div", { class: "segments" }, views),
      ]),
      h("div", { class: "menu" }, items),
      h("div", { class: "menu-scheme" }, h("span", { class: "muted" }, "Light or dark"), schemeSwitch()),
    ],
  });
}

/** Keys, what they do, and the actions of which one has to be allowed. */
const KEYS = [
  ["Space", "Start the session", ["start"]],
  ["Space", "End the turn", ["switch"]],
  ["P", "Pause or resume", ["pause"]],
  ["N", "Next, or a lap", ["switch"]],
  ["T", "Give or take time", ["adjust"]],
  ["U", "Take back turns", ["takeback"]],
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
export function openHelp({ rights }) {
  const works = ([, , actions]) => !actions || actions.some((each) => rights.ever(each));
  const row = ([keys, text]) => {
    const caps = keys.split(" ").map((key) => h("kbd", {}, key));
    return [h("dt", {}, caps), h("dd", {}, text)];
  };
  const press = rights.ever("switch") ? "On the game clock, press the half that runs. " : "";
  const hint =
    `${press}All devices show the same time, even if their own clocks are wrong. ` +
    "The number after ± says how far the shown time may be off.";
  openDialog({
    title: "Keys and help",
    body: [h("dl", { class: "keys" }, KEYS.filter(works).map(row)), h("p", { class: "hint" }, hint)],
  });
}
