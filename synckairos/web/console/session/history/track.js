// The history of a session, made from its events: the cycles with their lengths, and a line for each event.

/** Events after which the cycle is a fresh one, whatever ran before. */
const FRESH = new Set(["turn.taken_back", "turn.set", "session.reopened", "session.reset"]);

/** The service keeps at least so many of the newest events, even without an audit store. */
const MIN_EVENTS_KEPT = 128;

/**
 * A cycle that is over.
 *
 * @typedef {object} Cycle
 * @property {number} number The session's count, from 1.
 * @property {string} participantId
 * @property {number} ms How long it ran, pauses left out.
 * @property {number} totalMs The running time of the session at its end, pauses left out.
 * @property {"switched" | "expired" | "ended"} how
 * @property {boolean} unfinished Whether the session's end cut it short: then it is no move of its own.
 * @property {number} version The version of the event that ended it.
 */

/**
 * A line of the history.
 *
 * @typedef {object} Line
 * @property {number} version
 * @property {number} at The server's time in ms.
 * @property {string} event The event's name.
 * @property {string} text
 * @property {number | null} ms The length of the cycle that the event ended.
 * @property {string | null} participantId The participant or group of the event, for the colour.
 */

/** Collects the events of one session. Once it was loaded, it keeps itself up to date. */
export class Track {
  /**
   * @param {object} session The client's session.
   * @param {(id: string | null) => string} name
   * @param {(text: string) => string} [inText] Puts names in place of the ids in a text.
   */
  constructor(session, name, inText = (text) => text) {
    this.session = session;
    this.name = name;
    this.inText = inText;
    /** Called after every change. @type {Set<() => void>} */
    this.listeners = new Set();
    /** Puts an event into words; null until events are read. */
    this.told = null;
    /** @type {Promise<void> | null} */
    this.loading = null;
    /** @type {unknown} The error of the last attempt to load; null after a success. */
    this.error = null;
    this.#clear();
  }

