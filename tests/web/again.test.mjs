// The same once more, and whose page offers what: the parts that need no page.

import assert from "node:assert/strict";
import { test } from "node:test";
import { againConfig, firstEvents, idOfAgain } from "../../synckairos/web/console/session/actions/repeat.js";
import { leadsOn } from "../../synckairos/web/console/session/faces/ends.js";
import { nextSessionOf } from "../../synckairos/web/console/shared/next.js";
import { Rights } from "../../synckairos/web/console/shared/rights.js";

const [ANNA, BEN, CLEO] = [1, 2, 3].map((each) => `aaaaaaaa-0000-4000-8000-00000000000${each}`);
const SESSION = "bbbbbbbb-0000-4000-8000-000000000001";

const person = (id, total, more = {}) => ({
  participant_id: id, group_id: null, time_control: null, total_time_ms: total, time_used_ms: 0, cycle_count: 0, ...more,
});
const state = (participants, more = {}) => ({
  session_id: SESSION, status: "completed", session_completed_at: "2030-01-01T00:00:00.000Z", sync_mode: "per_participant",
  participants, groups: [], total_time_ms: participants.reduce((sum, each) => sum + each.total_time_ms, 0), time_used_ms: 0,
  time_per_cycle_ms: null, increment_ms: 0, max_time_ms: null, time_control: null, metadata: {}, ...more,
});
const event = (name, more = {}) => ({ payload: { event: name, participants: [], groups: [], ...more } });
const banks = (config) => config.participants.map((each) => [each.participant_id, each.total_time_ms]);

test("what the clocks had at first is found in the events, and without them in the state", () => {
  const old = state(
    [person(ANNA, 41_000, { time_used_ms: 23_000, cycle_count: 2 }), person(BEN, 96_000, { cycle_count: 3 })],
    { increment_ms: 2000, total_time_ms: 150_000 },
  );
  const events = [
    event("session.created", { participants: [person(ANNA, 60_000), person(BEN, 90_000)] }),
    event("session.started", { active_participant_id: BEN }),
  ];
  assert.deepEqual(banks(againConfig(old, events)), [[ANNA, 60_000], [BEN, 90_000]]);
  assert.equal(againConfig(old, events).active_participant_id, BEN);
  assert.deepEqual(banks(againConfig(old, [])), [[ANNA, 60_000], [BEN, 90_000]]);
  // Where time was given by hand and nobody knows to whom, each gets an equal part.
  const given = { ...old, participants: [person(ANNA, 200_000), old.participants[1]] };
  assert.deepEqual(banks(againConfig(given, [])), [[ANNA, 75_000], [BEN, 75_000]]);
});

test("with sides swapped whoever began is last, and everybody keeps the own time", () => {
  const old = state([person(ANNA, 10_000), person(BEN, 20_000), person(CLEO, 30_000)]);
  const began = (id) => [event("session.started", { active_participant_id: id })];
  const order = (id) => againConfig(old, began(id), { swapped: true }).participants.map((each) => each.participant_id);
  assert.deepEqual(order(ANNA), [CLEO, BEN, ANNA]);
  assert.deepEqual(order(BEN), [ANNA, CLEO, BEN]);
  const swapped = againConfig(old, [], { swapped: true });
  assert.deepEqual(banks(swapped), [[CLEO, 30_000], [BEN, 20_000], [ANNA, 10_000]]);
  assert.equal("active_participant_id" in swapped, false);
});

test("a text or stages say how much time there is, and what is of one session alone is left out", () => {
  const old = state([person(ANNA, 61_000), person(BEN, 5000, { time_control: { kind: "fischer", notation: "4" } })], {
    time_control: { kind: "fischer", increment_ms: 2000, notation: "3+2" },
    metadata: { title: "Final", next_session: SESSION, message: { text: "x" }, announcements: [], lights: { 0: {} } },
  });
  const config = againConfig(old, []);
  assert.deepEqual(config.participants, [
    { participant_id: ANNA },
    { participant_id: BEN, time_control: { kind: "fischer", notation: "4" } },
  ]);
  assert.deepEqual(config.metadata, { title: "Final", lights: { 0: {} } });
  assert.equal("starts_at_ms" in config, false);
  const exam = state([person(ANNA, null)], { sync_mode: "global", total_time_ms: 3_000_000, time_used_ms: 900_000 });
  const events = [event("time.adjusted", { adjusted_ms: 300_000 })];
  assert.equal(againConfig(exam, events).total_time_ms, 3_600_000);
});

