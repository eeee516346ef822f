// The states of a room's sessions. The service's list has them all in one answer, so the page asks for it again
// and again: once a second while a clock runs, and less often when nothing does or answers take long. Sixty
// sockets would need a minute or more to open, as a service lets nobody open more than some dozens in that time.
// Without an audit store there is no list: then the page shows the room's sessions that this browser knows.

import { recent } from "../shared/recent.js";
import { tagsOf } from "../shared/tags.js";
import { known } from "./known.js";

const BUSY_MS = 1000;
const CALM_MS = 3000;
/** A next answer is asked for after so many times as long as the last one took. */
const PATIENCE = 2;
const SLOWEST_MS = 15_000;
const PAGE = 100;
/** The most sessions of a room: its newest ones. */
export const MOST = 300;
/** Without a list sessions are asked for one by one, at most as many in a minute. */
const ONE_BY_ONE_MS = 1000;
const MOST_ONE_BY_ONE = 100;
const NO_LIST_MS = 15_000;
const LIVE = new Set(["pending", "running", "paused"]);
const NO_LIST = new Set(["STORAGE_UNAVAILABLE", "CIRCUIT_OPEN"]);

/** Asks for the states of a room, and tells what it got. */
export class Feed {
  #client;
  #tag;
  #tell;
  #timer = 0;
  #asking = null;
  #isOutdated = false;
  #active = false;
  #noListSince = -Infinity;
  #oneByOne = new Map();

  /**
   * @param {import("/synckairos.js").SyncKairos} client
   * @param {string} tag
   * @param {{onStates: (states: object[], about: {more: boolean, reason: string}) => void,
   *   onError: (error: Error) => boolean}} tell onError: returns whether to go on asking
   */
  constructor(client, tag, tell) {
    this.#client = client;
    this.#tag = tag;
    this.#tell = tell;
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.now();
    });
  }

  /** Begins to ask, or stops. */
  setActive(active) {
    if (this.#active === active) return;
    this.#active = active;
    if (active) this.now();
    else clearTimeout(this.#timer);
  }

  /** Asks at once, or once more after the answer that is under way. Resolves when that one is here. */
  async now() {
    if (this.#asking) {
      this.#isOutdated = true;
      await this.#asking;
      return;
    }
    clearTimeout(this.#timer);
    if (!this.#active || document.hidden) return;
    this.#asking = this.#ask();
    await this.#asking;
  }

  async #ask() {
    const begun = performance.now();
    let isBusy = false;
    let goesOn = true;
    let least = 0;
    try {
      const { states, more, reason } = await this.#states();
      isBusy = states.some((each) => each.status === "running");
      if (reason) least = Math.min(states.length, MOST_ONE_BY_ONE) * ONE_BY_ONE_MS;
      this.#tell.onStates(states, { more, reason });
    } catch (error) {
      goesOn = this.#tell.onError(error);
      least = error?.retryAfterMs ?? 0;
    }
    this.#asking = null;
    if (!goesOn) return;
    if (this.#isOutdated) {
      this.#isOutdated = false;
      this.now();
      return;
    }
    const slow = Math.min(SLOWEST_MS, PATIENCE * (performance.now() - begun));
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.now(), Math.max(isBusy ? BUSY_MS : CALM_MS, slow, least));
  }

  async #states() {
    if (performance.now() - this.#noListSince > NO_LIST_MS) {
      try {
        return { ...(await this.#list()), reason: "" };
      } catch (error) {
        if (!NO_LIST.has(error?.code)) throw error;
        this.#noListSince = performance.now();
        this.reason = error.message || error.code;
      }
    }
    return { states: await this.#known(), more: false, reason: this.reason };
  }

  async #list() {
    const states = [];
    let cursor = null;
    do {
      const page = await this.#client.list({ tag: this.#tag, participants: true, limit: PAGE, cursor });
      states.push(...page.sessions);
      cursor = page.next_cursor;
    } while (cursor !== null && states.length < MOST);
    return { states, more: cursor !== null };
  }

  /** The room's sessions that this browser made or opened. One that is over is not asked for again. */
  async #known() {
    const ids = [...new Set([...known(this.#tag), ...recent().map(({ id }) => id)])].slice(0, MOST_ONE_BY_ONE);
    let failure = null;
    await Promise.all(ids.map(async (id) => {
      const last = this.#oneByOne.get(id);
      if (last === null || (last && !LIVE.has(last.status))) return;
      try {
        const state = await this.#client.handle(id).get();
        this.#oneByOne.set(id, tagsOf(state).includes(this.#tag) ? state : null);
      } catch (error) {
        if (error?.code === "SESSION_NOT_FOUND") this.#oneByOne.set(id, null);
        else failure = error;
      }
    }));
    const states = ids.map((id) => this.#oneByOne.get(id)).filter(Boolean);
    if (failure && states.length === 0) throw failure;
    return states;
  }
}
