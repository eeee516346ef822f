// The stopwatch: the time that has passed, with a lap for every cycle.

import { t } from "../../shared/i18n.js";
import { h, fill, setText } from "../../shared/ui.js";
import { formatClock, spokenDuration } from "../../shared/time.js";
import { Digits } from "../faces/face.js";
import { isOver } from "../rules.js";

/** The most laps that are drawn. The history has all of them. */
const MAX_LAPS = 200;

const TENTHS = { countUp: true, tenths: "always" };

export class StopwatchView {
  /** @param {import("../session.js").Page} page */
  constructor(page) {
    this.page = page;
    this.digits = new Digits("huge-digits", { tenths: "always" });
    this.timer = h(
      "div",
      {
        class: "watch-time",
        role: "timer",
        "aria-live": "off",
        tabindex: "0",
        onfocus: () => this.timer.setAttribute("aria-label", spokenDuration(this.elapsed, { countUp: true })),
        onblur: () => this.timer.removeAttribute("aria-label"),
      },
      this.digits.element,
    );
    this.word = h("p", { class: "wall-word" });
    this.name = h("p", { class: "wall-who" });
    this.lapNow = h("td", { class: "digits" });
    this.totalNow = h("td", { class: "digits" });
    this.numberNow = h("td", { class: "digits" });
    this.whoNow = h("td", {});
    this.now = h("tr", { class: "lap-now" }, this.numberNow, this.whoNow, this.lapNow, this.totalNow);
    this.laps = h("tbody", {});
    this.empty = h("p", { class: "muted laps-empty" });
    this.table = h(
      "table",
      { class: "laps" },
      h("caption", { class: "visually-hidden" }, t("laps.caption")),
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          h("th", { scope: "col" }, t("laps.lap")),
          h("th", { scope: "col", class: "lap-who" }, t("laps.who")),
          h("th", { scope: "col" }, t("laps.time")),
          h("th", { scope: "col" }, t("laps.total")),
        ),
      ),
      this.laps,
    );
    this.element = h(
      "section",
      { class: "watch", "aria-label": t("view.stopwatch") },
      h("div", { class: "watch-face" }, this.name, this.timer, this.word),
      h(
        "div",
        { class: "watch-laps", tabindex: "0", role: "region", "aria-label": t("laps.laps") },
        this.table,
        this.empty,
      ),
    );
    this.lapsDrawn = -1;
    this.listener = () => this.drawLaps();
    page.track.listeners.add(this.listener);
    page.track.load();
    this.update();
  }

  close() {
    this.page.track.listeners.delete(this.listener);
  }

  updatePeople() {
    this.lapsDrawn = -1;
    this.update();
  }

  update() {
    const { page } = this;
    const { people, state } = page;
    const several = state.participants.length > 1;
    this.element.dataset.several = String(several);
    const over = isOver(state);
    this.element.dataset.turn = over ? "over" : state.status;
    const name =
      several && !over && state.active_participant_id ? people.nameWithTeam(state.active_participant_id) : "";
    setText(this.name, name);
    this.name.hidden = name === "";
    this.word.dataset.status = state.status;
    setText(this.numberNow, String(state.cycle_count + 1));
    setText(this.whoNow, people.name(state.active_participant_id));
    this.drawLaps();
    this.frame();
  }

  drawLaps() {
    const { page } = this;
    const { people, state, track } = page;
    const live = !isOver(state) && state.status !== "pending";
    if (this.now.parentNode !== (live ? this.laps : null)) {
      if (live) this.laps.prepend(this.now);
      else this.now.remove();
    }
    setText(this.empty, this.emptyText(live));
    this.table.hidden = !live && track.cycles.length === 0;
    const { cycles } = track;
    const last = cycles.at(-1)?.version ?? 0; // numbers come again after turns were taken back
    if (last === this.lapsDrawn) return;
    this.lapsDrawn = last;
    const shown = cycles.slice(-MAX_LAPS).reverse();
    const times = cycles.map((each) => each.ms);
    const best = times.length > 1 ? Math.min(...times) : null;
    const worst = times.length > 2 ? Math.max(...times) : null;
    // Where the first events are not kept any more, the totals are counted back from the session's time.
    const offset = track.complete ? 0 : state.time_used_ms - track.totalMs;
    fill(
      this.laps,
      live && this.now,
      shown.map((each) =>
        h(
          "tr",
          {
            class: each.ms === best ? "lap-best" : each.ms === worst ? "lap-worst" : null,
          },
          h("td", { class: "digits" }, String(each.number)),
          h("td", { class: "lap-who" }, people.name(each.participantId)),
          h(
            "td",
            { class: "digits" },
            formatClock(each.ms, TENTHS),
            each.ms === best && [" ", h("span", { class: "visually-hidden" }, t("laps.fastest"))],
            each.ms === worst && [" ", h("span", { class: "visually-hidden" }, t("laps.slowest"))],
          ),
          h("td", { class: "digits" }, formatClock(each.totalMs + offset, TENTHS)),
        ),
      ),
    );
    this.whoNow.className = "lap-who";
  }

  emptyText(live) {
    const { rights, state, track } = this.page;
    if (state.status === "pending") return t("laps.here");
    if (track.error) return t("laps.unreadable");
    if (!track.complete) return t("laps.notKept", { number: track.cycles[0]?.number ?? 1 });
    const canPress = live && rights.ever("switch");
    return canPress && track.loaded && track.cycles.length === 0 ? t("laps.press") : "";
  }

  frame() {
    const { page } = this;
    const { state } = page;
    const lap = isOver(state) || state.status === "pending" ? 0 : page.cycleElapsed();
    this.elapsed = state.time_used_ms + lap;
    this.digits.show(this.elapsed, true);
    setText(
      this.word,
      isOver(state)
        ? [page.result.title, page.end.winner || page.end.why].filter(Boolean).join(" · ")
        : state.status === "paused"
          ? page.pauseText()
          : state.status === "pending"
            ? page.waitingText()
            : "",
    );
    setText(this.lapNow, formatClock(lap, TENTHS));
    setText(this.totalNow, formatClock(this.elapsed, TENTHS));
  }

  key() {
    this.page.actions.next();
  }
}
