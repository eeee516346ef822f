// Makes many sessions from pasted pairings. Nothing is made until every line can be read. Then they are made in
// their order, a few at a time, each under a key of its own: what was lost on the way is tried again, and makes
// no session twice.

import { readControl, explainControl } from "../list/controls.js";
import { defaultNames, groupPresets, needsLongClocks, presetTexts } from "../list/presets.js";
import { faultsText } from "../shared/faults.js";
import { list, t } from "../shared/i18n.js";
import { askForToken, button, errorText, fill, h, newId, note, setText } from "../shared/ui.js";
import { forEach, newKey, reasonOf } from "./bulk.js";
import { keep } from "./known.js";
import { readPairings } from "./pairings.js";

/** The choice of a time control of one's own, in place of a preset. */
const OWN = "";
/** So many sessions are made at once. They come in their order all the same: the list is newest first. */
const AT_ONCE = 3;
const MAX_SHOWN = 12;
const MAX_FILE = 512 * 1024;
const EXAMPLE = "1. Anna - Ben\n2. Cleo - Dan\n3. Eva - Finn";

/** @param {import("./room.js").Room} room */
export function makeView(room) {
  const ids = { text: newId("pairings"), clock: newId("clock"), control: newId("control"), file: newId("file") };
  const text = h("textarea", {
    class: "textarea mono pairings", id: ids.text, rows: "10", spellcheck: "false", autocomplete: "off",
    placeholder: EXAMPLE, "aria-describedby": `${ids.text}-hint`, oninput: () => read(),
  });
  const file = h("input", {
    type: "file", id: ids.file, accept: ".csv,.tsv,.txt,text/csv,text/plain", class: "visually-hidden",
    onchange: () => open(),
  });
  const clock = h("select", { class: "select", id: ids.clock, onchange: () => read() });
  const control = h("input", {
    class: "input mono", id: ids.control, type: "text", value: "90+30", autocomplete: "off", spellcheck: "false",
    "aria-describedby": `${ids.control}-hint`, oninput: () => read(),
  });
  const meaning = h("p", { class: "hint", id: `${ids.control}-hint` });
  const own = h("div", { class: "field" }, h("label", { htmlFor: ids.control }, t("make.control")), control, meaning);
  const preview = h("div", { class: "make-preview", role: "status" });
  const account = h("div", { class: "make-account" });
  const submit = h("button", { class: "button primary large" }, t("make.none"));
  const form = h(
    "form",
    {
      class: "make",
      novalidate: true,
      onsubmit: (event) => {
        event.preventDefault();
        make();
      },
    },
    h("div", { class: "make-fields" },
      h("div", { class: "field" },
        h("label", { htmlFor: ids.text }, t("make.pairings")),
        text,
        h("p", { class: "hint", id: `${ids.text}-hint` }, t("make.hint")),
        h("div", { class: "buttons" }, h("label", { class: "button file", htmlFor: ids.file }, t("make.file")), file)),
      h("div", { class: "field" }, h("label", { htmlFor: ids.clock }, t("make.clock")), clock),
      own),
    h("div", { class: "make-side" }, preview, account,
      h("div", { class: "buttons" }, submit, h("a", { class: "button quiet large", href: "#" }, t("room.back")))),
  );

  /** @type {object[] | null} The service's presets that have what a board needs. */
  let presets = null;
  /** What the text says. */
  let found = { pairings: [], problems: [], byes: [] };
  /** What is being made, or was begun and not finished: the configs with their keys. */
  let batch = null;
  let stopped = false;
  let closed = false;
  loadPresets();

  async function loadPresets() {
    let all = [];
    try {
      all = await room.client.presets();
    } catch (error) {
      fill(account, note("warn", h("p", {}, t("make.noPresets", { reason: errorText(error) }))));
    }
    presets = all.filter((each) => each.config.sync_mode !== "per_group" && usual(each).length <= 2 && (room.rights.longClocks || !needsLongClocks(each.config)));
    fill(
      clock,
      groupPresets(presets).map(([title, group]) =>
        h("optgroup", { label: title }, group.map((each) => h("option", { value: each.name, selected: each.name === "blitz" }, presetTexts(each).title)))),
      h("option", { value: OWN, selected: presets.length === 0 }, t("make.own")),
    );
    read();
  }

  async function open() {
    const [chosen] = file.files;
    if (!chosen) return;
    if (chosen.size > MAX_FILE) {
      fill(account, note("danger", h("p", {}, t("make.tooLarge"))));
      return;
    }
    text.value = await chosen.text();
    file.value = "";
    read();
  }

  const preset = () => presets?.find((each) => each.name === clock.value) ?? null;
  /** The names that a preset begins with: two players, or one for a room with one clock for all. */
  const usual = (each) => (each ? defaultNames(each.name, each.config.sync_mode) : [t("make.first"), t("make.second")]);
  /** What the boards get that name no time of their own. */
  const chosenClock = () => (preset() ? presetTexts(preset()).title : control.value.trim());
  const areTwo = () => usual(preset()).length === 2;

  /** Reads the text, and shows what would be made of it. */
  function read() {
    if (batch !== null) return; // what was begun is finished first
    own.hidden = clock.value !== OWN;
    const read = clock.value === OWN ? readControl(control.value.trim()) : null;
    setText(meaning, read ? explainControl(read.control, { bank_ms: read.bank_ms }) : t("make.controlUnreadable"));
    const from = 1 + Math.max(0, ...(room.boards ?? []).map((board) => board.number ?? 0));
    found = readPairings(text.value, { names: areTwo() ? 2 : 1, from });
    const times = found.pairings
      .filter(({ time }) => time !== "" && readControl(time) === null)
      .map(({ line, time }) => ({ line, what: "time", values: { text: time } }));
    if (times.length > 0) found = { pairings: [], problems: times, byes: [] };
    showPreview(clock.value === OWN && !read);
  }

  function showPreview(isUnreadable) {
    const { pairings, problems, byes } = found;
    submit.disabled = pairings.length === 0 || isUnreadable;
    setText(submit, pairings.length === 0 ? t("make.none") : t("make.submit", { count: pairings.length }));
    if (problems.length > 0) {
      text.setAttribute("aria-invalid", "true");
      fill(preview, note("danger",
        h("p", {}, h("strong", {}, t("make.problems", { count: problems.length }))),
        h("ul", { class: "account-list" }, problems.slice(0, MAX_SHOWN).map(({ line, what, values }) =>
          h("li", {}, t("pairing.line", { line, problem: t(`pairing.${what}`, values) })))),
        problems.length > MAX_SHOWN && h("p", {}, t("make.moreProblems", { count: problems.length - MAX_SHOWN }))));
      return;
    }
    text.removeAttribute("aria-invalid");
    const without = byes.length > 0 && note("", h("p", {}, t("make.byes", { count: byes.length, names: list(byes) })));
    if (pairings.length === 0) {
      fill(preview, without || h("p", { class: "muted" }, t("make.nothing")));
      return;
    }
    const hasTimes = pairings.some(({ time }) => time !== "");
    const sides = areTwo() ? usual(preset()) : [t("make.name")];
    fill(
      preview,
      h("h2", {}, t("make.preview", { count: pairings.length })),
      h("div", { class: "make-table", tabindex: "0", role: "region", "aria-label": t("make.preview", { count: pairings.length }) },
        h("table", {},
          h("thead", {}, h("tr", {}, [t("make.board"), ...sides, ...(hasTimes ? [t("make.time")] : [])].map((each) => h("th", { scope: "col" }, each)))),
          h("tbody", {}, pairings.map(({ board, names, time }) =>
            h("tr", {}, h("th", { scope: "row", class: "digits" }, board), names.map((each) => h("td", {}, each)), hasTimes && h("td", { class: time === "" ? "usual" : "" }, time || chosenClock())))))),
      without,
    );
  }

  /** The config of a board. */
  function configOf({ board, names, time }) {
    const two = areTwo();
    const who = two ? names : usual(preset());
    const people = who.map(() => ({ participant_id: newUuid() }));
    const base = preset() ? { preset: preset().name } : { sync_mode: "per_participant", time_control: control.value.trim(), warnings_ms: [10_000] };
    const metadata = {
      ...(two ? {} : { title: names[0] }),
      names: Object.fromEntries(people.map((each, place) => [each.participant_id, who[place]])),
      tags: [room.tag],
      board,
      ...(preset() ? { preset: preset().name } : {}),
    };
    return { ...base, ...(time ? { time_control: time } : {}), participants: people, metadata };
  }

  async function make() {
    if (submit.getAttribute("aria-busy") === "true") return;
    if (batch === null) {
      if (found.pairings.length === 0) return;
      const key = newKey();
      batch = found.pairings.map((pairing, place) => ({ pairing, config: configOf(pairing), key: `${key}-${place}`, id: null, state: null }));
    }
    stopped = false;
    lock(true);
    const left = batch.filter((each) => each.id === null);
    const begun = batch.length - left.length;
    const progress = h("progress", { max: String(batch.length), "aria-label": t("make.progress") });
    const words = h("p", {});
    const tell = (done) => {
      progress.value = begun + done;
      setText(words, t("make.making", { done: begun + done, count: batch.length }));
    };
    tell(0);
    fill(account, h("div", { class: "note" }, h("div", { class: "stack" }, words, progress,
      h("div", {}, button(t("make.stop"), { onclick: () => { stopped = true; } })))));
    const results = await forEach(left, (each) => one(each, words), {
      atOnce: AT_ONCE,
      onDone: tell,
      stop: () => stopped || closed,
    });
    const failed = results.filter(({ error }) => error !== null);
    const made = batch.filter((each) => each.id !== null);
    room.addMade(left.filter((each) => each.id !== null).map(({ state }) => state));
    room.feed.now();
    lock(false);
    if (made.length === batch.length) {
      const count = batch.length;
      batch = null;
      text.value = "";
      read();
      fill(account, note("", h("p", {}, h("strong", {}, t("make.done", { count }))), h("div", { class: "buttons" },
        h("a", { class: "button primary", href: "#" }, t("make.toRoom")),
        room.rights.mayShare && h("a", { class: "button", href: "#links" }, t("sheet.way")))));
      account.querySelector("a").focus();
      return;
    }
    setText(submit, t("make.goOn", { count: batch.length - made.length }));
    submit.disabled = false;
    fill(account, note("warn",
      h("p", {}, h("strong", {}, t("make.partly", { count: made.length, all: batch.length }))),
      failed.length > 0 && h("ul", { class: "account-list" }, failed.map(({ item, error }) =>
        h("li", {}, t("make.failed", { board: item.pairing.board, reason: reasonOfCreation(error) })))),
      h("p", {}, t("make.goOnHint")),
      h("div", { class: "buttons" }, button(t("make.giveUp"), { onclick: giveUp }))));
    if (failed.some(({ error }) => error.code === "UNAUTHENTICATED")) askForToken({ reload: false });
  }

  /** Makes one session. A service that takes no more for now is asked again when it says. */
  async function one(each, words) {
    for (;;) {
      try {
        const state = await room.client.request("POST", "/v1/sessions", each.config, { idempotencyKey: each.key });
        each.id = state.session_id;
        each.state = state;
        keep(room.tag, each.id);
        return;
      } catch (error) {
        if (error.code !== "RATE_LIMIT_EXCEEDED" || stopped || closed) throw error;
        const wait = Math.max(1000, error.retryAfterMs ?? 0);
        setText(words, t("make.waiting", { count: Math.ceil(wait / 1000) }));
        await new Promise((resolve) => { setTimeout(resolve, wait); });
      }
    }
  }

  const reasonOfCreation = (error) =>
    error.code === "VALIDATION_ERROR" && error.details?.length ? faultsText(error.details) : reasonOf(error);

  /** Leaves what was not made, so that the text can be changed. */
  function giveUp() {
    const made = new Set(batch.filter((each) => each.id !== null).map((each) => each.pairing.line));
    text.value = text.value.split(/\r\n|\r|\n/).filter((_, place) => !made.has(place + 1)).join("\n");
    batch = null;
    fill(account);
    read();
    text.focus();
  }

  function lock(is) {
    for (const each of [text, clock, control, file]) each.disabled = is || batch !== null;
    if (is) submit.setAttribute("aria-busy", "true");
    else submit.removeAttribute("aria-busy");
  }

  const ask = (event) => {
    if (submit.getAttribute("aria-busy") === "true") event.preventDefault();
  };
  window.addEventListener("beforeunload", ask);

  return {
    element: form,
    /** Whether something was begun that this view has to finish. */
    get busy() {
      return batch !== null;
    },
    close() {
      closed = true;
      window.removeEventListener("beforeunload", ask);
    },
  };
}

/** A random UUID (version 4). crypto.randomUUID exists on secure origins only, and plain HTTP is none. */
function newUuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (each) => each.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
