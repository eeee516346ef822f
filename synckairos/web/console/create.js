// The form that creates a session: from a preset, or freely. It writes a config and the service judges it; what it
// refuses is shown at the field that it is about.

import { EXAMPLES, explainControl, readControl } from "./controls.js";
import { Unreadable, checkField, clear, durationField, durationsField, focusWrong, place, readDuration, segments, selectField,
  textField } from "./fields.js";
import { MODES, VIEWS } from "./names.js";
import { defaultNames } from "./presets.js";
import { remember } from "./recent.js";
import { formatDuration } from "./time.js";
import { askForToken, button, copy, errorText, fill, h, newUuid, note, setText, toast } from "./ui.js";

const MOST_PARTICIPANTS = 1000;
const OWNERS = new Set(["per_participant", "per_group"]);

/** What each mode is for, below its name. */
const MODE_HINTS = {
  per_participant: "Everybody has a bank of time that runs down in their turns: chess, Go, Scrabble.",
  per_group: "Teams share a clock, and their members take turns.",
  per_cycle: "Every turn has the same time, and nothing is carried over: a quiz, a poker hand, a speech.",
  global: "One clock runs for everybody together: an exam, an auction, a meeting.",
  count_up: "A stopwatch with laps: a speedrun, or how long things take.",
};

/** What a session is called where nobody says, and no two named ones play. */
const TITLES = { per_participant: "Game", per_group: "Team game", per_cycle: "Turns", global: "Countdown", count_up: "Stopwatch" };

const MEMBERS = ["preset", "sync_mode", "participants", "groups", "active_participant_id", "total_time_ms", "time_per_cycle_ms",
  "increment_ms", "max_time_ms", "time_control", "lag_compensation", "auto_advance", "action_on_timeout", "warnings_ms",
  "max_pause_ms", "players_may_pause", "metadata"];

/**
 * The form.
 *
 * @param {import("/synckairos.js").SyncKairos} client
 * @param {object | null} preset As the service lists it; null: freely.
 * @returns {HTMLElement}
 */
