// The page at `/room/<tag>`: a card for each session that has the tag. The address says what is shown: `#make`
// makes boards from pairings, `#links` has links and codes, and the query has the search, the sort and the filter,
// so that the way back from a session leads to the same place.

import { keepFocus } from "../shared/focus.js";
import { t } from "../shared/i18n.js";
import { Rights } from "../shared/rights.js";
import { foldTag } from "../shared/tags.js";
import {
  button, connectionIndicator, createClient, errorText, fill, h, languageChoice, newId, note, schemeSwitch, setText, tokenCard,
} from "../shared/ui.js";
import { actionBar } from "./acting.js";
import { boardOf, countsOf, FILTERS, kindsOf, matches, SORTS, sorted, withoutFollowed } from "./boards.js";
import { Card } from "./card.js";
import { Feed, MOST } from "./feed.js";
import { makeView } from "./make.js";
import { sheetView } from "./sheet.js";

const FRAME_MS = 100;
/** Cards change their places at most so often, and not while somebody may be about to press one. */
const SORT_MS = 5000;
const HANDS_OFF_MS = 2500;
/** So many cards share the whole of a wall; more are as small as sixty need it. */
const FEW = 24;

const $ = (id) => document.getElementById(id);

/** The room of a tag. */
class Room {
  constructor(tag) {
    this.tag = tag;
    this.client = createClient();
    this.rights = Rights.none;
    /** @type {import("./boards.js").Board[] | null} */
    this.boards = null;
    /** The states that were listed last, and those that this page made and the list does not have yet, by id. */
    this.listed = [];
    this.made = new Map();
    /** @type {Map<string, Card>} */
    this.cards = new Map();
    /** The ids of the boards that are selected. */
    this.picked = new Set();
    /** The ids of the cards as they are shown, in their order. */
    this.order = [];
    const query = new URLSearchParams(location.search);
    this.find = query.get("find") ?? "";
    this.sort = SORTS.includes(query.get("sort")) ? query.get("sort") : "board";
    this.filter = FILTERS.includes(query.get("show")) ? query.get("show") : "";
    this.sortedAt = -Infinity;
    this.handledAt = -Infinity;
    this.indicator = connectionIndicator(this.client);
    document.querySelector("header.bar").append(h("span", { class: "grow" }), this.indicator.element, languageChoice({ square: true }), schemeSwitch());
    this.#build();
    this.keepFocus = keepFocus($("boards-view"), () => $("title"));
    this.feed = new Feed(this.client, tag, {
      onStates: (states, about) => this.#onStates(states, about),
      onError: (error) => this.#onError(error),
    });
    this.views = {
      "": { element: $("boards-view"), title: tag },
      make: { element: $("make-view"), title: t("make.title"), part: null, make: () => makeView(this) },
      links: { element: $("sheet-view"), title: t("sheet.title"), part: null, make: () => sheetView(this) },
    };
    window.addEventListener("hashchange", () => this.#route());
    this.#route({ focus: false });
    this.#start();
  }

  async #start() {
    await this.#askRights();
    this.feed.setActive(true);
    requestAnimationFrame((at) => this.#frame(at));
  }

  async #askRights() {
    try {
      this.rights = await Rights.ask(this.client);
      this.indicator.set("live");
    } catch {
      // The feed's own call says what is wrong. Without rights the page has no buttons.
    }
    this.#showRights();
  }

  // What is on the page

