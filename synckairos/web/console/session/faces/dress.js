// What a face shows beyond its clock: overtime after the end, the direction in which it counts, and its light.
// All functions are pure.

import { t } from "../../shared/i18n.js";
import { formatClock } from "../../shared/time.js";
import { lightAt } from "../../shared/lights.js";
import { isOver, ownClocks } from "../rules.js";

/** The directions in which a face counts. */
const COUNTS = new Set(["up", "down"]);

/** The direction that a text of the address or the metadata names; null where it names none. */
export const readCounts = (value) => (COUNTS.has(value) ? value : null);

/**
 * What a clock has used (ms), for a face that counts up. Null where it is not known.
 *
 * @param {object} state
 * @param {object} clock The clock from the client.
 * @param {{wholeMs: number | null, overMs: number | null, ownMs: number | null}} more ownMs: what the owner of the
 *   clock has used in all; null where the session or the turn owns it.
 */
export function usedBy(state, clock, { wholeMs, overMs, ownMs }) {
  if (ownClocks(state)) return ownMs === null ? null : ownMs + (overMs ?? 0);
  if (state.time_per_cycle_ms !== null) return clock.elapsedMs;
  if (wholeMs === null || clock.remainingMs === null) return null;
  return wholeMs - Math.max(0, clock.remainingMs) + (overMs ?? 0);
}

/**
 * A face as it is shown.
 *
 * @param {import("./face.js").Face} face
 * @param {object} state
 * @param {object | null} clock The clock from the client.
 * @param {object} more
 * @param {number | null} more.wholeMs The time of a full clock; null without a limit.
 * @param {number | null} more.overMs How long the clock has stood at its end while the turn goes on; null: it does not.
 * @param {number | null} more.usedMs What the clock has used, for a face that counts up.
 * @param {"up" | "down" | null} more.counts null: as usual for this clock.
 * @param {import("../../shared/lights.js").Light[]} more.lights
 * @returns {import("./face.js").Face & {light: import("../../shared/lights.js").Light | null, left: number | null}} With a light
 *   the level is `lit`. left: what the clock has left (ms), below zero in overtime.
 */
export function dress(face, state, clock, { wholeMs, overMs, usedMs, counts, lights }) {
  let { ms, countUp, note, level } = face;
  let left = clock?.remainingMs ?? null;
  if (overMs !== null && left !== null) {
    left = Math.min(0, left) - overMs;
    ms = countUp ? ms : left;
    note = t("face.overtime");
    level = "over";
  }
  if (counts === "up" && !countUp && ms !== null && usedMs !== null) {
    ms = usedMs;
    countUp = true;
    if (level === "over") {
      note = t("faces.overtimeBy", { time: formatClock(-left, { countUp: true, plus: true }) });
    }
  } else if (counts === "down" && state.sync_mode === "count_up" && left !== null) {
    ms = left;
    countUp = false;
  }
  const light = isOver(state) || state.status === "pending" ? null : lightAt(lights, left, state.time_per_cycle_ms === null ? null : wholeMs);
  return { ...face, ms, countUp, note, level: light ? "lit" : level, light, left };
}
