import type { ClockFace, Connection, Due, Session, State, SyncKairos, SyncKairosError } from "./synckairos.js";

/** What a component can show of a session. Until the session is open: nulls, and "connecting". */
export interface Shown {
  readonly session: Session | null;
  readonly state: State | null;
  readonly connection: Connection;
  /** Whether an own command waits for its confirmation. */
  readonly pending: boolean;
  /** How old the state may be (ms) when it comes from a replica because there is no primary; else null. */
  readonly staleMs: number | null;
  /** Why the session is closed; null while it is open. */
  readonly error: SyncKairosError | null;
  remaining(owner?: string | null): number | null;
  elapsed(participantId?: string | null): number | null;
  clock(owner?: string | null): ClockFace | null;
  due(): Due | null;
  pauseRemaining(): number | null;
}

/**
 * Follows a session in a component. interval: ms between two renderings while a clock runs or something is
 * ahead that the session does by itself (default 100); null: the component is rendered only when something
 * changes.
 */
export function useSyncKairos(
  clientOrUrl: SyncKairos | string, sessionId: string, options?: { interval?: number | null },
): Shown;
