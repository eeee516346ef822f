/**
 * The SyncKairos client: one module, without dependencies, that shows the clocks of sessions in a page.
 *
 *   import { SyncKairos } from "https://clock.example/synckairos.js";
 *   const session = new SyncKairos().session(id);
 *   await session.ready;
 *   session.remaining(participantId);        // ms left now
 *   session.switch();                        // the other clock runs at once
 *
 * From top to bottom: errors; the filter that measures the server's clock and the clock that is shown; the
 * state and how events change it, as pure functions; the prediction of own commands; clock faces; the
 * server's time; a session; the client. All times are milliseconds. README.md in this folder is the
 * reference.
 */

const PROTOCOL = "synckairos.v1";
/**
 * Where this module came from. It stands alone, because bundlers take `new URL("…", import.meta.url)` for a
 * file that they have to bring along. In a bundle it is the bundle's own address, or undefined.
 */
const OWN_URL = import.meta.url;
const BACKOFF_S = [1, 2, 4, 8, 16, 30];
const CONNECT_TIMEOUT_MS = 10_000;
/** A socket on which nothing arrives for so long after a PING is replaced. */
const SILENCE_MS = 10_000;
/** The same right after the page became visible or the device woke, when a dead socket is likely. */
const SILENCE_AFTER_WAKE_MS = 3_000;
/** How long the first measurement of the time waits for a session's socket before it goes over HTTP. */
const SOCKET_PATIENCE_MS = 500;
const HTTP_TRIES = 4;
const HTTP_TIMEOUT_MS = 10_000;
const HTTP_BACKOFF_MS = 300;
const LONGEST_RETRY_AFTER_MS = 10_000;
/** How long the promise of a command that succeeded over HTTP waits for its event on the socket. */
const EVENT_PATIENCE_MS = 2_000;
/** When the event of an acknowledged command has not arrived after this time, the client asks for it. */
const ACKNOWLEDGED_EVENT_MS = 1_000;
/** How often a command is sent before the client gives it up, when the service does not answer it. */
const COMMAND_TRIES = 4;
/** How long after the renewal of a token the next one is at least, and the pause before it is tried again. */
const EARLIEST_RENEWAL_MS = 2_000;
const RENEW_AGAIN_MS = 5_000;
/** After how many tokens in a row that had ended when they were given a session is given up. */
const ENDED_TOKENS = 3;
/** Why the service closes a socket whose token came too late, as over a line that stood still for a while. */
const LATE_TOKEN = "no token came in time";
/** How often a session without a socket is asked whether it is over, and how soon after a deadline. */
const POLL_MS = 2_000;
const SOON_MS = 100;
/** A longer timeout ends at once in browsers. */
const LONGEST_TIMEOUT_MS = 2 ** 31 - 1;
/** How often, over one connection, the client asks for the events after one version. */
const CATCH_UP_TRIES = 3;
/**
 * When the server confirms a command, its clock turns out to have started a little earlier or later than was
 * predicted. The shown clock then runs this much (25 %) faster or slower until the difference is gone.
 */
const RECONCILE_RATE = 0.25;
/** A larger difference is corrected at once. */
const RECONCILE_MS = 1_000;

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

// Errors

/** A refusal of the service, or a failure on the way to it. */
export class SyncKairosError extends Error {
  /**
   * @param {string} code one of the service's codes, or CONNECTION_LOST, NETWORK_TIMEOUT, UNEXPECTED_ANSWER,
   *   CLOSED, CLOCK_SKEW, CLOCK_SKEW_REFUSED, NO_URL, NO_WEBSOCKET
   * @param {string} message a sentence for people
   * @param {{status?: number | null, retryable?: boolean, details?: {field: string, message: string}[],
   *   context?: object, retryAfterMs?: number | null, cause?: unknown}} [more]
   */
  constructor(code, message, more = {}) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause });
    this.name = "SyncKairosError";
    this.code = code;
    this.status = more.status ?? null;
    this.retryable = more.retryable ?? false;
    this.details = more.details ?? [];
    this.context = more.context ?? {};
    this.retryAfterMs = more.retryAfterMs ?? null;
  }

  /**
   * The time controls that could not be read, each as `drawCaret` draws it, in the order of `details`.
   *
   * @param {object} given the config, or the participant, that was refused
   * @returns {string[]}
   */
  carets(given) {
    return this.details
      .map(({ field, message }) => drawCaret(textAt(given, field), message))
      .filter((drawn) => drawn !== null);
  }
}

/** How many characters of a text that could not be read are shown on either side of the place. */
const CARET_SHOWN = 60;

/**
 * A time control that could not be read, and below it a caret and what was expected at the place:
 *
 *     90+30 min
 *          ^ "x", "/" or the end expected
 *
 * Null without a text, or when the message, which is that of a detail, names no position. Positions count
 * characters. Those that do not print become `?`; of a long text the part around the place is shown.
 *
 * @param {string | null} text
 * @param {string} message
 * @returns {string | null}
 */
export function drawCaret(text, message) {
  const place = /cannot be read at position (\d+): (.*)/s.exec(message);
  if (typeof text !== "string" || place === null) return null;
  const characters = Array.from(text, (each) => (/[\p{C}\p{Zl}\p{Zp}]/u.test(each) ? "?" : each));
  const at = Number(place[1]) - 1;
  const begin = Math.max(0, at - CARET_SHOWN);
  const before = begin > 0 ? "…" : "";
  const after = characters.length > at + CARET_SHOWN ? "…" : "";
  const line = before + characters.slice(begin, at + CARET_SHOWN).join("") + after;
  return `${line}\n${" ".repeat(before.length + at - begin)}^ ${place[2]}`;
}

/** The time control as text at a path such as `participants.1.time_control`; null when there is none. */
function textAt(given, path) {
  const found = path.split(".").reduce((from, name) => from?.[name], given);
  const text = found?.notation ?? found;
  return typeof text === "string" ? text : null;
}

/** The error in the body of an answer. A body without one came from a proxy, and not from the service. */
function errorFrom(body, status = null, retryAfterMs = null) {
  const error = body?.error;
  if (typeof error?.code === "string") {
    return new SyncKairosError(error.code, error.message, { ...error, status, retryAfterMs });
  }
  const retryable = status === 429 || status === 502 || status === 503 || status === 504;
  return new SyncKairosError("UNEXPECTED_ANSWER", `the answer (status ${status}) is not the service's`, {
    status, retryable, retryAfterMs,
  });
}

// Time: pure

/**
 * Finds the offset of the server's clock from a local monotonic one, from round trips. The server cuts its
 * timestamps to whole milliseconds: the caller adds half a millisecond to them.
 */
export class ClockFilter {
  /** How many samples are kept. */
  static WINDOW = 8;
  /** How far two clocks may drift apart, as a share of the time that passes: 50 ppm are 4.3 s a day. */
  static DRIFT = 50e-6;
  /** How far a timestamp that was cut and got half a millisecond added may be off. */
  static RESOLUTION_MS = 0.5;
  #samples = [];

  /**
   * Adds a round trip: sent at t1 and back at t4 by the local clock, received at t2 and answered at t3 by the
   * server's.
   */
  add(t1, t2, t3, t4, now = t4) {
    const offset = (t2 - t1 + (t3 - t4)) / 2;
    const rtt = Math.max(0, t4 - t1 - (t3 - t2));
    // The server cannot have worked for longer than the whole round trip took, but for the cut timestamps.
    const isPossible = t4 >= t1 && t3 >= t2 && t3 - t2 <= t4 - t1 + 2 * ClockFilter.RESOLUTION_MS;
    if (!isPossible || !Number.isFinite(offset) || !Number.isFinite(rtt)) {
      return;
    }
    this.#samples.push({ offset, rtt, at: now });
    if (this.#samples.length > ClockFilter.WINDOW) {
      this.#samples.shift();
    }
  }

  /**
   * The best of the newest samples at local time `now`, or null without any. The true offset lies within
   * `uncertainty` of `offset`. That is half the round trip (because how it divides into the way there and the
   * way back is not known), half a millisecond for the cut timestamps, and the drift since the sample.
   */
  estimate(now) {
    let best = null;
    for (const { offset, rtt, at } of this.#samples) {
      const uncertainty = rtt / 2 + ClockFilter.RESOLUTION_MS + Math.max(0, now - at) * ClockFilter.DRIFT;
      if (best === null || uncertainty <= best.uncertainty) {
        best = { offset, uncertainty, rtt };
      }
    }
    return best;
  }

  /** Forgets all samples. */
  reset() {
    this.#samples = [];
  }
}

/**
 * The server's clock as it is shown. It follows the estimates by running a little fast or slow, and never
 * goes back. Only a step forward of more than a second (after the device slept) is made at once.
 */
export class SlewedClock {
  /** How much faster or slower it runs to reach the estimate: 5 %. */
  static RATE = 0.05;
  /** The same when it is more than a second ahead, where it cannot jump. */
  static BACK_RATE = 0.5;
  static STEP_MS = 1000;
  #offset = null;
  #target = 0;
  #updatedAt = 0;

  /** Sets a new estimate at local time `local`: `offset` is server time minus local time. */
  set(offset, local) {
    if (this.#offset === null) {
      this.#offset = offset;
      this.#updatedAt = local;
    } else {
      this.#advance(local);
      if (offset - this.#offset > SlewedClock.STEP_MS) {
        this.#offset = offset;
      }
    }
    this.#target = offset;
  }

  /** Server time at local time `local`; null before the first estimate. */
  now(local) {
    if (this.#offset === null) {
      return null;
    }
    this.#advance(local);
    return Math.max(local, this.#updatedAt) + this.#offset;
  }

  /** How far the shown clock is from the newest estimate at local time `local`; 0 before the first one. */
  gap(local) {
    if (this.#offset === null) {
      return 0;
    }
    this.#advance(local);
    return Math.abs(this.#target - this.#offset);
  }

  #advance(local) {
    const passed = local - this.#updatedAt;
    if (passed <= 0) {
      return;
    }
    const gap = this.#target - this.#offset;
    if (gap >= 0) {
      this.#offset += Math.min(gap, SlewedClock.RATE * passed);
    } else {
      const rate = -gap > SlewedClock.STEP_MS ? SlewedClock.BACK_RATE : SlewedClock.RATE;
      this.#offset -= Math.min(-gap, rate * passed);
    }
    this.#updatedAt = local;
  }
}

// State: pure

/**
 * The key of the details of the current cycle that the client needs and the service's state does not say.
 * offset: how long the cycle had run (ms) when its clock, which had run out, got time again
 * flagged: whether its clock ran out and stays at its end
 * spent: how much the cycle was charged (ms) until its clock ran out
 * last: by group, the index of the member who was active last, also if that one has left
 * past: the same at the end of each cycle before this one, for turns that are taken back
 * pausesEnd: the server time (ms) at which the pause that is under way will have taken all that is left for
 *   pauses; null without one that counts
 */
const CYCLE = Symbol("synckairos");
const NO_CYCLE = Object.freeze({
  offset: 0, flagged: false, spent: 0, last: Object.freeze({}), past: Object.freeze([]), pausesEnd: null,
});
/** How many cycles back `past` reaches: as far as the service's log, from which turns are taken back. */
const MOST_PAST = 64;
/** Events after which a live session is in a fresh cycle, although no cycle was counted. */
const BEGINNINGS = new Set(["session.started", "turn.taken_back", "turn.set", "session.reopened"]);

const iso = (ms) => new Date(ms).toISOString();
const isLive = (state) => state.status === "running" || state.status === "paused";
const isOver = (state) => ["expired", "completed", "cancelled"].includes(state.status);

function deepFreeze(value) {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(deepFreeze);
  }
  return value;
}

const inRotation = (one, other) => one.participant_index - other.participant_index;

/** Who owns the clocks: "participant", "group", "cycle" or "session". */
function ownedBy(state) {
  switch (state.sync_mode) {
    case "per_participant": return "participant";
    case "per_group": return "group";
    case "per_cycle": return "cycle";
    case "global": return state.time_per_cycle_ms === null ? "session" : "cycle";
    default: return "session";
  }
}

const participantOf = (state, id) => state.participants.find((one) => one.participant_id === id) ?? null;
const groupOf = (state, id) => state.groups.find((one) => one.group_id === id) ?? null;

/** The entry of the participant or group whose clock the current cycle runs on; null where there is none. */
function runningOwner(state) {
  if (!isLive(state)) {
    return null;
  }
  switch (ownedBy(state)) {
    case "participant": return participantOf(state, state.active_participant_id);
    case "group": return groupOf(state, state.active_group_id);
    default: return null;
  }
}

/** An owner's time control, its overtime, and the rule that holds now (with stages: the current one's). */
function ruleOf(state, entry) {
  const control = entry.time_control ?? state.time_control;
  const overtime = control.overtime_ms ?? 0;
  const stage = entry.clock?.stage;
  return { rule: control.kind === "stages" ? control.stages[stage ?? 0] : control, control, overtime };
}

const kindOf = (rule) => rule.kind ?? "fischer";

/** How much a cycle may use in addition to the bank (ms): delay, periods or block, but not the overtime. */
function extraBudget(rule, clock, offset) {
  switch (kindOf(rule)) {
    case "delay": return Math.max(0, rule.delay_ms - offset);
    case "byoyomi": return clock.periods_left * rule.period_ms;
    case "canadian": return clock.block_remaining_ms;
    default: return 0;
  }
}

