// The list of sessions: asked for every few seconds while the page is in sight, and drawn between by the
// server's time. Without an audit store the service keeps no list; then those that this browser has opened are
// shown.

import { clockLabel } from "./controls.js";
import { segments } from "./fields.js";
import { STATUSES, titleOf } from "../shared/names.js";
import { forget, recent } from "../shared/recent.js";
import { summaryOf } from "./summary.js";
import { clockParts, spokenDuration } from "../shared/time.js";
import { button, errorText, fill, h, note, setText, shareDialog, statusPill, tokenForm } from "../shared/ui.js";

const PAGE = 24;
/** As many as the service gives in one answer. */
const MOST_AT_ONCE = 100;
const POLL_MS = 4000;
/** How long to do without the service's list before it is asked for again. */
const NO_LIST_MS = 15_000;
/** Sessions of this browser that are asked for one by one: at most 60 requests a minute, however many. */
const MOST_RECENT = 24;
const FRAME_MS = 50;
const SPEAK_MS = 5000;
const LIVE = new Set(["pending", "running", "paused"]);

/**
 * @param {import("/synckairos.js").SyncKairos} client
 * @param {(connection: "live" | "reconnecting") => void} onConnection
 * @returns {{element: HTMLElement, setActive: (active: boolean) => void}}
 */
