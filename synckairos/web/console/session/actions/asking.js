// What the actions of a session's page ask and say: its dialogs, and the reasons of refusals. It is loaded with the
// first of them.

import { button, errorText, fill, h, newId, openDialog, setText, toast } from "../../shared/ui.js";
import { faultsText } from "../../shared/faults.js";
import { t } from "../../shared/i18n.js";
import { formatClock, formatDuration, parseDuration } from "../../shared/time.js";
import { TOTAL } from "./actions.js";
import { movesOf } from "../faces/counting.js";
import { canAdjust, canAdjustClock, canAdjustTotal, canSetTurn, canTakeBack, isOver, ownClocks } from "../rules.js";

/** The most that the service takes, where it has long clocks. */
const LONGEST_MS = 366 * 86_400_000;
/** Amounts of time as they can be typed, and the most. */
const AMOUNTS = {
  first: "1:30",
  second: t("time.s", { number: 90 }),
  third: formatDuration(300_000),
  fourth: formatDuration(2 * 86_400_000),
  most: formatDuration(LONGEST_MS),
};
/** The most turns that can be taken back at once. */
const MAX_TURNS = 16;

/**
 * The reason of a refusal as a sentence, with the names of participants.
 *
 * @param {Error & {code?: string, context?: object, details?: {field: string, message: string}[]}} error
 * @param {import("../session.js").Page} page
 */
export function explain(error, { state, people, rights }) {
  const context = error.context ?? {};
  switch (error.code) {
    case "INVALID_SESSION_STATE": {
      if (context.turns !== undefined) return whyNotTakenBack(error);
      if (context.pauses_left === 0) return t("refused.noPause");
      if (context.pause_remaining_ms === 0) return t("refused.noPauseTime");
      if (/^the session does not know/.test(error.message)) return errorText(error);
      const status = context.status ?? state?.status;
      if (status === "running") return t("refused.running");
      if (status === "paused") return t("refused.paused");
      if (status === "pending") return t("refused.pending");
      return Object.hasOwn(OVER, status) ? OVER[status] : errorText(error);
    }
    case "CONCURRENT_MODIFICATION": {
      const actual = context.actual_participant_id;
      return actual && people
        ? t("refused.faster", { name: people.name(actual) })
        : errorText(error);
    }
    case "FORBIDDEN":
      return rights.player !== null && rights.player !== state?.active_participant_id
        ? t("refused.tooLate")
        : errorText(error);
    case "PARTICIPANT_EXPIRED":
      return t("refused.ranOut");
    case "PARTICIPANT_NOT_FOUND":
      return t("refused.gone");
    case "VALIDATION_ERROR":
      if (error.details?.length) return `${faultsText(error.details)}.`;
      return errorText(error);
    default:
      return errorText(error);
  }
}

const OVER = {
  expired: t("refused.expired"),
  completed: t("refused.completed"),
  cancelled: t("refused.cancelled"),
};

/** What lies between a takeback and the turn that it is about, in words. */
const BETWEEN = {
  "time.adjusted": t("between.adjusted"),
  "participant.added": t("between.joined"),
  "participant.removed": t("between.left"),
  "turn.set": t("between.turnSet"),
  "session.scheduled": t("between.scheduled"),
  "session.recovered": t("between.recovered"),
  "session.arrived": t("between.arrived"),
};

/** Why turns cannot be taken back. The service names the event that lies between, or how far its log reaches. */
function whyNotTakenBack(error) {
  const { event, turns } = error.context;
  const most = turns === 0 ? t("takeback.noTurn") : t("takeback.atMost", { count: turns });
  if (event && Object.hasOwn(BETWEEN, event)) return t("takeback.since", { most, what: BETWEEN[event] });
  const reason = error.message.split(": ").slice(1).join(": ");
  return reason ? t("takeback.because", { most, reason }) : t("takeback.only", { most });
}

/**
 * Opens the dialog to give and take time.
 *
 * @param {import("./actions.js").Actions} actions
 * @param {string | null} [chosen] The owner whose clock is selected at first.
 */
