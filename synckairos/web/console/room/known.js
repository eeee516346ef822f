// The sessions that this browser made for a room, in its local storage. They are shown when the service keeps no
// list of its own.

import { UUID } from "../shared/recent.js";

const KEY = "synckairos.room.";
const MOST = 100;

/** The ids of a room's sessions, newest first. */
export function known(tag) {
  try {
    const found = JSON.parse(localStorage.getItem(KEY + tag) ?? "[]");
    return Array.isArray(found) ? found.filter((id) => UUID.test(id)) : [];
  } catch {
    return [];
  }
}

/** Puts a session in front. */
export function keep(tag, id) {
  try {
    localStorage.setItem(KEY + tag, JSON.stringify([id, ...known(tag).filter((each) => each !== id)].slice(0, MOST)));
  } catch {
    // The browser may forbid storage, or it may be full. Then nothing is kept.
  }
}
