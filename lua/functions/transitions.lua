-- The functions that carry out a transition.

local NONE = call_options.NONE
local COMMON = call_options.COMMON

-- A transition by its rules: `rule(s, given, value)`; `own` are its options. With `positional` the first argument is read by it into the value, or nil
-- and problems; `together(given)` finds the problems of well-formed options with each other.
local function transition(name, rule, own, positional, together)
  return function(keys, args)
    local given, problems, value
    if positional then
      local wrong
      value, wrong = positional(args[1])
      given, problems = call_options.parse(args, 2, own, COMMON)
      problems = functions_open.joined(wrong, problems)
    else
      given, problems = call_options.parse(args, 1, own, COMMON)
    end
    if together and not problems then
      problems = together(given)
    end
    local s, reply = functions_open.open(name, keys, given, problems)
    if not s then
      return reply or call_refusal.session_not_found()
    end
    local turn, event, extra = rule(s, given, value)
    if not event then
      return extra -- a refusal, or nil where nothing is to be done
    end
    return functions_commit.commit(s, turn, event, given, extra)
  end
end

local function close_as(status)
  return function(s)
    return transitions_lifecycle.close(s, status)
  end
end

local function read_id(text)
  local id = text and text_formats.uuid(text)
  if id then
    return id
  end
  return nil, { { 'participant_id', 'must be a UUID' } }
end

local function read_participant(text)
  if not text then
    return nil, { { 'participant', 'is required' } }
  end
  return config_participants.check_participant(text)
end

local ADJUST = { PARTICIPANT = true, GROUP = true, SET = true, ADD = true, WITHIN = true, REASON = true }
local SWITCH = { NEXT = true, CURRENT = true, LAG = true }

-- What the options of sk_adjust need of each other.
local function adjust_problems(given)
  local problems
  if given.PARTICIPANT and given.GROUP then
    problems = { { 'GROUP', 'cannot go with PARTICIPANT' } }
  end
  if (given.SET == nil) == (given.ADD == nil) then
    problems = functions_open.joined(problems, { { 'SET', 'or ADD is required, one of them' } })
  end
  return problems
end

redis.register_function({
  function_name = 'sk_start',
  callback = transition('sk_start', transitions_lifecycle.start, NONE),
  description = 'Starts a pending session. Replies with the change.',
})

redis.register_function({
  function_name = 'sk_switch',
  callback = transition('sk_switch', transitions_lifecycle.switch, SWITCH),
  description = 'Ends the running cycle and begins the next one. Replies with the change.',
})

redis.register_function({
  function_name = 'sk_pause',
  callback = transition('sk_pause', transitions_lifecycle.pause, NONE),
  description = 'Stops the running clock. Replies with the change.',
})

redis.register_function({
  function_name = 'sk_resume',
  callback = transition('sk_resume', transitions_lifecycle.resume, NONE),
  description = 'Lets a paused session go on. Replies with the change.',
})

redis.register_function({
  function_name = 'sk_complete',
  callback = transition('sk_complete', close_as('completed'), NONE),
  description = 'Ends a session as completed. Replies with the change.',
  flags = { 'allow-oom' },
})

redis.register_function({
  function_name = 'sk_cancel',
  callback = transition('sk_cancel', close_as('cancelled'), NONE),
  description = 'Ends a session as cancelled. Replies with the change.',
  flags = { 'allow-oom' },
})

redis.register_function({
  function_name = 'sk_adjust',
  callback = transition('sk_adjust', transitions_adjust.adjust, ADJUST, nil, adjust_problems),
  description = 'Gives time to a clock, or takes it. Replies with the change, or nil where WITHIN is not met.',
})

redis.register_function({
  function_name = 'sk_join',
  callback = transition('sk_join', function(s, _, participant) return transitions_membership.join(s, participant) end, NONE, read_participant),
  description = 'Adds a participant. Replies with the change.',
})

redis.register_function({
  function_name = 'sk_leave',
  callback = transition('sk_leave', function(s, _, id) return transitions_membership.leave(s, id) end, NONE, read_id),
  description = 'Removes a participant. Replies with the change.',
})

return {}
