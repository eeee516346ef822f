// The wall of an exam: the time of day, and for each row (normal, with extra time) when it finishes and what is left
// of it; below them what was announced. It is read from the last row of a hall, so everything is as large as it fits.

import { displayText } from "../../shared/names.js";
import { moment, t } from "../../shared/i18n.js";
import { button, fill, h, newId, openDialog, setText } from "../../shared/ui.js";
import { clockParts, spokenDuration } from "../../shared/time.js";
import { announcementsOf, nextMinute, rowAt, rowName, rowsOf } from "../../shared/exam.js";
import { wholeOf } from "../faces/face.js";
import { fitText } from "../screens/cover.js";
import { isOver } from "../rules.js";

/** So often the wall is drawn, also while no clock runs: the time of day goes on. */
const DRAW_MS = 200;
/** So many announcements stand on the wall at most. */
const ON_THE_WALL = 3;
const MAX_TEXT = 160;

/** The width of a text in digits, by which its size is found. */
export function widthOf(text) {
  let width = 0;
  for (const each of text) width += /\d/.test(each) ? 1 : /[:.\s\u202f]/.test(each) ? 0.5 : 0.98;
  return Math.max(1, width);
}

/** The same as elements, with what stands beside the digits smaller: the day, or half of the day. */
const timeParts = (text) =>
  text.split(/([\d:.]*\d[\d:.]*)/).map((part, at) => (at % 2 || part === "" ? part : h("small", { class: "exam-small" }, part)));

const timeWidth = (text) => {
  const digits = text.match(/[\d:.]*\d[\d:.]*/)?.[0] ?? "";
  return widthOf(digits) + 0.55 * widthOf(text.replace(digits, ""));
};

/** The time of day of a moment, with the day where it is another one. seconds: whether it has them. */
function timeText(ms, now, seconds = false) {
  const isToday = now === null || new Date(ms).toDateString() === new Date(now).toDateString();
  const day = isToday ? {} : { weekday: "short" };
  return moment(ms, { ...day, hour: "numeric", minute: "2-digit", ...(seconds ? { second: "2-digit" } : {}) });
}

/** The same with the seconds of what is no full minute: the last minute of an exam is not over at its beginning. */
const exactText = (ms, now) => timeText(ms, now, ms % 60_000 >= 1000);

class RowView {
  constructor(row) {
    this.row = row;
    this.name = h("span", {});
    this.finish = h("td", { class: "exam-finish digits", role: "cell", dataset: { label: t("exam.finish") } });
    this.left = h("td", { class: "exam-left digits", role: "cell", dataset: { label: t("exam.left") } });
    setText(this.name, rowName(row));
    this.element = h(
      "tr",
      { class: "exam-row", role: "row" },
      h("th", { scope: "row", role: "rowheader" }, this.name),
      this.finish,
      this.left,
    );
  }

  draw(exam, over) {
    const found = rowAt(this.row, exam);
    const { leftMs, finishMs } = found;
    const finish = finishMs === null ? "–" : exactText(finishMs, exam.now);
    if (finish !== this.finishText) fill(this.finish, timeParts(finish));
    this.finishText = finish;
    let text = "–";
    if (over || found.isOver) text = t("exam.timeIsUp");
    else if (leftMs !== null) text = clockParts(leftMs, { tenths: false }).main;
    if (text !== this.text) {
      this.text = text;
      this.left.textContent = text;
      this.left.setAttribute("aria-label", over || found.isOver ? text : spokenDuration(leftMs));
    }
    const level = over ? "out" : found.level;
    if (this.element.dataset.level !== level) this.element.dataset.level = level;
    return { left: widthOf(text), finish: timeWidth(finish), over: found.isOver };
  }
}

