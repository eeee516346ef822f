// Clock faces under every time control, at any moment of the running cycle, waiting and paused.
import assert from "node:assert/strict";
import { test } from "node:test";
import { adopt, clockAt, elapsedAt, predictSwitch, remainingAt,
  stateAt } from "../../synckairos/web/synckairos.js";
import { ANNA, BEN, game } from "./world.mjs";

const START = Date.parse(game().cycle_started_at);
const TEAM = "b0000000-0000-4000-8000-000000000000";

/**
 * A running game under a control. Anna is active, with this bank and these details of her clock. `extra` is
 * her time besides the bank.
 */
function under(control, { bank = 60_000, clock = {}, extra = 0, ...changes } = {}) {
  const overtime = control.overtime_ms ?? 0;
  const left = control.kind === "none" ? null : bank + extra;
  const state = game({ time_control: control, ...changes });
  state.participants.forEach((player) => {
    Object.assign(player,
      { total_time_ms: left === null ? null : bank, time_remaining_ms: left, clock: { ...clock } });
  });
  state.time_remaining_ms = left;
  state.deadline_ms = left === null ? null : START + left + overtime;
  return adopt(state);
}

/** These fields of Anna's clock face when the cycle has run for `passed` ms. */
function face(state, passed, ...names) {
  const shown = clockAt(state, START + passed, ANNA);
  return names.map((name) => shown[name]);
}

test("sudden death runs down to zero and stays there", () => {
  const state = under({ kind: "fischer" });
  assert.deepEqual(face(state, 0, "kind", "running", "expired", "mainMs", "remainingMs"),
    ["fischer", true, false, 60_000, 60_000]);
  assert.deepEqual(face(state, 12_345.5, "mainMs", "remainingMs", "elapsedMs"),
    [47_654.5, 47_654.5, 12_345.5]);
  assert.deepEqual(face(state, 70_000, "mainMs", "remainingMs"), [0, 0]);
});

test("what a control does not have is null", () => {
  const shown = clockAt(under({ kind: "bronstein", delay_ms: 5_000 }), START, ANNA);
  for (const name of ["delayMs", "periodsLeft", "periodMs", "periodRemainingMs", "blockRemainingMs",
    "movesLeft", "stage", "overtimeMs"]) {
    assert.equal(shown[name], null, name);
  }
});

test("waiting clock stands", () => {
  const shown = clockAt(under({ kind: "fischer" }), START + 5_000, BEN);
  assert.deepEqual([shown.ownerId, shown.running, shown.mainMs, shown.elapsedMs], [BEN, false, 60_000, 0]);
});

test("delay runs down first and then the main time", () => {
  const state = under({ kind: "delay", delay_ms: 5_000 }, { extra: 5_000 });
  assert.deepEqual(face(state, 0, "delayMs", "mainMs", "remainingMs"), [5_000, 60_000, 65_000]);
  assert.deepEqual(face(state, 4_000, "delayMs", "mainMs"), [1_000, 60_000]);
  assert.deepEqual(face(state, 8_000, "delayMs", "mainMs"), [0, 57_000]);
  const { delayMs, mainMs } = clockAt(state, START + 8_000, BEN);
  assert.deepEqual([delayMs, mainMs], [5_000, 60_000]);
});

test("byo-yomi spends the main time and then its periods", () => {
  const state = under({ kind: "byoyomi", periods: 3, period_ms: 10_000 },
    { bank: 20_000, extra: 30_000, clock: { periods_left: 3 } });
  const names = ["mainMs", "periodsLeft", "periodRemainingMs", "remainingMs"];
  assert.deepEqual(face(state, 0, ...names), [20_000, 3, 10_000, 50_000]);
  assert.deepEqual(face(state, 19_999, ...names), [1, 3, 10_000, 30_001]);
  assert.deepEqual(face(state, 20_000, ...names), [0, 3, 10_000, 30_000]);
  assert.deepEqual(face(state, 23_000, ...names), [0, 3, 7_000, 27_000]);
  assert.deepEqual(face(state, 29_999, ...names), [0, 3, 1, 20_001]);
  assert.deepEqual(face(state, 30_000, ...names), [0, 2, 10_000, 20_000]);
  assert.deepEqual(face(state, 49_999.5, ...names), [0, 1, 0.5, 0.5]);
  assert.deepEqual(face(state, 50_000, ...names), [0, 0, 0, 0]);
  assert.deepEqual(face(state, 0, "periodMs"), [10_000]);
});