/** Whether the remaining time goes down. A clock may be at its end while the session's total runs on. */
function runsDown(state) {
  if (state.status !== "running" || state.deadline_ms === null || state.time_remaining_ms === null) {
    return false;
  }
  const owner = runningOwner(state);
  const overtime = owner ? ruleOf(state, owner).overtime : 0;
  return state.deadline_ms - overtime - state.server_time_ms === state.time_remaining_ms;
}

/**
 * `pausesEnd` of the cycle, as far as a state tells. A pause that counts ends by itself, at the latest when
 * nothing remains. The stand after a reopen does not, and one that is not counted only by `max_pause_ms`.
 * When nothing remains, it is not known since when: then it is taken to be since the pause was to end.
 */
function pausesEndOf(state) {
  const { pause_remaining_ms: left = null, resumes_at_ms: resumes = null } = state;
  if (state.status !== "paused" || left === null || resumes === null) {
    return null;
  }
  const end = left > 0 ? state.server_time_ms + left : Math.min(state.server_time_ms, resumes);
  return resumes <= end ? end : null;
}

/** A start or an end of the session, which is gone once it has come. */
const ahead = (instant, now) => ((instant ?? null) === null || instant <= now ? null : instant);

/** How much of the used time went beyond the main time (ms). A bank below zero counts as empty. */
const beyond = (bank, used) => Math.max(0, bank > 0 ? used - bank : used);

/** The field `clock.now`: the clock's details if the cycle were charged now; undefined where it has none. */
function clockNow(state, entry, left) {
  const { rule, overtime } = ruleOf(state, entry);
  if (left === null) {
    return undefined;
  }
  const { total_time_ms: bank, clock } = entry;
  const shown = Math.max(left, 0 - overtime);
  const now = {};
  if (kindOf(rule) === "byoyomi") {
    const over = beyond(bank, bank + extraBudget(rule, clock, 0) - shown);
    now.periods_left = Math.max(0, clock.periods_left - Math.floor(over / rule.period_ms));
    now.period_remaining_ms = now.periods_left > 0 ? rule.period_ms - (over % rule.period_ms) : 0;
  } else if (kindOf(rule) === "canadian") {
    const over = beyond(bank, bank + extraBudget(rule, clock, 0) - shown);
    now.block_remaining_ms = Math.max(0, clock.block_remaining_ms - over);
  }
  if (overtime > 0) {
    now.overtime_used_ms = Math.max(0, -Math.min(bank, shown));
  }
  return Object.keys(now).length > 0 ? now : undefined;
}

const withoutNow = (entry) => {
  if (entry.clock?.now === undefined) {
    return entry;
  }
  const { now, ...clock } = entry.clock;
  return { ...entry, clock };
};

/**
 * A state at a later server time (whole ms), with the clocks run on: what `GET` would show then if nothing
 * happened in the meantime.
 */
export function stateAt(state, serverTimeMs) {
  const now = Math.max(serverTimeMs, state.server_time_ms);
  const next = { ...state, server_time_ms: now };
  const { pausesEnd } = state[CYCLE] ?? { pausesEnd: pausesEndOf(state) };
  if (state.status === "running") {
    const passed = now - state.server_time_ms;
    next.cycle_elapsed_ms = now - Date.parse(state.cycle_started_at);
    if (runsDown(state)) {
      next.time_remaining_ms = state.time_remaining_ms - passed;
    }
    if (state.total_remaining_ms !== null) {
      next.total_remaining_ms = Math.max(0, state.total_remaining_ms - passed);
    }
  } else if (pausesEnd !== null) {
    next.pause_remaining_ms = Math.max(0, pausesEnd - now);
  } else if (isOver(state) && (state.starts_at_ms ?? state.ends_at_ms ?? null) !== null) {
    next.starts_at_ms = ahead(state.starts_at_ms, now);
    next.ends_at_ms = ahead(state.ends_at_ms, now);
  }
  const owner = runningOwner(next);
  if (owner) {
    const shown = { ...withoutNow(owner), time_remaining_ms: next.time_remaining_ms };
    const view = clockNow(next, shown, next.time_remaining_ms);
    if (view) {
      shown.clock = { ...shown.clock, now: view };
    }
    const list = ownedBy(state) === "group" ? "groups" : "participants";
    next[list] = state[list].map((entry) => (entry === owner ? shown : entry));
  }
  return deepFreeze(next);
}

/** Returns the state. Throws when a time in it is no number: no clock at all is better than a wrong one. */
function requireFiniteTimes(state) {
  const owners = [...state.participants, ...state.groups];
  const instants = [state.version, state.server_time_ms, state.cycle_count];
  if (state.status === "running") {
    instants.push(Date.parse(state.cycle_started_at));
  }
  const times = [state.deadline_ms, state.time_remaining_ms, state.total_remaining_ms, state.starts_at_ms,
    state.ends_at_ms, state.resumes_at_ms, state.pause_remaining_ms,
    ...owners.flatMap(({ total_time_ms, time_remaining_ms }) => [total_time_ms, time_remaining_ms])];
  if (!instants.every(Number.isFinite) || !times.every((time) => Number.isFinite(time ?? 0))) {
    throw new TypeError("a state whose times are no numbers");
  }
  return state;
}

/** Makes a whole state, as the service sends it, ready for `merge` and the other functions below. */
export function adopt(full) {
  const cycle = { ...NO_CYCLE, pausesEnd: pausesEndOf(full) };
  const { time_remaining_ms: left, cycle_elapsed_ms: elapsed } = full;
  const owner = runningOwner(full);
  if (isLive(full) && left !== null) {
    let bank = null;
    let more = 0;
    let delay = 0;
    if (owner) {
      const { rule } = ruleOf(full, owner);
      cycle.flagged = owner.has_expired;
      bank = owner.total_time_ms;
      delay = kindOf(rule) === "delay" ? rule.delay_ms : 0;
      more = delay > 0 ? 0 : extraBudget(rule, owner.clock, 0);
    } else {
      if (full.sync_mode === "count_up") {
        bank = full.max_time_ms - full.time_used_ms;
      } else if (ownedBy(full) === "session") {
        bank = full.total_time_ms;
      }
      const mayBeFlagged = bank === null
        ? full.action_on_timeout.type === "notify" && !full.auto_advance && left === 0 : bank === 0;
      cycle.flagged = full.status === "running" ? !runsDown(full) : mayBeFlagged;
    }
    if (bank !== null && !cycle.flagged) {
      const behind = left - bank - more + elapsed;
      cycle.offset = behind > delay ? behind : 0;
    }
  }
  const active = isLive(full) ? participantOf(full, full.active_participant_id) : null;
  if (active?.group_id) {
    cycle.last = { [active.group_id]: active.participant_index };
  }
  return deepFreeze({ ...full, [CYCLE]: Object.freeze(cycle) });
}

/** How much the current cycle would be charged (ms) if it ended at the state's time. */
function charge(state) {
  const { offset, flagged } = state[CYCLE];
  if (flagged || !isLive(state)) {
    return 0;
  }
  const used = state.cycle_elapsed_ms - offset;
  const owner = runningOwner(state);
  if (owner && owner.total_time_ms !== null) {
    const { rule, overtime } = ruleOf(state, owner);
    return Math.min(used, owner.total_time_ms + extraBudget(rule, owner.clock, offset) + overtime);
  }
  return used;
}

/** The entries, with the changed ones in the places of the old ones, new ones at the end, one left out. */
function mergeEntries(entries, changed, idField, removedId) {
  const updates = new Map(changed.map((entry) => [entry[idField], withoutNow(entry)]));
  const result = [];
  for (const entry of entries) {
    if (entry[idField] !== removedId) {
      result.push(updates.get(entry[idField]) ?? withoutNow(entry));
      updates.delete(entry[idField]);
    }
  }
  return updates.size > 0 ? [...result, ...updates.values()] : result;
}

/**
 * The state after an event, as `GET` would show it at that moment. The event's version has to be the one
 * after the state's, in the same epoch.
 */
export function merge(state, event) {
  const { payload, server_time_ms: now } = event;
  const was = stateAt(state, now);
  const before = was[CYCLE];
  const ended = payload.cycle_count > was.cycle_count;
  const live = payload.status === "running" || payload.status === "paused";
  const begins = live && (ended || BEGINNINGS.has(payload.event));

  const removed = payload.removed_participant_id;
  let used = 0;
  for (const entry of payload.participants) {
    used += entry.time_used_ms - (participantOf(was, entry.participant_id)?.time_used_ms ?? 0);
  }
  if (ended && removed !== undefined) {
    used += charge(was);
  }
  if (payload.event === "session.reset") {
    used = -was.time_used_ms; // also that of participants who have left
  }

  const next = {
    ...was,
    version: event.version,
    epoch: event.epoch,
    server_time_ms: now,
    status: payload.status,
    active_participant_id: payload.active_participant_id,
    active_group_id: payload.active_group_id,
    cycle_started_at: payload.cycle_started_at,
    deadline_ms: payload.deadline_ms,
    time_remaining_ms: payload.time_remaining_ms,
    cycle_count: payload.cycle_count,
    time_used_ms: was.time_used_ms + used,
    total_remaining_ms: payload.total_remaining_ms ?? null,
    resumes_at_ms: payload.resumes_at_ms ?? null,
    updated_at: iso(now),
    cycle_elapsed_ms: null,
    participants: mergeEntries(was.participants, payload.participants, "participant_id", removed),
    groups: mergeEntries(was.groups, payload.groups, "group_id"),
  };
  if (payload.event === "participant.added") {
    next.participants.sort(inRotation);
  }
  if (payload.metadata !== undefined) {
    next.metadata = payload.metadata;
  }
  if (payload.event === "session.started") {
    next.session_started_at = payload.cycle_started_at;
  } else if (payload.event === "session.reset") {
    Object.assign(next, { session_started_at: null, recovered: false, recovered_at: null, warning: null });
  }
  if (live || payload.status === "pending") {
    next.session_completed_at = null;
  } else if (next.session_completed_at === null) {
    const over = isByEnd(was, payload, now) ? was.ends_at_ms : payload.expired_deadline_ms;
    next.session_completed_at = iso(over ?? now);
  }
  if (live) {
    next.cycle_elapsed_ms = payload.status === "running" ? now - Date.parse(payload.cycle_started_at)
      : begins ? 0 : was.cycle_elapsed_ms;
  }
  const adjusted = payload.adjusted_ms ?? 0;
  mergeOwnClock(was, next, payload, { begins, used });
  mergeSchedule(next, payload);
  mergePauses(state, next, payload);
  const details = cycleDetailsAfter(was, next, before, { begins, live, payload, used, adjusted });
  next[CYCLE] = Object.freeze(details);
  return stateAt(next, now);
}

/** Whether the session was completed because `ends_at_ms` has come. */
function isByEnd(was, payload, now) {
  return payload.event === "session.completed" && payload.reason === "auto"
    && payload.expired_deadline_ms === undefined && (was.ends_at_ms ?? Infinity) <= now;
}

/** `total_time_ms` and `max_time_ms` after an event. In some modes they are the session's own clock. */
function mergeOwnClock(was, next, payload, { begins, used }) {
  const countsUp = was.sync_mode === "count_up";
  if (!countsUp && ownedBy(was) !== "session") {
    return;
  }
  const { time_remaining_ms: left, adjusted_ms: adjusted } = payload;
  if (payload.event === "session.reset") {
    if (countsUp) {
      next.max_time_ms = payload.max_time_ms;
    } else {
      next.total_time_ms = payload.total_time_ms;
    }
  } else if (!countsUp && begins && left !== null) {
    // When turns are taken back, the times used come back, but the session's clock runs on.
    next.total_time_ms = left + next.cycle_elapsed_ms;
  } else if (!countsUp) {
    next.total_time_ms = was.total_time_ms - used + (adjusted ?? 0);
  } else if (adjusted !== undefined) {
    next.max_time_ms = (was.max_time_ms ?? was.time_used_ms + (was.cycle_elapsed_ms ?? 0)) + adjusted;
  }
}

/** Puts the session's start and end after an event into `next`. What has come is gone. */
function mergeSchedule(next, payload) {
  if (payload.event === "session.created" || payload.event === "session.scheduled") {
    next.starts_at_ms = payload.starts_at_ms ?? null;
    next.ends_at_ms = payload.ends_at_ms ?? null;
  } else if (isLive(next) && (next.starts_at_ms ?? null) !== null) {
    next.starts_at_ms = null;
  }
  const now = next.server_time_ms;
  if ((isOver(next) || payload.event === "session.reopened" || payload.event === "session.reset")
    && (next.starts_at_ms ?? next.ends_at_ms ?? null) !== null) {
    next.starts_at_ms = ahead(next.starts_at_ms, now);
    next.ends_at_ms = ahead(next.ends_at_ms, now);
  }
}

/** Puts the pauses that are left after an event into `next`. before: the state before it. */
function mergePauses(before, next, payload) {
  const { pauses_left: pauses = null, pause_remaining_ms: left = null } = before;
  if (pauses === null && left === null) {
    return;
  }
  if (payload.event === "session.reset") {
    next.pauses_left = next.max_pauses;
    next.pause_remaining_ms = next.max_total_pause_ms;
  } else if (payload.event === "session.paused" && payload.counted !== false && pauses !== null) {
    next.pauses_left = Math.max(0, pauses - 1);
  } else if (before[CYCLE].pausesEnd !== null && next.status !== "paused") {
    // It may have ended before that was noticed.
    const ended = next.status === "running" ? Date.parse(next.cycle_started_at) + before.cycle_elapsed_ms
      : Date.parse(next.session_completed_at);
    next.pause_remaining_ms = Math.max(0, before[CYCLE].pausesEnd - ended);
  }
}

