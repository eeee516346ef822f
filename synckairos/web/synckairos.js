/**
 * The SyncKairos client: live clocks of sessions in a page, one module without dependencies.
 *
 *   import { SyncKairos } from "https://clock.example/synckairos.js";
 *   const session = new SyncKairos().session(id);
 *   await session.ready;
 *   session.remaining(participantId);        // ms left now
 *   session.switch();                        // the other clock runs at once
 *
 * From top to bottom: errors; the clock filter and the clock that is shown; the state and what an event makes
 * of it, as pure functions; prediction of own commands; clock faces; server time; a session; the client.
 * All times are milliseconds. README.md in this folder is the reference.
 */

const PROTOCOL = "synckairos.v1";
const BACKOFF_S = [1, 2, 4, 8, 16, 30];
const CONNECT_TIMEOUT_MS = 10_000;
/** A socket that stays silent for so long after a PING is taken for dead; sooner where the page just woke. */
const SILENCE_MS = 10_000;
const SILENCE_AFTER_WAKE_MS = 3_000;
const SOCKET_PATIENCE_MS = 500;
const HTTP_TRIES = 4;
const HTTP_TIMEOUT_MS = 10_000;
const HTTP_BACKOFF_MS = 300;
const LONGEST_RETRY_AFTER_MS = 10_000;
/** How long a command that succeeded over HTTP waits for its event on the socket. */
const EVENT_PATIENCE_MS = 2_000;
/** How long a change that the service says it made may take to arrive as an event before it is asked for. */
const CAUGHT_UP_MS = 1_000;
/** How often a command is sent that the service does not answer. */
const COMMAND_TRIES = 4;
/** How often the events after one version are asked for over one connection. */
const GAP_TRIES = 3;
/** A clock that was predicted a little off is brought right by running it this much off its rate. */
const RECONCILE_RATE = 0.25;
const RECONCILE_MS = 1_000;

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

// Errors

/** What the service refused, or what went wrong on the way to it. */
export class SyncKairosError extends Error {
  /**
   * @param {string} code one of the service's codes, or CONNECTION_LOST, NETWORK_TIMEOUT, UNEXPECTED_ANSWER,
   *   CLOSED, CLOCK_SKEW, CLOCK_SKEW_REFUSED
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
}

/** The error that a body of the service means; what is no such body came from somebody else on the way. */
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
 * Finds the offset of the server's clock from a local monotonic one, from round trips. Whole-millisecond
 * stamps of the server are to be given with half a millisecond added.
 */
export class ClockFilter {
  static WINDOW = 8;
  static DRIFT = 50e-6;
  static RESOLUTION_MS = 0.5;
  #samples = [];

