// The part of the form for an exam: extra time for some. The session runs as long as the longest row, and the
// wall shows for each row when it finishes.

import { Unreadable, textField } from "./fields.js";
import { examConfig } from "../shared/exam.js";
import { list as listed, t } from "../shared/i18n.js";
import { formatDuration } from "../shared/time.js";
import { h, setText } from "../shared/ui.js";

/** As many rows with extra time as the wall shows, and the most extra time, in percent. */
const MAX_EXTRAS = 6;
const MAX_PERCENT = 400;

/**
 * Reads percentages, as in `25, 50` or `+25 % +50 %`.
 *
 * @param {string} text
 * @returns {number[] | null} From the least on, each once; null when the text cannot be read.
 */
export function readExtra(text) {
  const parts = text
    .replaceAll("%", " ")
    .split(/[\s,;+]+/)
    .filter(Boolean);
  const found = [...new Set(parts.map(Number))].sort((one, other) => one - other);
  const isGood = found.every((each) => each > 0 && each <= MAX_PERCENT) && found.length <= MAX_EXTRAS;
  return isGood ? found : null;
}

/**
 * @param {{totalMs: () => number | null}} form What the form's other fields say: the normal time.
 */
export function examPart({ totalMs }) {
  const field = textField({
    label: t("examForm.extra"),
    placeholder: "25, 50",
    hint: t("examForm.hint"),
    oninput: () => explain(),
  });
  const meaning = h("p", { class: "meaning" });

  function explain() {
    const extra = readExtra(field.text);
    let base = null;
    try {
      base = totalMs();
    } catch (error) {
      if (!(error instanceof Unreadable)) throw error;
    }
    if (extra === null || base === null) {
      setText(meaning, "");
      return;
    }
    const rows = [0, ...extra].map((each) => formatDuration(Math.round(base * (1 + each / 100))));
    setText(meaning, t("examForm.rows", { rows: listed(rows), count: rows.length }));
  }

  return {
    element: h("div", { class: "stack exam-form" }, field.element, meaning),
    fields: [field],
    explain,
    /** Adds to a config that the other parts have made. Throws Unreadable. */
    addTo(config, metadata) {
      const extra = readExtra(field.text);
      if (extra === null) throw new Unreadable(field, t("examForm.problem", { most: MAX_EXTRAS, percent: MAX_PERCENT }));
      metadata.view ??= "exam";
      metadata.exam = { base_ms: config.total_time_ms, extra };
      if (extra.length === 0) return;
      const { exam, ...members } = examConfig(config.total_time_ms, extra, config.warnings_ms ?? []);
      Object.assign(config, members);
      metadata.exam = exam;
    },
  };
}
