// What a change of the metadata was about, in words: the event has all of it, before and after is compared here.

import { t } from "../../shared/i18n.js";
import { displayText } from "../../shared/names.js";

/** What comes into the metadata of a session that goes on. Where the metadata before is not known, it is this. */
const ADDED_LATER = ["message", "blackout", "announcements", "next_session"];

const KINDS = {
  title: (after) => {
    const title = displayText(after.title);
    return title ? t("details.title", { title }) : t("details.noTitle");
  },
  names: () => t("details.names"),
  message: (after) => {
    const text = displayText(after.message?.text);
    return text ? t("details.message", { text }) : t("details.noMessage");
  },
  blackout: (after) => (after.blackout === true ? t("details.dark") : t("details.light")),
  announcements: (after, before) => {
    const [old, now] = [before, after].map(({ announcements: all }) => (Array.isArray(all) ? all : []));
    const known = new Set(old.map((each) => JSON.stringify(each)));
    const added = now.filter((each) => !known.has(JSON.stringify(each)));
    const text = added.length === 1 ? displayText(added[0]?.text) : null;
    return text ? t("details.announced", { text }) : t("details.announcements");
  },
  next_session: (after) => (after.next_session ? t("details.rematch") : t("details.noRematch")),
  agenda: () => t("details.agenda"),
  splits: () => t("details.splits"),
  run: () => t("details.run"),
};

/**
 * A line of the history for a change of the metadata.
 *
 * @param {Record<string, any>} after The metadata since then.
 * @param {Record<string, any> | null} before The metadata until then; null where it is not known.
 */
export function detailsText(after, before) {
  const old = before ?? Object.fromEntries(Object.entries(after).filter(([name]) => !ADDED_LATER.includes(name)));
  const changed = Object.keys({ ...old, ...after })
    .filter((name) => JSON.stringify(old[name]) !== JSON.stringify(after[name]));
  const about = changed.filter((name) => name !== "run" || !changed.includes("splits")); // a run is one of its splits
  const [only] = about;
  return about.length === 1 && Object.hasOwn(KINDS, only) ? KINDS[only](after, old) : t("details.others");
}
