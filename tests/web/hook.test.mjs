// The hook in React itself, with the parts of a document that a component without elements needs.
import assert from "node:assert/strict";
import { createRequire, registerHooks } from "node:module";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { adopt } from "../../synckairos/web/synckairos.js";
import { ANNA, game, ID, World } from "./world.mjs";

// Needs /usr/share/nodejs/react-dom (Debian's packages node-react and node-react-dom).
const INSTALLED = "/usr/share/nodejs/";
const require = createRequire(INSTALLED);
registerHooks({
  resolve: (name, context, next) => (/^(react|react-dom|scheduler)(\/|$)/.test(name)
    ? { url: pathToFileURL(require.resolve(INSTALLED + name)).href, format: "commonjs", shortCircuit: true }
    : next(name, context)),
});

class Node extends EventTarget {
  constructor(nodeType,
    ownerDocument) { super(); Object.assign(this,
    { nodeType, ownerDocument, nodeName: "DIV", tagName: "DIV", textContent: "" }); }
}
globalThis.document = new Node(9, null);
globalThis.window = globalThis;
globalThis.HTMLIFrameElement = class {};
globalThis.IS_REACT_ACT_ENVIRONMENT = true;

const { createElement, StrictMode, Suspense } = require("react");
const { createRoot } = require("react-dom/client");
const { renderToString } = require("react-dom/server");
const { act } = require("react-dom/test-utils");
const { useSyncKairos } = await import("../../synckairos/web/useSyncKairos.js");

const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

/** Mounts a component that follows a session. `seen` has the hook's result at each rendering. */
function page({ client, options, strict = false, count = 1 }) {
  const seen = [];
  function Clock() {
    seen.push(useSyncKairos(client, ID, options));
    return null;
  }
  const root = createRoot(new Node(1, document));
  const clocks = (number) => Array.from({ length: number }, (_, at) => createElement(Clock, { key: at }));
  const show = (number) => act(async () => root.render(createElement(strict ? StrictMode : Suspense, {},
    ...clocks(number))));
  return { seen, show, begin: () => show(count), end: () => act(async () => root.unmount()),
    get last() { return seen.at(-1); } };
}

const pass = (world, ms) => act(async () => { await world.pass(ms); });

test("component shows nothing at first and then the session", async () => {
  const world = new World();
  const shown = page({ client: world.client(), options: { interval: null } });
  await shown.begin();
  const [first] = shown.seen;
  assert.deepEqual([first.state, first.connection, first.session, first.remaining(ANNA)],
    [null, "connecting", null, null]);
  await pass(world, 1_000);
  assert.equal(shown.last.connection, "live");
  assert.equal(shown.last.state.version, 2);
  assert.ok(shown.last.remaining(ANNA) > 598_000);
  assert.equal(shown.last.clock(ANNA).running, true);
  assert.ok(shown.last.elapsed() > 0);
  await shown.end();
});

test("component is rendered again when something changes", async () => {
  const world = new World();
  const shown = page({ client: world.client(), options: { interval: null } });
  await shown.begin();
  await pass(world, 1_000);
  const before = shown.seen.length;
  await act(async () => { shown.last.session.switch(); await world.pass(5); });
  assert.equal(shown.last.pending, true);
  await pass(world, 200);
  assert.equal(shown.last.state.version, 3);
  assert.equal(shown.last.pending, false);
  assert.ok(shown.seen.length - before <= 4);
  await shown.end();
});

test("component is rendered again while a clock runs, and not while none does", async () => {
  const world = new World();
  const shown = page({ client: world.client(), options: { interval: 10 } });
  await shown.begin();
  await pass(world, 1_000);
  const before = shown.seen.length;
  while (shown.seen.length < before + 3) {
    await act(() => pause(10));
  }
  world.service.publish(world.service.happen("session.paused"));
  await pass(world, 200);
  const paused = shown.seen.length;
  await act(() => pause(60));
  assert.equal(shown.seen.length, paused);
  await shown.end();
});

