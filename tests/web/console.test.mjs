// What the console's pages make of a session's schedule, bounds and events, without a browser.

import assert from "node:assert/strict";
import { test } from "node:test";

process.env.TZ = "Europe/Berlin";

const web = "../../synckairos/web/console";
const { needsLongClocks } = await import(`${web}/list/presets.js`);
const { summaryOf } = await import(`${web}/list/summary.js`);
const { canAdjust, canAdjustTotal, canSetTurn, canTakeBack } = await import(`${web}/session/rules.js`);
const { boundsOf, numberOf, waitingText } = await import(`${web}/session/bounds.js`);
const { Track } = await import(`${web}/session/history/track.js`);
const { fromLocal, timeZone, toLocal } = await import(`${web}/shared/moments.js`);
const { Rights } = await import(`${web}/shared/rights.js`);

const NOW = Date.UTC(2026, 6, 1, 12);
const state = (more) => ({
  status: "running", sync_mode: "per_participant", cycle_count: 0, participants: [{}, {}], groups: [],
  starts_at_ms: null, ends_at_ms: null, max_cycles: null, pauses_left: null, total_remaining_ms: null,
  time_per_cycle_ms: null, warnings_ms: [], metadata: {}, ...more,
});

test("a moment in a field of the user's time zone is the same moment again", () => {
  assert.equal(toLocal(NOW), "2026-07-01T14:00:00");
  for (const at of [NOW, Date.UTC(2026, 11, 31, 23, 59, 59), Date.UTC(2028, 1, 29)]) {
    assert.equal(fromLocal(toLocal(at)), at);
  }
  assert.equal(toLocal(null), "");
  for (const text of ["", "2026-07-01", "2026-13-01T00:00", "soon"]) assert.equal(fromLocal(text), null);
  assert.equal(timeZone(NOW), "Europe/Berlin (UTC+2)");
});

test("a session that waits says in how long it starts by itself", () => {
  assert.equal(waitingText(state({ status: "pending" }), NOW), "Not started");
  const waits = state({ status: "pending", starts_at_ms: NOW + 90_000 });
  assert.equal(waitingText(waits, NOW), "Starts in 1:30");
  assert.equal(waitingText(waits, NOW + 100_000), "Starts in 0:00");
  assert.match(waitingText(waits, null), /^Starts at /);
});

test("the bounds of a session are told while it is live, and days as days", () => {
  assert.deepEqual(boundsOf(state({}), NOW, null), []);
  const more = { max_cycles: 10, cycle_count: 3, pauses_left: 1, ends_at_ms: NOW + 30 * 86_400_000 };
  const [end, ...others] = boundsOf(state(more), NOW, 61_000);
  assert.match(end, /^ends at .*, in 30 d 00:00:00$/);
  assert.deepEqual(others, ["turn 4 of 10", "1 pause left", "1:01 of pauses left"]);
  assert.deepEqual(boundsOf(state({ ...more, status: "completed" }), NOW, 61_000), []);
  assert.deepEqual(boundsOf(state({ status: "pending", max_cycles: 10 }), NOW, null), ["10 turns"]);
  assert.deepEqual(boundsOf(state({ pauses_left: 0 }), NOW, null), ["no pauses left"]);
});

test("a control is offered in the statuses that have it", () => {
  const statuses = ["pending", "running", "paused", "expired", "completed", "cancelled"];
  const where = (rule, more) => statuses.filter((status) => rule(state({ status, ...more })));
  assert.deepEqual(where(canTakeBack, { cycle_count: 1 }), ["running", "paused"]);
  assert.deepEqual(where(canTakeBack, {}), []);
  assert.deepEqual(where(canSetTurn, {}), ["pending", "paused"]);
  assert.deepEqual(where(canSetTurn, { participants: [{}] }), []);
  const cycles = { sync_mode: "global", time_per_cycle_ms: 1000, total_remaining_ms: 5000 };
  assert.deepEqual(where(canAdjustTotal, cycles), ["pending", "running", "paused"]);
  assert.deepEqual(where(canAdjust, cycles), ["pending", "running", "paused"]);
  assert.deepEqual(where(canAdjustTotal, { ...cycles, total_remaining_ms: null }), []);
});

