// The wall countdown: one huge number, whose turn it is, a bar of the time that is left, and who is next.

import { h, setText } from "../../shared/ui.js";
import { icon } from "../../shared/icons.js";
import { momentText } from "../../shared/moments.js";
import { formatClock } from "../../shared/time.js";
import { Digits, spokenFace, wholeOf } from "../faces/face.js";
import { t } from "../../shared/i18n.js";
import { numberOf } from "../bounds.js";
import { hasNext, isOver, ownClocks } from "../rules.js";
import { nextAfter } from "../people.js";

/** A clock that runs at least this long also shows the time of day at which it ends. */
const ENDS_FROM_MS = 180_000;

const upper = (text) => text[0].toLocaleUpperCase() + text.slice(1);

export class CountdownView {
  /** @param {import("../session.js").Page} page */
  constructor(page) {
    this.page = page;
    this.digits = new Digits("huge-digits");
    this.who = h("p", { class: "wall-who" });
    this.dot = h("span", { class: "dot" });
    this.name = h("span", {});
    this.who.append(this.dot, this.name);
    this.timer = h(
      "div",
      {
        class: "wall-time",
        role: "timer",
        "aria-live": "off",
        tabindex: "0",
        onfocus: () => this.timer.setAttribute("aria-label", spokenFace(this.face)),
        onblur: () => this.timer.removeAttribute("aria-label"),
      },
      this.digits.element,
    );
    this.rest = h("div", { class: "rest" });
    this.sign = h("span", { class: "wall-sign" });
    this.said = h("span", {});
    this.word = h("p", { class: "wall-word digits" }, this.sign, this.said);
    this.below = h("p", { class: "wall-below digits" });
    this.number = h("span", {});
    this.next = h("span", {});
    this.total = h("span", {});
    this.ends = h("span", {});
    this.note = h("span", {});
    this.why = h("span", {});
    this.below.append(this.number, this.note, this.why, this.next, this.total, this.ends);
    this.element = h(
      "section",
      { class: "wall", "aria-label": t("countdown.countdown") },
      this.who,
      h("div", { class: "wall-middle" }, this.timer),
      h("div", { class: "wall-bar", "aria-hidden": "true" }, this.rest),
      this.word,
      this.below,
    );
    this.update();
  }

  update() {
    const { page } = this;
    const { people, state, result } = page;
    const active = state.active_participant_id;
    const owner = people.ownerOf(active);
    this.owner = ownClocks(state)
      ? (owner ?? people.ownerOf(page.lastActive) ?? people.owners[0]?.id ?? null)
      : null;
    this.whole = wholeOf(state, this.owner);
    const over = isOver(state);
    const several = state.participants.length > 1;
    const shown = over
      ? (result?.about ?? null)
      : (active ?? (several ? state.participants[0].participant_id : null));
    setText(this.name, several && shown ? people.nameWithTeam(shown) : "");
    this.dot.className = `dot hue-${people.byId.get(shown)?.hue ?? 0}`;
    this.who.hidden = !(several && shown);
    const next =
      several && !over && hasNext(state)
        ? active && state.status !== "pending"
          ? nextAfter(state)
          : null
        : null;
    setText(
      this.next,
      next ? t("face.next", { name: people.name(next) }) : over ? page.end.winner : "",
    );
    setText(this.number, numberOf(state) ?? "");
    setText(this.why, over ? page.end.why : "");
    this.sign.replaceChildren(
      ...(over
        ? [icon(state.status === "expired" ? "flag" : state.status === "completed" ? "check" : "cross")]
        : []),
    );
    this.word.dataset.status = state.status;
    this.element.dataset.turn = over ? "over" : state.status;
    this.draw();
  }

  updatePeople() {
    this.update();
  }

  frame() {
    this.draw();
  }

  draw() {
    const { page } = this;
    const { state } = page;
    const over = isOver(state);
    this.face = page.face(this.owner, this.whole);
    const { face } = this;
    let { ms, level } = face;
    if (state.status === "expired") {
      level = "out";
      ms = ms === null || ms > 0 ? 0 : ms;
    } else if (over) {
      level = "calm";
    } else if (ms === null && state.status === "pending") {
      ms = this.whole;
    }
    const light = level === "lit" ? face.light : null;
    setText(this.said, this.#word(over, level, light));
    this.timer.hidden = ms === null;
    this.element.dataset.empty = String(ms === null);
    this.digits.show(ms, face.countUp);
    setText(this.note, over || !face.note || (level === "over" && !light) ? "" : upper(face.note));
    if (this.element.dataset.level !== level) this.element.dataset.level = level;
    page.showLevel(level, light);
    const share = state.status === "pending" ? 1 : level === "out" ? 0 : face.share;
    const rounded = share === null ? null : Math.round(share * 4000) / 4000;
    if (rounded !== this.share) {
      this.share = rounded;
      this.rest.parentElement.hidden = rounded === null;
      this.rest.style.setProperty("transform", `scaleX(${rounded ?? 0})`);
    }
    this.#drawEnd();
    const total = page.totalLeft();
    setText(
      this.total,
      total === null ? "" : t("face.sessionLeft", { time: formatClock(Math.max(0, total), { tenths: false }) }),
    );
  }

  /** The time of day at which a long clock ends. In overtime that is nothing to wait for. */
  #drawEnd() {
    const { client, state } = this.page;
    const now = client.time.now() ?? state.server_time_ms;
    // An end of the session that comes first stands among its bounds.
    const isNext = state.deadline_ms !== null && state.deadline_ms < (state.ends_at_ms ?? Infinity);
    const isLong = state.status === "running" && isNext && state.deadline_ms - state.server_time_ms >= ENDS_FROM_MS;
    const isAhead = isLong && (this.face.left ?? 0) >= 0 && state.deadline_ms > now;
    const key = isAhead ? `${state.deadline_ms} ${new Date(now).toDateString()}` : "";
    if (key === this.endKey) return;
    this.endKey = key;
    setText(this.ends, isAhead ? t("countdown.endsAt", { moment: momentText(state.deadline_ms, now) }) : "");
  }

  #word(over, level, light) {
    const { page } = this;
    const { status } = page.state;
    if (over) return page.result.title;
    if (status === "paused") return page.pauseText();
    if (status === "pending") return page.waitingText();
    if (light) return light.text;
    if (level === "over") return this.face.note ? upper(this.face.note) : "";
    return level === "out" ? t("status.expired") : "";
  }

  key() {
    this.page.actions.next();
  }
}
