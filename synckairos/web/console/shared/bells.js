// The sounds that a light can make, by their names in `metadata.lights`. The first one is the usual one.

/** @typedef {"warning" | "bell" | "two-bells" | "three-bells" | "chime" | "gong" | "horn" | "none"} Bell */

/** @type {readonly Bell[]} */
export const BELLS = Object.freeze(["warning", "bell", "two-bells", "three-bells", "chime", "gong", "horn", "none"]);

/** Whether this is the name of such a sound. */
export const isBell = (value) => BELLS.includes(value);