export function openTime(actions, chosen = null) {
  const { page } = actions;
  const { people, state } = page;
  if (!actions.may("adjust") || !canAdjust(state)) return;
  const hasOwners = ownClocks(state);
  const hasTotal = canAdjustTotal(state);
  /** The clocks to choose from. A single one needs no choice. */
  const clocks = hasOwners ? [...people.owners] : [];
  if (hasTotal) {
    if (canAdjustClock(state)) clocks.push({ id: "", name: t("adjust.ofTurn") });
    clocks.push({ id: TOTAL, name: t("adjust.total") });
  }
  const first = hasOwners
    ? (chosen ?? people.ownerOf(state.active_participant_id) ?? clocks[0]?.id ?? null)
    : (clocks[0]?.id ?? "");
  const amountId = newId("amount");
  const reasonId = newId("reason");
  const whoId = newId("who");
  const now = h("output", { class: "digits time-now" });
  const problem = h("p", { class: "problem", id: newId("problem"), role: "status" });
  const who = h(
    "select",
    { class: "select", id: whoId, onchange: () => show() },
    clocks.map((each) => h("option", { value: each.id, selected: each.id === first }, each.name)),
  );
  const amount = h("input", {
    class: "input",
    id: amountId,
    autocomplete: "off",
    inputmode: "text",
    placeholder: t("adjust.example", { first: "1:30", second: t("time.s", { number: 90 }) }),
    "aria-describedby": problem.id,
  });
  const reason = h("input", { class: "input", id: reasonId, maxlength: "200", autocomplete: "off" });
  const owner = () => (clocks.length > 0 ? who.value || null : null);
  const show = () => {
    if (owner() === TOTAL) {
      const total = page.totalLeft();
      setText(now, total === null ? "–" : formatClock(Math.max(0, total), { tenths: false }));
      return;
    }
    const clock = page.clock(owner());
    setText(
      now,
      clock && clock.remainingMs !== null
        ? formatClock(clock.mainMs ?? clock.remainingMs, { tenths: false })
        : "–",
    );
  };
  const quick = (ms) =>
    button(formatClock(ms, { plus: true, tenths: false }), {
      class: "digits",
      onclick: () => actions.add(owner(), ms, reason.value).then(show),
    });
  const typed = (work) => () => {
    const ms = parseDuration(amount.value, "min");
    const wrong = ms === null || Math.abs(ms) > LONGEST_MS;
    amount.setAttribute("aria-invalid", String(wrong));
    setText(problem, wrong ? t("adjust.wrong", AMOUNTS) : "");
    if (wrong) amount.focus();
    else work(ms).then(show);
  };
  const opened = openDialog({
    title: t("adjust.title"),
    class: "time-dialog",
    body: [
      h(
        "div",
        { class: "time-head" },
        clocks.length > 0
          ? h("div", { class: "field" }, h("label", { htmlFor: whoId }, t("adjust.whose")), who)
          : h(
              "p",
              {},
              state.time_per_cycle_ms !== null ? t("adjust.ofTurn") : t("adjust.ofSession"),
            ),
        now,
      ),
      h("div", { class: "quick" }, [10_000, 60_000, 300_000, -10_000, -60_000, -300_000].map(quick)),
      h(
        "div",
        { class: "field" },
        h("label", { htmlFor: amountId }, t("adjust.amount")),
        amount,
        problem,
        h(
          "div",
          { class: "buttons" },
          button(t("adjust.add"), {
            icon: "plus",
            onclick: typed((ms) => actions.add(owner(), ms, reason.value)),
          }),
          button(t("adjust.take"), {
            icon: "minus",
            onclick: typed((ms) => actions.add(owner(), -ms, reason.value)),
          }),
          button(t("adjust.set"), {
            icon: "clock",
            onclick: typed((ms) => actions.set(owner(), Math.abs(ms), reason.value)),
          }),
        ),
      ),
      h("div", { class: "field" }, h("label", { htmlFor: reasonId }, t("adjust.reason")), reason),
    ],
  });
  show();
  const timer = setInterval(show, 250);
  opened.closed.then(() => clearInterval(timer));
}

/** Opens the dialog to take turns back. */
export function openTakeBack(actions) {
  const { state } = actions.page;
  if (!actions.may("takeback") || !canTakeBack(state)) return;
  const id = newId("turns");
  const problem = h("p", { class: "problem", id: newId("problem"), role: "status" });
  const turns = h("input", {
    class: "input short",
    id,
    type: "number",
    min: "1",
    max: String(MAX_TURNS),
    step: "1",
    value: "1",
    "aria-describedby": problem.id,
  });
  const take = async () => {
    const number = Number(turns.value);
    const wrong = !Number.isInteger(number) || number < 1 || number > MAX_TURNS;
    turns.setAttribute("aria-invalid", String(wrong));
    setText(problem, wrong ? t("takeback.wrong", { most: MAX_TURNS }) : "");
    if (wrong) turns.focus();
    else if (await actions.takeBack(number)) opened.close();
  };
  const opened = openDialog({
    title: t("takeback.title"),
    body: [
      h("p", {}, t("takeback.text")),
      h("div", { class: "field" }, h("label", { htmlFor: id }, t("takeback.howMany")), turns, problem),
    ],
    actions: [
      button(t("takeback.keep"), { onclick: () => opened.close() }),
      button(t("takeback.yes"), { class: "primary", icon: "undo", onclick: take }),
    ],
  });
}

