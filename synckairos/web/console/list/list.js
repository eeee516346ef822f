// The list of sessions. It is fetched every few seconds while the page is visible, and in between its clocks
// are drawn by the server's time. Without an audit store the service keeps no list: then the page shows the
// sessions that were opened in this browser.

import { clockLabel } from "./controls.js";
import { segments } from "./fields.js";
import { t } from "../shared/i18n.js";
import { STATUSES, titleOf } from "../shared/names.js";
import { forget, recent } from "../shared/recent.js";
import { Rights } from "../shared/rights.js";
import { roomPath, tagsOf } from "../shared/tags.js";
import { storedToken } from "../shared/token.js";
import { summaryOf } from "./summary.js";
import { clockParts, spokenDuration } from "../shared/time.js";
import {
  button,
  errorText,
  fill,
  h,
  linksDialog,
  note,
  setText,
  shareDialog,
  statusPill,
  toast,
  tokenCard,
} from "../shared/ui.js";

const PAGE = 24;
/** The most sessions that the service returns in one answer. */
const MAX_LIMIT = 100;
const POLL_MS = 4000;
/** How long the page waits before it asks again whether the service has a list. */
const NO_LIST_MS = 15_000;
/** The most sessions of this browser that are fetched, one by one: at most 60 requests a minute. */
const MAX_RECENT = 24;
const FRAME_MS = 50;
const SPEAK_MS = 5000;
const LIVE = new Set(["pending", "running", "paused"]);

/**
 * @param {import("/synckairos.js").SyncKairos} client
 * @param {(connection: "live" | "reconnecting") => void} onConnection
 * @param {() => Promise<import("../shared/rights.js").Rights>} findRights Asks what the tab's token allows.
 * @returns {{element: HTMLElement, setActive: (active: boolean) => void}}
 */
