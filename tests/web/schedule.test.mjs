// What a session does by itself, as it is shown: its start, its end, the end of a pause, days, bells.
import assert from "node:assert/strict";
import { test } from "node:test";
import { adopt, clockAt, clockText, dueAt, merge, pauseRemainingAt, predictPause, predictResume, predictSwitch,
  remainingAt, stateAt } from "../../synckairos/web/synckairos.js";
import { formatClock, formatDuration, parseDuration, spokenDuration }
  from "../../synckairos/web/console/shared/time.js";
import { ANNA, BEN, game, ID, World } from "./world.mjs";

const START = Date.parse(game().cycle_started_at);
const DAY = 86_400_000;
const running = (changes) => adopt(game(changes));

/** A session that has not started. */
function pending(changes) {
  const state = game({
    status: "pending", version: 1, active_participant_id: null, cycle_started_at: null, deadline_ms: null,
    time_remaining_ms: null, cycle_elapsed_ms: null, session_started_at: null, ...changes,
  });
  state.participants.forEach((one) => { one.is_active = false; });
  return adopt(state);
}

/** The state after the next event, which happens `at` ms after the start. */
const after = (state, at, event, payload = {}) => merge(state, {
  version: state.version + 1, epoch: "1", server_time_ms: START + at,
  payload: {
    event, reason: "manual", status: state.status, active_participant_id: state.active_participant_id,
    active_group_id: null, cycle_started_at: state.cycle_started_at, deadline_ms: state.deadline_ms,
    time_remaining_ms: state.time_remaining_ms, cycle_count: state.cycle_count, participants: [], groups: [],
    actor: null, trace: null, ...payload,
  },
});

test("session with a start counts down to it and then waits for the event", () => {
  const state = pending({ starts_at_ms: START + 5_000, ends_at_ms: START + 60_000 });
  assert.deepEqual(dueAt(state, START + 1_000.5), { kind: "start", at: START + 5_000, inMs: 3_999.5 });
  assert.deepEqual(dueAt(state, START + 5_000), { kind: "start", at: START + 5_000, inMs: 0 });
  assert.equal(dueAt(state, START + 9_000).inMs, 0);
  assert.equal(clockAt(state, START + 9_000, ANNA).running, false, "nothing runs before the service says so");
  assert.equal(dueAt(pending(), START), null);
});

test("current clock shows the earlier of its deadline and the end of the session", () => {
  const early = running({ ends_at_ms: START + 30_000 });
  const { remainingMs, mainMs, endsFirst, endsInMs, running: runs } = clockAt(early, START + 10_000);
  assert.deepEqual([remainingMs, mainMs, endsFirst, endsInMs, runs], [20_000, 20_000, true, 20_000, true]);
  assert.equal(remainingAt(early, START + 10_000), 20_000);
  assert.deepEqual(dueAt(early, START + 10_000), { kind: "end", at: START + 30_000, inMs: 20_000 });
  // A player's own clock is the player's.
  assert.equal(remainingAt(early, START + 10_000, ANNA), 590_000);
  assert.deepEqual([clockAt(early, START, ANNA).endsFirst, clockAt(early, START, BEN).endsInMs], [false, 30_000]);

  const late = running({ ends_at_ms: START + 601_000 });
  assert.equal(remainingAt(late, START + 10_000), 590_000);
  assert.equal(clockAt(late, START + 10_000).endsFirst, false);
  assert.equal(dueAt(late, START).kind, "deadline");
});

test("at a tie the end wins", () => {
  const state = running({ ends_at_ms: START + 600_000 });
  assert.equal(dueAt(state, START).kind, "end");
  assert.equal(clockAt(state, START).endsFirst, true);
  const paused = running({
    status: "paused", cycle_started_at: null, deadline_ms: null, resumes_at_ms: START + 9_000,
    ends_at_ms: START + 9_000,
  });
  assert.equal(dueAt(paused, START).kind, "end");
});

