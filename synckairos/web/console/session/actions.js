// The actions of a session's page, and the messages for those that the service refuses.

import {
  errorText,
  h,
  newId,
  openDialog,
  button,
  fill,
  askForToken,
  setText,
  toast,
} from "../shared/ui.js";
import { t } from "../shared/i18n.js";
import { nextSessionOf } from "../shared/next.js";
import { MAX_ANNOUNCEMENTS, announcementsOf } from "../shared/exam.js";
import { againConfig, firstEvents, idOfAgain } from "./repeat.js";
import { movesOf } from "./counting.js";
import { canAdjust, canAdjustClock, canAdjustTotal, canSetTurn, canTakeBack, hasNext, isOver, ownClocks } from "./rules.js";
import { formatClock, formatDuration, parseDuration } from "../shared/time.js";
import { vibrate } from "./touch.js";

/** Two presses of a key within this time count as one. */
const BOUNCE_MS = 250;
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
 * @param {import("./session.js").Page} page
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
      if (error.details?.length)
        return `${error.details.map((each) => `${each.field}: ${each.message}`).join("; ")}.`;
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

/** In place of an owner: the total time of all cycles, beside their clock. */
export const TOTAL = "total";

const adjustment = (owner, ms, reason) => [
  owner === TOTAL ? null : owner,
  ms,
  { ...(reason ? { reason } : {}), ...(owner === TOTAL ? { clock: "total" } : {}) },
];

/** The actions on the session of a page. They show their errors, and never reject. */
export class Actions {
  /** @param {import("./session.js").Page} page */
  constructor(page) {
    this.page = page;
    this.pressed = -Infinity;
    /** @type {Promise<boolean> | null} */
    this.starting = null;
  }

  /**
   * Runs an action.
   *
   * @param {() => Promise<unknown>} work
   * @returns {Promise<boolean>} Whether it succeeded.
   */
  async run(work) {
    try {
      await work();
      return true;
    } catch (error) {
      if (error.code === "UNAUTHENTICATED") askForToken();
      else {
        const text = explain(error, this.page);
        toast(this.page.people?.inText(text) ?? text, { kind: "error", seconds: 8 });
      }
      return false;
    }
  }

  /** Whether this page may do something in the current state. */
  may(action) {
    return this.page.rights.now(action, this.page.state);
  }

  /** Starts the session. A second press while the first is under way does nothing more. */
  start() {
    if (!this.may("start")) return false;
    this.starting ??= this.#start().finally(() => { this.starting = null; });
    return this.starting;
  }

