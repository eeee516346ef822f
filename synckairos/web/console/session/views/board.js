// The board: all participants at once, up to a thousand. Tiles are made once. After that only the tiles that
// changed are updated, and between changes only the running clock. The tiles fill the screen; more than one page of
// them is turned by itself, as nobody stands at a wall to scroll it.

import { t } from "../../shared/i18n.js";
import { button, fill, h, icon, setText } from "../../shared/ui.js";
import { formatClock } from "../../shared/time.js";
import { dress } from "../faces/dress.js";
import { movesOf } from "../faces/counting.js";
import { Digits, faceOf, spokenFace, wholeOf } from "../faces/face.js";
import { showLight } from "../faces/shine.js";
import { layout } from "./grid.js";
import { hasNext, isOver, ownClocks } from "../rules.js";
import { nextAfter } from "../people.js";

/** A page is shown for this long before the next one. */
const PAGE_MS = 8000;
/** After a touch the pages do not turn by themselves for this long. */
const AFTER_TOUCH_MS = 60_000;
/** From so many tiles on the board needs every line of a low screen. */
const CROWDED_FROM = 20;
/** The widest number that tiles keep room for, in digits: that of the last ten seconds, with its tenths. */
const LEAST_WIDTH = 4.35;
/** After the user scrolled, the board does not scroll to the active tile for this long. */
const AFTER_SCROLL_MS = 5000;
/** The most members whose names are on the tile of a team. */
const MAX_MEMBERS = 6;

class Tile {
  constructor(view, person, place) {
    this.view = view;
    this.person = person;
    this.name = h("span", { class: "tile-name" }, person.name);
    this.digits = new Digits("tile-digits");
    this.time = h("span", { class: "tile-time" }, this.digits.element);
    this.facts = h("span", { class: "tile-facts digits" });
    this.members = view.page.people.byGroup ? h("span", { class: "tile-members" }) : null;
    this.rest = h("span", { class: "rest" });
    const look = `tile hue-${person.hue}`;
    const open = () => view.page.actions.openPerson(person.id);
    this.element = h(
      view.opensPeople ? "button" : "div",
      view.opensPeople ? { type: "button", class: look, onclick: open } : { class: look },
      h("span", { class: "tile-head" }, h("span", { class: "tile-place digits" }, String(place + 1)), this.name),
      this.time,
      this.members,
      this.facts,
      h("span", { class: "bar-of-time" }, this.rest),
    );
  }

  update(entry, isActive) {
    const { page } = this.view;
    const { people, state } = page;
    this.entry = entry;
    this.isActive = isActive;
    this.element.classList.toggle("active", isActive);
    if (isActive) this.element.setAttribute("aria-current", "true");
    else this.element.removeAttribute("aria-current");
    this.whole = ownClocks(state) ? wholeOfEntry(entry) : null;
    const moves = movesOf(page, this.person.id);
    const turns = moves === null ? "" : t("count.turns", { count: moves });
    setText(
      this.facts,
      [
        isOut(state, entry, isActive) && t("face.out"),
        turns,
        entry.time_used_ms > 0 && t("board.used", { time: formatClock(entry.time_used_ms, { countUp: true }) }),
      ]
        .filter(Boolean)
        .join(" · "),
    );
    if (this.members) this.#drawMembers(people, state);
    this.draw();
  }