test("an agenda once more is on time, and a run once more has no marks", () => {
  const plan = { [ANNA]: 60_000 };
  const metadata = { view: "agenda", agenda: { plan_ms: plan, starts_at_ms: 1000 }, run: { undone: [1], skipped: [0] } };
  const old = state([person(ANNA, 60_000)], { metadata });
  assert.deepEqual(againConfig(old, []).metadata, { view: "agenda", agenda: { plan_ms: plan } });
  assert.equal(metadata.agenda.starts_at_ms, 1000, "the old one keeps its own");
});

test("events are of use only from the first one on", async () => {
  const pages = (...found) => ({ confirmed: { version: 3 }, events: async () => ({ events: found.shift() ?? [] }) });
  assert.deepEqual(await firstEvents(pages([{ version: 1 }, { version: 2 }], [{ version: 3 }])), [1, 2, 3].map((version) => ({ version })));
  assert.deepEqual(await firstEvents(pages([{ version: 2 }, { version: 3 }])), []);
  assert.deepEqual(await firstEvents({ confirmed: { version: 3 }, events: () => Promise.reject(new Error("away")) }), []);
});

test("two who ask at the same moment ask for the same session, and another one after the next end", () => {
  const over = state([]);
  assert.equal(idOfAgain(over), idOfAgain({ ...over, metadata: { title: "x" }, version: 9 }));
  assert.match(idOfAgain(over), /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-9[0-9a-f]{3}-[0-9a-f]{12}$/);
  const ids = new Set();
  for (let ms = 0; ms < 2000; ms += 1) ids.add(idOfAgain({ ...over, session_completed_at: new Date(ms).toISOString() }));
  assert.equal(ids.size, 2000);
});

test("a page is led on only by an id, and only where it saw that it came", () => {
  const next = (id) => state([], { metadata: { next_session: id } });
  assert.equal(nextSessionOf(next(ANNA.toUpperCase())), ANNA);
  for (const wrong of [SESSION, "", "x", "//evil.example", { id: ANNA }, 7, null, undefined]) assert.equal(nextSessionOf(next(wrong)), null);
  for (const odd of [null, { metadata: null }, { metadata: [] }]) assert.equal(nextSessionOf(odd), null);
  assert.equal(leadsOn(state([]), next(ANNA), nextSessionOf), true);
  assert.equal(leadsOn(null, next(ANNA), nextSessionOf), false, "it was opened later");
  assert.equal(leadsOn(next(ANNA), next(ANNA), nextSessionOf), false);
  assert.equal(leadsOn(state([]), { ...next(ANNA), status: "running" }, nextSessionOf), false);
});

test("an address gives a page what a player's token would, and never more than its own token", () => {
  const everything = ["read", "create", "switch", "pause", "resume", "start", "adjust", "link", "delete", "metadata"];
  const open = new Rights({ auth_mode: "none", may: everything, player: null });
  const turn = { active_participant_id: BEN, players_may_pause: false, players_may_choose_next: false };
  const ben = open.as(BEN);
  assert.equal(ben.isCourtesy, true);
  assert.equal(ben.player, BEN);
  assert.deepEqual(everything.filter((each) => ben.now(each, turn)), ["read", "switch"]);
  assert.deepEqual(everything.filter((each) => ben.now(each, { ...turn, players_may_pause: true })), ["read", "switch", "pause", "resume"]);
  assert.deepEqual(everything.filter((each) => ben.now(each, { ...turn, active_participant_id: ANNA })), ["read"]);
  assert.equal(ben.mayShare, false);
  assert.equal(ben.mayChooseNext({ ...turn, players_may_choose_next: true }), true);
  const watching = open.as(null);
  assert.equal(watching.player, null);
  assert.deepEqual(everything.filter((each) => watching.ever(each)), ["read"]);
  // A moderator ends no turn, not even as a player. A player's token stays that player's.
  const moderator = new Rights({ auth_mode: "jwt", may: ["read", "pause", "resume", "link"], player: null });
  assert.deepEqual(["switch", "pause", "link"].filter((each) => moderator.as(BEN).ever(each)), ["pause"]);
  const player = new Rights({ auth_mode: "jwt", may: ["read"], player: { participant_id: ANNA, may: ["switch"] } });
  assert.equal(player.as(BEN), player);
  assert.equal(new Rights(null).as(BEN).now("start", turn), false, "an older service does not say what is allowed");
});
