-- The functions that callers see, and the only place that registers them. The reference with examples is README.md beside this file.
--
-- Inside each: arguments, KEYS, existence and tenant, REQUEST, EPOCH and VERSION, status, CURRENT, NEXT, then whether time is up; all of it before
-- the first write.

local NONE = call_options.NONE
local COMMON = call_options.COMMON

-- The value of a positional argument's problem list, in front of those of the options.
local function joined(first, second)
  if not first or #first == 0 then
    return second
  end
  for i = 1, second and #second or 0 do
    first[#first + 1] = second[i]
  end
  return first
end

local function is_tenant(s, given)
  return not given.TENANT or redis.call('HGET', s.key, 'tenant') == given.TENANT
end

-- The event of one version from the log, or nil.
local function logged(log, version)
  local id = string.format('%d-0', version)
  local entry = redis.call('XRANGE', log, id, id)[1]
  return entry and entry[2][2]
end

-- A change again, for a request that made it before.
local function replay(s, version, same_function)
  if not same_function then
    return call_refusal.validation({ { 'REQUEST', 'was used for another function' } })
  end
  local event = logged(s.keys[2], version)
  if not event then
    return call_refusal.refuse('CONCURRENT_MODIFICATION', 'this request was carried out, and its event is not in the log any more',
      string.format('{"actual_version":%d}', s.version))
  end
  return event:sub(1, -2) .. ',"replayed":true}'
end

-- The checks that all transitions share. Returns the loaded session, or nil with the reply (nil for none: the session is not there).
local function open(name, keys, given, problems)
  if problems then
    return nil, call_refusal.validation(joined(problems, storage_session.key_problems(keys, 4)))
  end
  local s = storage_session.keys_match(keys) and storage_session.load(keys)
  if not s then
    problems = storage_session.key_problems(keys, 4)
    return nil, problems and call_refusal.validation(problems) or nil
  end
  if given == NONE then
    return s
  end
  if not is_tenant(s, given) then
    return nil, nil
  end
  if given.REQUEST then
    given.function_name = name
    local version, same_function = storage_session.find_request(s, given.REQUEST, name)
    if version then
      return nil, replay(s, version, same_function)
    end
  end
  if (given.EPOCH and given.EPOCH ~= s.epoch) or (given.VERSION and (given.VERSION > s.version or given.VERSION < s.version - (s.trailing or 0))) then
    return nil, call_refusal.moved_on(s, given.VERSION, given.EPOCH)
  end
  return s
end

-- A transition by its rules: `rule(s, given, value)`; `own` are its options. With `positional` the first argument is read by it into the value, or nil
-- and problems; `together(given)` finds the problems of well-formed options with each other.
local function transition(name, rule, own, positional, together)
  return function(keys, args)
    local given, problems, value
    if positional then
      local wrong
      value, wrong = positional(args[1])
      given, problems = call_options.parse(args, 2, own, COMMON)
      problems = joined(wrong, problems)
    else
      given, problems = call_options.parse(args, 1, own, COMMON)
    end
    if together and not problems then
      problems = together(given)
    end
    local s, reply = open(name, keys, given, problems)
    if not s then
      return reply or call_refusal.session_not_found()
    end
    local turn, event, extra = rule(s, given, value)
    if not event then
      return extra -- a refusal, or nil where nothing is to be done
    end
    return storage_events.commit(s, turn, event, given, extra)
  end
end

local function close_as(status)
  return function(s)
    return transitions.close(s, status)
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
  return config.check_participant(text)
end

local ADJUST = { PARTICIPANT = true, GROUP = true, SET = true, ADD = true, WITHIN = true, REASON = true }

-- What the options of sk_adjust need of each other.
local function adjust_problems(given)
  local problems
  if given.PARTICIPANT and given.GROUP then
    problems = { { 'GROUP', 'cannot go with PARTICIPANT' } }
  end
  if (given.SET == nil) == (given.ADD == nil) then
    problems = joined(problems, { { 'SET', 'or ADD is required, one of them' } })
  end
  return problems
end

-- The epoch of a session that is made at `now`: a time, and never one that the id had before.
local function new_epoch(now, before)
  before = tonumber(before)
  if before and before >= now then
    return string.format('%d', before + 1)
  end
  return string.format('%d', now)
end

local CREATE = { TTL = true, TENANT = true, ACTOR = true, TRACE = true, REQUEST = true }
local RESTORE = { TTL = true, VERSION = true, EPOCH = true }

local function create(keys, args)
  local given, problems = call_options.parse(args, 2, CREATE, NONE)
  local key_problems = storage_session.key_problems(keys, 4)
  local now = storage_time.now()
  local fields, wrong
  if not args[1] then
    problems = joined({ { 'config', 'is required' } }, problems)
  else
    fields, wrong = config.check(args[1], keys[1] and keys[1]:sub(9) or '', given.TTL or 3600, now)
    problems = joined(wrong, problems)
  end
  problems = joined(problems, key_problems)
  if problems then
    return call_refusal.validation(problems)
  end
  local key, log = keys[1], keys[2]
  local before = redis.call('HMGET', key, 'status', 'epoch')
  if before[1] and before[1] ~= 'deleted' then
    local s = given.REQUEST and storage_session.load(keys)
    if s and is_tenant(s, given) then
      local version, same_function = storage_session.find_request(s, given.REQUEST, 'sk_create')
      if version and not same_function then
        return replay(s, version, false)
      elseif version == 1 then
        return views_state.build(s):sub(1, -2) .. ',"replayed":true}'
      end
    end
    return call_refusal.refuse('SESSION_EXISTS', 'there is a session with this id')
  end

  local epoch = new_epoch(now, before[2])
  redis.call('UNLINK', log)
  views_state.write_fields(key, fields)
  redis.call('HSET', key, 'status', 'pending', 'version', '0', 'epoch', epoch, 'created', storage_session.integer(now))
  if given.TENANT then
    redis.call('HSET', key, 'tenant', given.TENANT)
  end
  local s = storage_session.load(keys)
  local turn = transitions.current_turn(s)
  local participants, groups = views_state.show_all(s, views_state.all_fields(key), turn)
  given = given == NONE and {} or given
  given.function_name = 'sk_create'
  local change = storage_events.commit(s, turn, 'session.created', given, nil, participants, groups)
  if type(change) == 'table' then
    redis.call('UNLINK', key)
    return change
  end
  return views_state.build(s, false, participants, groups)
end

local function expire(keys, args)
  if #args > 0 then
    return call_refusal.validation({ { args[1], 'is no option of this function' } })
  end
  local s, reply = open('sk_expire', keys, NONE, nil)
  if not s then
    if not reply then
      redis.call('ZREM', keys[3], keys[1]:sub(9))
    end
    return reply
  end
  local turn, event, extra = transitions.expire(s)
  if event then
    return storage_events.commit(s, turn, event, NONE, extra)
  end
  -- Nothing is due. Whoever asked may have followed an alarm that is not the session's: put it right, or it would be asked for ever.
  local alarm = redis.call('ZSCORE', keys[3], storage_session.id_of(s))
  if s.alarm == 0 then
    if alarm then
      redis.call('ZREM', keys[3], storage_session.id_of(s))
    end
  elseif not alarm or tonumber(alarm) ~= s.alarm then
    redis.call('ZADD', keys[3], storage_session.integer(s.alarm), storage_session.id_of(s))
  end
  return nil
end

local function delete(keys, args)
  local given, problems = call_options.parse(args, 1, NONE, COMMON)
  local s, reply = open('sk_delete', keys, given, problems)
  if not s then
    return reply or 0
  end
  storage_events.commit_deletion(s, transitions.current_turn(s), given)
  return 1
end

local function restore(keys, args)
  local given, problems = call_options.parse(args, 2, RESTORE, NONE)
  local fine, exported = pcall(cjson.decode, args[1] or '')
  local kept = fine and type(exported) == 'table' and exported.internal
  local fields = type(kept) == 'table' and kept.fields
  if type(fields) ~= 'table' or not storage_snapshot.is_sound(fields, kept.exported_ms) then
    problems = joined({ { 'state', 'must be a state from sk_get with EXPORT' } }, problems)
  elseif exported.schema ~= storage_session.SCHEMA then
    problems = joined({ { 'state.schema', 'must be ' .. storage_session.SCHEMA } }, problems)
  elseif exported.session_id ~= (keys[1] or ''):sub(9) then
    problems = joined({ { 'state.session_id', 'must be the id of KEYS' } }, problems)
  end
  if given.EPOCH and not call_options.integer(given.EPOCH, 0, storage_snapshot.MOST_NUMBER) then
    problems = joined(problems, { { 'EPOCH', 'must be the epoch of a session' } })
  end
  if given.VERSION and given.VERSION > storage_snapshot.MOST_NUMBER then
    problems = joined(problems, { { 'VERSION', 'must be the version of a session' } })
  end
  problems = joined(problems, storage_session.key_problems(keys, 4))
  if problems then
    return call_refusal.validation(problems)
  end
  local key, log = keys[1], keys[2]
  if redis.call('EXISTS', key) == 1 then
    return call_refusal.refuse('SESSION_EXISTS', 'there is a session with this id')
  end

  -- Changes after the export may be lost, but their versions were seen, and nobody may be told older ones.
  if given.VERSION and given.VERSION > tonumber(fields.version) then
    fields.version = storage_session.integer(given.VERSION)
  end
  if given.EPOCH and tonumber(given.EPOCH) > tonumber(fields.epoch) then
    fields.epoch = given.EPOCH
  end
  local now = math.max(storage_time.now(), kept.exported_ms)
  local active, since, alarm, used, count, _, more = fields.cycle:match(storage_session.CYCLE)
  if fields.status == 'running' then
    since = string.format('%d', since + now - kept.exported_ms)
  end
  local resumes = fields.status == 'paused' and tonumber(alarm) > 0 and alarm + now - kept.exported_ms or 0
  fields.cycle = ('%s %s %d %s %s %d'):format(active, since, resumes, used, count, now) .. more
  fields.epoch = new_epoch(now, fields.epoch)
  fields.recovered = string.format('%d', now)
  if given.TTL then
    fields.rules = fields.rules:gsub('^(%S+) %d+', '%1 ' .. string.format('%d', given.TTL * 1000))
  end
  local list = {}
  for name, value in pairs(fields) do
    list[#list + 1] = name
    list[#list + 1] = value
  end
  redis.call('UNLINK', log)
  views_state.write_fields(key, list)
  local s = storage_session.load(keys)
  s.alarm = 0 -- so far there is none in the partition's alarms
  local change = storage_events.commit(s, transitions.current_turn(s), 'session.recovered', NONE)
  if type(change) == 'table' then
    redis.call('UNLINK', key)
    return change
  end
  return views_state.build(s)
end

local GET = { EXPORT = true, TENANT = true }

local function get(keys, args)
  local given, problems = call_options.parse(args, 1, GET, NONE)
  problems = joined(problems, storage_session.key_problems(keys, 1))
  if problems then
    return call_refusal.validation(problems)
  end
  local s = storage_session.load(keys)
  if not s or not is_tenant(s, given) then
    return call_refusal.session_not_found()
  end
  return views_state.build(s, given.EXPORT)
end

local LOG = { EPOCH = true, TENANT = true }

local function log(keys, args)
  local given, problems = call_options.parse(args, 2, LOG, NONE)
  local since = args[1] and call_options.integer(args[1], 0, call_options.MAX_INTEGER)
  if not since then
    problems = joined({ { 'since', 'must be a version, an integer from 0' } }, problems)
  end
  problems = joined(problems, storage_session.key_problems(keys, 2))
  if problems then
    return call_refusal.validation(problems)
  end
  local s = storage_session.load(keys)
  if not s or not is_tenant(s, given) then
    return call_refusal.session_not_found()
  end
  if since > s.version or (given.EPOCH and given.EPOCH ~= s.epoch) then
    return nil
  end
  local found = {}
  if since == s.version then
    return found
  end
  local entries = redis.call('XRANGE', keys[2], string.format('%d-0', since + 1), '+')
  if not entries[1] or entries[1][1] ~= string.format('%d-0', since + 1) then
    return nil
  end
  for i = 1, #entries do
    found[i] = entries[i][2][2]
  end
  return found
end

local LIMIT = {
  { 'burst', 1, 1000000 }, { 'count', 1, 1000000 }, { 'period_ms', 1, 86400000 }, { 'quantity', 0, 1000000 }, { 'cooldown_ms', 0, 86400000 },
}

local function throttle_bucket(keys, args)
  local problems = {}
  local name = keys[1] and keys[1]:match('^sk:rl:{([^{}]*)}$')
  if #keys ~= 1 or not name or #name < 1 or #name > 200 or name:find('[^\32-\126]') then
    problems[1] = { 'KEYS.0', 'must be sk:rl:{<bucket>}, the bucket 1 to 200 printable ASCII characters without braces' }
  end
  local limit = {}
  for i = 1, #LIMIT do
    local argument, least, most = LIMIT[i][1], LIMIT[i][2], LIMIT[i][3]
    if argument == 'quantity' and limit.burst then
      most = limit.burst
    end
    limit[argument] = args[i] and call_options.integer(args[i], least, most)
    if not limit[argument] then
      problems[#problems + 1] = { argument, string.format('must be an integer from %d to %d', least, most) }
    end
  end
  if #args > #LIMIT then
    problems[#problems + 1] = { 'arguments', 'must be ' .. #LIMIT }
  end
  if #problems > 0 then
    return call_refusal.validation(problems)
  end
  return storage_throttle.take(keys[1], limit)
end

local function info(keys, args)
  if #keys > 0 or #args > 0 then
    return call_refusal.validation({ { 'arguments', 'must be none' } })
  end
  return { VERSION, storage_session.SCHEMA, storage_time.now() }
end

local SWITCH = { NEXT = true, CURRENT = true, LAG = true }

local function register(name, callback, description, flags)
  redis.register_function({ function_name = name, callback = callback, description = description, flags = flags or {} })
end

register('sk_create', create, 'Creates a session from a config. Replies with its state.')
register('sk_start', transition('sk_start', transitions.start, NONE), 'Starts a pending session. Replies with the change.')
register('sk_switch', transition('sk_switch', transitions.switch, SWITCH), 'Ends the running cycle and begins the next one. Replies with the change.')
register('sk_pause', transition('sk_pause', transitions.pause, NONE), 'Stops the running clock. Replies with the change.')
register('sk_resume', transition('sk_resume', transitions.resume, NONE), 'Lets a paused session go on. Replies with the change.')
-- What ends things works even when memory is full: clocks run out in time, and memory can be given back.
local ENDS = { 'allow-oom' }
register('sk_complete', transition('sk_complete', close_as('completed'), NONE), 'Ends a session as completed. Replies with the change.', ENDS)
register('sk_cancel', transition('sk_cancel', close_as('cancelled'), NONE), 'Ends a session as cancelled. Replies with the change.', ENDS)
register('sk_expire', expire, 'Does what is due: an expiry or a warning. Replies with the change, or nil.', ENDS)
register('sk_adjust', transition('sk_adjust', transitions.adjust, ADJUST, nil, adjust_problems),
  'Gives time to a clock, or takes it. Replies with the change, or nil where WITHIN is not met.')
register('sk_join', transition('sk_join', function(s, _, participant) return transitions.join(s, participant) end, NONE, read_participant),
  'Adds a participant. Replies with the change.')
register('sk_leave', transition('sk_leave', function(s, _, id) return transitions.leave(s, id) end, NONE, read_id),
  'Removes a participant. Replies with the change.')
register('sk_delete', delete, 'Deletes a session. Replies with 1, or 0 where there was none.', ENDS)
register('sk_restore', restore, 'Brings back a session from an exported state. Replies with its state.')
register('sk_get', get, 'Replies with the state of a session.', { 'no-writes' })
register('sk_log', log, 'Replies with the events after a version, or nil where the log does not reach back that far.', { 'no-writes' })
register('sk_throttle', throttle_bucket, 'Takes from a rate limit. Replies with limited, limit, remaining, retry_after_ms, reset_after_ms.',
  ENDS)
register('sk_info', info, 'Replies with the version of the library, the schema of its state and the server time.', { 'no-writes' })

return {}
