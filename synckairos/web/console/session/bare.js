// The page at `/s/<id>?bare`: a session's clocks and nothing else, in the colours and the font of its address. It
// says nothing, and shows a dot while what it shows may not be right.

import { Cover } from "./screens/cover.js";
import { screensOf, shownOn } from "./screens/screens.js";
import { BareClocks, bareOptions } from "../shared/bare.js";
import { t } from "../shared/i18n.js";
import { titleOf } from "../shared/names.js";
import { nextSessionOf, samePageOf } from "../shared/next.js";
import { UUID } from "../shared/recent.js";
import { cameByLink, storedToken } from "../shared/token.js";
import { leadsOn } from "./faces/ends.js";
import { SyncKairos } from "/synckairos.js";

/** Connections that break and come back within this time show no dot. */
const PATIENCE_MS = 1500;

const options = bareOptions(new URLSearchParams(location.search));
const root = document.documentElement;
if (options.bg !== null) root.style.setProperty("--bg", options.bg);
if (options.fg !== null) root.style.setProperty("--fg", options.fg);
root.classList.toggle("clear", options.bg === "transparent");

const clocks = new BareClocks(options);
document.getElementById("clocks").append(clocks.element);
const cover = new Cover(document.body);
const lost = document.getElementById("lost");
const id = location.pathname.split("/").pop().toLowerCase();
let timer = 0;

/** What the page is called, in the tab and for screen readers. */
function name(title) {
  document.title = title;
  document.getElementById("title").textContent = title;
}

/** Shows the dot, with what is wrong for those who ask: as the title of dot and page, and for screen readers. */
function showDot(words) {
  clearTimeout(timer);
  lost.hidden = words === null;
  lost.title = words ?? "";
  lost.textContent = words ?? "";
}

if (UUID.test(id)) {
  const client = new SyncKairos({ url: location.origin, token: storedToken, reconnectAttempts: Infinity, maxSkewMs: Infinity });
  const session = client.session(id);
  session.ready.catch(() => {}); // onConnection says it
  let before = null;
  session.onChange((state) => {
    if (!state) return;
    name(titleOf(state));
    cover.show(shownOn(screensOf(state.metadata), "bare"));
    // Where the session goes on in another one, that is shown. A link is for its own session alone.
    if (leadsOn(before, state, nextSessionOf) && !cameByLink()) location.replace(samePageOf(nextSessionOf(state)));
    before = state;
  });
  const connected = () => {
    clearTimeout(timer);
    if (session.connection === "live" && session.staleMs === null) showDot(null);
    else if (session.connection === "closed") {
      const isGone = session.closeReason?.code === "SESSION_NOT_FOUND";
      name(t(isGone ? "bare.gone" : "bare.refused"));
      showDot(document.title);
    } else timer = setTimeout(() => showDot(t("bare.lost")), PATIENCE_MS);
  };
  session.onConnection(connected);
  session.onChange(connected);
  connected();
  const frame = () => {
    requestAnimationFrame(frame);
    const { state } = session;
    const now = client.time.now();
    if (state && now !== null) clocks.show(state, now);
  };
  requestAnimationFrame(frame);
} else {
  name(t("bare.gone"));
  showDot(document.title);
}
