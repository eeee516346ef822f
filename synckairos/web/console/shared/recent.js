// The sessions that were opened in this browser, newest first, in its local storage: what the list shows
// where the service keeps no list of its own.

const PLACE = "synckairos.recent";
const MOST = 50;
/** What a session's id looks like, in lower case. */
export const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/**
 * @returns {{id: string}[]}
 */
export function recent() {
  try {
    const found = JSON.parse(localStorage.getItem(PLACE) ?? "[]");
    return Array.isArray(found) ? found.filter((each) => UUID.test(each?.id)) : [];
  } catch {
    return [];
  }
}

/** Puts a session first. */
export function remember(id) {
  keep([{ id }, ...recent().filter((each) => each.id !== id)].slice(0, MOST));
}

/** Takes a session out, for one that is gone. */
export function forget(id) {
  keep(recent().filter((each) => each.id !== id));
}

function keep(sessions) {
  try {
    localStorage.setItem(PLACE, JSON.stringify(sessions));
  } catch {
    // Storage may be forbidden, or full: then nothing is remembered.
  }
}
