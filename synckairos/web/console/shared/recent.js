// The sessions that were opened in this browser, newest first, in its local storage. The list shows them when
// the service keeps no list of its own.

const STORAGE_KEY = "synckairos.recent";
const MAX_SESSIONS = 50;
/** What a session's id looks like, in lower case. */
export const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/**
 * The sessions, newest first.
 *
 * @returns {{id: string}[]}
 */
export function recent() {
  try {
    const found = JSON.parse(localStorage.getItem(STORAGE_KEY) ?? "[]");
    return Array.isArray(found) ? found.filter((each) => UUID.test(each?.id)) : [];
  } catch {
    return [];
  }
}

/** Puts a session at the front. */
export function remember(id) {
  store([{ id }, ...recent().filter((each) => each.id !== id)].slice(0, MAX_SESSIONS));
}

/** Removes a session, because the service has no such session any more. */
export function forget(id) {
  store(recent().filter((each) => each.id !== id));
}

function store(sessions) {
  try {
    localStorage.setItem(STORAGE_KEY, JSON.stringify(sessions));
  } catch {
    // The browser may forbid storage, or it may be full. Then nothing is remembered.
  }
}
