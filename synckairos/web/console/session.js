// The page of one session. It knows the session, its people and its view, and draws nothing itself: a view from
// views/ does, once for each change of the state, and once a frame while something runs and the page is seen.

import { button, connectionIndicator, createClient, fill, h, icon, note, openDialog, schemeSwitch, setText, shareDialog,
  showError, statusPill, toast } from "./ui.js";
import { VIEWS, titleOf, viewOf } from "./names.js";
import { forget, remember } from "./recent.js";
import { Actions, canAdjust, hasNext, isOver, ownClocks } from "./actions.js";
import { openHistory } from "./history.js";
import { People, entryOf, sameCast } from "./people.js";
import { Sound } from "./sound.js";
import { Track } from "./track.js";
import { BoardView } from "./views/board.js";
import { ClockView } from "./views/clock.js";
import { CountdownView } from "./views/countdown.js";
import { StopwatchView } from "./views/stopwatch.js";

const DRAWN_BY = { clock: ClockView, countdown: CountdownView, board: BoardView, stopwatch: StopwatchView };
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
/** In the last seconds of a running clock there is a tick each second. */
const TICKS_MS = 5000;
/** In full screen the controls go away when nothing was touched for so long. */
const IDLE_MS = 3000;
/** A connection that comes within this time is not worth a word. */
const PATIENCE_MS = 600;
/** Without an answer for so long, the service is away. */
const AWAY_MS = 4000;

const $ = (id) => document.getElementById(id);

/** One session on one page. */
export class Page {
  /** @param {string} id */
  constructor(id) {
    const asked = new URLSearchParams(location.search);
    this.as = asked.get("as")?.toLowerCase() || null;
    this.viewAsked = asked.get("view");
    this.app = $("app");
    this.state = null;
    this.people = null;
    this.result = null;
    this.view = null;
    this.viewName = null;
    this.frameAsked = 0;
    /** What to say while there is no state. */
    this.waited = null;
    /** Whether the page ended with a page that shows no clocks. */
    this.over = false;
    this.actions = new Actions(this);
    this.sound = new Sound(() => this.updateControls());
    this.client = createClient({ reconnectAttempts: Infinity });
    this.session = this.client.session(id);
    this.track = new Track(this.session, (who) => this.people?.name(who) ?? "Somebody");
    this.#listen();
  }

  // What views ask

