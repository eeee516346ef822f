// Copying to the clipboard, also where the browser's own way is not there.

import { toast } from "./dialogs.js";
import { h } from "./dom.js";
import { t } from "./i18n.js";

/**
 * Copies a text to the clipboard, and shows a message.
 *
 * @param {string} text
 * @param {string | null} [message] null: no message, because the caller shows one.
 * @returns {Promise<boolean>} whether it was copied
 */
export async function copy(text, message = t("word.copied")) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // The clipboard API works on secure origins only. Over plain HTTP execCommand still does.
    const area = h("textarea", { class: "visually-hidden", value: text });
    ([...document.querySelectorAll("dialog:modal")].pop() ?? document.body).append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    if (!done) {
      toast(t("share.noCopying"), { kind: "error" });
      return false;
    }
  }
  if (message) toast(message);
  return true;
}
