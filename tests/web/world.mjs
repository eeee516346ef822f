// A simulated world for the client: a clock with its timers, a device, a network and a small service.
import { adopt, merge, predictPause, predictResume, predictSwitch, SyncKairos }
  from "../../synckairos/web/synckairos.js";

export const ID = "7c9e6679-7425-40de-944b-e07fc1f90ae7";
export const ANNA = "aaaaaaaa-0000-4000-8000-000000000001";
export const BEN = "bbbbbbbb-0000-4000-8000-000000000002";
const START_MS = 1_800_000_000_000;

/** A running game of two with ten minutes each, as the service sends it at version 2. */
export function game(changes = {}) {
  const player = (id, index, active) => ({
    total_time_ms: 600_000, time_used_ms: 0, time_remaining_ms: 600_000, cycle_count: 0, is_active: active,
    has_expired: false, clock: {}, participant_id: id, group_id: null, participant_index: index,
      time_control: null,
  });
  const iso = new Date(START_MS).toISOString();
  return {
    session_id: ID, status: "running", version: 2, epoch: "1", schema: 1,
    participants: [player(ANNA, 0, true), player(BEN, 1, false)], groups: [],
    active_participant_id: ANNA, active_group_id: null, total_time_ms: 1_200_000,
      sync_mode: "per_participant",
    time_per_cycle_ms: null, increment_ms: 0, max_time_ms: null, time_control: { kind: "fischer" },
    lag_compensation: false, auto_advance: false, action_on_timeout: { type: "end_session" }, warnings_ms: [],
    max_pause_ms: null, max_pauses: null, max_total_pause_ms: null, max_cycles: null, players_may_pause: false,
    players_may_choose_next: false, metadata: {}, time_used_ms: 0, time_remaining_ms: 600_000,
    starts_at_ms: null, ends_at_ms: null, pauses_left: null, pause_remaining_ms: null,
    total_remaining_ms: null, cycle_count: 0, cycle_elapsed_ms: 0, cycle_started_at: iso,
    deadline_ms: START_MS + 600_000, resumes_at_ms: null, session_started_at: iso, session_completed_at: null,
    created_at: iso, updated_at: iso, server_time_ms: START_MS, tenant_id: null, recovered: false,
    recovered_at: null, warning: null, ...changes,
  };
}

const runMicrotasks = () => new Promise((resolve) => { setImmediate(resolve); });

export class World {
  /** The value of every random number, between 0 and 1. */
  chance = 0.5;
  /** The time that a message takes to the service and back, ms. */
  there = 20;
  back = 20;
  /** The device: how far its Date is ahead, how long it has slept (ms), and whether timers are throttled. */
  dateAhead = 0;
  slept = 0;
  throttled = false;
  /** The network: while `away`, messages are lost; while `down`, the service accepts no connection. */
  away = false;
  down = false;
  #true = 0;
  #timers = new Set();
  sockets = [];
  requests = [];
  /** The longest timer that the client has set, ms. */
  longestTimer = 0;

  constructor() {
    const target = () => Object.assign(new EventTarget(), { visibilityState: "visible" });
    this.document = target();
    this.window = target();
    this.service = new Service(this);
    const world = this;
    this.WebSocket = class extends FakeSocket {
      constructor(url, protocols) { super(world, url, protocols); }
    };
  }

