// The files of LiveSplit (.lss), in which runners keep their splits. They are XML; what stands in them is a
// stranger's, so all of it is checked, and nothing of it becomes markup.

import { MAX_SEGMENTS } from "./splits.js";

const TIME = /^(?:(\d{1,4})\.)?(\d{1,5}):([0-5]\d):([0-5]\d)(?:\.(\d{1,9}))?$/;
const COMPARISON = "Personal Best";

/** A file that is none of LiveSplit's. */
export class NotLssError extends Error {}

/** A time as LiveSplit writes it, in ms; null when it is none. */
export function readTime(text) {
  const found = TIME.exec(text?.trim() ?? "");
  if (!found) return null;
  const [, days = "0", hours, minutes, seconds, fraction = ""] = found;
  const whole = ((Number(days) * 24 + Number(hours)) * 60 + Number(minutes)) * 60 + Number(seconds);
  return whole * 1000 + Math.round(Number(`0.${fraction || "0"}`) * 1000);
}

/** Milliseconds as LiveSplit writes them: `01:02:03.4560000`. */
export function writeTime(ms) {
  const whole = Math.round(ms);
  const two = (value) => String(value).padStart(2, "0");
  const seconds = Math.floor(whole / 1000);
  const fraction = String(whole % 1000).padStart(3, "0");
  return `${two(Math.floor(seconds / 3600))}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}.${fraction}0000`;
}

const inside = (element, name) => [...(element?.children ?? [])].filter((each) => each.tagName === name);
const first = (element, ...names) => names.reduce((from, name) => inside(from, name)[0], element);
const text = (element) => element?.textContent.trim() ?? "";

/**
 * Reads a file.
 *
 * @param {Document} document As DOMParser gives it.
 * @returns {{game: string, category: string, best: import("./splits.js").Best}} Throws NotLssError.
 */
export function readLss(document) {
  const run = document.documentElement;
  const segments = inside(first(run, "Segments"), "Segment");
  if (run.tagName !== "Run" || segments.length === 0) throw new NotLssError();
  const shown = segments.slice(0, MAX_SEGMENTS);
  const splitOf = (segment) =>
    inside(first(segment, "SplitTimes"), "SplitTime").find((each) => each.getAttribute("name") === COMPARISON);
  return {
    game: text(first(run, "GameName")),
    category: text(first(run, "CategoryName")),
    best: {
      names: shown.map((each, place) => text(first(each, "Name")).slice(0, 60) || String(place + 1)),
      splits: shown.map((each) => readTime(text(first(splitOf(each), "RealTime")))),
      best: shown.map((each) => readTime(text(first(each, "BestSegmentTime", "RealTime")))),
      attempts: Math.max(0, Number.parseInt(text(first(run, "AttemptCount")), 10) || 0),
    },
  };
}

const ESCAPES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
/** Text in XML, without the characters that XML cannot have. */
const escaped = (given) =>
  given.replace(/[^\t\n\r\x20-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, "").replace(/[&<>"]/g, (each) => ESCAPES[each]);

/**
 * A file of a run.
 *
 * @param {{game: string, category: string, best: import("./splits.js").Best}} run
 * @returns {string}
 */
export function writeLss({ game, category, best }) {
  const time = (ms) => (ms === null ? "" : `<RealTime>${writeTime(ms)}</RealTime>`);
  const segment = (name, place) => `    <Segment>
      <Name>${escaped(name)}</Name>
      <Icon />
      <SplitTimes>
        <SplitTime name="${COMPARISON}">${time(best.splits[place])}</SplitTime>
      </SplitTimes>
      <BestSegmentTime>${time(best.best[place])}</BestSegmentTime>
      <SegmentHistory />
    </Segment>`;
  return `<?xml version="1.0" encoding="UTF-8"?>
<Run version="1.7.0">
  <GameIcon />
  <GameName>${escaped(game)}</GameName>
  <CategoryName>${escaped(category)}</CategoryName>
  <Offset>00:00:00</Offset>
  <AttemptCount>${best.attempts}</AttemptCount>
  <AttemptHistory />
  <Segments>
${best.names.map(segment).join("\n")}
  </Segments>
  <AutoSplitterSettings />
</Run>
`;
}
