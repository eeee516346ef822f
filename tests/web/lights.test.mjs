// What a face shows beyond its clock: lights, overtime, the direction in which it counts, and the end in words.

import assert from "node:assert/strict";
import { test } from "node:test";

process.env.TZ = "Europe/Berlin";

const web = "../../synckairos/web/console";
const { COLORS, contrast, givenLights, inkOn, lightAt, lightsOf, readColor } = await import(`${web}/shared/lights.js`);
const { BELLS } = await import(`${web}/shared/bells.js`);
const { ranAtEnd } = await import(`${web}/shared/overtime.js`);
const { dress, readCounts, usedBy } = await import(`${web}/session/faces/dress.js`);
const { cutShortBy, endOf } = await import(`${web}/session/faces/ends.js`);
const { columnsFor } = await import(`${web}/session/bar.js`);
const { movesOf } = await import(`${web}/session/faces/counting.js`);
const { tabTitle } = await import(`${web}/session/device/tab.js`);
const { momentText } = await import(`${web}/shared/moments.js`);
const { Track } = await import(`${web}/session/history/track.js`);

const MINUTE = 60_000;
const [ANNA, BEN] = ["anna", "ben"];
const speech = (more) => ({
  sync_mode: "per_cycle", status: "running", time_per_cycle_ms: 7 * MINUTE, participants: [], groups: [],
  warnings_ms: [2 * MINUTE, MINUTE, 0], action_on_timeout: { type: "notify" }, metadata: {}, ...more,
});
const colors = (state) => lightsOf(state).map(({ ms, color }) => [ms, Object.keys(COLORS).find((each) => COLORS[each] === color)]);

test("a speech is green at five, yellow at six and red at seven minutes, and stays red in overtime", () => {
  const lights = lightsOf(speech({}));
  const at = (minutes) => lightAt(lights, (7 - minutes) * MINUTE, 7 * MINUTE);
  assert.equal(at(4.99), null);
  assert.deepEqual([at(5), at(5.9)].map((each) => each.color), [COLORS.green, COLORS.green]);
  assert.equal(at(6).color, COLORS.yellow);
  assert.equal(at(6.99).color, COLORS.yellow, "not red in the last ten seconds");
  assert.deepEqual([at(7), at(9)].map((each) => each.color), [COLORS.red, COLORS.red]);
  assert.deepEqual(lights.map((each) => each.text), ["Go on", "Begin to close", "Finish now"]);
});

test("one, two and three warnings have usual lights, and of more the last three", () => {
  assert.deepEqual(colors(speech({ warnings_ms: [30_000] })), [[30_000, "yellow"]]);
  assert.deepEqual(colors(speech({ warnings_ms: [10_000, 30_000] })), [[30_000, "yellow"], [10_000, "red"]]);
  assert.deepEqual(colors(speech({ warnings_ms: [4, 3, 2, 1].map((each) => each * MINUTE) })), [
    [3 * MINUTE, "green"], [2 * MINUTE, "yellow"], [MINUTE, "red"],
  ]);
  assert.deepEqual(colors(speech({ warnings_ms: [] })), []);
});

test("where the time stops somebody the last part is red, as on every clock", () => {
  const quiz = speech({ time_per_cycle_ms: 30_000, warnings_ms: [5000], action_on_timeout: { type: "skip_cycle" } });
  assert.deepEqual(colors(quiz), [[5000, "yellow"], [2500, "red"]]);
  assert.deepEqual(lightsOf(quiz).map((each) => each.text), ["Less than 5 s left", "Less than 2.5 s left"]);
});

test("players who lose by their own clocks have no usual lights, and speakers with own clocks have", () => {
  const game = speech({ sync_mode: "per_participant", time_per_cycle_ms: null, action_on_timeout: { type: "end_session" } });
  assert.deepEqual(lightsOf(game), []);
  assert.equal(lightsOf({ ...game, action_on_timeout: { type: "notify" } }).length, 3);
  assert.deepEqual(lightsOf({ ...game, sync_mode: "count_up" }), []);
  assert.equal(lightsOf({ ...game, metadata: { lights: { 0: { color: "red" } } } }).length, 1, "unless they are given");
});

