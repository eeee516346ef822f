// The tab's token. Somebody without an account gets it by a link, behind the # of the address, which browsers
// send to no server. It is taken from there before anything else happens, so that the address that is shown,
// copied, reloaded or drawn as a QR code is without it.
//
// The module imports nothing, so that a page can run it first.

const TOKEN = "synckairos.token";
const ORIGIN = "synckairos.token.origin";
const IN_ADDRESS = /^#token=([^&]*)$/;
/** What can be sent in a header. */
const SENDABLE = /^[\x21-\x7e]+$/;

/** The same as the tab's store, where the browser forbids that. Then it holds until the page is loaded again. */
const memory = new Map();

/**
 * All frames of a web page share the tab's store, and each may have come by a link of its own. So a frame keeps
 * its token under its own address, too. The shared one is for an address that it goes on to.
 */
const ownName = (name) => (self === top ? name : `${name} ${location.pathname}`);

function stored(name) {
  try {
    return sessionStorage.getItem(name) ?? memory.get(name) ?? null;
  } catch {
    return memory.get(name) ?? null;
  }
}

const read = (name) => stored(ownName(name)) ?? stored(name);

function write(name, value) {
  for (const each of new Set([ownName(name), name])) {
    memory.delete(each);
    try {
      sessionStorage.setItem(each, value);
    } catch {
      memory.set(each, value);
    }
  }
}

/** The tab's token, or null. One that cannot be sent in a header counts as none. */
export function storedToken() {
  const token = read(TOKEN);
  return SENDABLE.test(token ?? "") ? token : null;
}

/**
 * Keeps a token until the tab is closed.
 *
 * @param {string} token
 * @param {"link" | "typed"} origin How it came here.
 */
export function storeToken(token, origin) {
  write(TOKEN, token);
  write(ORIGIN, origin);
}

/** Whether the token came by a link. */
export const cameByLink = () => storedToken() !== null && read(ORIGIN) === "link";

/** Takes the token from the address. Returns whether there was one. */
function takeToken() {
  const found = IN_ADDRESS.exec(location.hash);
  if (!found) return false;
  history.replaceState(history.state, "", location.pathname + location.search);
  let token = found[1];
  try {
    token = decodeURIComponent(token);
  } catch {
    // It has a % that encodes nothing, and is taken as it stands.
  }
  storeToken(token, "link");
  return true;
}

takeToken();
// A link to the page that is open already, pasted into its address, does not load it again.
addEventListener("hashchange", () => {
  if (takeToken()) location.reload();
});
