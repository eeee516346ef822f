// An agenda: what is on and how long still, what comes, and what runs late by how much. Each item is a participant with
// a clock of its own that goes on into overtime, so that whoever goes back to an item goes on with what it had left.

import { moment, t } from "../../shared/i18n.js";
import { button, fill, h, icon, openDialog, setText } from "../../shared/ui.js";
import { formatClock, formatDuration } from "../../shared/time.js";
import { ON_TIME_MS, planOf, plannedStart, timesOf } from "./agenda_times.js";
import { Digits, faceOf, spokenFace } from "../faces/face.js";
import { isOver } from "../rules.js";

/** So often it is drawn while no clock runs: a pause makes an agenda later. */
const DRAW_MS = 500;

const timeText = (ms) => moment(ms, { hour: "numeric", minute: "2-digit" });

/** By how much something is late, or before its time; "" where that is not known. */
function lateText(ms, key = "late") {
  if (ms === null) return "";
  if (Math.abs(ms) < ON_TIME_MS) return t("agenda.onTime");
  const whole = Math.round(Math.abs(ms) / 60_000) * 60_000;
  const time = formatDuration(whole === 0 ? 60_000 : whole);
  return t(ms > 0 ? `agenda.${key}` : "agenda.early", { time });
}

class ItemRow {
  constructor(view, person, at) {
    this.view = view;
    this.person = person;
    this.length = h("span", { class: "agenda-length digits" });
    this.planned = h("span", { class: "agenda-planned digits" });
    this.actual = h("span", { class: "agenda-actual digits" });
    this.late = h("span", { class: "agenda-off digits" });
    const inside = [
      h("span", { class: "agenda-number digits" }, String(at + 1)),
      h("span", { class: "agenda-title" }, h("span", {}, person.name), this.length),
      this.planned,
      this.actual,
      this.late,
    ];
    this.press = view.opens
      ? h("button", { type: "button", class: "agenda-item", onclick: () => view.openItem(person.id) }, inside)
      : h("div", { class: "agenda-item" }, inside);
    this.element = h("li", {}, this.press);
  }

  show(item, times) {
    const { place, plannedAt, at, isActual, lateMs } = times;
    setText(this.length, formatDuration(item.plannedMs));
    setText(this.planned, plannedAt === null ? "" : timeText(plannedAt));
    setText(this.actual, at === null ? "" : isActual ? timeText(at) : t("agenda.about", { time: timeText(at) }));
    const isOff = lateMs !== null && Math.abs(lateMs) >= ON_TIME_MS;
    setText(this.late, isOff ? formatClock(Math.round(lateMs / 60_000) * 60_000, { plus: true, tenths: false }).replace(/:00$/, "′") : "");
    this.late.dataset.late = String(isOff && lateMs > 0);
    if (this.element.dataset.place !== place) {
      this.element.dataset.place = place;
      if (place === "now") this.press.setAttribute("aria-current", "true");
      else this.press.removeAttribute("aria-current");
    }
  }
}

