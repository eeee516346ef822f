// Three or four players around one phone or tablet, which lies on the table: each part of the game clock is turned to
// its player.

const PHONE = "(pointer: coarse) and (max-width: 40rem), (pointer: coarse) and (max-height: 32rem)";

/**
 * Whether the parts of the game clock can be turned: for three or four owners, on a device that presses all clocks.
 *
 * @param {import("../session.js").Page} page
 */
export function canBeAround(page) {
  const { length: count } = page.people.owners;
  return page.viewName === "clock" && (count === 3 || count === 4) && page.app.dataset.bound !== "true";
}

/** Whether they are turned: as the user chose on this page, otherwise on a phone. */
export function isAround(page) {
  return canBeAround(page) && (page.aroundInAddress ?? matchMedia(PHONE).matches);
}