  #clear() {
    /** @type {Cycle[]} */
    this.cycles = [];
    /** @type {Line[]} */
    this.lines = [];
    this.version = 0;
    /** Whether the first event is known. Without an audit store the service drops old events. */
    this.complete = true;
    this.totalMs = 0;
    this.count = null;
    this.active = null;
    this.start = null;
    this.ranMs = null;
    /** How long the running cycle had run when its clock came to its end. Null where it is not known. */
    this.ranAtEnd = null;
    /** The metadata at this version. Null where it is not known: only an event that changes it has it. */
    this.metadata = null;
    /** The newest event, of which the next one says what has changed. */
    this.last = null;
    /** When each participant’s first turn began, by the server’s clock. @type {Map<string, number>} */
    this.begun = new Map();
    /** The start that was set before the session started. @type {number | null} */
    this.scheduledMs = null;
  }

  /** Whether the events were loaded. */
  get loaded() {
    return this.version > 0;
  }

  /** Reads the missing events. Can be called at any time. Resolves when all are read, and never rejects. */
  load() {
    this.loading ??= this.#loadMissing()
      .then(
        () => {
          this.error = null;
        },
        (error) => {
          this.error = error;
        },
      )
      .finally(() => {
        this.loading = null;
        this.#notify();
      });
    return this.loading;
  }

  async #loadMissing() {
    this.told ??= (await import("./told.js")).told;
    for (;;) {
      const since = this.version;
      let page;
      try {
        page = await this.session.events(since);
      } catch (error) {
        const newest = this.session.confirmed?.version ?? 0;
        if (since >= newest - MIN_EVENTS_KEPT + 1 || error.code === "SESSION_NOT_FOUND") throw error;
        this.#clear();
        this.complete = false;
        page = await this.session.events(newest - MIN_EVENTS_KEPT);
      }
      const events = Array.isArray(page) ? page : page.events;
      for (const event of events) this.#add(event);
      const { version = 0, metadata = null } = this.session.confirmed ?? {};
      if (version === this.version) this.metadata = metadata;
      if (events.length === 0 || this.version >= version) return;
    }
  }

  /**
   * Adds a new event. Events before the first load are ignored.
   *
   * @param {object} change
   */
  follow(change) {
    if (!this.loaded || change.version <= this.version) return;
    if (change.version === this.version + 1 && !this.loading) {
      this.#add(change);
      this.#notify();
    } else {
      this.load();
    }
  }

  #notify() {
    for (const listener of this.listeners) listener();
  }

  #add(change) {
    if (change.version <= this.version) return;
    const { payload } = change;
    const at = payload.expired_deadline_ms ?? change.server_time_ms;
    const before = { active: this.active, ms: this.#cycleLengthAt(at) };
    let ended = null;
    if (this.count !== null && payload.cycle_count > this.count && before.active && before.ms !== null) {
      this.totalMs += before.ms;
      ended = {
        number: payload.cycle_count,
        participantId: before.active,
        ms: before.ms,
        totalMs: this.totalMs,
        how:
          payload.expired_participant_id || payload.expired_group_id
            ? "expired"
            : payload.event === "cycle.switched"
              ? "switched"
              : "ended",
        unfinished: isCutShort(payload, this.session.confirmed),
        version: change.version,
      };
      this.cycles.push(ended);
    }
    if (this.count !== null && payload.cycle_count < this.count) this.#drop(payload.cycle_count);
    const isFresh = ended !== null || FRESH.has(payload.event);
    this.ranMs = payload.status === "paused" ? (isFresh ? 0 : (before.ms ?? this.ranMs)) : null;
    if (isFresh || payload.event === "session.started") this.ranAtEnd = 0; // a clock may begin at its end
    else if (payload.event === "participant.expired") this.ranAtEnd = before.ms;
    this.start = payload.cycle_started_at ? Date.parse(payload.cycle_started_at) : null;
    this.active = payload.active_participant_id;
    this.count = payload.cycle_count;
    if (payload.event === "session.reset") {
      this.begun.clear();
      this.scheduledMs = null;
    }
    if (payload.status === "running" && this.active && !this.begun.has(this.active)) this.begun.set(this.active, at);
    if (payload.status === "pending" && payload.starts_at_ms !== undefined) this.scheduledMs = payload.starts_at_ms;
    this.version = change.version;
    this.lines.push({
      version: change.version,
      at,
      event: payload.event,
      text: this.told(this, change, before.active),
      ms: ended?.ms ?? null,
      participantId: this.#subjectOf(payload, before.active),
    });
    this.metadata = payload.metadata ?? this.metadata;
    this.last = change;
  }

  /** Forgets the cycles after this number: they were taken back, or the session was reset. */
  #drop(number) {
    while (this.cycles.length > 0 && this.cycles.at(-1).number > number) this.totalMs -= this.cycles.pop().ms;
  }

  /** How many cycles of a participant or a group were cut short by an end of the session. */
  cutShort(id, members = [id]) {
    return this.cycles.filter((each) => each.unfinished && members.includes(each.participantId)).length;
  }

  #cycleLengthAt(at) {
    if (this.ranMs !== null) return this.ranMs;
    return this.start === null ? null : Math.max(0, at - this.start);
  }

  #subjectOf(payload, before) {
    switch (payload.event) {
      case "cycle.switched":
        return before;
      case "participant.expired":
      case "session.expired":
        return payload.expired_participant_id ?? payload.expired_group_id ?? null;
      case "participant.removed":
        return payload.removed_participant_id;
      case "metadata.changed":
        return null;
      case "time.adjusted":
      case "participant.added":
        return payload.participants[0]?.participant_id ?? payload.groups[0]?.group_id ?? null;
      default:
        return payload.active_participant_id;
    }
  }
}

/**
 * Whether the end of the session cut the cycle short that ended with it. The last of a given number of turns is
 * whole, and so is the last lap of a stopwatch.
 */
function isCutShort({ event, reason, status, cycle_count: count }, state) {
  if (status === "running" || status === "paused" || state?.sync_mode === "count_up") return false;
  return !(event === "session.completed" && reason === "auto" && count >= (state?.max_cycles ?? Infinity));
}
