// The rows of an exam's wall, the times of an agenda, and the lines that people paste for one.

import assert from "node:assert/strict";
import { test } from "node:test";

const web = "../../synckairos/web/console";
const { announcementsOf, examConfig, nextMinute, rowAt, rowsOf } = await import(`${web}/shared/exam.js`);
const { planOf, plannedStart, timesOf } = await import(`${web}/session/views/agenda_times.js`);
const { readAgenda } = await import(`${web}/list/agenda_lines.js`);
const { screensOf, shownOn } = await import(`${web}/session/screens/screens.js`);

const MIN = 60_000;
const NOW = Date.UTC(2026, 6, 1, 10);

test("an exam can begin at the next full minute, unless that is too near for the service to hear of it", () => {
  const minute = 29_000_000 * 60_000;
  for (const [now, next] of [[1, 60_000], [54_999, 60_000], [55_000, 60_000], [55_001, 120_000], [60_000, 120_000]])
    assert.equal(nextMinute(minute + now), minute + next);
});

test("an exam's rows end at fixed times before its clock, and the normal time follows from the total", () => {
  const rows = rowsOf({ exam: { base_ms: 60 * MIN, extra: [50, 25] } }, 90 * MIN);
  assert.deepEqual(rows.map(({ percent, lengthMs, earlierMs }) => [percent, lengthMs / MIN, earlierMs / MIN]),
    [[0, 60, 30], [25, 75, 15], [50, 90, 0]]);
  assert.deepEqual(rowsOf({ exam: { extra: [25, 50] } }, 90 * MIN), rows);
  assert.deepEqual(rowsOf({}, 60 * MIN), [{ percent: 0, name: null, lengthMs: 60 * MIN, earlierMs: 0 }]);
  const named = rowsOf({ exam: { base_ms: MIN, extra: [{ percent: 10, name: "Room 3" }] } }, null);
  assert.equal(named[1].name, "Room 3");
});

test("what a stranger wrote for an exam is not trusted", () => {
  for (const exam of [null, 5, "x", [], { extra: "25" }, { extra: [null, "25", -1, 0, NaN, 1e9, {}] }]) {
    assert.equal(rowsOf({ exam }, 60 * MIN).length, 1);
  }
  assert.equal(rowsOf({ exam: { extra: Array.from({ length: 99 }, (_, at) => at + 1) } }, MIN).length, 7);
  assert.equal(rowsOf({ exam: { extra: [25, 25, 25] } }, MIN).length, 2);
  for (const announcements of [null, "x", [null], [{ at_ms: "1", text: "x" }], [{ at_ms: 1, text: " \u200b" }]]) {
    assert.deepEqual(announcementsOf({ announcements }), []);
  }
  const many = Array.from({ length: 50 }, (_, at) => ({ at_ms: at, text: `${at}` }));
  assert.deepEqual(announcementsOf({ announcements: many }).map(({ atMs }) => atMs), [49, 48, 47, 46, 45, 44, 43, 42, 41, 40]);
});

test("a row finishes by the server's clock, moves with a pause, and the longer ones run on", () => {
  const [normal, quarter] = rowsOf({ exam: { base_ms: 60 * MIN, extra: [25] } }, null);
  const at = { status: "running", now: NOW, leftMs: 35 * MIN, deadlineMs: NOW + 35 * MIN, startsAtMs: null, endsAtMs: null };
  assert.deepEqual(rowAt(normal, at), { leftMs: 20 * MIN, finishMs: NOW + 20 * MIN, isOver: false, level: "calm" });
  assert.equal(rowAt(quarter, at).finishMs, NOW + 35 * MIN);
  const paused = { ...at, status: "paused", deadlineMs: null };
  assert.equal(rowAt(normal, { ...paused, now: NOW + MIN }).finishMs, NOW + 21 * MIN);
  const late = { ...at, leftMs: 10 * MIN, deadlineMs: NOW + 10 * MIN };
  assert.deepEqual(rowAt(normal, late), { leftMs: 0, finishMs: NOW - 5 * MIN, isOver: true, level: "out" });
  assert.equal(rowAt(quarter, late).level, "warn");
  assert.equal(rowAt(quarter, { ...late, leftMs: 5 * MIN }).level, "urgent");
  const waits = { ...at, status: "pending", leftMs: 75 * MIN, deadlineMs: null };
  assert.equal(rowAt(normal, waits).finishMs, null);
  assert.equal(rowAt(normal, { ...waits, startsAtMs: NOW }).finishMs, NOW + 60 * MIN);
  // An end of the session that comes first is everybody's.
  assert.equal(rowAt(quarter, { ...at, endsAtMs: NOW + 30 * MIN }).leftMs, 30 * MIN);
});

