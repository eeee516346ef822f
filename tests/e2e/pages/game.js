// A game in React: two components that show one session. ?service=<origin of the service>&session=<id>

const { React, ReactDOM } = globalThis;
const { createElement: h, StrictMode, useState } = React;
const query = new URLSearchParams(location.search);
const service = query.get("service");
const { useSyncKairos } = await import(`${service}/useSyncKairos.js`);

const id = query.get("session");

/** How often each component was rendered. */
window.drawn = { Clocks: 0, Status: 0 };

function Clocks() {
  const { state, remaining, session } = useSyncKairos(service, id);
  window.drawn.Clocks += 1;
  window.session = session;
  if (!state) return h("p", null, "…");
  return state.participants.map(({ participant_id: owner }, place) => h("button", {
    key: owner,
    disabled: owner !== state.active_participant_id,
    "data-left": remaining(owner),
    onClick: () => session.switch({ current: owner }),
  }, `Player ${place + 1}: ${(remaining(owner) / 1000).toFixed(1)}`));
}

function Status() {
  const { state, connection, error } = useSyncKairos(service, id, { interval: null });
  window.drawn.Status += 1;
  return h("p", { role: "status" }, [connection, state?.status, error?.code].filter(Boolean).join(" "));
}

function Page() {
  const [open, setOpen] = useState(true);
  return h("div", null,
    h("button", { onClick: () => setOpen(!open) }, open ? "Close" : "Open"),
    open && h(Clocks), open && h(Status));
}

ReactDOM.createRoot(document.querySelector("main")).render(h(StrictMode, null, h(Page)));
