// Links to a page for other devices: the dialog with the QR code, and copying.

import { button, fill, h, newId, note, setText } from "./dom.js";
import { openDialog, toast } from "./dialogs.js";
import { icon } from "./icons.js";
import { qrPicture } from "./qr.js";

/** Whether an address means the device itself, so that no other device can open it. */
function isLoopback(hostname) {
  const name = hostname.toLowerCase().replace(/^\[|\]$/g, "");
  return name === "localhost" || name.endsWith(".localhost") || name === "::1" || /^127\./.test(name);
}

/**
 * Copies a text to the clipboard, and shows a message.
 *
 * @param {string} text
 * @param {string | null} [message] null: no message, because the caller shows one.
 * @returns {Promise<boolean>} whether it was copied
 */
export async function copy(text, message = "Copied") {
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
      toast("The browser does not allow copying: select the link and copy it by hand.", { kind: "error" });
      return false;
    }
  }
  if (message) toast(message);
  return true;
}

/**
 * A link as a QR code, as text, and on a phone with the device's own way of sharing.
 *
 * @param {string} link
 * @param {{needsToken?: boolean}} [options] needsToken: whether the service lets nobody in without one.
 * @returns {Array}
 */
export function linkParts(link, { needsToken = false } = {}) {
  const { hostname } = new URL(link);
  const label = newId("link");
  const field = h("input", {
    class: "input",
    id: label,
    readonly: true,
    value: link,
    onfocus: () => field.select(),
  });
  const canShare = typeof navigator.share === "function";
  const said = h("span", { class: "visually-hidden", role: "status" });
  const control = button("Copy", {
    icon: "copy",
    class: "primary",
    onclick: async () => {
      if (!(await copy(link, null))) return;
      setText(said, "Link copied");
      fill(control, icon("check"), h("span", {}, "Copied"));
      setTimeout(() => {
        setText(said, "");
        fill(control, icon("copy"), h("span", {}, "Copy"));
      }, 2500);
    },
  });
  const code = qrPicture(link, "QR code of the link");
  return [
    isLoopback(hostname) &&
      note(
        "warn",
        h(
          "p",
          {},
          h("strong", {}, "Other devices cannot open this link: "),
          `${hostname} is always the device itself.`,
        ),
        h(
          "p",
          {},
          "Start the service with ",
          h("code", {}, needsToken ? "HOST=0.0.0.0 synckairos dev --auth" : "ALLOW_INSECURE=true HOST=0.0.0.0 synckairos dev"),
          " and open this page by this machine’s name or address in the network.",
          !needsToken && " Everyone in that network can then change its sessions.",
        ),
      ),
    h("div", { class: "share-code" }, code ?? note("warn", "No QR code: the link is too long for one.")),
    h(
      "div",
      { class: "field" },
      h("label", { htmlFor: label }, "Link"),
      h("div", { class: "share-link" }, field, control),
      said,
    ),
    canShare &&
      button("Share…", {
        icon: "share",
        onclick: () => navigator.share({ title: document.title, url: link }).catch(() => {}),
      }),
  ];
}

/**
 * Shows a link and its QR code.
 *
 * @param {string} [url] An address of this service; default: the page's own.
 * @param {{title?: string, hint?: string}} [options] hint: what is to be known of the link
 */
export function shareDialog(url = location.href, { title = "Open on another device", hint = "" } = {}) {
  openDialog({ title, body: [linkParts(new URL(url, location.href).href), hint && h("p", { class: "hint" }, hint)] });
}