export function sessionList(client, onConnection, findRights) {
  let status = "";
  let pages = 1;
  let active = false;
  let timer = 0;
  let request = null;
  /** Whether to fetch again after the request, because the filter has changed. */
  let isOutdated = false;
  /** Whether a screen reader hears the number of sessions: only after the user has asked for them. */
  let announcesCount = false;
  let failures = 0;
  let withoutListSince = -Infinity;
  let rights = Rights.none;
  /** Why the service has no list; "" when it has one. */
  let reason = "";
  /** The message above the list. */
  let message = "";
  /** The states of this browser's sessions, by id. One that is over is not fetched again. */
  const recentStates = new Map();
  /** @type {Map<string, Card>} */
  const cards = new Map();

  const filter = segments({
    label: t("list.show"),
    hideLabel: true,
    value: "",
    options: [["", t("list.all")], ...Object.entries(STATUSES)],
    onchange: (value) => {
      status = value;
      pages = 1;
      announcesCount = true;
      restart();
    },
  });
  filter.element.classList.add("filter");
  const messageBox = h("div", { class: "list-note", role: "status" });
  const tokenBox = h("div", { class: "list-note" });
  const countText = h("p", { class: "visually-hidden", role: "status" });
  const list = h(
    "ul",
    { role: "list", class: "sessions", "aria-label": t("list.sessions"), "aria-busy": "true" },
    skeletons(),
  );
  const empty = h("div", { class: "empty", hidden: true });
  const more = button(t("list.more"), {
    class: "large",
    hidden: true,
    onclick: () => {
      pages += 1;
      announcesCount = true;
      restart();
    },
  });
  const element = h(
    "div",
    { class: "list" },
    filter.element,
    messageBox,
    tokenBox,
    countText,
    list,
    empty,
    h("div", { class: "list-more" }, more),
  );

  /** Fetches the list at once, or again after the request that is under way for another filter. */
  function restart() {
    if (request) isOutdated = true;
    else poll();
  }

  async function poll() {
    clearTimeout(timer);
    // A token that is not good is not sent again and again: the service counts that as attempts to guess one.
    if (!active || document.hidden || tokenBox.firstChild) return;
    request = load();
    await request;
    request = null;
    if (isOutdated) {
      isOutdated = false;
      poll();
    } else {
      clearTimeout(timer);
      const oneByOneMs = reason ? Math.min(recentStates.size, MAX_RECENT) * 1000 : 0;
      timer = setTimeout(poll, Math.max(POLL_MS, oneByOneMs));
    }
  }

  async function load() {
    const wantedStatus = status;
    try {
      rights = await findRights();
      const found = await fetchSessions();
      if (wantedStatus !== status) return;
      failures = 0;
      onConnection("live");
      show(found);
    } catch (error) {
      if (wantedStatus !== status) return;
      showFailure(error);
    }
  }

  async function fetchSessions() {
    if (performance.now() - withoutListSince > NO_LIST_MS) {
      try {
        if (!reason || (await hasList())) {
          const found = await fetchList();
          reason = "";
          return found;
        }
      } catch (error) {
        if (!["STORAGE_UNAVAILABLE", "CIRCUIT_OPEN"].includes(error?.code)) throw error;
        reason = error.message || t("list.noList");
      }
      withoutListSince = performance.now();
    }
    return fetchRecent();
  }

  /** As many pages as the user has asked for, one after the other. */
  async function fetchList() {
    const sessions = [];
    let cursor = null;
    let left = pages * PAGE;
    do {
      const limit = Math.min(left, MAX_LIMIT);
      const page = await client.list({ ...(status && { status }), limit, ...(cursor && { cursor }) });
      sessions.push(...page.sessions);
      cursor = page.next_cursor;
      left -= limit;
    } while (left > 0 && cursor);
    return { sessions, more: cursor !== null };
  }

  /** Whether the service's audit store answers. */
  async function hasList() {
    const answer = await fetch("/ready", { headers: { accept: "application/json" } });
    const { checks } = await answer.json();
    return checks?.audit?.status === "ok";
  }

  async function fetchRecent() {
    const opened = recent();
    const asked = opened.slice(0, Math.min(pages * PAGE, MAX_RECENT));
    let failure = null;
    await Promise.all(
      asked.map(async ({ id }) => {
        const known = recentStates.get(id);
        if (known && !LIVE.has(known.status)) return;
        try {
          recentStates.set(id, await client.request("GET", `/v1/sessions/${id}`));
        } catch (error) {
          if (error?.code === "SESSION_NOT_FOUND") {
            recentStates.delete(id);
            // With another token the session may be there.
            if (storedToken() === null) forget(id);
          } else failure = error;
        }
      }),
    );
    if (failure && recentStates.size === 0) throw failure;
    const sessions = asked
      .map(({ id }) => recentStates.get(id))
      .filter((state) => state && (status === "" || state.status === status));
    return { sessions, more: false };
  }

  function showFailure(error) {
    if (error?.code === "UNAUTHENTICATED" || error?.code === "FORBIDDEN") {
      fill(list);
      list.hidden = true;
      filter.element.hidden = true;
      cards.clear();
      list.removeAttribute("aria-busy");
      more.hidden = true;
      empty.hidden = true;
      onConnection("live");
      showMessage("", "");
      fill(tokenBox, tokenCard(() => location.reload()));
      if (document.activeElement === document.body) tokenBox.querySelector("input").focus();
      return;
    }
    failures += 1;
    onConnection("reconnecting");
    if (failures === 1 && cards.size > 0) return; // the next attempt will most likely succeed
    showMessage("danger", `${errorText(error)} ${t("list.tryingAgain")}`);
    if (cards.size === 0) {
      fill(list);
      list.removeAttribute("aria-busy");
    }
  }

  function showMessage(kind, text) {
    if (message === kind + text) return;
    message = kind + text;
    fill(messageBox, text && note(kind, h("p", {}, text)));
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
        card = new Card(state.session_id, share);
        card.share.hidden = !rights.mayShare;
        cards.set(state.session_id, card);
      }
      card.show(state);
      const place = before ? before.nextSibling : list.firstChild;
      if (place !== card.element) list.insertBefore(card.element, place);
      before = card.element;
    }
    more.hidden = !hasMore;
    const number = sessions.length;
    if (announcesCount)
      setText(countText, t(hasMore ? "list.countAndMore" : "list.count", { count: number }));
    announcesCount = false;
    empty.hidden = sessions.length > 0;
    if (sessions.length === 0) fill(empty, emptyText());
    list.hidden = sessions.length === 0;
    showMessage("", reason && t("list.onlyRecent", { reason }));
    draw();
  }

  /** Shares a session by links where there are tokens, otherwise by its address, as on its own page. */
  async function share(state) {
    if (!rights.mayLink) {
      shareDialog(`/s/${state.session_id}`, { title: titleOf(state) });
      return;
    }
    try {
      linksDialog(client, await client.request("GET", `/v1/sessions/${state.session_id}`));
    } catch (error) {
      toast(errorText(error), { kind: "error" });
    }
  }

  function emptyText() {
    if (status !== "") {
      return [
        h("p", { class: "empty-title" }, t("list.noneFound")),
        h("p", { class: "muted" }, t("list.noneWithStatus", { status: STATUSES[status] })),
      ];
    }
    if (!rights.always("create")) {
      return h("p", { class: "empty-title" }, t("list.noneForYou"));
    }
    return [
      h("p", { class: "empty-title" }, t("list.none")),
      h("p", { class: "muted" }, t("list.noneText")),
      h(
        "div",
        { class: "buttons" },
        h("a", { class: "button primary large", href: "#new" }, t("form.new")),
        h("a", { class: "button large", href: "#new/blitz" }, t("list.blitz", { control: "3+2" })),
        h("a", { class: "button large", href: "#new/quiz" }, t("list.quiz")),
      ),
    ];
  }

  let drawnAt = 0;
  function frame(at) {
    if (!active) return;
    requestAnimationFrame(frame);
    if (at - drawnAt >= FRAME_MS) {
      drawnAt = at;
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
    /** The tags of the sessions that are shown. */
    get tags() {
      return [...new Set([...cards.values()].flatMap((card) => tagsOf(card.state)))].sort();
    },
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

/** One session. Its element stays from answer to answer, so that a reader keeps the focus and the place. */
class Card {
  /**
   * @param {string} id
   * @param {(state: object) => void} share
   */
  constructor(id, share) {
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
      h("span", { "aria-hidden": "true" }, h("bdi", { dir: "ltr" }, this.main, this.tenths), this.unit),
      (this.spoken = h("span", { class: "visually-hidden" })),
    );
    this.line = h("p", { class: "session-line" });
    this.label = h("p", { class: "session-label" });
    this.tags = h("p", { class: "session-tags", hidden: true });
    this.shownTags = "";
    this.share = button(t("word.share"), {
      icon: "share",
      square: true,
      class: "quiet",
      onclick: () => share(this.state),
    });
    this.element = h(
      "li",
      { class: "session" },
      h("div", { class: "session-head" }, h("h2", { class: "session-title" }, this.link), this.pill),
      this.clock,
      this.line,
      h("div", { class: "session-foot" }, h("div", { class: "session-about" }, this.label, this.tags), this.share),
    );
    this.spokenAt = -Infinity;
  }

  show(state) {
    this.state = state;
    const title = titleOf(state);
    setText(this.link, title);
    this.share.setAttribute("aria-label", t("list.shareOne", { title }));
    setText(this.label, clockLabel(state));
    const tags = tagsOf(state);
    if (tags.join() !== this.shownTags) {
      this.shownTags = tags.join();
      this.tags.hidden = tags.length === 0;
      fill(this.tags, tags.map((tag) => h("a", { href: roomPath(tag), "aria-label": t("room.tag", { tag }) }, tag)));
    }
    if (state.status !== this.status) {
      this.status = state.status;
      this.spokenAt = -Infinity;
      this.element.dataset.status = state.status;
      fill(this.pill, statusPill(state.status));
    }
  }

  /** @param {number | null} time The server's time; null until it is known. */
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
    // A screen reader reads this text when the user moves to the clock. It is not announced by itself.
    if (performance.now() - this.spokenAt > SPEAK_MS) {
      this.spokenAt = performance.now();
      setText(
        this.spoken,
        ms === null ? t("list.noTime") : this.#spoken(spokenDuration(ms, { countUp }), countUp, unit),
      );
    }
  }

  #spoken(time, countUp, unit) {
    if (unit) return `${time} ${unit}`;
    return countUp ? t("time.passed", { time }) : t("time.left", { time });
  }
}