export function sessionList(client, onConnection) {
  let status = "";
  let pages = 1;
  let active = false;
  let timer = 0;
  let asking = null;
  let again = false;
  /** Whether to tell how many sessions there are: they were asked for by hand. */
  let count = false;
  let failures = 0;
  let withoutListSince = -Infinity;
  let reason = "";
  /** What stands above the list. */
  let said = "";
  /** States of this browser's sessions by id, kept once they are over. */
  const own = new Map();
  /** @type {Map<string, Card>} */
  const cards = new Map();

  const filter = segments({
    label: "Show",
    hideLabel: true,
    value: "",
    options: [["", "All"], ...Object.entries(STATUSES)],
    onchange: (value) => {
      status = value;
      pages = 1;
      count = true;
      restart();
    },
  });
  filter.element.classList.add("filter");
  const above = h("div", { class: "list-note", role: "status" });
  const gate = h("div", { class: "list-note" });
  const counted = h("p", { class: "visually-hidden", role: "status" });
  const list = h(
    "ul",
    { role: "list", class: "sessions", "aria-label": "Sessions", "aria-busy": "true" },
    skeletons(),
  );
  const empty = h("div", { class: "empty", hidden: true });
  const more = button("Show more", {
    class: "large",
    hidden: true,
    onclick: () => {
      pages += 1;
      count = true;
      restart();
    },
  });
  const element = h(
    "div",
    { class: "list" },
    filter.element,
    above,
    gate,
    counted,
    list,
    empty,
    h("div", { class: "list-more" }, more),
  );

  /** Asks at once, and again when what is under way was asked under another filter. */
  function restart() {
    if (asking) again = true;
    else poll();
  }

  async function poll() {
    clearTimeout(timer);
    if (!active || document.hidden) return;
    asking = load();
    await asking;
    asking = null;
    if (again) {
      again = false;
      poll();
    } else {
      clearTimeout(timer);
      timer = setTimeout(poll, Math.max(POLL_MS, reason ? Math.min(own.size, MOST_RECENT) * 1000 : 0));
    }
  }

  async function load() {
    const wanted = status;
    try {
      const found = await find();
      if (wanted !== status) return;
      fill(gate);
      failures = 0;
      onConnection("live");
      show(found);
    } catch (error) {
      if (wanted !== status) return;
      failed(error);
    }
  }

  async function find() {
    if (performance.now() - withoutListSince > NO_LIST_MS) {
      try {
        if (!reason || (await hasList())) {
          const found = await listed();
          reason = "";
          return found;
        }
      } catch (error) {
        if (error?.code !== "STORAGE_UNAVAILABLE") throw error;
        reason = error.message || "the service has no list of sessions at the moment";
      }
      withoutListSince = performance.now();
    }
    return ofThisBrowser();
  }

  /** As many pages as were asked for, each behind the one before. */
  async function listed() {
    const sessions = [];
    let cursor = null;
    let left = pages * PAGE;
    do {
      const limit = Math.min(left, MOST_AT_ONCE);
      const page = await client.list({ ...(status && { status }), limit, ...(cursor && { cursor }) });
      sessions.push(...page.sessions);
      cursor = page.next_cursor;
      left -= limit;
    } while (left > 0 && cursor);
    return { sessions, more: cursor !== null };
  }

  /** Whether the service has an audit store that answers. */
  async function hasList() {
    const answer = await fetch("/ready", { headers: { accept: "application/json" } });
    const { checks } = await answer.json();
    return checks?.audit?.status === "ok";
  }

  async function ofThisBrowser() {
    const opened = recent();
    const asked = opened.slice(0, Math.min(pages * PAGE, MOST_RECENT));
    let failure = null;
    await Promise.all(
      asked.map(async ({ id }) => {
        const known = own.get(id);
        if (known && !LIVE.has(known.status)) return;
        try {
          own.set(id, await client.request("GET", `/v1/sessions/${id}`));
        } catch (error) {
          if (error?.code === "SESSION_NOT_FOUND") {
            own.delete(id);
            forget(id);
          } else failure = error;
        }
      }),
    );
    if (failure && own.size === 0) throw failure;
    const sessions = asked
      .map(({ id }) => own.get(id))
      .filter((state) => state && (status === "" || state.status === status));
    return { sessions, more: false };
  }

  function failed(error) {
    if (error?.code === "UNAUTHENTICATED") {
      fill(list);
      list.hidden = true;
      cards.clear();
      list.removeAttribute("aria-busy");
      more.hidden = true;
      empty.hidden = true;
      onConnection("live");
      say("", "");
      if (!gate.firstChild) {
        fill(
          gate,
          h(
            "div",
            { class: "card token-card" },
            h("h2", {}, "The service wants a token"),
            tokenForm(() => {
              fill(gate);
              restart();
            }),
          ),
        );
      }
      return;
    }
    failures += 1;
    onConnection("reconnecting");
    if (failures === 1 && cards.size > 0) return; // the next try will most likely do
    say("danger", `${errorText(error)} Trying again …`);
    if (cards.size === 0) {
      fill(list);
      list.removeAttribute("aria-busy");
    }
  }

  function say(kind, text) {
    if (said === kind + text) return;
    said = kind + text;
    fill(above, text && note(kind, h("p", {}, text)));
  }

  function show({ sessions, more: hasMore }) {
    const ids = new Set(sessions.map((each) => each.session_id));
    if (cards.size === 0) fill(list);
    list.removeAttribute("aria-busy");
    for (const [id, card] of cards) {
      if (!ids.has(id)) {
        card.element.remove();
        cards.delete(id);
      }
    }
    let before = null;
    for (const state of sessions) {
      let card = cards.get(state.session_id);
      if (!card) {
        card = new Card(state.session_id);
        cards.set(state.session_id, card);
      }
      card.show(state);
      const place = before ? before.nextSibling : list.firstChild;
      if (place !== card.element) list.insertBefore(card.element, place);
      before = card.element;
    }
    more.hidden = !hasMore;
    const number = sessions.length;
    if (count)
      setText(counted, `${number}${hasMore ? " and more" : ""} ${number === 1 ? "session" : "sessions"}`);
    count = false;
    empty.hidden = sessions.length > 0;
    if (sessions.length === 0) fill(empty, emptyText());
    list.hidden = sessions.length === 0;
    say("", reason && `Only sessions that were opened in this browser are shown: ${reason}.`);
    draw();
  }

  function emptyText() {
    if (status !== "") {
      return [
        h("p", { class: "empty-title" }, "No session is here"),
        h("p", { class: "muted" }, `None is “${STATUSES[status]}”.`),
      ];
    }
    return [
      h("p", { class: "empty-title" }, "No sessions yet"),
      h("p", { class: "muted" }, "Create one, open it on two devices, and see both clocks run the same."),
      h(
        "div",
        { class: "buttons" },
        h("a", { class: "button primary large", href: "#new" }, "New session"),
        h("a", { class: "button large", href: "#new/blitz" }, "Blitz 3+2"),
        h("a", { class: "button large", href: "#new/quiz" }, "Quiz"),
      ),
    ];
  }

  let drawn = 0;
  function frame(at) {
    if (!active) return;
    requestAnimationFrame(frame);
    if (at - drawn >= FRAME_MS) {
      drawn = at;
      draw();
    }
  }

  function draw() {
    const now = client.time.now();
    for (const card of cards.values()) card.draw(now);
  }

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) restart();
  });

  return {
    element,
    setActive(next) {
      if (active === next) return;
      active = next;
      if (active) {
        restart();
        requestAnimationFrame(frame);
      } else clearTimeout(timer);
    },
  };
}

