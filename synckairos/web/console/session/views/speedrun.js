// A speedrun: the segments with their splits and how they compare with the personal best of this device, and
// the time of the run. Each cycle of the session is a split; see ../splits.js.

import { t } from "../../shared/i18n.js";
import { formatClock, spokenDuration } from "../../shared/time.js";
import { button, fill, h, setText } from "../../shared/ui.js";
import { Digits } from "../faces/face.js";
import { readBest, writeBest } from "../speedrun/personal_best.js";
import { isOver } from "../rules.js";
import { openSplits } from "../speedrun/splits_dialog.js";
import * as runs from "../speedrun/splits.js";

const TENTHS = { countUp: true, tenths: "always" };
const NO_TIME = "–";

const time = (ms) => (ms === null ? NO_TIME : formatClock(ms, TENTHS));
/** A difference with its sign, which says what the colour says. */
const difference = (ms) => (ms < 0 ? "−" : "+") + formatClock(Math.abs(ms), TENTHS);

export class SpeedrunView {
  /** @param {import("../session.js").Page} page */
  constructor(page) {
    this.page = page;
    this.digits = new Digits("huge-digits", { tenths: "always" });
    this.timer = h(
      "div",
      {
        class: "run-time",
        role: "timer",
        "aria-live": "off",
        tabindex: "0",
        onfocus: () => this.timer.setAttribute("aria-label", spokenDuration(this.elapsed, { countUp: true })),
        onblur: () => this.timer.removeAttribute("aria-label"),
      },
      this.digits.element,
    );
    this.word = h("p", { class: "run-word", role: "status" });
    this.rows = h("tbody", {});
    this.scroller = h(
      "div",
      { class: "run-splits", tabindex: "0", role: "region", "aria-label": t("run.splits") },
      h(
        "table",
        {},
        h("caption", { class: "visually-hidden" }, t("run.splits")),
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            h("th", { scope: "col" }, t("run.segment")),
            h("th", { scope: "col" }, t("run.delta")),
            h("th", { scope: "col" }, t("run.split")),
          ),
        ),
        this.rows,
      ),
    );
    this.figures = h("dl", { class: "run-figures digits" });
    this.undo = button(t("run.undo"), { icon: "undo", onclick: () => this.undoSplit() });
    this.skip = button(t("run.skip"), { icon: "next", onclick: () => this.skipSplit() });
    this.edit = button(t("run.edit"), { icon: "history", class: "quiet", onclick: () => openSplits(this) });
    this.element = h(
      "section",
      { class: "run", "aria-label": t("view.speedrun") },
      this.scroller,
      h(
        "div",
        { class: "run-face" },
        this.timer,
        this.word,
        this.figures,
        h("div", { class: "buttons run-buttons" }, this.undo, this.skip, this.edit),
      ),
    );
    const undo = () => !this.undo.hidden && this.undoSplit();
    const skip = () => !this.skip.hidden && this.skipSplit();
    /** Keys of this view: those of the number pad are LiveSplit's, which runners know. */
    this.keys = {
      u: undo,
      k: skip,
      Numpad1: () => this.next(),
      Numpad2: skip,
      Numpad3: () => page.actions.may("reset") && page.state.status !== "pending" && page.actions.reset(),
      Numpad8: undo,
    };
    /** What the list of keys says of them. */
    this.keysHelp = [
      ["Num\u00a01", t("run.splitNow"), ["switch"]],
      ["U Num\u00a08", t("run.undo"), ["metadata"]],
      ["K Num\u00a02", t("run.skip"), ["metadata"]],
      ["Num\u00a03", t("reset.yes"), ["reset"]],
    ];
    this.listener = () => this.update();
    page.track.listeners.add(this.listener);
    page.track.load();
    this.update();
  }

  close() {
    this.page.track.listeners.delete(this.listener);
  }

  updatePeople() {
    this.update();
  }

  /** The title of the run, under which its personal best is kept. */
  get title() {
    return this.page.title;
  }

  update() {
    const { page } = this;
    const { state, track } = page;
    this.names = runs.segmentNames(state);
    if (this.names.length === 0) this.names = [t("run.finish")];
    this.#keepReset();
    const kept = readBest(this.title, this.names);
    const id = runs.runOf(state);
    /** What the run is compared with. */
    this.before = runs.bestBefore(kept, id);
    this.best = isOver(state) ? kept : this.before;
    // Where the first events are not kept any more, the times are counted back from the session's time.
    const offset = track.complete ? 0 : state.time_used_ms - track.totalMs;
    const cycles = track.cycles.map(({ number, totalMs }) => ({ number, totalMs: totalMs + offset }));
    this.run = { id, ...runs.segmentsOf(this.names, cycles, runs.marksOf(state)) };
    this.#keepResult();
    this.#drawRows();
    this.#drawFigures();
    const live = state.status === "running" || state.status === "paused";
    const may = live && page.actions.may("metadata");
    this.undo.hidden = !may || runs.lastStep(this.run) === null;
    this.skip.hidden = !may || this.run.at >= this.names.length - 1;
    this.element.dataset.status = state.status;
    this.frame();
  }

  /** Once a run is over, its times are kept, on the device of whoever could split. */
  #keepResult() {
    const { page } = this;
    this.isRecord = false;
    const { state, track } = page;
    if (!isOver(state) || !track.loaded || track.version < page.session.confirmed?.version) return;
    if (!page.rights.ever("switch")) return;
    const { id, segments, at } = this.run;
    if (segments.every((each) => each.splitMs === null)) return;
    const ended = state.session_completed_at;
    const finished = state.status === "completed" && at === segments.length;
    const { best, isRecord } = runs.afterRun(this.before, segments, finished);
    if (this.best.last !== id || this.best.ended !== ended) this.#keep(id, ended, best);
    this.isRecord = isRecord && this.best.before !== null;
  }

  /** A run that is reset before its end is an attempt, too, and its best segments count. */
  #keepReset() {
    const { run, page } = this;
    if (!run?.id || run.id === runs.runOf(page.state) || !page.rights.ever("switch")) return;
    this.best = readBest(this.title, this.names);
    const isKept = this.best.last === run.id;
    if (isKept || run.segments.length !== this.names.length || run.segments.every((each) => each.splitMs === null)) return;
    this.#keep(run.id, null, runs.afterRun(this.best, run.segments, false).best);
  }

  #keep(last, ended, best) {
    const { names, splits, best: segments, attempts } = runs.bestBefore(this.best, last);
    const before = { names, splits, best: segments, attempts };
    this.best = { ...this.best, ...best, last, ended, before };
    writeBest(this.title, this.best);
  }

  #drawRows() {
    const { segments, at } = this.run;
    const compareWith = this.before;
    const live = !isOver(this.page.state);
    this.deltaNow = null;
    const row = (segment, place) => {
      const { deltaMs, tone } = runs.compared(segment, place, compareWith);
      const isNow = live && place === at;
      const delta = h("td", { class: `digits run-delta ${tone}` }, this.#deltaText(segment, deltaMs, tone));
      if (isNow) this.deltaNow = delta;
      const split = segment.splitMs ?? (segment.skipped ? null : compareWith.splits[place]);
      return h(
        "tr",
        { class: [isNow && "run-now", segment.splitMs === null && "run-open"].filter(Boolean).join(" ") || null, "aria-current": isNow ? "step" : null },
        h("th", { scope: "row" }, segment.name),
        delta,
        h("td", { class: "digits" }, time(split)),
      );
    };
    fill(this.rows, segments.map(row));
    if (this.shownAt !== at) {
      this.shownAt = at;
      this.rows.querySelector(".run-now")?.scrollIntoView({ block: "nearest" });
    }
  }

  #deltaText(segment, deltaMs, tone) {
    if (segment.skipped) return t("run.skipped");
    const words = deltaMs === null ? "" : difference(deltaMs);
    if (tone !== "gold") return words;
    return [words, h("span", { class: "run-star", title: t("run.gold"), "aria-label": t("run.gold"), role: "img" }, "★")];
  }

  #drawFigures() {
    const figure = (label, ms) => [h("dt", {}, label), h("dd", {}, time(ms))];
    this.possible = h("dd", {});
    fill(
      this.figures,
      figure(t("run.best"), this.best.splits.at(-1) ?? null),
      figure(t("run.sum"), runs.sumOfBest(this.best)),
      h("dt", {}, t("run.possible")),
      this.possible,
    );
  }

  frame() {
    const { page } = this;
    const { state } = page;
    const over = isOver(state);
    const now = over || state.status === "pending" ? 0 : page.cycleElapsed();
    this.elapsed = state.time_used_ms + now;
    this.digits.show(this.elapsed, true);
    setText(this.word, this.#wordNow(over));
    const delta = over ? null : runs.liveDelta(this.run, this.elapsed, this.best);
    if (this.deltaNow) {
      setText(this.deltaNow, delta === null ? "" : difference(delta));
      this.deltaNow.className = `digits run-delta ${delta === null ? "" : delta < 0 ? "ahead" : "behind"}`;
    }
    const tone = over ? "" : this.#tone(delta);
    if (this.element.dataset.tone !== tone) this.element.dataset.tone = tone;
    setText(this.possible, time(over ? null : runs.bestPossible(this.run, this.best, this.elapsed)));
  }

  /** Whether the run is ahead: as it is now, or as it was at the last split. */
  #tone(delta) {
    const { segments, at } = this.run;
    const pb = this.best.splits[at - 1] ?? null;
    const last = segments[at - 1]?.splitMs ?? null;
    const known = delta ?? (last === null || pb === null ? null : last - pb);
    return known === null ? "" : known < 0 ? "ahead" : "behind";
  }

  #wordNow(over) {
    const { page } = this;
    if (over) return this.isRecord ? t("run.record") : page.result.title;
    if (page.state.status === "paused") return page.pauseText();
    return page.state.status === "pending" ? page.waitingText() : "";
  }

  /** What the button for the next turn says. */
  get nextLabel() {
    return this.run.at >= this.names.length - 1 ? t("run.finishNow") : t("run.splitNow");
  }

  /** Ends the running segment, and with the last one the run. */
  next() {
    const { actions, state } = this.page;
    if (state.status !== "running" || this.run.at < this.names.length - 1) return actions.next();
    if (!actions.may("complete")) return actions.next();
    return actions.finish();
  }

  key() {
    this.next();
  }

  /** Says that the last split was none, or that a segment was not skipped. No clock changes. */
  undoSplit() {
    const step = runs.lastStep(this.run);
    if (step === null) return;
    const { undone, skipped } = runs.marksOf(this.page.state);
    if ("skipped" in step) skipped.delete(step.skipped);
    else undone.add(step.cycle);
    this.#mark(undone, skipped);
  }

  /** Says that the running segment has no split of its own. */
  skipSplit() {
    const { undone, skipped } = runs.marksOf(this.page.state);
    skipped.add(this.run.at);
    this.#mark(undone, skipped);
  }

  #mark(undone, skipped) {
    const { actions, session, state } = this.page;
    const run = { undone: [...undone], skipped: [...skipped], started: state.session_started_at };
    actions.run(() => session.patchMetadata({ run }));
  }
}
