-- The functions with which somebody puts right what went wrong: turns are taken back, the turn is set, a
-- session that is over goes on, or begins anew. They take the common options of transitions.lua.

local NONE = call_options.NONE
local TAKEBACK = { TURNS = true }

-- sk_takeback 4 <keys> [TURNS n] [options]
--
-- Brings back what the last n turns changed, 1 to 16 (1 without the option): whose turn it is, clocks,
-- counts, and who is out. A turn is a cycle that ended; the one under way is given up with them. The cycle
-- begins now, in a pause it waits at its start. What the turns changed is found in the log.
--
-- KEYS[1-4]  the session, its log, the alarms, the outbox
-- ARGV       options as `NAME value` in any order: TURNS, and the common ones
-- Reply      change (JSON)
-- Refusals   INVALID_SESSION_STATE (also: fewer turns, something else lies between, or the log does not reach
--            back: the context says what), and those of all transitions
-- Publishes  turn.taken_back
redis.register_function({
  function_name = 'sk_takeback',
  callback = functions_transitions.transition('sk_takeback', transitions_takeback.takeback, TAKEBACK),
  description = 'Takes the last turns back. Replies with the change.',
  flags = { 'allow-oom' },
})

local function set_turn(s, _, id)
  return transitions_turn.set_turn(s, id)
end

-- sk_turn 4 <keys> <participant id> [options]
--
-- Says whose turn it is: of a pending session, whose cycle is the first; of a paused one, whose cycle goes on
-- from its start. A cycle that was under way is charged, and neither counted nor credited.
--
-- KEYS[1-4]  the session, its log, the alarms, the outbox
-- ARGV[1]    the id of the participant
-- ARGV       the common options
-- Reply      change (JSON)
-- Refusals   INVALID_SESSION_STATE, PARTICIPANT_NOT_FOUND, PARTICIPANT_EXPIRED, and those of all transitions
-- Publishes  turn.set
redis.register_function({
  function_name = 'sk_turn',
  callback = functions_transitions.transition('sk_turn', set_turn, NONE, functions_transitions.parse_id),
  description = 'Says whose turn it is, while pending or paused. Replies with the change.',
  flags = { 'allow-oom' },
})

-- sk_reopen 4 <keys> [options]
--
-- expired, completed or cancelled -> paused. Who was active at the end is again, at the start of a cycle. A
-- session that had not started is pending.
--
-- KEYS[1-4]  the session, its log, the alarms, the outbox
-- ARGV       the common options
-- Reply      change (JSON)
-- Refusals   INVALID_SESSION_STATE, and those of all transitions
-- Publishes  session.reopened
redis.register_function({
  function_name = 'sk_reopen',
  callback = functions_transitions.transition('sk_reopen', transitions_reopen.reopen, NONE),
  description = 'Lets a session that is over go on: it is paused then. Replies with the change.',
  flags = { 'allow-oom' },
})

-- sk_reset 4 <keys> [options]
--
-- Any session -> pending, as its config had it, with those who take part now. Its versions go on. The event
-- shows everybody whose values changed, so that it may be as large as that of sk_create, and like that one it
-- is refused when the server is full.
--
-- KEYS[1-4]  the session, its log, the alarms, the outbox
-- ARGV       the common options
-- Reply      change (JSON)
-- Refusals   INVALID_SESSION_STATE (a session that a library before 0.5.0 created), and those of all
--            transitions
-- Publishes  session.reset
redis.register_function({
  function_name = 'sk_reset',
  callback = functions_transitions.transition('sk_reset', transitions_reset.reset, NONE),
  description = 'Begins a session anew, as its config had it. Replies with the change.',
})

return {}
