-- The functions that carry out a transition. All of them have in common
--
-- KEYS[1-4]  the session, its log, the alarms, the outbox
-- ARGV       the function's own arguments; then options as `NAME value` in any order: its own, and the
--            common ones TENANT t, VERSION n, EPOCH e, ACTOR a, TRACE t, TRACEPARENT t, REQUEST id,
--            SCHEMA n
-- Reply      change (JSON)
-- Refusals   VALIDATION_ERROR, SESSION_NOT_FOUND, and CONCURRENT_MODIFICATION for VERSION, for EPOCH, and for
--            a repeated REQUEST whose event the log does not have any more
--
-- The block above each function adds its own.
--
-- What is due comes first: the start or the end of the session, the end of a pause, or the expiry when the
-- time is up. Switch, pause, resume, takeback, turn, adjust of the running clock and leave of the active
-- participant carry it out instead of their own change, and publish the same event as sk_expire; start and
-- schedule do so with the start and the end of the session. Metadata does so with all of it.

local NONE = call_options.NONE
local COMMON = call_options.COMMON
local ADJUST = { PARTICIPANT = true, GROUP = true, CLOCK = true, SET = true, ADD = true, WITHIN = true,
  REASON = true }
local SWITCH = { NEXT = true, CURRENT = true, LAG = true, PLAYER = true, LIMIT = true }
local PLAYER = { PLAYER = true }
local PAUSE = { PLAYER = true, FREE = true }
local SCHEDULE = { STARTS = true, ENDS = true }

-- The reply to a call with LIMIT: the change, and the five integers of sk_throttle.
local function with_limit(change, numbers)
  return { change, numbers[1], numbers[2], numbers[3], numbers[4], numbers[5] }
end

-- Makes the callback of a function that carries out a transition.
--
-- rule(s, given, value)     the transition, a function of transitions/
-- own                       the names of its own options
-- parse_first(text, given)  turns its first argument into `value`, or returns nil and problems; nil for a
--                           function without arguments
-- options_problems(given)   the problems of options that are valid alone but not together; nil for none
local function transition(function_name, rule, own, parse_first, options_problems)
  return function(keys, args)
    local given, problems, value
    if parse_first then
      local first_problems
      given, problems = call_options.parse(args, 2, own, COMMON)
      value, first_problems = parse_first(args[1], given)
      problems = functions_open.join_problems(first_problems, problems)
    else
      given, problems = call_options.parse(args, 1, own, COMMON)
    end
    if options_problems and not problems then
      problems = options_problems(given)
    end
    local s, reply = functions_open.open(function_name, keys, given, problems)
    local limit = given.LIMIT
    if not s then
      if limit and type(reply) == 'string' then -- the change that a repeated request made at first
        return with_limit(reply, storage_throttle.ask_in_session(keys[1], given.PLAYER, limit))
      end
      return reply or call_refusal.session_not_found()
    end
    local turn, event, extra = rule(s, given, value)
    if not event then
      return extra -- a refusal, or nil when there is nothing to do
    elseif not limit then
      return functions_commit.commit(s, turn, event, given, extra)
    end
    local numbers = storage_throttle.consume_in_session(s, given.PLAYER, limit)
    if numbers[1] == 1 then
      return call_refusal.limited('switch', numbers[4])
    end
    local change = functions_commit.commit(s, turn, event, given, extra)
    return type(change) == 'string' and with_limit(change, numbers) or change -- an error
  end
end

-- sk_start 4 <keys> [options]
--
-- pending -> running. The config's active_participant_id becomes active, or else the first participant in
-- rotation.
--
-- Refusals   INVALID_SESSION_STATE
-- Publishes  session.started
redis.register_function({
  function_name = 'sk_start',
  callback = transition('sk_start', transitions_lifecycle.start, NONE),
  description = 'Starts a pending session. Replies with the change.',
  flags = { 'allow-oom' },
})