  /** A round trip: sent at t1, back at t4 by the local clock; there at t2, answered at t3 by the server's. */
  add(t1, t2, t3, t4, now = t4) {
    const offset = (t2 - t1 + (t3 - t4)) / 2;
    const rtt = Math.max(0, t4 - t1 - (t3 - t2));
    // Nobody can have worked on the answer for longer than it was under way, but for what was cut off.
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
   * The best of the newest samples at local time `now`, or null without any. `uncertainty` is the half-width
   * of the interval that the true offset is in: half the round trip (how it was divided is not known),
   * half a millisecond for the cut stamps, and what the clocks may have drifted apart since.
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
 * The server's clock as it is shown: it follows the estimates by running a little fast or slow and never goes
 * back. Only a step forward of more than a second (the device slept) is taken at once.
 */
export class SlewedClock {
  static RATE = 0.05;
  static BACK_RATE = 0.5;
  static STEP_MS = 1000;
  #shown = null;
  #target = 0;
  #at = 0;

  /** From local time `local` on, the estimate is `offset` (server time less local time). */
  set(offset, local) {
    if (this.#shown === null) {
      this.#shown = offset;
      this.#at = local;
    } else {
      this.#advance(local);
      if (offset - this.#shown > SlewedClock.STEP_MS) {
        this.#shown = offset;
      }
    }
    this.#target = offset;
  }

  /** Server time at local time `local`; null before the first estimate. */
  now(local) {
    if (this.#shown === null) {
      return null;
    }
    this.#advance(local);
    return Math.max(local, this.#at) + this.#shown;
  }

  /** How far it is at local time `local` from the newest estimate; 0 before the first one. */
  gap(local) {
    if (this.#shown === null) {
      return 0;
    }
    this.#advance(local);
    return Math.abs(this.#target - this.#shown);
  }

  #advance(local) {
    const passed = local - this.#at;
    if (passed <= 0) {
      return;
    }
    const gap = this.#target - this.#shown;
    if (gap >= 0) {
      this.#shown += Math.min(gap, SlewedClock.RATE * passed);
    } else {
      const rate = -gap > SlewedClock.STEP_MS ? SlewedClock.BACK_RATE : SlewedClock.RATE;
      this.#shown -= Math.min(-gap, rate * passed);
    }
    this.#at = local;
  }
}

// State: pure

/**
 * What has to be known of the current cycle and is not in the state.
 * offset: how long it had run (ms) when a flagged clock got time again
 * flagged: its clock ran out, and stays at its end
 * spent: what it was charged (ms) until its clock ran out
 * last: the index of who was last active, by group
 */
const HIDDEN = Symbol("synckairos");
const NO_CYCLE = Object.freeze({ offset: 0, flagged: false, spent: 0, last: Object.freeze({}) });

const iso = (ms) => new Date(ms).toISOString();
const isLive = (state) => state.status === "running" || state.status === "paused";

function deepFreeze(value) {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(deepFreeze);
  }
  return value;
}

const inRotation = (one, other) => one.participant_index - other.participant_index;

/** Whose the clocks are: "participant", "group", "cycle" or "session". */
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

/** The rule that an owner's clock is spent by now (of stages the current one's), and its overtime. */
function ruleOf(state, entry) {
  const control = entry.time_control ?? state.time_control;
  const overtime = control.overtime_ms ?? 0;
  const stage = entry.clock?.stage;
  return { rule: control.kind === "stages" ? control.stages[stage ?? 0] : control, control, overtime };
}

const kindOf = (rule) => rule.kind ?? "fischer";

/** What a cycle may use besides the bank: delay, periods or block, but not the overtime. */
function extraBudget(rule, clock, offset) {
  switch (kindOf(rule)) {
    case "delay": return Math.max(0, rule.delay_ms - offset);
    case "byoyomi": return clock.periods_left * rule.period_ms;
    case "canadian": return clock.block_remaining_ms;
    default: return 0;
  }
}

/** Whether what is left goes down with time: a clock may stand at its end while the total runs on. */
function runsDown(state) {
  if (state.status !== "running" || state.deadline_ms === null || state.time_remaining_ms === null) {
    return false;
  }
  const owner = runningOwner(state);
  const overtime = owner ? ruleOf(state, owner).overtime : 0;
  return state.deadline_ms - overtime - state.server_time_ms === state.time_remaining_ms;
}

/** What of a clock has been used beyond the main time, after a cycle used so much. */
const beyond = (bank, used) => Math.max(0, bank > 0 ? used - bank : used);

/** What a player would see of the clock if the cycle were charged now; undefined where that is nothing. */
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
 * A state as it is at a later server time (whole ms), everything that ticks included: as `GET` would show it
 * then, if nothing happens until then.
 */
export function stateAt(state, serverTimeMs) {
  const now = Math.max(serverTimeMs, state.server_time_ms);
  const next = { ...state, server_time_ms: now };
  if (state.status === "running") {
    const passed = now - state.server_time_ms;
    next.cycle_elapsed_ms = now - Date.parse(state.cycle_started_at);
    if (runsDown(state)) {
      next.time_remaining_ms = state.time_remaining_ms - passed;
    }
    if (state.total_remaining_ms !== null) {
      next.total_remaining_ms = Math.max(0, state.total_remaining_ms - passed);
    }
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

/** The state, if clocks can be shown by it; else an error, as no clock at all is better than a wrong one. */
function checked(state) {
  const owners = [...state.participants, ...state.groups];
  const instants = [state.version, state.server_time_ms, state.cycle_count];
  if (state.status === "running") {
    instants.push(Date.parse(state.cycle_started_at));
  }
  const times = [state.deadline_ms, state.time_remaining_ms, state.total_remaining_ms,
    ...owners.flatMap(({ total_time_ms, time_remaining_ms }) => [total_time_ms, time_remaining_ms])];
  if (!instants.every(Number.isFinite) || !times.every((time) => Number.isFinite(time ?? 0))) {
    throw new TypeError("a state whose times are no numbers");
  }
  return state;
}

/** A state as the service sends it whole, made ready to be kept up by events. */
export function adopt(full) {
  const hidden = { ...NO_CYCLE };
  const { time_remaining_ms: left, cycle_elapsed_ms: elapsed } = full;
  const owner = runningOwner(full);
  if (isLive(full) && left !== null) {
    let bank = null;
    let more = 0;
    let delay = 0;
    if (owner) {
      const { rule } = ruleOf(full, owner);
      hidden.flagged = owner.has_expired;
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
      hidden.flagged = full.status === "running" ? !runsDown(full) : mayBeFlagged;
    }
    if (bank !== null && !hidden.flagged) {
      const behind = left - bank - more + elapsed;
      hidden.offset = behind > delay ? behind : 0;
    }
  }
  const active = isLive(full) ? participantOf(full, full.active_participant_id) : null;
  if (active?.group_id) {
    hidden.last = { [active.group_id]: active.participant_index };
  }
  return deepFreeze({ ...full, [HIDDEN]: Object.freeze(hidden) });
}

/** What the cycle that runs in this state would be charged if it ended at the state's time. */
function charge(state) {
  const { offset, flagged } = state[HIDDEN];
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

/** Entries with those that changed in place of the old ones, the rest as it was. */
function replaced(entries, changed, name, gone) {
  const news = new Map(changed.map((entry) => [entry[name], withoutNow(entry)]));
  const result = [];
  for (const entry of entries) {
    if (entry[name] !== gone) {
      result.push(news.get(entry[name]) ?? withoutNow(entry));
      news.delete(entry[name]);
    }
  }
  return news.size > 0 ? [...result, ...news.values()] : result;
}

/**
 * What an event makes of the state: the state after it, as `GET` would show it at that moment. The event has
 * to be the one after the state's version, in the same epoch.
 */
export function merge(state, event) {
  const { payload, server_time_ms: now } = event;
  const was = stateAt(state, now);
  const before = was[HIDDEN];
  const ended = payload.cycle_count > was.cycle_count;
  const live = payload.status === "running" || payload.status === "paused";
  const begins = live && (ended || payload.event === "session.started");

  const removed = payload.removed_participant_id;
  let used = 0;
  for (const entry of payload.participants) {
    used += entry.time_used_ms - (participantOf(was, entry.participant_id)?.time_used_ms ?? 0);
  }
  if (ended && removed !== undefined) {
    used += charge(was);
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
    participants: replaced(was.participants, payload.participants, "participant_id", removed),
    groups: replaced(was.groups, payload.groups, "group_id"),
  };
  if (payload.event === "participant.added") {
    next.participants.sort(inRotation);
  }
  if (payload.event === "session.started") {
    next.session_started_at = iso(now);
  }
  if (next.session_completed_at === null && !live && payload.status !== "pending") {
    next.session_completed_at = iso(payload.expired_deadline_ms ?? now);
  }
  if (live) {
    next.cycle_elapsed_ms = payload.status === "running" ? now - Date.parse(payload.cycle_started_at)
      : begins ? 0 : was.cycle_elapsed_ms;
  }
  const adjusted = payload.adjusted_ms ?? 0;
  if (was.sync_mode === "count_up") {
    if (was.max_time_ms !== null) {
      next.max_time_ms = was.max_time_ms + adjusted;
    } else if (payload.adjusted_ms !== undefined) {
      next.max_time_ms = was.time_used_ms + (was.cycle_elapsed_ms ?? 0) + adjusted;
    }
  } else if (ownedBy(was) === "session") {
    next.total_time_ms = was.total_time_ms - used + adjusted;
  }
  next[HIDDEN] = Object.freeze(hiddenAfter(was, next, before, { begins, live, payload, used, adjusted }));
  return stateAt(next, now);
}

/** Who was last active in each group, after somebody left: where it was that one, the member before. */
function lastAfter(was, last, removed) {
  const gone = removed === undefined ? null : participantOf(was, removed);
  if (gone === null || last[gone.group_id] !== gone.participant_index) {
    return last;
  }
  const before = was.participants.filter((one) => one.group_id === gone.group_id
    && one.participant_index < gone.participant_index).map((one) => one.participant_index);
  return { ...last, [gone.group_id]: Math.max(-1, ...before) };
}

function hiddenAfter(was, next, before, { begins, live, payload, used, adjusted }) {
  if (!live) {
    return NO_CYCLE;
  }
  let { offset, flagged, spent } = before;
  let last = lastAfter(was, before.last, payload.removed_participant_id);
  const owner = runningOwner(next);
  if (begins) {
    offset = 0;
    spent = 0;
    // A session's own bank that was empty when a cycle was broken off has run out by that.
    const emptied = payload.event === "participant.removed" && was.time_remaining_ms !== null
      && was.time_remaining_ms <= 0;
    flagged = owner ? owner.has_expired : ownedBy(next) === "session" && (flagged || emptied);
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
  return { offset, flagged, spent, last };
}

// Prediction: what an own command will make of the state

/** An entry after a change of its numbers, as it waits for its next cycle. */
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

/** What a stage or a control of its own begins with. */
function freshClock(rule) {
  switch (kindOf(rule)) {
    case "byoyomi": return { periods_left: rule.periods };
    case "canadian": return { moves_left: rule.moves, block_remaining_ms: rule.period_ms };
    default: return {};
  }
}

/** Bank and clock of an owner after a cycle that ended in time with `used` ms, credits included. */
function afterCycle(state, entry, used, offset) {
  const { rule, control } = ruleOf(state, entry);
  const { total_time_ms: bank } = entry;
  let clock = withoutNow(entry).clock;
  let rest = bank - used;
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
      if (rest <= 0) {
        clock = clock.moves_left > 1
          ? { ...clock, moves_left: clock.moves_left - 1, block_remaining_ms: Math.max(0, block) }
          : { ...clock, ...freshClock(rule) };
      }
      break;
    }
    default:
  }
  if (control.kind === "stages" && rule.moves !== undefined && kindOf(rule) !== "canadian") {
    if (clock.moves_left > 1) {
      clock = { ...clock, moves_left: clock.moves_left - 1 };
    } else {
      const stage = clock.stage + 1;
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
  // A group's turn stands at the lowest index of its members.
  const firsts = byIndex.filter((one) => byIndex.find((other) => other.group_id === one.group_id) === one);
  const place = firsts.find((one) => one.group_id === active.group_id).participant_index;
  const first = after(firsts.filter((one) => !(mayBeOut && groupOf(state, one.group_id).has_expired)), place);
  if (!first) {
    return null;
  }
  const members = byIndex.filter((one) => one.group_id === first.group_id);
  const last = state[HIDDEN].last[first.group_id];
  if (last !== undefined) {
    return after(members, last);
  }
  // Who of them was last active was before this client came. Where they took turns, the count says it.
  const fewest = Math.min(...members.map((one) => one.cycle_count));
  return members.find((one) => one.cycle_count === fewest);
}

const timeIsUp = (state) => state.deadline_ms !== null && state.server_time_ms >= state.deadline_ms;

/** A state after a payload that was thought out here: the version stays the one that is known. */
function predicted(state, payload) {
  const { version, epoch, server_time_ms } = state;
  const full = { participants: [], groups: [], actor: null, trace: null, reason: "manual", ...payload };
  return merge(state, { version, epoch, server_time_ms, payload: full });
}

/**
 * What a switch at this server time will most likely make of the state; null where nothing can be said.
 * Exact but for what lag compensation will credit.
 */
export function predictSwitch(state, serverTimeMs, nextId = null) {
  const was = stateAt(state, Math.round(serverTimeMs));
  const next = was.status === "running" && !timeIsUp(was)
    ? nextId === null ? nextInTurn(was) : participantOf(was, nextId) : null;
  if (!next) {
    return null;
  }
  const by = ownedBy(was);
  const { offset, flagged, spent } = was[HIDDEN];
  const used = charge(was);
  const now = was.server_time_ms;
  const owns = by === "participant" || by === "group";
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
      const charged = entry === owner && !flagged && !endless ? afterCycle(was, owner, used, offset) : {};
      const counted = { time_used_ms: entry.time_used_ms + used, cycle_count: entry.cycle_count + 1 };
      change(entry, { ...charged, ...counted });
    }
  }
  const group = next.group_id === null ? null : groupOf(was, next.group_id);
  let left = was.time_remaining_ms;
  let deadline = was.deadline_ms;
  let begins = null;
  if (owns) {
    begins = current(by === "group" ? group : next);
    if (by === "participant" && begins.has_expired && was.action_on_timeout.type !== "notify") {
      return null;
    }
    const handsOn = !endless && kindOf(ruleOf(was, owner).rule) === "hourglass";
    if (handsOn && begins.total_time_ms !== null) {
      const sand = spent + used;
      begins = change(by === "group" ? group : next, {
        total_time_ms: begins.total_time_ms + sand, has_expired: begins.has_expired && sand === 0,
      });
    }
    const fresh = idleEntry(was, begins, {});
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
  const changed = [...entries.values()];
  return predicted(was, {
    event: "cycle.switched",
    status: "running",
    active_participant_id: next.participant_id,
    active_group_id: group ? group.group_id : null,
    cycle_started_at: iso(now),
    deadline_ms: deadline,
    time_remaining_ms: left,
    cycle_count: was.cycle_count + 1,
    participants: changed.filter((entry) => entry.participant_id !== undefined),
    groups: changed.filter((entry) => entry.participant_id === undefined),
    total_remaining_ms: was.total_remaining_ms ?? undefined,
  });
}

/** What a pause at this server time will make of the state; null where nothing can be said. */
export function predictPause(state, serverTimeMs) {
  const was = stateAt(state, Math.round(serverTimeMs));
  if (was.status !== "running" || timeIsUp(was)) {
    return null;
  }
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
    resumes_at_ms: was.max_pause_ms ? was.server_time_ms + was.max_pause_ms : undefined,
  });
}

/** What a resume at this server time will make of the state; null where nothing can be said. */
export function predictResume(state, serverTimeMs) {
  const was = stateAt(state, Math.round(serverTimeMs));
  if (was.status !== "paused") {
    return null;
  }
  const now = was.server_time_ms;
  const owner = runningOwner(was);
  let deadline = null;
  if (was[HIDDEN].flagged) {
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

/** What is left of the current cycle's clock at a server time, not below the end of its overtime. */
function leftOf(state, now) {
  if (state.time_remaining_ms === null) {
    return null;
  }
  const owner = runningOwner(state);
  const overtime = owner ? ruleOf(state, owner).overtime : 0;
  const passed = runsDown(state) ? Math.max(0, now - state.server_time_ms) : 0;
  return Math.max(state.time_remaining_ms - passed, 0 - overtime);
}

/** How long the current cycle has run at a server time; 0 without one. */
function cycleElapsed(state, now) {
  if (!isLive(state)) {
    return 0;
  }
  return state.status === "paused" ? state.cycle_elapsed_ms
    : Math.max(now, state.server_time_ms) - Date.parse(state.cycle_started_at);
}

/** What the running cycle adds to the time used, at a server time. */
function chargedSoFar(state, now) {
  if (!isLive(state) || state[HIDDEN].flagged) {
    return 0;
  }
  const until = state.status === "running" && state.deadline_ms !== null
    ? Math.min(now, state.deadline_ms) : now;
  return Math.max(0, cycleElapsed(state, until) - state[HIDDEN].offset);
}

/**
 * What is left at a server time: of the clock of a participant or group, or without one of the clock that
 * runs (or waits, where the session or the cycle owns it). Null where there is no clock, or no end.
 */
export function remainingAt(state, now, ownerId = null) {
  if (ownerId !== null) {
    const owner = runningOwner(state);
    const entry = participantOf(state, ownerId) ?? groupOf(state, ownerId);
    return entry !== null && entry === owner ? leftOf(state, now) : entry?.time_remaining_ms ?? null;
  }
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

/** How long, at a server time: see `Session.elapsed`. */
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
  blockRemainingMs: null, movesLeft: null, stage: null, overtimeMs: null, elapsedMs: 0,
};

/** A clock face at a server time: see `Session.clock`. */
export function clockAt(state, now, ownerId = null) {
  const owner = runningOwner(state);
  const entry = ownerId === null ? owner : participantOf(state, ownerId) ?? groupOf(state, ownerId);
  const by = ownedBy(state);
  const running = state.status === "running" && !state[HIDDEN].flagged;
  if (entry !== null && entry.clock !== null) {
    return ownerFace(state, entry, now, { current: entry === owner, running: running && entry === owner });
  }
  if (state.sync_mode === "count_up" && (ownerId === null || entry !== null)) {
    const own = ownerId === null;
    const active = own || ownerId === state.active_participant_id || ownerId === state.active_group_id;
    const left = own ? remainingAt(state, now) : null;
    return {
      ...NO_FACE, ownerId, kind: "count_up", running: running && active,
      expired: own && (state.status === "expired" || (isLive(state) && state[HIDDEN].flagged)),
      remainingMs: left, mainMs: left, elapsedMs: elapsedAt(state, now, ownerId),
    };
  }
  if (ownerId !== null || by === "participant" || by === "group") {
    return null;
  }
  const left = remainingAt(state, now);
  return {
    ...NO_FACE, ownerId: null, kind: "countdown", running, remainingMs: left, mainMs: left,
    expired: state.status === "expired" || (isLive(state) && state[HIDDEN].flagged),
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
  // What is left of the main time and of the delay, periods or block: they pay nothing of a debt.
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
/** Date and the monotonic clock differ by so much more than before: the device slept, or was set. */
const SLEEP_MS = 1_000;
/** Without a session the time is asked for as long as somebody looked at it so lately. */
const LOOKED_AT_MS = 60_000;
/** A timer that comes so late: the page was throttled or frozen. */
const LATE_MS = 5_000;
const REPORTED_SKEW_MS = 60_000;
/** A device an hour off, by a wrong time zone, is an hour off give or take what its clock itself is off. */
const SKEW_TOLERANCE_MS = 1_000;

const between = (runtime, least, most) => least + (most - least) * runtime.random();

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
        // If a listener fails, the others are called all the same: it is reported as an uncaught error.
        queueMicrotask(() => { throw error; });
      }
    }
  }
}

/** The server's time, by round trips over a live socket, or over HTTP while there is none. */
class ServerTime {
  #runtime;
  #links;
  #maxSkewMs;
  #filter = new ClockFilter();
  #clock = new SlewedClock();
  #estimate = null;
  #skew = null;
  #changed = new Listeners();
  #sent = new Set();
  #asking = false;
  #reported = false;
  #refused = false;
  #timers = new Set();
  #running = false;
  #stopped = false;
  #lastBurst = -Infinity;
  #next = Infinity;
  #ticked = 0;
  #gap = 0;
  #lookedAt = -Infinity;

  /**
   * links: {ping(t1) -> whether it was sent, ask() -> Promise<{receive_ms, transmit_ms, at}>,
   * watching() -> whether there are sessions, tell(message), woke(), report(error)}
   */
  constructor(runtime, maxSkewMs, links) {
    this.#runtime = runtime;
    this.#maxSkewMs = maxSkewMs;
    this.#links = links;
  }

  /** The server's clock as it is shown, in ms with fractions: it never goes back. Null until it is known. */
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

  /** Server time less the local monotonic clock; null until known. */
  get offsetMs() {
    return this.#estimate?.offset ?? null;
  }

  /** Server time less the device's Date; null until known. */
  get skewMs() {
    return this.#skew;
  }

  /** The round trip of the sample that counts; null until known. */
  get rttMs() {
    return this.#estimate?.rtt ?? null;
  }

  /** Whether the device's clock is so far off that no time is shown. */
  get refused() {
    return this.#refused;
  }

  /** `fn()` after each measurement. Returns what ends that. */
  onChange(fn) {
    this.start();
    return this.#changed.add(fn);
  }

  /** Begins to measure, in so many ms where nothing else makes it. Does nothing where that has begun. */
  start(inMs = 0) {
    if (!this.#running) {
      this.#running = true;
      this.#ticked = this.#runtime.now();
      this.#gap = this.#runtime.date() - this.#ticked;
      this.#tick();
      this.#after(inMs, () => this.burst());
    }
  }

  stop() {
    this.#timers.forEach((timer) => this.#runtime.clearTimeout(timer));
    this.#timers.clear();
    this.#running = true; // for good
    this.#stopped = true;
  }

  /** Five samples, 100 to 200 ms apart. Whether they are taken: not if the last five were a moment ago. */
  burst() {
    const now = this.#runtime.now();
    if (now - this.#lastBurst < BURST_EVERY_MS) {
      return false;
    }
    this.#lastBurst = now;
    this.#plan();
    const sample = (left) => {
      this.#sample();
      if (left > 1) {
        this.#after(between(this.#runtime, 100, 200), () => sample(left - 1));
      } else {
        this.#after(1_000, () => this.#tell());
      }
    };
    sample(BURST);
    return true;
  }

  /** The server's answer to a ping. */
  pong({ t1, t2, t3 }) {
    if (this.#sent.delete(t1)) {
      this.#addSample(t1, t2, t3);
    }
  }

  #after(ms, fn) {
    if (this.#stopped) {
      return;
    }
    const timer = this.#runtime.setTimeout(() => {
      this.#timers.delete(timer);
      fn();
    }, ms);
    this.#timers.add(timer);
  }

