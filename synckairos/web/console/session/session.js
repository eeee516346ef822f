// The page of one session. It holds the session, its people and its view. The view (one of views/) draws
// after each change of the state, and once per frame while a clock runs and the page is visible.

import { askForToken, createClient, fill, h, note, toast } from "../shared/ui.js";
import { cameByLink, storedToken } from "../shared/token.js";
import { leaveFor } from "../shared/back.js";
import { restFocusOn } from "../shared/dialogs.js";
import { keepFocus } from "../shared/focus.js";
import { titleOf } from "../shared/names.js";
import { nextSessionOf, noteMade, samePageOf, wasMade } from "../shared/next.js";
import { t } from "../shared/i18n.js";
import { UUID, forget, remember } from "../shared/recent.js";
import { goesOnAtEnd, ranAtEnd } from "../shared/overtime.js";
import { Rights } from "../shared/rights.js";
import { ago, formatClock, formatDuration } from "../shared/time.js";
import { Actions } from "./actions/actions.js";
import { waitingText } from "./bounds.js";
import { EarlySocket, measured } from "./device/early.js";
import { loaded, stylesheet } from "../shared/later.js";
import { Last } from "./device/last.js";
import { dress, readCounts, usedBy } from "./faces/dress.js";
import { cutShortBy, endOf, leadsOn } from "./faces/ends.js";
import { faceOf, wholeOf } from "./faces/face.js";
import { showLight } from "./faces/shine.js";
import { givenLights, lightsOf } from "../shared/lights.js";
import { openAgain, openHelp, openHistory, openSchedule, share } from "./actions/opening.js";
import { Overlay } from "./screens/overlay.js";
import { People, entryOf, hasSamePeople } from "./people.js";
import { resultOf } from "./faces/result.js";
import { canAdjust, hasNext, isOver, ownClocks, viewOf, viewsFor } from "./rules.js";
import { Screen } from "./device/screen.js";
import { Shell } from "./shell.js";
import { Sound } from "./device/sound.js";
import * as states from "./states.js";
import { tabTitle } from "./device/tab.js";
import { vibrate } from "./device/touch.js";
import { Track } from "./history/track.js";
import { Uses } from "./actions/uses.js";
import { ClockView } from "./views/clock.js";
import { CountdownView } from "./views/countdown.js";

/**
 * The views. Each has an `element` and these methods: `update()` after a change of the state,
 * `updatePeople()` after participants joined or left, `frame()` to draw the running clocks, `key()` for the
 * space bar, and maybe `close()`, `controls` (its own buttons among the page's) and `ownsNext` (whether one of
 * them takes the place of “Next”).
 */
const VIEW_CLASSES = {
  clock: ClockView,
  countdown: CountdownView,
};

/** The larger views. They are loaded when a session needs one, and are then with the others. */
const LATER = {
  board: async () => {
    const styles = stylesheet("/console/session/views/board.css");
    const { BoardView } = await import("./views/board.js");
    await styles;
    return BoardView;
  },
  stopwatch: async () => (await import("./views/stopwatch.js")).StopwatchView,
  speedrun: async () => {
    const styles = stylesheet("/console/session/views/speedrun.css");
    const { SpeedrunView } = await import("./views/speedrun.js");
    await styles;
    return SpeedrunView;
  },
  exam: async () => {
    const styles = stylesheet("/console/session/views/exam.css");
    const { ExamView } = await import("./views/exam.js");
    await styles;
    return ExamView;
  },
  agenda: async () => {
    const styles = stylesheet("/console/session/views/agenda.css");
    const { AgendaView } = await import("./views/agenda.js");
    await styles;
    return AgendaView;
  },
};

const isView = (name) => Object.hasOwn(VIEW_CLASSES, name) || Object.hasOwn(LATER, name);

/** In the last five seconds of a running clock there is a tick each second. */
const TICKS_MS = 5000;
/** Most connections are made within this time, and no message is shown before. */
const PATIENCE_MS = 600;
/** How long a page that is led to another session leaves the user time to stay. */
const LEAD_MS = 4000;
/** After so long without an answer the page says that the service does not answer. */
const AWAY_MS = 4000;
/** How often a page without a connection says how old it is. */
const AGE_EVERY_MS = 15_000;

const $ = (id) => document.getElementById(id);