  #start() {
    this.page.sound.play("start");
    return this.run(() => this.page.session.start());
  }

  pause() {
    if (!this.may("pause")) return false;
    this.page.sound.play("pause");
    return this.run(() => this.page.session.pause());
  }

  /** Whether this page may pause without taking of the bounds of pauses, and there are any. */
  get mayPauseFreely() {
    const { rights, state } = this.page;
    const isBounded = (state.max_pauses ?? null) !== null || (state.max_total_pause_ms ?? null) !== null;
    return state.status === "running" && isBounded && rights.always("pause");
  }

  /** Pauses without taking of the bounds of pauses. */
  pauseFreely() {
    if (!this.mayPauseFreely) return false;
    this.page.sound.play("pause");
    return this.run(() => this.page.session.pause({ counted: false }));
  }

  resume() {
    if (!this.may("resume")) return false;
    this.page.sound.play("start");
    return this.run(() => this.page.session.resume());
  }

  /** Starts, pauses or resumes the session, as its status allows. */
  pauseOrResume() {
    const { status } = this.page.state;
    if (status === "pending") return this.start();
    if (status === "running") return this.pause();
    if (status === "paused") return this.resume();
    return false;
  }

  /**
   * Ends the running turn.
   *
   * @param {string | null} [next] The participant whose turn begins; default: the next in rotation.
   */
  next(next = null) {
    const { state } = this.page;
    if (state.status === "pending") return this.start();
    if (!this.may("switch")) return false;
    if (state.status === "paused") return this.explainPause();
    if (isOver(state) || !hasNext(state)) return false;
    if (next === null && this.#bounces()) return false;
    return this.endTurn(next);
  }

  /** Whether this page may end the running turn and say whose is next. */
  get mayNameNext() {
    const { rights, state } = this.page;
    return state.status === "running" && state.participants.length > 1 && hasNext(state) && rights.mayChooseNext(state);
  }

  /** Ends the last turn, and the session with it, without asking: the end of a run. */
  finish() {
    if (!this.may("complete") || this.#bounces()) return false;
    this.page.sound.play("press");
    return this.run(() => this.page.session.complete());
  }

  /** Whether this press is a bounce. The space bar ends any turn, so a key that bounces must not end the next one. */
  #bounces() {
    const now = performance.now();
    if (now - this.pressed < BOUNCE_MS) return true;
    this.pressed = now;
    return false;
  }

  /** Ends the turn of the participant who is shown as active, and no other turn. */
  endTurn(next = null) {
    const { session, sound, state } = this.page;
    if (!this.may("switch")) return false;
    sound.play("press");
    vibrate("press");
    return this.run(() => session.switch({ next, current: state.active_participant_id }));
  }

  /** Says why a press did nothing. */
  explainPause() {
    toast(this.may("resume") ? t("session.pausedResume") : t("session.pausedNow"), { seconds: 3 });
    return false;
  }

  /** Takes the last turns back. */
  takeBack(turns) {
    return this.run(async () => {
      await this.page.session.takeback(turns);
      toast(t("takeback.done", { count: turns }), { seconds: 4 });
    });
  }

  /** Says whose turn it is, in a session that has not started or is paused. */
  setTurn(participantId) {
    return this.run(() => this.page.session.turn(participantId));
  }

  /** Sets, moves or takes back the start and the end. change: the client's `startsAt` and `endsAt`. */
  schedule(change) {
    return this.run(() => this.page.session.schedule(change));
  }

  /** Changes the metadata by a merge patch: null takes a member away. */
  patch(change) {
    return this.run(() => this.page.session.patchMetadata(change));
  }

  /** Puts an announcement on the walls, before those that are there. */
  announce(text) {
    const { page } = this;
    const line = { at_ms: Math.round(page.client.time.now() ?? Date.now()), text };
    return this.#changeAnnouncements((told) => [line, ...told]);
  }

  /** Takes an announcement from the walls. */
  unannounce(atMs, text) {
    return this.#changeAnnouncements((told) => told.filter((each) => each.at_ms !== atMs || each.text !== text));
  }

  /** Somebody else may announce something at the same time: then the newest list is changed. */
  #changeAnnouncements(change) {
    const { page } = this;
    return this.run(async () => {
      for (let left = 3; ; left -= 1) {
        const { metadata, version } = page.session.confirmed;
        const told = announcementsOf(metadata).map(({ atMs, text }) => ({ at_ms: atMs, text }));
        const announcements = change(told).slice(0, MAX_ANNOUNCEMENTS);
        try {
          await page.session.patchMetadata({ announcements }, { expectedVersion: version });
          return;
        } catch (error) {
          if (error.code !== "CONCURRENT_MODIFICATION" || left === 0) throw error;
        }
      }
    });
  }

  async reopen() {
    const sure = await confirmDialog({
      title: t("reopen.title"),
      text: t("reopen.text"),
      yes: t("word.reopen"),
      no: t("reopen.no"),
    });
    return sure && this.run(async () => {
      await this.#forgetNext();
      await this.page.session.reopen();
    });
  }

  async reset() {
    const sure = await confirmDialog({
      title: t("reset.title"),
      text: t("reset.text"),
      yes: t("reset.yes"),
      no: t("reset.no"),
      danger: true,
    });
    return sure && this.run(async () => {
      await this.#forgetNext();
      await this.page.session.reset();
    });
  }

  /** A session that goes on after all is followed by no other one, until it is over again. */
  async #forgetNext() {
    const { session, state } = this.page;
    if (nextSessionOf(state) !== null && this.may("metadata")) await session.patchMetadata({ next_session: null });
  }

  /** Whether this page may make the session that repeats this one. */
  get mayPlayAgain() {
    const { state } = this.page;
    return isOver(state) && nextSessionOf(state) === null && this.may("create") && this.may("metadata");
  }

  /**
   * Makes a session that repeats this one, and leads everybody there who watches.
   *
   * @param {boolean} swapped Whether the order of the participants is reversed.
   */
  playAgain(swapped) {
    if (!this.mayPlayAgain) return false;
    return this.run(async () => {
      const { page } = this;
      const { client, session, state } = page;
      const id = idOfAgain(state);
      page.isMakingNext = true;
      try {
        const config = againConfig(state, await firstEvents(session), { swapped });
        try {
          await client.create({ session_id: id, ...config });
        } catch (error) {
          // Somebody else asked for the same at the same moment, or this page did and was interrupted.
          if (error.code !== "SESSION_EXISTS") throw error;
        }
        await session.patchMetadata({ next_session: id });
      } finally {
        page.isMakingNext = false;
      }
      page.goTo(id, { made: true });
    });
  }

  /** Goes to the session that follows this one. */
  follow() {
    const next = nextSessionOf(this.page.state);
    return next !== null && this.page.lead(next, { atOnce: true });
  }

  async delete() {
    if (!this.may("delete")) return false;
    const sure = await confirmDialog({
      title: t("again.deleteTitle"),
      text: t("again.deleteText"),
      yes: t("again.deleteYes"),
      no: t("again.keepSession"),
      danger: true,
    });
    return sure && this.run(() => this.page.session.delete());
  }

  async complete() {
    const sure = await confirmDialog({
      title: t("complete.title"),
      text: t("complete.text"),
      yes: t("complete.yes"),
      no: t("complete.no"),
    });
    return sure && this.run(() => this.page.session.complete());
  }

  async cancel() {
    const sure = await confirmDialog({
      title: t("cancel.title"),
      text: t("cancel.text"),
      yes: t("cancel.yes"),
      no: t("cancel.no"),
      danger: true,
    });
    return sure && this.run(() => this.page.session.cancel());
  }

  async remove(participantId) {
    const name = this.page.people.name(participantId);
    const sure = await confirmDialog({
      title: t("remove.title", { name }),
      text: t("remove.text"),
      yes: t("remove.yes"),
      danger: true,
    });
    return sure && this.run(() => this.page.session.leave(participantId));
  }

  /**
   * Gives time to a clock, or takes it.
   *
   * @param {string | null} owner null: the session's or the cycle's clock; TOTAL: the total of all cycles.
   * @param {number} ms Below zero to take time.
   * @param {string} [reason]
   */
  add(owner, ms, reason) {
    return this.run(async () => {
      const change = await this.page.session.add(...adjustment(owner, ms, reason));
      // Under a total a clock may get less than it was given.
      const got = change?.adjusted_ms ?? ms;
      const [time, asked] = [got, ms].map((each) => formatClock(each, { plus: true, tenths: false }));
      const values = { whose: this.#whose(owner), time, asked };
      const text = owner === null ? time : t("time.given", values);
      toast(got === ms ? text : t("time.lessGiven", { text, asked }), { seconds: 3 });
    });
  }

  /** Sets a clock to this time (ms). */
  set(owner, ms, reason) {
    return this.run(async () => {
      await this.page.session.set(...adjustment(owner, ms, reason));
      const left = t("time.left", { time: formatDuration(ms) });
      toast(owner === null ? left : t("time.set", { whose: this.#whose(owner), left }), { seconds: 3 });
    });
  }

  #whose(owner) {
    return owner === TOTAL ? t("session.session") : this.page.people.name(owner);
  }

  /**
   * Opens the dialog to give and take time.
   *
   * @param {string | null} [chosen] The owner whose clock is selected at first.
   */
  openTime(chosen = null) {
    const { page } = this;
    const { people, state } = page;
    if (!this.may("adjust") || !canAdjust(state)) return;
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
        onclick: () => this.add(owner(), ms, reason.value).then(show),
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
              onclick: typed((ms) => this.add(owner(), ms, reason.value)),
            }),
            button(t("adjust.take"), {
              icon: "minus",
              onclick: typed((ms) => this.add(owner(), -ms, reason.value)),
            }),
            button(t("adjust.set"), {
              icon: "clock",
              onclick: typed((ms) => this.set(owner(), Math.abs(ms), reason.value)),
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
  openTakeBack() {
    const { state } = this.page;
    if (!this.may("takeback") || !canTakeBack(state)) return;
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
      else if (await this.takeBack(number)) opened.close();
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
  openTurn() {
    const { page } = this;
    const { people, state } = page;
    const isNext = this.mayNameNext;
    if (!isNext && (!this.may("turn") || !canSetTurn(state))) return;
    const isPending = state.status === "pending";
    const others = people.participants.filter((each) => !isNext || each.id !== state.active_participant_id);
    const choices = others.map((each) =>
      button(people.nameWithTeam(each.id), {
        "aria-current": each.id === state.active_participant_id ? "true" : null,
        onclick: () => {
          opened.close();
          if (!isNext) this.setTurn(each.id);
          else if (page.state.active_participant_id === state.active_participant_id) this.next(each.id);
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
   * @param {string} id A participant's or a group's id.
   */
  openPerson(id) {
    const { page } = this;
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
                  onclick: close(() => this.next(each.id)),
                }),
            ),
          ),
        canSetTurn(state) &&
          this.may("turn") &&
          h(
            "div",
            { class: "choices" },
            members.slice(0, 50).map((each) =>
              button(t(state.status === "pending" ? "turn.begins" : "turn.to", { name: each.name }), {
                icon: "next",
                onclick: close(() => this.setTurn(each.id)),
              }),
            ),
          ),
        h(
          "div",
          { class: "choices" },
          clock &&
            this.may("adjust") &&
            canAdjust(state) &&
            button(t("adjust.title"), {
              icon: "clock",
              onclick: close(() => this.openTime(id)),
            }),
          !isGroup &&
            this.may("remove") &&
            !isOver(state) &&
            state.participants.length > 1 &&
            button(t("person.remove"), {
              icon: "trash",
              class: "danger",
              onclick: close(() => this.remove(id)),
            }),
        ),
      ],
    });
  }
}

/**
 * Asks whether to do something that cannot be undone.
 *
 * @param {{title: string, text: string, yes: string, no?: string, danger?: boolean}} question
 * @returns {Promise<boolean>}
 */
async function confirmDialog({ title, text, yes, no = t("word.keep"), danger = false }) {
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
