// The session in which another one goes on, such as a rematch: `metadata.next_session` of the old one.

import { UUID } from "./recent.js";

/**
 * The id of the session that follows one, or null. Metadata is a stranger's text, and may say anything.
 *
 * @param {object | null} state
 * @returns {string | null}
 */
export function nextSessionOf(state) {
  const next = state?.metadata?.next_session;
  if (typeof next !== "string") return null;
  const id = next.toLowerCase();
  return UUID.test(id) && id !== state.session_id ? id : null;
}

/** The address of a session's page that shows what this one does: the view, and for whom it is. */
export const samePageOf = (id) => `/s/${id}${location.search}`;

const MADE = "synckairos.made";

/** Notes that this tab made a session that follows another one: its page then offers the links to it. */
export function noteMade(id) {
  try {
    sessionStorage.setItem(MADE, id);
  } catch {
    // The browser may forbid storage. The page has its button for links anyway.
  }
}

/** Whether this tab made a session, the first time that it is asked. */
export function wasMade(id) {
  try {
    if (sessionStorage.getItem(MADE) !== id) return false;
    sessionStorage.removeItem(MADE);
    return true;
  } catch {
    return false;
  }
}
