/** The types of synckairos.js. All times are milliseconds; names with underscores are the service's own. */

export type SyncMode = "per_participant" | "per_group" | "per_cycle" | "global" | "count_up";
export type Status = "pending" | "running" | "paused" | "expired" | "completed" | "cancelled";

/** What an expiry does; other fields come back in `action_applied`. */
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
  overtime_ms?: number;
  notation?: string;
}

/** What a clock's time control keeps, as of the start of the cycle; `now`: as of the state. */
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

/** A session, as the service shows it at `server_time_ms`. Frozen. */
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
  readonly players_may_pause: boolean;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly time_used_ms: number;
  readonly time_remaining_ms: number | null;
  readonly total_remaining_ms: number | null;
  readonly cycle_count: number;
  readonly cycle_elapsed_ms: number | null;
  readonly cycle_started_at: string | null;
  readonly deadline_ms: number | null;
  readonly resumes_at_ms: number | null;
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
  readonly type: "STATE_UPDATE" | "TIME_WARNING" | "TIME_EXPIRED" | "SESSION_DELETED";
  readonly session_id: string;
  readonly version: number;
  readonly epoch: string;
  readonly server_time_ms: number;
  readonly payload: ChangePayload;
}

export interface ChangePayload {
  /** Absent where a session's key only vanished; then there is nothing but `reason`. */
  readonly event?:
    | "session.created" | "session.started" | "cycle.switched" | "session.paused" | "session.resumed"
    | "participant.expired" | "session.expired" | "session.completed" | "session.cancelled"
    | "session.deleted" | "session.recovered" | "participant.added" | "participant.removed"
    | "time.adjusted" | "time.warning";
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
  readonly resumes_at_ms?: number;
  readonly total_remaining_ms?: number;
}

/** What `create` takes: the service's config, or a preset's name and who takes part. */
export interface Config {
  preset?: string;
  session_id?: string;
  sync_mode?: SyncMode;
  participants: NewParticipant[];
  groups?: { group_id: string; total_time_ms?: number; time_control?: TimeControl | string }[];
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
  players_may_pause?: boolean;
  metadata?: Record<string, unknown>;
}

/** A well-known clock. */
export interface Preset {
  name: string;
  title: string;
  description: string;
  config: Partial<Config>;
  [more: string]: unknown;
}

export interface NewParticipant {
  participant_id: string;
  participant_index?: number;
  group_id?: string;
  total_time_ms?: number;
  time_control?: TimeControl | string;
}

/** What a call that changed something is answered with: the change's payload, and which change it is. */
export interface Changed extends ChangePayload {
  readonly session_id: string;
  readonly version: number;
  readonly epoch: string;
  readonly server_time_ms: number;
}

/** What a clock shows at a moment. Numbers have fractions of a millisecond. */
export interface ClockFace {
  /** Whose it is; null: the session's or the cycle's. */
  ownerId: string | null;
  /** The kind of the time control that holds now; of the session's own clock "countdown" or "count_up". */
  kind: StageKind | "none" | "countdown" | "count_up";
  running: boolean;
  /** Whether it ran out. */
  expired: boolean;
  /** All that is left, delay, periods and block included; below zero in overtime; null without end. */
  remainingMs: number | null;
  /** The main time, to be shown big; below zero in overtime; null without end. */
  mainMs: number | null;
  /** What is left of the cycle's delay, which runs first. */
  delayMs: number | null;
  /** Byo-yomi: periods left, the running one included; how long one is; what is left of the running one. */
  periodsLeft: number | null;
  periodMs: number | null;
  periodRemainingMs: number | null;
  /** Canadian: what is left of the block (`periodMs`: how long a whole one is). */
  blockRemainingMs: number | null;
  /** Moves to the next stage, or to be made in the block. */
  movesLeft: number | null;
  /** From 0. */
  stage: number | null;
  /** How much of the overtime is used; null where there is none. */
  overtimeMs: number | null;
  /** How long the current cycle has run on it; of "count_up" the time counted. */
  elapsedMs: number;
}

