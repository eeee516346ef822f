// An event in words, for the history. It is loaded when somebody needs the events.

import { list, t } from "../../shared/i18n.js";
import { momentText } from "../../shared/moments.js";
import { formatClock, formatDuration } from "../../shared/time.js";
import { detailsText } from "./details.js";

/**
 * The line of the history for an event.
 *
 * @param {import("./track.js").Track} track As it was before the event.
 * @param {object} change
 * @param {string | null} before Who was active.
 */
export function told(track, change, before) {
  const { name } = track;
  const { payload } = change;
  const active = payload.active_participant_id;
  const nameOfExpired = name(payload.expired_group_id ?? payload.expired_participant_id ?? null);
  switch (payload.event) {
    case "session.created":
      return t("event.created");
    case "session.started":
      return t(payload.reason === "auto" ? "event.startedAuto" : "event.started", { name: name(active) });
    case "cycle.switched":
      return before === active || !before
        ? t("event.goesOn", { name: name(active) })
        : t("event.switched", { from: name(before), to: name(active) });
    case "session.paused":
      return payload.counted === false ? t("event.pausedFreely") : t("event.paused");
    case "session.resumed":
      return payload.reason === "auto" ? t("event.resumedAuto") : t("event.resumed");
    case "participant.expired":
      return active && active !== before
        ? t("event.ranOutNext", { name: nameOfExpired, next: name(active) })
        : t("event.ranOut", { name: nameOfExpired });
    case "session.expired": {
      if (payload.expired_clock === "total") return t("event.timeOver");
      const winner = payload.action_applied?.winner;
      return winner
        ? t("event.ranOutWins", { name: nameOfExpired, winner: name(winner) })
        : t("event.ranOut", { name: nameOfExpired });
    }
    case "session.completed":
      if (payload.reason !== "auto") return t("event.completed");
      return payload.cycle_count >= (track.session.confirmed?.max_cycles ?? Infinity)
        ? t("event.completedTurns")
        : t("event.completedEnd");
    case "session.cancelled":
      return t("event.cancelled");
    case "session.deleted":
      return t("event.deleted");
    case "session.recovered":
      return t("event.recovered");
    case "session.moved":
      return t("event.moved");
    case "session.arrived":
      return t("event.arrived");
    case "participant.added":
      return t("event.joined", { name: name(payload.participants[0]?.participant_id) });
    case "participant.removed":
      return t("event.left", { name: name(payload.removed_participant_id) });
    case "time.adjusted": {
      const owner = payload.participants[0]?.participant_id ?? payload.groups[0]?.group_id;
      const whose = owner ? name(owner) : isOfTotal(change, track.last) ? t("session.session") : t("event.clock");
      const time = formatClock(payload.adjusted_ms, { plus: true, tenths: false });
      const reason = payload.adjust_reason && track.inText(payload.adjust_reason);
      return reason ? t("event.adjustedReason", { whose, time, reason }) : t("time.given", { whose, time });
    }
    case "time.warning":
      return t("event.warning", { name: name(active), warning: warningText(payload.warning_ms) });
    case "turn.taken_back": {
      return t("event.takenBack", { count: payload.turns ?? 1, name: name(active) });
    }
    case "turn.set":
      return t(payload.status === "pending" ? "event.willBegin" : "event.turnSet", { name: name(active) });
    case "session.reopened":
      return payload.status === "pending" || !active ? t("event.reopened") : t("event.reopenedOn", { name: name(active) });
    case "session.reset":
      return t("event.reset");
    case "session.scheduled":
      return scheduledText(payload);
    case "metadata.changed":
      return detailsText(payload.metadata, track.metadata);
    default:
      return payload.event;
  }
}

/**
 * Whether an adjust was one of the total beside the cycles. The event does not name its clock, but from the
 * event before it follows what is left of the total when it is not touched.
 */
function isOfTotal({ payload, server_time_ms: now }, before) {
  const left = payload.total_remaining_ms;
  const was = before?.payload.total_remaining_ms;
  if (typeof left !== "number" || typeof was !== "number") return false;
  const ran = before.payload.status === "running" ? now - before.server_time_ms : 0;
  const untouched = was - ran;
  return Math.abs(left - untouched) > Math.abs(left - untouched - payload.adjusted_ms);
}

/** What a warning says. At zero and in overtime it is a bell. */
function warningText(ms) {
  if (ms > 0) return t("time.left", { time: formatDuration(ms) });
  return ms === 0 ? t("event.bell", { time: formatClock(0, { tenths: false }) }) : t("event.bellOver", { time: formatDuration(-ms) });
}

/** The start and the end that a session has from an event on. */
function scheduledText({ starts_at_ms: start, ends_at_ms: end }) {
  const words = [];
  if ((start ?? null) !== null) words.push(t("bounds.startsAt", { moment: momentText(start) }));
  if ((end ?? null) !== null) words.push(t("bounds.endsAt", { moment: momentText(end) }));
  return words.length > 0 ? t("event.scheduled", { what: list(words, { type: "unit" }) }) : t("event.unscheduled");
}
