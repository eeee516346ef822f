/**
 * A session of SyncKairos in a React component.
 *
 *   import { useSyncKairos } from "./useSyncKairos.js";
 *   const { state, remaining, session } = useSyncKairos("https://clock.example", sessionId);
 *
 * Components that show the same session share it: its socket is opened with the first of them and closed a
 * moment after the last is gone, so that React may take a component away and put it back. Needs React 18 or
 * newer. README.md in this folder has the reference.
 */

import { useCallback, useMemo, useSyncExternalStore } from "react";
import { SyncKairos } from "./synckairos.js";

const LINGER_MS = 1_000;

/** What is shared of each session, by client and id. */
const stores = new WeakMap();
/** The clients that were made here for a URL. */
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
  let ofClient = stores.get(client);
  if (!ofClient) {
    ofClient = new Map();
    stores.set(client, ofClient);
  }
  let store = ofClient.get(id);
  if (!store) {
    store = new Store(client, id);
    ofClient.set(id, store);
  }
  return store;
}

const BEFORE = Object.freeze({
  session: null, state: null, connection: "connecting", pending: false, error: null,
  remaining: () => null, elapsed: () => null, clock: () => null,
});

/** One session and the components that show it. Nothing is opened before the first is there to stay. */
class Store {
  #client;
  #id;
  #session = null;
  #mine = false;
  #listeners = new Set();
  #forget = [];
  #closing = null;
  #snapshot = BEFORE;

  constructor(client, id) {
    this.#client = client;
    this.#id = id;
  }

  get snapshot() { return this.#snapshot; }

  /** Tells `listener` of every change, and while a clock runs every `interval` ms as well. */
  subscribe(listener, interval) {
    clearTimeout(this.#closing);
    this.#closing = null;
    this.#listeners.add(listener);
    if (this.#session === null) {
      this.#open();
    }
    const ticking = interval === null ? null : setInterval(() => {
      if (this.#session?.state?.status === "running") {
        this.#renew();
        listener();
      }
    }, interval);
    return () => {
      clearInterval(ticking);
      this.#listeners.delete(listener);
      if (this.#listeners.size === 0) {
        this.#closing = setTimeout(() => this.#close(), LINGER_MS);
      }
    };
  }

  #open() {
    const found = this.#client.find(this.#id);
    this.#mine = found === null;
    const session = found ?? this.#client.session(this.#id);
    this.#session = session;
    const tell = () => {
      this.#renew();
      [...this.#listeners].forEach((listener) => listener());
    };
    this.#forget = [session.onChange(tell), session.onConnection(tell)];
    this.#renew();
  }

  #renew() {
    const session = this.#session;
    this.#snapshot = Object.freeze({
      session,
      state: session.state,
      connection: session.connection,
      pending: session.pending,
      error: session.closeReason,
      remaining: (owner) => session.remaining(owner),
      elapsed: (participantId) => session.elapsed(participantId),
      clock: (owner) => session.clock(owner),
    });
  }

  /** No component shows the session any more. One that was open before stays open: its opener closes it. */
  #close() {
    this.#forget.forEach((forget) => forget());
    this.#forget = [];
    if (this.#mine) {
      this.#session.close();
    }
    this.#session = null;
    this.#snapshot = BEFORE;
  }
}

/**
 * @param {import("./synckairos.js").SyncKairos | string} clientOrUrl a client, or the URL of the service
 * @param {string} sessionId
 * @param {{interval?: number | null}} [options] interval: ms between two renderings while a clock runs;
 *   null: only when something happens
 */
export function useSyncKairos(clientOrUrl, sessionId, { interval = 100 } = {}) {
  const store = useMemo(() => storeOf(clientOf(clientOrUrl), sessionId), [clientOrUrl, sessionId]);
  const subscribe = useCallback((listener) => store.subscribe(listener, interval), [store, interval]);
  return useSyncExternalStore(subscribe, () => store.snapshot, () => BEFORE);
}