  #build() {
    const searchId = newId("find");
    this.search = h("input", {
      class: "input", id: searchId, type: "search", value: this.find, autocomplete: "off", spellcheck: "false",
      placeholder: t("room.searchHint"),
      oninput: () => {
        this.find = this.search.value;
        this.#arrange({ now: true });
      },
    });
    const sortId = newId("sort");
    const sort = h(
      "select",
      {
        class: "select", id: sortId,
        onchange: () => {
          this.sort = sort.value;
          this.#arrange({ now: true });
        },
      },
      SORTS.map((name) => h("option", { value: name, selected: name === this.sort }, t(`room.sort.${name}`))),
    );
    this.counts = new Map();
    const name = newId("show");
    const filters = h(
      "div",
      { class: "segments", role: "radiogroup", "aria-label": t("room.show") },
      ["", ...FILTERS].map((each) => {
        const count = h("span", { class: "count digits" });
        this.counts.set(each, count);
        return h(
          "label",
          {},
          h("input", {
            type: "radio", name, value: each, checked: each === this.filter,
            onchange: () => {
              this.filter = each;
              this.#arrange({ now: true });
            },
          }),
          h("span", {}, h("span", {}, t(`room.filter.${each || "all"}`), " ", count)),
        );
      }),
    );
    this.message = h("div", { class: "room-note", role: "status" });
    this.token = h("div", { class: "room-note" });
    this.acting = actionBar(this);
    this.list = h("ul", { role: "list", class: "boards", "aria-label": t("room.list"), "aria-busy": "true" },
      Array.from({ length: 12 }, () => h("li", { class: "board skeleton", "aria-hidden": "true" })));
    this.empty = h("div", { class: "empty", hidden: true });
    this.said = h("p", { class: "visually-hidden", role: "status" });
    this.tools = h(
      "div",
      { class: "room-tools" },
      h("div", { class: "field room-find" }, h("label", { htmlFor: searchId, class: "visually-hidden" }, t("room.search")), this.search),
      h("div", { class: "field room-sort" }, h("label", { htmlFor: sortId, class: "visually-hidden" }, t("room.sort")), sort),
      h("div", { class: "room-filter" }, filters),
    );
    fill($("boards-view"), this.tools, this.acting.element, this.message, this.token, this.said, this.list, this.empty);
    const handle = () => { this.handledAt = performance.now(); };
    for (const type of ["pointermove", "pointerdown", "focusin", "keydown"]) this.list.addEventListener(type, handle);
  }

  #showRights() {
    const mayMake = this.rights.always("create");
    const maySheet = this.rights.mayShare;
    fill(
      $("ways"),
      mayMake && h("a", { class: "button", href: "#make" }, t("make.way")),
      maySheet && h("a", { class: "button", href: "#links" }, t("sheet.way")),
    );
    this.mayAct = ["start", "pause", "resume", "adjust"].some((action) => this.rights.always(action));
    document.body.classList.toggle("acts", this.mayAct);
    this.acting.show();
  }

  /** Shows the view that the address names. */
  #route({ focus = true } = {}) {
    const hash = location.hash.slice(1);
    if (hash === "main") return; // the link that skips to the content
    const name = Object.hasOwn(this.views, hash) ? hash : "";
    const wanted = this.views[name];
    for (const each of Object.values(this.views)) each.element.hidden = each !== wanted;
    setText($("title"), wanted.title);
    setText($("of-room"), this.tag);
    $("of-room").hidden = name === "";
    document.title = name === "" ? `${this.tag} – SyncKairos` : `${wanted.title} – ${this.tag} – SyncKairos`;
    $("ways").hidden = name !== "";
    if (wanted.make && !wanted.part?.busy) {
      // A view is made anew each time, because it is about the boards of now; but not what it has begun.
      wanted.part?.close?.();
      wanted.part = wanted.make();
      fill(wanted.element, wanted.part.element);
    } else wanted.part?.update?.();
    if (focus) {
      window.scrollTo(0, 0);
      $("title").focus({ preventScroll: true });
    }
  }

  // From the service

  #onStates(states, { more, reason }) {
    this.indicator.set("live");
    fill(this.token);
    this.listed = states;
    for (const { session_id: id } of states) this.made.delete(id);
    this.#showBoards();
    this.#say(reason ? ["", t("room.noList", { reason })] : more ? ["", t("room.most", { count: MOST })] : null);
  }

  /** Adds sessions that were just made. The list has a session only once its audit is stored, which may take a while. */
  addMade(states) {
    const listed = new Set(this.listed.map(({ session_id: id }) => id));
    for (const state of states) if (!listed.has(state.session_id)) this.made.set(state.session_id, state);
    this.#showBoards();
  }

  #showBoards() {
    const before = this.boards;
    this.boards = withoutFollowed([...this.made.values(), ...this.listed]).map(boardOf);
    const ids = new Set(this.boards.map((board) => board.id));
    for (const id of this.picked) if (!ids.has(id)) this.picked.delete(id);
    for (const [id, card] of this.cards) {
      if (!ids.has(id)) {
        card.element.remove();
        this.cards.delete(id);
      }
    }
    const added = this.boards.filter((board) => !this.cards.has(board.id));
    for (const board of this.boards) {
      let card = this.cards.get(board.id);
      if (!card) {
        card = new Card(board.id, { onPick: (id, picked) => this.#pick(id, picked) });
        card.pick.checked = this.picked.has(board.id);
        this.cards.set(board.id, card);
      }
      card.show(board);
    }
    if (before !== null && added.length > 0) setText(this.said, t("room.added", { count: added.length }));
    this.#arrange({ now: before === null || added.length > 0 });
    // What the address names was made before there were boards for it.
    if (before === null && location.hash === "#links") this.#route({ focus: false });
    else if (!this.views.links.element.hidden) this.views.links.part.update();
  }

  #onError(error) {
    if (error?.code === "UNAUTHENTICATED" || error?.code === "FORBIDDEN") {
      fill(this.list);
      this.cards.clear();
      this.boards = [];
      this.tools.hidden = true;
      this.empty.hidden = true;
      this.list.hidden = true;
      this.acting.show();
      fill(this.token, tokenCard(() => location.reload()));
      return false;
    }
    this.indicator.set("reconnecting");
    if (this.boards === null) {
      fill(this.list);
      this.list.removeAttribute("aria-busy");
    }
    this.#say(["danger", t("room.failed", { reason: errorText(error) })]);
    return true;
  }

  #say(said) {
    const key = said?.join(" ") ?? "";
    if (key === this.saidKey) return;
    this.saidKey = key;
    fill(this.message, said && note(said[0], h("p", {}, said[1])));
  }

  // Order, filter, selection

  get now() {
    return this.client.time.now() ?? this.boards?.[0]?.state.server_time_ms ?? 0;
  }

  /** The boards that the search and the filter let through. */
  get shown() {
    const { now } = this;
    return (this.boards ?? []).filter((board) =>
      matches(board, this.find) && (this.filter === "" || kindsOf(board, now).includes(this.filter)));
  }

  /** The boards that an action is for: the selected ones, otherwise those that are shown. */
  get targets() {
    const shown = this.shown;
    return this.picked.size > 0 ? (this.boards ?? []).filter((board) => this.picked.has(board.id)) : shown;
  }

  #pick(id, picked) {
    if (picked) this.picked.add(id);
    else this.picked.delete(id);
    this.cards.get(id).element.classList.toggle("picked", picked);
    this.acting.show();
  }

  /** Selects the boards that are shown, or none. */
  pickAll(picked) {
    for (const board of picked ? this.shown : (this.boards ?? [])) {
      this.cards.get(board.id).pick.checked = picked;
      this.#pick(board.id, picked);
    }
  }

  /** Puts the cards in order. now: whatever somebody is about to press, because that one asked for it. */
  #arrange({ now: atOnce = false } = {}) {
    if (this.boards === null) return;
    const { now } = this;
    const shown = this.shown;
    const ids = new Set(shown.map((board) => board.id));
    const at = performance.now();
    const isQuiet = at - this.sortedAt > SORT_MS && at - this.handledAt > HANDS_OFF_MS;
    if (atOnce || isQuiet) {
      this.sortedAt = at;
      this.order = sorted(this.boards, this.sort, now).map((board) => board.id);
    }
    this.list.removeAttribute("aria-busy");
    for (const each of this.list.querySelectorAll(".skeleton")) each.remove();
    const known = new Set(this.order);
    const order = [...this.order, ...this.boards.map((board) => board.id).filter((id) => !known.has(id))];
    let before = null;
    for (const id of order) {
      const card = this.cards.get(id);
      if (!card) continue;
      const place = before ? before.nextSibling : this.list.firstChild;
      if (place !== card.element) this.list.insertBefore(card.element, place);
      before = card.element;
      const isHidden = !ids.has(id);
      if (card.element.hidden !== isHidden) card.element.hidden = isHidden;
    }
    const counts = { "": this.boards.length, ...countsOf(this.boards, now) };
    for (const [name, element] of this.counts) setText(element, String(counts[name]));
    this.counts.get("out").closest("label").classList.toggle("alarm", counts.out > 0);
    this.tools.hidden = this.boards.length === 0;
    this.list.hidden = shown.length === 0;
    this.list.classList.toggle("few", shown.length <= FEW);
    this.list.style.setProperty("--columns", String(Math.max(2, Math.ceil(Math.sqrt(shown.length)))));
    this.#showEmpty(shown.length);
    this.acting.show();
    this.#keepInAddress();
    this.keepFocus();
    this.draw();
  }

  #showEmpty(count) {
    this.empty.hidden = count > 0;
    const key = count > 0 ? "" : this.boards.length > 0 ? "none" : `new ${this.rights.always("create")}`;
    if (key === this.emptyKey) return;
    this.emptyKey = key;
    fill(
      this.empty,
      key === "none" && [
        h("p", { class: "empty-title" }, t("room.nothingFound")),
        button(t("room.showAll"), { onclick: () => this.#showAll() }),
      ],
      key.startsWith("new") && [
        h("p", { class: "empty-title" }, t("room.empty")),
        h("p", { class: "muted" }, t("room.emptyHint", { tag: this.tag })),
        this.rights.always("create") && h("a", { class: "button primary large", href: "#make" }, t("make.way")),
      ],
    );
  }

  #showAll() {
    this.find = "";
    this.search.value = "";
    this.filter = "";
    for (const each of this.tools.querySelectorAll("input[type=radio]")) each.checked = each.value === "";
    this.#arrange({ now: true });
    this.search.focus();
  }

  #keepInAddress() {
    const url = new URL(location.href);
    const set = (name, value, usual) => (value === usual ? url.searchParams.delete(name) : url.searchParams.set(name, value));
    set("find", this.find.trim(), "");
    set("sort", this.sort, "board");
    set("show", this.filter, "");
    if (url.href !== location.href) history.replaceState(history.state, "", url);
  }

  // Drawing

  #frame(at) {
    requestAnimationFrame((next) => this.#frame(next));
    if (at - (this.drawnAt ?? -Infinity) < FRAME_MS || $("boards-view").hidden) return;
    this.drawnAt = at;
    this.draw();
  }

  draw() {
    const time = this.client.time.now();
    for (const card of this.cards.values()) if (!card.element.hidden) card.draw(time);
  }
}

let tag = null;
try {
  tag = foldTag(decodeURIComponent(location.pathname.split("/").pop()));
} catch {
  // It has a % that encodes nothing.
}
if (tag === null) {
  setText($("title"), t("room.badName"));
  fill($("boards-view"), h("p", {}, t("room.badNameHint")), h("p", {}, h("a", { href: "/" }, t("room.home"))));
} else new Room(tag);
