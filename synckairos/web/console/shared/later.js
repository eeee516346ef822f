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

/**
 * Adds a stylesheet to the page, unless it is there.
 *
 * @param {string} href
 * @returns {Promise<void>} settled when it holds; it rejects when it cannot be loaded
 */
export function stylesheet(href) {
  if (document.querySelector(`link[href="${href}"]`)) return Promise.resolve();
  const link = document.createElement("link");
  return new Promise((resolve, reject) => {
    link.onload = () => resolve();
    link.onerror = () => {
      link.remove(); // so that the next attempt loads it again
      reject(new Error(t("delivery.notHere")));
    };
    link.rel = "stylesheet";
    link.href = href;
    document.head.append(link);
  });
}

/** The dialog of `links.js`, with its arguments. */
export async function linksDialog(...given) {
  return (await loaded(() => import("./links.js")))?.linksDialog(...given);
}

/** The dialog of `share.js`, with its arguments. */
export async function shareDialog(...given) {
  return (await loaded(() => import("./share.js")))?.shareDialog(...given);
}
