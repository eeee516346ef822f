-- sk_get, sk_log

local NONE = call_options.NONE
local GET = { EXPORT = true, TENANT = true }

local function get(keys, args)
  local given, problems = call_options.parse(args, 1, GET, NONE)
  problems = functions_open.joined(problems, storage_keys.find_problems(keys, 1))
  if problems then
    return call_refusal.validation(problems)
  end
  local s = storage_session.load(keys)
  if not s or not functions_open.is_tenant(s, given) then
    return call_refusal.session_not_found()
  end
  return views_state.build(s, given.EXPORT)
end

local LOG = { EPOCH = true, TENANT = true }

local function log(keys, args)
  local given, problems = call_options.parse(args, 2, LOG, NONE)
  local since = args[1] and call_options.integer(args[1], 0, call_options.MAX_INTEGER)
  if not since then
    problems = functions_open.joined({ { 'since', 'must be a version, an integer from 0' } }, problems)
  end
  problems = functions_open.joined(problems, storage_keys.find_problems(keys, 2))
  if problems then
    return call_refusal.validation(problems)
  end
  local s = storage_session.load(keys)
  if not s or not functions_open.is_tenant(s, given) then
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

redis.register_function({
  function_name = 'sk_get',
  callback = get,
  description = 'Replies with the state of a session.',
  flags = { 'no-writes' },
})

redis.register_function({
  function_name = 'sk_log',
  callback = log,
  description = 'Replies with the events after a version, or nil where the log does not reach back that far.',
  flags = { 'no-writes' },
})

return {}
