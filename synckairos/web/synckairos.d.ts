/** The types of synckairos.js. All times are milliseconds. Names with underscores are the service's. */

export type SyncMode = "per_participant" | "per_group" | "per_cycle" | "global" | "count_up";
export type Status = "pending" | "running" | "paused" | "expired" | "completed" | "cancelled";

/** What happens when a clock runs out. Other fields come back in the event's `action_applied`. */
export interface TimeoutAction {
  type: "end_session" | "skip_cycle" | "auto_action" | "notify";
  [more: string]: unknown;
}

export type StageKind = "fischer" | "bronstein" | "delay" | "byoyomi" | "canadian" | "hourglass";
export type ControlKind = StageKind | "stages" | "none";

export interface Stage {
  time_ms: number;
  moves?: number;
  kind?: StageKind;
  increment_ms?: number;
  delay_ms?: number;
  periods?: number;
  period_ms?: number;
}

/** How a clock is spent. */
export interface TimeControl {
  kind?: ControlKind;
  increment_ms?: number;
  delay_ms?: number;
  periods?: number;
  period_ms?: number;
  moves?: number;
  stages?: Stage[];
  /** With `stages`: whether the last one comes again and again. */
  repeat?: boolean;
  overtime_ms?: number;
  notation?: string;
}

/** The details of a clock's time control at the start of the cycle; `now`: at the state's time. */
export interface ClockView {
  readonly stage?: number;
  readonly moves_left?: number;
  readonly periods_left?: number;
  readonly block_remaining_ms?: number;
  readonly overtime_used_ms?: number;
  readonly quota_ms?: number;
  readonly now?: {
    readonly periods_left?: number;
    readonly period_remaining_ms?: number;
    readonly block_remaining_ms?: number;
    readonly overtime_used_ms?: number;
  };
}

interface Owner {
  readonly total_time_ms: number | null;
  readonly time_used_ms: number;
  readonly time_remaining_ms: number | null;
  readonly cycle_count: number;
  readonly is_active: boolean;
  readonly has_expired: boolean;
  readonly clock: ClockView | null;
  readonly time_control: TimeControl | null;
}

export interface Participant extends Owner {
  readonly participant_id: string;
  readonly participant_index: number;
  readonly group_id: string | null;
}

export interface Group extends Owner {
  readonly group_id: string;
}

/** A session as the service shows it at `server_time_ms`. The object is frozen. */
export interface State {
  readonly session_id: string;
  readonly status: Status;
  readonly version: number;
  readonly epoch: string;
  readonly schema: number;
  readonly participants: readonly Participant[];
  readonly groups: readonly Group[];
  readonly active_participant_id: string | null;
  readonly active_group_id: string | null;
  readonly total_time_ms: number | null;
  readonly sync_mode: SyncMode;
  readonly time_per_cycle_ms: number | null;
  readonly increment_ms: number;
  readonly max_time_ms: number | null;
  readonly time_control: TimeControl;
  readonly lag_compensation: boolean;
  readonly auto_advance: boolean;
  readonly action_on_timeout: Readonly<TimeoutAction>;
  readonly warnings_ms: readonly number[];
  readonly max_pause_ms: number | null;
  readonly max_pauses: number | null;
  readonly max_total_pause_ms: number | null;
  readonly max_cycles: number | null;
  readonly players_may_pause: boolean;
  readonly players_may_choose_next: boolean;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly time_used_ms: number;
  readonly time_remaining_ms: number | null;
  readonly total_remaining_ms: number | null;
  readonly cycle_count: number;
  readonly cycle_elapsed_ms: number | null;
  readonly cycle_started_at: string | null;
  readonly deadline_ms: number | null;
  /** When the session starts and ends by itself, by the server's clock; null where it does not. */
  readonly starts_at_ms: number | null;
  readonly ends_at_ms: number | null;
  readonly resumes_at_ms: number | null;
  /** How many pauses are left, and how long all of them may still last; null without such a bound. */
  readonly pauses_left: number | null;
  readonly pause_remaining_ms: number | null;
  readonly session_started_at: string | null;
  readonly session_completed_at: string | null;
  readonly created_at: string;
  readonly updated_at: string;
  readonly server_time_ms: number;
  readonly tenant_id: string | null;
  readonly recovered: boolean;
  readonly recovered_at: string | null;
  readonly warning: string | null;
}

