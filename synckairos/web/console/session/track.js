// What happened in a session, read from its events: the cycles with their lengths, and a line for each event.

import { formatClock, formatDuration } from "../shared/time.js";

/** How many of the newest events the service keeps at least, also where nothing is archived. */
const KEPT = 128;

/**
 * A turn that is over.
 *
 * @typedef {object} Cycle
 * @property {number} number From 1; the session's count.
 * @property {string} participantId
 * @property {number} ms How long it ran, pauses left out.
 * @property {number} totalMs The running time of the session at its end, pauses left out.
 * @property {"switched" | "expired" | "ended"} how
 * @property {number} version Of the event that ended it.
 */

/**
 * A line of the history.
 *
 * @typedef {object} Line
 * @property {number} version
 * @property {number} at Server ms.
 * @property {string} event As in the event.
 * @property {string} text
 * @property {number | null} ms The length of the cycle that it ended.
 * @property {string | null} participantId Whom it is about, for the colour.
 */

/** Follows the events of one session; keeps itself up to date once it was loaded. */
export class Track {
  /**
   * @param {object} session The client's.
   * @param {(id: string | null) => string} name
   */
  constructor(session, name) {
    this.session = session;
    this.name = name;
    /** Called whenever there is something new. @type {Set<() => void>} */
    this.listeners = new Set();
    /** @type {Promise<void> | null} */
    this.loading = null;
    /** @type {unknown} Why the last try failed; null when it did not. */
    this.error = null;
    this.#clear();
  }

  #clear() {
    /** @type {Cycle[]} */
    this.cycles = [];
    /** @type {Line[]} */
    this.lines = [];
    this.version = 0;
    /** Whether the first event is there; where nothing is archived, old ones go. */
    this.complete = true;
    this.totalMs = 0;
    this.count = null;
    this.active = null;
    this.start = null;
    this.ranMs = null;
  }

  /** Whether it was asked for and is there. */
  get loaded() {
    return this.version > 0;
  }

  /** Read what is missing. Safe to call at any time; resolves when all is read, and never rejects. */
  load() {
    this.loading ??= this.#read()
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
        this.#tell();
      });
    return this.loading;
  }

  async #read() {
    for (;;) {
      const since = this.version;
      let page;
      try {
        page = await this.session.events(since);
      } catch (error) {
        const newest = this.session.confirmed?.version ?? 0;
        if (since >= newest - KEPT + 1 || error.code === "SESSION_NOT_FOUND") throw error;
        this.#clear();
        this.complete = false;
        page = await this.session.events(newest - KEPT);
      }
      const events = Array.isArray(page) ? page : page.events;
      for (const event of events) this.#take(event);
      if (events.length === 0 || this.version >= (this.session.confirmed?.version ?? 0)) return;
    }
  }

  /**
   * An event that just came. Ignored before the first load.
   *
   * @param {object} change
   */
  follow(change) {
    if (!this.loaded || change.version <= this.version) return;
    if (change.version === this.version + 1 && !this.loading) {
      this.#take(change);
      this.#tell();
    } else {
      this.load();
    }
  }

  #tell() {
    for (const listener of this.listeners) listener();
  }

  #take(change) {
    if (change.version <= this.version) return;
    const { payload } = change;
    const at = payload.expired_deadline_ms ?? change.server_time_ms;
    const before = { active: this.active, ms: this.#ranUntil(at) };
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
        version: change.version,
      };
      this.cycles.push(ended);
    }
    this.ranMs = payload.status === "paused" ? (ended ? 0 : (before.ms ?? this.ranMs)) : null;
    this.start = payload.cycle_started_at ? Date.parse(payload.cycle_started_at) : null;
    this.active = payload.active_participant_id;
    this.count = payload.cycle_count;
    this.version = change.version;
    this.lines.push({
      version: change.version,
      at,
      event: payload.event,
      text: this.#say(payload, before.active),
      ms: ended?.ms ?? null,
      participantId: this.#about(payload, before.active),
    });
  }

  #ranUntil(at) {
    if (this.ranMs !== null) return this.ranMs;
    return this.start === null ? null : Math.max(0, at - this.start);
  }

  #about(payload, before) {
    switch (payload.event) {
      case "cycle.switched":
        return before;
      case "participant.expired":
      case "session.expired":
        return payload.expired_participant_id ?? payload.expired_group_id ?? null;
      case "participant.removed":
        return payload.removed_participant_id;
      case "time.adjusted":
      case "participant.added":
        return payload.participants[0]?.participant_id ?? payload.groups[0]?.group_id ?? null;
      default:
        return payload.active_participant_id;
    }
  }

  #say(payload, before) {
    const { name } = this;
    const active = payload.active_participant_id;
    switch (payload.event) {
      case "session.created":
        return "Created";
      case "session.started":
        return `Started, ${name(active)} begins`;
      case "cycle.switched":
        return before === active || !before
          ? `${name(active)} goes on`
          : `${name(before)} to ${name(active)}`;
      case "session.paused":
        return "Paused";
      case "session.resumed":
        return payload.reason === "auto" ? "Went on: the pause was over" : "Resumed";
      case "participant.expired":
        return (
          `${this.#whose(payload)} ran out of time` +
          (active && active !== before ? `, ${name(active)} is on` : "")
        );
      case "session.expired": {
        if (payload.expired_clock === "total") return "The session's time is over";
        const winner = payload.action_applied?.winner;
        return `${this.#whose(payload)} ran out of time${winner ? `, ${name(winner)} wins` : ""}`;
      }
      case "session.completed":
        return "Completed";
      case "session.cancelled":
        return "Cancelled";
      case "session.deleted":
        return "Deleted";
      case "session.recovered":
        return "Restored after the server had lost it";
      case "participant.added":
        return `${name(payload.participants[0]?.participant_id)} joined`;
      case "participant.removed":
        return `${name(payload.removed_participant_id)} left`;
      case "time.adjusted": {
        const owner = payload.participants[0]?.participant_id ?? payload.groups[0]?.group_id;
        const change = formatClock(payload.adjusted_ms, { plus: true, tenths: false });
        const reason = payload.adjust_reason ? `: ${payload.adjust_reason}` : "";
        return `${owner ? `${name(owner)} ` : "Clock "}${change}${reason}`;
      }
      case "time.warning":
        return `${name(active)}: ${formatDuration(payload.warning_ms)} left`;
      default:
        return payload.event;
    }
  }

  #whose(payload) {
    return this.name(payload.expired_group_id ?? payload.expired_participant_id ?? null);
  }
}
