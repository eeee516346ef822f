// How many moves a participant or a team has made. The service counts every turn that was begun, also the one
// under way when the session ends; nobody calls that one a move.

import { isOver } from "../rules.js";

/**
 * @param {import("../session.js").Page} page
 * @param {string} id A participant's or a group's id.
 * @returns {number | null} Null as long as it is not known.
 */
export function movesOf(page, id) {
  const { people, state, track } = page;
  const { cycle_count: count } = page.entry(id);
  if (count === 0 || state.sync_mode === "count_up") return count;
  if (!track.loaded) {
    if (!isOver(state)) {
      // A session that was reopened has turns that its end had cut short. Its state does not say it, but there were
      // more changes than its making, its start and its turns.
      if (state.version > state.cycle_count + 2 && !track.error) track.load();
      return count;
    }
    if (page.cutShort !== undefined) return people.ownerOf(page.cutShort) === id || page.cutShort === id ? count - 1 : count;
    if (!track.error) {
      track.load();
      return null;
    }
    return count;
  }
  const members = people.participants.filter((each) => each.groupId === id).map((each) => each.id);
  return Math.max(0, count - track.cutShort(id, [id, ...members]));
}
