// What the leader of a session shows on all screens: a message, or nothing at all. Pure.

import { displayText } from "../../shared/names.js";

/**
 * @param {object | null} metadata Of a session: `message: {text}` and `blackout: true`.
 * @returns {{message: string | null, blackout: boolean}}
 */
export function screensOf(metadata) {
  return { message: displayText(metadata?.message?.text), blackout: metadata?.blackout === true };
}

/**
 * The address of the screen for whoever speaks: the countdown without anything to press.
 *
 * @param {string} href The address of the session's page.
 */
export function screenAddress(href) {
  const url = new URL(href);
  url.search = "";
  url.hash = "";
  url.searchParams.set("view", "countdown");
  url.searchParams.set("screen", "");
  return url.href.replace("screen=", "screen");
}
