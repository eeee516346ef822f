// The tab's token: how it leaves the address, and what the page offers by it. Without a browser.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Rights } from "../../synckairos/web/console/shared/rights.js";

const FILE = "../../synckairos/web/console/shared/token.js";
const PATH = "/s/7c9e6679-7425-40de-944b-e07fc1f90ae7?view=board";
let pages = 0;

/** A page at an address: its address from then on, its module, and how often it was loaded again. */
async function open(hash, { store = new Map(), forbidden = false, path = PATH, framed = false } = {}) {
  const page = { address: path + hash, reloads: 0, store };
  const url = () => new URL(page.address, "http://clock.example");
  const storage = {
    getItem: (name) => store.get(name) ?? null,
    setItem: (name, value) => store.set(name, value),
    removeItem: (name) => store.delete(name),
  };
  const give = (name, get) => Object.defineProperty(globalThis, name, { configurable: true, get });
  give("sessionStorage", () => {
    if (forbidden) throw new DOMException("no", "SecurityError");
    return storage;
  });
  give("location", () => ({
    hash: url().hash, pathname: url().pathname, search: url().search, reload: () => { page.reloads += 1; },
  }));
  give("history", () => ({ state: null, replaceState: (state, title, to) => { page.address = to; } }));
  give("self", () => "window");
  give("top", () => (framed ? "another window" : "window"));
  give("addEventListener", () => (name, fn) => { page.listen = fn; });
  pages += 1;
  page.token = await import(`${FILE}?page=${pages}`);
  return page;
}

test("token of a link is taken out of the address at once and kept for the tab", async () => {
  const page = await open("#token=abc.DEF-1_2");
  assert.equal(page.address, PATH);
  assert.equal(page.token.storedToken(), "abc.DEF-1_2");
  assert.ok(page.token.cameByLink());
  const later = await open("", { store: page.store });
  assert.deepEqual([later.token.storedToken(), later.token.cameByLink()], ["abc.DEF-1_2", true]);
});

test("link that is pasted into an open page is taken there, and the page loaded again", async () => {
  const page = await open("");
  assert.equal(page.token.storedToken(), null);
  page.address = `${PATH}#token=abc`;
  page.listen();
  assert.deepEqual([page.address, page.token.storedToken(), page.reloads], [PATH, "abc", 1]);
  page.address = `${PATH}#new/blitz`;
  page.listen();
  assert.deepEqual([page.address, page.reloads], [`${PATH}#new/blitz`, 1]);
});

test("each frame of a web page keeps the token of its own link", async () => {
  const store = new Map();
  const first = await open("#token=first", { store, path: "/s/1?bare", framed: true });
  assert.equal(first.token.storedToken(), "first");
  const second = await open("#token=second", { store, path: "/s/2?bare", framed: true });
  assert.equal(second.token.storedToken(), "second");
  const again = await open("", { store, path: "/s/1?bare", framed: true });
  assert.deepEqual([again.token.storedToken(), again.token.cameByLink()], ["first", true]);
});

test("token stays out of the address when the browser forbids its store", async () => {
  const page = await open("#token=abc", { forbidden: true });
  assert.deepEqual([page.address, page.token.storedToken(), page.token.cameByLink()], [PATH, "abc", true]);
});

test("token that no header can hold is none, and leaves the address, too", async () => {
  for (const each of ["", "a%20b", "a%0Ab", "%C3%BC", "%"]) {
    const page = await open(`#token=${each}`);
    assert.equal(page.address, PATH, each);
    assert.equal(page.token.storedToken(), each === "%" ? "%" : null, each);
  }
});

test("typed token takes the place of a link's", async () => {
  const page = await open("#token=abc");
  page.token.storeToken("other", "typed");
  assert.deepEqual([page.token.storedToken(), page.token.cameByLink()], ["other", false]);
});

const ANNA = "a0000000-0000-4000-8000-000000000000";
const BEN = "b0000000-0000-4000-8000-000000000000";
const turn = (of, more = {}) => ({ active_participant_id: of, players_may_pause: false, ...more });
const jwt = (may, player = null) => new Rights({ auth_mode: "jwt", may, player });
const PLAYER = jwt(["read"], { participant_id: ANNA, may: ["switch", "pause", "resume"] });
const MODERATOR = jwt(["read", "pause", "resume", "start", "adjust", "link"]);

test("player may only in its own turn, and pause only where players may", () => {
  const can = (state) => ["switch", "pause", "resume", "start", "adjust"]
    .filter((action) => PLAYER.now(action, state));
  assert.deepEqual(can(turn(ANNA)), ["switch"]);
  assert.deepEqual(can(turn(ANNA, { players_may_pause: true })), ["switch", "pause", "resume"]);
  assert.deepEqual(can(turn(BEN, { players_may_pause: true })), []);
  assert.deepEqual(can(turn(null, { players_may_pause: true })), []);
  assert.equal(PLAYER.player, ANNA);
  assert.deepEqual([turn(ANNA), turn(ANNA, { players_may_choose_next: true })]
    .map((state) => PLAYER.mayChooseNext(state)), [false, true]);
});

test("viewer, moderator and everybody get what they may, and a link where there are tokens", () => {
  const viewer = jwt(["read"]);
  const everybody = new Rights({ auth_mode: "none", may: ["read", "switch", "pause", "link"], player: null });
  const unknown = new Rights(null);
  const state = turn(ANNA);
  assert.deepEqual([viewer, MODERATOR, everybody, unknown].map((each) => each.now("switch", state)),
    [false, false, true, true]);
  assert.deepEqual([viewer, MODERATOR, everybody, unknown].map((each) => each.now("pause", state)),
    [false, true, true, true]);
  assert.deepEqual([viewer, MODERATOR, everybody, unknown].map((each) => each.mayLink),
    [false, true, false, false]);
  assert.deepEqual([viewer, MODERATOR, everybody, unknown].map((each) => each.mayShare),
    [false, true, true, true]);
  assert.deepEqual([viewer, PLAYER, MODERATOR, everybody, unknown].map((each) => each.mayLead(state)),
    [false, false, true, true, true]);
  assert.equal(PLAYER.mayLead(turn(BEN, { players_may_choose_next: true })), true);
  // Before the service has said what a token allows, a page offers nothing.
  assert.deepEqual([Rights.none.now("switch", state), Rights.none.always("create"), Rights.none.mayShare],
    [false, false, false]);
});

test("player who also moderates ends only its own turn", () => {
  const both = jwt(["read", "pause", "adjust"], { participant_id: ANNA, may: ["switch"] });
  assert.deepEqual([both.player, both.now("switch", turn(ANNA)), both.now("switch", turn(BEN)),
    both.now("pause", turn(BEN)), both.ever("switch"), both.ever("start")],
  [ANNA, true, false, true, true, false]);
});
