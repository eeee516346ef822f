// Back closes an open dialog before it leaves the page. Each open dialog has an entry of its own in the
// browser's history, which is gone again when the dialog is closed in another way.

/** How long (ms) the browser may take to go to another entry, which is a matter of milliseconds. */
const PATIENCE_MS = 1000;

/** The dialogs that were opened, the last one on top. @type {{element: HTMLDialogElement, close: () => void}[]} */
let dialogs = [];
/** @type {Promise<void> | null} */
let settling = null;
/** Called when the browser has come to another entry that this module wanted. @type {(() => void) | null} */
let arrived = null;

/** How many dialogs the current entry of the history stands for. */
function depth() {
  const found = history.state?.dialogs;
  return Number.isInteger(found) && found > 0 ? found : 0;
}

function openDialogs() {
  dialogs = dialogs.filter(({ element }) => element.open && element.isConnected);
  return dialogs;
}

/**
 * Lets Back close a dialog.
 *
 * @param {HTMLDialogElement} element An open one.
 * @param {() => void} close
 */
export function closedByBack(element, close) {
  openDialogs().push({ element, close });
  settle();
}

/**
 * Brings the history in line with the dialogs that are open. A dialog that was closed to open another one leaves
 * its entry to that one.
 *
 * @returns {Promise<void>} Resolves when it is in line. Never rejects.
 */
export function settle() {
  settling ??= adjust().finally(() => {
    settling = null;
  });
  return settling;
}

async function adjust() {
  await null; // what is closed and opened in one step counts as one
  for (let missing = openDialogs().length - depth(); missing !== 0; missing = openDialogs().length - depth()) {
    if (missing < 0) {
      if (!(await go(missing))) return;
    } else {
      try {
        history.pushState({ ...history.state, dialogs: depth() + 1 }, "");
      } catch {
        return; // browsers allow so many entries in a while; then Back leaves the page
      }
    }
  }
}

/** Goes back so many entries, and takes along what was written into the address. Whether the browser did. */
async function go(steps) {
  const { href } = location;
  const went = await new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), PATIENCE_MS);
    arrived = () => {
      clearTimeout(timer);
      resolve(true);
    };
    history.go(steps);
  });
  arrived = null;
  if (went && location.href !== href) history.replaceState(history.state, "", href);
  return went;
}

/**
 * Leaves the page for another one. Back comes to this page then, without its dialogs.
 *
 * @param {string} address
 */
export async function leaveFor(address) {
  for (const each of [...openDialogs()].reverse()) each.close();
  await settle();
  location.assign(address);
}

if (globalThis.document) {
  addEventListener("popstate", () => {
    if (arrived) {
      arrived();
      return;
    }
    // The user went back: the dialogs on top are closed. Or forward, to a dialog that is closed: back again.
    for (const each of openDialogs().slice(depth()).reverse()) each.close();
    settle();
  });
  // The page was loaded again, or left, while a dialog was open.
  addEventListener("pageshow", () => settle());
  // These scripts wait for the texts, so the page may have been shown before them.
  if (document.readyState === "complete") settle();
}
