// The part of the form for lights: one row for each warning, with its colour, its text and its sound; and the
// direction in which the faces count.

import { Unreadable, segments } from "./fields.js";
import { BELLS } from "../shared/bells.js";
import { t } from "../shared/i18n.js";
import { COLORS, MAX_TEXT, usualLights } from "../shared/lights.js";
import { formatDuration } from "../shared/time.js";
import { fill, h, newId } from "../shared/ui.js";

const NONE = "none";
const OWN = "own";

/** The names of the colours and of the sounds for people. */
const colorOptions = () => [
  [NONE, t("lights.none")],
  ...Object.keys(COLORS).map((each) => [each, t(`lights.${each}`)]),
  [OWN, t("lights.own")],
];
const soundOptions = () => BELLS.map((each) => [each, t(`lights.sound.${each}`)]);

/** When a light goes on, in words. */
function whenText(ms) {
  if (ms > 0) return t("time.left", { time: formatDuration(ms) });
  return ms === 0 ? t("lights.atZero") : t("time.over", { time: formatDuration(-ms) });
}

const select = (label, options, value, onchange) =>
  h(
    "select",
    { class: "select", "aria-label": label, onchange },
    options.map(([each, text]) => h("option", { value: each, selected: each === value }, text)),
  );

/** One row: a light that goes on at `ms`. usual: the light that it has when nothing is said; null: none. */
function lightRow(ms, usual, touched) {
  const when = whenText(ms);
  const name = Object.keys(COLORS).find((each) => COLORS[each] === usual?.color) ?? NONE;
  const swatch = h("span", { class: "light-swatch", "aria-hidden": "true" });
  const own = h("input", {
    class: "light-own",
    type: "color",
    value: usual?.color ?? COLORS.green,
    "aria-label": t("lights.ownAt", { when }),
    oninput: () => change(),
  });
  const color = select(t("lights.colorAt", { when }), colorOptions(), name, () => change());
  const text = h("input", {
    class: "input",
    type: "text",
    maxlength: String(MAX_TEXT),
    autocomplete: "off",
    placeholder: usual?.text ?? t("lights.text"),
    "aria-label": t("lights.textAt", { when }),
    oninput: () => change(),
  });
  const sound = select(t("lights.soundAt", { when }), soundOptions(), usual?.sound ?? BELLS[0], () => change());
  const show = () => {
    own.hidden = color.value !== OWN;
    text.disabled = sound.disabled = color.value === NONE;
    swatch.style.setProperty("--light", color.value === OWN ? own.value : (COLORS[color.value] ?? "transparent"));
  };
  const change = () => {
    show();
    touched();
  };
  show();
  return {
    element: h(
      "div",
      { class: "light-row", role: "group", "aria-label": when },
      h("span", { class: "light-when" }, swatch, h("span", {}, when)),
      h("span", { class: "light-color" }, color, own),
      text,
      sound,
    ),
    /** What stands in the metadata; null: no light. */
    get entry() {
      if (color.value === NONE) return null;
      const said = text.value.trim();
      return {
        color: color.value === OWN ? own.value : color.value,
        ...(said ? { text: said } : {}),
        ...(sound.value === BELLS[0] ? {} : { sound: sound.value }),
      };
    },
  };
}

/**
 * @param {import("./fields.js").Field & {list: number[]}} warnings The field of the warnings.
 * @param {() => object} config What the usual lights depend on: `sync_mode`, `action_on_timeout`.
 */
export function lightsPart(warnings, config) {
  const rows = h("div", { class: "light-rows" });
  const heading = newId("lights");
  const box = h(
    "div",
    { class: "lights", role: "group", "aria-labelledby": heading },
    h("span", { class: "label", id: heading }, t("lights.lights")),
    h("p", { class: "hint" }, t("lights.hint")),
    rows,
  );
  /** The rows by their warning, so that they keep what was entered while the list of warnings is typed. */
  let lights = new Map();
  let isTouched = false;
  let key = "";
  const counts = segments({
    label: t("lights.counts"),
    value: "",
    options: [
      ["", t("lights.countsUsual")],
      ["down", t("lights.countsDown")],
      ["up", t("lights.countsUp")],
    ],
    onchange: () => {},
  });

  function show() {
    let list;
    try {
      list = [...new Set(warnings.list)].sort((a, b) => b - a);
    } catch (error) {
      if (!(error instanceof Unreadable)) throw error;
      return; // as long as it cannot be read the rows stay as they are
    }
    const state = { metadata: {}, participants: [], warnings_ms: list, ...config() };
    const now = JSON.stringify([list, state.sync_mode, state.action_on_timeout?.type]);
    if (now === key) return;
    key = now;
    const usual = new Map(usualLights(state).map((each) => [each.ms, each]));
    const touched = () => {
      isTouched = true;
    };
    const next = list.map((ms) => [ms, (isTouched && lights.get(ms)) || lightRow(ms, usual.get(ms) ?? null, touched)]);
    lights = new Map(next);
    fill(rows, [...lights.values()].map((each) => each.element));
    box.hidden = lights.size === 0;
  }
  warnings.control.addEventListener("input", show);
  show();

  return {
    element: h("div", { class: "stack" }, box, counts.element),
    show,
    /** The members of the metadata: none where all is as usual. */
    get metadata() {
      const entries = [...lights].map(([ms, { entry }]) => [String(ms), entry]).filter(([, entry]) => entry);
      return {
        ...(isTouched && lights.size > 0 ? { lights: Object.fromEntries(entries) } : {}),
        ...(counts.value ? { counts: counts.value } : {}),
      };
    },
  };
}
