// What a session's page opens when somebody asks for it. It is loaded then: the clocks come first.

import { linksDialog, loaded, shareDialog } from "../../shared/later.js";

/** @param {import("../session.js").Page} page */
export async function openMenu(page) {
  (await loaded(() => import("./menu.js")))?.openMenu(page);
}

/** @param {import("../session.js").Page} page */
export async function openHelp(page) {
  (await loaded(() => import("./menu.js")))?.openHelp(page);
}

/** @param {import("../session.js").Page} page */
export async function openHistory(page) {
  (await loaded(() => import("../history/history.js")))?.openHistory(page);
}

/** @param {import("../session.js").Page} page */
export async function openSchedule(page) {
  (await loaded(() => import("./schedule.js")))?.openSchedule(page);
}

/** @param {import("../session.js").Page} page */
export async function openAgain(page) {
  (await loaded(() => import("./again_dialog.js")))?.openAgain(page);
}

/**
 * Shares this session: links for people without an account, or the address where nobody needs a token.
 *
 * @param {import("../session.js").Page} page
 */
export function share({ client, rights, state }) {
  const url = new URL(location.href);
  if (rights.mayLink) {
    linksDialog(client, state, { view: url.searchParams.get("view") ?? "" });
    return;
  }
  shareDialog(url.href);
}