function skeletons() {
  return Array.from({ length: 6 }, () => h("li", { class: "session skeleton", "aria-hidden": "true" }));
}

/** One session. Its element stays the same from answer to answer, so that focus and reading place stay too. */
class Card {
  constructor(id) {
    const url = `/s/${id}`;
    this.status = "";
    this.pill = h("span", { class: "session-status" });
    this.link = h("a", { class: "session-link", href: url });
    this.main = h("span", {});
    this.tenths = h("span", { class: "tenths" });
    this.unit = h("span", { class: "unit" });
    this.clock = h(
      "p",
      { class: "session-clock digits", role: "timer" },
      h("span", { "aria-hidden": "true" }, this.main, this.tenths, this.unit),
      (this.spoken = h("span", { class: "visually-hidden" })),
    );
    this.line = h("p", { class: "session-line" });
    this.label = h("p", { class: "session-label" });
    this.share = button("Share", {
      icon: "share",
      square: true,
      class: "quiet",
      onclick: () => shareDialog(url, { title: titleOf(this.state) }),
    });
    this.element = h(
      "li",
      { class: "session" },
      h("div", { class: "session-head" }, h("h2", { class: "session-title" }, this.link), this.pill),
      this.clock,
      this.line,
      h("div", { class: "session-foot" }, this.label, this.share),
    );
    this.spokenAt = -Infinity;
  }

  show(state) {
    this.state = state;
    const title = titleOf(state);
    setText(this.link, title);
    this.share.setAttribute("aria-label", `Share ${title}`);
    setText(this.label, clockLabel(state));
    if (state.status !== this.status) {
      this.status = state.status;
      this.spokenAt = -Infinity;
      this.element.dataset.status = state.status;
      fill(this.pill, statusPill(state.status));
    }
  }

  /** @param {number | null} time The server's; null while it is not known. */
  draw(time) {
    const now = time ?? this.state.server_time_ms;
    const { ms, countUp, level, unit, line } = summaryOf(this.state, now);
    const { sign, main, tenths } =
      ms === null ? { sign: "", main: "–", tenths: "" } : clockParts(ms, { countUp });
    setText(this.main, sign + main);
    setText(this.tenths, this.status === "running" ? tenths : "");
    setText(this.unit, unit);
    setText(this.line, line);
    if (this.element.dataset.level !== level) this.element.dataset.level = level;
    // What a screen reader finds when it comes by; nothing is announced.
    if (performance.now() - this.spokenAt > SPEAK_MS) {
      this.spokenAt = performance.now();
      setText(
        this.spoken,
        ms === null
          ? "no time yet"
          : `${spokenDuration(ms, { countUp })} ${unit || (countUp ? "passed" : "left")}`,
      );
    }
  }
}