export class ExamView {
  /** @param {import("../session.js").Page} page */
  constructor(page) {
    this.page = page;
    this.title = h("p", { class: "exam-title" });
    this.status = h("p", { class: "exam-status", role: "status" });
    this.hours = h("span", {});
    this.seconds = h("span", { class: "exam-seconds" });
    this.half = h("span", { class: "exam-half" });
    this.time = h("time", { class: "exam-now digits" }, this.hours, this.seconds, this.half);
    this.starts = h("span", {});
    this.length = h("span", {});
    this.facts = h("p", { class: "exam-facts digits" }, this.starts, this.length);
    this.body = h("tbody", { role: "rowgroup" });
    this.table = h(
      "table",
      // The roles stay when the table is laid out as a grid.
      { class: "exam-rows", role: "table" },
      h("caption", { class: "visually-hidden" }, t("exam.rows")),
      h(
        "thead",
        { role: "rowgroup" },
        h(
          "tr",
          { role: "row" },
          h("th", { scope: "col", role: "columnheader" }, h("span", { class: "visually-hidden" }, t("exam.row"))),
          h("th", { scope: "col", role: "columnheader" }, t("exam.finish")),
          h("th", { scope: "col", role: "columnheader" }, t("exam.left")),
        ),
      ),
      this.body,
    );
    this.news = h("ol", { class: "exam-news", role: "list", "aria-label": t("exam.announcements"), "aria-live": "polite" });
    this.newsBox = h("div", { class: "exam-news-box", hidden: true }, this.news);
    this.element = h(
      "section",
      { class: "exam", "aria-label": t("exam.wall") },
      h("div", { class: "exam-top" }, this.title, this.status),
      h("div", { class: "exam-clock" }, this.time, this.facts),
      this.table,
      this.newsBox,
    );
    this.announcing = button(t("exam.announce"), { icon: "plus", class: "large extra", onclick: () => openAnnounce(page) });
    this.atMinute = button(t("exam.atMinute"), {
      icon: "calendar",
      class: "large extra",
      onclick: () => page.actions.schedule({ startsAt: nextMinute(page.client.time.now() ?? Date.now()) }),
    });
    /** The view's own buttons, which the page has among its controls. */
    this.controls = [this.atMinute, this.announcing];
    this.sizes = new ResizeObserver(() => this.#fitNews());
    this.sizes.observe(this.newsBox);
    this.update();
    this.timer = setInterval(() => this.draw(), DRAW_MS);
  }

  close() {
    clearInterval(this.timer);
    this.sizes.disconnect();
  }

  update() {
    const { page } = this;
    const { state } = page;
    setText(this.title, displayText(state.metadata?.title) ?? page.title);
    const rows = rowsOf(state.metadata, wholeOf(state, null));
    const key = JSON.stringify(rows);
    if (key !== this.key) {
      this.key = key;
      this.rows = rows.map((row) => new RowView(row));
      fill(this.body, this.rows.map(({ element }) => element));
      this.element.style.setProperty("--rows", String(rows.length));
      this.element.dataset.rows = String(rows.length);
      this.element.style.setProperty("--label", String(Math.max(...rows.map((row) => rowName(row).length))));
    }
    this.element.dataset.status = state.status;
    this.announcing.hidden = !page.leads;
    this.atMinute.hidden = state.status !== "pending" || (state.starts_at_ms ?? null) !== null || !page.actions.may("schedule");
    this.#tell();
    this.draw();
  }

  updatePeople() {
    this.update();
  }

  /** Shows the announcements that there is room for, newest first. */
  #tell() {
    const told = announcementsOf(this.page.state.metadata);
    const key = JSON.stringify(told);
    if (key === this.told) return;
    this.told = key;
    this.newsBox.hidden = told.length === 0;
    this.element.dataset.news = String(told.length > 0);
    fill(
      this.news,
      told.slice(0, ON_THE_WALL).map(({ atMs, text }) =>
        h(
          "li",
          {},
          h("time", { class: "digits", datetime: new Date(atMs).toISOString() }, timeText(atMs, this.page.client.time.now())),
          h("span", {}, text),
        ),
      ),
    );
    this.#fitNews();
  }

