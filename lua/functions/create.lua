-- sk_create: a new session.

local NONE = call_options.NONE
local CREATE = {
  TTL = true, TENANT = true, ACTOR = true, TRACE = true, TRACEPARENT = true, REQUEST = true,
  SCHEMA = true, SHORT = true,
}
local DEFAULT_TTL_S = 3600

-- The reply when the id is taken: a refusal, or the state when the same request created the session.
local function reply_of_taken(keys, given)
  local s, moving = functions_open.find(keys)
  if moving then
    local refused = functions_open.refusal_of(moving, given)
    if refused then
      return refused
    end
  end
  if s and given.REQUEST and functions_open.is_tenant(s, given) then
    local version, same_function = storage_requests.find(s, given, 'sk_create')
    if version and not same_function then
      return functions_open.replay(s, version, false)
    elseif version == 1 then
      return views_state.build(s):sub(1, -2) .. ',"replayed":true}'
    end
  end
  return call_refusal.refuse('SESSION_EXISTS', 'there is a session with this id')
end

-- sk_create 4 <keys> <config> [TTL s] [TENANT t] [ACTOR a] [TRACE t]
--             [TRACEPARENT t] [REQUEST id] [SCHEMA n] [SHORT]
--
-- Creates a pending session. With SHORT no time may be beyond 24 hours, and no increment beyond 60 s. The
-- tenant of a deleted session may use its id again, which gets another epoch.
--
-- KEYS[1-4]  the session, its log, the alarms, the outbox
-- ARGV[1]    config (JSON), see config.lua
-- Reply      state (JSON)
-- Refusals   VALIDATION_ERROR, SESSION_EXISTS, CONCURRENT_MODIFICATION
-- Publishes  session.created
local function create(keys, args)
  local given, problems = call_options.parse(args, 2, CREATE, NONE)
  local key_problems = storage_keys.problems_of(keys, 4)
  local now = storage_time.now()
  bounds.keep_short(given.SHORT)
  local fields, records
  if not args[1] then
    problems = functions_open.join_problems({ { 'config', 'is required' } }, problems)
  else
    local id = keys[1] and storage_keys.session_id(keys[1]) or ''
    fields, records = config.check(args[1], id, given.TTL or DEFAULT_TTL_S, now)
    if not fields and given.REQUEST and not key_problems then
      -- A repeat may come after the start or the end that it sets, which is ahead of the first call.
      local created = storage_session.created(keys[1])
      if created then
        fields, records = config.check(args[1], id, given.TTL or DEFAULT_TTL_S, created)
      end
    end
    if not fields then
      problems = functions_open.join_problems(records, problems) -- instead of records
    end
  end
  problems = functions_open.join_problems(problems, key_problems)
  if problems then
    return call_refusal.validation(problems)
  end
  local key = keys[1]
  local status_before, epoch_before, tenant_before = storage_session.previous(key)
  if status_before and (status_before ~= 'deleted' or tenant_before ~= (given.TENANT or false)) then
    return reply_of_taken(keys, given)
  end

  local function add(name, value)
    fields[#fields + 1] = name
    fields[#fields + 1] = value
  end
  add('status', 'pending')
  add('version', '0')
  add('epoch', storage_session.new_epoch(now, epoch_before))
  add('created', text_formats.integer(now))
  if given.TENANT then
    add('tenant', given.TENANT)
  end
  storage_session.write_new(keys, fields)
  local s = storage_session.load(keys)
  for i = 1, #records do
    s[records[i].field] = records[i] -- so that they need not be decoded
  end
  local turn = transitions_cycle.current_turn(s)
  fields = storage_session.named(fields)
  local participants, groups = views_state.build_owners(s, fields, turn)
  given = given == NONE and {} or given
  given.function_name = 'sk_create'
  local change = functions_commit.commit(s, turn, 'session.created', given, nil, participants, groups)
  if type(change) == 'table' then -- an error
    storage_session.discard(key)
    return change
  end
  return views_state.build_new(s, fields, participants, groups)
end

redis.register_function({
  function_name = 'sk_create',
  callback = create,
  description = 'Creates a session from a config. Replies with its state.',
})

return {}