-- sk_switch 4 <keys> [NEXT pid] [CURRENT pid] [LAG ms] [PLAYER pid]
--             [LIMIT burst count period_ms cooldown_ms] [options]
--
-- Ends the running cycle, charges and credits its clock, and begins the cycle of NEXT, or else of the next
-- participant in rotation. With CURRENT it is refused unless this participant is active. LAG is the network
-- delay that the server measured. With PLAYER it is that participant's own call: see transitions/player.lua.
--
-- LIMIT is a rate limit like those of sk_throttle, whose bucket belongs to the session, or with PLAYER to the
-- participant in it instead. What is refused for another reason takes nothing out of it, and neither does a
-- repeated request.
--
-- Reply      change (JSON); with LIMIT a list of the change and the five integers of sk_throttle
-- Refusals   INVALID_SESSION_STATE, FORBIDDEN (PLAYER), CONCURRENT_MODIFICATION (CURRENT),
--            PARTICIPANT_NOT_FOUND, PARTICIPANT_EXPIRED, RATE_LIMIT_EXCEEDED (LIMIT)
-- Publishes  cycle.switched
redis.register_function({
  function_name = 'sk_switch',
  callback = transition('sk_switch', transitions_lifecycle.switch, SWITCH),
  description = 'Ends the running cycle and begins the next one. Replies with the change.',
  flags = { 'allow-oom' },
})

-- The problem of a pause that is both a participant's own and free.
local function pause_problems(given)
  if given.FREE and given.PLAYER then
    return { { 'FREE', "cannot go with PLAYER: a participant's own pause counts" } }
  end
end

-- sk_pause 4 <keys> [PLAYER pid | FREE] [options]
--
-- running -> paused, for as long as max_pause_ms and max_total_pause_ms allow. Nothing is charged. With
-- PLAYER it is that participant's own call. With FREE it does not count: neither max_pauses nor
-- max_total_pause_ms bounds it.
--
-- Refusals   INVALID_SESSION_STATE (also when no pause is left), FORBIDDEN (PLAYER)
-- Publishes  session.paused
redis.register_function({
  function_name = 'sk_pause',
  callback = transition('sk_pause', transitions_lifecycle.pause, PAUSE, nil, pause_problems),
  description = 'Stops the running clock. Replies with the change.',
  flags = { 'allow-oom' },
})

-- sk_resume 4 <keys> [PLAYER pid] [options]
--
-- paused -> running, in the same cycle of the same participant. With PLAYER it is that participant's own
-- call.
--
-- Refusals   INVALID_SESSION_STATE, FORBIDDEN (PLAYER)
-- Publishes  session.resumed
redis.register_function({
  function_name = 'sk_resume',
  callback = transition('sk_resume', transitions_lifecycle.resume, PLAYER),
  description = 'Lets a paused session go on. Replies with the change.',
  flags = { 'allow-oom' },
})

local function close_as(status)
  return function(s)
    return transitions_lifecycle.close(s, status)
  end
end

-- sk_complete 4 <keys> [options]
--
-- pending, running or paused -> completed. The running cycle is charged and counted, not credited.
--
-- Refusals   INVALID_SESSION_STATE
-- Publishes  session.completed
redis.register_function({
  function_name = 'sk_complete',
  callback = transition('sk_complete', close_as('completed'), NONE),
  description = 'Ends a session as completed. Replies with the change.',
  flags = { 'allow-oom' },
})

-- sk_cancel 4 <keys> [options]
--
-- pending, running or paused -> cancelled. The running cycle is charged and counted, not credited.
--
-- Refusals   INVALID_SESSION_STATE
-- Publishes  session.cancelled
redis.register_function({
  function_name = 'sk_cancel',
  callback = transition('sk_cancel', close_as('cancelled'), NONE),
  description = 'Ends a session as cancelled. Replies with the change.',
  flags = { 'allow-oom' },
})

-- The problems of the options of sk_adjust together.
local function adjust_problems(given)
  local problems
  if given.PARTICIPANT and given.GROUP then
    problems = { { 'GROUP', 'cannot go with PARTICIPANT' } }
  end
  if given.CLOCK and (given.PARTICIPANT or given.GROUP) then
    problems = functions_open.join_problems(problems,
      { { 'CLOCK', 'cannot go with PARTICIPANT or GROUP: nobody owns the total' } })
  end
  if (given.SET == nil) == (given.ADD == nil) then
    problems = functions_open.join_problems(problems, { { 'SET', 'or ADD is required, one of them' } })
  end
  return problems
end

