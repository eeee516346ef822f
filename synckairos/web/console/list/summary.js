// The part of a session that a card of the list shows at a moment. The states of the service's list have no
// participants. Their remaining time, as of the server's time in them, is enough for the running clock.

import { goesOnAtEnd, overtimeOf } from "../shared/overtime.js";
import { readControl } from "./controls.js";
import { t } from "../shared/i18n.js";
import { nameGiven } from "../shared/names.js";
import { ago, formatDuration } from "../shared/time.js";

const LIVE = new Set(["running", "paused"]);
/** In a session without warnings, a clock is short of time from here on. */
const LOW_MS = 20_000;
/** And from here on it is very short of time. */
const VERY_LOW_MS = 10_000;

/**
 * How long the current cycle has run.
 *
 * @param {object} state
 * @param {number} now The server's time.
 */
function elapsed(state, now) {
  if (state.status === "running" && state.cycle_started_at)
    return Math.max(0, now - Date.parse(state.cycle_started_at));
  return state.cycle_elapsed_ms ?? 0;
}

/**
 * How much time the running clock has left, or null when it has no limit.
 *
 * @param {object} state
 * @param {number} now The server's time.
 */
export function remaining(state, now) {
  const { time_remaining_ms: then, deadline_ms: deadline, server_time_ms: asOf } = state;
  if (then === null || deadline === null || state.status !== "running") return then;
  // After the deadline the clock stays where it is, until the service's next answer.
  return then - (Math.min(Math.max(now, asOf), Math.max(deadline, asOf)) - asOf);
}

/** How long the running clock has been at its end while its turn goes on; 0 where it is not, or is not known. */
function overtime(state, now) {
  if (!goesOnAtEnd(state)) return 0;
  // The deadline is there until the service has seen the clock's end.
  const { deadline_ms: deadline = null } = state;
  if (deadline !== null) return state.status === "running" ? Math.max(0, now - deadline) : 0;
  return overtimeOf(state, elapsed(state, now)) ?? 0;
}

/** The name of the active participant, with the team; "" where they have no names. */
function activeName(state) {
  const member = nameGiven(state, state.active_participant_id) ?? "";
  const team = nameGiven(state, state.active_group_id) ?? "";
  return team && member ? t("name.inTeam", { team, member }) : team || member;
}

/**
 * The time that a clock begins with. A listed state whose time control has no text does not say it: then this
 * is the total of all clocks.
 *
 * @returns {{ms: number | null, unit: string}}
 */
function timeAtStart(state) {
  if (state.sync_mode === "count_up") return { ms: 0, unit: "" };
  if (state.time_per_cycle_ms !== null)
    return { ms: Math.min(state.time_per_cycle_ms, state.total_time_ms ?? Infinity), unit: "" };
  if (state.sync_mode === "global") return { ms: state.total_time_ms, unit: "" };
  const text = state.time_control?.notation;
  const read = text ? readControl(text) : null;
  if (read) return { ms: read.bank_ms ?? 0, unit: "" };
  const banks = new Set(
    (state.groups?.length ? state.groups : (state.participants ?? [])).map((each) => each.total_time_ms),
  );
  const [only] = banks;
  return banks.size === 1 && only !== null
    ? { ms: only, unit: t("card.each") }
    : { ms: state.total_time_ms, unit: t("card.inAll") };
}

/** The line below the digits: whose turn it is, or its number where a single participant plays. */
function lineOf(state, who) {
  const alone = Object.keys(state.metadata?.names ?? {}).length === 1 || state.participants?.length === 1;
  const number = state.cycle_count + 1;
  if (state.sync_mode === "count_up")
    return alone || !who ? t("card.lap", { number }) : t("card.lapOf", { who, number });
  if (!alone && who) return t("card.turnOf", { who });
  return alone && state.sync_mode === "global" && state.time_per_cycle_ms === null
    ? t("card.timeLeft")
    : t("card.turn", { number });
}

/**
 * @typedef {object} Summary
 * @property {number | null} ms The time to show; null: none.
 * @property {boolean} countUp Whether the time has passed, and is not left.
 * @property {"calm" | "warn" | "urgent" | "idle" | "over"} level
 * @property {string} unit The word next to the digits; may be "".
 * @property {string} line The line below the digits.
 *
 * @param {object} state
 * @param {number} now The server's time.
 * @returns {Summary}
 */
export function summaryOf(state, now) {
  const who = activeName(state);
  if (LIVE.has(state.status)) {
    const left = remaining(state, now);
    const countUp = state.sync_mode === "count_up" || left === null;
    const line = lineOf(state, who);
    const pause =
      state.status === "paused" && state.resumes_at_ms ? Math.max(0, state.resumes_at_ms - now) : null;
    const until =
      pause === null ? "" : t("card.goesOnIn", { time: formatDuration(Math.ceil(pause / 1000) * 1000) });
    const ends =
      state.status === "running" && (state.ends_at_ms ?? null) !== null && !(state.deadline_ms < state.ends_at_ms && state.deadline_ms !== null)
        ? t("card.endsIn", { time: formatDuration(Math.ceil(Math.max(0, state.ends_at_ms - now) / 1000) * 1000) })
        : "";
    // A warning at zero or in overtime is a bell.
    const early = state.warnings_ms.filter((ms) => ms > 0);
    const low =
      early.length > 0
        ? Math.max(...early)
        : Math.min(LOW_MS, (state.time_per_cycle_ms ?? Infinity) / 2);
    const level = countUp || left > low ? "calm" : left <= Math.min(VERY_LOW_MS, low / 2) ? "urgent" : "warn";
    return {
      ms: countUp ? elapsed(state, now) + (state.sync_mode === "count_up" ? state.time_used_ms : 0) : left > 0 ? left : left - overtime(state, now),
      countUp,
      level: state.status === "paused" ? "idle" : level,
      unit: "",
      line: [line, until, ends].filter(Boolean).join(" · "),
    };
  }
  if (state.status === "pending") {
    const start = state.starts_at_ms ?? null;
    const wait = start === null ? "" : formatDuration(Math.ceil(Math.max(0, start - now) / 1000) * 1000);
    return {
      ...timeAtStart(state),
      countUp: false,
      level: "idle",
      line: wait
        ? t("card.startsIn", { time: wait })
        : who
          ? t("card.begins", { who })
          : t("card.created", { ago: ago(Date.parse(state.created_at), now) }),
    };
  }
  const ended = state.session_completed_at
    ? t("card.endedAgo", { ago: ago(Date.parse(state.session_completed_at), now) })
    : t("card.ended");
  return { ms: state.time_used_ms, countUp: true, level: "over", unit: t("card.used"), line: ended };
}
