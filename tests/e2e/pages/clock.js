// A page of another origin that uses the client as any page would, and records everything that it shows.
// ?service=<origin of the service>&session=<id>

const query = new URLSearchParams(location.search);
const { SyncKairos } = await import(`${query.get("service")}/synckairos.js`);

/** The machine's clock, which the server uses too. It is right even when a test sets the device's clock. */
const machine = window.machineNow ?? (() => Date.now());

const record = {
  /** Each change that the client reported, in order. */
  changes: [],
  /** The times that the page would have shown, every 10 ms and in every frame. */
  samples: [],
  expired: [],
  warnings: [],
  errors: [],
  connections: [],
  /** The errors of the page itself, for tabs whose errors Playwright does not see. */
  troubles: [],
};
addEventListener("error", (event) => record.troubles.push(event.message));
addEventListener("unhandledrejection", (event) => record.troubles.push(String(event.reason)));

const client = new SyncKairos({ url: query.get("service"), reconnectAttempts: Infinity });
const session = client.session(query.get("session"));

session.onChange((state, change) => record.changes.push({
  version: state.version,
  event: change ? change.payload.event : null,
  pending: session.pending,
  at: machine(),
}));
session.onExpire((change) => record.expired.push({ version: change.version, at: machine() }));
session.onWarning((change) => record.warnings.push(change.version));
session.onConnection((connection) => record.connections.push(connection));
session.onError((error) => record.errors.push(error.code));

// The page shows its own tap at once, and has to guess how long the tap takes to the server. The guess is
// wrong by at most the time that the tap was under way. The client absorbs that at a quarter of the pace of
// time, so that no clock jumps back: the page is settled again after four times as long.
let last = machine();
let tappedAt = null;
let settledFrom = 0;

function isSettled(now) {
  if (session.pending) {
    tappedAt ??= last;
  } else if (tappedAt !== null) {
    settledFrom = now + 4 * (now - tappedAt);
    tappedAt = null;
  }
  last = now;
  return !session.pending && now > settledFrom;
}

function sample(kind) {
  const state = session.state;
  if (!state) return;
  const before = machine();
  const remaining = session.remaining();
  const now = client.time.now();
  record.samples.push({
    kind,
    before,
    after: machine(),
    now,
    remaining,
    all: state.participants.slice(0, 4).map((each) => session.remaining(each.participant_id)),
    version: state.version,
    status: state.status,
    active: state.active_participant_id,
    pending: session.pending,
    settled: isSettled(before),
    visible: document.visibilityState === "visible",
  });
}

function frame() {
  sample("frame");
  const state = session.state;
  const show = (ms) => (ms === null ? "–" : (ms / 1000).toFixed(1));
  document.querySelector("#shown").textContent = state
    ? state.participants.map((each) => show(session.remaining(each.participant_id))).join(" : ")
    : "…";
  requestAnimationFrame(frame);
}

setInterval(sample, 10, "timer");
requestAnimationFrame(frame);

/** The result of each tap: true, or the code of the error. */
record.taps = [];
document.querySelector("#switch").addEventListener("click", () => {
  session.switch().then(() => record.taps.push(true), (error) => record.taps.push(error.code));
});

Object.assign(window, { SyncKairos, client, session, record, machine });
