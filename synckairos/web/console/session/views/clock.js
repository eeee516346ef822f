// The chess clock: a half for each owner of a clock. The owner presses it to end the turn.

import { t } from "../../shared/i18n.js";
import { fill, h, setText } from "../../shared/ui.js";
import { icon } from "../../shared/icons.js";
import { beginsText } from "../bounds.js";
import { movesOf } from "../faces/counting.js";
import { Digits, spokenFace, wholeOf } from "../faces/face.js";
import { showLight } from "../faces/shine.js";
import { hasNext, isOver, ownClocks } from "../rules.js";
import { nextAfter } from "../people.js";
import { isAround } from "../faces/around.js";

/** Up to so many owners have a half each. Of more, the active one and the next one are shown. */
const MAX_HALVES = 6;

/** The ids of the owners with a half, from the bottom (or the left) on. The device's own half comes first. */
function shownOwners(page) {
  const { people, state, as } = page;
  let owners = people.owners.map((each) => each.id);
  if (owners.length > MAX_HALVES) {
    const active = people.ownerOf(state.active_participant_id) ?? owners[0];
    const next = nextAfter(state);
    owners = [
      active,
      (people.byGroup && people.byId.get(next)?.groupId) || next || owners.find((each) => each !== active),
    ];
  }
  const own = owners.indexOf(people.ownerOf(as));
  return own > 0 ? [...owners.slice(own), ...owners.slice(0, own)] : owners;
}

const SIGNS = { expired: "flag", completed: "check", cancelled: "cross" };

class Half {
  constructor(view, id) {
    this.view = view;
    this.id = id;
    const { page } = view;
    const person = page.people.byId.get(id);
    this.digits = new Digits("half-digits");
    this.said = h("span", { class: "visually-hidden", id: `said-${id}` });
    // What the button says, where this page may not press it.
    this.words = h("p", { class: "visually-hidden" });
    this.button = h("button", {
      type: "button",
      class: "press",
      "aria-describedby": this.said.id,
      onpointerdown: (event) => {
        if (event.button !== 0) return;
        this.byPointer = true;
        view.press(this);
      },
      // A screen reader or a switch control sends a click without a pointer event.
      onclick: () => {
        if (!this.byPointer) view.press(this);
        this.byPointer = false;
      },
    });
    this.timer = h(
      "div",
      {
        class: "half-time",
        role: "timer",
        "aria-live": "off",
        tabindex: "0",
        onfocus: () => this.timer.setAttribute("aria-label", t("clock.spoken", { name: person.name, face: spokenFace(this.face) })),
        onblur: () => this.timer.removeAttribute("aria-label"),
      },
      this.digits.element,
    );
    this.name = h("span", { class: "half-name" }, person.name);
    this.member = h("span", { class: "half-member" });
    this.note = h("p", { class: "half-note digits" });
    this.rest = h("span", { class: "rest" });
    this.count = h("span", { class: "half-count digits" });
    this.flag = h("span", { class: "half-flag", hidden: true }, icon("flag"), h("span", {}, t("clock.outOfTime")));
    this.word = h("span", {});
    this.sign = h("span", { class: "half-sign" });
    this.element = h(
      "section",
      { class: `half hue-${person.hue}`, "aria-label": person.name, dataset: { owner: id } },
      this.button,
      this.words,
      this.said,
      h(
        "div",
        { class: "half-face" },
        h("div", { class: "half-who" }, h("span", { class: "dot" }), this.name, this.member),
        h(
          "div",
          { class: "half-middle" },
          h("span", { class: "half-word" }, this.sign, this.word),
          this.timer,
          this.flag,
          this.note,
        ),
        h("div", { class: "half-foot" }, this.count, h("span", { class: "bar-of-time" }, this.rest)),
      ),
    );
  }