/**
 * Whether the session's own bank has run out in the cycle that this event ended. It has when it was empty at
 * the end of that cycle, though its time was not up: after an adjust in a pause.
 */
function isEmptied(was, next, event) {
  const isOut = ({ time_remaining_ms: left }) => left !== null && left <= 0;
  switch (event) {
    case "participant.removed":
    case "turn.set": return isOut(was);
    case "session.reopened": return isOut(next);
    default: return false;
  }
}

function cycleDetailsAfter(was, next, before, { begins, live, payload, used, adjusted }) {
  if (payload.event === "session.reset") {
    return NO_CYCLE;
  }
  let { offset, flagged, spent, past, pausesEnd } = before;
  if (payload.event === "session.paused") {
    const left = next.pause_remaining_ms ?? null;
    pausesEnd = left === null || payload.counted === false ? null : next.server_time_ms + left;
  } else if (next.status !== "paused" || payload.event === "session.reopened") {
    pausesEnd = null;
  }
  let { last } = before;
  if (payload.event === "turn.taken_back") {
    // Without the past, as of a client that came later, it is not known who was active last.
    const back = past.length - (payload.turns ?? 1);
    last = past[back] ?? NO_CYCLE.last;
    past = past.slice(0, Math.max(0, back));
  } else if (payload.cycle_count > was.cycle_count) {
    past = [...past, last].slice(-MOST_PAST);
  }
  if (!live) {
    return { ...NO_CYCLE, last, past };
  }
  const owner = runningOwner(next);
  if (begins) {
    offset = 0;
    spent = 0;
    flagged = owner ? owner.has_expired
      : ownedBy(next) === "session" && (flagged || isEmptied(was, next, payload.event));
    const active = participantOf(next, next.active_participant_id);
    if (active?.group_id) {
      last = { ...last, [active.group_id]: active.participant_index };
    }
  } else if (payload.event === "participant.expired") {
    flagged = true;
    spent += used;
  } else if (payload.event === "time.adjusted" && flagged && (owner ? !owner.has_expired : adjusted > 0)) {
    flagged = false;
    offset = next.cycle_elapsed_ms;
  }
  return { offset, flagged, spent, last, past, pausesEnd };
}

// Prediction: the state after an own command, before the service confirms it

/** An entry with these changes, as the state shows it while the owner waits for the next cycle. */
function idleEntry(state, entry, changes) {
  const changed = { ...withoutNow(entry), is_active: false, ...changes };
  if (changed.total_time_ms !== null && changed.clock) {
    changed.time_remaining_ms = changed.has_expired ? Math.min(changed.total_time_ms, 0)
      : changed.total_time_ms + extraBudget(ruleOf(state, changed).rule, changed.clock, 0);
    if (changed.clock.overtime_used_ms !== undefined) {
      changed.clock = { ...changed.clock, overtime_used_ms: Math.max(0, -changed.total_time_ms) };
    }
  }
  return changed;
}

/** The details of a clock at the beginning of a stage, or of a new block of moves. */
function freshClock(rule) {
  switch (kindOf(rule)) {
    case "byoyomi": return { periods_left: rule.periods };
    case "canadian": return { moves_left: rule.moves, block_remaining_ms: rule.period_ms };
    default: return {};
  }
}

/** An owner's bank and clock, charged for a cycle that used `used` ms and ended in time. */
function charged(state, entry, used, offset) {
  const { rule } = ruleOf(state, entry);
  const { total_time_ms: bank } = entry;
  let clock = withoutNow(entry).clock;
  let rest = bank - used;
  switch (kindOf(rule)) {
    case "delay":
      rest = bank - Math.max(0, used - extraBudget(rule, clock, offset));
      break;
    case "byoyomi": {
      const over = beyond(bank, used);
      const past = Math.max(0, over - clock.periods_left * rule.period_ms);
      rest = over === 0 ? Math.max(rest, Math.min(bank, 0)) : Math.min(bank, 0) - past;
      clock = { ...clock, periods_left: Math.max(0, clock.periods_left - Math.floor(over / rule.period_ms)) };
      break;
    }
    case "canadian": {
      const over = beyond(bank, used);
      const block = clock.block_remaining_ms - over;
      rest = over === 0 ? Math.max(rest, Math.min(bank, 0)) : Math.min(bank, 0) + Math.min(block, 0);
      clock = { ...clock, block_remaining_ms: Math.max(0, block) };
      break;
    }
    default:
  }
  return { total_time_ms: rest, clock };
}

/** The same, with what the time control gives at the end of the cycle. */
function afterCycle(state, entry, used, offset) {
  const { rule, control } = ruleOf(state, entry);
  let { total_time_ms: rest, clock } = charged(state, entry, used, offset);
  switch (kindOf(rule)) {
    case "fischer": {
      const cap = state.max_time_ms ?? 0;
      const credited = rest + (rule.increment_ms ?? state.increment_ms ?? 0);
      rest = cap > 0 && credited > cap ? Math.max(rest, cap) : credited;
      break;
    }
    case "bronstein":
      rest += Math.min(used, rule.delay_ms);
      break;
    case "byoyomi":
      rest += rest > 0 ? rule.increment_ms ?? 0 : 0;
      break;
    case "canadian":
      if (rest <= 0) {
        clock = clock.moves_left > 1 ? { ...clock, moves_left: clock.moves_left - 1 }
          : { ...clock, ...freshClock(rule) };
      }
      break;
    default:
  }
  if (control.kind === "stages" && rule.moves !== undefined && kindOf(rule) !== "canadian") {
    if (clock.moves_left > 1) {
      clock = { ...clock, moves_left: clock.moves_left - 1 };
    } else {
      // The last stage has a number of moves only where it repeats.
      const stage = Math.min(clock.stage + 1, control.stages.length - 1);
      const following = control.stages[stage];
      const { overtime_used_ms, quota_ms } = clock;
      const isLast = following.moves === undefined || kindOf(following) === "canadian";
      rest += following.time_ms;
      clock = {
        stage, ...(isLast ? {} : { moves_left: following.moves }), ...freshClock(following),
        ...(overtime_used_ms === undefined ? {} : { overtime_used_ms }),
        ...(quota_ms === undefined ? {} : { quota_ms }),
      };
    }
  }
  return { total_time_ms: rest, clock };
}

/** The participant whose turn comes next; null where that is not known. */
function nextInTurn(state) {
  const by = ownedBy(state);
  const mayBeOut = state.action_on_timeout.type !== "notify";
  const active = participantOf(state, state.active_participant_id);
  const byIndex = [...state.participants].sort(inRotation);
  const after = (list, index) => list.find((one) => one.participant_index > index) ?? list[0] ?? null;
  if (by !== "group") {
    return after(byIndex.filter((one) => !(by === "participant" && mayBeOut && one.has_expired)),
      active.participant_index);
  }
  // A group's place in the rotation is the lowest index of its members.
  const firsts = byIndex.filter((one) => byIndex.find((other) => other.group_id === one.group_id) === one);
  const place = firsts.find((one) => one.group_id === active.group_id).participant_index;
  const first = after(firsts.filter((one) => !(mayBeOut && groupOf(state, one.group_id).has_expired)), place);
  if (!first) {
    return null;
  }
  const members = byIndex.filter((one) => one.group_id === first.group_id);
  const last = state[CYCLE].last[first.group_id];
  if (last !== undefined) {
    return after(members, last);
  }
  // The group's last turn was before this client came. As the members take turns, the first of those with the
  // fewest cycles is next.
  const fewest = Math.min(...members.map((one) => one.cycle_count));
  return members.find((one) => one.cycle_count === fewest);
}

/** Whether something is due that the service will do instead of a command: an expiry, or an end. */
const isDue = (state) => [state.deadline_ms, state.resumes_at_ms, state.ends_at_ms]
  .some((instant) => (instant ?? null) !== null && state.server_time_ms >= instant);

/** The state after a payload that was predicted here. It keeps its version, as no event has confirmed it. */
function predicted(state, payload) {
  const { version, epoch, server_time_ms } = state;
  const full = { participants: [], groups: [], actor: null, trace: null, reason: "manual", ...payload };
  return merge(state, { version, epoch, server_time_ms, payload: full });
}

/**
 * The state that a switch at this server time will most likely lead to; null where the service has to decide.
 * It is exact but for the time that lag compensation will credit.
 */
export function predictSwitch(state, serverTimeMs, nextId = null) {
  const was = stateAt(state, Math.round(serverTimeMs));
  const next = was.status === "running" && !isDue(was)
    ? nextId === null ? nextInTurn(was) : participantOf(was, nextId) : null;
  if (!next) {
    return null;
  }
  const by = ownedBy(was);
  const { offset, flagged, spent: spentBefore } = was[CYCLE];
  const used = charge(was);
  const now = was.server_time_ms;
  const owns = by === "participant" || by === "group";
  const isLast = (was.max_cycles ?? Infinity) <= was.cycle_count + 1;
  const entries = new Map();
  const current = (entry) => entries.get(entry.participant_id ?? entry.group_id) ?? entry;
  const change = (entry, changes) => {
    const changed = idleEntry(was, current(entry), changes);
    entries.set(entry.participant_id ?? entry.group_id, changed);
    return changed;
  };

  const active = participantOf(was, was.active_participant_id);
  const owner = runningOwner(was);
  const endless = owner !== null && owner.total_time_ms === null;
  for (const entry of [active, groupOf(was, was.active_group_id)]) {
    if (entry) {
      const spend = isLast ? charged : afterCycle;
      const spent = entry === owner && !flagged && !endless ? spend(was, owner, used, offset) : {};
      const counted = { time_used_ms: entry.time_used_ms + used, cycle_count: entry.cycle_count + 1 };
      change(entry, { ...spent, ...counted });
    }
  }
  const changedOf = (kind) => [...entries.values()]
    .filter((entry) => (entry.participant_id === undefined ? "groups" : "participants") === kind);
  const isOut = (entry) => entry.has_expired && was.action_on_timeout.type !== "notify";
  if (owns && isOut(by === "group" ? groupOf(was, next.group_id) : next) && next !== active) {
    return null;
  }
  if (isLast) {
    return predicted(was, {
      event: "session.completed",
      reason: "auto",
      status: "completed",
      active_participant_id: null,
      active_group_id: null,
      cycle_started_at: null,
      deadline_ms: null,
      time_remaining_ms: null,
      cycle_count: was.cycle_count + 1,
      participants: changedOf("participants"),
      groups: changedOf("groups"),
      total_remaining_ms: was.total_remaining_ms ?? undefined,
    });
  }
  const group = next.group_id === null ? null : groupOf(was, next.group_id);
  let left = was.time_remaining_ms;
  let deadline = was.deadline_ms;
  let nextOwner = null;
  if (owns) {
    nextOwner = current(by === "group" ? group : next);
    const isHourglass = !endless && kindOf(ruleOf(was, owner).rule) === "hourglass";
    if (isHourglass && nextOwner.total_time_ms !== null) {
      const transferredMs = spentBefore + used;
      nextOwner = change(by === "group" ? group : next, {
        total_time_ms: nextOwner.total_time_ms + transferredMs,
        has_expired: nextOwner.has_expired && transferredMs === 0,
      });
    }
    const fresh = idleEntry(was, nextOwner, {});
    left = fresh.time_remaining_ms;
    deadline = left === null || fresh.has_expired ? null : now + left + ruleOf(was, fresh).overtime;
  } else if (by === "cycle") {
    left = was.time_per_cycle_ms;
    if (was.total_remaining_ms !== null) {
      left = Math.min(left, was.total_remaining_ms);
    }
    deadline = now + left;
  }
  change(next, { is_active: true });
  if (group) {
    change(group, { is_active: true });
  }
  return predicted(was, {
    event: "cycle.switched",
    status: "running",
    active_participant_id: next.participant_id,
    active_group_id: group ? group.group_id : null,
    cycle_started_at: iso(now),
    deadline_ms: deadline,
    time_remaining_ms: left,
    cycle_count: was.cycle_count + 1,
    participants: changedOf("participants"),
    groups: changedOf("groups"),
    total_remaining_ms: was.total_remaining_ms ?? undefined,
  });
}

/**
 * The state after a pause at this server time; null where the service has to decide. counted: whether the
 * pause is one of those that are bounded.
 */
export function predictPause(state, serverTimeMs, { counted = true } = {}) {
  const was = stateAt(state, Math.round(serverTimeMs));
  const { pauses_left: pauses = null, pause_remaining_ms: pauseLeft = null } = was;
  if (was.status !== "running" || isDue(was) || (counted && (pauses === 0 || pauseLeft === 0))) {
    return null;
  }
  const longest = Math.min(was.max_pause_ms ?? Infinity, (counted ? pauseLeft : null) ?? Infinity);
  return predicted(was, {
    event: "session.paused",
    status: "paused",
    active_participant_id: was.active_participant_id,
    active_group_id: was.active_group_id,
    cycle_started_at: null,
    deadline_ms: null,
    time_remaining_ms: was.time_remaining_ms,
    cycle_count: was.cycle_count,
    total_remaining_ms: was.total_remaining_ms ?? undefined,
    resumes_at_ms: longest < Infinity ? was.server_time_ms + longest : undefined,
    counted,
  });
}