/** One change of a session, as the service publishes it. */
export interface Change {
  readonly v: 1;
  readonly type: "STATE_UPDATE" | "TIME_WARNING" | "TIME_EXPIRED" | "SESSION_DELETED" | "SESSION_MOVED";
  readonly session_id: string;
  readonly version: number;
  readonly epoch: string;
  readonly server_time_ms: number;
  readonly payload: ChangePayload;
}

export interface ChangePayload {
  /** Absent when a session disappeared without an event; then `reason` is the only field. */
  readonly event?:
    | "session.created" | "session.started" | "cycle.switched" | "session.paused" | "session.resumed"
    | "participant.expired" | "session.expired" | "session.completed" | "session.cancelled"
    | "session.deleted" | "session.recovered" | "session.moved" | "session.arrived" | "participant.added" | "participant.removed"
    | "time.adjusted" | "time.warning" | "turn.taken_back" | "turn.set" | "session.reopened" | "session.reset"
    | "session.scheduled" | "metadata.changed";
  readonly reason: string;
  readonly status?: Status;
  readonly active_participant_id?: string | null;
  readonly active_group_id?: string | null;
  readonly cycle_started_at?: string | null;
  readonly deadline_ms?: number | null;
  readonly time_remaining_ms?: number | null;
  readonly cycle_count?: number;
  readonly participants?: readonly Participant[];
  readonly groups?: readonly Group[];
  readonly actor?: string | null;
  readonly trace?: string | null;
  readonly expired_participant_id?: string;
  readonly expired_group_id?: string;
  readonly expired_deadline_ms?: number;
  readonly expired_clock?: "total";
  readonly late_ms?: number;
  readonly action_applied?: Readonly<Record<string, unknown>>;
  readonly warning_ms?: number;
  readonly lag_credit_ms?: number;
  readonly overtime_used_ms?: number;
  readonly removed_participant_id?: string;
  readonly adjusted_ms?: number;
  readonly adjust_reason?: string;
  readonly suspicious?: "too_fast";
  /** In "session.moved" and "session.arrived": the address of the server that has the session from here on. */
  readonly moved_to?: string;
  readonly starts_at_ms?: number;
  readonly ends_at_ms?: number;
  readonly resumes_at_ms?: number;
  /** In "session.paused": false where the pause is left out of `max_pauses` and `max_total_pause_ms`. */
  readonly counted?: boolean;
  readonly total_remaining_ms?: number;
  /** In "session.reset", where the session owns the clock: what it has from now on. */
  readonly total_time_ms?: number;
  readonly max_time_ms?: number | null;
  /** In "metadata.changed": all of it, as it is now. */
  readonly metadata?: Readonly<Record<string, unknown>>;
  /** In "turn.taken_back": how many turns. */
  readonly turns?: number;
}

/** What `create` takes: a config of the service, or a preset's name and the participants. */
export interface Config {
  preset?: string;
  session_id?: string;
  sync_mode?: SyncMode;
  title?: string;
  /** A text is a name, for which the service makes an id, or an id. */
  participants: (NewParticipant | string)[];
  groups?: (NewGroup | string)[];
  active_participant_id?: string;
  total_time_ms?: number;
  time_per_cycle_ms?: number;
  increment_ms?: number;
  max_time_ms?: number;
  time_control?: TimeControl | string;
  lag_compensation?: boolean;
  auto_advance?: boolean;
  action_on_timeout?: TimeoutAction;
  warnings_ms?: number[];
  max_pause_ms?: number;
  max_pauses?: number;
  max_total_pause_ms?: number;
  max_cycles?: number;
  starts_at_ms?: number;
  ends_at_ms?: number;
  players_may_pause?: boolean;
  players_may_choose_next?: boolean;
  metadata?: Record<string, unknown>;
}

/** A well-known clock. */
export interface Preset {
  name: string;
  title: string;
  description: string;
  config: Partial<Config>;
  /** A call that is sent during the session, with the text of a button for it; null where there is none. */
  use: {
    when: string;
    button: string;
    method: "PATCH" | "POST";
    /** With `{session_id}` for the session's id. */
    path: string;
    body: Record<string, unknown>;
  } | null;
  [more: string]: unknown;
}

/** A participant by id, by name, or by both. */
export interface NewParticipant {
  participant_id?: string;
  name?: string;
  participant_index?: number;
  group_id?: string;
  /** A group by its name, in place of `group_id`. */
  group?: string;
  total_time_ms?: number;
  time_control?: TimeControl | string;
}