export function createForm(client, preset) {
  const given = preset ? preset.config : { sync_mode: "per_participant", warnings_ms: [10_000] };
  let mode = given.sync_mode;

  // What is judged as a whole, above the button.
  const summary = h("div", { class: "form-problems", role: "alert", tabindex: "-1" });

  const title = textField({ label: "Title (optional)", paths: ["metadata"],
    attributes: { maxlength: "80", autocapitalize: "sentences" } });
  const cast = castPart(() => ({ mode, different: time.different }), defaultNames(preset?.name ?? null, mode));
  const time = timePart(given, { changed: () => { cast.show(); show(); } });
  const more = morePart(given, cast);

  const modes = h("fieldset", { class: "modes" },
    h("legend", {}, "Which clock runs"),
    h("div", { class: "mode-list" }, Object.keys(MODES).map((each) => h("label", { class: "mode" },
      h("input", { type: "radio", name: "mode", value: each, checked: each === mode, onchange: () => {
        mode = each;
        cast.setDefaults(defaultNames(preset?.name ?? null, mode));
        show();
      } }),
      h("span", { class: "mode-text" }, h("strong", {}, MODES[each]), h("span", { class: "hint" }, MODE_HINTS[each]))))));

  const request = h("pre", { class: "request", tabindex: "0", "aria-label": "Request" });
  const asRequest = folded("The same by HTTP", "For a backend, or a shell", request,
    h("div", { class: "buttons" }, button("Copy", { icon: "copy", onclick: () => copy(request.textContent) })));
  const submit = h("button", { class: "button primary large" }, "Create session");

  const form = h("form", { class: "create", novalidate: true, autocomplete: "off", onsubmit: (event) => { event.preventDefault(); send(); } },
    preset ? null : modes,
    section("Who takes part", title.element, cast.element),
    preset ? folded("Time", time.brief, time.element) : section("Time", time.element),
    folded("More settings", "Timeouts, warnings, pauses, how it is shown", more.element),
    asRequest,
    summary,
    h("div", { class: "submit" }, submit, h("a", { class: "button quiet large", href: "#new" }, "Back")));

  // The request is written anew with everything that is typed, once it is in sight.
  const refresh = () => { if (asRequest.open) showRequest(); };
  form.addEventListener("input", refresh);
  form.addEventListener("change", refresh);
  form.addEventListener("click", () => queueMicrotask(refresh));
  asRequest.addEventListener("toggle", refresh);

  const untitled = () => preset?.title ?? TITLES[mode];

  function show() {
    title.control.placeholder = untitled();
    time.show(mode);
    cast.show();
    more.show(mode);
    refresh();
  }

  /** The config, without members that are absent. Throws Unreadable. */
  function config() {
    const own = { ...given, sync_mode: mode };
    const set = (name, value) => {
      if (value === null || value === undefined) delete own[name];
      else own[name] = value;
    };
    const { names, rivals, ...people } = cast.read(time.read(mode, set));
    more.read(mode, set);
    for (const [name, value] of Object.entries(people)) set(name, value);
    set("active_participant_id", more.first);
    const metadata = {};
    const called = title.text || (rivals ? "" : untitled());
    if (called) metadata.title = called;
    if (more.view) metadata.view = more.view;
    if (Object.keys(names).length > 0) metadata.names = names;
    set("metadata", Object.keys(metadata).length > 0 ? metadata : null);
    return brief(own);
  }

  /** The same, with the preset's name in place of what the preset says anyhow. */
  function brief(own) {
    const members = Object.keys(preset?.config ?? {});
    const whole = preset === null || members.some((name) => !(name in own));
    const left = Object.entries(own).filter(([name, value]) => whole || !members.includes(name) || !same(value, given[name]));
    const found = new Map(whole ? left : [["preset", preset.name], ...left]);
    return Object.fromEntries(MEMBERS.filter((name) => found.has(name)).map((name) => [name, found.get(name)]));
  }

  function showRequest() {
    let text;
    try {
      text = `curl --json '${JSON.stringify(config(), null, 2).replaceAll("'", "'\\''")}' ${location.origin}/v1/sessions`;
    } catch (error) {
      if (!(error instanceof Unreadable)) throw error;
      text = `${error.field.element.querySelector("label").textContent}: ${error.message}`;
    }
    setText(request, text);
  }

  const fields = () => [title, ...time.fields, ...more.fields, ...cast.fields()];

  function refused(details) {
    const left = place(fields(), details.length > 0 ? details : []);
    const there = focusWrong(form);
    fill(summary, left.length > 0 && note("danger",
      h("p", {}, h("strong", {}, "The service did not accept this:")),
      h("ul", {}, left.map((each) => h("li", {}, each.field && h("code", {}, each.field), " ", each.message)))));
    if (!there) summary.focus();
  }

  async function send() {
    if (submit.getAttribute("aria-busy") === "true") return;
    clear(fields());
    fill(summary);
    let wanted;
    try {
      wanted = config();
    } catch (error) {
      if (!(error instanceof Unreadable)) throw error;
      error.field.fail(error.message);
      focusWrong(form);
      return;
    }
    submit.setAttribute("aria-busy", "true");
    setText(submit, "Creating…");
    try {
      const state = await client.create(wanted);
      remember(state.session_id, wanted.metadata?.title ?? "");
      location.assign(`/s/${state.session_id}`);
      return; // the button stays as it is until the other page is there
    } catch (error) {
      if (error?.code === "VALIDATION_ERROR") {
        refused(error.details?.length ? error.details : [{ field: "", message: error.message }]);
      } else if (error?.code === "UNAUTHENTICATED") {
        if (await askForToken({ reload: false })) toast("Press “Create session” again.");
      } else {
        fill(summary, note("danger", h("p", {}, errorText(error))));
        summary.focus();
      }
    }
    submit.removeAttribute("aria-busy");
    setText(submit, "Create session");
  }

  show();
  return form;
}