export type ErrorCode =
  | "VALIDATION_ERROR" | "INVALID_SESSION_STATE" | "PARTICIPANT_EXPIRED" | "UNAUTHENTICATED" | "FORBIDDEN"
  | "SESSION_NOT_FOUND" | "PARTICIPANT_NOT_FOUND" | "NOT_FOUND" | "METHOD_NOT_ALLOWED"
  | "UNSUPPORTED_MEDIA_TYPE" | "SESSION_EXISTS" | "CONCURRENT_MODIFICATION" | "PAYLOAD_TOO_LARGE"
  | "RATE_LIMIT_EXCEEDED"
  | "STORAGE_UNAVAILABLE" | "MESSAGE_BROKER_ERROR" | "NOT_REPLICATED" | "NETWORK_TIMEOUT"
  | "INTERNAL_ERROR" | "CONNECTION_LOST" | "UNEXPECTED_ANSWER" | "CLOSED" | "CLOCK_SKEW"
  | "CLOCK_SKEW_REFUSED" | "NO_WEBSOCKET";

/** What the service refused, or what went wrong on the way to it. */
export class SyncKairosError extends Error {
  constructor(code: ErrorCode | string, message: string, more?: {
    status?: number | null; retryable?: boolean; details?: { field: string; message: string }[];
    context?: Record<string, unknown>; retryAfterMs?: number | null; cause?: unknown;
  });
  readonly name: "SyncKairosError";
  readonly code: ErrorCode | string;
  /** The HTTP status; null where there was none. */
  readonly status: number | null;
  /** Whether the same may succeed later. */
  readonly retryable: boolean;
  /** VALIDATION_ERROR: everything that is wrong. */
  readonly details: readonly { field: string; message: string }[];
  readonly context: Readonly<Record<string, unknown>>;
  /** When to try again, where the service said so. */
  readonly retryAfterMs: number | null;
}

/** Ends what it was returned by. */
export type Unsubscribe = () => void;

export type Connection = "connecting" | "live" | "reconnecting" | "closed";

/** The server's time. */
export interface ServerTime {
  /** The server's clock as it is shown: it never goes back. Null until it is known. */
  now(): number | null;
  /** How far `now()` may be off either way; Infinity until known. */
  readonly uncertaintyMs: number;
  /** Server time less the local monotonic clock; null until known. */
  readonly offsetMs: number | null;
  /** Server time less the device's `Date`; null until known. */
  readonly skewMs: number | null;
  /** The round trip of the sample that counts; null until known. */
  readonly rttMs: number | null;
  /** Whether the device's clock is so far off that no time is shown. */
  readonly refused: boolean;
  /** After each measurement. */
  onChange(fn: () => void): Unsubscribe;
}

/** One session, watched and, where that is allowed, played. Made by `SyncKairos.session`. */
export interface Session {
  readonly id: string;
  readonly connection: Connection;
  /** Why it is closed; null while it is not. */
  readonly closeReason: SyncKairosError | null;
  /** The state as shown, own commands included that are not confirmed yet; null until the first. */
  readonly state: State | null;
  /** The newest state that the server confirmed. */
  readonly confirmed: State | null;
  /** Whether an own command is not confirmed yet. */
  readonly pending: boolean;
  /** The first state; rejects where there will be none. */
  readonly ready: Promise<State>;

  /** Ms left now: on the clock of a participant or group, or on the running one. Null: no clock, no end. */
  remaining(owner?: string | null): number | null;
  /**
   * Without an id how long the current cycle has run, pauses left out (`count_up`: the session). With one the
   * time that a participant or group has used, the running cycle included. Null for somebody unknown.
   */
  elapsed(participantId?: string | null): number | null;
  /** What a clock face shows now; null for who has none. */
  clock(owner?: string | null): ClockFace | null;

  /** After everything that changes what is shown; `change` is null where that was not an event. */
  onChange(fn: (state: State, change: Change | null) => void): Unsubscribe;
  /** A clock ran out. */
  onExpire(fn: (change: Change) => void): Unsubscribe;
  /** A clock fell to a threshold of `warnings_ms`. */
  onWarning(fn: (change: Change) => void): Unsubscribe;
  onConnection(fn: (connection: Connection) => void): Unsubscribe;
  /** What goes wrong and is no answer to a call: CLOCK_SKEW, CONNECTION_LOST, … */
  onError(fn: (error: SyncKairosError) => void): Unsubscribe;