test("end comes closer in a pause and stops the clocks until the event", () => {
  const paused = running({
    status: "paused", cycle_started_at: null, deadline_ms: null, cycle_elapsed_ms: 0, ends_at_ms: START + 9_000,
  });
  assert.equal(remainingAt(paused, START + 4_000), 5_000);
  assert.equal(remainingAt(paused, START + 4_000, ANNA), 600_000);
  const state = running({ ends_at_ms: START + 9_000 });
  for (const at of [9_000, 12_000]) {
    assert.equal(remainingAt(state, START + at, ANNA), 591_000);
    assert.equal(clockAt(state, START + at, ANNA).elapsedMs, 9_000);
    assert.equal(remainingAt(state, START + at), 0);
    assert.equal(predictSwitch(state, START + at), null);
    assert.equal(predictPause(state, START + at), null);
  }
  assert.notEqual(predictSwitch(state, START + 8_999), null);
});

test("stopwatch without a maximum shows how long it is until the end", () => {
  const state = running({
    sync_mode: "count_up", time_remaining_ms: null, deadline_ms: null, ends_at_ms: START + 9_000,
  });
  const { remainingMs, elapsedMs, endsFirst } = clockAt(state, START + 4_000);
  assert.deepEqual([remainingMs, elapsedMs, endsFirst], [5_000, 4_000, true]);
});

test("session that completed at its end was over at that moment", () => {
  const over = after(running({ ends_at_ms: START + 9_000 }), 9_020, "session.completed", {
    reason: "auto", status: "completed", active_participant_id: null, cycle_started_at: null, deadline_ms: null,
    time_remaining_ms: null, cycle_count: 1, late_ms: 20,
  });
  assert.equal(over.session_completed_at, new Date(START + 9_000).toISOString());
  assert.equal(over.ends_at_ms, null);
  assert.equal(dueAt(over, START + 9_020), null);
});

test("schedule that changes is shown, and a start is gone once the session runs", () => {
  const planned = after(pending(), 0, "session.scheduled", { starts_at_ms: START + 5_000, ends_at_ms: START + 9_000 });
  assert.deepEqual([planned.starts_at_ms, planned.ends_at_ms], [START + 5_000, START + 9_000]);
  const moved = after(planned, 1, "session.scheduled", { ends_at_ms: START + 8_000 });
  assert.deepEqual([moved.starts_at_ms, moved.ends_at_ms], [null, START + 8_000]);
  const started = after(planned, 5_020, "session.started", {
    reason: "auto", status: "running", active_participant_id: ANNA, deadline_ms: START + 605_000,
    cycle_started_at: new Date(START + 5_000).toISOString(), time_remaining_ms: 599_980,
  });
  assert.deepEqual([started.starts_at_ms, started.ends_at_ms], [null, START + 9_000]);
  assert.equal(started.session_started_at, new Date(START + 5_000).toISOString());
  assert.equal(started.cycle_elapsed_ms, 20);
});

test("metadata that changes replaces the one before it, and outlives what follows and what is predicted", () => {
  const state = running({ metadata: { title: "Club night", names: { [ANNA]: "Anna" } } });
  const changed = after(state, 4_000, "metadata.changed", {
    time_remaining_ms: 596_000, metadata: { message: { text: "Quiet, please" }, odd: [null, {}] },
  });
  assert.deepEqual(changed.metadata, { message: { text: "Quiet, please" }, odd: [null, {}] });
  assert.ok(Object.isFrozen(changed.metadata.message));
  assert.deepEqual({ ...stateAt(state, START + 4_000), metadata: null, version: 0, updated_at: "" },
    { ...changed, metadata: null, version: 0, updated_at: "" }, "nothing else changes");
  assert.equal(predictSwitch(changed, START + 5_000).metadata, changed.metadata);
  const paused = after(changed, 6_000, "session.paused", { status: "paused", cycle_started_at: null, deadline_ms: null });
  assert.equal(paused.metadata, changed.metadata);
});

