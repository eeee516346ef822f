// The names of a speedrun's segments, by which every page knows that a session is one.

/** A run has at most so many segments. */
export const MAX_SEGMENTS = 100;
/** A segment's name is cut to so many characters. */
export const MAX_NAME = 60;

/** The names of the segments in a session's metadata, made safe to show; none where there is no such list. */
export function segmentNames(state) {
  const given = state.metadata?.splits;
  if (!Array.isArray(given)) return [];
  const names = given.filter((each) => typeof each === "string").map((each) => each.trim().slice(0, MAX_NAME));
  return names.filter(Boolean).slice(0, MAX_SEGMENTS);
}
