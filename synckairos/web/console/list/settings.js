// The part of the form that most users leave as it is: timeouts, warnings, pauses, who begins, and the view.

import {
  checkField,
  durationField,
  durationsField,
  momentField,
  numberField,
  selectField,
  textField,
} from "./fields.js";
import { OWNERS } from "./modes.js";
import { VIEWS } from "../shared/names.js";
import { timeZone } from "../shared/moments.js";
import { fill, h } from "../shared/ui.js";

/**
 * The fields that most users leave as they are.
 *
 * @param {object} given The config to begin with.
 * @param {{people: [string, string][]}} participants Their `people` are pairs of id and name.
 */
export function settingsPart(given, participants) {
  const action = given.action_on_timeout ?? null;
  let mode = given.sync_mode;
  const timeout = selectField({
    label: "When time is up",
    value: action?.type ?? "",
    options: [],
    paths: ["action_on_timeout"],
    onchange: () => show(mode),
  });
  const command = textField({
    label: "Action for the backend",
    value: typeof action?.action === "string" ? action.action : "",
    placeholder: "check_or_fold",
    hint: "It comes with the event, and your backend carries it out.",
    paths: ["action_on_timeout.action"],
  });
  const warnings = durationsField({
    label: "Warnings when this much is left",
    list: given.warnings_ms ?? [],
    unit: "s",
    placeholder: "none",
    hint: "Up to eight, as in: 5 min, 30 s, 0 s. In overtime a bell comes at -30 s.",
    paths: ["warnings_ms"],
  });
  const lag = checkField({
    label: "Give back network delay",
    hint: "A move gets back its time on the network, up to a quota.",
    checked: given.lag_compensation ?? false,
    paths: ["lag_compensation"],
  });
  const mayPause = checkField({
    label: "Players may pause",
    hint: "They may also resume, in their own turn.",
    checked: given.players_may_pause ?? false,
    paths: ["players_may_pause"],
  });
  const mayChooseNext = checkField({
    label: "Players may choose who is next",
    hint: "In their own turn, somebody else. Otherwise turns go round.",
    checked: given.players_may_choose_next ?? false,
    paths: ["players_may_choose_next"],
  });
  const pause = durationField({
    label: "A pause ends by itself after",
    ms: given.max_pause_ms ?? null,
    unit: "min",
    placeholder: "never",
    paths: ["max_pause_ms"],
  });
  const pauses = numberField({
    label: "Pauses at most",
    number: given.max_pauses ?? null,
    placeholder: "any number",
    paths: ["max_pauses"],
  });
  const pauseTotal = durationField({
    label: "All pauses together at most",
    ms: given.max_total_pause_ms ?? null,
    unit: "min",
    placeholder: "no limit",
    hint: "Then the session goes on by itself.",
    paths: ["max_total_pause_ms"],
  });
  const cycles = numberField({
    label: "Completed after so many turns",
    number: given.max_cycles ?? null,
    placeholder: "never",
    paths: ["max_cycles"],
  });
  const starts = momentField({
    label: "Starts by itself at",
    hint: `In your time, ${timeZone()}.`,
    paths: ["starts_at_ms"],
  });
  const ends = momentField({
    label: "Ends by itself at",
    hint: "Whatever the clocks say then.",
    paths: ["ends_at_ms"],
  });
  const begins = selectField({
    label: "Who begins",
    options: [["", "The first"]],
    paths: ["active_participant_id"],
  });
  const view = selectField({ label: "Shown as", options: [["", "Automatic"], ...Object.entries(VIEWS)] });
  begins.control.addEventListener("focus", updateNames);
  begins.control.addEventListener("pointerdown", updateNames);

  function updateNames() {
    const chosen = begins.value;
    const people = participants.people;
    const texts = people.map(([id, name]) => `${id} ${name}`).join("\n");
    if (begins.control.dataset.people === texts) return;
    begins.control.dataset.people = texts;
    fill(
      begins.control,
      h("option", { value: "" }, "The first"),
      people.map(([id, name]) => h("option", { value: id, selected: id === chosen }, name)),
    );
  }

  function show(next) {
    mode = next;
    const owned = OWNERS.has(mode);
    const cycles = mode === "per_cycle";
    const chosen = timeout.value || (timeout.control.options.length === 0 ? (action?.type ?? "") : "");
    fill(
      timeout.control,
      [
        ["", "As usual in this mode"],
        ["end_session", owned ? "The session ends; the last one left wins" : "The session ends"],
        ["skip_cycle", owned ? "That player is out, and the next one goes on" : "The next turn begins"],
        ["auto_action", "The same, and your backend acts"],
        [
          "notify",
          cycles
            ? "A message; the clock stays at zero"
            : "A message; the clock stays at zero, and no player is out",
        ],
      ].map(([value, label]) => h("option", { value, selected: value === chosen }, label)),
    );
    command.element.hidden = timeout.value !== "auto_action";
    lag.element.hidden = !owned;
    updateNames();
  }

  /** Sets the config's members for these settings. */
  function addToConfig(currentMode, set) {
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
    set("lag_compensation", OWNERS.has(currentMode) && lag.checked ? true : null);
    set("players_may_pause", mayPause.checked || null);
    set("players_may_choose_next", mayChooseNext.checked || null);
    set("max_pause_ms", pause.ms);
    set("max_pauses", pauses.number);
    set("max_total_pause_ms", pauseTotal.ms);
    set("max_cycles", cycles.number);
    set("starts_at_ms", starts.ms);
    set("ends_at_ms", ends.ms);
  }

  return {
    element: h(
      "div",
      { class: "stack" },
      h("div", { class: "row" }, timeout.element, command.element),
      warnings.element,
      h("div", { class: "row" }, pauses.element, pause.element, pauseTotal.element),
      h("div", { class: "checks" }, mayPause.element, mayChooseNext.element, lag.element),
      h("div", { class: "row" }, starts.element, ends.element),
      h("div", { class: "row" }, cycles.element, begins.element, view.element),
    ),
    fields: [timeout, command, warnings, lag, mayPause, mayChooseNext, pause, pauses, pauseTotal, cycles, starts, ends, begins],
    /** The id of the participant who begins; null for the first one. */
    get first() {
      return participants.people.some(([id]) => id === begins.value) ? begins.value : null;
    },
    get view() {
      return view.value;
    },
    show,
    addToConfig,
  };
}