test("all pauses together last for so long, and one that does not count takes nothing of it", () => {
  const state = running({ max_pauses: 2, max_total_pause_ms: 5_000, pauses_left: 2, pause_remaining_ms: 5_000 });
  const paused = predictPause(state, START + 1_000);
  assert.deepEqual([paused.pauses_left, paused.resumes_at_ms], [1, START + 6_000]);
  assert.equal(pauseRemainingAt(paused, START + 2_500.5), 3_499.5);
  assert.equal(pauseRemainingAt(paused, START + 99_000), 0);
  assert.equal(stateAt(paused, START + 3_000).pause_remaining_ms, 3_000);
  assert.deepEqual(dueAt(paused, START + 4_000), { kind: "resume", at: START + 6_000, inMs: 2_000 });
  const resumed = predictResume(paused, START + 4_000);
  assert.deepEqual([resumed.pauses_left, resumed.pause_remaining_ms], [1, 2_000]);
  assert.equal(pauseRemainingAt(resumed, START + 5_000), 2_000);
  const free = predictPause(resumed, START + 5_000, { counted: false });
  assert.deepEqual([free.pauses_left, free.resumes_at_ms], [1, null]);
  assert.equal(pauseRemainingAt(free, START + 9_000), 2_000);
});

test("pause that the service will refuse is not predicted", () => {
  assert.equal(predictPause(running({ max_pauses: 1, pauses_left: 0 }), START + 1), null);
  assert.equal(predictPause(running({ max_total_pause_ms: 9, pause_remaining_ms: 0 }), START + 1), null);
  assert.notEqual(predictPause(running({ max_pauses: 1, pauses_left: 0 }), START + 1, { counted: false }), null);
});

test("switch that ends the last cycle completes the session", () => {
  const state = running({ max_cycles: 3, cycle_count: 2, increment_ms: 5_000 });
  const over = predictSwitch(state, START + 4_000);
  assert.deepEqual([over.status, over.cycle_count, over.active_participant_id], ["completed", 3, null]);
  const [anna] = over.participants;
  assert.deepEqual([anna.total_time_ms, anna.time_used_ms, anna.cycle_count], [596_000, 4_000, 1], "no increment");
  assert.equal(over.session_completed_at, new Date(START + 4_000).toISOString());
  assert.equal(predictSwitch(running({ max_cycles: 3, cycle_count: 1 }), START + 4_000).status, "running");
});

test("increment of byo-yomi is given while main time lasts", () => {
  const control = { kind: "byoyomi", periods: 2, period_ms: 5_000, increment_ms: 2_000 };
  const bank = (ms, used) => {
    const state = game({ time_control: control, time_remaining_ms: ms + 10_000, deadline_ms: START + ms + 10_000 });
    state.participants.forEach((one) => {
      Object.assign(one, { total_time_ms: ms, time_remaining_ms: ms + 10_000, clock: { periods_left: 2 } });
    });
    const [anna] = predictSwitch(adopt(state), START + used).participants;
    return [anna.total_time_ms, anna.clock.periods_left];
  };
  assert.deepEqual(bank(10_000, 4_000), [8_000, 2]);
  assert.deepEqual(bank(8_000, 8_000), [0, 2], "none is left");
  assert.deepEqual(bank(8_000, 14_000), [0, 1]);
  assert.deepEqual(bank(0, 1_000), [0, 2]);
});

test("last stage that repeats begins again", () => {
  const state = game({ time_control: { kind: "stages", repeat: true, stages: [{ moves: 2, time_ms: 9_000 }] } });
  state.participants.forEach((one) => {
    Object.assign(one, { total_time_ms: 600_000, clock: { stage: 0, moves_left: 1 } });
  });
  const [anna] = predictSwitch(adopt(state), START + 1_000).participants;
  assert.deepEqual([anna.total_time_ms, anna.clock], [608_000, { stage: 0, moves_left: 2 }]);
});

test("clock that runs out after a reopen is not resumed here", () => {
  const state = game({
    status: "paused", cycle_started_at: null, deadline_ms: null, cycle_elapsed_ms: 0, time_remaining_ms: 0,
  });
  Object.assign(state.participants[0], { total_time_ms: 0, time_remaining_ms: 0, has_expired: true });
  assert.equal(predictResume(adopt(state), START + 1), null);
  assert.notEqual(predictResume(adopt({ ...state, action_on_timeout: { type: "notify" } }), START + 1), null);
});

const over = { status: "completed", active_participant_id: null, cycle_started_at: null, deadline_ms: null,
  time_remaining_ms: null, cycle_count: 1 };

