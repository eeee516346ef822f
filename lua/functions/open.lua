-- The checks that functions share: arguments, KEYS, existence and tenant, REQUEST, EPOCH and VERSION.

local NONE = call_options.NONE


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

-- A change again, for a request that made it before.
local function replay(s, version, same_function)
  if not same_function then
    return call_refusal.validation({ { 'REQUEST', 'was used for another function' } })
  end
  local event = storage_events.logged(s.keys[2], version)
  if not event then
    return call_refusal.refuse('CONCURRENT_MODIFICATION', 'this request was carried out, and its event is not in the log any more',
      string.format('{"actual_version":%d}', s.version))
  end
  return event:sub(1, -2) .. ',"replayed":true}'
end

-- The checks that all transitions share. Returns the loaded session, or nil with the reply (nil for none: the session is not there).
local function open(name, keys, given, problems)
  if problems then
    return nil, call_refusal.validation(joined(problems, storage_keys.find_problems(keys, 4)))
  end
  local s = storage_keys.match(keys) and storage_session.load(keys)
  if not s then
    problems = storage_keys.find_problems(keys, 4)
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
    local version, same_function = storage_requests.find(s, given.REQUEST, name)
    if version then
      return nil, replay(s, version, same_function)
    end
  end
  if (given.EPOCH and given.EPOCH ~= s.epoch) or (given.VERSION and (given.VERSION > s.version or given.VERSION < s.version - (s.trailing or 0))) then
    return nil, call_refusal.moved_on(s, given.VERSION, given.EPOCH)
  end
  return s
end

return {
  joined = joined,
  is_tenant = is_tenant,
  replay = replay,
  open = open,
}