  #plan() {
    this.#next = this.#runtime.now() + between(this.#runtime, 10_000, 15_000);
  }

  #tick() {
    this.#after(TICK_MS, () => this.#tick());
    const now = this.#runtime.now();
    const late = now - this.#ticked - TICK_MS;
    const gap = this.#runtime.date() - now;
    const slept = Math.abs(gap - this.#gap) > SLEEP_MS;
    this.#ticked = now;
    this.#gap = gap;
    if (slept) {
      // A monotonic clock may stand still while the device sleeps: what was measured before says nothing now.
      this.#filter.reset();
      this.#sent.clear();
      this.#lastBurst = -Infinity;
    }
    if (slept || late > LATE_MS) {
      this.#links.woke();
    } else if (now >= this.#next) {
      this.#plan();
      this.#sample();
    }
  }

  #sample() {
    const t1 = this.#runtime.now();
    if (this.#sent.size >= ClockFilter.WINDOW) {
      this.#sent.clear(); // those were lost
    }
    if (this.#links.ping(t1)) {
      this.#sent.add(t1);
    } else if (!this.#asking && this.#isWanted(t1)) {
      this.#asking = true;
      this.#links.ask()
        .then(({ receive_ms, transmit_ms, at }) => this.#addSample(at, receive_ms, transmit_ms), () => {})
        .finally(() => { this.#asking = false; });
    }
  }

  #isWanted(now) {
    return this.#links.watching() || this.#changed.size > 0 || now - this.#lookedAt < LOOKED_AT_MS;
  }

  #addSample(t1, t2, t3) {
    if (this.#stopped || !Number.isFinite(t2) || !Number.isFinite(t3)) {
      return;
    }
    const now = this.#runtime.now();
    this.#filter.add(t1, t2 + 0.5, t3 + 0.5, now);
    const estimate = this.#filter.estimate(now);
    if (estimate === null) {
      return;
    }
    this.#estimate = estimate;
    this.#clock.set(estimate.offset, now);
    this.#skew = now + estimate.offset - this.#runtime.date();
    this.#judge(Math.abs(this.#skew), estimate.uncertainty);
    this.#changed.emit();
  }

