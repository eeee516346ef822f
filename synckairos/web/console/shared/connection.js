// The button that shows the state of the connection and the uncertainty of the server's time.

import { openDialog } from "./dialogs.js";
import { fill, h, setText } from "./dom.js";
import { number, t } from "./i18n.js";
import { formatDuration } from "./time.js";

const CONNECTIONS = {
  connecting: t("connection.connecting"),
  live: t("connection.live"),
  reconnecting: t("connection.reconnecting"),
  closed: t("connection.closed"),
};

/** The same within a sentence. */
const IN_A_SENTENCE = {
  connecting: t("connection.isConnecting"),
  live: t("connection.isLive"),
  reconnecting: t("connection.isReconnecting"),
  closed: t("connection.isClosed"),
};

const TENTHS = { minimumFractionDigits: 1, maximumFractionDigits: 1 };

/** An uncertainty in ms as text: `±4 ms` or `±1.3 s`; "" until it is known. */
function uncertaintyText(ms) {
  if (!Number.isFinite(ms)) return "";
  return ms < 995
    ? t("connection.withinMs", { number: Math.max(1, Math.round(ms)) })
    : t("connection.withinS", { number: number(ms / 1000, TENTHS) });
}

function deviceClockText(skewMs) {
  if (!Number.isFinite(skewMs)) return t("connection.unknown");
  const off = Math.abs(skewMs);
  if (off < 1000) return t("connection.clockRight");
  const unit = off < 120_000 ? 1_000 : 60_000;
  const size = formatDuration(unit * Math.round(off / unit));
  return skewMs > 0 ? t("connection.clockSlow", { size }) : t("connection.clockFast", { size });
}

/**
 * A button that shows the connection's state and the clock's uncertainty. It opens a dialog with the numbers.
 *
 * A screen reader announces only that the connection was lost or is back.
 *
 * @param {SyncKairos} client
 * @param {object | null} [session] The client's session; without one the page sets the state by `set`.
 * @returns {{element: HTMLElement, set: (state: string) => void, stop: () => void}}
 */
export function connectionIndicator(client, session = null) {
  let state = session?.connection ?? "connecting";
  let wasLive = false;
  let numbers = null;
  const text = h("span", { class: "connection-text digits" });
  const spoken = h("span", { class: "visually-hidden", role: "status" });
  const control = h(
    "button",
    { type: "button", class: "button quiet connection", "aria-haspopup": "dialog", onclick: openNumbers },
    h("span", { class: "dot" }),
    text,
  );
  const element = h("span", { class: "connection-place" }, control, spoken);

  function show() {
    const known = uncertaintyText(client.time.uncertaintyMs);
    // On a session's page a banner says what is wrong. There the text must not need more room than the number.
    const words = state === "connecting" || (session && state !== "live") ? "…" : CONNECTIONS[state];
    setText(text, state === "live" && known ? known : words);
    control.dataset.state = state;
    const values = { state: IN_A_SENTENCE[state], known };
    const label = known ? t("connection.labelKnown", values) : t("connection.label", values);
    if (control.getAttribute("aria-label") !== label) control.setAttribute("aria-label", label);
    if (numbers) showNumbers();
  }
  function set(next) {
    if (next === state) return;
    state = next;
    if (state === "live") {
      setText(spoken, wasLive ? t("connection.again") : "");
      wasLive = true;
    } else if (wasLive)
      setText(spoken, state === "closed" ? t("connection.over") : t("connection.lost"));
    show();
  }
  function openNumbers() {
    numbers = h("dl", { class: "facts" });
    const opened = openDialog({
      title: t("connection.title"),
      body: [
        numbers,
        h(
          "p",
          { class: "hint" },
          t("connection.explained"),
        ),
      ],
    });
    showNumbers();
    opened.closed.then(() => {
      numbers = null;
    });
  }
  function showNumbers() {
    const time = client.time;
    const rows = [
      [t("connection.connection"), CONNECTIONS[state]],
      [t("connection.uncertainty"), uncertaintyText(time.uncertaintyMs) || t("connection.unknown")],
      [
        t("connection.roundTrip"),
        Number.isFinite(time.rttMs)
          ? t("connection.ms", { number: number(time.rttMs, TENTHS) })
          : t("connection.unknown"),
      ],
      [t("connection.deviceClock"), deviceClockText(time.skewMs)],
    ];
    if (numbers.childElementCount === rows.length * 2)
      rows.forEach(([, value], row) => setText(numbers.children[row * 2 + 1], value));
    else
      fill(
        numbers,
        rows.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]),
      );
  }

  const unsubscribe = [client.time.onChange(show)];
  if (session) unsubscribe.push(session.onConnection(set));
  wasLive = state === "live";
  show();
  return { element, set, stop: () => unsubscribe.forEach((each) => each()) };
}
