// The dialog for a session's start and end.

import { button, h, newId, openDialog, setText } from "../../shared/ui.js";
import { fromLocal, timeZone, toLocal } from "../../shared/moments.js";
import { t } from "../../shared/i18n.js";
import { formatClock } from "../../shared/time.js";

const digits = (ms) => formatClock(Math.max(0, ms), { tenths: false });

/** What is said about the start and the end. */
const WORDS = {
  start: {
    takeBack: t("schedule.takeBackStart"),
    later: (count) => t("schedule.startLater", { count }),
    isIn: (time) => t("schedule.startIsIn", { time }),
    isAhead: t("schedule.startAhead"),
    wrong: t("schedule.wrongStart"),
  },
  end: {
    takeBack: t("schedule.takeBackEnd"),
    later: (count) => t("schedule.endLater", { count }),
    isIn: (time) => t("schedule.endIsIn", { time }),
    isAhead: t("schedule.endAhead"),
    wrong: t("schedule.wrongEnd"),
  },
};

/**
 * Opens the dialog for a session's start and end.
 *
 * @param {import("../session.js").Page} page
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
    const clear = button(t("word.takeBack"), {
      icon: "cross",
      class: "quiet",
      "aria-label": WORDS[name].takeBack,
      onclick: () => {
        control.value = "";
        control.focus();
        draw();
      },
    });
    const later = (minutes) =>
      button(`+${t("time.min", { number: minutes })}`, {
        class: "digits",
        "aria-label": WORDS[name].later(minutes),
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

  const starts = isPending && moment(t("schedule.starts"), "start", state.starts_at_ms ?? null);
  const ends = moment(t("schedule.ends"), "end", state.ends_at_ms ?? null);

  function draw() {
    const now = page.client.time.now();
    const said = [];
    for (const each of fields) {
      each.clear.hidden = each.control.value === "";
      const at = fromLocal(each.control.value);
      if (at !== null && now !== null) {
        said.push(at > now ? WORDS[each.name].isIn(digits(at - now)) : WORDS[each.name].isAhead);
      }
    }
    setText(soon, said.join(" "));
  }

  async function save() {
    setText(problem, "");
    const wrong = fields.find((each) => each.isWrong);
    for (const each of fields) each.control.setAttribute("aria-invalid", String(each === wrong));
    if (wrong) {
      setText(problem, WORDS[wrong.name].wrong);
      wrong.control.focus();
      return;
    }
    const change = {};
    for (const { name, sent } of fields) if (sent !== undefined) change[`${name}sAt`] = sent;
    if (Object.keys(change).length === 0 || (await page.actions.schedule(change))) opened.close();
  }

  const opened = openDialog({
    title: t("schedule.title"),
    class: "schedule-dialog",
    body: [
      h("p", { class: "hint" }, t("schedule.hint", { zone: timeZone() })),
      starts,
      ends,
      soon,
      problem,
    ],
    actions: [
      button(t("word.close"), { onclick: () => opened.close() }),
      button(t("word.save"), { class: "primary", onclick: save }),
    ],
  });
  draw();
  const timer = setInterval(draw, 500);
  opened.closed.then(() => clearInterval(timer));
}