/** A group by id, by name, or by both. */
export interface NewGroup {
  group_id?: string;
  name?: string;
  total_time_ms?: number;
  time_control?: TimeControl | string;
}

/** The answer to a call that changed something: the event's payload, with its version and epoch. */
export interface Changed extends ChangePayload {
  readonly session_id: string;
  readonly version: number;
  readonly epoch: string;
  readonly server_time_ms: number;
}

/** What a clock shows at a moment. The numbers have fractions of a millisecond. */
export interface ClockFace {
  /** The participant or group that owns the clock; null: the session's or the cycle's clock. */
  ownerId: string | null;
  /** The kind of the time control that holds now; of the session's own clock "countdown" or "count_up". */
  kind: StageKind | "none" | "countdown" | "count_up";
  running: boolean;
  /** Whether the clock ran out. */
  expired: boolean;
  /** All the time left, with delay, periods and block; below zero in overtime; null without a limit. */
  remainingMs: number | null;
  /** The main time, the number to show big; below zero in overtime; null without a limit. */
  mainMs: number | null;
  /** How much is left of the cycle's delay, which runs before the main time. */
  delayMs: number | null;
  /** Byo-yomi: the periods left with the running one, the length of a period, the rest of the running one. */
  periodsLeft: number | null;
  periodMs: number | null;
  periodRemainingMs: number | null;
  /** Canadian: how much is left of the block (`periodMs`: the length of a whole block). */
  blockRemainingMs: number | null;
  /** How many moves to make until the next stage or in the block. */
  movesLeft: number | null;
  /** The current stage, counted from 0. */
  stage: number | null;
  /** How much of the overtime is used; null where the control has none. */
  overtimeMs: number | null;
  /** How long the current cycle has run on this clock; for "count_up" the time counted. */
  elapsedMs: number;
  /** How long it is until the session ends by itself, while it runs or is paused; null without an end. */
  endsInMs: number | null;
  /**
   * Whether this is the current clock and the session ends before it would run out. Then `remainingMs` and
   * `mainMs` are the time until that end, and the parts of the clock are null.
   */
  endsFirst: boolean;
}

/** What a session will do by itself next. */
export interface Due {
  /** The session starts, its clock runs out, the session ends, or it goes on after a pause. */
  kind: "start" | "deadline" | "end" | "resume";
  /** When, by the server's clock. */
  at: number;
  /** How long it is until then; 0 while the service has not told yet that it happened. */
  inMs: number;
}

export type ErrorCode =
  | "VALIDATION_ERROR" | "INVALID_SESSION_STATE" | "PARTICIPANT_EXPIRED" | "UNAUTHENTICATED" | "FORBIDDEN"
  | "SESSION_NOT_FOUND" | "PARTICIPANT_NOT_FOUND" | "NOT_FOUND" | "METHOD_NOT_ALLOWED"
  | "UNSUPPORTED_MEDIA_TYPE" | "SESSION_EXISTS" | "CONCURRENT_MODIFICATION" | "PAYLOAD_TOO_LARGE"
  | "RATE_LIMIT_EXCEEDED" | "QUOTA_EXCEEDED"
  | "STORAGE_UNAVAILABLE" | "CIRCUIT_OPEN" | "MESSAGE_BROKER_ERROR" | "NOT_REPLICATED" | "SESSION_MOVING"
  | "SESSION_MOVED" | "NETWORK_TIMEOUT"
  | "INTERNAL_ERROR" | "CONNECTION_LOST" | "UNEXPECTED_ANSWER" | "CLOSED" | "CLOCK_SKEW"
  | "CLOCK_SKEW_REFUSED" | "NO_URL" | "NO_WEBSOCKET";

/** A refusal of the service, or a failure on the way to it. */
export class SyncKairosError extends Error {
  constructor(code: ErrorCode | string, message: string, more?: {
    status?: number | null; retryable?: boolean; details?: { field: string; message: string }[];
    context?: Record<string, unknown>; retryAfterMs?: number | null; cause?: unknown;
  });
  readonly name: "SyncKairosError";
  readonly code: ErrorCode | string;
  /** The HTTP status; null where there was none. */
  readonly status: number | null;
  /** Whether the same call may succeed later. */
  readonly retryable: boolean;
  /** For VALIDATION_ERROR: every wrong field, with a message. */
  readonly details: readonly { field: string; message: string }[];
  readonly context: Readonly<Record<string, unknown>>;
  /** After how long to try again, if the service said so. */
  readonly retryAfterMs: number | null;
  /** The time controls that could not be read, each as `drawCaret` draws it. given: what was refused. */
  carets(given: object): string[];
}

