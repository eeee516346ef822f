// What the user may choose about the faces of this page: how they count, and whether they are turned to the players.

import { t } from "../../shared/i18n.js";
import { canBeAround, isAround } from "./around.js";

/** Whether there is a face with a limit, which can count both ways. A stopwatch counts up. */
function hasDirection({ state, viewName }) {
  if (viewName === "stopwatch") return false;
  if (state.sync_mode === "count_up") return state.max_time_ms !== null && viewName === "countdown";
  return true;
}

/** Whether the faces of a page count up. */
export const countsUp = ({ counts, state }) => (counts ?? (state.sync_mode === "count_up" ? "up" : "down")) === "up";

/**
 * @param {import("../session.js").Page} page
 * @returns {[label: string, icon: string, work: () => void][]} What stands in the menu.
 */
export function faceItems(page) {
  const items = [];
  if (hasDirection(page)) {
    const isUp = countsUp(page);
    items.push([t(isUp ? "faces.countDown" : "faces.countUp"), "clock", () => page.setCounts(isUp ? "down" : "up")]);
  }
  if (canBeAround(page)) {
    const turned = isAround(page);
    items.push([t(turned ? "faces.notAround" : "faces.around"), "people", () => page.setAround(!turned)]);
  }
  return items;
}