  /**
   * Ends the running cycle. Shown at once; resolves with the version that came of it, rejects with why not.
   * Two calls in one turn are one switch; `current`: whose turn is meant (default: who is shown as active).
   */
  switch(options?: SwitchOptions): Promise<number>;
  pause(): Promise<number>;
  resume(): Promise<number>;

  start(options?: { expectedVersion?: number | null }): Promise<State>;
  complete(options?: { expectedVersion?: number | null }): Promise<State>;
  cancel(options?: { expectedVersion?: number | null }): Promise<State>;
  /** Gives `ms` to a participant's or group's clock, or takes it; with null the session's or cycle's. */
  add(owner: string | null, ms: number, options?: AdjustOptions): Promise<Changed | null>;
  /** Makes a clock read `ms`. Null where `withinMs` was not met. */
  set(owner: string | null, ms: number, options?: AdjustOptions): Promise<Changed | null>;
  join(participant: NewParticipant): Promise<Changed>;
  leave(participantId: string): Promise<Changed>;
  delete(): Promise<void>;
  /** The events after a version, at most 500. */
  events(since?: number): Promise<{ events: Change[]; next_since: number }>;

  /** Connects again at once, also after CONNECTION_LOST. Throws where the session ended otherwise. */
  reconnect(): void;
  close(): void;
}

export interface SwitchOptions {
  next?: string | null;
  current?: string | null;
  expectedVersion?: number | null;
}

export interface AdjustOptions {
  /** Only when less than this is left. */
  withinMs?: number | null;
  reason?: string | null;
  expectedVersion?: number | null;
}

export interface Options {
  /** Of the service; default: where this module came from. */
  url?: string;
  /** Who is there; a function is asked for each connection and each call. */
  token?: string | (() => string | null | Promise<string | null>) | null;
  /** In a row, before a session is given up; Infinity: never. Default 10. */
  reconnectAttempts?: number;
  /** A device clock that is further off shows no time. Default 3,600,000 (an hour). */
  maxSkewMs?: number;
  /** For a runtime without one, as Node.js before version 22; default: the runtime's own. */
  WebSocket?: typeof globalThis.WebSocket;
  /** Likewise. */
  fetch?: typeof globalThis.fetch;
  /** For tests. */
  runtime?: Partial<Runtime>;
}

/** What the client uses of its surroundings. */
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
}

/** A client of one SyncKairos service. */
export class SyncKairos {
  constructor(options?: Options);
  readonly time: ServerTime;
  /**
   * The session with this id: the same object until it is closed. Its socket is opened at once. Throws
   * `NO_WEBSOCKET` where there is no WebSocket to use.
   */
  session(id: string): Session;
  /** The session with this id where it is open. */
  find(id: string): Session | null;
  create(config: Config): Promise<State>;
  list(query?: { status?: Status | null; limit?: number | null; cursor?: string | null }):
    Promise<{ sessions: Partial<State>[]; next_cursor: string | null }>;
  presets(): Promise<Preset[]>;
  /** A call of the HTTP API: its `data`, or the body where it has none, or null where there is no body. */
  request(method: string, path: string, body?: unknown, options?: {
    idempotencyKey?: string; ifMatch?: number | string | null;
  }): Promise<any>;
  /** Closes all sessions. */
  close(): void;
}

// The parts, for programs that keep a state or a clock without this client. Pure, but for the two classes.

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

/** A state as the service sends it whole, made ready for the functions below. */
export function adopt(full: State): State;
/** The state after the event that follows it. */
export function merge(state: State, event: Change): State;
/** The same state at a later server time, if nothing happens until then. */
export function stateAt(state: State, serverTimeMs: number): State;
export function predictSwitch(state: State, serverTimeMs: number, nextId?: string | null): State | null;
export function predictPause(state: State, serverTimeMs: number): State | null;
export function predictResume(state: State, serverTimeMs: number): State | null;
export function remainingAt(state: State, serverTimeMs: number, ownerId?: string | null): number | null;
export function elapsedAt(state: State, serverTimeMs: number, id?: string | null): number | null;
export function clockAt(state: State, serverTimeMs: number, ownerId?: string | null): ClockFace | null;