  /** Shows everything that changes with the state and not with time. */
  update() {
    const { page } = this.view;
    const { people, state } = page;
    const active = people.ownerOf(state.active_participant_id);
    this.entry = page.entry(this.id);
    this.isActive = active === this.id && !isOver(state) && state.status !== "pending";
    this.whole = wholeOf(state, this.id);
    const moves = movesOf(page, this.id);
    const counted = page.state.sync_mode === "per_participant" ? "count.moves" : "count.turns";
    setText(this.count, moves === null ? "" : t(counted, { count: moves }));
    const member = people.byGroup && this.isActive && people.name(state.active_participant_id);
    const isYours = page.as !== null && people.ownerOf(page.as) === this.id;
    setText(this.member, [member, isYours && t("clock.you")].filter(Boolean).join(" · "));
    const over = isOver(state);
    const won = over && page.result?.winner === this.id;
    const isOut = ownClocks(state) && this.entry.has_expired;
    const end = over ? page.end : null;
    setText(this.word, won ? t("clock.wins") : over ? (isOut ? "" : end.title) : this.view.wordFor(this));
    // Both players read it, each in the own half: how it ended, who won, and why.
    this.end = !over ? "" : won ? end.title : end.winner || end.why;
    fill(this.sign, over && !isOut && icon(won ? "check" : SIGNS[state.status]));
    this.element.dataset.turn = over ? "over" : this.isActive ? state.status : "wait";
    this.element.dataset.won = String(won);
    const can = this.view.canPress(this);
    const label = this.view.labelFor(this);
    const hasButton = this.view.hasButton(this);
    this.button.hidden = !hasButton;
    setText(this.words, hasButton ? "" : label);
    this.button.setAttribute("aria-label", label);
    this.button.setAttribute("aria-disabled", String(!can));
    this.element.dataset.can = String(can);
    this.draw();
  }

  draw() {
    this.face = this.view.faceFor(this);
    const { face } = this;
    this.digits.show(face.ms, face.countUp);
    const over = isOver(this.view.page.state);
    const light = over ? null : face.light;
    setText(this.note, over ? this.end : light ? [light.text, face.note].filter(Boolean).join(" · ") : face.note);
    showLight(this.element, light);
    const out =
      !light && (face.level === "out" || (ownClocks(this.view.page.state) && this.entry.has_expired));
    const level = out ? "out" : face.level;
    if (this.element.dataset.level !== level) {
      this.element.dataset.level = level;
      this.flag.hidden = !out;
    }
    const share = face.share === null ? null : Math.round(face.share * 2000) / 2000;
    if (share !== this.share) {
      this.share = share;
      this.rest.parentElement.hidden = share === null;
      this.rest.style.setProperty("transform", `scaleX(${share ?? 0})`);
    }
    const second = face.ms === null ? null : Math.ceil(face.ms / 1000);
    if (second !== this.second) {
      this.second = second;
      setText(this.said, spokenFace(face));
    }
  }
}

export class ClockView {
  /** @param {import("../session.js").Page} page */
  constructor(page) {
    this.page = page;
    this.element = h("div", { class: "clock" });
    this.halves = [];
    this.build();
  }

  build() {
    this.owners = shownOwners(this.page);
    this.halves = this.owners.map((id) => new Half(this, id));
    this.element.dataset.count = String(this.halves.length);
    this.page.app.dataset.around = isAround(this.page) ? String(this.halves.length) : "";
    this.element.replaceChildren(...this.halves.map((each) => each.element));
    this.update();
  }

  update() {
    const owners = shownOwners(this.page);
    if (owners.length !== this.owners.length || owners.some((id, place) => id !== this.owners[place])) {
      this.build();
      return;
    }
    for (const half of this.halves) half.update();
  }

  updatePeople() {
    this.build();
  }

  close() {
    delete this.page.app.dataset.around;
  }

  frame() {
    const { state } = this.page;
    for (const half of this.halves) {
      if (half.isActive || state.time_control?.kind === "hourglass") half.draw();
      // A word may count down to what the session does by itself.
      if (state.status === "pending" || (half.isActive && state.status === "paused"))
        setText(half.word, this.wordFor(half));
    }
  }