  /** What a clock's face shows now; null: the clock that runs. */
  clock(owner) {
    const clock = this.session.clock(owner ?? undefined);
    return clock?.kind === "none" ? { ...clock, elapsedMs: this.session.elapsed(owner) } : clock;
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

  /** What is left (ms) of the total beside the cycles; null where there is none. */
  totalLeft() {
    const { state } = this;
    if (state.total_remaining_ms === null) return null;
    const now = this.client.time.now();
    const passed = state.status === "running" && now !== null ? Math.max(0, now - state.server_time_ms) : 0;
    return state.total_remaining_ms - passed;
  }

  /** Colours the whole page by how serious the time is. */
  showLevel(level) {
    if (this.app.dataset.level !== level) this.app.dataset.level = level;
  }

  // From the service

  #listen() {
    const { session } = this;
    session.onChange((state, change) => this.#onState(state, change));
    session.onExpire((change) => this.#onExpire(change));
    session.onWarning(() => this.sound.play("warning"));
    session.onConnection(() => this.#onConnection());
    session.onError((error) => this.#onError(error));
    // Nothing is said at first: mostly the state is there before anybody could read it.
    const wait = (ms, what) => setTimeout(() => {
      this.waited = what;
      this.#onConnection();
    }, ms);
    wait(PATIENCE_MS, { sign: "clock", title: "Connecting …", text: "" });
    wait(AWAY_MS, {
      sign: "warning",
      title: "The service does not answer",
      text: "This page goes on trying, and shows the session as soon as it can.",
      actions: [button("Try now", { class: "primary", onclick: () => location.reload() })],
    });

    document.addEventListener("visibilitychange", () => {
      if (document.hidden) {
        cancelAnimationFrame(this.frameAsked);
        this.frameAsked = 0;
      } else {
        this.#draw();
      }
      this.#keepAwake();
    });
    document.addEventListener("keydown", (event) => this.#onKey(event));
    document.addEventListener("fullscreenchange", () => this.#onFullScreen());
    for (const each of ["pointermove", "pointerdown", "keydown"]) {
      document.addEventListener(each, () => this.#notIdle(), { passive: true });
    }
    // A second finger on a half is a press, not a zoom; a long one is no menu.
    this.app.addEventListener("contextmenu", (event) => {
      if (event.target.closest(".clock")) event.preventDefault();
    });
    this.app.addEventListener("dblclick", (event) => event.preventDefault());
  }

  #onState(state, change) {
    if (!state || this.over) return;
    const first = this.state === null;
    const before = this.state;
    this.state = state;
    const newCast = first || !sameCast(before, state);
    if (newCast) {
      this.people = new People(state);
      this.title = titleOf(state);
    }
    this.result = isOver(state) ? resultOf(this, change) : null;
    if (change?.payload.event) this.track.follow(change);
    else if (this.track.loaded) this.track.load();
    this.app.dataset.status = state.status;
    if (first) {
      this.#build();
    } else {
      if (newCast) this.view.recast();
      else this.view.update();
      this.updateControls();
    }
    this.#updateTitle();
    this.#keepAwake();
    this.#draw();
  }

  #onExpire(change) {
    const { payload } = change;
    const whose = payload.expired_group_id ?? payload.expired_participant_id;
    const winner = payload.action_applied?.winner;
    const owned = this.state && ownClocks(this.state) && payload.expired_clock !== "total";
    const text = owned
      ? `Time is up for ${this.people.name(whose)}.${winner ? ` ${this.people.name(winner)} wins.` : ""}` : "Time is up.";
    // A new element is announced also when the text is the same as the last time.
    fill($("expiry"), h("p", {}, text));
    this.sound.play("expire");
    navigator.vibrate?.([200, 100, 200]);
    this.app.classList.remove("flash");
    void this.app.offsetWidth; // so that the animation starts again
    this.app.classList.add("flash");
    if (this.state?.status === "running") toast(text, { seconds: 6 });
  }

  #onError(error) {
    if (error.code === "CLOCK_SKEW") {
      toast("This device’s clock is wrong. The clocks shown here are right all the same.", { seconds: 8 });
    }
    this.#onConnection();
  }

  #onConnection() {
    const { client, session } = this;
    const banner = $("banner");
    this.app.dataset.connection = session.connection;
    if (session.connection === "closed") {
      if (!this.over) this.#onRefused(session.closeReason);
    } else if (this.state === null) {
      if (this.waited) pageState(this.waited);
    } else if (client.time.refused) {
      fill(banner, note("danger", h("strong", {}, "This device’s clock is more than an hour off. "),
        "Set it to the right time, then load this page again."));
    } else if (session.connection === "reconnecting") {
      fill(banner, note("warn", h("strong", {}, "Connection lost. "),
        "The clock runs on as it was; what others do shows when the connection is back."));
    } else {
      fill(banner);
    }
  }

  /** The session cannot be shown, or not any more: say why, and what to do. */
  #onRefused(error) {
    const { state } = this;
    const home = h("a", { class: "button primary", href: "/" }, "All sessions");
    switch (error.code) {
      case "SESSION_NOT_FOUND":
        if (error.context.reason === "deleted") {
          forget(this.session.id);
          this.#end({ sign: "trash", title: "This session was deleted", text: "Its clocks are gone for everybody.", actions: [home] });
          break;
        }
        if (state) {
          fill($("banner"), note("", "The service does not keep this session any more. This is how it was last seen."));
          break;
        }
        forget(this.session.id);
        this.#end({
          sign: "info",
          title: "There is no such session",
          text: "It ended long ago, was deleted, or the link is not complete. Check the link, or make a new session.",
          actions: [home],
        });
        break;
      case "UNAUTHENTICATED":
        showError(error);
        this.#end({
          sign: "key", title: "The service wants a token", text: "Whoever shared this link can give you one.",
          actions: [button("Enter a token", { class: "primary", onclick: () => showError(error) })],
        });
        break;
      default:
        this.#end({
          sign: "warning",
          title: "The service does not show this session",
          text: error.message,
          actions: [button("Try again", { class: "primary", onclick: () => location.reload() }), home],
        });
    }
  }

  #end(what) {
    this.over = true;
    this.view?.close?.();
    this.view = null;
    this.state = null;
    cancelAnimationFrame(this.frameAsked);
    this.frameAsked = 0;
    $("controls").hidden = true;
    fill($("top"));
    fill($("banner"));
    this.app.dataset.view = "";
    this.app.dataset.level = "calm";
    pageState(what);
  }

  // Drawing

  #build() {
    const { state } = this;
    remember(this.session.id, this.title);
    if (this.as && !this.people.byId.has(this.as)) {
      toast("The participant of this link is not in the session; all clocks can be pressed.", { seconds: 8 });
      this.as = null;
    }
    this.app.dataset.bound = String(this.as !== null);
    this.#buildTop();
    this.#buildControls();
    this.showView(Object.hasOwn(DRAWN_BY, this.viewAsked ?? "") ? this.viewAsked : viewOf(state), { keep: false });
  }

  /**
   * Show another view.
   *
   * @param {keyof typeof DRAWN_BY} name
   * @param {{keep?: boolean}} [options] keep: write it into the address
   */
  showView(name, { keep = true } = {}) {
    this.view?.close?.();
    this.viewName = name;
    this.app.dataset.view = name;
    this.showLevel("calm");
    const View = DRAWN_BY[name];
    this.view = new View(this);
    fill($("stage"), this.view.element);
    for (const each of document.querySelectorAll("input[name=view]")) each.checked = each.value === name;
    if (keep) {
      const url = new URL(location.href);
      url.searchParams.set("view", name);
      history.replaceState(null, "", url);
    }
    this.updateControls();
    this.#draw();
  }

  #draw() {
    if (document.hidden || !this.view) return;
    this.view.frame();
    if (this.frameAsked || this.state.status !== "running") return;
    const frame = () => {
      this.frameAsked = 0;
      if (!this.view || document.hidden) return;
      this.view.frame();
      this.#tick();
      if (this.state.status === "running") this.frameAsked = requestAnimationFrame(frame);
    };
    this.frameAsked = requestAnimationFrame(frame);
  }

  #tick() {
    if (this.sound.state !== "on" || this.state.sync_mode === "count_up") return;
    const left = this.session.remaining();
    const second = left !== null && left > 0 && left <= TICKS_MS ? Math.ceil(left / 1000) : null;
    if (second !== null && this.ticked !== null && second < this.ticked) this.sound.play("tick");
    this.ticked = left === null ? null : second ?? Math.ceil(TICKS_MS / 1000) + 1;
  }

  #updateTitle() {
    const { people, state } = this;
    const { title } = this;
    const who = isOver(state) ? this.result.title : state.participants.length > 1 && state.active_participant_id
      ? people.name(state.active_participant_id) : "";
    document.title = [who, title].filter(Boolean).join(" · ");
    setText(this.heading, title);
    if (this.pillStatus !== state.status) {
      this.pillStatus = state.status;
      fill(this.pill, statusPill(state.status));
    }
  }

  // Around the view

  #buildTop() {
    this.heading = h("h1", { class: "session-title" });
    this.pill = h("span", { class: "session-pill" });
    this.pillStatus = null;
    const indicator = connectionIndicator(this.client, this.session);
    this.indicator = indicator.element;
    this.client.time.onChange(() => {
      if (this.client.time.refused !== this.refused) {
        this.refused = this.client.time.refused;
        this.#onConnection();
      }
    });
    this.fullButtons = [];
    this.soundButtons = [];
    const views = h("div", { class: "segments view-choice", role: "radiogroup", "aria-label": "View" }, viewChoices(this));
    fill($("top"), h("header", { class: "bar" },
      h("a", { class: "brand", href: "/", "aria-label": "All sessions", title: "All sessions" },
        h("img", { src: "/console/icon.svg", alt: "", width: "28", height: "28" })),
      this.heading, this.pill, h("span", { class: "grow" }), views,
      h("span", { class: "connection-slot" }, indicator.element),
      h("span", { class: "wide-only" }, this.#soundButton()), h("span", { class: "wide-only" }, this.#fullButton()),
      h("span", { class: "wide-only" }, schemeSwitch()),
      button("Menu", { icon: "more", square: true, class: "quiet menu-button", onclick: () => this.openMenu() })));
  }

  #soundButton() {
    const control = button("Sound", { icon: "mute", square: true, class: "quiet sound", onclick: () => this.sound.toggle() });
    control.hidden = !Sound.possible;
    this.soundButtons.push(control);
    return control;
  }

  #fullButton() {
    const control = button("Full screen", { icon: "full", square: true, class: "quiet", onclick: () => this.fullScreen() });
    control.hidden = !document.fullscreenEnabled;
    this.fullButtons.push(control);
    return control;
  }

  #buildControls() {
    const { actions } = this;
    this.control = {
      start: button("Start", { icon: "play", class: "primary large main", onclick: () => actions.start() }),
      resume: button("Resume", { icon: "play", class: "primary large main", onclick: () => actions.resume() }),
      next: button("Next", { icon: "next", class: "primary large main", onclick: () => actions.next() }),
      pause: button("Pause", { icon: "pause", class: "large pause", onclick: () => actions.pause() }),
      fresh: h("a", { class: "button large main", href: "/" }, icon("plus"), h("span", {}, "New session")),
      time: button("Time", { icon: "clock", class: "large extra", "aria-label": "Give or take time", onclick: () => actions.openTime() }),
      history: button("History", { icon: "history", class: "large extra", onclick: () => openHistory(this) }),
      share: button("Share", { icon: "share", class: "large extra", onclick: () => this.share() }),
      menu: button("Menu", { icon: "more", square: true, class: "quiet strip-only menu-button", onclick: () => this.openMenu() }),
    };
    const sound = this.#soundButton();
    sound.classList.add("strip-only");
    this.connectionStrip = h("span", { class: "strip-only connection-strip" });
    fill($("controls"), this.control.menu, this.connectionStrip, this.control.start, this.control.resume, this.control.next,
      this.control.pause, this.control.fresh, this.control.time, this.control.history, this.control.share, sound);
    $("controls").hidden = false;
    // On a phone the strip between the halves has the connection, elsewhere the bar has it.
    const strip = matchMedia(STRIP);
    const place = () => {
      const there = this.viewName === "clock" && strip.matches;
      (there ? this.connectionStrip : document.querySelector(".connection-slot")).append(this.indicator);
    };
    strip.addEventListener("change", place);
    this.placeConnection = place;
  }

  /** What can be pressed now. */
  updateControls() {
    if (!this.control || !this.state) return;
    const { control, state } = this;
    const running = state.status === "running";
    const nextWord = this.viewName === "stopwatch" || (state.sync_mode === "count_up" && state.participants.length === 1) ? "Lap" : "Next";
    control.start.hidden = state.status !== "pending";
    control.resume.hidden = state.status !== "paused";
    control.pause.hidden = !running;
    control.next.hidden = !running || !hasNext(state) || this.viewName === "clock";
    setText(control.next.querySelector("span"), nextWord);
    control.pause.classList.toggle("main", running && control.next.hidden);
    control.fresh.hidden = !isOver(state);
    control.time.hidden = !canAdjust(state);
    const sounds = { on: ["Turn sound off", "sound"], waiting: ["Tap to turn sound on", "mute"], off: ["Turn sound on", "mute"] };
    const [label, sign] = sounds[this.sound.state];
    for (const each of this.soundButtons) {
      if (each.dataset.state === this.sound.state) continue;
      each.dataset.state = this.sound.state;
      each.setAttribute("aria-label", label);
      each.title = label;
      fill(each, icon(sign));
    }
    this.placeConnection();
  }

  share() {
    const url = new URL(location.href);
    url.searchParams.delete("as");
    shareDialog(url.href);
  }

  /** A link that binds a device to one participant. */
  openPlayerLink() {
    const { people } = this;
    const opened = openDialog({
      title: "Link for one player",
      body: [
        h("p", {}, "On a device that opens this link, only this player’s own clock can be pressed."),
        h("div", { class: "choices scroll" }, people.participants.map((each) => button(each.name, {
          class: "player-choice",
          onclick: () => {
            opened.close();
            const url = new URL(location.href);
            url.searchParams.set("as", each.id);
            shareDialog(url.href, { title: `Clock of ${each.name}` });
          },
        }))),
      ],
    });
  }

  openMenu() {
    const { actions, state } = this;
    const close = (work) => () => {
      opened.close();
      work();
    };
    const item = (label, sign, work, more = "") => button(label, { icon: sign, class: `quiet item ${more}`, onclick: close(work) });
    const soundOn = this.sound.state === "on";
    const opened = openDialog({
      title: this.title,
      class: "menu-dialog",
      body: [
        h("fieldset", { class: "menu-views" }, h("legend", { class: "visually-hidden" }, "View"),
          h("div", { class: "segments" }, viewChoices(this, "menu-view", () => opened.close()))),
        h("div", { class: "menu" },
          state.status === "running" && hasNext(state) && item("Next turn", "next", () => actions.next()),
          canAdjust(state) && item("Give or take time", "clock", () => actions.openTime()),
          item("History", "history", () => openHistory(this)),
          item("Share this session", "share", () => this.share()),
          state.participants.length > 1 && item("Link for one player", "person", () => this.openPlayerLink()),
          this.as && item("Let this device press all clocks", "people", () => this.unbind()),
          Sound.possible && item(soundOn ? "Turn sound off" : "Turn sound on", soundOn ? "mute" : "sound", () => this.sound.toggle()),
          document.fullscreenEnabled && item(document.fullscreenElement ? "Leave full screen" : "Full screen", "full", () => this.fullScreen()),
          item("Keys and help", "info", () => this.openHelp()),
          h("a", { class: "button quiet item", href: "/" }, icon("back"), h("span", {}, "All sessions")),
          !isOver(state) && h("hr", {}),
          !isOver(state) && item("Complete the session …", "check", () => actions.complete()),
          !isOver(state) && item("Cancel the session …", "cross", () => actions.cancel(), "danger")),
        h("div", { class: "menu-scheme" }, h("span", { class: "muted" }, "Light or dark"), schemeSwitch()),
      ],
    });
  }

  unbind() {
    this.as = null;
    this.app.dataset.bound = "false";
    const url = new URL(location.href);
    url.searchParams.delete("as");
    history.replaceState(null, "", url);
    this.showView(this.viewName, { keep: false });
  }

  openHelp() {
    const rows = [
      ["Space", "End the turn; start the session"],
      ["P", "Pause or resume"],
      ["N", "Next, or a lap"],
      ["T", "Give or take time"],
      ["H", "History"],
      ["1 2 3 4", "Game clock, wall countdown, board, stopwatch"],
      ["F", "Full screen"],
      ["M", "Sound on or off"],
      ["?", "This help"],
    ];
    openDialog({
      title: "Keys and help",
      body: [
        h("dl", { class: "keys" }, rows.map(([keys, text]) => [
          h("dt", {}, keys.split(" ").map((key) => h("kbd", {}, key))), h("dd", {}, text)])),
        h("p", { class: "hint" }, "On the game clock, press the half that runs. Every device that shows this session shows the same time,"
          + " whatever its own clock says; the ± beside the connection is how far it may be off."),
      ],
    });
  }

  fullScreen() {
    if (document.fullscreenElement) document.exitFullscreen();
    else document.documentElement.requestFullscreen?.({ navigationUI: "hide" }).catch(() => {});
  }

  #onFullScreen() {
    const label = document.fullscreenElement ? "Leave full screen" : "Full screen";
    for (const each of this.fullButtons) {
      each.setAttribute("aria-label", label);
      each.title = label;
    }
    this.#notIdle();
  }

  #notIdle() {
    if (this.app.dataset.idle === "true") this.app.dataset.idle = "false";
    clearTimeout(this.idleTimer);
    if (document.fullscreenElement) {
      this.idleTimer = setTimeout(() => {
        if (!document.querySelector("dialog:modal") && !document.querySelector("#top :focus-visible, #controls :focus-visible")) {
          this.app.dataset.idle = "true";
        }
      }, IDLE_MS);
    }
  }

  /** The screen stays on while a clock runs. */
  async #keepAwake() {
    const wanted = this.state?.status === "running" && !document.hidden;
    if (wanted === Boolean(this.awake) || !("wakeLock" in navigator)) return;
    if (!wanted) {
      this.awake.release().catch(() => {});
      this.awake = null;
      return;
    }
    this.awake = { release: async () => {} };
    try {
      const lock = await navigator.wakeLock.request("screen");
      lock.addEventListener("release", () => { if (this.awake === lock) this.awake = null; });
      this.awake = lock;
      if (this.state?.status !== "running") this.#keepAwake();
    } catch {
      this.awake = null; // not allowed, as with an empty battery: then it goes dark as ever
    }
  }

  #onKey(event) {
    if (!this.state || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog:modal")) return;
    const { target } = event;
    if (target.closest?.("input:not([type=radio]), select, textarea")) return;
    if (event.key === " ") {
      if (target.closest?.("button:not(.press), a, input, summary")) return;
      event.preventDefault();
      if (!event.repeat) this.view.key();
      return;
    }
    if (event.repeat) return;
    const views = Object.keys(DRAWN_BY);
    const does = {
      p: () => this.actions.pauseOrResume(),
      n: () => this.actions.next(),
      t: () => canAdjust(this.state) && this.actions.openTime(),
      h: () => openHistory(this),
      f: () => this.fullScreen(),
      m: () => this.sound.toggle(),
      "?": () => this.openHelp(),
      1: () => this.showView(views[0]),
      2: () => this.showView(views[1]),
      3: () => this.showView(views[2]),
      4: () => this.showView(views[3]),
    };
    const key = event.key.toLowerCase();
    if (Object.hasOwn(does, key)) {
      event.preventDefault();
      does[key]();
    }
  }
}

