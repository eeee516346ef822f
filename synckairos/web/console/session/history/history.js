// The history of a session: a table of the time that each participant used, and every event, newest first.

import { h, fill, note, openDialog, errorText } from "../../shared/ui.js";
import { moment, t } from "../../shared/i18n.js";
import { formatClock } from "../../shared/time.js";

/** The number of lines that are drawn. A button shows as many more. */
const PAGE = 100;

const MOMENT = { hour: "numeric", minute: "2-digit", second: "2-digit" };
const DAY = { dateStyle: "medium" };

const time = (ms) => formatClock(ms, { countUp: true, tenths: ms < 60_000 ? "always" : false });

/**
 * Opens the history.
 *
 * @param {import("../session.js").Page} page
 */
export function openHistory(page) {
  const { track } = page;
  let shown = PAGE;
  const summary = h("div", { class: "history-summary" });
  const list = h("div", { class: "history-list" });
  const hint = h("div", {});
  const opened = openDialog({
    title: t("history.title"),
    class: "history-dialog",
    body: [
      // A link cannot send a token.
      !page.rights.needsToken &&
        h(
          "p",
          { class: "history-links" },
          h(
            "a",
            {
              href: `/v1/sessions/${page.session.id}/timeline.svg`,
              target: "_blank",
              rel: "noopener",
            },
            t("history.picture"),
          ),
        ),
      hint,
      summary,
      list,
    ],
  });

  const draw = () => {
    const { people, state } = page;
    fill(
      hint,
      track.error && note("warn", t("history.unreadable"), " ", errorText(track.error)),
      track.loaded &&
        !track.complete &&
        note("", t("history.onlyNewest")),
      !track.loaded && !track.error && h("p", { class: "muted" }, t("history.reading")),
    );
    fill(summary, table(people, state, track));
    fill(
      list,
      lines(people, track, shown),
      track.lines.length > shown &&
        h(
          "button",
          {
            type: "button",
            class: "button",
            onclick: () => {
              shown += PAGE;
              draw();
            },
          },
          t("history.older"),
        ),
    );
  };
  track.listeners.add(draw);
  opened.closed.then(() => track.listeners.delete(draw));
  draw();
  track.load();
}

/** A table of turns, time used, average and longest turn, for each participant who had a turn. */
function table(people, state, track) {
  const byId = new Map();
  for (const cycle of track.cycles) {
    const sum = byId.get(cycle.participantId) ?? { turns: 0, ms: 0, longest: 0 };
    if (!cycle.unfinished) sum.turns += 1;
    sum.ms += cycle.ms;
    sum.longest = Math.max(sum.longest, cycle.ms);
    byId.set(cycle.participantId, sum);
  }
  if (byId.size === 0) return null;
  const rows = people.participants.filter((each) => byId.has(each.id)).slice(0, PAGE);
  return h(
    "table",
    { class: "history-table" },
    h("caption", { class: "visually-hidden" }, t("history.table")),
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        [t("history.who"), t("history.turns"), t("history.used"), t("history.average"), t("history.longest")].map((name) => h("th", { scope: "col" }, name)),
      ),
    ),
    h(
      "tbody",
      {},
      rows.map((person) => {
        const { turns, ms, longest } = byId.get(person.id);
        return h(
          "tr",
          {},
          h("th", { scope: "row" }, h("span", { class: `dot hue-${person.hue}` }), person.name),
          [String(turns), time(ms), turns === 0 ? "–" : time(ms / turns), time(longest)].map((text) =>
            h("td", { class: "digits" }, text),
          ),
        );
      }),
    ),
  );
}

function lines(people, track, shown) {
  const newest = track.lines.slice(-shown).reverse();
  let day = null;
  const items = [];
  for (const line of newest) {
    const date = moment(line.at, DAY);
    if (day !== null && date !== day) items.push(h("li", { class: "history-day" }, date));
    day = date;
    const person = people.byId.get(line.participantId);
    items.push(
      h(
        "li",
        { class: "history-line", dataset: { event: line.event } },
        h("time", { class: "digits", datetime: new Date(line.at).toISOString() }, moment(line.at, MOMENT)),
        h("span", { class: `dot ${person ? `hue-${person.hue}` : "none"}` }),
        h("span", { class: "history-text" }, line.text),
        h("span", { class: "history-ms digits" }, line.ms === null ? "" : time(line.ms)),
      ),
    );
  }
  return h("ol", { class: "history-lines", role: "list", "aria-label": t("history.events") }, items);
}