test("component counts down to the start, the end of a pause and the session's end", async () => {
  const world = new World();
  const at = world.serverTime + 60_000;
  const still = { active_participant_id: null, cycle_started_at: null, cycle_elapsed_ms: null, deadline_ms: null,
    time_remaining_ms: null };
  const cases = [["start", { ...still, status: "pending", starts_at_ms: at, session_started_at: null }],
    ["resume", { status: "paused", cycle_started_at: null, deadline_ms: null, resumes_at_ms: at }],
    ["end", { status: "paused", cycle_started_at: null, deadline_ms: null, ends_at_ms: at }]];
  for (const [kind, changes] of cases) {
    world.service.state = adopt(game(changes));
    const shown = page({ client: world.client(), options: { interval: 10 } });
    await shown.begin();
    await pass(world, 1_000);
    const { kind: first, inMs } = shown.last.due();
    assert.equal(first, kind);
    await world.pass(5_000);
    const before = shown.seen.length;
    while (shown.seen.length < before + 2) {
      await act(() => pause(10));
    }
    assert.ok(Math.abs(inMs - shown.last.due().inMs - 5_000) < 100);
    await shown.end();
  }
});

test("component is not rendered again while a session waits for somebody to start it", async () => {
  const world = new World();
  world.service.state = adopt(game({ status: "pending", active_participant_id: null, cycle_started_at: null,
    cycle_elapsed_ms: null, deadline_ms: null, time_remaining_ms: null, session_started_at: null }));
  const shown = page({ client: world.client(), options: { interval: 10 } });
  await shown.begin();
  await pass(world, 1_000);
  const before = shown.seen.length;
  await act(() => pause(60));
  assert.equal(shown.seen.length, before);
  assert.equal(shown.last.due(), null);
  await shown.end();
});

test("strict mode opens one socket", async () => {
  const world = new World();
  const shown = page({ client: world.client(), options: { interval: null }, strict: true });
  await shown.begin();
  await pass(world, 1_000);
  assert.equal(world.sockets.length, 1);
  assert.equal(shown.last.connection, "live");
  await shown.end();
});

test("components share a session and the last one closes it", async () => {
  const world = new World();
  const client = world.client();
  const shown = page({ client, options: { interval: null }, count: 3 });
  await shown.begin();
  await pass(world, 1_000);
  assert.equal(world.sockets.length, 1);
  const { session } = shown.last;
  await shown.show(1);
  await pause(1_100);
  assert.equal(session.connection, "live");
  await shown.end();
  await pause(1_100);
  assert.equal(session.connection, "closed");
  assert.equal(client.find(ID), null);
});

test("component that comes back at once finds the session as it was", async () => {
  const world = new World();
  const client = world.client();
  const one = page({ client, options: { interval: null } });
  await one.begin();
  await pass(world, 1_000);
  const { session } = one.last;
  await one.end();
  const other = page({ client, options: { interval: null } });
  await other.begin();
  await pause(1_100);
  assert.equal(other.last.session, session);
  assert.equal(other.last.connection, "live");
  await other.end();
});

test("session that was open before stays open", async () => {
  const world = new World();
  const client = world.client();
  const session = client.session(ID);
  const shown = page({ client, options: { interval: null } });
  await shown.begin();
  await pass(world, 1_000);
  assert.equal(shown.last.session, session);
  await shown.end();
  await pause(1_100);
  assert.equal(session.connection, "live");
});

test("session that ended says why", async () => {
  const world = new World();
  world.service.closeWith = [4404, "there is no such session"];
  const shown = page({ client: world.client(), options: { interval: null } });
  await shown.begin();
  await pass(world, 1_000);
  assert.equal(shown.last.connection, "closed");
  assert.equal(shown.last.error.code, "SESSION_NOT_FOUND");
  await shown.end();
});

test("server renders without a socket", () => {
  const world = new World();
  function Clock() {
    return useSyncKairos(world.client(), ID).connection;
  }
  assert.equal(renderToString(createElement(Clock)), "connecting");
  assert.equal(world.sockets.length, 0);
});