/** One session on one page. */
export class Page {
  /** @param {string} id */
  constructor(id) {
    const query = new URLSearchParams(location.search);
    /** The participant to whom the address binds this page. @type {string | null} */
    this.boundTo = query.get("as")?.toLowerCase() || null;
    /** Whether the address lets this page only watch. */
    this.onlyWatches = query.has("watch");
    /** The participant whose clock alone this device may press; null: all clocks. @type {string | null} */
    this.as = null;
    /** What the page's token allows. */
    this.granted = Rights.none;
    /** What the page offers: what the token allows, or less where the address says so. */
    this.rights = Rights.none;
    /** Called after each change of what the page shows. @type {Set<() => void>} */
    this.listeners = new Set();
    /** What the service said at the last connection. @type {import("/synckairos.js").Access | null | undefined} */
    this.greeting = undefined;
    this.viewInAddress = query.get("view") ?? "";
    /** The direction of counting that the user chose on this page; null: the session's. */
    this.countsInAddress = readCounts(query.get("counts"));
    /** Whether the user wants the parts of the game clock turned to the players; null: as usual. */
    this.aroundInAddress = { 0: false, 1: true }[query.get("around")] ?? null;
    /** Whether this page only shows: a wall, or the screen of whoever speaks. */
    this.isScreen = query.has("screen");
    this.app = $("app");
    this.app.dataset.screen = String(this.isScreen);
    this.state = null;
    /** @type {People | null} */
    this.people = null;
    this.title = "";
    /** @type {import("./faces/result.js").Result | null} */
    this.result = null;
    /** The payload of the event that ended the session; null: not seen. */
    this.ending = null;
    /** Whose turn the end cut short; null: nobody's; undefined: this page did not see the end. */
    this.cutShort = undefined;
    /** Who was active last. @type {string | null} */
    this.lastActive = null;
    /** The lights of a face with one running clock, and those that the session's metadata says. */
    this.lights = [];
    this.givenLights = [];
    this.view = null;
    /** @type {keyof typeof VIEW_CLASSES | null} */
    this.viewName = null;
    /** @type {Shell | null} */
    this.shell = null;
    this.frameRequest = 0;
    /** The message to show until the first state; null: none yet. */
    this.waitingMessage = null;
    /** Whether the page shows a final message in place of the clocks. */
    this.ended = false;
    /** Whether the user knows that the token ends. */
    this.warned = false;
    /** How old the state may be that is shown, while it comes from a replica; null: it is no older. */
    this.staleMs = null;
    /** The token that the client asked for last. @type {string | null} */
    this.sentToken = null;
    this.overlay = new Overlay(this, this.app);
    this.actions = new Actions(this);
    this.uses = new Uses(this);
    /** Whether this page makes the session that follows at this moment. */
    this.isMakingNext = false;
    /** The timer after which the page goes to the session that follows. */
    this.leading = undefined;
    this.sound = new Sound(() => this.shell?.updateSound());
    this.screen = new Screen(this.app, (full) => this.shell?.updateFull(full));
    const token = () => {
      this.sentToken = storedToken();
      return this.sentToken;
    };
    const client = createClient({
      token,
      reconnectAttempts: Infinity,
      WebSocket: EarlySocket,
      runtime: { measured },
    });
    this.last = new Last(id);
    this.client = this.last.client(client);
    this.session = this.last.session(client.session(id), client);
    this.track = new Track(
      this.session,
      (who) => this.people?.name(who) ?? t("name.someone"),
      (text) => this.people?.inText(text) ?? text,
    );
    /** Whether the track was loaded when it last told of something. */
    this.knewTurns = false;
    this.track.listeners.add(() => this.#onTrack());
    /** Tells screen readers what a light says. */
    this.spoken = document.body.appendChild(h("div", { class: "visually-hidden", role: "status" }));
    this.#listen();
  }

  /** Ends the running turn. A view may know better what that means. */
  next() {
    if (this.view?.ownsNext) return this.view.goOn();
    // In the other views `next` is the line that says who is next.
    return typeof this.view?.next === "function" ? this.view.next() : this.actions.next();
  }

  // For the views

  /** The clock of an owner now. owner: null for the running clock. */
  clock(owner) {
    const clock = this.session.clock(owner ?? undefined);
    return clock?.kind === "none" ? { ...clock, elapsedMs: this.session.elapsed(owner) } : clock;
  }

  /** Whether this page is of somebody who leads the session, and not one of its screens. */
  get leads() {
    return !this.isScreen && this.state !== null && this.rights.now("metadata", this.state);
  }

  /** What this page is to whoever leads the session. @returns {"leader" | "player" | "screen" | "viewer"} */
  get kind() {
    if (this.isScreen) return "screen";
    if (this.leads) return "leader";
    return this.rights.leads || this.rights.ever("switch") ? "player" : "viewer";
  }

  /** The entry of a participant or group in the state. */
  entry(id) {
    return entryOf(this.state, id);
  }

  /** How long (ms) the current cycle has run. */
  cycleElapsed() {
    const elapsed = this.session.elapsed() ?? 0;
    return this.state.sync_mode === "count_up" ? Math.max(0, elapsed - this.state.time_used_ms) : elapsed;
  }

  /** How much (ms) is left of the total time of all cycles; null where there is no such total. */
  totalLeft() {
    const { state } = this;
    if (state.total_remaining_ms === null) return null;
    const now = this.client.time.now();
    const runs = state.status === "running" && now !== null;
    return state.total_remaining_ms - (runs ? Math.max(0, now - state.server_time_ms) : 0);
  }

  /** The direction in which faces count; null: as usual for each clock. */
  get counts() {
    return this.countsInAddress ?? readCounts(this.state.metadata?.counts);
  }

  /**
   * Lets the faces of this page count the other way.
   *
   * @param {"up" | "down"} direction
   */
  setCounts(direction) {
    this.countsInAddress = direction;
    this.#writeAddress((query) => query.set("counts", direction));
    this.showView(this.viewName, { keep: false });
  }

  /** Turns the parts of the game clock to the players around the device, or back. */
  setAround(wanted) {
    this.aroundInAddress = wanted;
    this.#writeAddress((query) => query.set("around", wanted ? "1" : "0"));
    this.showView(this.viewName, { keep: false });
  }

  /** How long (ms) the running clock has stood at its end while its turn goes on; null: it does not. */
  overtime(owner, clock) {
    const { people, state, track } = this;
    if (!clock?.expired || !goesOnAtEnd(state)) return null;
    if (owner !== null && owner !== people.ownerOf(state.active_participant_id)) return null;
    if (!track.loaded && !track.error) track.load();
    const since = (track.loaded ? track.ranAtEnd : null) ?? ranAtEnd(state);
    return since === null ? null : Math.max(0, (this.session.elapsed() ?? since) - since);
  }

  /**
   * The face of a clock as it is shown: in overtime, in the direction in which this page counts, in its light.
   *
   * @param {string | null} owner null: the clock of the session or the turn.
   * @param {number | null} wholeMs The result of wholeOf.
   * @param {{lights?: import("../shared/lights.js").Light[], clock?: object | null, goesOn?: boolean}} [more] The clock, where
   *   it is not the client's; goesOn: whether a clock at its end shows how long it has been there.
   */
  face(owner, wholeMs, { lights = this.lights, clock = this.clock(owner), goesOn = true } = {}) {
    const { session, state } = this;
    const overMs = goesOn ? this.overtime(owner, clock) : null;
    const ownMs = owner === null ? null : session.elapsed(owner);
    const usedMs = clock === null ? null : usedBy(state, clock, { wholeMs, overMs, ownMs });
    return dress(faceOf(state, clock, wholeMs), state, clock, { wholeMs, overMs, usedMs, counts: this.counts, lights });
  }

  /** The face of the running clock. */
  runningFace() {
    const { people, state } = this;
    const owner = ownClocks(state) ? people.ownerOf(state.active_participant_id) : null;
    return this.face(owner, wholeOf(state, owner));
  }

  /** How the session ended, in words. */
  get end() {
    const { people, result, state, track } = this;
    if (!this.ending && state.status === "completed" && !track.loaded && !track.error) track.load();
    const payload = this.ending ?? (track.loaded ? track.last.payload : null);
    return endOf(state, result, (id) => people.name(id), payload);
  }

  /** The text for a pause, with the time until it ends by itself. */
  pauseText() {
    const now = this.client.time.now();
    const end = this.state.resumes_at_ms;
    if (end === null || now === null) return t("status.paused");
    return t("session.pausedFor", { time: formatClock(Math.max(0, end - now), { tenths: false }) });
  }

  /** The text before the start, with the time until the session starts by itself. */
  waitingText() {
    return waitingText(this.state, this.client.time.now());
  }

  /**
   * Colours the whole page by the level of urgency, or by a light.
   *
   * @param {string} level
   * @param {import("../shared/lights.js").Light | null} [light]
   */
  showLevel(level, light = null) {
    if (this.app.dataset.level !== level) this.app.dataset.level = level;
    showLight(this.app, light);
  }

  /** Loads a view. Returns whether it is there. */
  async #loadView(name) {
    const found = await loaded(LATER[name]);
    if (found !== null) VIEW_CLASSES[name] = found;
    return found !== null;
  }