test("canadian spends the main time and then its block", () => {
  const state = under({ kind: "canadian", moves: 2, period_ms: 20_000 },
    { bank: 1_000, extra: 20_000, clock: { moves_left: 2, block_remaining_ms: 20_000 } });
  const names = ["mainMs", "blockRemainingMs", "movesLeft"];
  assert.deepEqual(face(state, 0, ...names), [1_000, 20_000, 2]);
  assert.deepEqual(face(state, 1_000, ...names), [0, 20_000, 2]);
  assert.deepEqual(face(state, 3_000, ...names), [0, 18_000, 2]);
  assert.deepEqual(face(state, 21_000, ...names), [0, 0, 2]);
});

test("overtime comes after everything else and is shown below zero", () => {
  const state = under({ kind: "fischer", overtime_ms: 5_000 });
  const names = ["mainMs", "overtimeMs", "remainingMs"];
  assert.deepEqual(face(state, 59_000, ...names), [1_000, 0, 1_000]);
  assert.deepEqual(face(state, 63_000, ...names), [-3_000, 3_000, -3_000]);
  assert.deepEqual(face(state, 70_000, ...names), [-5_000, 5_000, -5_000]);
  const byoyomi = under({ kind: "byoyomi", periods: 1, period_ms: 1_000, overtime_ms: 5_000 },
    { bank: 1_000, extra: 1_000, clock: { periods_left: 1, overtime_used_ms: 0 } });
  assert.deepEqual(face(byoyomi, 2_500, ...names, "periodsLeft"), [-500, 500, -500, 0]);
});

test("periods pay no debt", () => {
  const state = under({ kind: "byoyomi", periods: 2, period_ms: 1_000, overtime_ms: 5_000 },
    { bank: -2_000, extra: 2_000, clock: { periods_left: 2, overtime_used_ms: 2_000 } });
  const names = ["mainMs", "overtimeMs", "periodsLeft", "periodRemainingMs"];
  assert.deepEqual(face(state, 500, ...names), [-2_000, 2_000, 2, 500]);
  assert.deepEqual(face(state, 2_400, ...names), [-2_400, 2_400, 0, 0]);
});

test("stages show the kind that holds and the moves to the next one", () => {
  const control = { kind: "stages", stages: [
    { moves: 2, time_ms: 30_000, kind: "fischer", increment_ms: 1_000 },
    { moves: 1, time_ms: 20_000, kind: "delay", delay_ms: 5_000 },
    { time_ms: 0, kind: "byoyomi", periods: 2, period_ms: 10_000 }] };
  const names = ["kind", "stage", "movesLeft", "mainMs", "delayMs", "periodsLeft"];
  assert.deepEqual(face(under(control, { clock: { stage: 0, moves_left: 2 } }), 1_000, ...names),
    ["fischer", 0, 2, 59_000, null, null]);
  assert.deepEqual(face(under(control, { clock: { stage: 1, moves_left: 1 }, extra: 5_000 }), 1_000,
    ...names),
    ["delay", 1, 1, 60_000, 4_000, null]);
  assert.deepEqual(face(under(control, { clock: { stage: 2, periods_left: 2 }, extra: 20_000 }), 61_000,
    ...names),
    ["byoyomi", 2, null, 0, null, 2]);
});

test("waiting clock of an hourglass grows only at the switch", () => {
  const state = under({ kind: "hourglass" });
  assert.equal(clockAt(state, START + 10_000, BEN).mainMs, 60_000);
  const after = predictSwitch(state, START + 10_000);
  assert.deepEqual([clockAt(after, START + 10_000, ANNA).mainMs, clockAt(after, START + 10_000, BEN).mainMs],
    [50_000, 70_000]);
});

test("clock without end counts up", () => {
  const state = under({ kind: "none" });
  assert.deepEqual(face(state, 5_000, "kind", "remainingMs", "mainMs", "elapsedMs", "running"),
    ["none", null, null, 5_000, true]);
  assert.equal(remainingAt(state, START + 5_000, ANNA), null);
});

test("own control of a participant counts before the session's", () => {
  const state = game();
  state.participants[0].time_control = { kind: "delay", delay_ms: 2_000 };
  const adopted = adopt({ ...state, time_remaining_ms: 602_000, deadline_ms: START + 602_000 });
  assert.deepEqual(face(adopted, 1_000, "kind", "delayMs"), ["delay", 1_000]);
});

test("clock that stands at zero is not running and has expired", () => {
  const state = under({ kind: "fischer" }, { action_on_timeout: { type: "notify" } });
  const player = { ...state.participants[0], total_time_ms: 0, time_remaining_ms: 0, has_expired: true };
  const standing = adopt({ ...state, participants: [player, state.participants[1]], deadline_ms: null,
    time_remaining_ms: 0 });
  assert.deepEqual(face(standing, 5_000, "mainMs", "running", "expired"), [0, false, true]);
});

test("paused clock stands as it was", () => {
  const running = stateAt(under({ kind: "delay", delay_ms: 5_000 }, { extra: 5_000 }), START + 8_000);
  const paused = adopt({ ...running, status: "paused", cycle_started_at: null, deadline_ms: null });
  assert.deepEqual(face(paused, 100_000, "delayMs", "mainMs", "elapsedMs", "running"),
    [0, 57_000, 8_000, false]);
});

