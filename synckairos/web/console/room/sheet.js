// The links of a room's boards, for players and watchers, and a sheet of their QR codes to print. Where there are
// tokens, each link is made by the service and shown while the page lives; otherwise a link is the plain address.

import { moment, t } from "../shared/i18n.js";
import { activeOwner } from "../shared/glance.js";
import { qrPicture } from "../shared/qr.js";
import { copy, isLoopback } from "../shared/share.js";
import { askForToken, button, fill, h, newId, note, setText } from "../shared/ui.js";
import { sorted } from "./boards.js";
import { forEach, nameOf, reasonOf } from "./bulk.js";
import { ownerName } from "./card.js";

const HOUR_S = 3600;
const PERIODS = [4 * HOUR_S, 24 * HOUR_S, 7 * 24 * HOUR_S, 30 * 24 * HOUR_S];
const DEFAULT_S = 24 * HOUR_S;
/** How many codes a page has, and in how many columns. */
const PAGES = { 2: 1, 4: 2, 6: 2, 8: 2, 12: 3, 20: 4 };
const DEFAULT_PAGE = "6";
/** Of a session with more participants there are no links for each of them here. */
const MOST_PLAYERS = 8;

/** @param {import("./room.js").Room} room */
export function sheetView(room) {
  /** @type {import("./boards.js").Board[]} */
  let boards = [];
  const withTokens = room.rights.needsToken;
  const ids = { period: newId("period"), page: newId("page") };
  const check = (name, checked) => {
    const input = h("input", { type: "checkbox", checked, onchange: () => show() });
    return { input, element: h("label", { class: "check" }, input, h("span", {}, t(`sheet.for.${name}`))) };
  };
  const forPlayers = check("players", true);
  const forWatchers = check("watchers", true);
  const period = h("select", { class: "select", id: ids.period, onchange: () => show() },
    PERIODS.map((seconds) => h("option", { value: seconds, selected: seconds === DEFAULT_S }, t("sheet.hours", { count: seconds / HOUR_S }))));
  const perPage = h("select", { class: "select", id: ids.page, onchange: () => draw() },
    Object.keys(PAGES).map((each) => h("option", { value: each, selected: each === DEFAULT_PAGE }, each)));
  const makeButton = button(t("sheet.make"), { class: "primary", onclick: () => make() });
  const printButton = button(t("sheet.print"), { icon: "print", class: "primary", onclick: () => window.print() });
  const copyButton = button(t("sheet.copy"), { icon: "copy", onclick: () => copy(asText()) });
  const whom = h("p", { class: "muted" });
  const account = h("div", { class: "sheet-account", role: "status" });
  const pages = h("div", { class: "sheet" });
  const element = h(
    "div",
    { class: "sheet-view" },
    h("div", { class: "sheet-tools" },
      whom,
      h("div", { class: "sheet-choices" },
        h("fieldset", {}, h("legend", {}, t("sheet.who")), forPlayers.element, forWatchers.element),
        withTokens && h("div", { class: "field" }, h("label", { htmlFor: ids.period }, t("sheet.period")), period),
        h("div", { class: "field" }, h("label", { htmlFor: ids.page }, t("sheet.perPage")), perPage)),
      isLoopback(location.hostname) && note("warn", h("p", {}, t("sheet.loopback", { host: location.hostname }))),
      h("div", { class: "buttons" }, withTokens && makeButton, printButton, copyButton, h("a", { class: "button quiet", href: "#" }, t("room.back"))),
      account),
    pages,
  );

  /** The links that are shown: {board, who, address}. @type {object[]} */
  let links = [];
  /**
   * With tokens the links that were made, by what they are for. Each stays good for its time, so none is made twice.
   * @type {Map<string, {address: string, until: number}>}
   */
  const made = new Map();
  let isMaking = false;
  /** What became of the links that were made last. */
  let outcome = null;
  /** Which boards are shown. */
  let shownKey = null;

  const keyOf = ({ board, role, id }) => [board.id, role, id, period.value].join(" ");
  const linkOf = (each) => {
    const link = made.get(keyOf(each));
    return link && link.until > Date.now() ? link : null;
  };
  const missing = () => wanted().filter((each) => linkOf(each) === null);

  /** Takes the boards of now. The sheet is drawn again only where they are others, so that it stays still. */
  function update() {
    if (isMaking) return;
    const now = room.picked.size > 0 ? room.targets : sorted(room.boards ?? [], "board", room.now);
    const key = JSON.stringify([room.picked.size > 0, now.map(({ id, number, title, state }) =>
      [id, number, title, state.participants.map((each) => [each.participant_id, ownerName(state, each.participant_id)])])]);
    if (key === shownKey) return;
    shownKey = key;
    boards = now;
    setText(whom, t(room.picked.size > 0 ? "room.forPicked" : "room.forAll", { count: boards.length }));
    show();
  }

  /** What each board needs a link for. */
  function wanted() {
    return boards.flatMap((board) => {
      const { participants } = board.state;
      const players = forPlayers.input.checked && participants.length <= MOST_PLAYERS && activeOwner(board.state) !== undefined
        ? participants.map((each) => ({ board, role: "player", id: each.participant_id, who: ownerName(board.state, each.participant_id) })) : [];
      const watchers = forWatchers.input.checked ? [{ board, role: "viewer", id: null, who: t("sheet.watch") }] : [];
      return [...players, ...watchers];
    });
  }

  function show() {
    if (isMaking) return;
    const all = wanted();
    links = withTokens
      ? all.filter((each) => linkOf(each) !== null).map((each) => ({ ...each, address: linkOf(each).address }))
      : all.map((each) => ({ ...each, address: plain(each) }));
    const count = all.length - links.length;
    setText(makeButton.querySelector("span"), t("sheet.makeCount", { count }));
    makeButton.disabled = count === 0;
    makeButton.hidden = count === 0 && links.length > 0;
    printButton.hidden = links.length === 0;
    copyButton.hidden = links.length === 0;
    if (boards.length === 0) fill(account, h("p", { class: "muted" }, t("room.empty")));
    else if (!withTokens) fill(account, h("p", { class: "hint" }, t("sheet.plain")));
    else fill(account, outcome !== null && links.length > 0 ? outcome : h("p", { class: "hint" }, t("sheet.tokens")));
    draw();
  }

  const plain = ({ board, role, id }) => `${location.origin}/s/${board.id}${role === "player" ? `?as=${id}` : "?watch"}`;

  async function make() {
    if (isMaking) return;
    isMaking = true;
    makeButton.setAttribute("aria-busy", "true");
    const choices = [forPlayers.input, forWatchers.input, period];
    for (const each of choices) each.disabled = true;
    const items = missing();
    const seconds = Number(period.value);
    const until = Date.now() + 1000 * seconds;
    const results = await forEach(items, async (each) => {
      const link = await room.client.request("POST", `/v1/sessions/${each.board.id}/links`, {
        role: each.role, ...(each.role === "player" ? { participant_id: each.id } : {}), expires_in_s: seconds,
      });
      made.set(keyOf(each), { address: new URL(link.url, location.origin).href, until });
    }, { onDone: (done) => fill(account, h("p", {}, t("sheet.making", { done, count: items.length }))) });
    makeButton.removeAttribute("aria-busy");
    for (const each of choices) each.disabled = false;
    isMaking = false;
    const failed = results.filter(({ error }) => error !== null);
    outcome = note(failed.length > 0 ? "warn" : "",
      h("p", {}, h("strong", {}, t("sheet.made", { count: items.length - failed.length, all: items.length }))),
      h("p", {}, t("sheet.good", { until: moment(until, { dateStyle: "medium", timeStyle: "short" }) })),
      failed.length > 0 && h("ul", { class: "account-list" }, failed.map(({ item, error }) =>
        h("li", {}, `${nameOf(item.board)}, ${item.who} – ${reasonOf(error)}`))));
    shownKey = null; // there may be other boards by now
    update();
    if (failed.some(({ error }) => error.code === "UNAUTHENTICATED")) askForToken({ reload: false });
  }

  /** A line for each link, to paste into a spreadsheet or a message. */
  const asText = () => links.map(({ board, who, address }) =>
    [board.number ?? "", board.title, who, address].map((each) => String(each).replace(/[\t\n\r]/g, " ")).join("\t")).join("\n");

  function draw() {
    const size = Number(perPage.value);
    const all = [];
    for (let from = 0; from < links.length; from += size) all.push(links.slice(from, from + size));
    pages.style.setProperty("--columns", String(PAGES[perPage.value]));
    pages.style.setProperty("--rows", String(size / PAGES[perPage.value]));
    fill(pages, all.map((each, place) =>
      h("ul", { role: "list", class: "sheet-page", "aria-label": t("sheet.page", { number: place + 1 }) }, each.map(cell))));
  }

  function cell({ board, who, address }) {
    const code = qrPicture(address, t("sheet.code", { name: nameOf(board), who }));
    return h(
      "li",
      { class: "sheet-cell" },
      h("p", { class: "sheet-board digits" }, board.number === null ? "" : t("sheet.board", { number: board.number })),
      h("p", { class: "sheet-title" }, board.title),
      h("div", { class: "sheet-code" }, code ?? t("sheet.noCode")),
      h("p", { class: "sheet-who" }, who),
      h("p", { class: "sheet-address" }, h("a", { href: address }, address.replace(/#.*/, "").replace(/^https?:\/\//, ""))),
    );
  }

  update();
  return {
    element,
    update,
    /** Whether it has links, which are shown only while it is there, or makes some. */
    get busy() {
      return isMaking || made.size > 0;
    },
  };
}