test("presets need long clocks from one millisecond over a day on", () => {
  const day = 86_400_000;
  assert.equal(needsLongClocks({ total_time_ms: day }), false);
  assert.equal(needsLongClocks({ total_time_ms: day + 1 }), true);
  assert.equal(needsLongClocks({ time_per_cycle_ms: 3 * day }), true);
  assert.equal(needsLongClocks({ increment_ms: 60_000 }), false);
  assert.equal(needsLongClocks({ increment_ms: 60_001 }), true);
  assert.equal(needsLongClocks({ time_control: "40/90:30+30" }), false);
  assert.equal(needsLongClocks({ time_control: "10/4320000" }), true);
  assert.equal(needsLongClocks({ time_control: { kind: "delay", delay_ms: 2 * day } }), true);
  assert.equal(needsLongClocks({ time_control: { kind: "stages", stages: [{ time_ms: 2 * day }] } }), true);
});

test("what a token allows and what the service takes are told apart", async () => {
  const said = { auth_mode: "none", long_clocks: false, may: ["read"], player: null };
  const rights = await Rights.ask({ request: async () => said });
  assert.equal(rights.longClocks, false);
  assert.deepEqual(rights.access, { auth_mode: "none", may: ["read"], player: null });
  assert.equal(new Rights(rights.access).longClocks, true);
});

test("a bell in overtime does not say when a card is short of time", () => {
  const low = { time_remaining_ms: 15_000, deadline_ms: NOW + 15_000, server_time_ms: NOW, warnings_ms: [0, -5000] };
  assert.equal(summaryOf(state({ ...low, active_participant_id: null }), NOW).level, "warn");
});

test("the questions of a quiz are counted, with and without a last one", () => {
  const quiz = { metadata: { preset: "quiz" }, sync_mode: "per_cycle", cycle_count: 2 };
  assert.equal(numberOf(state(quiz)), "Question 3");
  assert.equal(numberOf(state({ ...quiz, max_cycles: 10 })), "Question 3 of 10");
  assert.deepEqual(boundsOf(state({ ...quiz, max_cycles: 10 }), NOW, null), ["Question 3 of 10"]);
  for (const other of [{ status: "pending" }, { status: "completed" }, { metadata: { preset: "debate" } }])
    assert.equal(numberOf(state({ ...quiz, ...other })), null);
});

test("a card goes on below zero while a turn goes on at the end of its clock", () => {
  const speech = { participants: undefined, action_on_timeout: { type: "notify" }, time_remaining_ms: 0, server_time_ms: NOW };
  const shown = (more, now = NOW + 6000) => summaryOf(state({ ...speech, ...more }), now).ms;
  assert.equal(shown({ deadline_ms: NOW }), -6000, "the service has not told of the end yet");
  const told = { deadline_ms: null, time_used_ms: 60_000, cycle_started_at: new Date(NOW - 60_000).toISOString() };
  assert.equal(shown(told), -6000);
  assert.equal(shown({ ...told, action_on_timeout: { type: "skip" } }), 0);
});

test("a card counts down to the start, and to an end that comes before the deadline", () => {
  const waits = state({ status: "pending", starts_at_ms: NOW + 300_000, total_time_ms: 1000 });
  assert.equal(summaryOf(waits, NOW).line, "Starts in 5 min");
  const runs = { time_remaining_ms: 900_000, deadline_ms: NOW + 900_000, server_time_ms: NOW };
  const ends = (at) => summaryOf(state({ ...runs, ends_at_ms: at }), NOW).line;
  assert.match(ends(NOW + 60_000), / · ends in 1 min$/);
  assert.doesNotMatch(ends(NOW + 1_000_000), /ends in/);
});

