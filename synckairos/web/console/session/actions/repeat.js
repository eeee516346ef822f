// A new session with the config of one that is over, as far as the state and the events say what it was.

/** Members of a config that a state shows as they were given. */
const AS_GIVEN = [
  "sync_mode",
  "time_control",
  "time_per_cycle_ms",
  "lag_compensation",
  "auto_advance",
  "action_on_timeout",
  "warnings_ms",
  "players_may_pause",
  "players_may_choose_next",
  "max_pause_ms",
  "max_pauses",
  "max_total_pause_ms",
  "max_cycles",
];
/** What metadata says of one session, and not of the next. */
const OF_ONE_SESSION = ["next_session", "message", "blackout", "announcements", "run"];
/** So many events are read at most, to find what the clocks had at first. */
const MAX_EVENTS = 2000;

/** Whether a time control says by itself how much time its owner has at first. */
const hasBank = (control) => Boolean(control && (control.notation || control.stages));

/**
 * The first events of a session, oldest first; fewer, or none, where the service does not keep them.
 *
 * @param {object} session The client's.
 * @returns {Promise<object[]>}
 */
export async function firstEvents(session) {
  const found = [];
  try {
    while (found.length < MAX_EVENTS) {
      const { events } = await session.events(found.at(-1)?.version ?? 0);
      found.push(...events);
      if (events.length === 0 || found.at(-1).version >= session.confirmed.version) break;
    }
  } catch {
    // Without an audit store the service drops old events. Then the state alone has to do.
  }
  return found[0]?.version === 1 ? found : [];
}

/** What an owner's clock had at first, as far as events and state say it. */
function bankOf(entry, id, state, owners, events) {
  for (const { payload } of events) {
    if (payload.event !== "session.created" && payload.event !== "participant.added") continue;
    const told = [...payload.participants, ...payload.groups].find((each) => (each.participant_id ?? each.group_id) === id);
    if (told && told.total_time_ms !== null) return told.total_time_ms;
  }
  // Under a plain increment it follows from what was used; unless time was given by hand, all of them together
  // make what the session says.
  const begun = (each) => each.total_time_ms + each.time_used_ms - each.cycle_count * (state.increment_ms ?? 0);
  const sum = owners.reduce((total, each) => total + begun(each), 0);
  if (sum === state.total_time_ms) return begun(entry);
  return Math.round(state.total_time_ms / owners.length);
}

/** By how much the clock of the session was changed by hand, since it began for the last time. */
function givenByHand(events) {
  let sum = 0;
  for (const { payload } of events) {
    if (payload.event === "session.reset") sum = 0;
    const isOfSession = payload.event === "time.adjusted" && payload.participants.length === 0 && payload.groups.length === 0;
    if (isOfSession) sum += payload.adjusted_ms;
  }
  return sum;
}

/** Who had the first turn, when the session began for the last time; null: not known. */
const beginnerOf = (events) =>
  events.findLast(({ payload }) => payload.event === "session.started")?.payload.active_participant_id ?? null;

/**
 * The config of a session that repeats another one: the same people with the times that they had at first, the
 * same rules, title, names and looks. Moments of the calendar are left out, because they are over.
 *
 * With `swapped` the order of the participants is reversed, so that whoever began is last. Their times move
 * with them: a handicap is a person's, and not a seat's.
 *
 * @param {object} state The state of the old session.
 * @param {object[]} events Its events from the first one on, or none.
 * @param {{swapped?: boolean}} [options]
 * @returns {object} A config without an id.
 */
export function againConfig(state, events, { swapped = false } = {}) {
  const config = {};
  for (const name of AS_GIVEN) if ((state[name] ?? null) !== null) config[name] = state[name];
  if (state.increment_ms && !hasBank(state.time_control)) config.increment_ms = state.increment_ms;
  const byHand = givenByHand(events);
  if (state.sync_mode === "global") {
    const whole = state.time_per_cycle_ms === null ? state.total_time_ms + state.time_used_ms - byHand : state.total_time_ms;
    if (whole !== null) config.total_time_ms = whole;
  }
  if (state.sync_mode === "count_up" && state.max_time_ms !== null) config.max_time_ms = state.max_time_ms - byHand;

  const owned = (entry, id, owners) => {
    const control = entry.time_control ?? null;
    const own = control === null ? {} : { time_control: control };
    if (entry.total_time_ms === null || hasBank(control) || hasBank(state.time_control)) return own;
    return { ...own, total_time_ms: bankOf(entry, id, state, owners, events) };
  };
  const byGroup = state.sync_mode === "per_group";
  let people = state.participants;
  const at = people.findIndex((each) => each.participant_id === beginnerOf(events));
  if (swapped) people = [...people.slice(Math.max(0, at)), ...people.slice(0, Math.max(0, at))].reverse();
  config.participants = people.map((each) => ({
    participant_id: each.participant_id,
    ...(each.group_id !== null && { group_id: each.group_id }),
    ...(byGroup ? {} : owned(each, each.participant_id, state.participants)),
  }));
  if (state.groups.length > 0) {
    const groups = state.groups.map((each) => ({ group_id: each.group_id, ...owned(each, each.group_id, state.groups) }));
    config.groups = swapped ? groups.reverse() : groups;
  }
  if (!swapped && at > 0) config.active_participant_id = people[at].participant_id;
  const metadata = Object.fromEntries(
    Object.entries(state.metadata ?? {}).filter(([name]) => !OF_ONE_SESSION.includes(name)),
  );
  if (Number.isFinite(metadata.agenda?.starts_at_ms)) {
    // The new one begins when it is started; the old plan would make all of it late.
    const { starts_at_ms: _, ...agenda } = metadata.agenda;
    metadata.agenda = agenda;
  }
  if (Object.keys(metadata).length > 0) config.metadata = metadata;
  return config;
}

/**
 * The id of the session that repeats another one: the same on every device, so that two people who ask for it at
 * the same moment make one session; and another one after each end of the old one, which may go on after its
 * first.
 *
 * @param {object} state The state of the old session, which is over.
 * @returns {string} A UUID of version 8.
 */
export function idOfAgain(state) {
  // Four hashes (FNV-1a, each from another start) make the 128 bits. It has to be even, and not secret.
  const text = `${state.session_id} ${state.session_completed_at}`;
  const words = [0x811c9dc5, 0x01000193, 0x9e3779b9, 0x85ebca6b].map((start) => {
    let hash = start;
    for (let round = 0; round < 2; round += 1)
      for (const each of text) hash = Math.imul(hash ^ each.codePointAt(0), 0x01000193);
    hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
    return ((hash ^ (hash >>> 13)) >>> 0).toString(16).padStart(8, "0");
  });
  const hex = words.join("");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-9${hex.slice(17, 20)}-${hex.slice(20)}`;
}