test("given lights have their colours, texts and sounds, and what is missing is as usual", () => {
  const state = speech({
    metadata: {
      lights: {
        120000: { color: "blue", text: " Two\nminutes ", sound: "gong" },
        60000: {},
        0: { color: "#FF00aa", text: "x".repeat(500), sound: "barking" },
        55: { color: "red" },
      },
    },
  });
  const [first, second, third, ...others] = givenLights(state);
  assert.deepEqual([first.color, first.text, first.sound], [COLORS.blue, "Two minutes", "gong"]);
  assert.deepEqual([second.color, second.text, second.sound], [COLORS.yellow, "Begin to close", BELLS[0]]);
  assert.deepEqual([third.color, third.text.length, third.sound], ["#ff00aa", 60, BELLS[0]]);
  assert.deepEqual(others, [], "no light without a warning");
  assert.deepEqual(lightsOf(speech({ metadata: { lights: {} } })), [], "an empty map turns them off");
});

test("whatever stands in the metadata, nothing breaks", () => {
  for (const lights of [null, 3, "red", [], ["red"], { 0: null }, { 0: [] }, { 0: "red" }, { 0: { color: {}, text: 4, sound: [] } }]) {
    assert.ok(Array.isArray(lightsOf(speech({ metadata: { lights } }))));
  }
  assert.equal(lightsOf(speech({ metadata: { lights: "red" } })).length, 3, "what is no map says nothing");
  assert.ok(Array.isArray(lightsOf(speech({ metadata: JSON.parse('{"lights": {"__proto__": {"color": "red"}}}') }))));
  for (const color of ["url(x)", "rgb(1,2,3)", "#fff", "#12345g", "red;", "constructor", "", null, 7]) {
    assert.equal(readColor(color), null, String(color));
  }
});

test("texts can be read on every colour", () => {
  for (const color of Object.values(COLORS)) assert.ok(contrast(color, inkOn(color)) >= 4.5, color);
  for (let step = 0; step < 4096; step += 7) {
    const color = `#${[...step.toString(16).padStart(3, "0")].map((each) => each + each).join("")}`;
    assert.ok(contrast(color, inkOn(color)) >= 4.5, color);
  }
  assert.equal(Math.round(contrast("#000000", "#ffffff")), 21);
});

test("a light at or above the time of a whole turn never goes on", () => {
  const lights = lightsOf(speech({ warnings_ms: [7 * MINUTE, MINUTE, 0] }));
  assert.equal(lightAt(lights, 6 * MINUTE, 7 * MINUTE), null);
  assert.equal(lightAt(lights, 6 * MINUTE, null).ms, 7 * MINUTE, "but on a clock that may have been cut");
});

const face = { ms: 0, countUp: false, note: "", level: "out", share: 0 };
const dressed = (more, counts = null, state = speech({})) =>
  dress({ ...face, ...more.face }, state, more.clock, { wholeMs: 7 * MINUTE, overMs: null, usedMs: null, lights: [], ...more, counts });

test("overtime runs on and is called so, whichever way the face counts", () => {
  const clock = { remainingMs: 0, elapsedMs: 7 * MINUTE + 12_000, expired: true };
  const over = { clock, overMs: 12_000, usedMs: usedBy(speech({}), clock, { wholeMs: 7 * MINUTE, overMs: 12_000, ownMs: null }) };
  const down = dressed(over);
  assert.deepEqual([down.ms, down.countUp, down.note, down.level], [-12_000, false, "overtime", "over"]);
  const up = dressed(over, "up");
  assert.deepEqual([up.ms, up.countUp, up.note], [7 * MINUTE + 12_000, true, "+0:12 overtime"]);
  const lit = dressed({ ...over, lights: lightsOf(speech({})) });
  assert.deepEqual([lit.level, lit.light.color, lit.note], ["lit", COLORS.red, "overtime"]);
  assert.equal(dressed({ ...over, lights: lightsOf(speech({})) }, null, speech({ status: "completed" })).light, null);
});

