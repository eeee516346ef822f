// The page at `/`: the tenant's sessions, and making a new one. Which of them is in sight, the address says:
// `#new` are the presets, `#new/<preset>` is the form for one, `#new/free` the form without one.

import { faceOfConfig } from "./controls.js";
import { createForm } from "./create.js";
import { sessionList } from "./list.js";
import { grouped } from "./presets.js";
import { formatClock } from "../shared/time.js";
import {
  button,
  connectionIndicator,
  createClient,
  errorText,
  fill,
  h,
  icon,
  note,
  pageBar,
  shareDialog,
  tokenForm,
} from "../shared/ui.js";

const client = createClient();
const indicator = connectionIndicator(client);
const list = sessionList(client, indicator.set);
const main = document.getElementById("main");
const listView = document.getElementById("list-view");
const newView = document.getElementById("new-view");
const newTitle = document.getElementById("new-title");
const newBody = document.getElementById("new-body");
const homeTitle = document.title;

pageBar(
  indicator.element,
  button("Share this page", {
    icon: "share",
    square: true,
    class: "quiet",
    onclick: () => shareDialog(`${location.origin}/`),
  }),
);
listView.append(list.element);

// The first answer of all may be about the time; from then on the list says how it is.
const answered = client.time.onChange(() => {
  if (!Number.isFinite(client.time.uncertaintyMs)) return;
  answered();
  indicator.set("live");
});

let presets = null;

/** The presets; asked for once. */
async function allPresets() {
  presets ??= await client.presets();
  indicator.set("live");
  return presets;
}

function tile(href, title, text, face, { own = false } = {}) {
  return h(
    "li",
    { class: own ? "preset own" : "preset" },
    face,
    h(own ? "h2" : "h3", {}, h("a", { href }, title)),
    h("p", { class: "muted small" }, text),
  );
}

function presetTile({ name, title, description, config }) {
  const { ms, caption } = faceOfConfig(config);
  return tile(
    `#new/${name}`,
    title,
    description,
    h(
      "p",
      { class: "preset-face digits", "aria-hidden": "true" },
      ms === null ? "–" : formatClock(ms, { tenths: false }),
      caption && h("span", {}, caption),
    ),
  );
}

async function gallery() {
  newTitle.textContent = "New session";
  const own = h(
    "ul",
    { role: "list", class: "presets" },
    tile(
      "#new/free",
      "Make your own",
      "Any clock, from any rules: you say who takes part, what runs down, and what happens then.",
      icon("settings"),
      { own: true },
    ),
  );
  fill(newBody, own, h("p", { class: "muted", role: "status" }, "Loading presets…"));
  const groups = grouped(await allPresets());
  fill(
    newBody,
    own,
    groups.map(([title, found], place) =>
      h(
        "section",
        { class: "preset-group", "aria-labelledby": `group-${place}` },
        h("h2", { id: `group-${place}` }, title),
        h("ul", { role: "list", class: "presets" }, found.map(presetTile)),
      ),
    ),
  );
}

async function form(name) {
  const preset = name === "free" ? null : (await allPresets()).find((each) => each.name === name);
  if (preset === undefined) {
    newTitle.textContent = "New session";
    fill(
      newBody,
      note(
        "warn",
        h("p", {}, "This service has no such preset. ", h("a", { href: "#new" }, "See those that it has.")),
      ),
    );
    return;
  }
  newTitle.textContent = preset ? preset.title : "Make your own";
  fill(
    newBody,
    preset && h("p", { class: "lead" }, preset.description),
    preset?.use &&
      note(
        "",
        h(
          "p",
          {},
          `Beside this the backend sends ${preset.use.when}: `,
          h("code", {}, `${preset.use.method} ${preset.use.path} ${JSON.stringify(preset.use.body)}`),
        ),
      ),
    createForm(client, preset),
  );
}

function failure(error) {
  if (error?.code === "UNAUTHENTICATED") {
    return h("div", { class: "card token-card" }, h("h2", {}, "The service wants a token"), tokenForm(again));
  }
  return [
    note("danger", h("p", {}, errorText(error))),
    h("div", { class: "buttons" }, button("Try again", { onclick: again })),
  ];
}

let shown = null;

function again() {
  shown = "again";
  route({ focus: false });
}

/** Shows what the address asks for. */
async function route({ focus = true } = {}) {
  const hash = location.hash.slice(1);
  if (hash === "main") return; // the link that skips to the content
  const [place, name = ""] = hash.split("/"); // presets have names that need no encoding
  const isNew = place === "new";
  const wanted = isNew ? `new/${name}` : "";
  if (wanted === shown) return;
  const isFirst = shown === null;
  shown = wanted;
  listView.hidden = isNew;
  newView.hidden = !isNew;
  list.setActive(!isNew);
  if (isNew) {
    try {
      await (name ? form(name) : gallery());
    } catch (error) {
      if (shown === wanted) fill(newBody, failure(error));
    }
    if (shown !== wanted) return;
  }
  document.title = isNew ? `${newTitle.textContent} – SyncKairos` : homeTitle;
  if (!isFirst && focus) {
    window.scrollTo(0, 0);
    (isNew ? newTitle : main).focus({ preventScroll: true });
  }
}

window.addEventListener("hashchange", () => route());
route();