  /** The view that the page begins with. */
  #firstView(state) {
    const wanted = this.viewInAddress;
    return isView(wanted) && viewsFor(state).includes(wanted) ? wanted : viewOf(state);
  }

  /**
   * Shows another view.
   *
   * @param {keyof typeof VIEW_CLASSES} name
   * @param {{keep?: boolean}} [options] keep: whether to write it into the address
   */
  showView(name, { keep = true } = {}) {
    if (!Object.hasOwn(VIEW_CLASSES, name)) {
      this.#loadView(name).then((isThere) => isThere && this.state && this.showView(name, { keep }));
      return;
    }
    this.view?.close?.();
    this.viewName = name;
    this.app.dataset.view = name;
    this.showLevel("calm");
    this.view = new VIEW_CLASSES[name](this);
    fill($("stage"), this.view.element);
    for (const each of document.querySelectorAll("input[name=view]")) each.checked = each.value === name;
    if (keep) this.#writeAddress((query) => query.set("view", name));
    this.shell.update();
    this.#draw();
  }

  #writeAddress(change) {
    const url = new URL(location.href);
    change(url.searchParams);
    history.replaceState(history.state, "", url);
  }

  // From the service

  #listen() {
    const { client, session } = this;
    session.onChange((state, change) => {
      this.last.end();
      try {
        this.#onState(state, change);
        this.last.keep();
      } catch (error) {
        this.#end(states.unreadable());
        throw error;
      }
    });
    session.onExpire((change) => this.#onExpire(change));
    session.onWarning((change) => this.#onWarning(change));
    session.onConnection(() => this.#onConnection());
    session.onError((error) => this.#onError(error));
    // No message is shown at first, because the state mostly comes before the user could read it.
    const wait = (ms, message) =>
      setTimeout(() => {
        this.waitingMessage = message;
        this.#onConnection();
      }, ms);
    wait(PATIENCE_MS, states.connecting());
    setTimeout(() => this.#askEarly(), PATIENCE_MS);
    wait(AWAY_MS, states.away());
    setTimeout(() => this.#showLast(), navigator.onLine ? AWAY_MS : PATIENCE_MS);
    setInterval(() => this.last.shown && this.#onConnection(), AGE_EVERY_MS);

    document.addEventListener("visibilitychange", () => {
      if (document.hidden) this.#stopDrawing();
      else this.#draw();
    });
    // The tab's title goes on while the tab is hidden: there it is all that can be seen.
    setInterval(() => this.state?.status === "running" && this.view && !this.ended && this.#updateTitle(), 1000);
    document.addEventListener("keydown", (event) => this.#onKey(event));
    // The space bar ends the turn, also right after a dialog was closed.
    restFocusOn(() => $("stage"));
    this.keepFocus = keepFocus(document.body, () => $("stage"));
    // A long press on a half must not open a menu, and two quick presses must not zoom.
    this.app.addEventListener("contextmenu", (event) => {
      if (event.target.closest(".clock")) event.preventDefault();
    });
    this.app.addEventListener("dblclick", (event) => event.preventDefault());
    // A button that was pressed with a pointer loses the focus, so that the space bar is for the clock.
    this.app.addEventListener("click", (event) => {
      const control = event.target.closest("#top .button, #controls .button, .run-buttons .button");
      if (event.detail > 0 && control) document.activeElement?.blur();
    });
  }

  #onState(state, change) {
    if (!state || this.ended) return;
    const first = this.shell === null ? this.#firstView(state) : null;
    if (first !== null && !Object.hasOwn(VIEW_CLASSES, first)) {
      this.#loadView(first).then((isThere) => {
        if (isThere) this.#onState(this.session.state, null);
        else this.#end(states.away());
      });
      return;
    }
    const haveRightsChanged = this.#findRights();
    const before = this.state;
    // Names, titles and views stand in the metadata.
    const havePeopleChanged =
      !hasSamePeople(this.state, state) || !isSameMetadata(this.state.metadata, state.metadata);
    const goesOn = leadsOn(before, state, nextSessionOf) && !this.isMakingNext;
    this.state = state;
    if (before && isOver(state) !== isOver(before)) {
      this.ending = isOver(state) ? (change?.payload ?? null) : null;
      this.cutShort = isOver(state) ? cutShortBy(before, change) : undefined;
    }
    this.lastActive = state.active_participant_id ?? this.lastActive;
    this.givenLights = givenLights(state) ?? [];
    this.lights = lightsOf(state);
    if (havePeopleChanged) {
      this.people = new People(state);
      this.title = titleOf(state);
    }
    if (havePeopleChanged || haveRightsChanged) this.#bind();
    this.result = isOver(state) ? resultOf(state, this.people, change, this.result) : null;
    if (change?.payload.event) this.track.follow(change);
    else if (this.track.loaded && this.session.confirmed.version > this.track.version) this.track.load();
    this.app.dataset.status = state.status;
    if (!this.shell) {
      this.#build();
    } else {
      if (havePeopleChanged || haveRightsChanged) this.view.updatePeople();
      else this.view.update();
      this.shell.update();
    }
    this.overlay.update();
    if (this.session.staleMs !== this.staleMs) this.#onConnection();
    this.staleMs = this.session.staleMs;
    this.#updateTitle();
    // A wall shows something before the start and in a pause, too.
    const isWall = this.isScreen || this.viewName === "exam";
    this.screen.stayOn(state.status === "running" || (isWall && !isOver(state)));
    this.#draw();
    this.keepFocus();
    this.#tell();
    if (goesOn) this.lead(nextSessionOf(state));
  }

  // What follows

  /**
   * Leads to the session that follows this one, unless the user wants to stay.
   *
   * @param {string} next
   * @param {{atOnce?: boolean}} [options]
   */
  async lead(next, { atOnce = false } = {}) {
    clearTimeout(this.leading);
    if (!(await this.#mayOpen(next))) {
      this.closedTo = next;
      this.shell.update();
      toast(t("again.linkEnds"), { seconds: 0 });
      return;
    }
    if (atOnce) {
      this.goTo(next);
      return;
    }
    const stay = () => clearTimeout(this.leading);
    toast(t("again.leading"), { seconds: LEAD_MS / 1000, action: { label: t("again.stay"), onclick: stay } });
    this.leading = setTimeout(() => {
      if (nextSessionOf(this.state) === next) this.goTo(next);
    }, LEAD_MS);
  }

  /**
   * Whether this page could show another session, as far as it knows. A link is for one session alone, and makes
   * none; a token in an address may be one that does.
   */
  couldOpen(id) {
    const { rights } = this;
    return id !== this.closedTo && !(rights.needsToken && cameByLink() && !rights.always("create"));
  }

  /** Whether this page could show another session. The service is asked, because many a token is for one alone, too. */
  async #mayOpen(id) {
    if (!this.couldOpen(id)) return false;
    if (!this.rights.needsToken) return true;
    try {
      await this.client.request("GET", `/v1/sessions/${id}`);
      return true;
    } catch (error) {
      return !["SESSION_NOT_FOUND", "FORBIDDEN", "UNAUTHENTICATED"].includes(error.code);
    }
  }

  /**
   * Goes to another session, for the same player and in the same view.
   *
   * @param {string} id
   * @param {{made?: boolean}} [options] made: whether this page made it
   */
  goTo(id, { made = false } = {}) {
    if (made) noteMade(id);
    leaveFor(samePageOf(id));
  }

  /** Tells the dialogs that are open of a change. */
  #tell() {
    for (const listener of this.listeners) listener();
  }

  /** Shows what this device has seen last, where nothing comes from the service. */
  #showLast() {
    if (this.state || this.ended) return;
    const state = this.last.show();
    if (state === null) return;
    this.#onState(state, null);
    this.#onConnection();
  }

  #onExpire({ payload }) {
    const { people, state } = this;
    const whose = payload.expired_group_id ?? payload.expired_participant_id;
    const winner = payload.action_applied?.winner;
    let text = t("session.timeUp");
    if (ownClocks(state) && payload.expired_clock !== "total") {
      text = winner
        ? t("session.timeUpWins", { name: people.name(whose), winner: people.name(winner) })
        : t("session.timeUpFor", { name: people.name(whose) });
    }
    // A new element is announced even when its text is the same as before.
    fill($("expiry"), h("p", {}, text));
    vibrate("expire");
    // Where a light goes on with the end, it says all that is to be said.
    const light = this.#lightsOfView.find((each) => each.ms === 0);
    if (light && state.status === "running") {
      this.sound.play(light.sound);
      return;
    }
    this.sound.play("expire");
    this.app.classList.remove("flash");
    void this.app.offsetWidth; // so that the animation starts again
    this.app.classList.add("flash");
    if (state.status === "running") toast(text, { seconds: 6 });
  }

  #onWarning({ payload }) {
    const light = this.#lightsOfView.find((each) => each.ms === payload.warning_ms);
    this.sound.play(light?.sound ?? "warning");
    vibrate("warning");
    if (light && (light.isGiven || this.state.action_on_timeout.type === "notify"))
      fill(this.spoken, h("p", {}, light.text));
  }

  /** The lights that this page shows. */
  get #lightsOfView() {
    return this.viewName === "clock" ? this.givenLights : this.lights;
  }

  /** The events were read, or there are new ones: they tell of turns that were cut short, and of overtime. */
  #onTrack() {
    const isNew = this.track.loaded !== this.knewTurns;
    this.knewTurns = this.track.loaded;
    if (this.view && !this.ended && (isNew || isOver(this.state))) this.view.update();
  }

  #onError(error) {
    if (error.code === "CLOCK_SKEW") {
      toast(t("session.deviceClock"), { seconds: 8 });
    }
    if (error.code === "UNAUTHENTICATED" && !this.ended) this.#onTokenOver();
    this.#onConnection();
  }

  /**
   * The token ends soon, or has ended. One that the user enters in time is used by this connection; a link's
   * cannot be replaced by another one's, so its page goes on to the end.
   */
  #onTokenOver() {
    if (this.session.connection !== "live") {
      if (storedToken() === this.sentToken) this.#askAgain();
      return; // or the next attempt sends the new one
    }
    if (this.warned) return;
    this.warned = true;
    if (cameByLink()) {
      toast(t("session.linkEnds"), { seconds: 20 });
      return;
    }
    const text = t("session.tokenEndsText");
    askForToken({ reload: false, wasRefused: false, title: t("session.tokenEnds"), text }).then((entered) => {
      if (!entered) return;
      this.warned = false;
      this.#askRights();
    });
  }

  /**
   * A service that wants a token waits for it some seconds before it closes a socket. Over HTTP it says at once
   * that it wants one.
   */
  async #askEarly() {
    if (this.state || this.ended || storedToken() !== null) return;
    try {
      await this.client.request("GET", `/v1/sessions/${this.session.id}`);
    } catch (error) {
      if (error.code === "UNAUTHENTICATED" && !this.state && !this.ended) this.#askAgain();
    }
  }

  /** Shows why there is nothing to see without another token, and asks for one. */
  #askAgain() {
    const ask = () => askForToken();
    if (cameByLink()) {
      this.#end(states.linkIsOver(ask));
    } else {
      this.#end(states.noToken(ask));
      ask();
    }
    this.session.close(); // it would go on to try without a good token
  }

  #onConnection() {
    const { client, session } = this;
    this.app.dataset.connection = session.connection;
    this.app.toggleAttribute("data-last", this.last.shown !== null);
    if (this.ended) return;
    if (session.connection === "live" && this.view && this.#findRights()) this.#showRights();
    if (session.connection === "closed") {
      this.#onClosed(session.closeReason);
    } else if (this.state === null) {
      if (this.waitingMessage) states.showState($("top"), $("stage"), this.waitingMessage);
    } else if (this.last.shown) {
      const title = t(navigator.onLine ? "delivery.away" : "delivery.offline");
      const text = t("delivery.last", { ago: ago(this.last.shown.at, Date.now()) });
      this.#showBanner("warn", h("strong", {}, title), " ", text);
    } else if (session.connection === "reconnecting") {
      this.#showBanner("warn", h("strong", {}, t("session.lost")), " ", t("session.lostText"));
    } else if (session.staleMs !== null) {
      const time = formatDuration(Math.max(1000, Math.round(session.staleMs / 1000) * 1000));
      this.#showBanner("warn", h("strong", {}, t("session.replica")), " ", t("session.replicaText", { time }));
    } else {
      fill($("banner"));
    }
  }

  #showBanner(kind, ...words) {
    fill($("banner"), note(kind, ...words));
  }

  /** The session ended for this page: shows why, and what the user can do. */
  #onClosed(error) {
    const gone = error.code === "SESSION_NOT_FOUND";
    if (gone || error.code === "UNAUTHENTICATED" || error.code === "FORBIDDEN") this.last.forget();
    const isDeleted = gone && error.context.reason === "deleted";
    if (gone && !isDeleted && this.state) {
      this.#showBanner("", t("session.notKept"));
      return;
    }
    if (gone && storedToken() === null) forget(this.session.id);
    if (isDeleted) this.#end(states.deleted());
    else if (gone) this.#end(states.notFound(storedToken() !== null));
    else if (error.code === "UNAUTHENTICATED" || error.code === "FORBIDDEN") {
      this.#askAgain();
    } else this.#end(states.refused(error.message));
  }

  #end(message) {
    this.ended = true;
    this.last.end();
    this.view?.close?.();
    this.view = null;
    this.state = null;
    this.overlay.update();
    this.#stopDrawing();
    this.screen.stayOn(false);
    $("controls").hidden = true;
    $("bounds").hidden = true;
    fill($("top"));
    fill($("banner"));
    this.app.dataset.view = "";
    this.showLevel("calm");
    states.showState($("top"), $("stage"), message);
  }

  // Drawing

  #build() {
    remember(this.session.id);
    this.shell = new Shell(this, $("top"), $("controls"));
    this.showView(this.#firstView(this.state), { keep: false });
    // Who comes late is told, too, that it goes on elsewhere.
    const next = isOver(this.state) ? nextSessionOf(this.state) : null;
    if (next !== null && !this.couldOpen(next)) toast(t("again.linkEnds"), { seconds: 0 });
    if (wasMade(this.session.id) && this.rights.mayLink) {
      const action = { label: t("word.share"), onclick: () => share(this) };
      toast(t("again.newLinks"), { seconds: 20, action });
    }
  }

  /** Takes over what the service said at the last connection. Returns whether that is something new. */
  #findRights() {
    const { access } = this.session;
    if (access === this.greeting) return false;
    this.greeting = access;
    return this.#takeRights(new Rights(access));
  }

  /** Another token for the same connection may allow more or less. The service does not say it by itself. */
  async #askRights() {
    try {
      if (this.#takeRights(await Rights.ask(this.client)) && this.view) this.#showRights();
    } catch {
      // The buttons stay as they are until the next connection. The service judges each call.
    }
  }

  #takeRights(rights) {
    if (JSON.stringify(rights.access) === JSON.stringify(this.granted.access)) return false;
    this.granted = rights;
    return true;
  }

  /** Shows the buttons for what the page may now do. */
  #showRights() {
    this.#bind();
    this.view.updatePeople();
    this.shell.update();
    this.overlay.update();
    this.#tell();
  }

  /**
   * Finds what this page offers. An address with `as` makes it the page of that participant, and one with
   * `watch` that of a viewer. So does a participant who is not in the session.
   */
  #bind() {
    const isBound = this.boundTo !== null || this.onlyWatches;
    const isIn = this.people.participants.some((each) => each.id === this.boundTo);
    this.rights = isBound ? this.granted.as(isIn && !this.onlyWatches ? this.boundTo : null) : this.granted;
    if (this.boundTo !== null && !isIn && this.missing !== this.boundTo) {
      toast(t("session.noPlayer"), { seconds: 8 });
    }
    this.missing = isIn ? null : this.boundTo;
    this.as = this.rights.player;
    // Two players who share a phone sit opposite each other, and one half is turned round for them.
    this.app.dataset.bound = String(this.as !== null || !this.rights.ever("switch"));
  }

  /** Whether a clock runs, or the countdown to something that the session does by itself. */
  get #isMoving() {
    return this.state.status === "running" || this.session.due() !== null;
  }

  #draw() {
    if (document.hidden || !this.view) return;
    this.#frame();
    if (this.frameRequest || !this.#isMoving) return;
    const frame = () => {
      this.frameRequest = this.#isMoving ? requestAnimationFrame(frame) : 0;
      this.#frame();
      this.#tick();
    };
    this.frameRequest = requestAnimationFrame(frame);
  }

  #frame() {
    this.view.frame();
    this.shell.bounds.draw();
  }

  #stopDrawing() {
    cancelAnimationFrame(this.frameRequest);
    this.frameRequest = 0;
  }

  #tick() {
    const { sound, state } = this;
    if (sound.state !== "on" || state.status !== "running" || state.sync_mode === "count_up") return;
    const left = this.session.remaining();
    const inTicks = left !== null && left > 0 && left <= TICKS_MS;
    const second = inTicks ? Math.ceil(left / 1000) : TICKS_MS / 1000 + 1;
    if (inTicks && second < this.second) sound.play("tick");
    this.second = second;
  }

  #updateTitle() {
    const { title } = this;
    const text = tabTitle(this);
    if (document.title !== text) document.title = text;
    if ($("stage").getAttribute("aria-label") !== title) $("stage").setAttribute("aria-label", title);
  }

  // Keys

  #onKey(event) {
    const { key, target } = event;
    if (!this.state || event.ctrlKey || event.metaKey || event.altKey) return;
    if (document.querySelector("dialog:modal")) return;
    if (this.isScreen && key.toLowerCase() !== "f") return; // a screen has nothing to press
    if (target.closest?.("input:not([type=radio]), select, textarea")) return;
    if (key === " ") {
      // The space bar presses a focused button. On a checked radio button it would do nothing, so there it is
      // for the clock.
      if (target.closest?.("button:not(.press), a, input:not([type=radio]:checked), summary")) return;
      event.preventDefault();
      if (!event.repeat) this.#space();
      return;
    }
    const own = this.view.keys ?? {}; // a view may have keys of its own, which go first
    const action = own[event.code] ?? own[key.toLowerCase()] ?? this.#keys[key.toLowerCase()];
    if (!action || event.repeat) return;
    event.preventDefault();
    action();
  }

  /** The space bar is for the view. Where that has no turn to end, it presses the main button, such as a bid. */
  #space() {
    const { state, uses, view, viewName } = this;
    const isFree = state.status === "running" && !hasNext(state) && !view.ownsNext;
    if (isFree && viewName !== "exam" && uses.label !== null) uses.press();
    else view.key();
  }

  #keys = {
    p: () => this.actions.pauseOrResume(),
    n: () => this.next(),
    t: () => canAdjust(this.state) && this.actions.openTime(),
    u: () => this.actions.openTakeBack(),
    w: () => this.actions.openTurn(),
    o: () => this.actions.may("reopen") && isOver(this.state) && this.actions.reopen(),
    r: () => (isOver(this.state) && nextSessionOf(this.state) !== null ? this.actions.follow() : openAgain(this)),
    b: () => this.uses.press(),
    s: () => !isOver(this.state) && this.actions.may("schedule") && openSchedule(this),
    h: () => openHistory(this),
    f: () => this.screen.toggleFull(),
    m: () => this.sound.toggle(),
    "?": () => openHelp(this),
    1: () => this.showView("clock"),
    2: () => this.showView("countdown"),
    3: () => this.showView("board"),
    4: () => this.showView("stopwatch"),
  };
}

/** Whether two states have the same metadata, which only few changes touch. */
const isSameMetadata = (one, other) => one === other || JSON.stringify(one) === JSON.stringify(other);

const id = location.pathname.split("/").pop().toLowerCase();
if (UUID.test(id)) {
  new Page(id); // its listeners keep it alive as long as the document
} else {
  states.showState($("top"), $("stage"), states.badLink());
}