export class AgendaView {
  /** @param {import("../session.js").Page} page */
  constructor(page) {
    this.page = page;
    this.digits = new Digits("agenda-digits");
    this.count = h("p", { class: "agenda-count digits" });
    this.name = h("p", { class: "agenda-name" });
    this.timer = h(
      "div",
      {
        class: "agenda-time",
        role: "timer",
        "aria-live": "off",
        tabindex: "0",
        onfocus: () => this.timer.setAttribute("aria-label", spokenFace(this.face)),
        onblur: () => this.timer.removeAttribute("aria-label"),
      },
      this.digits.element,
    );
    this.rest = h("span", { class: "rest" });
    this.word = h("p", { class: "agenda-word digits" });
    this.late = h("p", { class: "agenda-late digits" });
    this.end = h("p", { class: "agenda-end digits" });
    this.next = h("p", { class: "agenda-next" });
    this.list = h("ol", { class: "agenda-list", role: "list", "aria-label": t("agenda.items") });
    this.plannedEnd = h("span", { class: "agenda-planned digits" });
    this.expectedEnd = h("span", { class: "agenda-actual digits" });
    this.endOff = h("span", { class: "agenda-off digits" });
    const heading = (text, name) => h("span", { class: name }, text);
    this.scroller = h("div", { class: "agenda-scroll" }, this.list);
    this.element = h(
      "section",
      { class: "agenda", "aria-label": t("agenda.agenda") },
      h(
        "div",
        { class: "agenda-now" },
        this.count,
        this.name,
        h("div", { class: "agenda-middle" }, this.timer),
        h("span", { class: "bar-of-time" }, this.rest),
        this.word,
        h("div", { class: "agenda-facts" }, this.late, this.end),
        this.next,
      ),
      h(
        "div",
        { class: "agenda-plan" },
        h(
          "div",
          { class: "agenda-item agenda-heading", "aria-hidden": "true" },
          heading("", "agenda-number"),
          heading("", "agenda-title"),
          heading(t("agenda.planned"), "agenda-planned"),
          heading(t("agenda.actual"), "agenda-actual"),
          heading("", "agenda-off"),
        ),
        this.scroller,
        h(
          "div",
          { class: "agenda-item agenda-ending" },
          heading("", "agenda-number"),
          heading(t("agenda.ending"), "agenda-title"),
          this.plannedEnd,
          this.expectedEnd,
          this.endOff,
        ),
      ),
    );
    this.previous = button(t("agenda.previous"), { icon: "back", class: "large extra", onclick: () => this.goBack() });
    this.forward = button(t("agenda.next"), { icon: "next", class: "primary large main", onclick: () => this.goOn() });
    /** The view's own buttons, which the page has among its controls. The page's “Next” would begin again at the end. */
    this.controls = [this.previous, this.forward];
    this.ownsNext = true;
    this.followed = () => this.draw();
    page.track.listeners.add(this.followed);
    page.track.load();
    this.build();
    this.timer_ = setInterval(() => this.draw(), DRAW_MS);
  }

  close() {
    clearInterval(this.timer_);
    this.page.track.listeners.delete(this.followed);
  }

  build() {
    const { people, rights } = this.page;
    this.opens = rights.always("switch") || rights.always("turn") || rights.always("adjust");
    this.rows = people.participants.map((person, at) => new ItemRow(this, person, at));
    fill(this.list, this.rows.map(({ element }) => element));
    this.element.style.setProperty("--items", String(this.rows.length));
    this.active = undefined;
    this.update();
  }

  updatePeople() {
    this.build();
  }

  update() {
    const { page } = this;
    const { people, state } = page;
    const over = isOver(state);
    this.plan = planOf(state);
    const ids = this.plan.map(({ id }) => id);
    const first = state.active_participant_id ?? ids[0];
    this.at = over ? ids.length : ids.indexOf(first);
    const shown = over ? null : (people.byId.get(first) ?? null);
    setText(this.count, over ? "" : t("agenda.count", { number: this.at + 1, count: ids.length }));
    setText(this.name, over ? page.result.title : (shown?.name ?? ""));
    const next = over ? undefined : this.plan[this.at + 1];
    setText(
      this.next,
      next
        ? t("agenda.then", { name: people.name(next.id), time: formatDuration(next.plannedMs) })
        : over
          ? ""
          : t("agenda.last"),
    );
    this.element.dataset.turn = over ? "over" : state.status;
    this.timer.hidden = over;
    this.owner = over ? null : first;
    const live = state.status === "running" || state.status === "paused";
    const may = (action) => page.actions.may(action);
    const canMove = state.status === "running" ? may("switch") : state.status === "paused" && may("turn");
    this.previous.hidden = !live || !canMove;
    this.previous.disabled = this.at <= 0;
    this.forward.hidden = !live || !(next ? canMove : may("complete"));
    setText(this.forward.querySelector("span"), t(next ? "agenda.next" : "agenda.finish"));
    this.forward.querySelector("svg").replaceWith(icon(next ? "next" : "check"));
    if (first !== this.active) {
      this.active = first;
      requestAnimationFrame(() => this.rows[this.at]?.element.scrollIntoView({ block: "nearest" }));
    }
    this.draw();
  }

  frame() {
    this.#drawClock();
  }

