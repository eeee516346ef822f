// The dialog for a session's start and end, and the line of its bounds above all views.

import { button, fill, h, newId, openDialog, setText } from "../shared/ui.js";
import { fromLocal, timeZone, toLocal } from "../shared/moments.js";
import { formatClock } from "../shared/time.js";
import { boundsOf } from "./bounds.js";
import { isOver } from "./rules.js";

const digits = (ms) => formatClock(Math.max(0, ms), { tenths: false });

/**
 * Opens the dialog for a session's start and end.
 *
 * @param {import("./session.js").Page} page
 */
export function openSchedule(page) {
  const { state } = page;
  const problem = h("p", { class: "problem", id: newId("problem"), role: "status" });
  const soon = h("p", { class: "hint digits" });
  const isPending = state.status === "pending";
  const fields = [];

  function moment(label, name, ms) {
    const id = newId("moment");
    const before = toLocal(ms);
    const control = h("input", {
      class: "input",
      id,
      type: "datetime-local",
      step: "1",
      value: before,
      "aria-describedby": problem.id,
      oninput: () => draw(),
    });
    const clear = button("Take back", {
      icon: "cross",
      class: "quiet",
      "aria-label": `Take back the ${name}`,
      onclick: () => {
        control.value = "";
        control.focus();
        draw();
      },
    });
    const later = (minutes) =>
      button(`+${minutes} min`, {
        class: "digits",
        "aria-label": `${minutes} minutes later, or from now: ${name}`,
        onclick: () => {
          const now = page.client.time.now() ?? Date.now();
          control.value = toLocal((fromLocal(control.value) ?? now) + minutes * 60_000);
          draw();
        },
      });
    fields.push({
      control,
      clear,
      name,
      had: ms,
      /** The instant to send: undefined where it is to stay, null where it is taken back. */
      get sent() {
        return control.value === before ? undefined : fromLocal(control.value);
      },
      /** Whether the field holds something else than a whole moment. */
      get isWrong() {
        return control.validity.badInput || (control.value !== "" && fromLocal(control.value) === null);
      },
    });
    return h(
      "div",
      { class: "field moment" },
      h("label", { htmlFor: id }, label),
      control,
      h("div", { class: "buttons" }, later(5), later(60), clear),
    );
  }

  const starts = isPending && moment("Starts by itself at", "start", state.starts_at_ms ?? null);
  const ends = moment("Ends by itself at", "end", state.ends_at_ms ?? null);

  function draw() {
    const now = page.client.time.now();
    const words = [];
    for (const each of fields) {
      each.clear.hidden = each.control.value === "";
      const at = fromLocal(each.control.value);
      if (at !== null && now !== null) {
        words.push(at > now ? `The ${each.name} is in ${digits(at - now)}.` : `The ${each.name} has to be ahead.`);
      }
    }
    setText(soon, words.join(" "));
  }

  async function save() {
    setText(problem, "");
    const wrong = fields.find((each) => each.isWrong);
    for (const each of fields) each.control.setAttribute("aria-invalid", String(each === wrong));
    if (wrong) {
      setText(problem, `Enter the whole date and time of the ${wrong.name}, or take it back`);
      wrong.control.focus();
      return;
    }
    const change = {};
    for (const { name, sent } of fields) if (sent !== undefined) change[`${name}sAt`] = sent;
    if (Object.keys(change).length === 0 || (await page.actions.schedule(change))) opened.close();
  }

  const opened = openDialog({
    title: "Start and end",
    class: "schedule-dialog",
    body: [
      h("p", { class: "hint" }, `In your time, ${timeZone()}. All devices start and end at the same moment.`),
      starts,
      ends,
      soon,
      problem,
    ],
    actions: [
      button("Close", { onclick: () => opened.close() }),
      button("Save", { class: "primary", onclick: save }),
    ],
  });
  draw();
  const timer = setInterval(draw, 500);
  opened.closed.then(() => clearInterval(timer));
}

/** A line with a session's bounds, for all views. It is hidden in sessions without any. */
export class Bounds {
  /** @param {import("./session.js").Page} page */
  constructor(page, element) {
    this.page = page;
    this.element = element;
    this.texts = [];
  }

  draw() {
    const { page } = this;
    const { session, state } = page;
    const words = boundsOf(state, page.client.time.now(), session.pauseRemaining?.() ?? null);
    const total = page.totalLeft();
    const isShown = page.viewName === "countdown" || page.viewName === "board";
    if (total !== null && !isShown && !isOver(state)) words.push(`session: ${digits(total)} left`);
    this.element.hidden = words.length === 0;
    if (words.length !== this.texts.length) {
      this.texts = words.map(() => h("span", {}));
      fill(this.element, this.texts);
    }
    words.forEach((text, place) => setText(this.texts[place], text[0].toUpperCase() + text.slice(1)));
  }
}