  #judge(skew, uncertainty) {
    this.#refused = skew - uncertainty - SKEW_TOLERANCE_MS > this.#maxSkewMs;
    const code = this.#refused ? "CLOCK_SKEW_REFUSED" : skew > REPORTED_SKEW_MS ? "CLOCK_SKEW" : false;
    if (code && code !== this.#reported) {
      const seconds = Math.round(this.#skew / 1000);
      const side = seconds > 0 ? "behind" : "ahead of";
      const message = `this device's clock is ${Math.abs(seconds)} s ${side} the server's`;
      this.#links.report(new SyncKairosError(code, message, {
        context: { skew_ms: this.#skew, uncertainty_ms: uncertainty, max_skew_ms: this.#maxSkewMs },
      }));
    }
    this.#reported = code;
  }

  #tell() {
    if (this.#estimate !== null) {
      const round = (ms) => Math.round(1000 * ms) / 1000;
      this.#links.tell({
        type: "CLOCK", offset_ms: round(this.#skew), rtt_ms: round(this.#estimate.rtt),
        uncertainty_ms: round(this.#estimate.uncertainty),
      });
    }
  }
}

// A session

/** One session, watched and, where that is allowed, played. Made by `SyncKairos.session`. */
class Session {
  #client;
  #runtime;
  #id;
  #socket = null;
  #connection = "connecting";
  #closeReason = null;
  #greeted = false;
  #attempts = 0;
  #timer = null;
  #watchdog = null;
  #heard = 0;
  #catchingUp = false;
  #gap = { version: null, asked: 0 }; // from where on what was missed was asked for, and how often
  #garbled = 0; // connections in a row that ended for a message that is not understood
  #afresh = false; // whether the next state counts whatever its version
  #greeting = null; // the state that a new socket begins with, kept until it is known what was missed
  #known = null;
  #received = 0; // local time at which #known came
  #shown = null;
  #shift = { ms: 0, at: 0 };
  #commands = []; // own ones not confirmed yet, in order
  #wasPending = false;
  #waiting = new Set();
  #ready;
  #settleReady;
  #listeners = {
    change: new Listeners(), expire: new Listeners(), warning: new Listeners(), connection: new Listeners(),
    error: new Listeners(),
  };

  constructor(client, runtime, id) {
    this.#client = client;
    this.#runtime = runtime;
    this.#id = id;
    this.#getReady();
    this.#open();
  }

  #getReady() {
    this.#ready = new Promise((resolve, reject) => { this.#settleReady = { resolve, reject }; });
    this.#ready.catch(() => {}); // who does not wait for it need not handle it
  }

  get id() { return this.#id; }
  get connection() { return this.#connection; }
  get closeReason() { return this.#closeReason; }
  get ready() { return this.#ready; }

  /** The state as shown, own commands that are not confirmed included; as of its server_time_ms. */
  get state() { return this.#shown; }

  /** The newest state that the server confirmed. */
  get confirmed() { return this.#known; }

  /** Whether an own command is not confirmed yet. */
  get pending() { return this.#commands.length > 0; }

  onChange(fn) { return this.#listeners.change.add(fn); }
  onExpire(fn) { return this.#listeners.expire.add(fn); }
  onWarning(fn) { return this.#listeners.warning.add(fn); }
  onConnection(fn) { return this.#listeners.connection.add(fn); }
  onError(fn) { return this.#listeners.error.add(fn); }

  // Clocks

  remaining(owner = null) {
    const now = this.#now();
    return now === null ? null : remainingAt(this.#shown, now, fold(owner));
  }

  elapsed(participantId = null) {
    const now = this.#now();
    return now === null ? null : elapsedAt(this.#shown, now, fold(participantId));
  }

  clock(owner = null) {
    const now = this.#now();
    return now === null ? null : clockAt(this.#shown, now, fold(owner));
  }

  /** Server time for what is shown; null without a state, or where the time is refused. */
  #now() {
    if (this.#shown === null || this.#client.time.refused) {
      return null;
    }
    return this.#serverNow() - this.#shiftNow();
  }

  /** Until the server's time was measured, the newest state says what it was when that came. */
  #serverNow() {
    return this.#client.time.now() ?? this.#known.server_time_ms + this.#runtime.now() - this.#received;
  }

  #shiftNow() {
    const { ms, at } = this.#shift;
    const absorbed = RECONCILE_RATE * (this.#runtime.now() - at);
    return Math.sign(ms) * Math.max(0, Math.abs(ms) - absorbed);
  }

  // Commands over the socket

  async switch({ next = null, current = null, expectedVersion = null } = {}) {
    next = fold(next);
    current = fold(current);
    if (this.#shown === null) {
      await this.#ready;
    }
    // Two taps for one turn are one switch: as long as that turn is the one that the server knows of.
    const again = this.#commands.find((command) => command.type === "SWITCH" && command.next === next
      && command.count === this.#known.cycle_count && (current === null || current === command.current));
    if (again) {
      return again.answer;
    }
    const shown = this.#shown;
    return this.#command({
      type: "SWITCH", next, current: current ?? shown.active_participant_id, count: shown.cycle_count,
      fields: {
        current_participant_id: current ?? shown.active_participant_id, next_participant_id: next,
        expected_version: expectedVersion,
      },
      predict: (state, now) => predictSwitch(state, now, next),
      holds: (state) => state.status === "running",
    });
  }

  async pause() {
    return this.#simple("PAUSE", predictPause, "running");
  }

  async resume() {
    return this.#simple("RESUME", predictResume, "paused");
  }

  async #simple(type, predict, status) {
    if (this.#shown === null) {
      await this.#ready;
    }
    const last = this.#commands.at(-1);
    if (last?.type === type) {
      return last.answer;
    }
    const { active_participant_id: current, cycle_count: count } = this.#shown;
    return this.#command({
      type, current, count, fields: {}, predict, holds: (state) => state.status === status,
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
    // Where it will be carried out: the server hears of it half a round trip from now.
    command.at = this.#serverNow() + (this.#client.time.rttMs ?? 0) / 2;
    command.answer = new Promise((resolve, reject) => { Object.assign(command, { resolve, reject }); });
    this.#commands.push(command);
    if (this.#connection === "live") {
      this.#deliver(command);
    }
    this.#show(null);
    return command.answer;
  }

  #deliver(command) {
    this.#send(command.fields);
    this.#later(command, SILENCE_MS, () => this.#unanswered(command));
  }

  /** What happens to a command if nothing else happens to it before. */
  #later(command, ms, fn) {
    this.#runtime.clearTimeout(command.timer);
    command.timer = this.#runtime.setTimeout(() => this.#connection === "live" && fn(), ms);
  }

  /** A connection over which commands get no answer is replaced; what gets none over several is given up. */
  #unanswered(command) {
    command.tries += 1;
    if (command.tries < COMMAND_TRIES) {
      this.#lost(this.#socket, 1006, "the service does not answer");
    } else {
      const message = "the service does not answer";
      this.#refuse(new SyncKairosError("NETWORK_TIMEOUT", message, { retryable: true }),
        command.fields.request_id);
    }
  }

  #drop(command) {
    this.#runtime.clearTimeout(command.timer);
    this.#commands = this.#commands.filter((one) => one !== command);
  }

  /** The server did what a command asked for. It is confirmed when the state has come that far. */
  #receiveAck({ request_id, version }) {
    const command = this.#commands.find((one) => one.fields.request_id === request_id);
    if (command && Number.isFinite(version)) {
      command.version = version;
      this.#later(command, CAUGHT_UP_MS, () => {
        this.#later(command, SILENCE_MS, () => this.#unanswered(command));
        this.#catchUp();
      });
      this.#confirm();
      this.#show(null);
    }
  }

  #refuse(error, requestId) {
    const command = this.#commands.find((one) => one.fields.request_id === requestId);
    if (command) {
      this.#drop(command);
      this.#show(null);
      command.reject(error);
    }
  }

  #confirm() {
    for (const command of this.#commands) {
      if (command.version !== null && this.#known.version >= command.version) {
        this.#drop(command);
        command.resolve(command.version);
      }
    }
  }

  // Commands over HTTP

  start(options) { return this.#transition("start", options); }
  complete(options) { return this.#transition("complete", options); }
  cancel(options) { return this.#transition("cancel", options); }

  #transition(name, { expectedVersion = null } = {}) {
    return this.#request("POST", `/${name}`, { expected_version: expectedVersion });
  }

  add(owner, ms, options) { return this.#adjust(owner, { add_ms: ms }, options); }

  set(owner, ms, options) { return this.#adjust(owner, { total_time_ms: ms }, options); }

  async #adjust(owner, change, { withinMs = null, reason = null, expectedVersion = null } = {}) {
    const body = { ...change, within_ms: withinMs, reason, expected_version: expectedVersion };
    const id = fold(owner ?? null);
    if (id === null) {
      return this.#request("PATCH", "/clock", body);
    }
    if (this.#known === null) {
      await this.#ready;
    }
    const kind = groupOf(this.#known, id) !== null ? "groups" : "participants";
    return this.#request("PATCH", `/${kind}/${encodeURIComponent(id)}`, body);
  }

  join(participant) { return this.#request("POST", "/participants", participant); }

  leave(participantId) {
    return this.#request("DELETE", `/participants/${encodeURIComponent(participantId)}`);
  }

  async delete() {
    await this.#request("DELETE", "");
    await this.#until(() => this.#connection !== "live");
  }

  events(since = 0) { return this.#request("GET", `/events?since=${Number(since)}`); }

  /** The answer, once the state shown has come as far as it. */
  async #request(method, path, body) {
    const given = body && Object.fromEntries(Object.entries(body).filter(([, value]) => value !== null));
    const data = await this.#client.request(method, `/v1/sessions/${this.#id}${path}`, given);
    if (method !== "GET" && data !== null) {
      const { version, epoch } = data;
      await this.#until(() => this.#connection !== "live" || this.#known.epoch !== epoch
        || this.#known.version >= version);
    }
    return data;
  }

  /** Waits for what a message on the socket will bring, though not for ever. */
  #until(there) {
    if (there()) {
      return undefined;
    }
    return new Promise((resolve) => {
      const waiter = { there, resolve: () => {
        this.#waiting.delete(waiter);
        this.#runtime.clearTimeout(timer);
        resolve();
      } };
      const timer = this.#runtime.setTimeout(waiter.resolve, EVENT_PATIENCE_MS);
      this.#waiting.add(waiter);
    });
  }

  // The connection

  close() {
    this.#end(new SyncKairosError("CLOSED", "the session was closed here"));
  }

  /** Connects again at once: also after it was given up. */
  reconnect() {
    if (this.#connection === "closed" && this.#closeReason.code !== "CONNECTION_LOST") {
      throw this.#closeReason;
    }
    if (this.#socket === null) {
      this.#closeReason = null;
      this.#attempts = 0;
      this.#client.adopt(this);
      if (this.#known === null) {
        this.#getReady();
      }
      this.#open();
    }
  }

  /** The page is looked at again, or the network is back. check: see whether the socket still is alive. */
  wake(check) {
    if (this.#connection === "closed") {
      return;
    }
    if (this.#socket === null && this.#timer !== null) {
      this.#open();
    } else if (check) {
      this.ping(this.#runtime.now(), SILENCE_AFTER_WAKE_MS);
    }
  }

  /** Sends a PING where the socket is live, and sees to it that something comes back. */
  ping(t1, patience = SILENCE_MS) {
    if (!this.#greeted || this.#socket === null) {
      return false;
    }
    const socket = this.#socket;
    const sent = this.#runtime.now();
    this.#send({ type: "PING", t1 });
    if (this.#watchdog === null || patience < SILENCE_MS) {
      this.#runtime.clearTimeout(this.#watchdog);
      this.#watchdog = this.#runtime.setTimeout(() => {
        this.#watchdog = null;
        if (this.#socket === socket && this.#heard < sent) {
          this.#lost(socket, 1006, "the service does not answer");
        }
      }, patience);
    }
    return true;
  }

  tell(message) {
    if (!this.#greeted || this.#socket === null) {
      return false;
    }
    this.#send(message);
    return true;
  }

  report(error) {
    this.#listeners.error.emit(error);
  }

  async #open() {
    this.#runtime.clearTimeout(this.#timer);
    this.#timer = null;
    this.#setConnection(this.#known === null ? "connecting" : "reconnecting");
    if (this.#connection === "closed") { // by a listener
      return;
    }
    const marker = { close() {} };
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
        this.report(error instanceof SyncKairosError ? error
          : new SyncKairosError("CONNECTION_LOST", message, { retryable: true, cause: error }));
        this.#lost(marker, 1006, message);
      }
      return;
    }
    this.#socket = socket;
    this.#expect(socket);
    socket.onopen = () => {
      if (token !== null && this.#socket === socket) {
        this.#send({ type: "AUTH", token });
      }
    };
    socket.onmessage = ({ data }) => {
      if (this.#socket === socket) {
        this.#heard = this.#runtime.now();
        try {
          this.#receive(JSON.parse(data));
        } catch (error) {
          this.#notUnderstood(socket, error);
        }
      }
    };
    socket.onclose = ({ code, reason }) => this.#lost(socket, code, reason);
    socket.onerror = () => {}; // a close follows
  }

  /** The session's state has to come in time, or what was missed of it. */
  #expect(socket) {
    this.#runtime.clearTimeout(this.#timer);
    this.#timer = this.#runtime.setTimeout(() => {
      this.#lost(socket, 1006, "no answer in time");
    }, CONNECT_TIMEOUT_MS);
  }

  /** What is shown may be wrong by now. Another connection begins with the whole state. */
  #notUnderstood(socket, cause) {
    this.report(new SyncKairosError("UNEXPECTED_ANSWER", "a message that is not understood", { cause }));
    if (this.#socket === socket) {
      this.#lost(socket, 1002, "its messages are not understood", this.#garbled + 1);
    }
  }

  #send(message) {
    if (this.#socket.readyState === 1) {
      this.#socket.send(JSON.stringify({ v: 1, ...message }));
    }
  }

  #lost(socket, code, reason, garbled = 0) {
    if (this.#socket !== socket) {
      return;
    }
    const greeted = this.#greeted;
    this.#garbled = garbled;
    this.#hangUp();
    if (code === 4404) {
      this.#end(new SyncKairosError("SESSION_NOT_FOUND", reason || "no such session", { status: 404 }));
    } else if (code === 1008) {
      const [name, status] = greeted ? ["RATE_LIMIT_EXCEEDED", 429] : ["UNAUTHENTICATED", 401];
      this.#end(new SyncKairosError(name, reason || "the service closed the connection", { status }));
    } else if (this.#attempts >= this.#client.reconnectAttempts) {
      this.#end(new SyncKairosError("CONNECTION_LOST", reason || "the service cannot be reached", {
        retryable: true, context: { attempts: this.#attempts, close_code: code },
      }));
    } else {
      const longest = 1000 * BACKOFF_S[Math.min(this.#attempts, BACKOFF_S.length - 1)];
      this.#attempts += 1;
      this.#setConnection(this.#known === null ? "connecting" : "reconnecting");
      if (this.#socket === null && this.#connection !== "closed" && this.#timer === null) {
        const wait = between(this.#runtime, longest / 2, longest);
        this.#timer = this.#runtime.setTimeout(() => this.#open(), wait);
      }
    }
  }

  /** Lets go of the socket, and of what belongs to it. */
  #hangUp() {
    const socket = this.#socket;
    this.#socket = null;
    this.#greeted = false;
    this.#catchingUp = false;
    this.#gap = { version: null, asked: 0 };
    this.#afresh = false;
    this.#greeting = null;
    for (const timer of [this.#timer, this.#watchdog]) {
      this.#runtime.clearTimeout(timer);
    }
    this.#timer = null;
    this.#watchdog = null;
    socket?.close();
  }

  #end(error) {
    if (this.#connection === "closed") {
      return;
    }
    this.#hangUp();
    this.#closeReason = error;
    const commands = this.#commands;
    this.#commands = [];
    this.#client.forget(this);
    this.#setConnection("closed");
    this.#settleReady.reject(error);
    for (const command of commands) {
      this.#runtime.clearTimeout(command.timer);
      command.reject(error);
    }
    this.#wakeWaiting();
    if (commands.length > 0) {
      this.#show(null);
    }
    if (error.code !== "CLOSED") {
      this.report(error);
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
    switch (message.type) {
      case "CONNECTED": return this.#receiveGreeting();
      case "STATE_SYNC": return this.#receiveState(message.payload.full_state);
      case "RECONNECT_ACK": return this.#receiveReconnectAck(message.replayed);
      case "PONG": return this.#client.time.pong(message);
      case "ACK": return this.#receiveAck(message);
      case "ERROR": return this.#receiveError(message);
      case "SESSION_DELETED": return this.#receiveDeletion(message);
      default: return message.payload?.event === undefined ? undefined : this.#receiveEvent(message);
    }
  }

  #receiveGreeting() {
    this.#greeted = true;
    this.#client.time.burst();
    // After a message that was not understood, only the whole state will do.
    if (this.#known !== null && this.#garbled === 0) {
      this.#catchUp();
    }
  }

  /** Asks for what was missed. The answer decides what the state that came meanwhile is good for. */
  #catchUp() {
    if (this.#catchingUp) {
      return;
    }
    const { version, epoch } = this.#known;
    this.#gap = { version, asked: this.#gap.version === version ? this.#gap.asked + 1 : 1 };
    if (this.#gap.asked > GAP_TRIES) {
      this.#notUnderstood(this.#socket, new Error("what was missed does not come"));
      return;
    }
    this.#catchingUp = true;
    this.#expect(this.#socket);
    this.#send({
      type: "RECONNECT", last_known_version: version, epoch, reconnect_attempt: this.#attempts,
    });
  }

  #receiveReconnectAck(replayed) {
    this.#catchingUp = false;
    this.#greeting = null;
    if (replayed === "full") {
      // The next state is the truth, whatever its version: the server may have lost its newest changes.
      this.#afresh = true;
    } else {
      this.#goLive();
    }
  }

  #receiveState(state) {
    const full = checked({ ...state, epoch: String(state.epoch) });
    if (this.#catchingUp) {
      this.#greeting = full;
      return;
    }
    const known = this.#known;
    if (known !== null && !this.#afresh && full.epoch === known.epoch && full.version < known.version) {
      return;
    }
    this.#afresh = false;
    this.#setConfirmed(adopt(full));
    this.#show(null);
    this.#settleReady.resolve(this.#shown);
    this.#goLive();
  }

  #receiveEvent(message) {
    const event = { ...message, epoch: String(message.epoch) };
    const { version, epoch } = this.#known ?? {};
    if (this.#known === null || (event.epoch === epoch && event.version <= version)) {
      return;
    }
    if (event.epoch !== epoch || event.version !== version + 1) {
      this.#catchUp();
      return;
    }
    this.#setConfirmed(checked(merge(this.#known, event)));
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
    this.#end(new SyncKairosError("SESSION_NOT_FOUND", `the session is gone: ${reason}`, {
      status: 404, context: { reason },
    }));
  }

  #receiveError({ request_id, ...body }) {
    const error = errorFrom(body);
    if (request_id !== undefined) {
      this.#refuse(error, request_id);
      return;
    }
    this.report(error);
    if (this.#catchingUp) {
      this.#catchingUp = false;
      if (this.#greeting !== null) {
        this.#receiveState(this.#greeting);
      }
    }
  }

  #goLive() {
    if (this.#socket === null || !this.#greeted) {
      return;
    }
    this.#runtime.clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#connection !== "live") {
      this.#attempts = this.#garbled;
      this.#setConnection("live");
      // Sent again under the same ids: what was done before is not done twice.
      this.#commands.forEach((command) => this.#deliver(command));
    }
  }

  #setConfirmed(state) {
    this.#known = state;
    this.#received = this.#runtime.now();
    this.#confirm();
    this.#wakeWaiting();
  }

  #wakeWaiting() {
    for (const waiter of this.#waiting) {
      if (waiter.there()) {
        waiter.resolve();
      }
    }
  }

  /** Shows what is known with the own commands on top of it, and says so where that is something new. */
  #show(change) {
    let state = this.#known;
    for (const command of this.#commands) {
      // A command was meant for this cycle of this participant; in any other it is over.
      if (state.cycle_count === command.count && state.active_participant_id === command.current
        && command.holds(state)) {
        state = command.predict(state, Math.max(command.at, state.server_time_ms)) ?? state;
      }
    }
    const before = this.#shown;
    const news = before === null || change !== null || !this.#same(before, state);
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

  /** A prediction that was made anew from the same state says the same. */
  #same(one, other) {
    return one.version === other.version && one.epoch === other.epoch && one.cycle_count === other.cycle_count
      && one.status === other.status && one.cycle_started_at === other.cycle_started_at
      && one.active_participant_id === other.active_participant_id;
  }

  /**
   * A clock that was predicted to run from a little earlier or later goes on from where it is shown. One that
   * the prediction did not touch, as a session's at a switch, was right all the time; so is the next cycle's.
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
      ms = this.#shiftNow() + (isTouched ? off : 0);
    }
    this.#shift = { ms: Math.abs(ms) > RECONCILE_MS ? 0 : ms, at: this.#runtime.now() };
  }
}

// The client

const fold = (id) => (typeof id === "string" ? id.toLowerCase() : id);

/** A random UUID; `crypto.randomUUID` is there in secure contexts only. */
function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
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
   * @param {string} [options.url] of the service; default: where this module came from
   * @param {string | (() => string | Promise<string>)} [options.token] who is there
   * @param {number} [options.reconnectAttempts] in a row, before a session is given up; Infinity: never
   * @param {number} [options.maxSkewMs] a device clock further off shows no time
   * @param {Function} [options.WebSocket] default: the runtime's own, which Node.js has from version 22
   * @param {Function} [options.fetch] default: the runtime's own
   * @param {object} [options.runtime] for tests and other runtimes: what to use in place of WebSocket, fetch,
   *   now (monotonic ms), date, setTimeout, clearTimeout, random, document, window
   */
  constructor({
    url = new URL(".", import.meta.url).href, token = null, reconnectAttempts = 10, maxSkewMs = 3_600_000,
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
      ping: (t1) => this.#some((session) => session.ping(t1)),
      tell: (message) => this.#some((session) => session.tell(message)),
      ask: () => this.#askTime(),
      watching: () => this.#sessions.size > 0,
      woke: () => this.#wake(),
      report: (error) => this.#sessions.forEach((session) => session.report(error)),
    });
    this.#listen(this.#runtime.window, "online", () => this.#wake());
    this.#listen(this.#runtime.window, "pageshow", (event) => event.persisted && this.#wake());
    this.#listen(this.#runtime.document, "visibilitychange", () => {
      if (this.#runtime.document.visibilityState === "visible") {
        this.#wake();
      }
    });
  }

  /** The session with this id: the same object until it is closed. Its socket is opened at once. */
  session(id) {
    const folded = fold(id);
    if (this.#closed) {
      throw new SyncKairosError("CLOSED", "the client was closed");
    }
    if (typeof folded !== "string" || !UUID.test(folded)) {
      const details = [{ field: "session_id", message: "must be a UUID" }];
      throw new SyncKairosError("VALIDATION_ERROR", "session_id must be a UUID", { details });
    }
    let session = this.#sessions.get(folded);
    if (!session) {
      if (typeof this.#runtime.WebSocket !== "function") {
        // Every attempt to connect would fail in the same way, and `ready` would wait for all of them.
        throw new SyncKairosError("NO_WEBSOCKET", "to follow a session takes a WebSocket, and there is none "
          + "here: use Node.js 22 or newer, or pass one, as new SyncKairos({ url, WebSocket })");
      }
      session = new Session(this, this.#runtime, folded);
      this.#sessions.set(folded, session);
      this.time.start(SOCKET_PATIENCE_MS); // the first samples had better go over its socket
    }
    return session;
  }

  /** The session with this id where it is open; else null. */
  find(id) { return this.#sessions.get(fold(id)) ?? null; }

  /** Creates a session from a config; its state. */
  create(config) { return this.request("POST", "/v1/sessions", config); }

  /** The tenant's sessions, newest first: {sessions, next_cursor}. */
  list({ status = null, limit = null, cursor = null } = {}) {
    const given = Object.entries({ status, limit, cursor }).filter(([, value]) => value !== null);
    const query = new URLSearchParams(given).toString();
    return this.request("GET", `/v1/sessions${query && `?${query}`}`);
  }

  /** The service's presets, a list. */
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
   * A call of the HTTP API; its `data`, the body where that has none, null where there is no body. What fails
   * on its way, or for now, is tried again under the same idempotency key, a few times.
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
        const pause = error?.retryAfterMs ?? between(this.#runtime, longest / 2, longest);
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
      // A browser does not tell a page of another origin which of the two it is.
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
      // Not the service's, but of somebody on the way to it.
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

  // What the sessions of this client use.

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

  #some(does) {
    for (const session of this.#sessions.values()) {
      if (does(session)) {
        return true;
      }
    }
    return false;
  }

  async #askTime() {
    const at = this.#runtime.now();
    const answer = await this.#fetch(new URL("v1/time", this.#base), { method: "GET", cache: "no-store" });
    return { ...answer, at };
  }

  #wake() {
    const check = this.time.burst();
    this.#sessions.forEach((session) => session.wake(check));
  }

  #listen(target, name, fn) {
    if (target?.addEventListener) {
      target.addEventListener(name, fn);
      this.#unlisten.push(() => target.removeEventListener(name, fn));
    }
  }
}

/** Whether the same call may succeed a moment later. One that met another version will not. */
function mayTryAgain(error) {
  return error instanceof SyncKairosError && error.retryable && error.code !== "CONCURRENT_MODIFICATION";
}
