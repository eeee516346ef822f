// An agenda as people paste it: a line for each item, its length at the end. Pure.

import { parseDuration } from "../shared/time.js";

/** So many items an agenda may have: their names and lengths have to fit into a session's metadata. */
export const MAX_ITEMS = 100;
const LEAST_MS = 1000;
const MOST_MS = 86_400_000;
/** What stands before a name in a list, and between a name and a length. */
const BULLET = /^(?:[-*•–]|\d{1,3}[.)])\s+/;
/** What may close a line: a full stop, and brackets around the length. */
const FULL_STOP = /\.$/;
const IN_BRACKETS = /\s*[([]\s*(\d[^()[\]]*?)\.?\s*[)\]]$/;
const SEPARATOR = /[\s,;:|–—-]+$/;

/**
 * Splits a line into a name and a length. The length is the longest end of the line that can be read as one.
 *
 * @returns {{name: string, ms: number | null}} ms: null when the line has none.
 */
function split(line) {
  const words = line.replace(FULL_STOP, "").replace(IN_BRACKETS, " $1").split(/[\s;|]+|,\s+/).filter(Boolean);
  for (let at = Math.max(0, words.length - 6); at < words.length; at += 1) {
    const end = words.slice(at).join(" ");
    if (!/^\d/.test(end)) continue;
    const ms = parseDuration(end, "min");
    if (ms !== null) return { name: words.slice(0, at).join(" ").replace(SEPARATOR, ""), ms };
  }
  return { name: words.join(" "), ms: null };
}

/**
 * Reads the items of an agenda. Empty lines are skipped.
 *
 * @param {string} text `Welcome 5`, `Anna 10:00`, `Break 15 min`.
 * @returns {{items: {name: string, ms: number}[], problems: {line: number, text: string,
 *   why: "length" | "name" | "short" | "long" | "many"}[]}} line: counted from 1.
 */
export function readAgenda(text) {
  const items = [];
  const problems = [];
  text.split(/\r?\n/).forEach((raw, at) => {
    const line = raw.trim().replace(BULLET, "");
    if (line === "") return;
    const { name, ms } = split(line);
    let why = null;
    if (ms === null) why = "length";
    else if (name === "") why = "name";
    else if (ms < LEAST_MS) why = "short";
    else if (ms > MOST_MS) why = "long";
    else if (items.length >= MAX_ITEMS) why = "many";
    if (why === null) items.push({ name, ms });
    else problems.push({ line: at + 1, text: raw.trim(), why });
  });
  return { items, problems };
}
