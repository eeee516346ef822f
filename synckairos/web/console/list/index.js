// The page at `/`: the list of the tenant's sessions, and the form for a new one. The address says which is
// shown: `#new` shows the presets, `#new/<preset>` the form for one, and `#new/free` the form without one.

import { agendaForm } from "./agenda.js";
import { initialTime } from "./controls.js";
import { createForm } from "./create.js";
import { openRoom } from "./rooms.js";
import { sessionList } from "./list.js";
import { groupPresets, needsLongClocks, presetTexts } from "./presets.js";
import { t } from "../shared/i18n.js";
import { Rights } from "../shared/rights.js";
import { formatClock, formatDuration, unbroken } from "../shared/time.js";
import {
  button,
  connectionIndicator,
  createClient,
  errorText,
  fill,
  h,
  icon,
  languageChoice,
  note,
  schemeSwitch,
  shareDialog,
  tokenCard,
} from "../shared/ui.js";

const client = createClient();
const indicator = connectionIndicator(client);
const list = sessionList(client, indicator.set, findRights);
const main = document.getElementById("main");
const listView = document.getElementById("list-view");
const createLink = listView.querySelector(".headline > .button");
const newView = document.getElementById("new-view");
const newTitle = document.getElementById("new-title");
const newBody = document.getElementById("new-body");
const homeTitle = document.title;

const shareButton = button(t("list.share"), {
  icon: "share",
  square: true,
  class: "quiet",
  onclick: () => shareDialog(`${location.origin}/`),
});
shareButton.hidden = true;
document.querySelector("header.bar").append(
  h("span", { class: "grow" }),
  indicator.element,
  shareButton,
  languageChoice({ square: true }),
  schemeSwitch(),
);
listView.append(list.element);

// The service's first answer may be one about the time. After it the list reports the connection's state.
const unsubscribe = client.time.onChange(() => {
  if (!Number.isFinite(client.time.uncertaintyMs)) return;
  unsubscribe();
  indicator.set("live");
});

// The way into a room, beside the one to a new session.
const ways = h("div", { class: "buttons" }, button(t("room.open"), { onclick: () => openRoom(list.tags) }));
createLink.before(ways);
ways.append(createLink);

let presets = null;

/** The service's presets, which are fetched once. */
async function allPresets() {
  presets ??= await client.presets();
  indicator.set("live");
  return presets;
}

/** The question what the tab's token allows, which is asked once. With another token the page is loaded again. */
let rights = null;

/** Finds out what the tab's token allows, and shows the buttons for that. */
async function findRights() {
  rights ??= Rights.ask(client);
  try {
    const found = await rights;
    createLink.hidden = !found.always("create");
    shareButton.hidden = found.needsToken; // the address alone opens nothing then
  } catch (error) {
    rights = null;
    throw error;
  }
  return rights;
}

/** The same, or null: without a good token the form asks for one in the end. */
async function rightsIfKnown() {
  try {
    return await findRights();
  } catch {
    return null;
  }
}

/** A preset's time is shown in days from here on, and not as the digits of a clock. */
const DAY_MS = 86_400_000;

const NO_LONG_CLOCKS = [t("form.noLongClocks"), " ", t("form.noLongClocksWhy", { setting: "LONG_CLOCKS=true" })];

/** Whether the service would refuse a preset, because it takes no clocks of more than a day. */
const isTooLong = (config, found) => found !== null && !found.longClocks && needsLongClocks(config);

/** href: null for a preset that the service would refuse. */
function presetCard(href, title, text, face, { own = false } = {}) {
  return h(
    "li",
    { class: own ? "preset own" : href === null ? "preset off" : "preset" },
    face,
    h(own ? "h2" : "h3", {}, href === null ? title : h("a", { href }, title)),
    h("p", { class: "muted small" }, text),
  );
}

function presetTile(preset, isOff) {
  const { name, config } = preset;
  const { title, description } = presetTexts(preset);
  const { ms, caption } = initialTime(config, name);
  return presetCard(
    isOff ? null : `#new/${name}`,
    title,
    isOff ? [description, " ", h("strong", {}, t("form.noLongClocks"))] : description,
    h(
      "p",
      { class: "preset-face digits", "aria-hidden": "true" },
      ms !== null && ms >= DAY_MS ? formatDuration(ms) : formatClock(ms, { tenths: false }),
      caption && h("span", {}, unbroken(caption)),
    ),
  );
}