/**
 * A time control that could not be read, and below it a caret and what was expected at the place. Null
 * without a text, or when the message of the detail names no position.
 */
export function drawCaret(text: string | null, message: string): string | null;

/** Removes the listener again. */
export type Unsubscribe = () => void;

export type Connection = "connecting" | "live" | "reconnecting" | "closed";

/** The server's time. */
export interface ServerTime {
  /** The server's time as it is shown. It never goes back. Null until it is known. */
  now(): number | null;
  /** How far `now()` may be off either way; Infinity until known. */
  readonly uncertaintyMs: number;
  /** Server time minus the local monotonic clock; null until known. */
  readonly offsetMs: number | null;
  /** Server time minus the device's `Date`; null until known. */
  readonly skewMs: number | null;
  /** The round trip of the sample in use; null until known. */
  readonly rttMs: number | null;
  /** Whether the device's clock is over `maxSkewMs` off, so that no time is shown. */
  readonly refused: boolean;
  /** Called after each measurement. */
  onChange(fn: () => void): Unsubscribe;
}

/** The calls of a session over HTTP. */
export interface Calls {
  start(options?: CallOptions): Promise<State>;
  complete(options?: CallOptions): Promise<State>;
  cancel(options?: CallOptions): Promise<State>;
  /** Undoes the last turns, by default one. */
  takeback(turns?: number, options?: CallOptions): Promise<Changed>;
  /** Says whose turn it is, while the session is pending or paused. */
  turn(participantId: string, options?: CallOptions): Promise<Changed>;
  /** Lets a session that is over go on. */
  reopen(options?: CallOptions): Promise<Changed>;
  /** Begins the session again, as its config has it. */
  reset(options?: CallOptions): Promise<Changed>;
  /** When the session starts and ends by itself. */
  schedule(options: ScheduleOptions): Promise<Changed>;
  /**
   * Changes the metadata by a JSON merge patch (RFC 7396), in any status: objects are merged, null removes a
   * member, everything else replaces it. Null when that changes nothing.
   */
  patchMetadata(patch: Readonly<Record<string, unknown>>, options?: CallOptions): Promise<Changed | null>;
  /** Gives `ms` to an owner's clock, or takes them; null means the session's or cycle's clock. */
  add(owner: string | null, ms: number, options?: AdjustOptions): Promise<Changed | null>;
  /** Sets a clock to `ms`. Null: nothing changed, because at least `withinMs` was left. */
  set(owner: string | null, ms: number, options?: AdjustOptions): Promise<Changed | null>;
  join(participant: Omit<NewParticipant, "name" | "group"> & { participant_id: string }, options?: CallOptions): Promise<Changed>;
  leave(participantId: string, options?: CallOptions): Promise<Changed>;
  delete(options?: CallOptions): Promise<unknown>;
  /** The events after a version, at most 500. */
  events(since?: number): Promise<{ events: Change[]; next_since: number }>;
}

/** A session for programs that hold no socket: the same calls over HTTP. Made by `SyncKairos.handle`. */
export interface Handle extends Calls {
  readonly id: string;
  /** The session's state. */
  get(): Promise<State>;
  /** Ends the running cycle. There is no default for `current`. */
  switch(options?: SwitchOptions & CallOptions): Promise<Changed>;
  pause(options?: CallOptions & { counted?: boolean }): Promise<State>;
  resume(options?: CallOptions): Promise<State>;
  /**
   * The final state, once the session is over. The service is asked every `everyMs` (default 2000), and right
   * after each moment at which the session does something by itself.
   */
  over(options?: { timeoutMs?: number | null; everyMs?: number }): Promise<State>;
}

/** One session, to watch and, where the token allows it, to play. Made by `SyncKairos.session`. */
export interface Session extends Calls {
  readonly id: string;
  readonly connection: Connection;
  /** Why the session is closed; null while it is open. */
  readonly closeReason: SyncKairosError | null;
  /** What this client may do, by its token; null until the first connection. */
  readonly access: Access | null;
  /** How old the state may be (ms) when it comes from a replica because there is no primary; else null. */
  readonly staleMs: number | null;
  /** The state to show, own commands included that are not confirmed yet; null until the first state. */
  readonly state: State | null;
  /** The newest state that the server confirmed. */
  readonly confirmed: State | null;
  /** Whether an own command waits for its confirmation. */
  readonly pending: boolean;
  /** The first state; rejects when there will be none. */
  readonly ready: Promise<State>;