function folded(heading, hint, ...children) {
  return h("details", { class: "more" },
    h("summary", {}, h("span", {}, heading), h("span", { class: "hint" }, hint)),
    h("div", { class: "stack" }, ...children));
}

const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);

function section(heading, ...children) {
  const id = `part-${heading.toLowerCase().replaceAll(" ", "-")}`;
  return h("section", { class: "part", "aria-labelledby": id }, h("h2", { id }, heading), ...children);
}

// Time

function timePart(given, { changed }) {
  const control = given.time_control;
  const isText = typeof control === "string";
  const notation = isText ? control : control?.notation ?? null;
  // A control that has no text is taken along as it is.
  const fixed = control && notation === null ? control : null;
  let how = notation === null ? "plain" : "text";
  let mode = given.sync_mode;

  const meaning = h("p", { class: "meaning" });
  const brief = h("span", {});
  const bank = durationField({ label: "Time for each", ms: 5 * 60_000, unit: "min", hint: "5:00, 90 s, 1 h 30 min",
    paths: ["total_time_ms", "participants.*.total_time_ms", "groups.*.total_time_ms"], oninput: explain });
  const increment = durationField({ label: "Added after every move", ms: given.increment_ms ?? 3000, unit: "s", hint: "0 s for none",
    paths: ["increment_ms"], oninput: explain });
  const text = textField({ label: "Time control", value: notation ?? "5+3", paths: ["time_control"], oninput: explain,
    class: "notation", attributes: { class: "input mono", inputmode: "text" }, hint: "As players write it: minutes, then seconds." });
  const examples = h("div", { class: "examples", role: "group", "aria-label": "Examples" }, EXAMPLES.map(([example, name]) =>
    h("button", { type: "button", class: "example", "aria-label": `${example}: ${name}`, onclick: () => {
      text.control.value = example;
      text.fail("");
      text.control.dispatchEvent(new InputEvent("input", { bubbles: true }));
    } }, h("span", { class: "mono" }, example), h("span", { class: "hint" }, name))));
  const choice = segments({ label: "How to say it", hideLabel: true, value: how,
    options: [["plain", "Time and increment"], ["text", "As players write it"]],
    onchange: (value) => { how = value; show(mode); changed(); } });
  const cap = durationField({ label: "Increments lift it up to", ms: given.max_time_ms ?? null, unit: "min", placeholder: "no limit",
    paths: ["max_time_ms"] });
  const overtime = durationField({ label: "Overtime", ms: control?.overtime_ms ?? null, unit: "min", placeholder: "none",
    hint: "How far a clock may go below zero.", paths: ["time_control.overtime_ms"], oninput: explain });
  const different = checkField({ label: "Different times for some", hint: "Each line above gets a field for its own time.",
    onchange: changed });
  const turn = durationField({ label: "Time for each turn", ms: given.time_per_cycle_ms ?? null, unit: "s",
    paths: ["time_per_cycle_ms"], oninput: () => { turnTyped = true; explain(); } });
  let turnTyped = Boolean(given.time_per_cycle_ms);
  const total = durationField({ label: "Time for everybody together", ms: given.sync_mode === "global" ? given.total_time_ms ?? null : 60 * 60_000,
    unit: "min", paths: ["total_time_ms"], oninput: explain });
  const advance = checkField({ label: "The next turn begins by itself", hint: "When a turn’s time is up.",
    checked: given.auto_advance ?? false, paths: ["auto_advance"] });
  const end = durationField({ label: "Ends at", ms: given.sync_mode === "count_up" ? given.max_time_ms ?? null : null, unit: "min",
    placeholder: "never", paths: ["max_time_ms"], oninput: explain });

  const plain = h("div", { class: "row" }, bank.element, increment.element);
  const written = h("div", { class: "stack" }, text.element, examples);
  const owned = h("div", { class: "stack" },
    fixed ? null : choice.element, fixed ? null : plain, fixed ? null : written, meaning,
    h("div", { class: "row" }, cap.element, overtime.element), different.element);
  const shared = h("div", { class: "stack" }, h("div", { class: "row" }, total.element, turn.element, end.element), advance.element);

  function explain() {
    const each = mode === "per_group" ? "for each team" : "each";
    let words = "";
    try {
      if (fixed) words = explainControl(fixed, { each });
      else if (how === "plain") {
        const bank_ms = bank.ms;
        if (bank_ms !== null) words = explainControl({ kind: "fischer", increment_ms: increment.ms ?? 0, ...over() }, { bank_ms, each });
      } else {
        const read = readControl(text.text);
        if (read) words = explainControl({ ...read.control, ...over() }, { bank_ms: read.bank_ms, each });
        else if (text.text) words = "The service will say whether it can read this.";
      }
    } catch (error) {
      if (!(error instanceof Unreadable)) throw error;
    }
    setText(meaning, words);
    setText(brief, OWNERS.has(mode) ? words : sharedWords());
  }
  /** What the clock that the session or the cycle owns has, as the time's heading says it. */
  function sharedWords() {
    return [turn.text && mode !== "count_up" && `${turn.text} a turn`, total.text && mode === "global" && `${total.text} for all`,
      mode === "count_up" && (end.text ? `Up to ${end.text}` : "No limit")].filter(Boolean).join(", ");
  }
  const over = () => (overtime.ms ? { overtime_ms: overtime.ms } : {});

  function show(next) {
    mode = next;
    owned.hidden = !OWNERS.has(mode);
    shared.hidden = OWNERS.has(mode);
    plain.hidden = how !== "plain";
    written.hidden = how !== "text";
    total.element.hidden = mode !== "global";
    turn.element.hidden = mode === "count_up";
    // Of a mode that goes by turns they have a time to begin with; of one clock for all they may have one.
    if (!turnTyped) turn.control.value = mode === "per_cycle" ? formatDuration(30_000) : "";
    turn.control.placeholder = mode === "global" ? "no turns" : "";
    end.element.hidden = mode !== "count_up";
    advance.element.hidden = mode === "count_up";
    explain();
  }

  /** Sets the members that say the time; returns what an owner's bank is, and how an own one is read. */
  function read(now, set) {
    for (const name of ["total_time_ms", "time_per_cycle_ms", "increment_ms", "max_time_ms", "time_control", "auto_advance"]) set(name, null);
    if (OWNERS.has(now)) {
      set("max_time_ms", cap.ms);
      const extra = over();
      const isPlain = how === "plain" && !fixed;
      if (fixed) set("time_control", fixed);
      else if (isPlain) {
        set("increment_ms", increment.ms || null);
        if (extra.overtime_ms) set("time_control", { kind: "fischer", ...extra });
      } else set("time_control", extra.overtime_ms ? { notation: text.text, ...extra } : text.text);
      return { bank_ms: isPlain || fixed ? bank.ms : null, own: different.checked ? (isPlain ? "ms" : "text") : null, extra };
    }
    if (now === "count_up") set("max_time_ms", end.ms);
    else {
      if (now === "global") set("total_time_ms", total.ms);
      set("time_per_cycle_ms", turn.ms);
      set("auto_advance", advance.checked || null);
    }
    return { bank_ms: null, own: null, extra: {} };
  }

  return {
    element: h("div", {}, owned, shared),
    brief,
    fields: [bank, increment, text, cap, overtime, turn, total, advance, end],
    get different() { return OWNERS.has(mode) && different.checked ? (how === "plain" && !fixed ? "ms" : "text") : null; },
    show,
    read,
  };
}