test("a face that counts up shows what was used, and one that counts down what is left", () => {
  const own = { sync_mode: "per_participant", time_per_cycle_ms: null };
  const clock = { remainingMs: 100_000, elapsedMs: 5000 };
  assert.equal(usedBy(speech(own), clock, { wholeMs: 120_000, overMs: null, ownMs: 20_000 }), 20_000);
  assert.equal(usedBy(speech(own), clock, { wholeMs: 120_000, overMs: 3000, ownMs: 20_000 }), 23_000);
  const exam = speech({ sync_mode: "global", time_per_cycle_ms: null });
  assert.equal(usedBy(exam, clock, { wholeMs: 120_000, overMs: null, ownMs: null }), 20_000);
  const race = speech({ sync_mode: "count_up", time_per_cycle_ms: null, max_time_ms: 60_000 });
  const counted = { face: { ms: 45_000, countUp: true }, clock: { remainingMs: 15_000 } };
  assert.deepEqual([dressed(counted, "down", race).ms, dressed(counted, null, race).ms], [15_000, 45_000]);
  assert.deepEqual(["up", "down", "sideways", null, 4].map(readCounts), ["up", "down", null, null, null]);
});

test("since when a clock stands at its end follows from the state where it can", () => {
  const anna = { participant_id: ANNA, cycle_count: 0, time_used_ms: 3 * MINUTE };
  const state = speech({ participants: [anna], active_participant_id: ANNA });
  assert.equal(ranAtEnd(state), 3 * MINUTE, "the first turn: all that was charged");
  assert.equal(ranAtEnd({ ...state, participants: [{ ...anna, cycle_count: 1 }] }), 7 * MINUTE);
  const own = { ...state, sync_mode: "per_participant", participants: [{ ...anna, cycle_count: 1 }] };
  assert.equal(ranAtEnd(own), null, "the events tell");
});

const started = 1_800_000_000_000;
function events(...list) {
  const track = new Track({ confirmed: list.at(-1).state ?? null, events: async () => [] }, (id) => id ?? "Someone");
  track.session.events = async (since) => list.filter((each) => each.version > since);
  return track;
}
const event = (version, at, name, more) => ({
  version, server_time_ms: started + at,
  payload: {
    event: name, status: "running", active_participant_id: null, cycle_count: 0, participants: [], groups: [],
    cycle_started_at: new Date(started).toISOString(), ...more,
  },
});

test("a turn that the end cut short is no move, and the last of a given number is one", async () => {
  const begin = [
    event(1, 0, "session.started", { active_participant_id: ANNA }),
    event(2, 5000, "cycle.switched", { active_participant_id: BEN, cycle_count: 1 }),
  ];
  const page = (track, counts) => ({
    track, people: { participants: [], ownerOf: (id) => id }, state: { status: "completed", sync_mode: "per_participant" },
    entry: (id) => ({ cycle_count: counts[id] }), cutShort: undefined,
  });
  const byHand = events(...begin, event(3, 9000, "session.completed", { status: "completed", cycle_count: 2 }));
  assert.equal(movesOf(page(byHand, { [ANNA]: 1, [BEN]: 1 }), BEN), null, "not known yet");
  await byHand.load();
  assert.deepEqual([ANNA, BEN].map((id) => movesOf(page(byHand, { [ANNA]: 1, [BEN]: 1 }), id)), [1, 0]);
  const flagged = events(...begin, event(3, 9000, "session.expired", { status: "expired", cycle_count: 2, expired_participant_id: BEN }));
  await flagged.load();
  assert.equal(movesOf(page(flagged, { [BEN]: 1 }), BEN), 0);
  const last = events(...begin, event(3, 9000, "session.completed", { status: "completed", cycle_count: 2, reason: "auto" }));
  last.session.confirmed = { max_cycles: 2 };
  await last.load();
  assert.equal(movesOf(page(last, { [BEN]: 1 }), BEN), 1);
  const seen = { ...page(events(...begin), { [ANNA]: 1, [BEN]: 1 }), cutShort: BEN };
  assert.deepEqual([ANNA, BEN].map((id) => movesOf(seen, id)), [1, 0], "a page that saw the end need not ask");
});

