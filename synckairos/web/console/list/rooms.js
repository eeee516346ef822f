// The dialog that leads into a room: by its name, or by the tags of the sessions that the list shows.

import { t } from "../shared/i18n.js";
import { roomPath, tagFrom } from "../shared/tags.js";
import { h, newId, openDialog, setText } from "../shared/ui.js";

/** @param {string[]} tags The tags of the sessions of the list. */
export function openRoom(tags) {
  const id = newId("room");
  const problem = h("p", { class: "problem", id: `${id}-problem` });
  const name = h("input", {
    class: "input", id, type: "text", maxlength: "64", autocomplete: "off", spellcheck: "false", autocapitalize: "off",
    "aria-describedby": `${id}-problem`,
  });
  const form = h(
    "form",
    {
      class: "room-form",
      novalidate: true,
      onsubmit: (event) => {
        event.preventDefault();
        const tag = tagFrom(name.value);
        if (tag !== null) {
          location.assign(roomPath(tag));
          return;
        }
        setText(problem, t("room.badNameHint"));
        name.setAttribute("aria-invalid", "true");
        name.focus();
      },
    },
    h("div", { class: "field" }, h("label", { htmlFor: id }, t("room.name")), name, problem),
    h("div", { class: "actions" }, h("button", { class: "button primary" }, t("room.openNow"))),
  );
  openDialog({
    title: t("room.openTitle"),
    body: [
      h("p", {}, t("room.openText")),
      form,
      tags.length > 0 &&
        h("nav", { "aria-label": t("room.seen") },
          h("ul", { role: "list", class: "room-tags" }, tags.map((tag) => h("li", {}, h("a", { class: "button", href: roomPath(tag) }, tag))))),
    ],
  });
  name.focus();
}
