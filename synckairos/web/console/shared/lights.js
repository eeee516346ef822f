// The lights of a session: what colour and text the face has, and what sound is made, once the running clock has
// fallen to a value of `warnings_ms`. They stand in `metadata.lights`; without any, some sessions have usual
// ones. All functions are pure.

import { BELLS, isBell } from "./bells.js";
import { t } from "./i18n.js";
import { displayText } from "./names.js";
import { formatDuration } from "./time.js";

const OWN_CLOCKS = new Set(["per_participant", "per_group"]);

/** The colours that have a name. Any other one is written as #rrggbb. */
export const COLORS = Object.freeze({
  green: "#17763a",
  yellow: "#ffd02b",
  orange: "#f28c13",
  red: "#c4221a",
  blue: "#1f62d0",
  purple: "#7b3fc4",
  white: "#ffffff",
  black: "#000000",
});

/** A longer text does not fit below the digits. */
export const MAX_TEXT = 60;

/** The usual colours for so many lights, the first one first. Of more than three the last three have one. */
const USUAL = [[], ["yellow"], ["yellow", "red"], ["green", "yellow", "red"]];

/**
 * @typedef {object} Light
 * @property {number} ms It goes on when the clock has this much left.
 * @property {string} color As #rrggbb.
 * @property {string} ink The colour for texts on it, as #rrggbb.
 * @property {string} text What it says beside its colour.
 * @property {import("./bells.js").Bell} sound
 * @property {boolean} isGiven Whether the session's metadata says it.
 */

/** The relative luminance of a colour (#rrggbb), 0 to 1, as the WCAG define it. */
function luminance(color) {
  const [red, green, blue] = [1, 3, 5].map((at) => {
    const share = parseInt(color.slice(at, at + 2), 16) / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

/** The contrast between two colours (#rrggbb), 1 to 21. */
export function contrast(one, other) {
  const [dark, bright] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (bright + 0.05) / (dark + 0.05);
}

/** Black or white, whichever can be read better on a colour. One of them always has a contrast of over 4.5. */
export const inkOn = (color) =>
  contrast(color, "#ffffff") >= contrast(color, "#000000") ? "#ffffff" : "#000000";

/** A colour by its name or as #rrggbb, as #rrggbb. Null where it is neither. */
export function readColor(value) {
  if (typeof value !== "string") return null;
  const text = value.trim().toLowerCase();
  if (Object.hasOwn(COLORS, text)) return COLORS[text];
  return /^#[0-9a-f]{6}$/.test(text) ? text : null;
}

const isMap = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

/** Whether nobody is stopped when the time is up, as with speeches. */
const goesOn = (state) => state.action_on_timeout?.type === "notify";

/** What the usual light says at a value: what to do where people speak, otherwise how much is left. */
function usualText(state, ms, name) {
  return goesOn(state) && name !== null
    ? t(`faces.light.${name}`)
    : ms > 0
      ? t("faces.lessThan", { time: formatDuration(ms) })
      : ms === 0
        ? t("status.expired")
        : t("face.overtime");
}

const light = (ms, color, text, sound, isGiven) => ({ ms, color, ink: inkOn(color), text, sound, isGiven });

/** The usual colour of each value: by its place among all of them, counted from the last one. */
function usualNames(warnings) {
  const names = USUAL[Math.min(warnings.length, USUAL.length - 1)];
  return warnings.map((_, place) => names[names.length - (warnings.length - place)] ?? null);
}

/**
 * The lights that the session's metadata says, the first one first. An entry without a colour or a text, or with
 * one that is not understood, has the usual one.
 *
 * @param {object} state
 * @returns {Light[] | null} Null where the metadata says nothing of lights; an empty list turns the usual ones off.
 */
export function givenLights(state) {
  const given = state.metadata?.lights;
  if (!isMap(given)) return null;
  const warnings = [...state.warnings_ms].sort((a, b) => b - a);
  const names = usualNames(warnings);
  return warnings.flatMap((ms, place) => {
    const entry = Object.hasOwn(given, String(ms)) ? given[String(ms)] : null;
    if (!isMap(entry)) return [];
    const name = names[place] ?? "yellow";
    const text = displayText(entry.text, MAX_TEXT) ?? usualText(state, ms, name);
    const sound = isBell(entry.sound) ? entry.sound : BELLS[0];
    return [light(ms, readColor(entry.color) ?? COLORS[name], text, sound, true)];
  });
}

/**
 * The usual lights, for a face with one running clock: where the session or the turn owns that clock, and where
 * nobody is stopped when the time is up. Players who lose by their own clocks have none: there the clocks that are
 * short of time are coloured, each by itself.
 *
 * With one warning the last part of the time is red, as on every other clock.
 *
 * @param {object} state
 * @returns {Light[]}
 */
export function usualLights(state) {
  if (state.sync_mode === "count_up" || (OWN_CLOCKS.has(state.sync_mode) && !goesOn(state))) return [];
  const warnings = [...state.warnings_ms].sort((a, b) => b - a);
  const names = usualNames(warnings);
  const lights = warnings.flatMap((ms, place) =>
    names[place] === null
      ? []
      : [light(ms, COLORS[names[place]], usualText(state, ms, names[place]), BELLS[0], false)],
  );
  if (warnings.length === 1 && !goesOn(state)) {
    const last = Math.min(10_000, warnings[0] / 2);
    lights.push(light(last, COLORS.red, t("faces.lessThan", { time: formatDuration(last) }), "none", false));
  }
  return lights;
}

/** The lights of a face with one running clock. */
export const lightsOf = (state) => givenLights(state) ?? usualLights(state);

/**
 * The light that is on: the newest one that the clock has passed.
 *
 * @param {Light[]} lights The first one first.
 * @param {number | null} leftMs What the clock has left, below zero in overtime.
 * @param {number | null} wholeMs The time of a whole turn: lights at or above it never go on. Null: any light may.
 * @returns {Light | null}
 */
export function lightAt(lights, leftMs, wholeMs) {
  if (leftMs === null) return null;
  return lights.findLast((each) => leftMs <= each.ms && (wholeMs === null || each.ms < wholeMs)) ?? null;
}