  /** The face of a clock, which goes on below zero while its turn goes on. */
  #face(owner, wholeMs) {
    const { page } = this.view;
    const clock = page.clock(owner);
    const overMs = this.isActive ? page.overtime(owner, clock) : null;
    const more = { wholeMs, overMs, usedMs: null, counts: null, lights: [] };
    return dress(faceOf(page.state, clock, wholeMs), page.state, clock, more);
  }

  #drawMembers(people, state) {
    const members = people.participants.filter((each) => each.groupId === this.person.id);
    const key = members.map((each) => each.id).join() + (this.isActive ? state.active_participant_id : "");
    if (key === this.membersKey) return;
    this.membersKey = key;
    const shown = members.slice(0, MAX_MEMBERS);
    const active = this.isActive && members.find((each) => each.id === state.active_participant_id);
    if (active && !shown.includes(active)) shown[MAX_MEMBERS - 1] = active;
    this.members.replaceChildren(
      ...shown.map((each) => h("span", { class: each === active ? "member active" : "member" }, each.name)),
    );
    if (members.length > shown.length)
      this.members.append(h("span", { class: "member" }, `+${members.length - shown.length}`));
  }

  draw() {
    const { page } = this.view;
    const { state } = page;
    let ms = null;
    let countUp = true;
    let level = "calm";
    let share = null;
    let isEmpty = false;
    if (ownClocks(state)) {
      const face = this.#face(this.person.id, this.whole);
      ({ ms, countUp } = face);
      level = isOut(state, this.entry, this.isActive) ? "out" : face.level;
      share = face.share;
    } else if (this.isActive && state.sync_mode !== "count_up") {
      ({ ms, countUp, level, share } = this.#face(null, this.view.whole));
    } else if (this.isActive || this.entry.time_used_ms > 0) {
      ms = this.entry.time_used_ms + (this.isActive ? page.cycleElapsed() : 0);
    } else {
      isEmpty = true;
    }
    if (isEmpty !== this.isEmpty) this.time.classList.toggle("empty", isEmpty);
    this.isEmpty = isEmpty;
    this.digits.options.tenths = this.isActive && !countUp;
    this.digits.show(ms, countUp);
    this.view.needs(this.digits.size);
    if (level !== this.level) {
      this.level = level;
      this.element.dataset.level = level;
    }
    const rounded = share === null ? 0 : Math.round(share * 400) / 400;
    if (rounded !== this.share) {
      this.share = rounded;
      this.rest.style.setProperty("transform", `scaleX(${rounded})`);
    }
  }
}

/** Whether a clock is out. Under `notify` a turn goes on at the end of its clock, and is in overtime. */
const isOut = (state, entry, isActive) =>
  entry.has_expired && !(isActive && !isOver(state) && state.action_on_timeout.type === "notify");

const wholeOfEntry = (entry) =>
  entry.total_time_ms === null ? null : entry.total_time_ms + entry.time_used_ms;