// Who takes part

/**
 * The list of participants, in teams where teams own the clocks.
 *
 * @param {() => {mode: string, different: "ms" | "text" | null}} about
 * @param {string[]} names By default.
 */
function castPart(about, names) {
  let defaults = names;
  let touched = false;
  /** @type {{id: string, name: object, rows: object[]}[]} */
  let teams = [team(defaults)];
  const element = h("div", { class: "cast stack" });
  const problems = h("p", { class: "problem" });

  function row(value = "") {
    const id = newUuid();
    const own = textField({ label: "Own time", hideLabel: true, class: "own", placeholder: "own time" });
    const name = textField({ label: "Name", hideLabel: true, value, attributes: { autocapitalize: "words", maxlength: "60" },
      oninput: () => { touched = true; }, class: "name" });
    name.control.addEventListener("paste", (event) => {
      const lines = (event.clipboardData?.getData("text") ?? "").split(/\r?\n/).map((line) => line.trim()).filter(Boolean);
      if (lines.length < 2) return;
      event.preventDefault();
      const home = teams.find((each) => each.rows.includes(made));
      const [first, ...others] = lines.slice(0, MOST_PARTICIPANTS);
      name.control.value = first;
      home.rows.splice(home.rows.indexOf(made) + 1, 0, ...others.map(row));
      touched = true;
      show();
      changed();
    });
    const made = { id, name, own };
    return made;
  }

  function team(members, value = "") {
    return {
      id: newUuid(),
      name: textField({ label: "Team", hideLabel: true, value, attributes: { autocapitalize: "words", maxlength: "60" }, class: "name" }),
      own: textField({ label: "Own time", hideLabel: true, class: "own", placeholder: "own time" }),
      rows: members.map(() => row()),
    };
  }

  const changed = () => element.dispatchEvent(new Event("change", { bubbles: true }));
  const isTeams = () => about().mode === "per_group";
  const everyRow = () => teams.flatMap((each) => each.rows);

  function add(home) {
    const made = row();
    home.rows.push(made);
    touched = true;
    show();
    changed();
    made.name.control.focus();
  }

  function remove(home, made) {
    const at = home.rows.indexOf(made);
    home.rows.splice(at, 1);
    touched = true;
    show();
    changed();
    (home.rows[Math.min(at, home.rows.length - 1)]?.name.control ?? element.querySelector("button")).focus();
  }

  function setDefaults(next) {
    defaults = next;
    if (!touched) teams = [team(defaults)];
  }

  function shape() {
    if (isTeams() && teams.length === 1) {
      // Everybody who is there, dealt out to two teams.
      const rows = everyRow();
      const [first, second] = [team([]), team([])];
      rows.forEach((each, at) => (at % 2 ? second : first).rows.push(each));
      for (const each of [first, second]) if (each.rows.length === 0) each.rows.push(row());
      teams = [first, second];
    } else if (!isTeams() && teams.length > 1) {
      const rows = everyRow();
      teams = [team([])];
      teams[0].rows = rows;
    }
  }

  const defaultName = (place) => (!isTeams() && everyRow().length === defaults.length ? defaults[place] : `Player ${place + 1}`);

  function rowElement(home, made, place) {
    const { different } = about();
    const fallback = defaultName(place);
    made.name.control.placeholder = fallback;
    made.name.element.querySelector("label").textContent = `Name of participant ${place + 1}`;
    made.own.element.querySelector("label").textContent = `Own time of participant ${place + 1}`;
    made.own.element.hidden = different === null || isTeams();
    made.name.paths = [`participants.${place}`];
    made.own.paths = [`participants.${place}.total_time_ms`, `participants.${place}.time_control`];
    const away = button(`Remove ${made.name.text || fallback}`, { icon: "cross", square: true, class: "quiet",
      onclick: () => remove(home, made) });
    away.disabled = everyRow().length === 1;
    return h("li", { class: "person" }, h("span", { class: "place digits", "aria-hidden": "true" }, place + 1),
      made.name.element, made.own.element, away);
  }

  function show() {
    shape();
    const focused = document.activeElement;
    const full = everyRow().length >= MOST_PARTICIPANTS;
    let place = 0;
    const blocks = teams.map((home, at) => {
      const list = h("ol", { role: "list", class: "people" }, home.rows.map((made) => rowElement(home, made, place++)));
      const more = button("Add participant", { icon: "plus", class: "quiet", onclick: () => add(home) });
      more.disabled = full;
      if (!isTeams()) return [list, more];
      home.name.control.placeholder = `Team ${at + 1}`;
      home.name.element.querySelector("label").textContent = `Name of team ${at + 1}`;
      home.own.element.querySelector("label").textContent = `Own time of team ${at + 1}`;
      home.own.element.hidden = about().different === null;
      home.name.paths = [`groups.${at}`];
      home.own.paths = [`groups.${at}.total_time_ms`, `groups.${at}.time_control`];
      const away = button(`Remove team ${at + 1}`, { icon: "trash", square: true, class: "quiet", onclick: () => {
        teams.splice(at, 1);
        touched = true;
        show();
        changed();
      } });
      away.disabled = teams.length <= 2;
      return h("fieldset", { class: "team" },
        h("legend", { class: "visually-hidden" }, `Team ${at + 1}`),
        h("div", { class: "team-head" }, home.name.element, home.own.element, away), list, more);
    });
    fill(element,
      isTeams() ? h("div", { class: "teams" }, blocks) : blocks,
      isTeams() && button("Add team", { icon: "people", onclick: () => {
        const made = team([0]);
        teams.push(made);
        touched = true;
        show();
        changed();
        made.name.control.focus();
      } }),
      problems,
      h("p", { class: "hint" }, "They take turns in this order. Paste a list of names to add them all."));
    if (focused && focused !== document.activeElement && element.contains(focused)) focused.focus();
  }

  /** participants, groups and their names, for a config, and whether they are two with names. Throws Unreadable. */
  function read({ bank_ms, own, extra }) {
    const called = {};
    const ownTime = (from) => {
      const typed = from.own.text;
      if (own === null || typed === "") return bank_ms === null ? {} : { total_time_ms: bank_ms };
      if (own === "text") return { time_control: extra.overtime_ms ? { notation: typed, ...extra } : typed };
      return { total_time_ms: readDuration(from.own, typed) };
    };
    let place = 0;
    const participants = teams.flatMap((home) => home.rows.map((made) => {
      const name = made.name.text || (defaultName(place).startsWith("Player ") ? "" : defaultName(place));
      place += 1;
      if (name) called[made.id] = name;
      return { participant_id: made.id, ...(isTeams() ? { group_id: home.id } : ownTime(made)) };
    }));
    const owners = isTeams() ? teams : everyRow();
    const rivals = owners.length === 2 && owners.every((each) => each.name.text !== "");
    if (!isTeams()) return { participants, groups: null, names: called, rivals };
    const groups = teams.map((home) => {
      if (home.name.text) called[home.id] = home.name.text;
      return { group_id: home.id, ...ownTime(home) };
    });
    return { participants, groups, names: called, rivals };
  }

  return {
    element,
    show,
    read,
    setDefaults,
    /** [id, name] of everybody, in order. */
    get people() { return everyRow().map((made, place) => [made.id, made.name.text || defaultName(place)]); },
    fields: () => [
      { element: problems, paths: ["participants", "groups"], fail: (message) => setText(problems, message && `This list ${message}`) },
      ...teams.flatMap((home) => [...(isTeams() ? [home.name, home.own] : []), ...home.rows.flatMap((made) => [made.name, made.own])]),
    ],
  };
}

