// The last state that this device has seen of a session, for a page that is opened while the network or the service
// is away. It is shown as it was, and its clocks stand: what happened since is not known, so a clock that ran on
// would be a guess that looks like the truth.
//
// Where everybody needs a token, what one has seen is for the tab that has the token, and is gone with it.

import {
  adopt, clockAt, elapsedAt, pauseRemainingAt, remainingAt, stateAt,
} from "/synckairos.js";

const STORAGE_KEY = "synckairos.last";
/** So many sessions are kept, those that were seen last. */
const MOST_SESSIONS = 5;
/** A larger state (as text) is not kept: browsers give all pages of a service some megabytes together. */
const MOST_CHARACTERS = 100_000;
/** While the page is live, it is noted so often that it still is. */
const EVERY_MS = 10_000;

/**
 * What was seen of a session.
 *
 * @typedef {object} Seen
 * @property {string} id
 * @property {number} at When, by this device's clock.
 * @property {object} state As `GET` would have shown it then.
 */

/** @returns {Seen[]} newest first */
function read(storage) {
  try {
    const found = JSON.parse(storage().getItem(STORAGE_KEY) ?? "[]");
    return Array.isArray(found)
      ? found.filter((each) => Number.isFinite(each?.at) && Array.isArray(each.state?.participants))
      : [];
  } catch {
    return []; // the browser may forbid storage
  }
}

function write(storage, seen) {
  try {
    if (seen.length > 0) storage().setItem(STORAGE_KEY, JSON.stringify(seen));
    else storage().removeItem(STORAGE_KEY);
  } catch {
    // It may also be full. Then nothing is kept.
  }
}

const STORAGES = [() => sessionStorage, () => localStorage];

/** The same object, but for the members that `instead()` gives; with null for none of them. */
const through = (target, instead) =>
  new Proxy(target, {
    get(_, name) {
      const members = instead();
      if (members !== null && Object.hasOwn(members, name)) return members[name];
      const value = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });

export class Last {
  /** @param {string} id The session's. */
  constructor(id) {
    this.id = id;
    /** What is shown; null: what the service says. @type {Seen | null} */
    this.shown = null;
    this.still = null;
  }

  /** The client. While the last state is shown, the server's time is the one of that state. */
  client(client) {
    const time = through(client.time, () => this.still && { now: () => this.still.now });
    return through(client, () => this.still && { time });
  }

  /** The session, which looks as it was while the last state is shown. From now on it is kept. */
  session(session, client) {
    this.real = session;
    this.time = client.time;
    setInterval(() => this.keep(), EVERY_MS);
    addEventListener("pagehide", () => this.keep());
    document.addEventListener("visibilitychange", () => document.hidden && this.keep());
    return through(session, () => this.still && this.still.session);
  }

  /** Keeps what is seen now, if the service says it now. */
  keep() {
    const { real } = this;
    const now = this.time.now();
    if (real.connection !== "live" || real.confirmed === null || now === null || this.shown) return;
    const state = stateAt(real.confirmed, Math.max(Math.round(now), real.confirmed.server_time_ms));
    if (JSON.stringify(state).length > MOST_CHARACTERS) return;
    const isForAll = real.access?.auth_mode === "none";
    const storage = STORAGES[isForAll ? 1 : 0];
    const others = read(storage).filter((each) => each.id !== this.id);
    const most = isForAll ? MOST_SESSIONS : 1;
    write(storage, [{ id: this.id, at: Date.now(), state }, ...others].slice(0, most));
  }

  /**
   * Shows the last state, if there is one.
   *
   * @returns {object | null} the state
   */
  show() {
    const seen = STORAGES.flatMap(read).find((each) => each.id === this.id);
    if (!seen) return null;
    const state = adopt(seen.state);
    const now = seen.state.server_time_ms;
    this.shown = seen;
    this.still = {
      now,
      session: {
        state,
        confirmed: state,
        access: undefined, // nobody has said what the page may
        remaining: (owner = null) => remainingAt(state, now, owner),
        elapsed: (id = null) => elapsedAt(state, now, id),
        clock: (owner = null) => clockAt(state, now, owner),
        pauseRemaining: () => pauseRemainingAt(state, now),
        due: () => null,
      },
    };
    return state;
  }

  /** The service says again how it is. */
  end() {
    this.shown = null;
    this.still = null;
  }

  /** Keeps nothing of the session any more: it is gone, or this page may not see it. */
  forget() {
    for (const storage of STORAGES) write(storage, read(storage).filter((each) => each.id !== this.id));
  }
}