export class BoardView {
  /** @param {import("../session.js").Page} page */
  constructor(page) {
    this.page = page;
    this.digits = new Digits("board-digits");
    this.timer = h(
      "div",
      {
        class: "board-time",
        role: "timer",
        "aria-live": "off",
        tabindex: "0",
        onfocus: () => this.timer.setAttribute("aria-label", spokenFace(this.face)),
        onblur: () => this.timer.removeAttribute("aria-label"),
      },
      this.digits.element,
    );
    this.dot = h("span", { class: "dot" });
    this.name = h("span", { class: "board-name" });
    this.next = h("span", {});
    this.total = h("span", {});
    this.note = h("span", {});
    this.rest = h("span", { class: "rest" });
    this.find = h("input", {
      class: "input board-find",
      type: "search",
      placeholder: t("board.find"),
      "aria-label": t("board.findByName"),
      autocomplete: "off",
      oninput: () => this.filter(),
    });
    this.scroller = h("div", {
      class: "board-pages",
      onwheel: () => this.onUserScroll(),
      onpointerdown: () => this.onUserScroll(),
      ontouchmove: () => this.onUserScroll(),
      onkeydown: () => this.onUserScroll(),
      onscroll: () => this.onScroll(),
    });
    this.dots = h("div", { class: "board-dots", role: "group", "aria-label": t("board.pages"), hidden: true });
    this.turner = button(t("board.stop"), {
      icon: "pause",
      square: true,
      class: "quiet board-turner",
      onclick: () => this.turnByItself(!this.turns),
    });
    this.head = h(
      "div",
      { class: "board-head" },
      h(
        "div",
        { class: "board-now" },
        h("p", { class: "board-who" }, this.dot, this.name),
        h("p", { class: "board-more digits" }, this.note, this.next, this.total),
      ),
      this.timer,
      h("span", { class: "bar-of-time" }, this.rest),
    );
    this.element = h(
      "section",
      { class: "board", "aria-label": t("view.board") },
      this.head,
      this.find,
      this.scroller,
      this.dots,
    );
    this.noScrollUntil = 0;
    this.width = LEAST_WIDTH;
    /** Whether the pages turn by themselves. */
    this.turns = true;
    this.pageNumber = 0;
    this.sizes = new ResizeObserver(() => this.arrange());
    this.sizes.observe(this.scroller);
    this.build();
    this.turnAt = performance.now() + PAGE_MS;
    this.timer_ = setInterval(() => this.#turn(), 250);
  }

  close() {
    this.sizes.disconnect();
    clearInterval(this.timer_);
  }

  build() {
    const { people, rights, state } = this.page;
    /** Whether a press on a tile opens what can be done with a participant. Otherwise there is nothing to press. */
    this.opensPeople = rights.mayLead(state);
    this.byId = new Map();
    people.owners.forEach((person, place) => this.byId.set(person.id, new Tile(this, person, place)));
    /** The length of the longest name, as far as a tile may be expected to have room for it. */
    this.letters = Math.min(24, Math.max(4, ...people.owners.map((each) => each.name.length)));
    this.element.dataset.crowded = String(people.owners.length >= CROWDED_FROM);
    this.width = LEAST_WIDTH;
    this.shown = "";
    // Without buttons in it the list could not be scrolled by keys.
    if (this.opensPeople) this.scroller.removeAttribute("tabindex");
    else this.scroller.tabIndex = 0;
    this.entries = new Map();
    this.active = undefined;
    this.update();
    this.arrange();
  }

  /** The tiles that the search field leaves. */
  #found() {
    const wanted = this.find.value.trim().toLocaleLowerCase();
    const all = [...this.byId.values()];
    return wanted === "" ? all : all.filter(({ person }) => person.name.toLocaleLowerCase().includes(wanted));
  }

  /** Keeps room on all tiles for a number of this width, counted in digits. */
  needs(width) {
    if (width <= this.width) return;
    this.width = width;
    this.isWider = true;
  }

  /** Lays the tiles out for the space that there is. Nothing is touched where that is as before. */
  arrange() {
    this.isWider = false;
    const found = this.#found();
    const style = getComputedStyle(this.scroller);
    const room = (name) => Number.parseFloat(style[name]) || 0;
    const width = this.scroller.clientWidth - room("paddingLeft") - room("paddingRight");
    // The dots stand within the space of the pages, so that it does not change when they come.
    const whole = this.element.clientHeight - this.scroller.offsetTop + this.element.offsetTop;
    const height = whole - room("paddingTop") - room("paddingBottom") - room("marginBottom");
    if (width <= 0 || height <= 0) return;
    const { people } = this.page;
    const made = layout(found.length, width, height, {
      digits: this.width,
      letters: this.letters,
      lines: people.byGroup ? 2 : 1,
    });
    const key = JSON.stringify([made, found.map(({ person }) => person.id)]);
    if (key === this.shown) return;
    this.shown = key;
    this.made = made;
    const { columns, rows, perPage, pages, scrolls, tile, gap, fit } = made;
    const style_ = this.scroller.style;
    for (const [name, value] of Object.entries({
      "--columns": columns,
      "--rows": rows,
      "--gap": `${gap}px`,
      "--pad": `${fit.pad}px`,
      "--tile-height": `${tile.height}px`,
      "--digits": `${fit.digits.toFixed(2)}px`,
      "--name": `${fit.name.toFixed(2)}px`,
      "--facts": `${fit.facts.toFixed(2)}px`,
    }))
      style_.setProperty(name, String(value));
    Object.assign(this.scroller.dataset, { form: fit.form, facts: String(fit.facts > 0), scrolls: String(scrolls) });
    const focused = document.activeElement;
    fill(
      this.scroller,
      Array.from({ length: pages }, (_, at) =>
        h("div", { class: "tiles" }, found.slice(at * perPage, (at + 1) * perPage).map(({ element }) => element)),
      ),
    );
    if (focused !== document.activeElement && this.scroller.contains(focused)) focused.focus({ preventScroll: true });
    // A board with more than fits has a search field, and a bigger line for whose turn it is.
    this.element.dataset.many = String(pages > 1 || scrolls);
    this.find.hidden = this.find.value === "" && pages === 1 && !scrolls;
    this.dots.hidden = pages === 1;
    this.#makeDots(pages);
    this.pageNumber = Math.min(this.pageNumber, pages - 1);
    this.#toPage(this.pageNumber);
    this.show(this.active);
  }