  /**
   * Ms left on an owner's clock, by default on the running one, or until the session's end where that comes
   * first. Null: no such clock, or no limit.
   */
  remaining(owner?: string | null): number | null;
  /**
   * Without an id: how long the current cycle (`count_up`: the session) has run, without its pauses. With an
   * id: the time that a participant or group has used, the running cycle included. Null for an unknown id.
   */
  elapsed(participantId?: string | null): number | null;
  /** What a clock shows now; null for an owner without a clock. */
  clock(owner?: string | null): ClockFace | null;
  /**
   * Ms for which all pauses together may still last, a pause that counts deducted up to now; null without such
   * a bound.
   */
  pauseRemaining(): number | null;
  /** What the session will do by itself next; null for nothing. */
  due(): Due | null;

  /** Called after every change of what is shown; `change` is the event, or null where there was none. */
  onChange(fn: (state: State, change: Change | null) => void): Unsubscribe;
  /** Called when a clock ran out. */
  onExpire(fn: (change: Change) => void): Unsubscribe;
  /** Called when a clock fell to a threshold of `warnings_ms`. */
  onWarning(fn: (change: Change) => void): Unsubscribe;
  onConnection(fn: (connection: Connection) => void): Unsubscribe;
  /** Called for errors that are not the answer to a call: CLOCK_SKEW, CONNECTION_LOST, … */
  onError(fn: (error: SyncKairosError) => void): Unsubscribe;

  /**
   * Ends the running cycle. The state shows it at once; the promise resolves with the new version, or rejects
   * with the reason. Two calls in one turn are one switch. `current`: the participant whose turn is meant
   * (default: the one who is shown as active).
   */
  switch(options?: SwitchOptions): Promise<number>;
  /**
   * `counted: false`: a pause that takes nothing of the session's bounds of pauses. That one goes over HTTP,
   * resolves with the state, and is not for players.
   */
  pause(options?: { counted?: true; expectedVersion?: number | null }): Promise<number>;
  pause(options: { counted: false; expectedVersion?: number | null }): Promise<State>;
  resume(options?: { expectedVersion?: number | null }): Promise<number>;
  /**
   * The final state, once the session is over; at once when it was over before. Rejects with
   * `NETWORK_TIMEOUT` after `timeoutMs`, and when the session is gone or closed before.
   */
  over(options?: { timeoutMs?: number | null }): Promise<State>;
  delete(options?: CallOptions): Promise<void>;

  /** Connects again at once, also after CONNECTION_LOST. Throws if the session ended for another reason. */
  reconnect(): void;
  close(): void;
}

/** What a client may do. The service judges each call anew. */
export interface Access {
  readonly auth_mode: "none" | "jwt";
  /** The actions that a role allows, such as `read`, `switch`, `adjust`. */
  readonly may: readonly string[];
  /** What is allowed as this participant only, in its own turn. */
  readonly player: { readonly participant_id: string; readonly may: readonly string[] } | null;
}

export interface SwitchOptions {
  next?: string | null;
  current?: string | null;
  expectedVersion?: number | null;
}

export interface CallOptions {
  /** Refused unless nothing but warnings happened since this version. */
  expectedVersion?: number | null;
  /** A repeat with the same key changes nothing, and is answered with what the first one did. */
  idempotencyKey?: string;
}

export interface AdjustOptions extends CallOptions {
  /** Change the clock only when less than this is left. */
  withinMs?: number | null;
  reason?: string | null;
  /** With owner null: the time of the whole session, where each cycle has its own. */
  clock?: "total" | null;
}

/** Moments of the server's clock in ms. Null takes one back, and what is not given stays. */
export interface ScheduleOptions extends CallOptions {
  startsAt?: number | null;
  endsAt?: number | null;
}

