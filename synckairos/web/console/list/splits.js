// The part of the form with the segments of a speedrun, which the session keeps in its metadata.

import { Unreadable } from "./fields.js";
import { t } from "../shared/i18n.js";
import { h, newId, setText } from "../shared/ui.js";

/** A run has at most so many segments, as the session's page shows. */
const MAX_SEGMENTS = 100;

/** The field for the names of the segments, one a line. */
export function splitsPart() {
  const [id, hintId, problemId] = [newId("splits"), newId("hint"), newId("problem")];
  const problem = h("p", { class: "problem", id: problemId });
  const control = h("textarea", { class: "textarea", id, rows: "4", "aria-describedby": `${hintId} ${problemId}` });
  const field = {
    element: h(
      "div",
      { class: "field" },
      h("label", { htmlFor: id }, t("run.names")),
      control,
      h("p", { class: "hint", id: hintId }, t("run.namesHint")),
      problem,
    ),
    control,
    paths: ["metadata.splits"],
    fail: (message) => {
      control.setAttribute("aria-invalid", String(message !== ""));
      setText(problem, message);
    },
  };
  return {
    element: field.element,
    fields: [field],
    /** Adds the names. Throws Unreadable when there are too many. */
    addToMetadata(metadata) {
      const names = control.value.split("\n").map((each) => each.trim()).filter(Boolean);
      if (names.length > MAX_SEGMENTS) throw new Unreadable(field, t("run.namesFault", { most: MAX_SEGMENTS, count: names.length }));
      if (names.length > 0) metadata.splits = names;
    },
  };
}
