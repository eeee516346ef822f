// What a page needs only when somebody asks for it, and loads then: so that the clocks come first on a slow line.

import { errorText, toast } from "./dialogs.js";
import { t } from "./i18n.js";

/**
 * What `load` gives; null when it cannot be loaded, which the user is told.
 *
 * @template T
 * @param {() => Promise<T>} load
 * @returns {Promise<T | null>}
 */
export async function loaded(load) {
  try {
    return await load();
  } catch (error) {
    toast(navigator.onLine ? errorText(error) : t("delivery.notHere"), { kind: "error" });
    return null;
  }
}

/** The dialog of `links.js`, with its arguments. */
export async function linksDialog(...given) {
  return (await loaded(() => import("./links.js")))?.linksDialog(...given);
}

/** The dialog of `share.js`, with its arguments. */
export async function shareDialog(...given) {
  return (await loaded(() => import("./share.js")))?.shareDialog(...given);
}