export interface Options {
  /** The service's address; default: where this module came from. */
  url?: string;
  /** The user's token; a function is called for each connection and each call, and before a token ends. */
  token?: string | (() => string | null | Promise<string | null>) | null;
  /** How many attempts in a row may fail before a session is given up; Infinity: no limit. Default 10. */
  reconnectAttempts?: number;
  /** When the device's clock is further off, no time is shown. Default Infinity: it is always shown. */
  maxSkewMs?: number;
  /** For a runtime without one, such as Node.js before version 22; default: the runtime's own. */
  WebSocket?: typeof globalThis.WebSocket;
  /** For a runtime without one; default: the runtime's own. */
  fetch?: typeof globalThis.fetch;
  /** For tests. */
  runtime?: Partial<Runtime>;
}

/** What the client uses of the browser or runtime. */
export interface Runtime {
  WebSocket: typeof globalThis.WebSocket;
  fetch: typeof globalThis.fetch;
  /** A monotonic clock. */
  now(): number;
  /** The device's clock. */
  date(): number;
  setTimeout(fn: () => void, ms: number): unknown;
  clearTimeout(timer: unknown): void;
  /** From 0 to 1. */
  random(): number;
  document: Document | undefined;
  window: Window | undefined;
  /**
   * A round trip to the server's clock that was measured before: sent at `t1` and back at `t4` by `now()`, received
   * at `t2` and answered at `t3` by the server's clock. Null where there is none.
   */
  measured?(): { t1: number; t2: number; t3: number; t4: number } | null;
}

/** A client of one SyncKairos service. */
export class SyncKairos {
  constructor(options?: Options);
  readonly time: ServerTime;
  /**
   * The session with this id: the same object until it is closed. Its socket is opened at once. Throws
   * `NO_WEBSOCKET` in a runtime without a WebSocket.
   */
  session(id: string): Session;
  /** The session with this id for a program that holds no socket. There is nothing to close. */
  handle(id: string): Handle;
  /** The session with this id if it is open, else null. */
  find(id: string): Session | null;
  create(config: Config): Promise<State>;
  /** `tag`: only sessions that have it in `metadata.tags`. `participants`: whether the states have theirs. */
  list(query?: {
    status?: Status | null;
    tag?: string | null;
    participants?: boolean | null;
    limit?: number | null;
    cursor?: string | null;
  }):
    Promise<{ sessions: Partial<State>[]; next_cursor: string | null }>;
  presets(): Promise<Preset[]>;
  /** Calls the HTTP API. The answer's `data`, else its whole body; null where there is no body. */
  request(method: string, path: string, body?: unknown, options?: {
    idempotencyKey?: string; ifMatch?: number | string | null;
  }): Promise<any>;
  /** Closes all sessions. */
  close(): void;
}

// The parts, for programs that keep a state or a clock without this client. All functions are pure.

export class ClockFilter {
  static readonly WINDOW: 8;
  static readonly DRIFT: number;
  static readonly RESOLUTION_MS: number;
  add(t1: number, t2: number, t3: number, t4: number, now?: number): void;
  estimate(now: number): { offset: number; uncertainty: number; rtt: number } | null;
  reset(): void;
}

export class SlewedClock {
  static readonly RATE: number;
  static readonly BACK_RATE: number;
  static readonly STEP_MS: number;
  set(offset: number, local: number): void;
  now(local: number): number | null;
  gap(local: number): number;
}

/** Makes a whole state, as the service sends it, ready for the functions below. */
export function adopt(full: State): State;
/** The state after an event, which has to be the next one. */
export function merge(state: State, event: Change): State;
/** The same state at a later server time, if nothing happens in the meantime. */
export function stateAt(state: State, serverTimeMs: number): State;
export function predictSwitch(state: State, serverTimeMs: number, nextId?: string | null): State | null;
export function predictPause(state: State, serverTimeMs: number, options?: { counted?: boolean }): State | null;
export function predictResume(state: State, serverTimeMs: number): State | null;
export function remainingAt(state: State, serverTimeMs: number, ownerId?: string | null): number | null;
export function elapsedAt(state: State, serverTimeMs: number, id?: string | null): number | null;
export function clockAt(state: State, serverTimeMs: number, ownerId?: string | null): ClockFace | null;
/**
 * A time of a clock as text: "3 d 04:05:06", "1:05:09", "5:00", "0:09.4", "-0:03"; "-:--" for null. A time that
 * is left is rounded up and has tenths below ten seconds; one that counts up is rounded down.
 */
export function clockText(ms: number | null, options?: { countUp?: boolean }): string;
export function pauseRemainingAt(state: State, serverTimeMs: number): number | null;
export function dueAt(state: State, serverTimeMs: number): Due | null;
