// Tags of sessions, as the service reads them from `metadata.tags`: a tag makes a room. All functions are pure.

/** The most tags of a session; one with a longer list has none. */
export const MOST_TAGS = 16;

const TAG = /^[\p{L}\p{N}\p{M}\-_.]{1,64}$/u;
const NAMED = /[\p{L}\p{N}]/u;

/** A tag as the service compares it: composed, in lower case. Null when a text is no tag. */
export function foldTag(text) {
  if (typeof text !== "string") return null;
  const tag = text.normalize("NFKC").toLowerCase();
  return TAG.test(tag) && NAMED.test(tag) ? tag : null;
}

/** A tag of what somebody typed as a room's name: `Club night` is `club-night`. Null when there is none. */
export const tagFrom = (text) => foldTag(text.trim().replace(/\s+/g, "-"));

/** The tags of a state, folded and without doubles. */
export function tagsOf(state) {
  const given = state.metadata?.tags;
  if (!Array.isArray(given) || given.length > MOST_TAGS) return [];
  return [...new Set(given.map(foldTag).filter((tag) => tag !== null))];
}

/** The address of a room's page. */
export const roomPath = (tag) => `/room/${encodeURIComponent(tag)}`;
