// The values that the console's session page computes from a state and from events, before it draws them.

import assert from "node:assert/strict";
import { test } from "node:test";

import { clockAt, adopt } from "../../synckairos/web/synckairos.js";
import { faceOf, thresholds, wholeOf } from "../../synckairos/web/console/session/faces/face.js";
import { nameGiven, titleOf } from "../../synckairos/web/console/shared/names.js";
import { People, nextAfter } from "../../synckairos/web/console/session/people.js";
import { resultOf } from "../../synckairos/web/console/session/faces/result.js";
import { Track } from "../../synckairos/web/console/session/history/track.js";

const NOW = 1_800_000_000_000;
const [ANNA, BEN, CLEO, RED, BLUE] = ["a", "b", "c", "d", "e"].map(
  (each) => `${each.repeat(8)}-0000-4000-8000-000000000000`,
);
const iso = (ms) => new Date(ms).toISOString();

function owner(more) {
  return {
    total_time_ms: 60_000,
    time_used_ms: 0,
    time_remaining_ms: 60_000,
    cycle_count: 0,
    is_active: false,
    has_expired: false,
    clock: {},
    group_id: null,
    time_control: null,
    ...more,
  };
}

/** A running game of Anna and Ben. Its cycle has run for `ran` ms. */
function game({ ran = 0, control = { kind: "fischer" }, anna = {}, ...more } = {}) {
  const left = anna.time_remaining_ms ?? 60_000 - ran;
  return adopt({
    session_id: "s",
    sync_mode: "per_participant",
    status: "running",
    version: 2,
    epoch: "1",
    server_time_ms: NOW,
    participants: [
      owner({
        participant_id: ANNA,
        participant_index: 0,
        is_active: true,
        time_remaining_ms: left,
        ...anna,
      }),
      owner({ participant_id: BEN, participant_index: 1 }),
    ],
    groups: [],
    active_participant_id: ANNA,
    active_group_id: null,
    total_time_ms: 120_000,
    time_per_cycle_ms: null,
    increment_ms: 0,
    max_time_ms: null,
    time_control: control,
    action_on_timeout: { type: "end_session" },
    warnings_ms: [],
    time_used_ms: 0,
    time_remaining_ms: left,
    total_remaining_ms: null,
    cycle_count: 0,
    cycle_elapsed_ms: ran,
    cycle_started_at: iso(NOW - ran),
    deadline_ms: NOW + left + (control.overtime_ms ?? 0),
    resumes_at_ms: null,
    metadata: {},
    ...more,
  });
}

const face = (state, id = ANNA) => faceOf(state, clockAt(state, NOW, id), wholeOf(state, id));

test("without warnings a clock is short of time, and very short, by its length", () => {
  const levels = [0, 39_999, 50_000, 55_000].map((ran) => face(game({ ran })).level);
  assert.deepEqual(levels, ["calm", "calm", "warn", "urgent"]);
  assert.deepEqual(thresholds({ warnings_ms: [] }, 3_600_000), [20_000, 10_000]);
});

test("a clock that was cut is short of time by the length of the others, where turns have no time of their own", () => {
  const anna = { total_time_ms: 9_000, time_remaining_ms: 9_000 };
  assert.equal(face(game({ anna })).level, "warn");
  assert.equal(face(game({ anna, warnings_ms: [2_000] })).level, "calm");
  const turns = game({ time_per_cycle_ms: 8_000, total_time_ms: 3_600_000 });
  assert.deepEqual(thresholds(turns, 8_000), [4_000, 2_000]);
});

test("a clock is short of time from the session's highest warning on", () => {
  const levels = [0, 30_000, 50_000].map((ran) => face(game({ ran, warnings_ms: [10_000, 30_000] })).level);
  assert.deepEqual(levels, ["calm", "warn", "urgent"]);
});

test("under a delay the bank stands still and the delay is shown", () => {
  const control = { kind: "delay", delay_ms: 5000 };
  const shown = face(game({ ran: 2000, control, anna: { time_remaining_ms: 63_000 } }));
  assert.equal(shown.ms, 60_000);
  assert.equal(shown.note, "delay 3");
});

test("in byo-yomi the main time is shown, then the period, and the last one is named", () => {
  const control = { kind: "byoyomi", periods: 3, period_ms: 10_000 };
  const at = (ran) =>
    face(game({ ran, control, anna: { clock: { periods_left: 3 }, time_remaining_ms: 90_000 - ran } }));
  assert.deepEqual([at(0).ms, at(0).note, at(0).level], [60_000, "then 3 × 10 s", "calm"]);
  assert.deepEqual([at(64_000).ms, at(64_000).note], [6000, "3 periods left"]);
  assert.deepEqual([at(84_000).ms, at(84_000).note], [6000, "last period"]);
  assert.equal(at(89_000).level, "urgent");
});

