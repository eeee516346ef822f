// The actions of a session's page, and the messages for those that the service refuses.

import { askForToken, errorText, toast } from "../../shared/ui.js";
import { t } from "../../shared/i18n.js";
import { loaded } from "../../shared/later.js";
import { nextSessionOf } from "../../shared/next.js";
import { hasNext, isOver } from "../rules.js";
import { formatClock, formatDuration } from "../../shared/time.js";
import { BOUNCE_MS, vibrate } from "../device/touch.js";

/** In place of an owner: the total time of all cycles, beside their clock. */
export const TOTAL = "total";

const adjustment = (owner, ms, reason) => [
  owner === TOTAL ? null : owner,
  ms,
  { ...(reason ? { reason } : {}), ...(owner === TOTAL ? { clock: "total" } : {}) },
];

/** The actions on the session of a page. They show their errors, and never reject. */
export class Actions {
  /** @param {import("../session.js").Page} page */
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
        const text = await this.#explain(error);
        toast(this.page.people?.inText(text) ?? text, { kind: "error", seconds: 8 });
      }
      return false;
    }
  }

  /** The reason of a refusal as a sentence. Where the words are not here, it is the service's. */
  async #explain(error) {
    try {
      return (await import("./asking.js")).explain(error, this.page);
    } catch {
      return errorText(error);
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
      const { MAX_ANNOUNCEMENTS, announcementsOf } = await import("../../shared/exam.js");
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
    const sure = await this.#isSure({
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
    const sure = await this.#isSure({
      title: t("reset.title"),
      text: t("reset.text"),
      yes: t("reset.yes"),
      no: t("reset.no"),
      danger: true,
    });
    return sure && this.run(async () => {
      await this.#forgetNext();
      await this.#forgetStart();
      await this.page.session.reset();
    });
  }

  /** A session that goes on after all is followed by no other one, until it is over again. */
  async #forgetNext() {
    const { session, state } = this.page;
    if (nextSessionOf(state) !== null && this.may("metadata")) await session.patchMetadata({ next_session: null });
  }

  /** An agenda that begins again is not late against a start that is over; one that is ahead still counts. */
  async #forgetStart() {
    const { client, session, state } = this.page;
    const start = state.metadata?.agenda?.starts_at_ms ?? null;
    if (start === null || start > (client.time.now() ?? Date.now()) || !this.may("metadata")) return;
    await session.patchMetadata({ agenda: { starts_at_ms: null } });
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
      const { againConfig, firstEvents, idOfAgain } = await import("./repeat.js");
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

  /** The session that follows this one which is over, where this page could show it; null otherwise. */
  get following() {
    const { page } = this;
    const next = isOver(page.state) ? nextSessionOf(page.state) : null;
    return next !== null && page.couldOpen(next) ? next : null;
  }

  /** Goes to the session that follows this one. */
  follow() {
    const next = this.following;
    return next !== null && this.page.lead(next, { atOnce: true });
  }

  async delete() {
    if (!this.may("delete")) return false;
    const sure = await this.#isSure({
      title: t("again.deleteTitle"),
      text: t("again.deleteText"),
      yes: t("again.deleteYes"),
      no: t("again.keepSession"),
      danger: true,
    });
    return sure && this.run(() => this.page.session.delete());
  }

  async complete() {
    const sure = await this.#isSure({
      title: t("complete.title"),
      text: t("complete.text"),
      yes: t("complete.yes"),
      no: t("complete.no"),
    });
    return sure && this.run(() => this.page.session.complete());
  }

  async cancel() {
    const sure = await this.#isSure({
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
    const sure = await this.#isSure({
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

  // Dialogs

  openTime(chosen = null) {
    return this.#open("openTime", chosen);
  }

  openTakeBack() {
    return this.#open("openTakeBack");
  }

  openTurn() {
    return this.#open("openTurn");
  }

  openPerson(id) {
    return this.#open("openPerson", id);
  }

  /** Opens a dialog of `asking.js`. */
  async #open(name, ...given) {
    const asking = await loaded(() => import("./asking.js"));
    if (this.page.state) asking?.[name](this, ...given);
  }

  /** Asks whether to do something that cannot be undone. */
  async #isSure(question) {
    return (await (await loaded(() => import("./asking.js")))?.confirmDialog(question)) === true;
  }
}