/** The state after a resume at this server time; null where the service has to decide. */
export function predictResume(state, serverTimeMs) {
  const was = stateAt(state, Math.round(serverTimeMs));
  if (was.status !== "paused" || isDue(was)) {
    return null;
  }
  if (was[CYCLE].flagged && was.action_on_timeout.type !== "notify") {
    return null; // after a reopen, onto a clock that is out of time: the service refuses it
  }
  const now = was.server_time_ms;
  const owner = runningOwner(was);
  let deadline = null;
  if (was[CYCLE].flagged) {
    deadline = was.total_remaining_ms === null ? null : now + was.total_remaining_ms;
  } else if (was.time_remaining_ms !== null) {
    deadline = now + was.time_remaining_ms + (owner ? ruleOf(was, owner).overtime : 0);
  }
  return predicted(was, {
    event: "session.resumed",
    status: "running",
    active_participant_id: was.active_participant_id,
    active_group_id: was.active_group_id,
    cycle_started_at: iso(now - was.cycle_elapsed_ms),
    deadline_ms: deadline,
    time_remaining_ms: was.time_remaining_ms,
    cycle_count: was.cycle_count,
    total_remaining_ms: was.total_remaining_ms ?? undefined,
  });
}

// Clock faces: what is shown at any moment, in fractions of a millisecond