test("a form's exam runs as long as its longest row, and has a bell at the end of each", () => {
  assert.deepEqual(examConfig(60 * MIN, [25, 50], [10 * MIN, 5 * MIN]), {
    total_time_ms: 90 * MIN,
    warnings_ms: [40, 35, 30, 15, 10, 5].map((each) => each * MIN),
    exam: { base_ms: 60 * MIN, extra: [25, 50] },
  });
  assert.deepEqual(examConfig(60 * MIN, [], [10 * MIN]).warnings_ms, [10 * MIN]);
  assert.equal(examConfig(60 * MIN, [10, 20, 30, 40, 50, 60], [MIN, 2 * MIN, 3 * MIN]).warnings_ms.length, 8);
});

const items = (...lengths) =>
  lengths.map(([planned, left = planned], at) => ({ id: "abcdef"[at], plannedMs: planned * MIN, leftMs: left * MIN }));
const minutes = (times) => times.map(({ at, plannedAt }) => [(plannedAt - NOW) / MIN, at === null ? null : (at - NOW) / MIN]);
const during = (more) => ({
  now: NOW, startMs: NOW, activeId: null, status: "running", begun: new Map(), endedMs: null, ...more,
});

test("an agenda that began late is late, and an item in overtime makes it later", () => {
  // It began 5 minutes late; b has 2 of 10 minutes left, and 3 minutes after that c begins.
  const begun = new Map([["a", NOW + 5 * MIN], ["b", NOW + 10 * MIN]]);
  const one = timesOf(items([5, 0], [10, 2], [15]), during({ now: NOW + 18 * MIN, activeId: "b", begun }));
  assert.deepEqual(minutes(one.items), [[0, 5], [5, 10], [15, 20]]);
  assert.deepEqual([one.lateMs, one.endLateMs], [5 * MIN, 5 * MIN]);
  assert.deepEqual(one.items.map(({ place }) => place), ["done", "now", "ahead"]);
  const over = timesOf(items([5, 0], [10, -4], [15]), during({ now: NOW + 24 * MIN, activeId: "b", begun }));
  assert.deepEqual([over.lateMs, over.endLateMs, (over.expectedEnd - NOW) / MIN], [9 * MIN, 9 * MIN, 39]);
});

test("an agenda makes up for time: what was shortened or left early counts", () => {
  const early = timesOf(items([5, 1], [10], [15, 10]), during({ now: NOW + 4 * MIN, activeId: "b" }));
  assert.deepEqual([early.lateMs, early.endLateMs], [-1 * MIN, -6 * MIN]);
  // Who goes back to an item goes on with what it had left, and so does what comes after it.
  const back = timesOf(items([5, 1], [10, 4], [15]), during({ now: NOW + 10 * MIN, activeId: "a" }));
  assert.equal((back.expectedEnd - NOW) / MIN, 10 + 1 + 4 + 15);
});

test("an agenda that waits is late from its start on, and one that is over has no delay any more", () => {
  const waits = during({ status: "pending", startMs: NOW + 2 * MIN });
  assert.deepEqual(minutes(timesOf(items([5], [10]), waits).items), [[2 - 0, 2], [7, 7]]);
  assert.equal(timesOf(items([5], [10]), waits).lateMs, 0);
  const late = timesOf(items([5], [10]), { ...waits, now: NOW + 3 * MIN });
  assert.deepEqual([late.lateMs, late.endLateMs], [MIN, MIN]);
  const free = timesOf(items([5]), during({ status: "pending", startMs: null }));
  assert.deepEqual([free.lateMs, free.expectedEnd, free.items[0].at], [null, null, null]);
  const done = timesOf(items([5, 0], [10, 0]), during({ endedMs: NOW + 20 * MIN, begun: new Map([["a", NOW]]) }));
  assert.deepEqual([done.lateMs, done.endLateMs], [null, 5 * MIN]);
  assert.deepEqual(done.items.map(({ place, at }) => [place, at]), [["done", NOW], ["done", null]]);
});