const shared = (changes) => {
  const state = game(changes);
  state.participants.forEach((one) => Object.assign(one,
    { total_time_ms: null, time_remaining_ms: null, clock: null }));
  return state;
};

test("session's own clock is the countdown of everybody", () => {
  const state = adopt(shared({ sync_mode: "global", total_time_ms: 600_000 }));
  const { ownerId, kind, mainMs, running } = clockAt(state, START + 1_000);
  assert.deepEqual([ownerId, kind, mainMs, running], [null, "countdown", 599_000, true]);
  assert.equal(clockAt(state, START, ANNA), null);
  assert.equal(remainingAt(state, START, ANNA), null);
  assert.equal(elapsedAt(state, START + 1_000, ANNA), 1_000);
});

test("countdown of a session or a cycle is shown before its start", () => {
  const pending = { status: "pending", cycle_started_at: null, deadline_ms: null, time_remaining_ms: null,
    cycle_elapsed_ms: null };
  assert.equal(clockAt(adopt(shared({ sync_mode: "global", ...pending })), START).mainMs, 1_200_000);
  assert.equal(remainingAt(adopt(shared({ sync_mode: "per_cycle", time_per_cycle_ms: 30_000, ...pending })),
    START), 30_000);
  const both = shared({ sync_mode: "global", time_per_cycle_ms: 30_000, total_remaining_ms: 20_000,
    ...pending });
  assert.equal(remainingAt(adopt(both), START), 20_000);
});

test("total of all cycles runs down with them and ends the cycle with it", () => {
  const state = adopt(shared({ sync_mode: "global", time_per_cycle_ms: 30_000, total_time_ms: 40_000,
    total_remaining_ms: 40_000,
    time_remaining_ms: 30_000, deadline_ms: START + 30_000 }));
  const second = predictSwitch(state, START + 20_000);
  assert.deepEqual([second.total_remaining_ms, second.time_remaining_ms, second.deadline_ms],
    [20_000, 20_000, START + 40_000]);
  assert.equal(stateAt(second, START + 25_000).total_remaining_ms, 15_000);
  assert.equal(clockAt(second, START + 25_000).mainMs, 15_000);
});

test("stopwatch counts the session and everybody's own time", () => {
  const state = adopt(shared({ sync_mode: "count_up", time_used_ms: 7_000, deadline_ms: null,
    time_remaining_ms: null }));
  assert.equal(elapsedAt(state, START + 1_000), 8_000);
  const own = clockAt(state, START + 1_000, ANNA);
  assert.deepEqual([own.kind, own.elapsedMs, own.running, own.mainMs], ["count_up", 1_000, true, null]);
  assert.deepEqual([clockAt(state, START + 1_000).elapsedMs, clockAt(state, START + 1_000, BEN).running],
    [8_000, false]);
});

test("team shows one clock and its members none", () => {
  const state = shared({ sync_mode: "per_group", active_group_id: TEAM });
  state.groups = [{ total_time_ms: 600_000, time_used_ms: 0, time_remaining_ms: 600_000, cycle_count: 0,
    is_active: true,
    has_expired: false, clock: {}, group_id: TEAM, time_control: null }];
  const adopted = adopt(state);
  assert.equal(clockAt(adopted, START + 1_000, TEAM).mainMs, 599_000);
  assert.equal(clockAt(adopted, START + 1_000, ANNA), null);
  assert.equal(remainingAt(adopted, START + 1_000, TEAM), 599_000);
  assert.equal(remainingAt(adopted, START + 1_000), 599_000);
});

test("member whose turn it is in a team is found though the client did not see the team's last turn", () => {
  const state = shared({ sync_mode: "per_group", active_group_id: TEAM });
  const other = "b0000000-0000-4000-8000-000000000001";
  const team = (id,
    active) => ({ total_time_ms: 600_000, time_used_ms: 0, time_remaining_ms: 600_000, cycle_count: 1,
    is_active: active, has_expired: false, clock: {}, group_id: id, time_control: null });
  const member = (id, index, group,
    count) => ({ ...state.participants[0], participant_id: id, participant_index: index,
    group_id: group, cycle_count: count, is_active: id === ANNA });
  const people = ["1", "2"].map((digit) => `c0000000-0000-4000-8000-00000000000${digit}`);
  const adopted = adopt({ ...state, groups: [team(TEAM, true), team(other, false)], participants: [
    member(ANNA, 0, TEAM, 1), member(people[0], 1, other, 2), member(people[1], 2, other, 1)] });
  assert.equal(predictSwitch(adopted, START + 1_000).active_participant_id, people[1]);
});
