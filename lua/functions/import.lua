-- sk_import: a session that was kept elsewhere goes on here.

local NONE = call_options.NONE
local IMPORT = {
  TTL = true, TENANT = true, ACTOR = true, TRACE = true, TRACEPARENT = true, SCHEMA = true,
  DRYRUN = true,
}
local DEFAULT_TTL_S = 3600

-- The hash of the session by name, and the problems with the arguments; nil for none of either.
local function read(keys, args, given, now)
  local id = keys[1] and storage_keys.session_id(keys[1]) or ''
  bounds.keep_short(false)
  local list, problems = config.check(args[1] or '', id, given.TTL or DEFAULT_TTL_S, now)
  if not list then
    return nil, problems
  end
  local fields = {
    version = '0', epoch = storage_session.new_epoch(now), tenant = given.TENANT,
  }
  for i = 1, #list, 2 do
    fields[list[i]] = list[i + 1]
  end
  problems = config_standing.apply(args[2] or '', fields, now)
  if #problems == 0 and not views_snapshot.is_sound(fields, now) then
    problems[1] = { 'standing', 'must be one in which a session of this config can be' }
  end
  return fields, problems
end

-- sk_import 4 <keys> <config> <standing> [TTL s] [TENANT t] [ACTOR a]
--             [TRACE t] [TRACEPARENT t] [SCHEMA n] [DRYRUN]
--
-- Creates a session that is under way or over: it has the config, and stands where the standing says. Its
-- clock runs on from the start of its cycle, so nobody loses or gains time. With DRYRUN everything is checked
-- and nothing is written.
--
-- KEYS[1-4]  the session, its log, the alarms, the outbox
-- ARGV[1]    config (JSON), see config.lua
-- ARGV[2]    standing (JSON), see config/standing.lua
-- Reply      state (JSON); nil with DRYRUN
-- Refusals   VALIDATION_ERROR, SESSION_EXISTS (also for a tombstone)
-- Publishes  session.created
local function import(keys, args)
  local given, problems = call_options.parse(args, 3, IMPORT, NONE)
  local now = storage_time.now()
  local join = functions_open.join_problems
  local fields, own_problems = read(keys, args, given, now)
  problems = join(join(own_problems, problems), storage_keys.problems_of(keys, 4))
  if problems and #problems > 0 then
    return call_refusal.validation(problems)
  end
  local key = keys[1]
  if storage_session.exists(key) then
    return call_refusal.refuse('SESSION_EXISTS', 'there is a session with this id')
  elseif given.DRYRUN then
    return nil
  end

  local list = {}
  for name, value in pairs(fields) do
    list[#list + 1] = name
    list[#list + 1] = value
  end
  storage_session.write_new(keys, list)
  local s = storage_session.load(keys)
  local turn = transitions_cycle.current_turn(s)
  if turn and rules_clock.is_live(s) then
    rules_clock.warn_below(s, rules_clock.remaining(s, turn.owner), true)
  end
  local participants, groups = views_state.build_owners(s, fields, turn)
  local change = functions_commit.commit(s, turn, 'session.created', given, nil, participants, groups)
  if type(change) == 'table' then -- an error
    storage_session.discard(key)
    return change
  end
  return views_state.build(s, fields)
end

redis.register_function({
  function_name = 'sk_import',
  callback = import,
  description = 'Creates a session that is under way or over. Replies with its state.',
})

return {}