test("the plan of an agenda is its own, and where there is none it is what the clocks began with", () => {
  const participants = [{ participant_id: "a", total_time_ms: 3 * MIN, time_used_ms: 2 * MIN }];
  const state = (more, agenda) => ({ status: "running", participants, starts_at_ms: null, metadata: { agenda }, ...more });
  assert.deepEqual(planOf(state({}, { plan_ms: { a: 10 * MIN } })), [{ id: "a", plannedMs: 10 * MIN }]);
  for (const agenda of [null, 1, { plan_ms: null }, { plan_ms: [1] }, { plan_ms: { a: "x" } }]) {
    assert.deepEqual(planOf(state({}, agenda)), [{ id: "a", plannedMs: 5 * MIN }]);
  }
  const started = { session_started_at: new Date(NOW).toISOString() };
  assert.equal(plannedStart(state(started, { starts_at_ms: NOW - MIN }), null), NOW - MIN);
  assert.equal(plannedStart(state(started, {}), null), NOW);
  assert.equal(plannedStart(state(started, {}), NOW - 2 * MIN), NOW - 2 * MIN);
  assert.equal(plannedStart(state({ status: "pending", starts_at_ms: NOW + MIN }, { starts_at_ms: NOW }), NOW), NOW + MIN);
});

test("pasted lines become the items of an agenda", () => {
  const { items: read, problems } = readAgenda(`
    Welcome 5
    Anna 10:00
    - Break 15 min
    4. Part 2 15 min
    Questions; 1 h 30 min
    Ben\t90 s
    Room 7, 2.5 min
    Closing – 0:45
  `);
  assert.deepEqual(problems, []);
  assert.deepEqual(read.map(({ name, ms }) => [name, ms / 1000]), [
    ["Welcome", 300], ["Anna", 600], ["Break", 900], ["Part 2", 900], ["Questions", 5400], ["Ben", 90],
    ["Room 7", 150], ["Closing", 45],
  ]);
});

test("a line that cannot be read is named, with what is wrong with it", () => {
  const { items: read, problems } = readAgenda("Welcome 5\n\nBreak\n10:00\nAnna 0\nBen 25 h\n");
  assert.deepEqual(read.map(({ name }) => name), ["Welcome"]);
  assert.deepEqual(problems.map(({ line, why }) => [line, why]),
    [[3, "length"], [4, "name"], [5, "short"], [6, "long"]]);
  assert.deepEqual(readAgenda("").items, []);
  const closed = readAgenda("Anna (15 min)\nClosing 5 Min.\nBreak [10 min.].\nRoom A5 (Ben) 20");
  assert.deepEqual(closed.items.map(({ name, ms }) => [name, ms / 60_000]), [["Anna", 15], ["Closing", 5], ["Break", 10], ["Room A5 (Ben)", 20]]);
  const many = readAgenda(Array.from({ length: 101 }, (_, at) => `Item ${at} 5`).join("\n"));
  assert.deepEqual([many.items.length, many.problems[0].why, many.problems[0].line], [100, "many", 101]);
});

test("a message for the screens and a blackout are read from the metadata of a stranger", () => {
  assert.deepEqual(screensOf({ message: { text: " Wrap\nup " }, blackout: true }),
    { message: "Wrap up", toAll: false, blackout: true });
  assert.equal(screensOf({ message: { text: "Wrap up", to: "all" } }).toAll, true);
  for (const metadata of [null, {}, { message: "x", blackout: 1 }, { message: { text: 5 }, blackout: "true" }, { message: { to: "all" } }]) {
    assert.deepEqual(screensOf(metadata), { message: null, toAll: false, blackout: false });
  }
});

test("a message covers pages with nothing to press, and only the speaker's unless it is for all", () => {
  const where = (metadata, pages = ["screen", "viewer", "bare", "player", "leader"]) =>
    pages.map((page) => Object.entries(shownOn(screensOf(metadata), page)).filter(([, value]) => value).map(([name]) => name).join());
  assert.deepEqual(where({ message: { text: "A" } }), ["message", "", "", "", ""]);
  assert.deepEqual(where({ message: { text: "A", to: "all" } }), ["message", "message", "", "toast", ""]);
  assert.deepEqual(where({ blackout: true }), ["blackout", "blackout", "blackout", "", ""]);
});
