// The bar above the view and the controls below it. On a phone's game clock the controls are between the
// halves.

import {
  button,
  connectionIndicator,
  fill,
  h,
  icon,
  schemeSwitch,
  setText,
  statusPill,
} from "../shared/ui.js";
import { t } from "../shared/i18n.js";
import { againLabel, followLabel } from "./actions/again.js";
import { canAdjust, canSetTurn, canTakeBack, hasNext, isOver, ownClocks } from "./rules.js";
import { openAgain, openHistory, openMenu, share } from "./actions/opening.js";
import { viewChoices } from "./choices.js";
import { Bar } from "./bar.js";
import { Bounds } from "./bounds.js";
import { Screen } from "./device/screen.js";
import { Sound } from "./device/sound.js";

/** The screens on which the game clock's controls are a strip between the halves, as in session.css. */
const STRIP = [
  "(orientation: portrait) and (max-width: 40rem)",
  "(orientation: portrait) and (pointer: coarse)",
  "(max-height: 32rem)",
].join(", ");

const SOUNDS = {
  on: [t("sound.turnOff"), "sound"],
  waiting: [t("sound.tap"), "mute"],
  off: [t("sound.turnOn"), "mute"],
};

export class Shell {
  /**
   * @param {import("./session.js").Page} page
   * @param {HTMLElement} top
   * @param {HTMLElement} controls
   */
  constructor(page, top, controls) {
    this.page = page;
    this.controls = controls;
    this.heading = h("h1", { class: "session-title" });
    // Where the bar is hidden, screen readers still need a heading.
    this.stripHeading = h("h1", { class: "visually-hidden strip-only" });
    this.pill = h("span", { class: "session-pill" });
    this.indicator = connectionIndicator(page.client, page.session).element;
    this.soundButtons = [this.#soundButton(), this.#soundButton()];
    this.bounds = new Bounds(page, document.getElementById("bounds"));
    this.#buildTop(top);
    this.#buildControls();
    this.bar = new Bar(controls);
    this.strip = matchMedia(STRIP);
    this.strip.addEventListener("change", () => this.#placeIndicator());
  }

  #soundButton() {
    const press = () => this.page.sound.toggle();
    const control = button(t("sound.sound"), { icon: "mute", square: true, class: "quiet sound", onclick: press });
    control.hidden = !Sound.possible;
    return control;
  }

  #menuButton() {
    const open = () => openMenu(this.page);
    return button(t("menu.menu"), { icon: "more", square: true, class: "quiet menu-button", onclick: open });
  }