test("in Canadian overtime the block and its moves are shown", () => {
  const control = { kind: "canadian", moves: 5, period_ms: 20_000 };
  const clock = { moves_left: 4, block_remaining_ms: 14_000 };
  const shown = face(
    game({ ran: 4000, control, anna: { total_time_ms: 0, clock, time_remaining_ms: 10_000 } }),
  );
  assert.deepEqual([shown.ms, shown.note], [10_000, "4 moves to make"]);
});

test("overtime is below zero and says so, and is not yet the end", () => {
  const control = { kind: "fischer", overtime_ms: 30_000 };
  const shown = face(game({ ran: 63_000, control, anna: { clock: { overtime_used_ms: 0 } } }));
  assert.deepEqual([shown.ms, shown.note, shown.level], [-3000, "overtime", "over"]);
});

test("a clock that ran out is out at zero", () => {
  const anna = { has_expired: true, time_remaining_ms: 0, total_time_ms: 0, is_active: false };
  const shown = face(
    game({ status: "expired", anna, active_participant_id: null, cycle_started_at: null, deadline_ms: null }),
  );
  assert.deepEqual([shown.ms, shown.level], [0, "out"]);
});

test("a participant without a name is called by place, and members have their team's colour", () => {
  const state = {
    sync_mode: "per_group",
    groups: [{ group_id: RED }, { group_id: BLUE }],
    metadata: { names: { [ANNA]: "Anna", [BLUE]: "Blue" } },
    participants: [
      [ANNA, RED],
      [BEN, BLUE],
      [CLEO, RED],
    ].map(([participant_id, group_id]) => ({ participant_id, group_id })),
  };
  const people = new People(state);
  assert.deepEqual(
    people.participants.map((each) => [each.name, each.hue]),
    [
      ["Anna", 0],
      ["Player 2", 1],
      ["Player 3", 0],
    ],
  );
  assert.deepEqual(
    people.owners.map((each) => each.name),
    ["Team 1", "Blue"],
  );
  assert.equal(people.nameWithTeam(BEN), "Player 2 (Blue)");
  assert.equal(people.ownerOf(CLEO), RED);
});

test("the next participant is the next in rotation who is not out", () => {
  const state = game();
  const three = (out) => ({
    ...state,
    participants: [...state.participants, owner({ participant_id: CLEO, participant_index: 2 })].map(
      (each) => ({ ...each, has_expired: out.includes(each.participant_id) }),
    ),
  });
  assert.equal(nextAfter(three([])), BEN);
  assert.equal(nextAfter(three([BEN])), CLEO);
  assert.equal(nextAfter(three([BEN, CLEO])), null);
  assert.equal(nextAfter({ ...three([BEN]), action_on_timeout: { type: "notify" } }), BEN);
});

test("with teams only the next team is known, unless it has a single member", () => {
  const groups = [RED, BLUE].map((group_id) => owner({ group_id }));
  const members = (list) => list.map(([participant_id, group_id]) => owner({ participant_id, group_id }));
  const state = { ...game(), sync_mode: "per_group", groups, active_group_id: RED };
  assert.equal(
    nextAfter({
      ...state,
      participants: members([
        [ANNA, RED],
        [BEN, BLUE],
      ]),
    }),
    BEN,
  );
  assert.equal(
    nextAfter({
      ...state,
      participants: members([
        [ANNA, RED],
        [BEN, BLUE],
        [CLEO, BLUE],
      ]),
    }),
    BLUE,
  );
});

test("a page opened after the end knows from the state who ran out, and who won", () => {
  const state = game({
    status: "expired",
    anna: { has_expired: true },
    active_participant_id: null,
    cycle_started_at: null,
    deadline_ms: null,
  });
  const people = new People(state);
  assert.deepEqual(resultOf(state, people, null, null), {
    title: "Player 1 is out of time",
    about: ANNA,
    winner: BEN,
  });
  const completed = { ...state, status: "completed" };
  assert.equal(resultOf(completed, people, null, null).title, "Completed");
});

/** Events of one session, each a second after the one before unless it has its own time. */
function story(...steps) {
  return steps.map(([event, at, payload], place) => ({
    version: place + 1,
    server_time_ms: NOW + at,
    payload: {
      event,
      status: "running",
      reason: "manual",
      active_participant_id: ANNA,
      active_group_id: null,
      cycle_started_at: iso(NOW),
      deadline_ms: null,
      time_remaining_ms: null,
      cycle_count: 0,
      participants: [],
      groups: [],
      ...payload,
    },
  }));
}

const names = { [ANNA]: "Anna", [BEN]: "Ben" };

/** The history that a page makes from these events. */
async function told(events, kept = events) {
  const asked = [];
  const session = {
    confirmed: { version: events.length },
    events: async (since) => {
      asked.push(since);
      if (since + 1 < kept[0].version)
        throw Object.assign(new Error("gone"), { code: "STORAGE_UNAVAILABLE" });
      return { events: kept.filter((each) => each.version > since) };
    },
  };
  const track = new Track(session, (id) => names[id] ?? "Someone");
  await track.load();
  return { track, asked };
}

