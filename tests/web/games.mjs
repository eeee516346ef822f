// Follows games, one on each line of the input, event by event. Answers each with a list of differences.
import { createInterface } from "node:readline";
import { adopt, clockAt, merge, predictPause, predictResume, predictSwitch, stateAt }
  from "../../synckairos/web/synckairos.js";

const PREDICTIONS = { "cycle.switched": predictSwitch, "session.paused": predictPause,
  "session.resumed": predictResume };

function* differences(found, wanted, path = "") {
  if (typeof found === "object" && typeof wanted === "object" && found !== null && wanted !== null) {
    for (const name of new Set([...Object.keys(found), ...Object.keys(wanted)])) {
      yield* differences(found[name], wanted[name], `${path}.${name}`);
    }
  } else if (found !== wanted) {
    yield `${path}: ${JSON.stringify(found)} instead of ${JSON.stringify(wanted)}`;
  }
}

// The differences between the clock faces and the state.
function* faceProblems(state) {
  const owners = [...state.participants, ...state.groups].filter((entry) => entry.clock !== null);
  for (const entry of owners) {
    const id = entry.participant_id ?? entry.group_id;
    const face = clockAt(adopt(state), state.server_time_ms, id);
    const { now = entry.clock } = entry.clock;
    const control = entry.time_control ?? state.time_control;
    const overtime = control.overtime_ms ?? 0;
    const left = entry.time_remaining_ms === null ? null : Math.max(entry.time_remaining_ms, -overtime);
    const wanted = {
      remainingMs: left,
      periodsLeft: now.periods_left ?? null,
      blockRemainingMs: now.block_remaining_ms ?? null,
      stage: entry.clock.stage ?? null,
      movesLeft: entry.clock.moves_left ?? null,
      expired: entry.has_expired,
    };
    if (now.period_remaining_ms !== undefined) {
      wanted.periodRemainingMs = now.period_remaining_ms;
    }
    if (overtime > 0 && left !== null) {
      wanted.overtimeMs = now.overtime_used_ms;
    }
    for (const [name, value] of Object.entries(wanted)) {
      yield* differences(face[name], value, `face of ${id}.${name}`);
    }
    // The parts of a face add up to all the time left.
    if (left !== null && !entry.has_expired && left > 0 && entry.total_time_ms >= 0) {
      const whole = (face.periodsLeft ?? 0) > 0
        ? (face.periodsLeft - 1) * face.periodMs + face.periodRemainingMs : 0;
      yield* differences(face.mainMs + (face.delayMs ?? 0) + whole + (face.blockRemainingMs ?? 0), left,
        `sum of ${id}`);
    }
  }
}

// The one thing that a state does not say: how much a cycle was charged before its clock ran out under
// `notify` and got time again. The client needs it only when the active participant leaves in that cycle.
const isUnknown = (state, { payload }) => state.action_on_timeout.type === "notify"
  && payload.removed_participant_id !== undefined
    && payload.removed_participant_id === state.active_participant_id;

function problems({ state: first, steps }) {
  let state = adopt(first);
  let whole = first;
  const found = [];
  for (const [at, { call, event, lag, next, state: wanted, later }] of steps.entries()) {
    const where = `step ${at} (${call}, version ${event.version})`;
    const add = (what, list) => found.push(...[...list].map((problem) => `${where}, ${what}${problem}`));
    const before = state;
    state = merge(state, event);
    add("state", differences(state, wanted));
    // At the moment when the total ends, a state does not say whether the cycle's clock still ran.
    const isOver = wanted.status === "running" && wanted.total_remaining_ms === 0;
    if (!isOver) {
      add("later", differences(stateAt(state, later.server_time_ms), later));
    }
    add("", faceProblems(wanted));
    add("", faceProblems(later));
    // A client that connects only now knows the same.
    if (!isOver) {
      add("taken whole", differences(stateAt(adopt(wanted), later.server_time_ms), later));
    }
    const late = [...differences(merge(adopt(whole), event), wanted)];
    add("taken whole before", isUnknown(whole, event)
      ? late.filter((one) => !one.startsWith(".time_used_ms")) : late);
    whole = wanted;
    const predict = PREDICTIONS[event.payload.event];
    // Until the grace of lag compensation is over, it is open whether a clock at its end runs out.
    const known = before.deadline_ms === null || event.server_time_ms < before.deadline_ms;
    if (predict && known && !lag && event.payload.reason === "manual"
      && (call === "switch") === (predict === predictSwitch)) {
      const { version, ...predicted } = predict(before, event.server_time_ms, ...(next ? [next] : []))
        ?? { nothing: true };
      // The client does not know how much of a quota lag compensation leaves.
      const expected = structuredClone(wanted);
      delete expected.version;
      if (wanted.lag_compensation) {
        for (const entry of [...expected.participants, ...expected.groups]) {
          const mine = [...(predicted.participants ?? []), ...(predicted.groups ?? [])]
            .find((other) => other.participant_id === entry.participant_id
              && other.group_id === entry.group_id);
          if (entry.clock?.quota_ms !== undefined && mine) {
            entry.clock.quota_ms = mine.clock.quota_ms;
          }
        }
      }
      add("predicted", differences(predicted, expected));
    }
    if (found.length > 0) {
      break;
    }
  }
  return found;
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(problems(JSON.parse(line)))}\n`);
}