/** Opens the dialog that says whose turn it is; in a session that runs, whose it is next. */
export function openTurn(actions) {
  const { page } = actions;
  const { people, state } = page;
  const isNext = actions.mayNameNext;
  if (!isNext && (!actions.may("turn") || !canSetTurn(state))) return;
  const isPending = state.status === "pending";
  const others = people.participants.filter((each) => !isNext || each.id !== state.active_participant_id);
  const choices = others.map((each) =>
    button(people.nameWithTeam(each.id), {
      "aria-current": each.id === state.active_participant_id ? "true" : null,
      onclick: () => {
        opened.close();
        if (!isNext) actions.setTurn(each.id);
        else if (page.state.active_participant_id === state.active_participant_id) actions.next(each.id);
        else toast(t("roles.tooLate"), { seconds: 5 });
      },
    }),
  );
  const opened = openDialog({
    title: isNext ? t("roles.nextTitle") : isPending ? t("turn.whoBegins") : t("turn.whose"),
    body: [
      h(
        "p",
        {},
        isNext
          ? t("roles.nextText", { name: people.name(state.active_participant_id) })
          : isPending
            ? t("turn.beginsText")
            : t("turn.text"),
      ),
      h("div", { class: "choices scroll" }, choices),
    ],
  });
}

/**
 * Opens the dialog with a moderator's actions on one participant or team.
 *
 * @param {import("./actions.js").Actions} actions
 * @param {string} id A participant's or a group's id.
 */
export function openPerson(actions, id) {
  const { page } = actions;
  const { people, state } = page;
  const person = people.byId.get(id);
  if (!person) return;
  const isGroup = people.groups.includes(person);
  const members = isGroup ? people.participants.filter((each) => each.groupId === id) : [person];
  const entry = page.entry(id);
  const rows = h("dl", { class: "facts" });
  const clock = ownClocks(state) && people.owners.includes(person) ? page.clock(id) : null;
  fill(rows, [
    clock &&
      clock.remainingMs !== null && [
        h("dt", {}, t("person.left")),
        h("dd", {}, formatClock(clock.remainingMs, { tenths: false })),
      ],
    [
      h("dt", {}, t("person.used")),
      h("dd", {}, formatClock(entry.time_used_ms, { countUp: true })),
    ],
    [h("dt", {}, t("person.turns")), h("dd", {}, String(movesOf(page, id) ?? entry.cycle_count))],
  ]);
  const close = (work) => () => {
    opened.close();
    work();
  };
  const opened = openDialog({
    title: person.name,
    body: [
      rows,
      state.status === "running" &&
        page.rights.mayChooseNext(state) &&
        h(
          "div",
          { class: "choices" },
          members.slice(0, 50).map(
            (each) =>
              each.id !== state.active_participant_id &&
              button(t("turn.to", { name: each.name }), {
                icon: "next",
                onclick: close(() => actions.next(each.id)),
              }),
          ),
        ),
      canSetTurn(state) &&
        actions.may("turn") &&
        h(
          "div",
          { class: "choices" },
          members.slice(0, 50).map((each) =>
            button(t(state.status === "pending" ? "turn.begins" : "turn.to", { name: each.name }), {
              icon: "next",
              onclick: close(() => actions.setTurn(each.id)),
            }),
          ),
        ),
      h(
        "div",
        { class: "choices" },
        clock &&
          actions.may("adjust") &&
          canAdjust(state) &&
          button(t("adjust.title"), {
            icon: "clock",
            onclick: close(() => actions.openTime(id)),
          }),
        !isGroup &&
          actions.may("remove") &&
          !isOver(state) &&
          state.participants.length > 1 &&
          button(t("person.remove"), {
            icon: "trash",
            class: "danger",
            onclick: close(() => actions.remove(id)),
          }),
      ),
    ],
  });
}

/**
 * Asks whether to do something that cannot be undone.
 *
 * @param {{title: string, text: string, yes: string, no?: string, danger?: boolean}} question
 * @returns {Promise<boolean>}
 */
export async function confirmDialog({ title, text, yes, no = t("word.keep"), danger = false }) {
  const dialog = openDialog({
    title,
    body: h("p", {}, text),
    actions: [
      button(no, { onclick: () => dialog.close() }),
      button(yes, { class: danger ? "danger primary" : "primary", onclick: () => dialog.close("yes") }),
    ],
  });
  return (await dialog.closed) === "yes";
}
