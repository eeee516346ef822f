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
import { lightsPart } from "./lights.js";
import { OWNERS } from "./modes.js";
import { t } from "../shared/i18n.js";
import { VIEWS } from "../shared/names.js";
import { timeZone } from "../shared/moments.js";
import { formatDuration } from "../shared/time.js";
import { fill, h } from "../shared/ui.js";

/**
 * The fields that most users leave as they are.
 *
 * @param {object} given The config to begin with.
 * @param {{people: [string, string][]}} participants Their `people` are pairs of id and name.
 * @param {() => import("./wording.js").Wording} wording
 */
export function settingsPart(given, participants, wording) {
  const action = given.action_on_timeout ?? null;
  let mode = given.sync_mode;
  const timeout = selectField({
    label: t("settings.timeout"),
    value: action?.type ?? "",
    options: [],
    paths: ["action_on_timeout"],
    onchange: () => show(mode),
  });
  const command = textField({
    label: t("settings.command"),
    value: typeof action?.action === "string" ? action.action : "",
    placeholder: "check_or_fold",
    hint: t("settings.commandHint"),
    paths: ["action_on_timeout.action"],
  });
  const warnings = durationsField({
    label: t("settings.warnings"),
    list: given.warnings_ms ?? [],
    unit: "s",
    placeholder: t("word.none"),
    hint: t("settings.warningsHint", {
      examples: [300_000, 30_000, 0].map(formatDuration).join(", "),
      bell: formatDuration(-30_000),
    }),
    paths: ["warnings_ms"],
  });
  const lights = lightsPart(warnings, () => ({ sync_mode: mode, action_on_timeout: { type: timeout.value } }));
  const lag = checkField({
    label: t("settings.lag"),
    hint: t("settings.lagHint"),
    checked: given.lag_compensation ?? false,
    paths: ["lag_compensation"],
  });
  const mayPause = checkField({
    label: t("settings.mayPause"),
    hint: t("settings.mayPauseHint"),
    checked: given.players_may_pause ?? false,
    paths: ["players_may_pause"],
  });
  const mayChooseNext = checkField({
    label: t("settings.mayChoose"),
    hint: t("settings.mayChooseHint"),
    checked: given.players_may_choose_next ?? false,
    paths: ["players_may_choose_next"],
  });
  const pause = durationField({
    label: t("settings.pause"),
    ms: given.max_pause_ms ?? null,
    unit: "min",
    placeholder: t("word.never"),
    paths: ["max_pause_ms"],
  });
  const pauses = numberField({
    label: t("settings.pauses"),
    number: given.max_pauses ?? null,
    placeholder: t("settings.anyNumber"),
    paths: ["max_pauses"],
  });
  const pauseTotal = durationField({
    label: t("settings.pauseTotal"),
    ms: given.max_total_pause_ms ?? null,
    unit: "min",
    placeholder: t("word.noLimit"),
    hint: t("settings.pauseTotalHint"),
    paths: ["max_total_pause_ms"],
  });
  const cycles = numberField({
    label: wording().turns,
    number: given.max_cycles ?? null,
    placeholder: t("word.never"),
    paths: ["max_cycles"],
  });
  const starts = momentField({
    label: t("schedule.starts"),
    hint: t("settings.yourTime", { zone: timeZone() }),
    paths: ["starts_at_ms"],
  });
  const ends = momentField({
    label: t("schedule.ends"),
    hint: t("settings.endsHint"),
    paths: ["ends_at_ms"],
  });
  const begins = selectField({
    label: t("settings.begins"),
    options: [["", t("settings.first")]],
    paths: ["active_participant_id"],
  });
  const view = selectField({ label: t("settings.view"), options: [["", t("settings.automatic")], ...Object.entries(VIEWS)] });
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
      h("option", { value: "" }, t("settings.first")),
      people.map(([id, name]) => h("option", { value: id, selected: id === chosen }, name)),
    );
  }

  function show(next) {
    mode = next;
    const owned = OWNERS.has(mode);
    const isForTurn = mode === "per_cycle";
    const chosen = timeout.value || (timeout.control.options.length === 0 ? (action?.type ?? "") : "");
    fill(
      timeout.control,
      [
        ["", t("timeout.usual")],
        ["end_session", owned ? t("timeout.endWins") : t("timeout.end")],
        ["skip_cycle", owned ? t("timeout.skipPlayer") : t("timeout.skip")],
        ["auto_action", t("timeout.backend")],
        [
          "notify",
          isForTurn
            ? t("timeout.message")
            : t("timeout.messageNobodyOut"),
        ],
      ].map(([value, label]) => h("option", { value, selected: value === chosen }, label)),
    );
    command.element.hidden = timeout.value !== "auto_action";
    lag.element.hidden = !owned;
    for (const each of [mayChooseNext, cycles, begins]) each.element.hidden = !wording().hasTurns;
    lights.show();
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
      lights.element,
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
    /** The members of the metadata for the faces: their lights, and the direction in which they count. */
    get faces() {
      return lights.metadata;
    },
    get view() {
      return view.value;
    },
    show,
    addToConfig,
  };
}
