// The button that shows the state of the connection and the uncertainty of the server's time.

import { openDialog } from "./dialogs.js";
import { fill, h, setText } from "./dom.js";

const CONNECTIONS = {
  connecting: "Connecting",
  live: "Live",
  reconnecting: "Reconnecting",
  closed: "Not connected",
};

/** An uncertainty in ms as text: `±4 ms` or `±1.3 s`; "" until it is known. */
function uncertaintyText(ms) {
  if (!Number.isFinite(ms)) return "";
  return ms < 995 ? `±${Math.max(1, Math.round(ms))} ms` : `±${(ms / 1000).toFixed(1)} s`;
}

function deviceClockText(skewMs) {
  if (!Number.isFinite(skewMs)) return "not known yet";
  const off = Math.abs(skewMs);
  if (off < 1000) return "right, within a second";
  const size = off < 120_000 ? `${Math.round(off / 1000)} s` : `${Math.round(off / 60_000)} min`;
  return skewMs > 0 ? `${size} slow` : `${size} fast`;
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
    const clock = known ? `, server time known to ${known}` : "";
    const label = `Connection: ${CONNECTIONS[state].toLowerCase()}${clock}`;
    if (control.getAttribute("aria-label") !== label) control.setAttribute("aria-label", label);
    if (numbers) showNumbers();
  }
  function set(next) {
    if (next === state) return;
    state = next;
    if (state === "live") {
      setText(spoken, wasLive ? "Connected again" : "");
      wasLive = true;
    } else if (wasLive)
      setText(spoken, state === "closed" ? "Connection closed" : "Connection lost, reconnecting");
    show();
  }
  function openNumbers() {
    numbers = h("dl", { class: "facts" });
    const opened = openDialog({
      title: "Connection and clock",
      body: [
        numbers,
        h(
          "p",
          { class: "hint" },
          "Clocks are shown by the server’s time, not by this device’s. ",
          "The uncertainty is how far the shown time may be off.",
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
      ["Connection", CONNECTIONS[state]],
      ["Uncertainty", uncertaintyText(time.uncertaintyMs) || "not known yet"],
      ["Round trip", Number.isFinite(time.rttMs) ? `${time.rttMs.toFixed(1)} ms` : "not known yet"],
      ["This device’s clock", deviceClockText(time.skewMs)],
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