// Everything else

function morePart(given, cast) {
  const action = given.action_on_timeout ?? null;
  let mode = given.sync_mode;
  const timeout = selectField({ label: "When time is up", value: action?.type ?? "", options: [], paths: ["action_on_timeout"],
    onchange: () => show(mode) });
  const command = textField({ label: "Action for the backend", value: typeof action?.action === "string" ? action.action : "",
    placeholder: "check_or_fold", hint: "Comes with the event, for your backend to carry out.", paths: ["action_on_timeout.action"] });
  const warnings = durationsField({ label: "Warnings when this much is left", list: given.warnings_ms ?? [], unit: "s",
    placeholder: "none", hint: "Up to eight, as in: 5 min, 30 s, 10 s", paths: ["warnings_ms"] });
  const lag = checkField({ label: "Give back network delay", hint: "What the service measured for a move’s way, up to a quota.",
    checked: given.lag_compensation ?? false, paths: ["lag_compensation"] });
  const mayPause = checkField({ label: "Players may pause", hint: "And resume, in their own turn.", checked: given.players_may_pause ?? false,
    paths: ["players_may_pause"] });
  const pause = durationField({ label: "A pause ends by itself after", ms: given.max_pause_ms ?? null, unit: "min", placeholder: "never",
    paths: ["max_pause_ms"] });
  const begins = selectField({ label: "Who begins", options: [["", "The first"]], paths: ["active_participant_id"] });
  const view = selectField({ label: "Shown as", options: [["", "What suits it"], ...Object.entries(VIEWS)] });
  begins.control.addEventListener("focus", offer);
  begins.control.addEventListener("pointerdown", offer);

  function offer() {
    const chosen = begins.value;
    const people = cast.people;
    const texts = people.map(([id, name]) => `${id} ${name}`).join("\n");
    if (begins.control.dataset.people === texts) return;
    begins.control.dataset.people = texts;
    fill(begins.control, h("option", { value: "" }, "The first"),
      people.map(([id, name]) => h("option", { value: id, selected: id === chosen }, name)));
  }

  function show(next) {
    mode = next;
    const owned = OWNERS.has(mode);
    const cycles = mode === "per_cycle";
    const chosen = timeout.value || (timeout.control.options.length === 0 ? action?.type ?? "" : "");
    fill(timeout.control, [
      ["", "As usual in this mode"],
      ["end_session", owned ? "The session ends; the last one left wins" : "The session ends"],
      ["skip_cycle", owned ? "Whoever ran out is out, the next one goes on" : "The next turn begins"],
      ["auto_action", "The same, and your backend acts"],
      ["notify", cycles ? "A message; the clock stands at zero" : "A message; the clock stands at zero, nobody is out"],
    ].map(([value, label]) => h("option", { value, selected: value === chosen }, label)));
    command.element.hidden = timeout.value !== "auto_action";
    lag.element.hidden = !owned;
    offer();
  }

  function read(now, set) {
    const type = timeout.value;
    if (type === "") set("action_on_timeout", null);
    else {
      const { action: before, ...rest } = action ?? {};
      const carried = type === action?.type ? rest : {};
      const name = type === "auto_action" ? command.text || (typeof before === "string" ? "" : before) : "";
      set("action_on_timeout", { ...carried, type, ...(name ? { action: name } : {}) });
    }
    const list = warnings.list;
    set("warnings_ms", list.length > 0 || given.warnings_ms ? list : null);
    set("lag_compensation", OWNERS.has(now) && lag.checked ? true : null);
    set("players_may_pause", mayPause.checked || null);
    set("max_pause_ms", pause.ms);
  }

  return {
    element: h("div", { class: "stack" },
      h("div", { class: "row" }, timeout.element, command.element),
      h("div", { class: "row" }, warnings.element, pause.element),
      h("div", { class: "checks" }, mayPause.element, lag.element),
      h("div", { class: "row" }, begins.element, view.element)),
    fields: [timeout, command, warnings, lag, mayPause, pause, begins],
    /** The id of who begins, or null for the first. */
    get first() { return cast.people.some(([id]) => id === begins.value) ? begins.value : null; },
    get view() { return view.value; },
    show,
    read,
  };
}
