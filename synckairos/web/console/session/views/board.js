// The board: all participants at once, up to a thousand. Tiles are made once. After that only the tiles that
// changed are updated, and between changes only the running clock.

import { t } from "../../shared/i18n.js";
import { h, setText } from "../../shared/ui.js";
import { formatClock } from "../../shared/time.js";
import { Digits, faceOf, spokenFace, wholeOf } from "../face.js";
import { hasNext, isOver, ownClocks } from "../rules.js";
import { nextAfter } from "../people.js";

/** With so many owners or more, the board has a search field. */
const FIND_FROM = 24;
/** After the user scrolled, the board does not scroll to the active tile for this long. */
const AFTER_SCROLL_MS = 5000;
/** The most members whose names are on the tile of a team. */
const MAX_MEMBERS = 6;

class Tile {
  constructor(view, person, place) {
    this.view = view;
    this.person = person;
    this.name = h("span", { class: "tile-name" }, person.name);
    this.time = h("span", { class: "tile-time digits" });
    this.facts = h("span", { class: "tile-facts digits" });
    this.members = view.page.people.byGroup ? h("span", { class: "tile-members" }) : null;
    this.rest = h("span", { class: "rest" });
    const look = `tile hue-${person.hue}`;
    const open = () => view.page.actions.openPerson(person.id);
    this.element = h(
      view.opensPeople ? "button" : "div",
      view.opensPeople ? { type: "button", class: look, onclick: open } : { class: look },
      h("span", { class: "tile-place digits" }, String(place + 1)),
      this.name,
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
    const turns = t("count.turns", { count: entry.cycle_count });
    setText(
      this.facts,
      [
        entry.has_expired && t("face.out"),
        turns,
        entry.time_used_ms > 0 && t("board.used", { time: formatClock(entry.time_used_ms, { countUp: true }) }),
      ]
        .filter(Boolean)
        .join(" · "),
    );
    if (this.members) this.#drawMembers(people, state);
    this.draw();
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
    let text;
    let level = "calm";
    let share = null;
    if (ownClocks(state)) {
      const face = faceOf(state, page.clock(this.person.id), this.whole);
      text =
        face.ms === null
          ? "–"
          : formatClock(face.ms, { countUp: face.countUp, tenths: this.isActive && !face.countUp });
      level = this.entry.has_expired ? "out" : face.level;
      share = face.share;
    } else if (this.isActive && state.sync_mode !== "count_up") {
      const face = faceOf(state, page.clock(null), this.view.whole);
      text = face.ms === null ? "–" : formatClock(face.ms, { countUp: face.countUp });
      ({ level, share } = face);
    } else {
      text = this.isActive
        ? formatClock(this.entry.time_used_ms + page.cycleElapsed(), { countUp: true })
        : "";
    }
    setText(this.time, text);
    const isLong = text.includes(" d ");
    if (isLong !== this.isLong) this.time.classList.toggle("long", isLong);
    this.isLong = isLong;
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
    this.tiles = h("div", { class: "tiles" });
    this.scroller = h(
      "div",
      {
        class: "board-scroll",
        onwheel: () => this.onUserScroll(),
        onpointerdown: () => this.onUserScroll(),
        ontouchmove: () => this.onUserScroll(),
      },
      this.tiles,
    );
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
    );
    this.noScrollUntil = 0;
    this.build();
  }

  build() {
    const { people, rights, state } = this.page;
    /** Whether a press on a tile opens what can be done with a participant. Otherwise there is nothing to press. */
    this.opensPeople = rights.mayLead(state);
    this.byId = new Map();
    people.owners.forEach((person, place) => this.byId.set(person.id, new Tile(this, person, place)));
    this.tiles.replaceChildren(...[...this.byId.values()].map((each) => each.element));
    const count = people.owners.length;
    this.tiles.dataset.density = count <= 12 ? "few" : count <= 60 ? "some" : "many";
    this.find.hidden = count < FIND_FROM;
    // Without buttons in it the list could not be scrolled by keys.
    if (this.opensPeople) this.scroller.removeAttribute("tabindex");
    else this.scroller.tabIndex = 0;
    this.entries = new Map();
    this.active = undefined;
    this.update();
  }

  updatePeople() {
    this.build();
  }

  onUserScroll() {
    this.noScrollUntil = performance.now() + AFTER_SCROLL_MS;
  }

  filter() {
    const wanted = this.find.value.trim().toLocaleLowerCase();
    for (const tile of this.byId.values()) {
      tile.element.hidden = wanted !== "" && !tile.person.name.toLocaleLowerCase().includes(wanted);
    }
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
        this.status === state.status
      )
        continue;
      this.entries.set(id, entry);
      tile.update(entry, isActive);
    }
    this.status = state.status;
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
      next ? t("face.next", { name: people.name(next) }) : t(people.byGroup ? "board.teams" : "board.participants", { count: list.length }),
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
   * Scrolls a tile into view, unless the user has just scrolled or is searching. It waits for the next frame,
   * because scrolling at once would compute the layout twice.
   */
  show(id) {
    if (!id || performance.now() < this.noScrollUntil || this.find.value) return;
    requestAnimationFrame(() => {
      if (this.active === id) this.byId.get(id)?.element.scrollIntoView({ block: "nearest" });
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
    this.face = faceOf(state, clock, own ? entry && wholeOfEntry(entry) : this.whole);
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
            : this.face.note,
    );
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
