/**
 * A session of SyncKairos in a React component.
 *
 *   import { useSyncKairos } from "./useSyncKairos.js";
 *   const { state, remaining, session } = useSyncKairos("https://clock.example", sessionId);
 *
 * Components that show the same session share it. Its socket is opened for the first of them, and closed a
 * second after the last one is unmounted, so that React may unmount a component and mount it again at once.
 * Needs React 18 or newer. README.md in this folder is the reference.
 */

import { useCallback, useMemo, useSyncExternalStore } from "react";
import { SyncKairos } from "./synckairos.js";

/** How long a session stays open after its last component was unmounted. */
const LINGER_MS = 1_000;
/** The longest time that a timer of a browser takes, about 24.8 days. It fires at once when it is given more. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** The store of each session, by client and id. */
const stores = new WeakMap();
/** The clients that this module made, by the service's URL. */
const clients = new Map();

function clientOf(clientOrUrl) {
  if (typeof clientOrUrl !== "string") {
    return clientOrUrl;
  }
  let client = clients.get(clientOrUrl);
  if (!client) {
    client = new SyncKairos({ url: clientOrUrl });
    clients.set(clientOrUrl, client);
  }
  return client;
}

function storeOf(client, id) {
  let storesOfClient = stores.get(client);
  if (!storesOfClient) {
    storesOfClient = new Map();
    stores.set(client, storesOfClient);
  }
  let store = storesOfClient.get(id);
  if (!store) {
    store = new Store(client, id);
    storesOfClient.set(id, store);
  }
  return store;
}

const NOT_OPEN = Object.freeze({
  session: null, state: null, connection: "connecting", pending: false, staleMs: null, error: null,
  remaining: () => null, elapsed: () => null, clock: () => null, due: () => null, pauseRemaining: () => null,
});

/** Whether something that a component may show changes with time: a clock runs, or something comes by itself. */
const isMoving = (session) => session?.state?.status === "running" || (session?.due() ?? null) !== null;

/** One session and the components that show it. The session is opened when the first one is mounted. */
class Store {
  #client;
  #id;
  #session = null;
  #openedHere = false;
  #listeners = new Set();
  #unsubscribe = [];
  #closeTimer = null;
  #snapshot = NOT_OPEN;

  constructor(client, id) {
    this.#client = client;
    this.#id = id;
  }

  get snapshot() { return this.#snapshot; }

  /**
   * Calls `listener` after every change, and also every `interval` ms while a clock runs, or while something
   * is ahead that the session does by itself.
   */
  subscribe(listener, interval) {
    clearTimeout(this.#closeTimer);
    this.#closeTimer = null;
    this.#listeners.add(listener);
    if (this.#session === null) {
      this.#open();
    }
    const ticking = interval === null ? null : setInterval(() => {
      if (isMoving(this.#session)) {
        this.#updateSnapshot();
        listener();
      }
    }, Math.min(interval, LONGEST_TIMER_MS));
    return () => {
      clearInterval(ticking);
      this.#listeners.delete(listener);
      if (this.#listeners.size === 0) {
        this.#closeTimer = setTimeout(() => this.#close(), LINGER_MS);
      }
    };
  }

  #open() {
    const found = this.#client.find(this.#id);
    this.#openedHere = found === null;
    const session = found ?? this.#client.session(this.#id);
    this.#session = session;
    const notify = () => {
      this.#updateSnapshot();
      [...this.#listeners].forEach((listener) => listener());
    };
    this.#unsubscribe = [session.onChange(notify), session.onConnection(notify)];
    this.#updateSnapshot();
  }

  #updateSnapshot() {
    const session = this.#session;
    this.#snapshot = Object.freeze({
      session,
      state: session.state,
      connection: session.connection,
      pending: session.pending,
      staleMs: session.staleMs,
      error: session.closeReason,
      remaining: (owner) => session.remaining(owner),
      elapsed: (participantId) => session.elapsed(participantId),
      clock: (owner) => session.clock(owner),
      due: () => session.due(),
      pauseRemaining: () => session.pauseRemaining(),
    });
  }

  /** The last component is gone. A session that the page itself had opened stays open. */
  #close() {
    this.#unsubscribe.forEach((unsubscribe) => unsubscribe());
    this.#unsubscribe = [];
    if (this.#openedHere) {
      this.#session.close();
    }
    this.#session = null;
    this.#snapshot = NOT_OPEN;
  }
}

/**
 * @param {import("./synckairos.js").SyncKairos | string} clientOrUrl a client, or the URL of the service
 * @param {string} sessionId
 * @param {{interval?: number | null}} [options] interval: ms between two renderings while a clock runs or
 *   something is ahead that the session does by itself; null: the component is rendered only when something
 *   changes
 */
export function useSyncKairos(clientOrUrl, sessionId, { interval = 100 } = {}) {
  const store = useMemo(() => storeOf(clientOf(clientOrUrl), sessionId), [clientOrUrl, sessionId]);
  const subscribe = useCallback((listener) => store.subscribe(listener, interval), [store, interval]);
  return useSyncExternalStore(subscribe, () => store.snapshot, () => NOT_OPEN);
}