/** A track that has read these events. Each is [event, seconds, payload]. */
async function trackOf(...rows) {
  return trackOfOne({}, ...rows);
}

/** The same of a session with these fields. */
async function trackOfOne(fields, ...rows) {
  let version = 0;
  const events = rows.map(([event, seconds, more]) => ({
    version: ++version,
    server_time_ms: NOW + 1000 * seconds,
    payload: {
      event, status: "running", active_participant_id: "a", participants: [], groups: [], cycle_count: 0, ...more,
      cycle_started_at: more.from === undefined ? null : new Date(NOW + 1000 * more.from).toISOString(),
    },
  }));
  const track = new Track({ confirmed: { version, ...fields }, events: async () => ({ events }) }, (id) => id ?? "?");
  await track.load();
  assert.equal(track.error, null);
  return track;
}

test("turns that were taken back are no cycles any more, and the next one is as long as it was", async () => {
  const track = await trackOf(
    ["session.started", 0, { from: 0 }],
    ["cycle.switched", 10, { from: 10, active_participant_id: "b", cycle_count: 1 }],
    ["cycle.switched", 30, { from: 30, cycle_count: 2 }],
    ["turn.taken_back", 40, { from: 40, active_participant_id: "b", cycle_count: 1, turns: 1 }],
    ["cycle.switched", 45, { from: 45, cycle_count: 2 }],
  );
  assert.deepEqual(track.cycles.map(({ number, ms, totalMs }) => [number, ms, totalMs]),
    [[1, 10_000, 10_000], [2, 5000, 15_000]]);
  assert.equal(track.lines[3].text, "The last turn was taken back, b is on");
});

test("after a reset the history goes on and the cycles begin again", async () => {
  const track = await trackOf(
    ["session.started", 0, { from: 0 }],
    ["cycle.switched", 10, { from: 10, cycle_count: 1 }],
    ["session.reset", 20, { status: "pending", cycle_count: 0 }],
    ["session.started", 30, { from: 30, reason: "auto" }],
    ["cycle.switched", 37, { from: 37, cycle_count: 1 }],
  );
  assert.deepEqual(track.cycles.map(({ number, totalMs }) => [number, totalMs]), [[1, 7000]]);
  assert.deepEqual(track.lines.slice(2, 4).map(({ text }) => text),
    ["Reset: it begins again", "Started by itself, a begins"]);
});

test("a fresh turn in a pause begins at zero", async () => {
  const track = await trackOf(
    ["session.started", 0, { from: 0 }],
    ["session.paused", 10, { status: "paused", counted: false }],
    ["turn.set", 20, { status: "paused", active_participant_id: "b" }],
    ["session.resumed", 30, { from: 30, active_participant_id: "b" }],
    ["session.completed", 34, { status: "completed", active_participant_id: null, cycle_count: 1, reason: "auto" }],
    ["session.reopened", 50, { status: "paused", active_participant_id: "b", cycle_count: 1 }],
  );
  assert.deepEqual(track.cycles.map(({ participantId, ms }) => [participantId, ms]), [["b", 4000]]);
  assert.deepEqual(track.lines.map(({ text }) => text).slice(1), [
    "Paused, not counted", "The turn was given to b", "Resumed", "Completed: its end has come", "Reopened, b is on",
  ]);
});

