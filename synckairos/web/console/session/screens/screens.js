// What the leader of a session shows on all screens: a message, or nothing at all. Pure.

import { displayText } from "../../shared/names.js";

/**
 * @param {object | null} metadata Of a session: `message: {text, to: "all"}` and `blackout: true`. Without `to` a
 *   message is for the speaker's screen.
 * @returns {{message: string | null, toAll: boolean, blackout: boolean}}
 */
export function screensOf(metadata) {
  const message = displayText(metadata?.message?.text);
  return { message, toAll: message !== null && metadata.message.to === "all", blackout: metadata?.blackout === true };
}

/**
 * What a page shows of it. Only a page with nothing to press is covered: a player's clock goes on, so it stays in
 * sight and where it is. A bare page is a picture in somebody else's, and has no place for words.
 *
 * @param {ReturnType<typeof screensOf>} screens
 * @param {"leader" | "player" | "screen" | "viewer" | "bare"} page
 * @returns {{message: string | null, blackout: boolean, toast: string | null}} toast: a message that covers nothing.
 */
export function shownOn({ message, toAll, blackout }, page) {
  const isCovered = page !== "leader" && page !== "player";
  const isMeant = page === "screen" || (toAll && page !== "bare");
  return {
    message: isCovered && isMeant ? message : null,
    blackout: isCovered && blackout,
    toast: page === "player" && isMeant ? message : null,
  };
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