  #buildTop(top) {
    const { page } = this;
    const full = () => page.screen.toggleFull();
    this.full = button(t("screen.full"), { icon: "full", square: true, class: "quiet", onclick: full });
    this.full.hidden = !Screen.possible;
    this.slot = h("span", { class: "connection-slot" }, this.indicator);
    const mark = h("img", { src: "/console/shared/icon.svg", alt: "", width: "28", height: "28" });
    const wide = (element) => h("span", { class: "wide-only" }, element);
    const views = { class: "segments view-choice", role: "radiogroup", "aria-label": t("session.view") };
    this.brand = h("a", { class: "brand", href: "/", "aria-label": t("session.all"), title: t("session.all") }, mark);
    fill(
      top,
      h("header", { class: "bar" }, [
        this.brand,
        this.heading,
        this.pill,
        h("span", { class: "grow" }),
        h("div", views, viewChoices(page, "view")),
        this.slot,
        wide(this.soundButtons[0]),
        wide(this.full),
        wide(schemeSwitch()),
        this.#menuButton(),
      ]),
    );
  }

  #buildControls() {
    const { page } = this;
    const { actions } = page;
    const main = (label, sign, onclick) =>
      button(label, { icon: sign, class: "primary large main", onclick });
    const extra = (label, sign, onclick) => button(label, { icon: sign, class: "large extra", onclick });
    this.start = main(t("control.start"), "play", () => actions.start());
    this.resume = main(t("control.resume"), "play", () => actions.resume());
    this.next = main(t("control.next"), "next", () => page.next());
    this.pause = button(t("control.pause"), { icon: "pause", class: "large pause", onclick: () => actions.pause() });
    this.newSession = h(
      "a",
      { class: "button large main", href: "/#new" },
      icon("plus"),
      h("span", {}, t("form.new")),
    );
    // What an arbiter or a host has to have at hand. On a phone these are icons.
    const hand = (label, sign, onclick) => button(label, { icon: sign, class: "large hand", onclick });
    this.again = main(t("again.rematch"), "swap", () => openAgain(page));
    this.follow = main(t("again.follow"), "next", () => actions.follow());
    this.follow.classList.add("follow");
    this.reopen = hand(t("word.reopen"), "undo", () => actions.reopen());
    this.takeBack = hand(t("roles.takeBack"), "undo", () => actions.openTakeBack());
    this.turn = hand(t("roles.turn"), "swap", () => actions.openTurn());
    this.use = button("", { class: "large use", onclick: () => page.uses.press() });
    this.time = extra(t("control.time"), "clock", () => actions.openTime());
    this.time.setAttribute("aria-label", t("adjust.title"));
    this.share = extra(t("word.share"), "share", () => share(page));
    this.stripSlot = h("span", { class: "strip-only connection-strip" });
    /** The buttons of the view that is shown. */
    this.own = h("span", { class: "own-controls" });
    const menu = this.#menuButton();
    for (const each of [menu, this.soundButtons[1]]) each.classList.add("strip-only");
    fill(this.controls, [
      this.stripHeading,
      menu,
      this.stripSlot,
      this.start,
      this.resume,
      this.own,
      this.next,
      this.use,
      this.pause,
      this.again,
      this.follow,
      this.newSession,
      this.reopen,
      this.takeBack,
      this.turn,
      this.time,
      extra(t("history.title"), "history", () => openHistory(page)),
      this.share,
      this.soundButtons[1],
    ]);
    this.controls.hidden = false;
  }

  /** Puts the connection into the strip between the halves on a phone, otherwise into the bar. */
  #placeIndicator() {
    const isStrip = this.strip.matches || this.page.app.dataset.around;
    const place = this.page.viewName === "clock" && isStrip ? this.stripSlot : this.slot;
    if (this.indicator.parentNode !== place) place.append(this.indicator);
  }

  /** Shows the title, the status, and the buttons for the current state and view. */
  update() {
    const { page } = this;
    const { state, viewName } = page;
    for (const each of [this.heading, this.stripHeading]) setText(each, page.title);
    if (this.status !== state.status) fill(this.pill, statusPill(state.status));
    this.status = state.status;

    const focused = document.activeElement;
    const running = state.status === "running";
    const alone = state.participants.length === 1;
    const isLap = viewName === "stopwatch" || (state.sync_mode === "count_up" && alone);
    const may = (action) => page.actions.may(action);
    this.start.hidden = state.status !== "pending" || !may("start");
    this.resume.hidden = state.status !== "paused" || !may("resume");
    this.pause.hidden = !running || !may("pause");
    const own = page.view?.controls ?? [];
    if (own.some((each, at) => each !== this.own.children[at]) || own.length !== this.own.children.length) fill(this.own, own);
    this.own.hidden = own.every((each) => each.hidden);
    this.next.hidden = !running || page.view?.ownsNext === true || !hasNext(state) || viewName === "clock" || !may("switch");
    page.uses.update();
    const { label: useLabel, switchLabel } = page.uses;
    setText(this.next.querySelector("span"), page.view?.nextLabel ?? switchLabel ?? (isLap ? t("control.lap") : t("control.next")));
    this.use.hidden = useLabel === null;
    setText(this.use.querySelector("span"), useLabel ?? "");
    const isFree = running && this.next.hidden && page.view?.ownsNext !== true;
    for (const name of ["main", "primary"]) this.use.classList.toggle(name, isFree && useLabel !== null);
    this.pause.classList.toggle("main", isFree && useLabel === null);
    const over = isOver(state);
    this.follow.hidden = page.actions.following === null;
    this.again.hidden = !page.actions.mayPlayAgain;
    setText(this.again.querySelector("span"), againLabel(state));
    setText(this.follow.querySelector("span"), followLabel(state));
    this.newSession.hidden = !over || !may("create");
    const isSecond = !this.follow.hidden || !this.again.hidden;
    this.newSession.classList.toggle("main", !isSecond);
    this.newSession.classList.toggle("extra", isSecond);
    this.reopen.hidden = !over || !may("reopen");
    this.takeBack.hidden = state.status !== "paused" || !canTakeBack(state) || !may("takeback");
    this.turn.hidden = state.status !== "paused" || !canSetTurn(state) || !may("turn");
    this.brand.hidden = page.rights.isCourtesy;
    // A clock that ran out cannot go on before it has time again: then the button is at hand on a phone, too.
    const { active_participant_id: active, status } = state;
    const isOut = status === "paused" && ownClocks(state) && page.entry(page.people.ownerOf(active))?.has_expired === true;
    this.time.classList.toggle("hand", isOut);
    this.time.classList.toggle("extra", !isOut);
    this.time.hidden = !canAdjust(state) || !may("adjust");
    this.share.hidden = !page.rights.mayShare;
    this.bounds.draw();
    this.updateSound();
    this.#placeIndicator();
    this.bar.fit();
    // When a press hides its own button, the button that takes its place gets the focus. But the space bar is for
    // the clock once that runs: it would press “Pause” after “Start”.
    if (this.controls.contains(focused) && focused.hidden) {
      const next = [this.start, this.next, this.resume, this.follow, this.again, this.newSession].find((each) => !each.hidden);
      (next ?? document.getElementById("stage")).focus({ preventScroll: true });
    }
  }

  updateSound() {
    const { state } = this.page.sound;
    const [label, sign] = SOUNDS[state];
    for (const each of this.soundButtons) {
      if (each.dataset.state === state) continue;
      each.dataset.state = state;
      each.setAttribute("aria-label", label);
      each.title = label;
      fill(each, icon(sign));
    }
  }

  /** @param {boolean} full */
  updateFull(full) {
    const label = full ? t("screen.leaveFull") : t("screen.full");
    this.full.setAttribute("aria-label", label);
    this.full.title = label;
  }
}