  faceFor(half) {
    const { page } = this;
    const { state } = page;
    // A player's clock stands at zero, as on a board, unless the session's own lights make it a speaker's.
    const look = { lights: page.givenLights, goesOn: page.givenLights.length > 0 };
    if (ownClocks(state)) {
      const clock = page.clock(half.id);
      const isWaitingHourglass =
        clock?.kind === "hourglass" && !half.isActive && !isOver(state) && this.halves.length === 2;
      if (!isWaitingHourglass || state.status === "pending") return page.face(half.id, half.whole, look);
      // In an hourglass the waiting clock grows while the other runs. The service credits it at the switch.
      const ms = clock.mainMs + page.cycleElapsed();
      return page.face(half.id, half.whole, { ...look, clock: { ...clock, mainMs: ms, remainingMs: ms } });
    }
    if (state.sync_mode === "count_up") {
      return {
        ms: page.session.elapsed(half.id) ?? half.entry.time_used_ms,
        countUp: true,
        note: "",
        level: "calm",
        share: null,
      };
    }
    if (half.isActive || state.time_per_cycle_ms === null) return page.face(null, half.whole, look);
    return { ms: state.time_per_cycle_ms, countUp: false, note: "", level: "calm", share: 1 };
  }

  /** Whether a half belongs to whom this device may press for. */
  isOwn(half) {
    const { as, people } = this.page;
    return as === null || people.ownerOf(as) === half.id;
  }

  /** Whether pressing this half does something, in this turn or in another one. */
  mayPress(half) {
    const { rights, state } = this.page;
    return this.isOwn(half) && (state.status === "pending" ? rights.now("start", state) : rights.ever("switch"));
  }

  /** Halves of others keep a button that is disabled, unless the token of this page is for one participant. */
  hasButton(half) {
    const { rights } = this.page;
    return this.mayPress(half) || (rights.player === null && rights.ever("switch"));
  }

  canPress(half) {
    const { page } = this;
    const { state } = page;
    if (!this.mayPress(half)) return false;
    if (state.status === "pending") return true;
    if (state.status !== "running" || !hasNext(state)) return false;
    return half.isActive && (page.as === null || page.as === state.active_participant_id);
  }

  labelFor(half) {
    const { page } = this;
    const { people, state } = page;
    const name = people.name(half.id);
    if (state.status === "pending")
      return t(this.mayPress(half) ? "clock.label.start" : "clock.label.pending", { name });
    if (isOver(state)) return t("clock.label.over", { name });
    if (state.status === "paused") return t(half.isActive ? "clock.label.movePaused" : "clock.label.paused", { name });
    if (!half.isActive) return t("clock.label.waits", { name });
    return t(this.canPress(half) ? "clock.label.press" : "clock.label.move", { name });
  }

  wordFor(half) {
    const { state } = this.page;
    if (state.status === "pending") {
      const begins = this.page.people.ownerOf(
        state.active_participant_id ?? state.participants[0]?.participant_id,
      );
      const mayPress = this.mayPress(half);
      if (half.id === begins && (state.starts_at_ms ?? null) !== null)
        return beginsText(state, this.page.client.time.now());
      if (half.id === begins) return mayPress ? t("clock.beginsPress") : t("clock.beginsPending");
      return mayPress ? t("clock.press") : "";
    }
    if (state.status === "paused" && half.isActive) return this.page.pauseText();
    const isOnTheMove = state.status === "running" && half.isActive;
    if (!isOnTheMove || this.page.as === null || !this.mayPress(half)) return "";
    return this.canPress(half)
      ? t("clock.yourMove")
      : t("clock.movesOf", { name: this.page.people.name(state.active_participant_id) });
  }

  /** Starts the session or ends the turn, if this half may be pressed. */
  press(half) {
    const { page } = this;
    const { state } = page;
    if (!this.mayPress(half)) return;
    if (state.status === "paused") {
      page.actions.explainPause();
    } else if (this.canPress(half)) {
      if (state.status === "pending") page.actions.start();
      else page.actions.endTurn();
    }
  }

  /** The space bar. */
  key() {
    const half = this.halves.find((each) => each.isActive) ?? this.halves[0];
    if (half) this.press(half);
  }
}