  draw() {
    const { page } = this;
    const { client, state, track } = page;
    this.#drawClock();
    const over = isOver(state);
    const items = this.plan.map(({ id, plannedMs }) => ({ id, plannedMs, leftMs: this.#leftOf(id) }));
    const times = timesOf(items, {
      now: client.time.now(),
      startMs: plannedStart(state, track.scheduledMs ?? null),
      activeId: state.active_participant_id ?? items[0]?.id ?? null,
      status: state.status,
      begun: track.begun,
      endedMs: over && state.session_completed_at ? Date.parse(state.session_completed_at) : over ? 0 : null,
    });
    this.rows.forEach((row, at) => row.show(items[at], times.items[at]));
    const { lateMs, endLateMs, plannedEnd, expectedEnd } = times;
    setText(this.plannedEnd, plannedEnd === null ? "" : timeText(plannedEnd));
    const isKnown = expectedEnd !== null && expectedEnd > 0;
    setText(this.expectedEnd, isKnown ? (over ? timeText(expectedEnd) : t("agenda.about", { time: timeText(expectedEnd) })) : "");
    const isOff = isKnown && endLateMs !== null && Math.abs(endLateMs) >= ON_TIME_MS;
    setText(this.endOff, isOff ? formatClock(Math.round(endLateMs / 60_000) * 60_000, { plus: true, tenths: false }).replace(/:00$/, "′") : "");
    this.endOff.dataset.late = String(isOff && endLateMs > 0);
    setText(this.late, over || state.status === "pending" && lateMs === 0 ? "" : lateText(lateMs));
    this.late.dataset.late = String(lateMs !== null && lateMs >= ON_TIME_MS);
    setText(this.end, isKnown && !over ? t("agenda.ends", { time: timeText(expectedEnd) }) : "");
  }

  #leftOf(id) {
    const clock = this.page.clock(id);
    return clock?.mainMs ?? clock?.remainingMs ?? 0;
  }

  #drawClock() {
    const { page } = this;
    const { state } = page;
    const over = isOver(state);
    const item = this.plan[this.at];
    this.face = faceOf(state, this.owner ? page.clock(this.owner) : null, item?.plannedMs ?? null);
    const { face } = this;
    this.digits.show(face.ms, false);
    setText(
      this.word,
      over
        ? ""
        : state.status === "paused"
          ? page.pauseText()
          : state.status === "pending"
            ? page.waitingText()
            : face.level === "over" || face.level === "out"
              ? t("agenda.over")
              : "",
    );
    const level = over ? "calm" : face.level;
    if (this.element.dataset.level !== level) this.element.dataset.level = level;
    const share = face.share === null ? 0 : Math.round(face.share * 2000) / 2000;
    if (share !== this.share) {
      this.share = share;
      this.rest.style.setProperty("transform", `scaleX(${share})`);
    }
  }

  /** Goes to an item: its clock goes on with what it has left. In a pause it is on when the session goes on. */
  goTo(id) {
    const { actions, state } = this.page;
    return state.status === "running" ? actions.next(id) : actions.setTurn(id);
  }

  goBack() {
    const before = this.plan[this.at - 1];
    if (before) this.goTo(before.id);
  }

  goOn() {
    const { actions } = this.page;
    const next = this.plan[this.at + 1];
    if (!next) return actions.complete();
    return this.goTo(next.id);
  }

  key() {
    const { actions, state } = this.page;
    if (state.status === "pending") actions.start();
    else if (state.status === "paused") actions.explainPause();
    else if (!isOver(state) && !this.forward.hidden && !this.#bounces()) this.goOn();
  }

  /** Two presses of a key within a quarter of a second count as one. */
  #bounces() {
    const now = performance.now();
    const bounces = now - (this.pressed ?? -Infinity) < 250;
    if (!bounces) this.pressed = now;
    return bounces;
  }

  /** What can be done with one item. */
  openItem(id) {
    const { page } = this;
    const { actions, people, state } = page;
    const close = (work) => () => {
      opened.close();
      work();
    };
    const live = !isOver(state);
    const canGo = state.status === "running" ? actions.may("switch") : actions.may("turn");
    const left = this.#leftOf(id);
    const opened = openDialog({
      title: people.name(id),
      body: [
        h("p", { class: "muted digits" }, t("agenda.itemLeft", { time: formatClock(left, { tenths: false }) })),
        h(
          "div",
          { class: "choices" },
          live &&
            canGo &&
            id !== this.owner &&
            button(t(state.status === "pending" ? "agenda.beginHere" : "agenda.goTo"), {
              icon: "next",
              class: "primary",
              onclick: close(() => this.goTo(id)),
            }),
          live &&
            actions.may("adjust") &&
            button(t("agenda.time"), { icon: "clock", onclick: close(() => actions.openTime(id)) }),
          live &&
            actions.may("remove") &&
            state.participants.length > 1 &&
            button(t("agenda.remove"), { icon: "trash", class: "danger", onclick: close(() => actions.remove(id)) }),
        ),
      ],
    });
  }
}
