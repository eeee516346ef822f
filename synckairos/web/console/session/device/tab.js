// The title of the tab: the time first, so that it can be read in a row of narrow tabs.

import { formatClock } from "../../shared/time.js";
import { isOver } from "../rules.js";

/**
 * @param {import("../session.js").Page} page
 * @returns {string} `2:31 · Anna – Ben`; where the title does not name who is on, `2:31 · Anna · Club night`.
 */
export function tabTitle(page) {
  const { people, state, title } = page;
  if (isOver(state)) return `${page.result.title} · ${title}`;
  const parts = [];
  if (state.status !== "pending") {
    const { ms, countUp } = page.runningFace();
    if (ms !== null) parts.push(formatClock(ms, { countUp, tenths: false }));
    if (state.status === "paused") parts.push(page.pauseText());
    const active = state.active_participant_id;
    const name = state.participants.length > 1 && active ? people.name(active) : "";
    if (name && !title.includes(name)) parts.push(name);
  }
  return [...parts, title].join(" · ");
}