-- sk_adjust 4 <keys> [PARTICIPANT pid | GROUP gid | CLOCK total] SET ms | ADD ms [WITHIN ms] [REASON text]
--             [options]
--
-- Gives time to a clock, or takes time from it. The mode says how the clock is named: by its participant, by
-- its group, or not at all when the session or the cycle owns it. CLOCK total is the total beside the cycles.
-- With WITHIN nothing changes unless less than this is left.
--
-- Reply      change (JSON); nil when not less than WITHIN is left
-- Refusals   INVALID_SESSION_STATE, PARTICIPANT_NOT_FOUND
-- Publishes  time.adjusted
redis.register_function({
  function_name = 'sk_adjust',
  callback = transition('sk_adjust', transitions_adjust.adjust, ADJUST, nil, adjust_problems),
  description = 'Gives time to a clock, or takes it. '
    .. 'Replies with the change, or nil when not less than WITHIN is left.',
  flags = { 'allow-oom' },
})

local function schedule_problems(given)
  if not given.STARTS and not given.ENDS then
    return { { 'STARTS', 'or ENDS is required, or both' } }
  end
end

-- sk_schedule 4 <keys> [STARTS ms | STARTS none] [ENDS ms | ENDS none] [options]
--
-- Sets when a session starts and ends by itself, at server times that are ahead, or takes that back. What is
-- not named stays.
--
-- Refusals   INVALID_SESSION_STATE (also STARTS ms once it has started)
-- Publishes  session.scheduled
redis.register_function({
  function_name = 'sk_schedule',
  callback = transition('sk_schedule', transitions_schedule.schedule, SCHEDULE, nil, schedule_problems),
  description = 'Sets when a session starts and ends by itself. Replies with the change.',
  flags = { 'allow-oom' },
})

-- sk_metadata 4 <keys> <patch> [options]
--
-- Changes the client's own data by a JSON merge patch (RFC 7396), in any status. The event has all of it
-- afterwards, up to 10 KB, so that it is refused when the server is full. A request that carried out what was
-- due is not remembered: when it is repeated, the patch is applied.
--
-- ARGV[1]    the patch, a JSON object
-- Reply      change (JSON); nil when the patch changes nothing
-- Refusals   VALIDATION_ERROR also for metadata that would be too large
-- Publishes  metadata.changed
redis.register_function({
  function_name = 'sk_metadata',
  callback = transition(
    'sk_metadata', transitions_metadata.patch_metadata, NONE, config_metadata.read_patch),
  description = 'Changes the metadata by a merge patch. Replies with the change, or nil.',
})

local JOIN = { SHORT = true }

local function parse_participant(text, given)
  if not text then
    return nil, { { 'participant', 'is required' } }
  end
  bounds.keep_short(given.SHORT)
  return config_participants.check_participant(text)
end

local function join(s, _, participant)
  return transitions_membership.join(s, participant)
end

-- sk_join 4 <keys> <participant> [SHORT] [options]
--
-- Adds a participant to a pending, running or paused session. SHORT bounds its times as in sk_create. Without
-- participant_index it comes last in the rotation.
--
-- ARGV[1]    participant (JSON), as in the config
-- Refusals   INVALID_SESSION_STATE
-- Publishes  participant.added
redis.register_function({
  function_name = 'sk_join',
  callback = transition('sk_join', join, JOIN, parse_participant),
  description = 'Adds a participant. Replies with the change.',
})

local function parse_id(text)
  local id = text and text_formats.uuid(text)
  if id then
    return id
  end
  return nil, { { 'participant_id', 'must be a UUID' } }
end

local function leave(s, _, id)
  return transitions_membership.leave(s, id)
end

-- sk_leave 4 <keys> <participant id> [options]
--
-- Removes a participant. When the active participant leaves, the next cycle begins in the same event.
--
-- ARGV[1]    the id of the participant
-- Refusals   INVALID_SESSION_STATE, PARTICIPANT_NOT_FOUND
-- Publishes  participant.removed
redis.register_function({
  function_name = 'sk_leave',
  callback = transition('sk_leave', leave, NONE, parse_id),
  description = 'Removes a participant. Replies with the change.',
  flags = { 'allow-oom' },
})

return {
  transition = transition,
  parse_id = parse_id,
}