/** In place of the form, where the token allows no new sessions. */
function notAllowed() {
  newTitle.textContent = t("form.new");
  fill(
    newBody,
    note(
      "warn",
      h("p", {}, t("form.notAllowed"), " ", h("a", { href: "#" }, t("form.backToList"))),
    ),
  );
}

async function gallery(known) {
  newTitle.textContent = t("form.new");
  const own = h(
    "ul",
    { role: "list", class: "presets" },
    presetCard(
      "#new/free",
      t("form.own"),
      t("form.ownText"),
      icon("settings"),
      { own: true },
    ),
    presetCard("#new/agenda", t("agendaForm.heading"), t("agendaForm.lead"), icon("calendar"), { own: true }),
  );
  fill(newBody, own, h("p", { class: "muted", role: "status" }, t("form.loading")));
  const groups = groupPresets(await allPresets());
  fill(
    newBody,
    own,
    groups.map(([title, found], place) =>
      h(
        "section",
        { class: "preset-group", "aria-labelledby": `group-${place}` },
        h("h2", { id: `group-${place}` }, title),
        h("ul", { role: "list", class: "presets" }, found.map((each) => presetTile(each, isTooLong(each.config, known)))),
      ),
    ),
  );
}

async function form(name, known) {
  if (name === "agenda") {
    newTitle.textContent = t("agendaForm.heading");
    fill(newBody, h("p", { class: "lead" }, t("agendaForm.lead")), agendaForm(client));
    return;
  }
  const preset = name === "free" ? null : (await allPresets()).find((each) => each.name === name);
  if (preset === undefined) {
    newTitle.textContent = t("form.new");
    fill(
      newBody,
      note(
        "warn",
        h("p", {}, t("form.noPreset"), " ", h("a", { href: "#new" }, t("form.chooseAnother"))),
      ),
    );
    return;
  }
  newTitle.textContent = preset ? presetTexts(preset).title : t("form.own");
  fill(
    newBody,
    preset && h("p", { class: "lead" }, presetTexts(preset).description),
    preset && isTooLong(preset.config, known) && note("warn", h("p", {}, NO_LONG_CLOCKS)),
    createForm(client, preset, { needsToken: known?.needsToken ?? true }),
  );
}

function failure(error) {
  if (error?.code === "UNAUTHENTICATED") {
    return tokenCard(() => location.reload());
  }
  return [
    note("danger", h("p", {}, errorText(error))),
    h("div", { class: "buttons" }, button(t("word.tryAgain"), { onclick: reloadView })),
  ];
}

/** The part of the address that is shown; null before the first one. */
let shownRoute = null;

function reloadView() {
  shownRoute = "outdated";
  route({ focus: false });
}

/** Shows the view that the address names. */
async function route({ focus = true } = {}) {
  const hash = location.hash.slice(1);
  if (hash === "main") return; // the link that skips to the content
  const [view, name = ""] = hash.split("/"); // the names of presets need no encoding
  const isNew = view === "new";
  const wanted = isNew ? `new/${name}` : "";
  if (wanted === shownRoute) return;
  const isFirst = shownRoute === null;
  shownRoute = wanted;
  listView.hidden = isNew;
  newView.hidden = !isNew;
  list.setActive(!isNew);
  if (isNew) {
    try {
      const found = await rightsIfKnown();
      if (found?.always("create") === false) notAllowed();
      else await (name ? form(name, found) : gallery(found));
    } catch (error) {
      if (shownRoute === wanted) fill(newBody, failure(error));
    }
    if (shownRoute !== wanted) return;
  }
  document.title = isNew ? `${newTitle.textContent} – SyncKairos` : homeTitle;
  if (!isFirst && focus) {
    window.scrollTo(0, 0);
    (isNew ? newTitle : main).focus({ preventScroll: true });
  }
}

window.addEventListener("hashchange", () => route());
route();