/** A time of a clock as text, such as "3 d 04:05:06", "5:00", "0:09.4" or "-0:03": see README.md. */
export function clockText(ms, { countUp = false } = {}) {
  if (ms === null || ms === undefined) {
    return "-:--";
  }
  const round = countUp ? Math.floor : Math.ceil;
  const inTenths = round(ms / 100);
  const fine = !countUp && ms > 0 && inTenths < 100;
  const units = fine ? inTenths : 10 * round(ms / 1000);
  const whole = Math.floor(Math.abs(units) / 10);
  const days = Math.floor(whole / 86_400);
  const hours = Math.floor(whole / 3_600) % 24;
  const two = (number) => String(number).padStart(2, "0");
  const minutes = Math.floor(whole / 60) % 60;
  const rest = hours > 0 || days > 0 ? `${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
  const text = days > 0 ? `${days} d ${two(hours)}:${rest}` : hours > 0 ? `${hours}:${rest}` : rest;
  return `${units < 0 ? "-" : ""}${text}${fine ? `.${Math.abs(units) % 10}` : ""}`;
}

/** How long it is until a session that runs or is paused ends by itself; null without an end. */
function endsIn(state, now) {
  return isLive(state) && (state.ends_at_ms ?? null) !== null ? Math.max(0, state.ends_at_ms - now) : null;
}

/** The moment to show: once the session's end has come, its clocks stand until the service tells it. */
const untilEnd = (state, now) => (state.status === "running" ? Math.min(now, state.ends_at_ms ?? now) : now);

/** Whether the session ends before the current clock, which has `left` ms, would run out. */
function endsFirst(state, now, left) {
  const ends = endsIn(state, now);
  return ends !== null && !state[CYCLE].flagged && (left === null || ends <= left);
}

/** For how long all pauses together may still last, at a server time: see `Session.pauseRemaining`. */
export function pauseRemainingAt(state, now) {
  const { pausesEnd } = state[CYCLE];
  if (pausesEnd === null) {
    return state.pause_remaining_ms ?? null;
  }
  return Math.max(0, pausesEnd - Math.min(now, state.resumes_at_ms ?? now));
}

/** What the session will do by itself next, at a server time: see `Session.due`. */
export function dueAt(state, now) {
  const at = { end: isOver(state) ? null : state.ends_at_ms };
  switch (state.status) {
    case "pending": at.start = state.starts_at_ms; break;
    case "running": at.deadline = state.deadline_ms; break;
    case "paused": at.resume = state.resumes_at_ms; break;
    default:
  }
  let next = null;
  for (const [kind, instant] of Object.entries(at)) {
    if ((instant ?? null) !== null && (next === null || instant < next.at)) { // of equal ones the end
      next = { kind, at: instant, inMs: Math.max(0, instant - now) };
    }
  }
  return next;
}

/** How much the current cycle's clock has left at a server time: at least minus its overtime. */
function leftOf(state, now) {
  if (state.time_remaining_ms === null) {
    return null;
  }
  const owner = runningOwner(state);
  const overtime = owner ? ruleOf(state, owner).overtime : 0;
  const passed = runsDown(state) ? Math.max(0, untilEnd(state, now) - state.server_time_ms) : 0;
  return Math.max(state.time_remaining_ms - passed, 0 - overtime);
}

/** How long the current cycle has run at a server time; 0 without one. */
function cycleElapsed(state, now) {
  if (!isLive(state)) {
    return 0;
  }
  return state.status === "paused" ? state.cycle_elapsed_ms
    : Math.max(untilEnd(state, now), state.server_time_ms) - Date.parse(state.cycle_started_at);
}

/** How much the current cycle has added to the time used, at a server time. */
function chargedSoFar(state, now) {
  if (!isLive(state) || state[CYCLE].flagged) {
    return 0;
  }
  const until = state.status === "running" && state.deadline_ms !== null
    ? Math.min(now, state.deadline_ms) : now;
  return Math.max(0, cycleElapsed(state, until) - state[CYCLE].offset);
}

/**
 * The time left at a server time on the clock of a participant or group. Without an owner: on the current
 * clock, or until the session's end where that comes first, or on the clock that waits to be started, where
 * the session or the cycle owns it. Null where there is no such clock, or it has no limit.
 */
export function remainingAt(state, now, ownerId = null) {
  if (ownerId !== null) {
    const owner = runningOwner(state);
    const entry = participantOf(state, ownerId) ?? groupOf(state, ownerId);
    return entry !== null && entry === owner ? leftOf(state, now) : entry?.time_remaining_ms ?? null;
  }
  const left = ownLeft(state, now);
  return endsFirst(state, now, left) ? endsIn(state, now) : left;
}

/** How much the current clock has left, or the one that waits, where the session or the cycle owns it. */
function ownLeft(state, now) {
  if (isLive(state)) {
    return leftOf(state, now);
  }
  if (ownedBy(state) === "session") {
    return state.sync_mode !== "count_up" ? state.total_time_ms
      : state.max_time_ms === null ? null : state.max_time_ms - state.time_used_ms;
  }
  if (ownedBy(state) === "cycle" && state.status === "pending") {
    return Math.min(state.time_per_cycle_ms, state.total_remaining_ms ?? Infinity);
  }
  return null;
}

/** The elapsed time at a server time: see `Session.elapsed`. */
export function elapsedAt(state, now, id = null) {
  if (id === null) {
    return state.sync_mode === "count_up" ? state.time_used_ms + chargedSoFar(state, now)
      : cycleElapsed(state, now);
  }
  const entry = participantOf(state, id) ?? groupOf(state, id);
  if (entry === null) {
    return null;
  }
  const active = isLive(state) && (id === state.active_participant_id || id === state.active_group_id);
  return entry.time_used_ms + (active ? chargedSoFar(state, now) : 0);
}

const NO_FACE = {
  remainingMs: null, mainMs: null, delayMs: null, periodsLeft: null, periodMs: null, periodRemainingMs: null,
  blockRemainingMs: null, movesLeft: null, stage: null, overtimeMs: null, elapsedMs: 0, endsInMs: null,
  endsFirst: false,
};

/** A clock face at a server time: see `Session.clock`. */
export function clockAt(state, now, ownerId = null) {
  const face = faceAt(state, now, ownerId);
  const endsInMs = endsIn(state, now);
  if (face === null || endsInMs === null) {
    return face;
  }
  if (ownerId !== null || !endsFirst(state, now, leftOf(state, now))) {
    return { ...face, endsInMs };
  }
  return {
    ...face, endsInMs, endsFirst: true, remainingMs: endsInMs, mainMs: endsInMs, delayMs: null,
    periodsLeft: null, periodMs: null, periodRemainingMs: null, blockRemainingMs: null, overtimeMs: null,
  };
}

/** What a clock shows by itself, without the session's end. */
function faceAt(state, now, ownerId) {
  const owner = runningOwner(state);
  const entry = ownerId === null ? owner : participantOf(state, ownerId) ?? groupOf(state, ownerId);
  const by = ownedBy(state);
  const running = state.status === "running" && !state[CYCLE].flagged;
  if (entry !== null && entry.clock !== null) {
    return ownerFace(state, entry, now, { current: entry === owner, running: running && entry === owner });
  }
  if (state.sync_mode === "count_up" && (ownerId === null || entry !== null)) {
    const isSession = ownerId === null;
    const active = isSession || ownerId === state.active_participant_id || ownerId === state.active_group_id;
    const left = isSession ? ownLeft(state, now) : null;
    return {
      ...NO_FACE, ownerId, kind: "count_up", running: running && active,
      expired: isSession && (state.status === "expired" || (isLive(state) && state[CYCLE].flagged)),
      remainingMs: left, mainMs: left, elapsedMs: elapsedAt(state, now, ownerId),
    };
  }
  if (ownerId !== null || by === "participant" || by === "group") {
    return null;
  }
  const left = ownLeft(state, now);
  return {
    ...NO_FACE, ownerId: null, kind: "countdown", running, remainingMs: left, mainMs: left,
    expired: state.status === "expired" || (isLive(state) && state[CYCLE].flagged),
    elapsedMs: cycleElapsed(state, now),
  };
}

function ownerFace(state, entry, now, { current, running }) {
  const { rule, control, overtime } = ruleOf(state, entry);
  const { total_time_ms: bank, clock } = entry;
  const kind = kindOf(rule);
  const face = {
    ...NO_FACE, ownerId: entry.participant_id ?? entry.group_id, kind, running, expired: entry.has_expired,
    movesLeft: clock.moves_left ?? null, stage: control.kind === "stages" ? clock.stage : null,
    elapsedMs: current ? cycleElapsed(state, now) : 0,
  };
  const left = current ? leftOf(state, now) : entry.time_remaining_ms;
  if (left === null) {
    return face;
  }
  const overtimeUsed = Math.max(0, -Math.min(bank, left));
  // The time left of main time and delay, periods or block together. A bank below zero is a debt in overtime,
  // which these do not pay.
  const rest = left + Math.max(0, -bank);
  let extra = 0;
  if (kind === "delay") {
    extra = Math.max(0, left - bank);
    face.delayMs = extra;
  } else if (kind === "byoyomi") {
    extra = extraBudget(rule, clock, 0);
    const inPeriods = Math.min(Math.max(0, rest), extra);
    face.periodMs = rule.period_ms;
    face.periodsLeft = Math.ceil(inPeriods / rule.period_ms);
    face.periodRemainingMs = inPeriods > 0 ? inPeriods % rule.period_ms || rule.period_ms : 0;
  } else if (kind === "canadian") {
    extra = clock.block_remaining_ms;
    face.periodMs = rule.period_ms;
    face.blockRemainingMs = Math.min(Math.max(0, rest), extra);
  }
  face.remainingMs = left;
  face.mainMs = (kind === "delay" ? Math.min(bank, left) : Math.max(0, rest - extra)) || 0;
  if (overtimeUsed > 0) {
    face.mainMs = -overtimeUsed;
  }
  if (overtime > 0) {
    face.overtimeMs = overtimeUsed;
  }
  return face;
}

// Server time

const BURST = 5;
const BURST_EVERY_MS = 5_000;
const TICK_MS = 1_000;
/** When Date and the monotonic clock drift apart by more than this, the device slept or its clock was set. */
const SLEEP_MS = 1_000;
/** Without a session the time is measured until the page has not read it for so long. */
const LOOKED_AT_MS = 60_000;
/** When a timer fires so late, the browser had throttled or frozen the page. */
const LATE_MS = 5_000;
const REPORTED_SKEW_MS = 60_000;
/** A device with a wrong time zone is an hour off, give or take the error of its clock. It is let through. */
const SKEW_TOLERANCE_MS = 1_000;

const randomBetween = (runtime, least, most) => least + (most - least) * runtime.random();

class Listeners {
  #functions = new Set();

  add(fn) {
    const entry = { fn };
    this.#functions.add(entry);
    return () => this.#functions.delete(entry);
  }

  get size() { return this.#functions.size; }

  emit(...args) {
    for (const { fn } of [...this.#functions]) {
      try {
        fn(...args);
      } catch (error) {
        // When a listener fails, the others are still called: its error is reported as an uncaught one.
        queueMicrotask(() => { throw error; });
      }
    }
  }
}

/** The server's time, measured by round trips over a live socket, or over HTTP while there is none. */
class ServerTime {
  #runtime;
  #client;
  #maxSkewMs;
  #filter = new ClockFilter();
  #clock = new SlewedClock();
  #estimate = null;
  #skew = null;
  #listeners = new Listeners();
  #pings = new Set();
  #isFetching = false;
  #reportedCode = false;
  #refused = false;
  #timers = new Set();
  #isStarted = false;
  #isStopped = false;
  #lastBurstAt = -Infinity;
  #nextSampleAt = Infinity;
  #lastTickAt = 0;
  #dateOffset = 0;
  #lookedAt = -Infinity;

  /**
   * client: {ping(t1) -> whether it was sent, fetchTime() -> Promise<{receive_ms, transmit_ms, at}>,
   * hasSessions(), send(message), onWake(), report(error)}
   */
  constructor(runtime, maxSkewMs, client) {
    this.#runtime = runtime;
    this.#maxSkewMs = maxSkewMs;
    this.#client = client;
  }

  /** The server's time as it is shown, in ms with fractions. It never goes back. Null until it is known. */
  now() {
    this.start();
    this.#lookedAt = this.#runtime.now();
    return this.#clock.now(this.#lookedAt);
  }

  /** How far `now()` may be off either way; Infinity until known. */
  get uncertaintyMs() {
    const now = this.#runtime.now();
    const estimate = this.#filter.estimate(now);
    return estimate === null ? Infinity : estimate.uncertainty + this.#clock.gap(now);
  }

  /** Server time minus the local monotonic clock, in ms; null until known. */
  get offsetMs() {
    return this.#estimate?.offset ?? null;
  }

  /** Server time minus the device's Date, in ms; null until known. */
  get skewMs() {
    return this.#skew;
  }

  /** The round trip of the sample in use; null until known. */
  get rttMs() {
    return this.#estimate?.rtt ?? null;
  }

  /** Whether the device's clock is so far off that no time is shown. */
  get refused() {
    return this.#refused;
  }

  /** Calls `fn()` after each measurement. Returns a function that removes it again. */
  onChange(fn) {
    this.start();
    return this.#listeners.add(fn);
  }

  /** Begins to measure, at the latest in `inMs`. Does nothing when it has begun already. */
  start(inMs = 0) {
    if (!this.#isStarted) {
      this.#isStarted = true;
      this.#lastTickAt = this.#runtime.now();
      this.#dateOffset = this.#runtime.date() - this.#lastTickAt;
      this.#tick();
      this.#after(0, () => this.#takeMeasured()); // then who has the session listens
      this.#after(inMs, () => this.burst());
    }
  }

  stop() {
    this.#timers.forEach((timer) => this.#runtime.clearTimeout(timer));
    this.#timers.clear();
    this.#isStarted = true; // so that start() does nothing any more
    this.#isStopped = true;
  }

  /** Takes five samples, 100 to 200 ms apart. Returns false, and takes none, within 5 s of the last burst. */
  burst() {
    const now = this.#runtime.now();
    if (now - this.#lastBurstAt < BURST_EVERY_MS) {
      return false;
    }
    this.#lastBurstAt = now;
    this.#scheduleSample();
    const sample = (left) => {
      this.#sample();
      if (left > 1) {
        this.#after(randomBetween(this.#runtime, 100, 200), () => sample(left - 1));
      } else {
        this.#after(1_000, () => this.#reportMeasurement());
      }
    };
    sample(BURST);
    return true;
  }

  /** The server's answer to a ping. */
  pong({ t1, t2, t3 }) {
    if (this.#pings.delete(t1)) {
      this.#addSample(t1, t2, t3);
    }
  }

  /** A round trip that the page measured before this module was there. */
  #takeMeasured() {
    const measured = this.#runtime.measured?.() ?? null;
    if (measured !== null) {
      const { t1, t2, t3, t4 } = measured;
      this.#addSample(t1, t2, t3, t4);
    }
  }

  #after(ms, fn) {
    if (this.#isStopped) {
      return;
    }
    const timer = this.#runtime.setTimeout(() => {
      this.#timers.delete(timer);
      fn();
    }, ms);
    this.#timers.add(timer);
  }

  #scheduleSample() {
    this.#nextSampleAt = this.#runtime.now() + randomBetween(this.#runtime, 10_000, 15_000);
  }

  #tick() {
    this.#after(TICK_MS, () => this.#tick());
    const now = this.#runtime.now();
    const late = now - this.#lastTickAt - TICK_MS;
    const gap = this.#runtime.date() - now;
    const slept = Math.abs(gap - this.#dateOffset) > SLEEP_MS;
    this.#lastTickAt = now;
    this.#dateOffset = gap;
    if (slept) {
      // A monotonic clock may stand still while the device sleeps, so the old samples are worth nothing.
      this.#filter.reset();
      this.#pings.clear();
      this.#lastBurstAt = -Infinity;
    }
    if (slept || late > LATE_MS) {
      this.#client.onWake();
    } else if (now >= this.#nextSampleAt) {
      this.#scheduleSample();
      this.#sample();
    }
  }

  #sample() {
    const t1 = this.#runtime.now();
    if (this.#pings.size >= ClockFilter.WINDOW) {
      this.#pings.clear(); // their answers were lost
    }
    if (this.#client.ping(t1)) {
      this.#pings.add(t1);
    } else if (!this.#isFetching && this.#isWanted(t1)) {
      this.#isFetching = true;
      this.#client.fetchTime()
        .then(({ receive_ms, transmit_ms, at }) => this.#addSample(at, receive_ms, transmit_ms), () => {})
        .finally(() => { this.#isFetching = false; });
    }
  }

  #isWanted(now) {
    return this.#client.hasSessions() || this.#listeners.size > 0 || now - this.#lookedAt < LOOKED_AT_MS;
  }

  #addSample(t1, t2, t3, t4 = this.#runtime.now()) {
    if (this.#isStopped || !Number.isFinite(t2) || !Number.isFinite(t3)) {
      return;
    }
    const now = this.#runtime.now();
    this.#filter.add(t1, t2 + 0.5, t3 + 0.5, t4);
    const estimate = this.#filter.estimate(now);
    if (estimate === null) {
      return;
    }
    this.#estimate = estimate;
    this.#clock.set(estimate.offset, now);
    this.#skew = now + estimate.offset - this.#runtime.date();
    this.#checkSkew(Math.abs(this.#skew), estimate.uncertainty);
    this.#listeners.emit();
  }

  #checkSkew(skew, uncertainty) {
    this.#refused = skew - uncertainty - SKEW_TOLERANCE_MS > this.#maxSkewMs;
    const code = this.#refused ? "CLOCK_SKEW_REFUSED" : skew > REPORTED_SKEW_MS ? "CLOCK_SKEW" : false;
    if (code && code !== this.#reportedCode) {
      const seconds = Math.round(this.#skew / 1000);
      const side = seconds > 0 ? "behind" : "ahead of";
      const message = `this device's clock is ${Math.abs(seconds)} s ${side} the server's`;
      this.#client.report(new SyncKairosError(code, message, {
        context: { skew_ms: this.#skew, uncertainty_ms: uncertainty, max_skew_ms: this.#maxSkewMs },
      }));
    }
    this.#reportedCode = code;
  }

  #reportMeasurement() {
    if (this.#estimate !== null) {
      const round = (ms) => Math.round(1000 * ms) / 1000;
      this.#client.send({
        type: "CLOCK", offset_ms: round(this.#skew), rtt_ms: round(this.#estimate.rtt),
        uncertainty_ms: round(this.#estimate.uncertainty),
      });
    }
  }
}

// The token of a socket

/**
 * Renews the token of one socket before it ends. The service says when a token ends soon (`TOKEN_EXPIRES`).
 * Then the token function is asked for a newer one, which is sent over the same socket (`AUTH`), so nothing is
 * missed. Until the service takes one, this is tried again.
 */
class Renewal {
  #client;
  #runtime;
  #token;
  #send;
  #report;
  #renewedAt = -Infinity;
  #timer = null;
  #isRenewing = false;
  #isStopped = false;
  #asked = null; // the token that was sent and not answered yet, with its request id

  constructor(client, runtime, token, send, report) {
    this.#client = client;
    this.#runtime = runtime;
    this.#token = token;
    this.#send = send;
    this.#report = report;
  }

  get hasToken() { return this.#token !== null; }

  /** Takes the messages that are about the token. Returns whether this was one. */
  receive(message) {
    if (message.type === "TOKEN_EXPIRES") {
      this.#begin();
      return true;
    }
    const isAnswer = (message.type === "ACK" || message.type === "ERROR") && message.request_id !== undefined
      && message.request_id === this.#asked?.requestId;
    if (!isAnswer && !(message.type === "ACK" && message.token_expires_at !== undefined)) {
      return false;
    }
    const asked = this.#asked;
    this.#asked = null;
    if (asked !== null && message.type === "ACK") {
      this.#runtime.clearTimeout(this.#timer);
      this.#token = asked.token;
      this.#renewedAt = this.#runtime.now();
      this.#isRenewing = false;
    } else if (asked !== null) {
      this.#tryAgain(errorFrom({ error: message.error }));
    }
    return true;
  }

  stop() {
    this.#isStopped = true;
    this.#runtime.clearTimeout(this.#timer);
  }

  #begin() {
    if (!this.#isRenewing && this.#token !== null && this.#client.canRenewToken) {
      this.#isRenewing = true;
      // Otherwise a token that is good for a few seconds only would be renewed without a pause.
      this.#renewIn(Math.max(0, this.#renewedAt + EARLIEST_RENEWAL_MS - this.#runtime.now()));
    }
  }

  #renewIn(ms) {
    this.#runtime.clearTimeout(this.#timer);
    this.#timer = this.#runtime.setTimeout(() => this.#renew(), ms);
  }

  #tryAgain(error) {
    this.#report(error);
    this.#renewIn(RENEW_AGAIN_MS);
  }

  async #renew() {
    try {
      const token = await this.#client.token();
      if (this.#isStopped) {
        return;
      }
      if (token === null || token === this.#token) {
        throw new SyncKairosError("UNAUTHENTICATED", "the token ends soon, and there is no newer one", {
          status: 401,
        });
      }
      this.#asked = { token, requestId: uuid() };
      this.#send({ type: "AUTH", token, request_id: this.#asked.requestId });
      this.#timer = this.#runtime.setTimeout(() => {
        this.#asked = null;
        const message = "no answer to a newer token";
        this.#tryAgain(new SyncKairosError("NETWORK_TIMEOUT", message, { retryable: true }));
      }, SILENCE_MS);
    } catch (cause) {
      if (!this.#isStopped) {
        this.#tryAgain(cause instanceof SyncKairosError ? cause
          : new SyncKairosError("CONNECTION_LOST", "the token function failed", { retryable: true, cause }));
      }
    }
  }
}

// A session

const given = (body) => Object.fromEntries(Object.entries(body).filter(([, value]) => value !== null));
const notOverInTime = () => new SyncKairosError("NETWORK_TIMEOUT", "the session was not over in time",
  { retryable: true });

/** The name of a call that others of a session lead to. */
const FREE_PAUSE = Symbol("a pause that does not count");

/** The calls of a session over HTTP. Each resolves with the service's answer. */
class Calls {
  #send;
  #isGroup;

  /**
   * @param {Function} send makes a call: (method, path, body, {idempotencyKey}) => the answer's `data`
   * @param {Function} isGroup (id) => whether it is a group's; null when that is not known
   */
  constructor(send, isGroup) {
    this.#send = send;
    this.#isGroup = isGroup;
  }

  start(options) { return this.#post("start", {}, options); }
  complete(options) { return this.#post("complete", {}, options); }
  cancel(options) { return this.#post("cancel", {}, options); }

  /** Undoes the last turns. */
  takeback(turns = 1, options = undefined) { return this.#post("takeback", { turns }, options); }

  /** Says whose turn it is, while the session is pending or paused. */
  turn(participantId, options) {
    return this.#call("PATCH", "/turn", { active_participant_id: participantId }, options);
  }

  /** Lets a session that is over go on. */
  reopen(options) { return this.#post("reopen", {}, options); }

  /** Begins the session again. */
  reset(options) { return this.#post("reset", {}, options); }

  /** When the session starts and ends by itself (server ms). Null takes a moment back, undefined leaves it. */
  schedule({ startsAt, endsAt, ...options } = {}) {
    // JSON leaves out what is undefined.
    return this.#call("PATCH", "/schedule", { starts_at_ms: startsAt, ends_at_ms: endsAt }, options);
  }

  /** Changes the metadata by a JSON merge patch: null removes a member. Null when that changes nothing. */
  patchMetadata(patch, options) { return this.#call("PATCH", "/metadata", { metadata: patch }, options); }

  add(owner, ms, options) { return this.#adjust(owner, { add_ms: ms }, options); }

  set(owner, ms, options) { return this.#adjust(owner, { total_time_ms: ms }, options); }

  async #adjust(owner, change, { withinMs = null, reason = null, clock = null, ...options } = {}) {
    const body = { ...change, ...given({ within_ms: withinMs, reason, clock }) };
    const id = normalizeId(owner ?? null);
    if (id === null) {
      return this.#call("PATCH", "/clock", body, options);
    }
    const isGroup = await this.#isGroup(id);
    const as = (kind) => this.#call("PATCH", `/${kind}/${encodeURIComponent(id)}`, body, options);
    if (isGroup !== null) {
      return as(isGroup ? "groups" : "participants");
    }
    const isRefused = (error) => ["PARTICIPANT_NOT_FOUND", "VALIDATION_ERROR"].includes(error?.code);
    return as("participants").catch((refusal) => {
      if (!isRefused(refusal)) {
        throw refusal;
      }
      return as("groups").catch((error) => { throw isRefused(error) ? refusal : error; });
    });
  }

  join(participant, options) { return this.#call("POST", "/participants", given(participant), options); }

  leave(participantId, options) {
    return this.#call("DELETE", `/participants/${encodeURIComponent(participantId)}`, {}, options);
  }

  delete(options) { return this.#call("DELETE", "", {}, options); }

  events(since = 0) { return this.#send("GET", `/events?since=${Number(since)}`); }

  /** A pause that takes nothing of the session's bounds of pauses. */
  [FREE_PAUSE](options) { return this.#post("pause", { counted: false }, options); }

  #post(name, body, options) { return this.#call("POST", `/${name}`, body, options); }

  #call(method, path, body, { expectedVersion = null, idempotencyKey = undefined } = {}) {
    const whole = { ...body, ...given({ expected_version: expectedVersion }) };
    const isEmpty = method === "DELETE" && Object.keys(whole).length === 0;
    return this.#send(method, path, isEmpty ? undefined : whole, { idempotencyKey });
  }
}

/** A session for programs that hold no socket: the same calls over HTTP. Made by `SyncKairos.handle`. */
class Handle extends Calls {
  #client;
  #runtime;
  #path;

  constructor(client, runtime, id) {
    super((method, path, ...rest) => client.request(method, this.#path + path, ...rest), async () => null);
    this.#client = client;
    this.#runtime = runtime;
    this.#path = `/v1/sessions/${id}`;
    this.id = id;
  }

  /** The session's state. */
  get() { return this.#client.request("GET", this.#path); }

  switch({ next = null, current = null, expectedVersion = null, ...options } = {}) {
    const body = given({
      next_participant_id: next, current_participant_id: current, expected_version: expectedVersion,
    });
    return this.#client.request("POST", `${this.#path}/switch`, body, options);
  }

  pause({ counted = true, ...options } = {}) {
    return counted === false ? this[FREE_PAUSE](options) : this.#post("pause", options);
  }

  resume(options) { return this.#post("resume", options); }

  #post(name, { expectedVersion = null, ...options } = {}) {
    return this.#client.request("POST", `${this.#path}/${name}`,
      given({ expected_version: expectedVersion }), options);
  }

  /**
   * The final state, once the session is over. The service is asked every `everyMs`, and after each moment at
   * which the session does something by itself. While it is away it is asked again, `reconnectAttempts` times.
   */
  async over({ timeoutMs = null, everyMs = POLL_MS } = {}) {
    const end = timeoutMs === null ? Infinity : this.#runtime.now() + timeoutMs;
    let failed = 0;
    for (;;) {
      let due = Infinity;
      let least = 0;
      try {
        const state = await this.get();
        failed = 0;
        if (isOver(state)) {
          return state;
        }
        due = (dueAt(state, state.server_time_ms)?.inMs ?? Infinity) + SOON_MS;
      } catch (error) {
        failed += 1;
        if (!mayTryAgain(error) || failed > this.#client.reconnectAttempts || this.#client.isClosed) {
          throw error;
        }
        least = error.retryAfterMs ?? 0;
      }
      const left = end - this.#runtime.now();
      if (left <= 0) {
        throw notOverInTime();
      }
      const pause = Math.min(Math.max(least, Math.min(everyMs, due)), left, LONGEST_TIMEOUT_MS);
      await new Promise((resolve) => { this.#runtime.setTimeout(resolve, pause); });
    }
  }
}

/** One session, to watch and, where the token allows it, to play. Made by `SyncKairos.session`. */
class Session extends Calls {
  #client;
  #runtime;
  #id;
  #socket = null;
  #connection = "connecting";
  #closeReason = null;
  #isGreeted = false;
  #access = null;
  #attempts = 0;
  #renewal = null; // what keeps the socket's token good
  #endedTokens = 0; // how many sockets in a row were given a token that had ended
  #toldError = null; // the error that came last on this socket and answers no command
  #staleMs = null;
  #timer = null;
  #watchdog = null;
  #lastMessageAt = 0;
  #catchingUp = false;
  #catchUpTries = { version: null, count: 0 }; // how often the events after this version were asked for
  #unreadableInARow = 0; // how many connections in a row ended because a message was not understood
  #acceptsAnyVersion = false; // whether the next state replaces the confirmed one even if it is older
  #heldState = null; // the first state of a new socket and its age, kept until it is known what was missed
  #confirmed = null; // the newest state that the server confirmed
  #confirmedAt = 0; // the local time at which it came
  #shown = null; // the same with own commands applied that are not confirmed yet
  #lag = { ms: 0, at: 0 }; // how far the shown clock lags at a local time, to be absorbed from then on
  #commands = []; // own ones that are not confirmed yet, in order
  #wasPending = false;
  #waiters = new Set();
  #ready;
  #readyPromise;
  #listeners = {
    change: new Listeners(), expire: new Listeners(), warning: new Listeners(), connection: new Listeners(),
    error: new Listeners(),
  };

  constructor(client, runtime, id) {
    super((...call) => this.#request(...call), (owner) => this.#isGroup(owner));
    this.#client = client;
    this.#runtime = runtime;
    this.#id = id;
    this.#renewReady();
    this.#open();
  }

  #renewReady() {
    this.#ready = new Promise((resolve, reject) => { this.#readyPromise = { resolve, reject }; });
    this.#ready.catch(() => {}); // a page that does not wait for it need not handle its failure
  }

  get id() { return this.#id; }
  get connection() { return this.#connection; }
  get closeReason() { return this.#closeReason; }

  /** What the service said that this client may do: see CONNECTED. Null until then. */
  get access() { return this.#access; }

  /** How old the state may be (ms) when it comes from a replica because there is no primary; else null. */
  get staleMs() { return this.#staleMs; }

  get ready() { return this.#ready; }

  /** The state to show, own commands included that are not confirmed yet, as of its server_time_ms. */
  get state() { return this.#shown; }

  /** The newest state that the server confirmed. */
  get confirmed() { return this.#confirmed; }

  /** Whether an own command waits for its confirmation. */
  get pending() { return this.#commands.length > 0; }

  onChange(fn) { return this.#listeners.change.add(fn); }
  onExpire(fn) { return this.#listeners.expire.add(fn); }
  onWarning(fn) { return this.#listeners.warning.add(fn); }
  onConnection(fn) { return this.#listeners.connection.add(fn); }
  onError(fn) { return this.#listeners.error.add(fn); }

  // Clocks

  remaining(owner = null) {
    const now = this.#now();
    return now === null ? null : remainingAt(this.#shown, now, normalizeId(owner));
  }

  elapsed(participantId = null) {
    const now = this.#now();
    return now === null ? null : elapsedAt(this.#shown, now, normalizeId(participantId));
  }

  clock(owner = null) {
    const now = this.#now();
    return now === null ? null : clockAt(this.#shown, now, normalizeId(owner));
  }

  pauseRemaining() {
    const now = this.#now();
    return now === null ? null : pauseRemainingAt(this.#shown, now);
  }

  due() {
    const now = this.#now();
    return now === null ? null : dueAt(this.#shown, now);
  }

  /** The server time at which to draw the state; null without a state, or where the time is refused. */
  #now() {
    if (this.#shown === null || this.#client.time.refused) {
      return null;
    }
    return this.#serverNow() - this.#currentLag();
  }

  /** Until the server's time was measured, it is derived from the newest state and that state's age. */
  #serverNow() {
    const ageMs = this.#runtime.now() - this.#confirmedAt;
    return this.#client.time.now() ?? this.#confirmed.server_time_ms + ageMs;
  }

  #currentLag() {
    const { ms, at } = this.#lag;
    const absorbed = RECONCILE_RATE * (this.#runtime.now() - at);
    return Math.sign(ms) * Math.max(0, Math.abs(ms) - absorbed);
  }

  // Commands over the socket

  async switch({ next = null, current = null, expectedVersion = null } = {}) {
    next = normalizeId(next);
    current = normalizeId(current);
    if (this.#shown === null) {
      await this.#ready;
    }
    // Two taps in one turn are one switch, as long as the server has not ended that turn.
    const same = this.#commands.find((command) => command.type === "SWITCH" && command.next === next
      && command.count === this.#confirmed.cycle_count && (current === null || current === command.current)
      && (expectedVersion === null || expectedVersion === command.fields.expected_version));
    if (same) {
      return same.answer;
    }
    const shown = this.#shown;
    return this.#command({
      type: "SWITCH", next, current: current ?? shown.active_participant_id, count: shown.cycle_count,
      fields: {
        current_participant_id: current ?? shown.active_participant_id, next_participant_id: next,
        expected_version: expectedVersion,
      },
      predict: (state, now) => predictSwitch(state, now, next),
      isAllowedIn: (state) => state.status === "running",
    });
  }

  /** counted: false for a pause that does not count; it goes over HTTP, and is not for players. */
  async pause({ counted = true, expectedVersion = null } = {}) {
    return counted === false ? this[FREE_PAUSE]({ expectedVersion })
      : this.#pauseOrResume("PAUSE", predictPause, "running", expectedVersion);
  }

  async resume({ expectedVersion = null } = {}) {
    return this.#pauseOrResume("RESUME", predictResume, "paused", expectedVersion);
  }

  async #pauseOrResume(type, predict, status, expectedVersion) {
    if (this.#shown === null) {
      await this.#ready;
    }
    const last = this.#commands.at(-1);
    if (last?.type === type && (expectedVersion === null || expectedVersion === last.fields.expected_version)) {
      return last.answer;
    }
    const { active_participant_id: current, cycle_count: count } = this.#shown;
    return this.#command({
      type, current, count, fields: { expected_version: expectedVersion }, predict,
      isAllowedIn: (state) => state.status === status,
    });
  }

  #command(command) {
    if (this.#connection === "closed") {
      throw this.#closeReason;
    }
    command.fields = {
      type: command.type, request_id: uuid(),
      ...Object.fromEntries(Object.entries(command.fields).filter(([, value]) => value !== null)),
    };
    command.version = null;
    command.tries = 0;
    command.timer = null;
    // When the server will most likely carry it out: the command reaches it half a round trip from now.
    command.at = this.#serverNow() + (this.#client.time.rttMs ?? 0) / 2;
    command.answer = new Promise((resolve, reject) => { Object.assign(command, { resolve, reject }); });
    this.#commands.push(command);
    if (this.#connection === "live") {
      this.#sendCommand(command);
    }
    this.#show(null);
    return command.answer;
  }

  #sendCommand(command) {
    this.#send(command.fields);
    this.#setCommandTimer(command, SILENCE_MS, () => this.#onNoAnswer(command));
  }

  /** Calls `fn` after `ms`, unless the command is finished or gets another timer before. */
  #setCommandTimer(command, ms, fn) {
    this.#runtime.clearTimeout(command.timer);
    command.timer = this.#runtime.setTimeout(() => this.#connection === "live" && fn(), ms);
  }

  /** Replaces a connection on which a command got no answer. After the fourth one the command is refused. */
  #onNoAnswer(command) {
    command.tries += 1;
    if (command.tries < COMMAND_TRIES) {
      this.#onConnectionLost(this.#socket, 1006, "the service does not answer");
    } else {
      const message = "the service does not answer";
      this.#refuse(new SyncKairosError("NETWORK_TIMEOUT", message, { retryable: true }),
        command.fields.request_id);
    }
  }

  #removeCommand(command) {
    this.#runtime.clearTimeout(command.timer);
    this.#commands = this.#commands.filter((one) => one !== command);
  }

  /** The server carried out a command. It is confirmed once the state has reached the command's version. */
  #receiveAck({ request_id, version }) {
    const command = this.#commands.find((one) => one.fields.request_id === request_id);
    if (command && Number.isFinite(version)) {
      command.version = version;
      this.#setCommandTimer(command, ACKNOWLEDGED_EVENT_MS, () => {
        this.#setCommandTimer(command, SILENCE_MS, () => this.#onNoAnswer(command));
        this.#catchUp();
      });
      this.#confirm();
      this.#show(null);
    }
  }

  #refuse(error, requestId) {
    const command = this.#commands.find((one) => one.fields.request_id === requestId);
    if (command) {
      this.#removeCommand(command);
      this.#show(null);
      command.reject(error);
    }
  }

  #confirm() {
    for (const command of this.#commands) {
      if (command.version !== null && this.#confirmed.version >= command.version) {
        this.#removeCommand(command);
        command.resolve(command.version);
      }
    }
  }

  // Commands over HTTP

  /** Whether an owner is a group, once that is known. */
  async #isGroup(id) {
    if (this.#confirmed === null) {
      await this.#ready;
    }
    return groupOf(this.#confirmed, id) !== null;
  }

  /** The final state, once the session is over. Rejects when it is gone before, and after `timeoutMs`. */
  over({ timeoutMs = null } = {}) {
    return new Promise((resolve, reject) => {
      let timer = null;
      const ends = [];
      const finish = (settle, value) => {
        ends.forEach((end) => end());
        this.#runtime.clearTimeout(timer);
        settle(value);
      };
      const look = () => {
        if (this.#confirmed !== null && isOver(this.#confirmed)) {
          finish(resolve, this.#confirmed);
        } else if (this.#connection === "closed") {
          finish(reject, this.#closeReason);
        }
      };
      const wait = (leftMs) => {
        timer = this.#runtime.setTimeout(() => {
          if (leftMs > LONGEST_TIMEOUT_MS) {
            wait(leftMs - LONGEST_TIMEOUT_MS);
          } else {
            finish(reject, notOverInTime());
          }
        }, Math.min(leftMs, LONGEST_TIMEOUT_MS));
      };
      if (timeoutMs !== null) {
        wait(timeoutMs);
      }
      ends.push(this.onChange(look), this.onConnection(look));
      look();
    });
  }

  async delete(options) {
    await super.delete(options);
    await this.#waitUntil(() => this.#connection !== "live");
  }

  /** The answer, once the state has reached the answer's version. */
  async #request(method, path, body, options) {
    const data = await this.#client.request(method, `/v1/sessions/${this.#id}${path}`, body, options);
    if (method !== "GET" && data) {
      const { version, epoch } = data;
      await this.#waitUntil(() => this.#connection !== "live" || this.#confirmed.epoch !== epoch
        || this.#confirmed.version >= version);
    }
    return data;
  }

  /** Waits until messages on the socket have made `isReached()` true, at most two seconds. */
  #waitUntil(isReached) {
    if (isReached()) {
      return undefined;
    }
    return new Promise((resolve) => {
      const waiter = { isReached, resolve: () => {
        this.#waiters.delete(waiter);
        this.#runtime.clearTimeout(timer);
        resolve();
      } };
      const timer = this.#runtime.setTimeout(waiter.resolve, EVENT_PATIENCE_MS);
      this.#waiters.add(waiter);
    });
  }

  // The connection

  close() {
    this.#closeWith(new SyncKairosError("CLOSED", "the session was closed here"));
  }

  /** Connects again at once, also after the client gave the session up. */
  reconnect() {
    if (this.#connection === "closed" && this.#closeReason.code !== "CONNECTION_LOST") {
      throw this.#closeReason;
    }
    if (this.#socket === null) {
      this.#closeReason = null;
      this.#attempts = 0;
      this.#client.adopt(this);
      if (this.#confirmed === null) {
        this.#renewReady();
      }
      this.#open();
    }
  }

  /** The page is visible again, or the network is back. checkSocket: whether to test the socket. */
  wake(checkSocket) {
    if (this.#connection === "closed") {
      return;
    }
    if (this.#socket === null && this.#timer !== null) {
      this.#open();
    } else if (checkSocket) {
      this.ping(this.#runtime.now(), SILENCE_AFTER_WAKE_MS);
    }
  }

  /** Sends a PING where the socket is live, and replaces the socket when nothing arrives in `patience` ms. */
  ping(t1, patience = SILENCE_MS) {
    if (!this.#isGreeted || this.#socket === null) {
      return false;
    }
    const socket = this.#socket;
    const sent = this.#runtime.now();
    this.#send({ type: "PING", t1 });
    if (this.#watchdog === null || patience < SILENCE_MS) {
      this.#runtime.clearTimeout(this.#watchdog);
      this.#watchdog = this.#runtime.setTimeout(() => {
        this.#watchdog = null;
        if (this.#socket === socket && this.#lastMessageAt < sent) {
          this.#onConnectionLost(socket, 1006, "the service does not answer");
        }
      }, patience);
    }
    return true;
  }

  trySend(message) {
    if (!this.#isGreeted || this.#socket === null) {
      return false;
    }
    this.#send(message);
    return true;
  }

  reportError(error) {
    this.#listeners.error.emit(error);
  }

  async #open() {
    this.#runtime.clearTimeout(this.#timer);
    this.#timer = null;
    this.#setConnection(this.#confirmed === null ? "connecting" : "reconnecting");
    if (this.#connection === "closed") { // a listener of the line before closed it
      return;
    }
    const marker = { close() {} }; // stands for the socket until it exists, so that close() is seen
    this.#socket = marker;
    let socket;
    let token;
    try {
      token = await this.#client.token();
      if (this.#socket !== marker) {
        return;
      }
      socket = new this.#runtime.WebSocket(this.#client.socketUrl(this.#id), [PROTOCOL]);
    } catch (error) {
      if (this.#socket === marker) {
        const message = "no connection could be begun";
        this.reportError(error instanceof SyncKairosError ? error
          : new SyncKairosError("CONNECTION_LOST", message, { retryable: true, cause: error }));
        this.#onConnectionLost(marker, 1006, message);
      }
      return;
    }
    this.#socket = socket;
    this.#renewal = new Renewal(this.#client, this.#runtime, token, (message) => this.#send(message),
      (error) => this.reportError(error));
    this.#requireState(socket);
    socket.onopen = () => {
      if (token !== null && this.#socket === socket) {
        this.#send({ type: "AUTH", token });
      }
    };
    socket.onmessage = ({ data }) => {
      if (this.#socket === socket) {
        this.#lastMessageAt = this.#runtime.now();
        try {
          this.#receive(JSON.parse(data));
        } catch (error) {
          this.#onUnreadable(socket, error);
        }
      }
    };
    socket.onclose = ({ code, reason }) => this.#onConnectionLost(socket, code, reason);
    socket.onerror = () => {}; // the close event follows and is enough
  }

  /** Replaces the socket unless the session's state, or the missed events, arrive in time. */
  #requireState(socket) {
    this.#runtime.clearTimeout(this.#timer);
    this.#timer = this.#runtime.setTimeout(() => {
      this.#onConnectionLost(socket, 1006, "no answer in time");
    }, CONNECT_TIMEOUT_MS);
  }

  /** Without that message the state may be wrong, so a new connection begins with the whole state. */
  #onUnreadable(socket, cause) {
    this.reportError(new SyncKairosError("UNEXPECTED_ANSWER", "a message that is not understood", { cause }));
    if (this.#socket === socket) {
      this.#onConnectionLost(socket, 1002, "its messages are not understood", this.#unreadableInARow + 1);
    }
  }

  #send(message) {
    if (this.#socket.readyState === 1) {
      this.#socket.send(JSON.stringify({ v: 1, ...message }));
    }
  }

  #onConnectionLost(socket, code, reason, garbled = 0) {
    if (this.#socket !== socket) {
      return;
    }
    const wasGreeted = this.#isGreeted;
    const told = this.#toldError;
    const wasLate = reason === LATE_TOKEN && this.#renewal?.hasToken;
    this.#unreadableInARow = garbled;
    this.#dropSocket();
    if (code === 4401) {
      this.#endedTokens += wasGreeted ? 0 : 1;
    }
    let final = null;
    if (code === 1008 && told !== null) {
      final = told;
    } else if (!wasLate) {
      final = this.#finalError(code, reason, wasGreeted);
    }
    if (final !== null) {
      this.#closeWith(final);
    } else if (this.#attempts >= this.#client.reconnectAttempts) {
      this.#closeWith(new SyncKairosError("CONNECTION_LOST", reason || "the service cannot be reached", {
        retryable: true, context: { attempts: this.#attempts, close_code: code },
      }));
    } else {
      const longest = 1000 * BACKOFF_S[Math.min(this.#attempts, BACKOFF_S.length - 1)];
      this.#attempts += 1;
      this.#setConnection(this.#confirmed === null ? "connecting" : "reconnecting");
      if (this.#socket === null && this.#connection !== "closed" && this.#timer === null) {
        const wait = randomBetween(this.#runtime, longest / 2, longest);
        this.#timer = this.#runtime.setTimeout(() => this.#open(), wait);
      }
      if (code === 4401) {
        this.reportError(new SyncKairosError("UNAUTHENTICATED", "the token has ended", { status: 401 }));
      }
    }
  }

  /** The error for a close code after which another attempt would not help; null for any other. */
  #finalError(code, reason, wasGreeted) {
    const error = (name, status, otherwise) => new SyncKairosError(name, reason || otherwise, { status });
    switch (code) {
      case 4404: return error("SESSION_NOT_FOUND", 404, "no such session");
      case 4403: return error("FORBIDDEN", 403, "the token was revoked or may not watch this session");
      case 4401: {
        const mayBeRenewed = this.#client.canRenewToken && this.#endedTokens < ENDED_TOKENS;
        return mayBeRenewed ? null : error("UNAUTHENTICATED", 401, "the token has ended");
      }
      case 1008:
        if (reason.startsWith("too many")) {
          return error("RATE_LIMIT_EXCEEDED", 429);
        }
        return wasGreeted && !reason.includes("token")
          ? error("FORBIDDEN", 403, "the service closed the connection")
          : error("UNAUTHENTICATED", 401, "the token is not good");
      default: return null;
    }
  }

  /** Closes the socket and resets everything that belongs to one connection. */
  #dropSocket() {
    const socket = this.#socket;
    this.#socket = null;
    this.#isGreeted = false;
    this.#catchingUp = false;
    this.#catchUpTries = { version: null, count: 0 };
    this.#acceptsAnyVersion = false;
    this.#heldState = null;
    this.#renewal?.stop();
    this.#renewal = null;
    this.#toldError = null;
    for (const timer of [this.#timer, this.#watchdog]) {
      this.#runtime.clearTimeout(timer);
    }
    this.#timer = null;
    this.#watchdog = null;
    socket?.close();
  }

  #closeWith(error) {
    if (this.#connection === "closed") {
      return;
    }
    this.#dropSocket();
    this.#closeReason = error;
    const commands = this.#commands;
    this.#commands = [];
    this.#client.forget(this);
    this.#setConnection("closed");
    this.#readyPromise.reject(error);
    for (const command of commands) {
      this.#runtime.clearTimeout(command.timer);
      command.reject(error);
    }
    this.#resolveWaiters();
    if (commands.length > 0) {
      this.#show(null);
    }
    if (error.code !== "CLOSED") {
      this.reportError(error);
    }
  }

  #setConnection(connection) {
    if (connection !== this.#connection) {
      this.#connection = connection;
      this.#listeners.connection.emit(connection);
    }
  }

  // Messages

  #receive(message) {
    if (this.#renewal.receive(message)) {
      return undefined;
    }
    this.#toldError = null;
    switch (message.type) {
      case "CONNECTED": return this.#receiveGreeting(message.payload?.access);
      case "STATE_SYNC": return this.#receiveState(message.payload.full_state, message.stale?.age_ms ?? null);
      case "RECONNECT_ACK": return this.#receiveReconnectAck(message.replayed);
      case "PONG": return this.#client.time.pong(message);
      case "ACK": return this.#receiveAck(message);
      case "ERROR": return this.#receiveError(message);
      case "SESSION_DELETED": return this.#receiveDeletion(message);
      default: return message.payload?.event === undefined ? undefined : this.#receiveEvent(message);
    }
  }

  #receiveGreeting(access = null) {
    this.#isGreeted = true;
    this.#endedTokens = 0;
    this.#access = deepFreeze(access);
    this.#client.time.burst();
    // After a message that was not understood, the client needs the whole state, not the missed events.
    if (this.#confirmed !== null && this.#unreadableInARow === 0) {
      this.#catchUp();
    }
  }

  /** Asks for the missed events. A state that arrives before the answer is held until then. */
  #catchUp() {
    if (this.#catchingUp) {
      return;
    }
    const { version, epoch } = this.#confirmed;
    const count = this.#catchUpTries.version === version ? this.#catchUpTries.count + 1 : 1;
    this.#catchUpTries = { version, count };
    if (this.#catchUpTries.count > CATCH_UP_TRIES) {
      this.#onUnreadable(this.#socket, new Error("the missed events do not come"));
      return;
    }
    this.#catchingUp = true;
    this.#requireState(this.#socket);
    this.#send({
      type: "RECONNECT", last_known_version: version, epoch, reconnect_attempt: this.#attempts,
    });
  }

  #receiveReconnectAck(replayed) {
    this.#catchingUp = false;
    this.#heldState = null;
    if (replayed === "full") {
      // The next state counts whatever its version, because the server may have lost its newest changes.
      this.#acceptsAnyVersion = true;
    } else {
      this.#staleMs = null;
      this.#goLive();
    }
  }

  #receiveState(state, staleMs = null) {
    const full = requireFiniteTimes({ ...state, epoch: String(state.epoch) });
    if (this.#catchingUp) {
      this.#heldState = [full, staleMs];
      return;
    }
    const { version, epoch } = this.#confirmed ?? {};
    if (!this.#acceptsAnyVersion && full.epoch === epoch && full.version < version) {
      return; // an older state
    }
    this.#acceptsAnyVersion = false;
    const isNews = staleMs !== this.#staleMs;
    this.#staleMs = staleMs;
    this.#setConfirmed(adopt(full));
    this.#show(null, isNews);
    this.#readyPromise.resolve(this.#shown);
    this.#goLive();
  }

  #receiveEvent(message) {
    const event = { ...message, epoch: String(message.epoch) };
    const { version, epoch } = this.#confirmed ?? {};
    if (this.#confirmed === null || (event.epoch === epoch && event.version <= version)) {
      return;
    }
    if (event.epoch !== epoch || event.version !== version + 1) {
      this.#catchUp();
      return;
    }
    this.#setConfirmed(requireFiniteTimes(merge(this.#confirmed, event)));
    this.#show(event);
    if (event.type === "TIME_EXPIRED") {
      this.#listeners.expire.emit(event);
    } else if (event.type === "TIME_WARNING") {
      this.#listeners.warning.emit(event);
    }
  }

  #receiveDeletion(message) {
    const reason = message.payload.reason;
    if (this.#shown !== null) {
      this.#listeners.change.emit(this.#shown, message);
    }
    this.#closeWith(new SyncKairosError("SESSION_NOT_FOUND", `the session is gone: ${reason}`, {
      status: 404, context: { reason },
    }));
  }

  #receiveError({ request_id, ...body }) {
    const error = errorFrom(body);
    if (request_id !== undefined) {
      this.#refuse(error, request_id);
      return;
    }
    this.#toldError = error;
    this.reportError(error);
    if (this.#catchingUp) {
      this.#catchingUp = false;
      if (this.#heldState !== null) {
        this.#receiveState(...this.#heldState);
      }
    }
  }

  #goLive() {
    if (this.#socket === null || !this.#isGreeted) {
      return;
    }
    this.#runtime.clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#connection !== "live") {
      this.#attempts = this.#unreadableInARow;
      this.#setConnection("live");
      // They are sent again under the same request ids, so the service carries out none of them twice.
      this.#commands.forEach((command) => this.#sendCommand(command));
    }
  }

  #setConfirmed(state) {
    this.#confirmed = state;
    this.#confirmedAt = this.#runtime.now();
    this.#confirm();
    this.#resolveWaiters();
  }

  #resolveWaiters() {
    for (const waiter of this.#waiters) {
      if (waiter.isReached()) {
        waiter.resolve();
      }
    }
  }

  /**
   * Applies the own commands to the confirmed state, and calls the listeners if that shows something new.
   * isNews: whether something else about the state is new.
   */
  #show(change, isNews = false) {
    let state = this.#confirmed;
    for (const command of this.#commands) {
      // A command is meant for one cycle of one participant; in any other cycle it no longer applies.
      if (state.cycle_count === command.count && state.active_participant_id === command.current
        && command.isAllowedIn(state)) {
        state = command.predict(state, Math.max(command.at, state.server_time_ms)) ?? state;
      }
    }
    const before = this.#shown;
    const news = isNews || before === null || change !== null || !this.#isSamePrediction(before, state);
    if (news) {
      this.#reconcile(before, state);
    }
    if (news || !this.pending) {
      this.#shown = state;
    }
    if (news || this.pending !== this.#wasPending) {
      this.#wasPending = this.pending;
      this.#listeners.change.emit(this.#shown, change);
    }
  }

  /** Whether two states show the same, as a prediction does that is made again from the same state. */
  #isSamePrediction(one, other) {
    return one.version === other.version && one.epoch === other.epoch && one.cycle_count === other.cycle_count
      && one.status === other.status && one.cycle_started_at === other.cycle_started_at
      && one.active_participant_id === other.active_participant_id;
  }

  /**
   * Computes the lag with which the clock goes on from where it is shown. Only a clock that the prediction
   * started can be a little off. One that it did not touch (a session's clock at a switch) was right all the
   * time, and the clock of another cycle starts without a lag.
   */
  #reconcile(before, after) {
    const same = before !== null && before.status === "running" && after.status === "running"
      && before.cycle_count === after.cycle_count
      && before.active_participant_id === after.active_participant_id;
    let ms = 0;
    if (same) {
      const off = Date.parse(before.cycle_started_at) - Date.parse(after.cycle_started_at);
      const isTouched = before.deadline_ms === null || after.deadline_ms === null
        ? before.time_used_ms === after.time_used_ms
        : before.deadline_ms - after.deadline_ms === off;
      ms = this.#currentLag() + (isTouched ? off : 0);
    }
    this.#lag = { ms: Math.abs(ms) > RECONCILE_MS ? 0 : ms, at: this.#runtime.now() };
  }
}