  #makeDots(pages) {
    fill(
      this.dots,
      Array.from({ length: pages }, (_, at) => {
        const label = t("board.page", { number: at + 1, count: pages });
        const press = () => {
          this.onUserScroll();
          this.#toPage(at);
        };
        return h("button", { type: "button", class: "board-dot", "aria-label": label, onclick: press }, h("span", {}));
      }),
      this.turner,
    );
    this.#showDot();
  }

  #showDot() {
    [...this.dots.querySelectorAll(".board-dot")].forEach((each, at) => {
      if (at === this.pageNumber) each.setAttribute("aria-current", "page");
      else each.removeAttribute("aria-current");
    });
  }

  /** Begins or ends the turning of the pages. */
  turnByItself(turns) {
    this.turns = turns;
    this.noScrollUntil = 0;
    this.turnAt = performance.now() + PAGE_MS;
    const label = t(turns ? "board.stop" : "board.go");
    this.turner.setAttribute("aria-label", label);
    this.turner.title = label;
    fill(this.turner, icon(turns ? "pause" : "play"));
  }

  #toPage(number) {
    this.pageNumber = number;
    this.turnAt = performance.now() + PAGE_MS;
    const page = this.scroller.children[number];
    if (page && !this.made.scrolls && this.made.pages > 1)
      this.scroller.scrollTo({ left: page.offsetLeft - this.scroller.children[0].offsetLeft, behavior: "instant" });
    this.#showDot();
  }

  /** Shows the next page when it is time for it. */
  #turn() {
    if (this.isWider) this.arrange();
    if (!this.made || this.made.pages === 1 || !this.turns || document.hidden) return;
    const now = performance.now();
    if (now < this.turnAt || now < this.noScrollUntil || this.dots.contains(document.activeElement)) return;
    if (document.querySelector("dialog:modal") || this.find.value) return;
    this.#toPage((this.pageNumber + 1) % this.made.pages);
  }

  updatePeople() {
    this.build();
  }

  onUserScroll() {
    this.noScrollUntil = performance.now() + AFTER_TOUCH_MS;
  }

  /** Finds the page to which the user has turned. */
  onScroll() {
    if (!this.made || this.made.pages === 1) return;
    const at = Math.round(Math.abs(this.scroller.scrollLeft) / Math.max(1, this.scroller.clientWidth));
    if (at === this.pageNumber) return;
    this.pageNumber = Math.min(at, this.made.pages - 1);
    this.turnAt = performance.now() + PAGE_MS;
    this.#showDot();
  }

  filter() {
    this.arrange();
  }

  update() {
    const { page } = this;
    const { people, state } = page;
    const over = isOver(state);
    const active = over || state.status === "pending" ? null : people.ownerOf(state.active_participant_id);
    const list = people.byGroup ? state.groups : state.participants;
    this.whole = ownClocks(state) ? null : wholeOf(state, null);
    for (const entry of list) {
      const id = people.byGroup ? entry.group_id : entry.participant_id;
      const tile = this.byId.get(id);
      if (!tile) continue;
      const isActive = id === active;
      if (
        this.entries.get(id) === entry &&
        tile.isActive === isActive &&
        !isActive &&
        this.status === state.status &&
        this.knewTurns === page.track.loaded
      )
        continue;
      this.entries.set(id, entry);
      tile.update(entry, isActive);
    }
    this.status = state.status;
    this.knewTurns = page.track.loaded;
    // Where each tile shows its own clock and all are on the screen, the line above need not be as big.
    this.element.dataset.own = String(ownClocks(state));
    this.element.dataset.turn = over ? "over" : state.status;
    const owner = active ?? (over ? people.ownerOf(page.result?.about) : null);
    this.owner = owner;
    const { activeName, dotHue } = this.#headline(over);
    setText(this.name, activeName);
    this.dot.className = `dot hue-${dotHue}`;
    this.dot.hidden = !active;
    const next = active && hasNext(state) ? nextAfter(state) : null;
    setText(
      this.next,
      next
        ? t("face.next", { name: people.name(next) })
        : over
          ? [page.end.winner, page.end.why].filter(Boolean).join(" · ")
          : t(people.byGroup ? "board.teams" : "board.participants", { count: list.length }),
    );
    if (active !== this.active) {
      this.active = active;
      this.show(active);
    }
    this.draw();
  }

  #headline(over) {
    const { people, state, result } = this.page;
    if (over) return { activeName: result.title, dotHue: 0 };
    if (state.status === "pending") return { activeName: t("status.pending"), dotHue: 0 };
    const who = people.nameWithTeam(state.active_participant_id);
    return { activeName: who, dotHue: people.byId.get(state.active_participant_id)?.hue ?? 0 };
  }

  /**
   * Brings a tile into view, unless the user has just scrolled or is searching. It waits for the next frame,
   * because scrolling at once would compute the layout twice.
   */
  show(id) {
    if (!id || performance.now() < this.noScrollUntil || this.find.value) return;
    requestAnimationFrame(() => {
      if (this.active !== id || !this.made) return;
      const element = this.byId.get(id)?.element;
      if (this.made.pages > 1) {
        const at = [...this.scroller.children].indexOf(element?.parentElement);
        if (at >= 0) this.#toPage(at);
      } else if (this.made.scrolls) element?.scrollIntoView({ block: "nearest" });
    });
  }

  frame() {
    this.draw();
    this.byId.get(this.active)?.draw();
  }

  draw() {
    const { page } = this;
    const { state } = page;
    const own = ownClocks(state);
    const clock = own ? (this.owner ? page.clock(this.owner) : null) : page.clock(null);
    const entry = own && this.owner ? this.entries.get(this.owner) : null;
    const owner = own ? this.owner : null;
    this.face = page.face(owner, own ? entry && wholeOfEntry(entry) : this.whole, { clock });
    let { ms, level } = this.face;
    if (ms === null && state.status === "pending" && !own) ms = this.whole;
    if (state.status === "expired") {
      level = "out";
      ms = Math.min(0, ms ?? 0);
    }
    this.timer.hidden = ms === null;
    this.digits.show(ms, this.face.countUp);
    setText(
      this.note,
      state.status === "pending" && (state.starts_at_ms ?? null) !== null
        ? page.waitingText()
        : state.status === "paused"
          ? page.pauseText()
          : level === "out" && state.status === "running"
            ? t("status.expired")
            : [this.face.light?.text, this.face.note].filter(Boolean).join(" · "),
    );
    showLight(this.head, this.face.light);
    if (this.head.dataset.level !== level) this.head.dataset.level = level;
    const share = this.face.share === null ? 0 : Math.round(this.face.share * 2000) / 2000;
    if (share !== this.share) {
      this.share = share;
      this.rest.style.setProperty("transform", `scaleX(${share})`);
    }
    const total = page.totalLeft();
    setText(
      this.total,
      total === null ? "" : t("face.sessionLeft", { time: formatClock(Math.max(0, total), { tenths: false }) }),
    );
  }

  key() {
    this.page.actions.next();
  }
}