test("session that is reopened and reset lives on over the same socket", async () => {
  const world = new World();
  const session = world.client().session(ID);
  const seen = [];
  await world.pass(500);
  session.onChange((state, change) => seen.push([change?.payload.event, state.status]));
  world.service.publish(world.service.happen("session.completed", over));
  await world.pass(60_000);
  assert.equal(session.state.status, "completed");
  world.service.publish(world.service.happen("session.reopened", {
    ...over, status: "paused", active_participant_id: ANNA, time_remaining_ms: 500_000,
  }));
  await world.pass(100);
  assert.equal(session.state.session_completed_at, null);
  assert.equal(session.state.status, "paused");
  assert.equal(session.remaining(), 500_000);
  world.service.publish(world.service.happen("session.reset", {
    ...over, status: "pending", cycle_count: 0, participants: world.service.state.participants,
  }));
  await world.pass(100);
  assert.deepEqual([session.state.session_started_at, session.state.time_used_ms], [null, 0]);
  assert.deepEqual(seen, [["session.completed", "completed"], ["session.reopened", "paused"],
    ["session.reset", "pending"]]);
  assert.deepEqual([session.connection, world.sockets.length], ["live", 1]);
});

test("turn that was taken back gives counts and times back", () => {
  const once = predictSwitch(running({ increment_ms: 2_000 }), START + 5_000);
  const [anna] = game().participants;
  const back = after(once, 6_000, "turn.taken_back", {
    turns: 1, active_participant_id: ANNA, cycle_count: 0, cycle_started_at: new Date(START + 6_000).toISOString(),
    time_remaining_ms: 600_000, deadline_ms: START + 606_000,
    participants: [anna, { ...once.participants[1], is_active: false }],
  });
  assert.deepEqual([back.cycle_count, back.time_used_ms, back.cycle_elapsed_ms], [0, 0, 0]);
  assert.equal(remainingAt(back, START + 7_000, ANNA), 599_000);
});

test("warning at zero and in overtime is told like any other", async () => {
  const world = new World();
  const session = world.client().session(ID);
  const heard = [];
  session.onWarning(({ payload }) => heard.push(payload.warning_ms));
  await world.pass(500);
  for (const warning_ms of [0, -30_000]) {
    world.service.publish(world.service.happen("time.warning", { reason: "auto", warning_ms }, "TIME_WARNING"));
  }
  await world.pass(100);
  assert.deepEqual(heard, [0, -30_000]);
});

test("clock of days is right at any time and needs no timer that a browser cannot keep", async () => {
  const world = new World();
  const state = game({ time_remaining_ms: 366 * DAY, deadline_ms: START + 366 * DAY });
  Object.assign(state.participants[0], { total_time_ms: 366 * DAY, time_remaining_ms: 366 * DAY });
  world.service.state = adopt(state);
  const session = world.client().session(ID);
  await world.pass(60_000);
  assert.equal(clockText(session.remaining(ANNA)), "365 d 23:59:00");
  await world.sleep(30 * DAY);
  await world.pass(30_000);
  assert.equal(clockText(session.remaining(ANNA)), "335 d 23:58:30");
  assert.equal(session.due().kind, "deadline");
  assert.ok(world.longestTimer < 2 ** 31, `${world.longestTimer} ms`);
});

test("times of a clock are written as on the console", () => {
  const times = [0, 1, 9_900, 9_901, 59_001, 3_599_999, 3_909_000, DAY - 1, DAY, 3 * DAY + 14_706_000, 366 * DAY, -3_000];
  assert.deepEqual(times.map((ms) => clockText(ms)), ["0:00", "0:00.1", "0:09.9", "0:10", "1:00", "1:00:00",
    "1:05:09", "1 d 00:00:00", "1 d 00:00:00", "3 d 04:05:06", "366 d 00:00:00", "-0:03"]);
  for (const ms of times) {
    for (const countUp of [false, true]) {
      assert.equal(clockText(ms, { countUp }), formatClock(ms, { countUp }).replace("−", "-"));
    }
  }
  assert.equal(clockText(null), "-:--");
});

test("durations of days are read back", () => {
  assert.equal(formatDuration(3 * DAY + 12 * 3_600_000), "3 days 12 h");
  assert.equal(spokenDuration(3 * DAY + 12 * 3_600_000 + 5), "3 days 12 hours");
  for (const ms of [DAY, 2 * DAY, 36 * 3_600_000, 366 * DAY, DAY + 1_500]) {
    assert.equal(parseDuration(formatDuration(ms)), ms);
  }
});