  /** The true time since the start, ms. */
  get at() { return this.#true; }
  /** The device's monotonic clock, and the server's time. */
  get local() { return 1_000 + this.#true - this.slept; }
  get serverTime() { return START_MS + this.#true; }

  client(options = {}) {
    return new SyncKairos({
      url: "http://clock.test/",
      runtime: {
        WebSocket: this.WebSocket, document: this.document, window: this.window,
        fetch: (url, request) => this.service.http(url, request),
        now: () => this.local,
        date: () => Math.floor(this.serverTime + this.dateAhead),
        setTimeout: (fn, ms) => {
          this.longestTimer = Math.max(this.longestTimer, ms);
          return this.after(ms, fn, true);
        },
        clearTimeout: (timer) => this.#timers.delete(timer),
        random: () => this.chance,
      },
      ...options,
    });
  }

  /** How many timers the client has set. */
  get waiting() { return [...this.#timers].filter(({ isOfClient }) => isOfClient).length; }

  after(ms, fn, isOfClient = false) {
    const timer = { at: this.#true + ms, fn, isOfClient };
    this.#timers.add(timer);
    return timer;
  }

  /** Lets time pass, and runs all timers that are due. */
  async pass(ms) {
    const end = this.#true + ms;
    for (;;) {
      await runMicrotasks();
      const next = [...this.#timers].filter(({ at }) => at <= end).sort((one, other) => one.at - other.at)[0];
      if (next === undefined || this.throttled) {
        break;
      }
      this.#timers.delete(next);
      this.#true = Math.max(this.#true, next.at);
      next.fn();
    }
    this.#true = end;
    await runMicrotasks();
  }

  /** The device sleeps: time passes, but its timers and its monotonic clock stand still. */
  async sleep(ms, { standsStill = true } = {}) {
    const timers = [...this.#timers];
    this.#true += ms;
    if (standsStill) {
      this.slept += ms;
      timers.forEach((timer) => { timer.at += ms; });
    }
    await runMicrotasks();
  }

  /** Everything that the client sent over its sockets, parsed. */
  get sent() { return this.sockets.flatMap((socket) => socket.sent); }
  get socket() { return this.sockets.at(-1); }
  kinds(type) { return this.sent.filter((message) => message.type === type); }
}

class FakeSocket {
  readyState = 0;
  sent = [];

  constructor(world, url, protocols) {
    Object.assign(this, { world, url, protocols, begun: world.at });
    world.sockets.push(this);
    world.after(world.there + world.back, () => {
      if (this.readyState !== 0 || world.away) {
        return;
      }
      if (world.down) {
        this.drop(1006);
        return;
      }
      this.readyState = 1;
      this.onopen?.({});
      if (!world.service.wantsToken) {
        world.after(world.there, () => world.service.attach(this));
      }
    });
  }

  send(text) {
    const message = JSON.parse(text);
    this.sent.push(message);
    this.#travel(this.world.there, () => this.world.service.handle(this, message));
  }

  /** From the service to the client. */
  receive(message) {
    this.#travel(this.world.back, () => this.onmessage?.({ data: JSON.stringify({ v: 1, ...message }) }));
  }

  #travel(ms, arrive) {
    if (!this.world.away) {
      this.world.after(ms, () => this.readyState === 1 && arrive());
    }
  }

  close() { this.readyState = 3; }

  /** The service or the network ends the connection. */
  drop(code, reason = "") {
    if (this.readyState < 2) {
      this.readyState = 3;
      this.onclose?.({ code, reason });
    }
  }
}

/** The service, with one session. Its fields say how it behaves. */
class Service {
  state = adopt(game());
  log = [];
  wantsToken = false;
  /** The error to answer in place of carrying out a command, and how messages are delayed. */
  refuse = null;
  ackFirst = false;
  ackLaterMs = 0;
  deaf = false;
  closeWith = null;
  /** Answers AUTH on a socket that is live. */
  renew = (socket, { request_id }) => socket.receive({ type: "ACK", request_id, token_expires_at: null });
  /** The payload of CONNECTED. */
  greeting = {};
  /** Answers RECONNECT in place of the log; null: the log does. */
  reconnect = null;
  /** The next answers over HTTP, in order; after them the normal ones. */
  answers = [];
  #done = new Map();

  constructor(world) { this.world = world; }

  get live() { return this.world.sockets.filter((socket) => socket.attached && socket.readyState === 1); }

  attach(socket) {
    if (socket.readyState !== 1) {
      return;
    }
    if (this.closeWith !== null) {
      this.world.after(this.world.back, () => socket.drop(...this.closeWith));
      return;
    }
    socket.attached = true;
    socket.receive({ type: "CONNECTED", ...this.#envelope(), payload: this.greeting });
    this.sync(socket);
  }

  sync(socket, state = this.now()) {
    socket.receive({ type: "STATE_SYNC", ...this.#envelope(state), payload: { full_state: state } });
  }

  #envelope({ version, epoch } = this.state) {
    return { session_id: ID, version, epoch, server_time_ms: Math.floor(this.world.serverTime) };
  }

  /** The state at the current time. */
  now() {
    return merge(this.state, {
      version: this.state.version, epoch: this.state.epoch, server_time_ms: Math.floor(this.world.serverTime),
      payload: this.#payload(this.state, { resumes_at_ms: this.state.resumes_at_ms }),
    });
  }

  #payload({ status, active_participant_id, active_group_id, cycle_started_at, deadline_ms, cycle_count },
    more = {}) {
    const time_remaining_ms = deadline_ms === null ? this.state.time_remaining_ms
      : deadline_ms - Math.floor(this.world.serverTime);
    return {
      event: "time.warning", reason: "auto", status, active_participant_id, active_group_id, cycle_started_at,
      deadline_ms, time_remaining_ms, cycle_count, participants: [], groups: [], actor: null, trace: null,
        ...more,
    };
  }

  /** Makes an event, which changes the state or only has further fields in its payload. */
  happen(name, more = {}, type = "STATE_UPDATE") {
    const now = Math.floor(this.world.serverTime);
    const predicted = {
      "cycle.switched": predictSwitch, "session.paused": predictPause, "session.resumed": predictResume,
    }[name]?.(this.state, now);
    const after = predicted ?? this.state;
    const payload = this.#payload(after, {
      event: name, reason: "manual", time_remaining_ms: after.time_remaining_ms, ...more,
    });
    if (predicted) {
      payload.participants = after.participants.filter((one, at) => one !== this.state.participants[at])
        .map((one) => ({ ...one }));
    } else if (payload.deadline_ms !== null) {
      payload.time_remaining_ms = payload.deadline_ms - now;
    }
    const version = this.state.version + 1;
    const event = { v: 1, type, session_id: ID, version, epoch: this.state.epoch, server_time_ms: now,
      payload };
    this.state = merge(this.state, event);
    this.log.push(event);
    return event;
  }

  publish(event) {
    this.live.forEach((socket) => socket.receive(event));
    return event;
  }

  handle(socket, message) {
    if (this.deaf) {
      return;
    }
    const answer = (fields) => socket.receive({ v: 1, ...fields });
    switch (message.type) {
      case "AUTH":
        if (this.wantsToken && !socket.attached) {
          this.attach(socket);
        } else if (socket.attached) {
          this.renew(socket, message);
        }
        break;
      case "PING":
        answer({ type: "PONG", t1: message.t1, t2: Math.floor(this.world.serverTime),
          t3: Math.floor(this.world.serverTime) });
        break;
      case "RECONNECT":
        if (this.reconnect !== null) {
          this.reconnect(socket, message);
        } else if (message.epoch === this.state.epoch && message.last_known_version <= this.state.version) {
          const missed = this.log.filter(({ version }) => version > message.last_known_version);
          answer({ type: "RECONNECT_ACK", success: true, replayed: missed.length });
          missed.forEach((event) => socket.receive(event));
        } else {
          answer({ type: "RECONNECT_ACK", success: true, replayed: "full" });
          this.sync(socket);
        }
        break;
      case "SWITCH": case "PAUSE": case "RESUME":
        this.#command(socket, message, answer);
        break;
      default:
    }
  }

  #command(socket, message, answer) {
    const { request_id, type, current_participant_id: current } = message;
    const refuse = (error) => answer({ type: "ERROR", request_id,
      error: { retryable: false, context: {}, ...error } });
    if (this.refuse !== null) {
      refuse(this.refuse);
      return;
    }
    if (!this.#done.has(request_id)) {
      const [name, status] = { SWITCH: ["cycle.switched", "running"], PAUSE: ["session.paused", "running"],
        RESUME: ["session.resumed", "paused"] }[type];
      if (this.state.status !== status) {
        refuse({ code: "INVALID_SESSION_STATE", message: `not in a session that is ${this.state.status}` });
        return;
      }
      if (current !== undefined && current !== this.state.active_participant_id) {
        refuse({ code: "CONCURRENT_MODIFICATION", message: "not active any more", retryable: true });
        return;
      }
      const event = this.happen(name);
      this.#done.set(request_id, event.version);
      if (!this.ackFirst) {
        this.publish(event);
      } else {
        this.world.after(5, () => this.publish(event));
      }
    }
    this.world.after(this.ackLaterMs,
      () => answer({ type: "ACK", request_id, version: this.#done.get(request_id) }));
  }

  /** `fetch`. */
  async http(url, { method, headers = {}, body, signal }) {
    const { world } = this;
    const path = new URL(url).pathname + new URL(url).search;
    const request = { method, path, headers, body: body === undefined ? undefined : JSON.parse(body),
      at: world.at };
    world.requests.push(request);
    const wait = (ms) => new Promise((resolve, reject) => {
      world.after(ms, resolve);
      signal?.addEventListener("abort", () => reject(signal.reason));
    });
    await wait(world.there);
    if (world.away || world.down) {
      throw new TypeError("fetch failed");
    }
    const receive_ms = Math.floor(world.serverTime);
    const planned = path === "/v1/time" ? undefined : this.answers.shift();
    if (planned === "never") {
      await wait(1e9);
    }
    await wait(world.back);
    if (planned === "lost") {
      throw new TypeError("fetch failed");
    }
    const { status = 200, json, text, headers: more = {} } = planned
      ?? { json: path === "/v1/time" ? { timestamp_ms: receive_ms, receive_ms, transmit_ms: receive_ms }
        : { data: { path } } };
    return new Response(status === 204 ? null : text ?? JSON.stringify(json), { status, headers: more });
  }
}