test("a cycle is as long as it ran, without its pauses, and an expiry ends it at the deadline", async () => {
  const { track } = await told(
    story(
      ["session.created", -5000, { status: "pending", active_participant_id: null, cycle_started_at: null }],
      ["session.started", 0, {}],
      ["session.paused", 4000, { status: "paused", cycle_started_at: null }],
      ["session.resumed", 10_000, { cycle_started_at: iso(NOW + 6000) }],
      [
        "cycle.switched",
        13_000,
        { active_participant_id: BEN, cycle_started_at: iso(NOW + 13_000), cycle_count: 1 },
      ],
      [
        "session.expired",
        20_450,
        {
          status: "expired",
          active_participant_id: null,
          cycle_started_at: null,
          cycle_count: 2,
          reason: "timeout",
          expired_participant_id: BEN,
          expired_deadline_ms: NOW + 20_000,
          action_applied: { type: "end_session", winner: ANNA },
        },
      ],
    ),
  );
  assert.deepEqual(
    track.cycles.map(({ participantId, ms, totalMs, how }) => [participantId, ms, totalMs, how]),
    [
      [ANNA, 7000, 7000, "switched"],
      [BEN, 7000, 14_000, "expired"],
    ],
  );
  assert.deepEqual(
    track.lines.map((each) => each.text),
    ["Created", "Started, Anna begins", "Paused", "Resumed", "Anna to Ben", "Ben ran out of time, Anna wins"],
  );
});

test("a cycle that is completed in a pause is as long as it ran before", async () => {
  const { track } = await told(
    story(
      ["session.started", 0, {}],
      ["session.paused", 4000, { status: "paused", cycle_started_at: null }],
      [
        "session.completed",
        9000,
        { status: "completed", active_participant_id: null, cycle_started_at: null, cycle_count: 1 },
      ],
    ),
  );
  assert.deepEqual(
    track.cycles.map(({ ms, how }) => [ms, how]),
    [[4000, "ended"]],
  );
});

test("where old events are gone, the newest are read, and it is known that some are missing", async () => {
  const events = story(
    ...Array.from({ length: 300 }, (_, at) => [
      "cycle.switched",
      at * 1000,
      {
        cycle_count: at,
        cycle_started_at: iso(NOW + at * 1000),
      },
    ]),
  );
  const { track, asked } = await told(events, events.slice(-128));
  assert.deepEqual(asked, [0, 172]);
  assert.equal(track.complete, false);
  assert.equal(track.error, null);
  assert.equal(track.version, 300);
  assert.equal(track.cycles.length, 127);
});

test("a new event is followed, and after one that leaves a gap the missing ones are read", async () => {
  const events = story(
    ["session.started", 0, {}],
    ["session.paused", 1000, { status: "paused", cycle_started_at: null }],
  );
  const more = story(
    ["", 0, {}],
    ["", 0, {}],
    ["session.resumed", 2000, {}],
    ["time.warning", 3000, { warning_ms: 5000 }],
  ).slice(2);
  const { track, asked } = await told(events, [...events, ...more].slice(0, 2));
  track.follow(more[0]);
  assert.equal(track.lines.at(-1).text, "Resumed");
  track.follow({ ...more[1], version: 6 });
  assert.deepEqual(asked, [0, 3]);
});

test("a name stays in its line: invisible characters, and those that turn the text, are removed", () => {
  const shown = (name) => nameGiven({ metadata: { names: { [ANNA]: name } } }, ANNA);
  assert.equal(shown("\u202eAnna\u2066"), "Anna");
  assert.equal(shown(" An\u0000na\nB.\t"), "An na B.");
  assert.equal(shown("👩\u200d🚀"), "👩\u200d🚀", "joined signs stay joined");
  assert.equal(shown("نیم\u200cفاصله"), "نیم\u200cفاصله");
  assert.equal(shown("M".repeat(10_000)).length, 200);
  for (const nothing of ["", " \n", "\u200b\u200d\u2060", "\u3164", "\u0300", 5, null, ["Anna"], {}]) {
    assert.equal(shown(nothing), null);
  }
});

test("metadata in another form than the console's is ignored", () => {
  const title = (metadata) => titleOf({ session_id: "12345678-9", metadata });
  for (const names of [null, "abc", ["x", "y"], 1, { a: 5 }, { a: ["x"] }]) {
    assert.equal(title({ title: 7, names }), "Session 12345678");
  }
  for (const metadata of [null, undefined, {}, "x"]) assert.equal(title(metadata), "Session 12345678");
  for (const id of ["constructor", "__proto__", "toString"]) {
    assert.equal(nameGiven({ metadata: { names: {} } }, id), null);
  }
});

test("a status that the page does not know is called what the service calls it", () => {
  const state = game({ status: "adjourned" });
  assert.deepEqual(resultOf(state, new People(state), null, null), {
    title: "adjourned",
    about: null,
    winner: null,
  });
});
