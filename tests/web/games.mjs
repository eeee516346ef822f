// Follows games, one on each line of the input, event by event. Answers each with a list of differences.
import { createInterface } from "node:readline";
import { adopt, clockAt, merge, predictPause, predictResume, predictSwitch, stateAt }
  from "../../synckairos/web/synckairos.js";

const PREDICTIONS = { "cycle.switched": predictSwitch, "session.paused": predictPause,
  "session.resumed": predictResume, "session.completed": predictSwitch };

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

// Once the session's end has come, its clocks stand, until the service tells it.
const hasNotEnded = ({ status, ends_at_ms, server_time_ms }) => status !== "running"
  || (ends_at_ms ?? Infinity) >= server_time_ms;

// Whether a state does not say if its pause counts: one that does not may end by itself, too.
const isOpen = ({ status, max_pause_ms, max_total_pause_ms }) => status === "paused"
  && (max_pause_ms ?? null) !== null && (max_total_pause_ms ?? null) !== null;

function problems({ state: first, steps }) {
  let state = adopt(first);
  let whole = first;
  const found = [];
  for (const [at, { call, event, free, lag, next, state: wanted, later }] of steps.entries()) {
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
    for (const shown of [wanted, later].filter(hasNotEnded)) {
      add("", faceProblems(shown));
    }
    // A client that connects only now knows the same.
    if (!isOver) {
      const found = stateAt(adopt(wanted), later.server_time_ms);
      add("taken whole", differences(isOpen(wanted)
        ? { ...found, pause_remaining_ms: later.pause_remaining_ms } : found, later));
    }
    const late = [...differences(merge(adopt(whole), event), wanted)]
      .filter((one) => !(isUnknown(whole, event) && one.startsWith(".time_used_ms")))
      .filter((one) => !(isOpen(whole) && one.startsWith(".pause_remaining_ms")));
    add("taken whole before", late);
    whole = wanted;
    const predict = PREDICTIONS[event.payload.event];
    // Until the grace of lag compensation is over, it is open whether a clock at its end runs out.
    const known = before.deadline_ms === null || event.server_time_ms < before.deadline_ms;
    // What was due, which a call performs instead, has a lateness, and is not predicted.
    const isOwn = event.payload.late_ms === undefined
      && (event.payload.reason === "manual" || event.payload.event === "session.completed");
    if (predict && known && !lag && isOwn && (call === "switch") === (predict === predictSwitch)) {
      const more = predict === predictPause ? [{ counted: !free }] : next ? [next] : [];
      const { version, ...predicted } = predict(before, event.server_time_ms, ...more) ?? { nothing: true };
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
