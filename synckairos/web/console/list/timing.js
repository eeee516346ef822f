// The part of the form for the time: a time control where participants or teams own the clocks, otherwise
// the time of a turn or of all turns together.

import { EXAMPLES, explainControl, readControl } from "./controls.js";
import { Unreadable, checkField, durationField, segments, textField } from "./fields.js";
import { OWNERS } from "./modes.js";
import { t } from "../shared/i18n.js";
import { formatDuration } from "../shared/time.js";
import { h, setText } from "../shared/ui.js";

/**
 * The fields for the time, and for how it is spent.
 *
 * @param {object} given The config to begin with.
 * @param {{changed: () => void, wording: () => import("./wording.js").Wording}} on changed: called when own times are switched on or off, or are written in
 *   another way
 */
export function timePart(given, { changed, wording }) {
  const control = given.time_control;
  const isText = typeof control === "string";
  const notation = isText ? control : (control?.notation ?? null);
  // A preset's time control that cannot be written as text is kept as it is.
  const fixed = control && notation === null ? control : null;
  let entryKind = notation === null ? "plain" : "text";
  let mode = given.sync_mode;

  const meaning = h("p", { class: "meaning" });
  const brief = h("span", {});
  const bank = durationField({
    label: t("timing.each"),
    ms: 5 * 60_000,
    unit: "min",
    hint: ["5:00", t("time.s", { number: 90 }), formatDuration(5_400_000)].join(", "),
    paths: ["total_time_ms", "participants.*.total_time_ms", "groups.*.total_time_ms"],
    oninput: explain,
  });
  const increment = durationField({
    label: t("timing.increment"),
    ms: given.increment_ms ?? 3000,
    unit: "s",
    hint: t("timing.incrementHint", { zero: formatDuration(0) }),
    paths: ["increment_ms"],
    oninput: explain,
  });
  const text = textField({
    label: t("timing.control"),
    value: notation ?? "5+3",
    paths: ["time_control"],
    oninput: explain,
    class: "notation",
    attributes: { class: "input mono", inputmode: "text" },
    hint: t("timing.controlHint"),
  });
  const examples = h(
    "div",
    { class: "examples", role: "group", "aria-label": t("timing.examples") },
    EXAMPLES.map(([example, name]) =>
      h(
        "button",
        {
          type: "button",
          class: "example",
          "aria-label": t("timing.example", { example, name }),
          onclick: () => {
            text.control.value = example;
            text.fail("");
            text.control.dispatchEvent(new InputEvent("input", { bubbles: true }));
          },
        },
        h("span", { class: "mono" }, example),
        h("span", { class: "hint" }, name),
      ),
    ),
  );
  const choice = segments({
    label: t("timing.howToEnter"),
    hideLabel: true,
    value: entryKind,
    options: [
      ["plain", t("timing.asTime")],
      ["text", t("timing.asText")],
    ],
    onchange: (value) => {
      entryKind = value;
      show(mode);
      changed();
    },
  });
  const cap = durationField({
    label: t("timing.cap"),
    ms: given.max_time_ms ?? null,
    unit: "min",
    placeholder: t("word.noLimit"),
    paths: ["max_time_ms"],
  });
  const overtime = durationField({
    label: t("timing.overtime"),
    ms: control?.overtime_ms ?? null,
    unit: "min",
    placeholder: t("word.none"),
    hint: t("timing.overtimeHint"),
    paths: ["time_control.overtime_ms"],
    oninput: explain,
  });
  const different = checkField({
    label: t("timing.different"),
    hint: t("timing.differentHint"),
    onchange: changed,
  });
  const turn = durationField({
    label: wording().turn,
    ms: given.time_per_cycle_ms ?? null,
    unit: "s",
    paths: ["time_per_cycle_ms"],
    oninput: () => {
      turnTyped = true;
      explain();
    },
  });
  let turnTyped = Boolean(given.time_per_cycle_ms);
  const total = durationField({
    label: wording().total,
    ms: given.sync_mode === "global" ? (given.total_time_ms ?? null) : 60 * 60_000,
    unit: "min",
    paths: ["total_time_ms"],
    oninput: explain,
  });
  const advance = checkField({
    label: wording().advance,
    hint: t("timing.advanceHint"),
    checked: given.auto_advance ?? false,
    paths: ["auto_advance"],
  });
  const end = durationField({
    label: t("timing.endsAt"),
    ms: given.sync_mode === "count_up" ? (given.max_time_ms ?? null) : null,
    unit: "min",
    placeholder: t("word.never"),
    paths: ["max_time_ms"],
    oninput: explain,
  });

  const plain = h("div", { class: "row" }, bank.element, increment.element);
  const asText = h("div", { class: "stack" }, text.element, examples);
  const owned = h(
    "div",
    { class: "stack" },
    fixed ? null : choice.element,
    fixed ? null : plain,
    fixed ? null : asText,
    meaning,
    h("div", { class: "row" }, cap.element, overtime.element),
    different.element,
  );
  const shared = h(
    "div",
    { class: "stack" },
    h("div", { class: "row" }, total.element, turn.element, end.element),
    advance.element,
  );

  function explain() {
    const teams = mode === "per_group";
    let words = "";
    try {
      if (fixed) words = explainControl(fixed, { teams });
      else if (entryKind === "plain") {
        const bank_ms = bank.ms;
        if (bank_ms !== null)
          words = explainControl(
            { kind: "fischer", increment_ms: increment.ms ?? 0, ...overtimeMember() },
            { bank_ms, teams },
          );
      } else {
        const read = readControl(text.text);
        const options = { bank_ms: read?.bank_ms, teams };
        if (read) words = explainControl({ ...read.control, ...overtimeMember() }, options);
        else if (text.text) words = t("timing.serviceReads");
      }
    } catch (error) {
      if (!(error instanceof Unreadable)) throw error;
    }
    setText(meaning, words);
    setText(brief, OWNERS.has(mode) ? words : sharedWords());
  }
  /** The time of a clock that the session or the cycle owns, for the heading. */
  function sharedWords() {
    return [
      turn.text && mode !== "count_up" && wording().perTurn(turn.text),
      total.text && mode === "global" && t("control.forAll", { time: total.text }),
      mode === "count_up" && (end.text ? t("timing.upTo", { time: end.text }) : t("control.noLimit")),
    ]
      .filter(Boolean)
      .join(", ");
  }
  const overtimeMember = () => (overtime.ms ? { overtime_ms: overtime.ms } : {});

  function show(next) {
    mode = next;
    owned.hidden = !OWNERS.has(mode);
    shared.hidden = OWNERS.has(mode);
    plain.hidden = entryKind !== "plain";
    asText.hidden = entryKind !== "text";
    total.element.hidden = mode !== "global";
    turn.element.hidden = mode === "count_up" || !wording().hasTurns;
    // In `per_cycle` a turn needs a time, so the field begins with one. In `global` it is optional.
    if (!turnTyped) turn.control.value = mode === "per_cycle" ? formatDuration(30_000) : "";
    turn.control.placeholder = mode === "global" ? t("timing.noTurns") : "";
    end.element.hidden = mode !== "count_up";
    advance.element.hidden = turn.element.hidden;
    explain();
  }

  /** Sets the config's members for the time. Returns an owner's bank, and how own times are written. */
  function addToConfig(currentMode, set) {
    for (const name of [
      "total_time_ms",
      "time_per_cycle_ms",
      "increment_ms",
      "max_time_ms",
      "time_control",
      "auto_advance",
    ])
      set(name, null);
    if (OWNERS.has(currentMode)) {
      set("max_time_ms", cap.ms);
      const extra = overtimeMember();
      const isPlain = entryKind === "plain" && !fixed;
      if (fixed) set("time_control", fixed);
      else if (isPlain) {
        set("increment_ms", increment.ms || null);
        if (extra.overtime_ms) set("time_control", { kind: "fischer", ...extra });
      } else set("time_control", extra.overtime_ms ? { notation: text.text, ...extra } : text.text);
      return {
        bank_ms: isPlain || fixed ? bank.ms : null,
        own: different.checked ? (isPlain ? "ms" : "text") : null,
        extra,
      };
    }
    if (currentMode === "count_up") set("max_time_ms", end.ms);
    else {
      if (currentMode === "global") set("total_time_ms", total.ms);
      set("time_per_cycle_ms", turn.ms);
      set("auto_advance", advance.checked || null);
    }
    return { bank_ms: null, own: null, extra: {} };
  }

  return {
    element: h("div", {}, owned, shared),
    brief,
    /** The time for everybody together; null: none. Throws Unreadable. */
    get totalMs() {
      return total.ms;
    },
    fields: [bank, increment, text, cap, overtime, turn, total, advance, end],
    get different() {
      return OWNERS.has(mode) && different.checked ? (entryKind === "plain" && !fixed ? "ms" : "text") : null;
    },
    show,
    addToConfig,
  };
}