test("a change of the metadata says what changed, by what was there before it", async () => {
  const said = (...all) => ["metadata.changed", 5, { metadata: Object.assign({}, ...all) }];
  const title = { title: "Final" };
  const dark = { blackout: true };
  const says = (...texts) => ({ announcements: texts.map((text) => ({ at_ms: NOW, text })) });
  const track = await trackOf(
    said(title, { message: { text: " Time\n is up " } }),
    said(title),
    said({ title: 7 }),
    said(title),
    said(title, dark),
    said(title, dark, says("Ten minutes")),
    said(title, dark, says("Ten minutes", "Five minutes")),
    said(title, dark, says("Five minutes")),
    said(title, dark, says("Five minutes"), { next_session: "x" }),
    said(title, says("Five minutes"), { next_session: "x" }),
    said(title, { names: { a: "Anna" } }),
    said(title, { names: { a: "Anne" } }),
    said(title, { names: { a: "Anne" }, message: "no message", agenda: null }),
    said(title, { names: { a: "Anne" }, message: "no message", agenda: {} }),
    said(title, { names: { a: "Anne" }, message: "no message", agenda: {}, toString: 1 }),
    said(title, { run: { undone: [1] } }),
    said(title, { run: { undone: [2] } }),
    said(title, { splits: ["One"] }),
  );
  assert.deepEqual(track.lines.map(({ text }) => text), [
    "A message was shown: “Time is up”", "The message was taken away", "The title was removed",
    "The title is now “Final”", "The screens were blacked out", "It was announced: “Ten minutes”",
    "It was announced: “Five minutes”", "Announcements were changed", "A rematch was made",
    "The screens show the clock again", "Details of the session were changed", "Names were changed",
    "Details of the session were changed", "The agenda was changed", "Details of the session were changed",
    "Details of the session were changed", "A split was undone, skipped or counted again", "The splits were changed",
  ]);
  assert.deepEqual(new Set(track.lines.map(({ participantId }) => participantId)), new Set([null]));
  // Where it was read to its end, what was there before is known.
  const read = await trackOfOne({ metadata: { message: { text: "A" }, tags: [] } }, ["session.paused", 1, {}]);
  read.follow({ version: 2, server_time_ms: NOW, payload: { ...read.last.payload, event: "metadata.changed",
    metadata: { tags: [] } } });
  assert.equal(read.lines[1].text, "The message was taken away");
});

test("an end says why it came, and an adjust of the total that it was one", async () => {
  const completed = (count) => ["session.completed", 60,
    { status: "completed", active_participant_id: null, cycle_count: count, reason: "auto" }];
  for (const [count, text] of [[3, "Completed: that was the last turn"], [2, "Completed: its end has come"]]) {
    const track = await trackOfOne({ max_cycles: 3 }, completed(count));
    assert.equal(track.lines[0].text, text);
  }
  const track = await trackOf(
    ["session.started", 0, { from: 0, total_remaining_ms: 60_000 }],
    ["time.adjusted", 5, { from: 0, total_remaining_ms: 85_000, adjusted_ms: 30_000 }],
    ["time.adjusted", 6, { from: 0, total_remaining_ms: 84_000, adjusted_ms: -4000 }],
    ["session.paused", 7, { status: "paused", total_remaining_ms: 83_000 }],
    ["time.adjusted", 9, { status: "paused", total_remaining_ms: 73_000, adjusted_ms: -10_000 }],
  );
  assert.deepEqual(track.lines.filter(({ event }) => event === "time.adjusted").map(({ text }) => text),
    ["Session +0:30", "Clock −0:04", "Session −0:10"]);
});

test("warnings at zero and in overtime are bells, and a schedule is told with both its moments", async () => {
  const track = await trackOf(
    ["time.warning", 0, { from: 0, warning_ms: 10_000 }],
    ["time.warning", 1, { from: 0, warning_ms: 0 }],
    ["time.warning", 2, { from: 0, warning_ms: -30_000 }],
    ["session.scheduled", 3, { from: 0, starts_at_ms: null, ends_at_ms: NOW }],
    ["session.scheduled", 4, { from: 0, starts_at_ms: null, ends_at_ms: null }],
  );
  const texts = track.lines.map(({ text }) => text);
  assert.deepEqual(texts.slice(0, 3), ["a: 10 s left", "a: the bell at 0:00", "a: the bell, 30 s over"]);
  assert.match(texts[3], /^By itself: ends at /);
  assert.equal(texts[4], "No start or end by itself any more");
});