// The client

const normalizeId = (id) => (typeof id === "string" ? id.toLowerCase() : id);

/** A random UUID. `crypto.randomUUID` exists in secure contexts only: a page over plain HTTP has none. */
function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** The address of the service that this module came from. Throws NO_URL where it came from somewhere else. */
function ownService() {
  const own = /^https?:/.test(OWN_URL ?? "") ? new URL(OWN_URL) : null;
  // A bundle has another name. A development server gives out a package's module under its own name.
  if (own === null || !/\/synckairos(\.[\w-]+)?\.js$/.test(own.pathname) || own.pathname.includes("/node_modules/")) {
    throw new SyncKairosError("NO_URL", "where the service is has to be told, as in new SyncKairos({ url: "
      + '"https://clock.example" }): this module did not come from a service, but from a bundle, a package or a file');
  }
  return new URL(".", own).href;
}

/** A connection to one SyncKairos service. */
export class SyncKairos {
  #base;
  #token;
  #runtime;
  #sessions = new Map();
  #closed = false;
  #unlisten = [];

  /**
   * @param {object} [options]
   * @param {string} [options.url] the service's address; default: the service that this module came from. A
   *   module that came from elsewhere, as in a bundle, has none, and then this throws NO_URL
   * @param {string | (() => string | Promise<string>)} [options.token] the user's token, or a function that
   *   returns it
   * @param {number} [options.reconnectAttempts] how many attempts in a row may fail before a session is given
   *   up; Infinity: it never is
   * @param {number} [options.maxSkewMs] when the device's clock is further off, no time is shown; default: the time
   *   is shown however far off it is
   * @param {Function} [options.WebSocket] default: the runtime's own, which Node.js has from version 22
   * @param {Function} [options.fetch] default: the runtime's own
   * @param {object} [options.runtime] for tests and other runtimes: what to use in place of WebSocket, fetch,
   *   now (monotonic ms), date, setTimeout, clearTimeout, random, document, window; and `measured()`, which
   *   gives a round trip that was measured before, `{t1, t2, t3, t4}`, or null
   */
  constructor({
    url = ownService(), token = null, reconnectAttempts = 10, maxSkewMs = Infinity,
    WebSocket = globalThis.WebSocket, fetch = globalThis.fetch, runtime = {},
  } = {}) {
    this.#base = new URL(url, globalThis.location?.href);
    if (!this.#base.pathname.endsWith("/")) {
      this.#base.pathname += "/";
    }
    this.#token = token;
    this.reconnectAttempts = reconnectAttempts;
    this.#runtime = {
      WebSocket,
      fetch: (...args) => fetch(...args),
      now: () => performance.now(),
      date: () => Date.now(),
      setTimeout: (fn, ms) => setTimeout(fn, ms),
      clearTimeout: (timer) => clearTimeout(timer),
      random: Math.random,
      document: globalThis.document,
      window: globalThis.window,
      ...runtime,
    };
    /** The server's time. */
    this.time = new ServerTime(this.#runtime, maxSkewMs, {
      ping: (t1) => this.#anySession((session) => session.ping(t1)),
      send: (message) => this.#anySession((session) => session.trySend(message)),
      fetchTime: () => this.#fetchTime(),
      hasSessions: () => this.#sessions.size > 0,
      onWake: () => this.#wake(),
      report: (error) => this.#sessions.forEach((session) => session.reportError(error)),
    });
    this.#listen(this.#runtime.window, "online", () => this.#wake());
    this.#listen(this.#runtime.window, "pageshow", (event) => event.persisted && this.#wake());
    this.#listen(this.#runtime.document, "visibilitychange", () => {
      if (this.#runtime.document.visibilityState === "visible") {
        this.#wake();
      }
    });
  }

  /** A session's id in lower case. Throws when it is none, and when the client was closed. */
  #checkedId(id) {
    const sessionId = normalizeId(id);
    if (this.#closed) {
      throw new SyncKairosError("CLOSED", "the client was closed");
    }
    if (typeof sessionId !== "string" || !UUID.test(sessionId)) {
      const details = [{ field: "session_id", message: "must be a UUID" }];
      throw new SyncKairosError("VALIDATION_ERROR", "session_id must be a UUID", { details });
    }
    return sessionId;
  }

  /** The session with this id for a program that holds no socket: calls over HTTP, and nothing to close. */
  handle(id) { return new Handle(this, this.#runtime, this.#checkedId(id)); }

  /** The session with this id: the same object until it is closed. Its socket is opened at once. */
  session(id) {
    const sessionId = this.#checkedId(id);
    let session = this.#sessions.get(sessionId);
    if (!session) {
      if (typeof this.#runtime.WebSocket !== "function") {
        // Every attempt to connect would fail, and `ready` would reject only after the last one.
        throw new SyncKairosError("NO_WEBSOCKET", "following a session needs a WebSocket, and there is none "
          + "here: use Node.js 22 or newer, or pass one, as new SyncKairos({ url, WebSocket })");
      }
      session = new Session(this, this.#runtime, sessionId);
      this.#sessions.set(sessionId, session);
      this.time.start(SOCKET_PATIENCE_MS); // the first samples can use the session's socket then
    }
    return session;
  }

  /** The session with this id if it is open, else null. */
  find(id) { return this.#sessions.get(normalizeId(id)) ?? null; }

  /** Creates a session from a config and returns its state. */
  async create(config) {
    try {
      return await this.request("POST", "/v1/sessions", config);
    } catch (error) {
      // Whoever reads the stack of an error that nobody handled sees where the text went wrong.
      if (error instanceof SyncKairosError) error.stack = [error.stack, ...error.carets(config)].join("\n\n");
      throw error;
    }
  }

  /** The tenant's sessions, newest first: {sessions, next_cursor}. */
  list({ status = null, tag = null, participants = null, limit = null, cursor = null } = {}) {
    const given = Object.entries({ status, tag, participants, limit, cursor }).filter(([, value]) => value !== null);
    const query = new URLSearchParams(given).toString();
    return this.request("GET", `/v1/sessions${query && `?${query}`}`);
  }

  /** The list of the service's presets. */
  async presets() {
    const answer = await this.request("GET", "/v1/presets");
    if (!Array.isArray(answer?.presets)) {
      throw errorFrom(null);
    }
    return answer.presets;
  }

  /** Closes all sessions. */
  close() {
    this.#closed = true;
    this.time.stop();
    this.#unlisten.forEach((unlisten) => unlisten());
    [...this.#sessions.values()].forEach((session) => session.close());
  }

  /**
   * Calls the HTTP API and returns the answer's `data`, the body where that has no `data`, or null where
   * there is no body. A call that was lost or cannot be carried out for now is tried again under the same
   * idempotency key, at most four times in all.
   */
  async request(method, path, body = undefined, { idempotencyKey = uuid(), ifMatch = null } = {}) {
    const headers = { accept: "application/json" };
    if (method !== "GET" && method !== "HEAD") {
      headers["idempotency-key"] = idempotencyKey;
    }
    if (ifMatch !== null) {
      headers["if-match"] = typeof ifMatch === "number" ? `"${ifMatch}"` : ifMatch;
    }
    if (body !== undefined) {
      headers["content-type"] = "application/json";
    }
    const url = new URL(path.replace(/^\//, ""), this.#base);
    const request = { method, headers, body: body && JSON.stringify(body), cache: "no-store" };
    for (let tries = 1; ; tries += 1) {
      try {
        const token = await this.token();
        if (token !== null) {
          headers.authorization = `Bearer ${token}`;
        }
        return await this.#fetch(url, request);
      } catch (error) {
        const longest = HTTP_BACKOFF_MS * 2 ** (tries - 1);
        const pause = error?.retryAfterMs ?? randomBetween(this.#runtime, longest / 2, longest);
        if (!mayTryAgain(error) || tries === HTTP_TRIES || pause > LONGEST_RETRY_AFTER_MS || this.#closed) {
          throw error;
        }
        await new Promise((resolve) => { this.#runtime.setTimeout(resolve, pause); });
        if (this.#closed) {
          throw error;
        }
      }
    }
  }

  async #fetch(url, options) {
    const abort = new AbortController();
    const timer = this.#runtime.setTimeout(() => abort.abort(), HTTP_TIMEOUT_MS);
    let response;
    let text;
    try {
      response = await this.#runtime.fetch(url, { ...options, signal: abort.signal });
      text = await response.text();
    } catch (cause) {
      // A browser does not tell a page whether another origin is unreachable or refuses the page.
      const origin = globalThis.location?.origin ?? url.origin;
      const refused = origin === url.origin ? "" : ", or does not let pages of this origin in";
      const [code, message] = abort.signal.aborted ? ["NETWORK_TIMEOUT", "no answer in time"]
        : ["CONNECTION_LOST", `the service cannot be reached${refused}`];
      throw new SyncKairosError(code, message, { retryable: true, cause });
    } finally {
      this.#runtime.clearTimeout(timer);
    }
    let parsed = null;
    try {
      parsed = text === "" ? null : JSON.parse(text);
    } catch {
      // The answer came from a proxy, and not from the service.
    }
    if (!response.ok) {
      const seconds = Number(response.headers.get("retry-after") ?? NaN);
      throw errorFrom(parsed, response.status, Number.isFinite(seconds) ? 1000 * seconds : null);
    }
    if (text !== "" && (typeof parsed !== "object" || parsed === null)) {
      throw errorFrom(null, response.status);
    }
    return parsed !== null && "data" in parsed ? parsed.data : parsed;
  }

  // For the sessions of this client

  /** @internal */
  get isClosed() { return this.#closed; }

  /** @internal */
  get canRenewToken() { return typeof this.#token === "function"; }

  /** @internal */
  async token() {
    if (typeof this.#token !== "function") {
      return this.#token ?? null;
    }
    let timer;
    const late = new Promise((resolve, reject) => {
      timer = this.#runtime.setTimeout(() => {
        reject(new SyncKairosError("NETWORK_TIMEOUT", "no token in time", { retryable: true }));
      }, HTTP_TIMEOUT_MS);
    });
    try {
      return await Promise.race([this.#token(), late]) ?? null;
    } finally {
      this.#runtime.clearTimeout(timer);
    }
  }

  /** @internal */
  socketUrl(id) {
    const url = new URL(`ws?session_id=${id}`, this.#base);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    return url.href;
  }

  /** @internal */
  adopt(session) {
    this.#sessions.set(session.id, session);
  }

  /** @internal */
  forget(session) {
    if (this.#sessions.get(session.id) === session) {
      this.#sessions.delete(session.id);
    }
  }

  /** Calls `fn` with one session after another until it returns true; whether one did. */
  #anySession(fn) {
    for (const session of this.#sessions.values()) {
      if (fn(session)) {
        return true;
      }
    }
    return false;
  }

  async #fetchTime() {
    const at = this.#runtime.now();
    const answer = await this.#fetch(new URL("v1/time", this.#base), { method: "GET", cache: "no-store" });
    return { ...answer, at };
  }

  #wake() {
    const checkSockets = this.time.burst();
    this.#sessions.forEach((session) => session.wake(checkSockets));
  }

  #listen(target, name, fn) {
    if (target?.addEventListener) {
      target.addEventListener(name, fn);
      this.#unlisten.push(() => target.removeEventListener(name, fn));
    }
  }
}

/** Whether the same call may succeed a moment later. After a version conflict the caller has to decide. */
function mayTryAgain(error) {
  return error instanceof SyncKairosError && error.retryable && error.code !== "CONCURRENT_MODIFICATION";
}