test("the events tell since when a clock stands at its end, also after pauses and in a new turn", async () => {
  const begin = [
    event(1, 0, "session.started", { active_participant_id: ANNA }),
    event(2, 7000, "participant.expired", { active_participant_id: ANNA, expired_participant_id: ANNA, expired_deadline_ms: started + 7000 }),
  ];
  const track = events(...begin);
  await track.load();
  assert.equal(track.ranAtEnd, 7000);
  const next = events(...begin, event(3, 9000, "cycle.switched", { active_participant_id: BEN, cycle_count: 1 }));
  await next.load();
  assert.equal(next.ranAtEnd, 0, "a clock may be at its end when its turn begins");
});

test("an end says how it was, who won and why", () => {
  const name = (id) => ({ [ANNA]: "Anna", [BEN]: "Ben" })[id];
  const own = { sync_mode: "per_participant", max_cycles: null };
  const end = (status, result, payload = null, more = {}) => endOf({ ...own, status, ...more }, result, name, payload);
  const won = end("expired", { title: "Anna is out of time", about: ANNA, winner: BEN });
  assert.deepEqual([won.title, won.winner, won.why], ["Anna is out of time", "Ben wins", ""]);
  assert.equal(end("expired", { title: "Time is up", winner: null }).why, "Nobody won by the clock.");
  assert.equal(end("expired", { title: "Time is up", winner: null }, null, { sync_mode: "global" }).why, "The time of the session is over.");
  assert.equal(end("cancelled", { title: "Cancelled", winner: null }).why, "It was called off, and does not count.");
  const done = { event: "session.completed", cycle_count: 4 };
  assert.equal(end("completed", { title: "Completed" }, done).why, "It was ended by hand.");
  assert.equal(end("completed", { title: "Completed" }, { ...done, reason: "auto" }).why, "Its end had come.");
  assert.equal(end("completed", { title: "Completed" }, { ...done, reason: "auto" }, { max_cycles: 4 }).why, "That was the last turn.");
  assert.equal(end("completed", { title: "Completed" }).why, "", "as long as it is not known");
  const before = { status: "running", sync_mode: "per_participant", active_participant_id: ANNA, max_cycles: 4 };
  assert.equal(cutShortBy(before, { payload: done }), ANNA);
  assert.equal(cutShortBy(before, { payload: { ...done, reason: "auto" } }), null);
  assert.equal(cutShortBy({ ...before, sync_mode: "count_up" }, { payload: done }), null, "the last lap counts");
});

test("the tab's title begins with the time", () => {
  const page = (state, more = {}) => ({
    state: { status: "running", participants: [{}, {}], active_participant_id: ANNA, ...state },
    people: { name: () => "Anna" }, title: "Anna – Ben", result: { title: "Ben wins" },
    runningFace: () => ({ ms: 150_400, countUp: false }), pauseText: () => "Paused", ...more,
  });
  assert.equal(tabTitle(page({})), "2:31 · Anna – Ben");
  assert.equal(tabTitle(page({}, { title: "Club night" })), "2:31 · Anna · Club night");
  assert.equal(tabTitle(page({ status: "paused" })), "2:31 · Paused · Anna – Ben");
  assert.equal(tabTitle(page({ status: "pending" })), "Anna – Ben");
  assert.equal(tabTitle(page({ status: "expired" })), "Ben wins · Anna – Ben");
});

test("a moment of another day says which", () => {
  const now = Date.UTC(2026, 9, 24, 20); // 22:00 in Berlin, before a day of 25 hours
  const [soon, later, far, ago] = [3, 26, 72, -24].map((hours) => momentText(now + hours * 3_600_000, now));
  assert.match(soon, /^\d+:00\sAM tomorrow$/);
  assert.match(later, /^\d+:00\sPM tomorrow$/);
  assert.match(far, /Oct/);
  assert.match(ago, /yesterday$/);
  assert.match(momentText(now + 3_600_000, now), /^\d+:00\sPM$/);
});

test("two rows of buttons never leave one alone", () => {
  for (let count = 4; count <= 12; count += 1) {
    for (const hasMain of [true, false]) {
      const columns = columnsFor(count, hasMain);
      const cells = count + (hasMain && count % 2 ? 1 : 0);
      assert.ok(columns * 2 >= cells && cells - columns >= 2, `${count} ${hasMain}`);
    }
  }
});
