// What a preset's use is called: what somebody does during a session again and again, such as a bid in an auction.

import { has, t } from "./i18n.js";
import { formatClock } from "./time.js";

/** The text of the button, in the language of the page or as the preset has it. @param {object} preset */
export function useButton({ name, use }) {
  const { add_ms: added } = use.body;
  const time = typeof added === "number" ? formatClock(added, { plus: true, tenths: false }) : "";
  return has(`uses.${name}`) ? t(`uses.${name}`, { time, count: Math.round((added ?? 0) / 60_000) }) : use.button;
}
