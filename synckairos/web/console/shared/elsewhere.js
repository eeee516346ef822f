// The dialog that writes the address of a session's bare page, for a wall, OBS or another web site.

import { adopt } from "/synckairos.js";
import { BareClocks, FONTS, bareOptions } from "./bare.js";
import { openDialog } from "./dialogs.js";
import { button, fill, h, newId, note } from "./dom.js";
import { ownersOf } from "./glance.js";
import { t } from "./i18n.js";
import { nameGiven, playerName, teamName } from "./names.js";
import { createClient } from "./signin.js";

const FRAME_MS = 100;

/** The address of the bare page of a session, as the given page's address leads to it, with the same token. */
export function bareAddress(link, { show, owner, bg, fg, font, names }) {
  const url = new URL(link);
  const query = ["bare"];
  const add = (name, value) => value && query.push(`${name}=${encodeURIComponent(value)}`);
  add("bg", bg);
  add("fg", fg);
  add("font", font === "sans" ? "" : font);
  add("show", owner ? "" : show === "all" ? "" : show);
  add("owner", owner);
  if (names) query.push("names");
  return `${url.origin}${url.pathname}?${query.join("&")}${url.hash}`;
}

/**
 * @param {string} link The address of a session's page, maybe with a link's token behind the #.
 * @param {{copy: (text: string) => Promise<boolean>}} tools
 */
export async function elsewhereDialog(link, { copy }) {
  const client = createClient();
  const id = new URL(link).pathname.split("/").pop();
  let state = null;
  try {
    state = adopt(await client.handle(id).get());
  } catch {
    // Without it the preview is empty. The address is right all the same.
  }
  const ids = Object.fromEntries(["show", "ground", "digits", "font", "address", "code"].map((name) => [name, newId(name)]));
  const owners = state ? ownersOf(state).filter((each) => each !== null) : [];
  const nameOf = (owner) => nameGiven(state, owner)
    ?? (state.sync_mode === "per_group" ? teamName : playerName)(owners.indexOf(owner));
  const select = (name, options) =>
    h("select", { class: "select", id: ids[name], onchange: () => show() }, options.map(([value, label]) => h("option", { value }, label)));
  const which = select("show", [
    ["all", t("elsewhere.all")],
    ...(owners.length > 1 ? [["active", t("elsewhere.active")], ...owners.map((each) => [each, nameOf(each)])] : []),
  ]);
  const ground = select("ground", [["transparent", t("elsewhere.transparent")], ["colour", t("elsewhere.colour")], ["", t("elsewhere.theme")]]);
  const digits = select("digits", [["colour", t("elsewhere.colour")], ["", t("elsewhere.theme")]]);
  const font = select("font", Object.keys(FONTS).map((name) => [name, t(`elsewhere.font.${name}`)]));
  const colour = (value, label) => h("input", { type: "color", value, "aria-label": label, class: "elsewhere-colour", oninput: () => show() });
  const bg = colour("#000000", t("elsewhere.groundColour"));
  const fg = colour("#ffffff", t("elsewhere.digitsColour"));
  const names = h("input", { type: "checkbox", onchange: () => show() });
  const preview = h("div", { class: "elsewhere-preview", role: "img", "aria-label": t("elsewhere.preview") });
  const address = h("input", { class: "input", id: ids.address, readonly: true, onfocus: () => address.select() });
  const code = h("textarea", { class: "textarea mono", id: ids.code, readonly: true, rows: "3", onfocus: () => code.select() });
  const field = (name, label, ...controls) =>
    h("div", { class: "field" }, h("label", { htmlFor: ids[name] }, label), h("div", { class: "elsewhere-pair" }, controls));
  const copying = (control) => button(t("word.copy"), { icon: "copy", onclick: () => copy(control.value) });
  /** @type {BareClocks | null} */
  let clocks = null;

  function show() {
    const owner = owners.includes(which.value) ? which.value : "";
    bg.hidden = ground.value !== "colour";
    fg.hidden = digits.value !== "colour";
    const href = bareAddress(link, {
      show: owner ? "one" : which.value,
      owner,
      bg: ground.value === "colour" ? bg.value.slice(1) : ground.value,
      fg: digits.value === "colour" ? fg.value.slice(1) : "",
      font: font.value,
      names: names.checked,
    });
    address.value = href;
    code.value = `<iframe src="${href.replaceAll("&", "&amp;")}" width="640" height="180" style="border: 0"></iframe>`;
    const options = bareOptions(new URL(href).searchParams);
    clocks?.close();
    clocks = new BareClocks(options);
    preview.classList.toggle("clear", options.bg === "transparent");
    preview.style.background = options.bg === null || options.bg === "transparent" ? "" : options.bg;
    preview.style.color = options.fg ?? "";
    fill(preview, clocks.element);
    draw();
  }

  function draw() {
    if (state) clocks.show(state, client.time.now() ?? state.server_time_ms);
  }

  const opened = openDialog({
    title: t("elsewhere.title"),
    class: "elsewhere",
    body: [
      preview,
      h("div", { class: "elsewhere-choices" },
        field("show", t("elsewhere.show"), which),
        field("font", t("elsewhere.font"), font),
        field("ground", t("elsewhere.ground"), ground, bg),
        field("digits", t("elsewhere.digits"), digits, fg)),
      h("label", { class: "check" }, names, h("span", {}, t("elsewhere.names"))),
      field("address", t("elsewhere.address"), address, copying(address)),
      field("code", t("elsewhere.code"), code, copying(code)),
      h("p", { class: "hint" }, t("elsewhere.framing", { setting: "FRAME_ANCESTORS" })),
      new URL(link).hash !== "" && note("warn", h("p", {}, t("elsewhere.secret"))),
    ],
  });
  show();
  const timer = setInterval(draw, FRAME_MS);
  opened.closed.then(() => {
    clearInterval(timer);
    clocks.close();
    client.close();
  });
}
