// Links to a page for other devices: the dialog with the QR code, and copying.

import { button, fill, h, newId, note, setText } from "./dom.js";
import { openDialog } from "./dialogs.js";
import { icon } from "./icons.js";
import { qrPicture } from "./qr.js";
import { parts, t } from "./i18n.js";
import { copy } from "./copying.js";
import { loaded } from "./later.js";

export { copy } from "./copying.js";

/** How the service is started for other devices. */
const WITH_TOKENS = "HOST=0.0.0.0 synckairos dev --auth";
const WITHOUT_TOKENS = "ALLOW_INSECURE=true HOST=0.0.0.0 synckairos dev";

/** Whether an address means the device itself, so that no other device can open it. */
export function isLoopback(hostname) {
  const name = hostname.toLowerCase().replace(/^\[|\]$/g, "");
  return name === "localhost" || name.endsWith(".localhost") || name === "::1" || /^127\./.test(name);
}

/**
 * A link as a QR code, as text, and on a phone with the device's own way of sharing.
 *
 * @param {string} link
 * @param {{needsToken?: boolean, mayBeBare?: boolean}} [options] needsToken: whether the service lets nobody in
 *   without one. mayBeBare: whether it may be shown on walls and other sites, because it allows nothing but that
 * @returns {Array}
 */
export function linkParts(link, { needsToken = false, mayBeBare = !needsToken } = {}) {
  const { hostname, pathname, searchParams } = new URL(link);
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
  const control = button(t("word.copy"), {
    icon: "copy",
    class: "primary",
    onclick: async () => {
      if (!(await copy(link, null))) return;
      setText(said, t("share.linkCopied"));
      fill(control, icon("check"), h("span", {}, t("word.copied")));
      setTimeout(() => {
        setText(said, "");
        fill(control, icon("copy"), h("span", {}, t("word.copy")));
      }, 2500);
    },
  });
  const code = qrPicture(link, t("share.qr"));
  return [
    isLoopback(hostname) &&
      note(
        "warn",
        h(
          "p",
          {},
          h("strong", {}, t("share.loopback")),
          " ",
          t("share.loopbackWhy", { name: hostname }),
        ),
        h(
          "p",
          {},
          parts("share.startOpen", {
            command: h("code", {}, needsToken ? WITH_TOKENS : WITHOUT_TOKENS),
          }),
          !needsToken && [" ", t("share.openToAll")],
        ),
      ),
    h("div", { class: "share-code" }, code ?? note("warn", t("share.noQr"))),
    h(
      "div",
      { class: "field" },
      h("label", { htmlFor: label }, t("word.link")),
      h("div", { class: "share-link" }, field, control),
      said,
    ),
    canShare &&
      button(t("share.native"), {
        icon: "share",
        onclick: () => navigator.share({ title: document.title, url: link }).catch(() => {}),
      }),
    mayBeBare && pathname.startsWith("/s/") && !searchParams.has("as") && button(t("elsewhere.way"), { icon: "full", onclick: () => showElsewhere(link) }),
  ];
}

/** Opens the dialog for walls, OBS and other sites, which few pages need. */
async function showElsewhere(link) {
  await (await loaded(() => import("./elsewhere.js")))?.elsewhereDialog(link, { copy });
}

/**
 * Shows a link and its QR code.
 *
 * @param {string} [url] An address of this service; default: the page's own.
 * @param {{title?: string, hint?: string}} [options] hint: what is to be known of the link
 */
export function shareDialog(url = location.href, { title = t("share.page"), hint = "" } = {}) {
  openDialog({ title, body: [linkParts(new URL(url, location.href).href), hint && h("p", { class: "hint" }, hint)] });
}