/** Where the game clock has its controls in a strip between the halves; the same as in session.css. */
const STRIP = "(max-width: 40rem) and (orientation: portrait), (max-height: 32rem)";

function viewChoices(page, name = "view", chosen = () => {}) {
  return Object.entries(VIEWS).map(([value, label]) => h("label", {},
    h("input", {
      type: "radio", name, value, checked: value === page.viewName,
      onchange: () => {
        chosen();
        page.showView(value);
      },
    }),
    h("span", {}, label)));
}

/** How a session ended: a title, who is meant, and who won. */
function resultOf(page, change) {
  const { people, state } = page;
  if (state.status === "completed") return { title: "Completed", about: null, winner: null };
  if (state.status === "cancelled") return { title: "Cancelled", about: null, winner: null };
  const owners = people.byGroup ? state.groups : state.participants;
  const idOf = (each) => (people.byGroup ? each.group_id : each.participant_id);
  const payload = change?.payload?.event === "session.expired" ? change.payload : null;
  if (!ownClocks(state) || payload?.expired_clock === "total") return { title: "Time is up", about: null, winner: null };
  const known = page.result?.about ?? payload?.expired_group_id ?? payload?.expired_participant_id ?? null;
  const out = owners.filter((each) => each.has_expired).map(idOf);
  const about = people.ownerOf(known) ?? known ?? (out.length === 1 ? out[0] : null);
  const inTime = owners.filter((each) => !each.has_expired).map(idOf);
  const winner = payload?.action_applied?.winner
    ?? (state.action_on_timeout.type === "end_session" && inTime.length === 1 ? inTime[0] : null);
  return { title: about ? `${people.name(about)} is out of time` : "Time is up", about, winner };
}

/** A page that shows no clocks: what is the matter, and what to do. */
function pageState({ sign, title, text, actions = [] }) {
  if (!$("top").hasChildNodes()) {
    fill($("top"), h("header", { class: "bar" }, h("a", { class: "brand", href: "/" },
      h("img", { src: "/console/icon.svg", alt: "", width: "28", height: "28" }), h("span", {}, "SyncKairos")),
    h("span", { class: "grow" }), schemeSwitch()));
  }
  document.title = `${title} – SyncKairos`;
  fill($("stage"), h("div", { class: "page-state" }, icon(sign), h("h1", {}, title), text && h("p", { class: "muted" }, text),
    actions.length > 0 && h("div", { class: "buttons" }, actions)));
}

const id = decodeURIComponent(location.pathname.split("/").filter(Boolean).pop() ?? "").toLowerCase();
if (UUID.test(id)) {
  new Page(id); // it lives as long as the document
} else {
  pageState({
    sign: "link",
    title: "This link is not complete",
    text: "A session’s address ends with its id, 36 characters long. Ask for the link again, or find the session in the list.",
    actions: [h("a", { class: "button primary", href: "/" }, "All sessions")],
  });
}
