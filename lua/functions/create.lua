-- sk_create

local NONE = call_options.NONE
local CREATE = { TTL = true, TENANT = true, ACTOR = true, TRACE = true, REQUEST = true }

local function create(keys, args)
  local given, problems = call_options.parse(args, 2, CREATE, NONE)
  local key_problems = storage_keys.find_problems(keys, 4)
  local now = storage_time.now()
  local fields, wrong
  if not args[1] then
    problems = functions_open.joined({ { 'config', 'is required' } }, problems)
  else
    fields, wrong = config.check(args[1], keys[1] and keys[1]:sub(9) or '', given.TTL or 3600, now)
    problems = functions_open.joined(wrong, problems)
  end
  problems = functions_open.joined(problems, key_problems)
  if problems then
    return call_refusal.validation(problems)
  end
  local key, log = keys[1], keys[2]
  local before = redis.call('HMGET', key, 'status', 'epoch')
  if before[1] and before[1] ~= 'deleted' then
    local s = given.REQUEST and storage_session.load(keys)
    if s and functions_open.is_tenant(s, given) then
      local version, same_function = storage_requests.find(s, given.REQUEST, 'sk_create')
      if version and not same_function then
        return functions_open.replay(s, version, false)
      elseif version == 1 then
        return views_state.build(s):sub(1, -2) .. ',"replayed":true}'
      end
    end
    return call_refusal.refuse('SESSION_EXISTS', 'there is a session with this id')
  end

  local epoch = storage_session.new_epoch(now, before[2])
  redis.call('UNLINK', log)
  storage_session.write_fields(key, fields)
  redis.call('HSET', key, 'status', 'pending', 'version', '0', 'epoch', epoch, 'created', text_formats.integer(now))
  if given.TENANT then
    redis.call('HSET', key, 'tenant', given.TENANT)
  end
  local s = storage_session.load(keys)
  local turn = transitions_cycle.current_turn(s)
  local participants, groups = views_state.show_all(s, storage_session.all_fields(key), turn)
  given = given == NONE and {} or given
  given.function_name = 'sk_create'
  local change = functions_commit.commit(s, turn, 'session.created', given, nil, participants, groups)
  if type(change) == 'table' then
    redis.call('UNLINK', key)
    return change
  end
  return views_state.build(s, false, participants, groups)
end

redis.register_function({
  function_name = 'sk_create',
  callback = create,
  description = 'Creates a session from a config. Replies with its state.',
})

return {}