  /** Makes the announcements as large as they fit. What there is no room for at a readable size is left out. */
  #fitNews() {
    if (this.newsBox.hidden || this.newsBox.clientHeight === 0) return;
    const items = [...this.news.children];
    const least = Math.max(15, this.element.clientHeight * 0.026);
    for (let shown = items.length; shown >= 1; shown -= 1) {
      items.forEach((each, at) => {
        each.hidden = at >= shown;
      });
      fitText(this.news, this.newsBox, Math.max(least, this.element.clientHeight * 0.062), shown === 1 ? 12 : least);
      if (this.news.scrollHeight <= this.newsBox.clientHeight) return;
    }
  }

  frame() {
    // The wall draws by its own timer: what it shows changes once a second, also while no clock runs.
  }

  draw() {
    const { page } = this;
    const { client, session, state } = page;
    const now = client.time.now();
    this.#drawTime(now);
    const over = isOver(state);
    const clock = page.clock(null);
    const exam = {
      status: state.status,
      now,
      leftMs: over ? 0 : state.status === "pending" ? wholeOf(state, null) : (clock?.remainingMs ?? null),
      deadlineMs: state.status === "running" ? state.deadline_ms : null,
      startsAtMs: state.starts_at_ms ?? null,
      endsAtMs: state.ends_at_ms ?? null,
    };
    if (clock?.endsFirst && state.deadline_ms !== null && now !== null) exam.leftMs = state.deadline_ms - now;
    const widths = this.rows.map((each) => each.draw(exam, over));
    const left = Math.max(4.5, ...widths.map((each) => each.left));
    const finish = Math.max(4.5, ...widths.map((each) => each.finish));
    this.#size("--left", left);
    this.#size("--finish", finish);
    setText(this.status, this.#statusText(over, widths));
    const started = state.session_started_at ? Date.parse(state.session_started_at) : null;
    const start = started ?? exam.startsAtMs;
    setText(this.starts, start === null ? "" : t("exam.start", { time: exactText(start, now) }));
    const [normal] = this.rows;
    setText(this.length, t("exam.length", { time: spokenDuration(normal.row.lengthMs) }));
    if (session.staleMs === null) this.element.removeAttribute("aria-busy");
  }

  #size(name, value) {
    if (this[name] === value) return;
    this[name] = value;
    this.element.style.setProperty(name, String(value));
  }

  #drawTime(now) {
    if (now === null) {
      setText(this.hours, "–:––");
      return;
    }
    const second = Math.floor(now / 1000);
    if (second === this.second) return;
    this.second = second;
    const text = moment(now, { hour: "numeric", minute: "2-digit", second: "2-digit" });
    const [whole, hours, seconds] = /(\d{1,2}\D\d\d)(\D\d\d)/.exec(text) ?? [text, text, ""];
    const half = text.replace(whole, "").trim();
    setText(this.hours, hours);
    setText(this.seconds, seconds);
    setText(this.half, half);
    this.#size("--now", widthOf(hours) + 1.3 + 0.3 * half.length);
    this.time.dateTime = new Date(now).toISOString();
  }

  #statusText(over, rows) {
    const { page } = this;
    const { state } = page;
    if (over) return state.status === "cancelled" ? t("exam.cancelled") : t("exam.isOver");
    if (state.status === "paused") return page.pauseText();
    if (state.status === "pending") return page.waitingText();
    const ended = rows.filter((each) => each.over).length;
    return ended > 0 ? t("exam.extraTime") : t("exam.inProgress");
  }

  key() {
    if (this.page.state.status === "pending") this.page.actions.start();
  }
}

/** Asks for an announcement, and puts it on the wall. */
function openAnnounce(page) {
  const id = newId("announcement");
  const problem = h("p", { class: "problem", id: newId("problem"), role: "status" });
  const field = h("textarea", {
    class: "textarea",
    id,
    maxlength: String(MAX_TEXT),
    rows: "3",
    "aria-describedby": problem.id,
  });
  const send = async () => {
    const text = displayText(field.value);
    field.setAttribute("aria-invalid", String(text === null));
    setText(problem, text === null ? t("exam.nothingToSay") : "");
    if (text === null) field.focus();
    else if (await page.actions.announce(text)) opened.close();
  };
  const told = announcementsOf(page.state.metadata);
  const opened = openDialog({
    title: t("exam.announceTitle"),
    body: [
      h("div", { class: "field" }, h("label", { htmlFor: id }, t("exam.text")), field, problem),
      told.length > 0 && h("h3", {}, t("exam.told")),
      told.length > 0 &&
        h(
          "ul",
          { class: "exam-told", role: "list" },
          told.map(({ atMs, text }) => {
            const line = h(
              "li",
              {},
              h("span", { class: "muted digits" }, timeText(atMs, page.client.time.now())),
              h("span", {}, text),
              button(t("exam.takeBack", { text }), {
                icon: "cross",
                square: true,
                class: "quiet",
                onclick: async () => {
                  if (await page.actions.unannounce(atMs, text)) line.remove();
                },
              }),
            );
            return line;
          }),
        ),
    ],
    actions: [
      button(t("exam.close"), { onclick: () => opened.close() }),
      button(t("exam.announceNow"), { class: "primary", onclick: send }),
    ],
  });
  field.focus();
}
