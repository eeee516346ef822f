-- The checks that functions share. They come in this order: arguments, KEYS, whether the session exists and
-- belongs to the tenant, REQUEST, EPOCH, VERSION. After them each function makes its own: status, PLAYER,
-- CURRENT, NEXT, and whether the time is up. All checks come before the first write.

local NONE = call_options.NONE

-- Both lists of problems as one; nil when there are no problems.
local function join_problems(first, second)
  if not first or #first == 0 then
    return second
  end
  for i = 1, second and #second or 0 do
    first[#first + 1] = second[i]
  end
  return first
end

-- Whether the session belongs to the tenant of the call. A call without TENANT may use all sessions.
local function is_tenant(s, given)
  return not given.TENANT or s.tenant == given.TENANT
end

-- The reply to a repeated request, which made `version` at first: the same change again, or a refusal.
local function replay(s, version, same_function)
  if not same_function then
    return call_refusal.validation({ { 'REQUEST', 'was used for another function' } })
  end
  local event = storage_events.of_version(s.keys[2], version)
  if not event then
    return call_refusal.refuse('CONCURRENT_MODIFICATION',
      'this request was carried out, and its event is not in the log any more',
      string.format('{"actual_version":%d}', s.version))
  end
  return event:sub(1, -2) .. ',"replayed":true}'
end

-- The session of these keys, loaded; or nil and, when it is moving, what this server has of it. A session
-- that was held for a move goes on here when the time of that has passed.
local function find(keys)
  local s = storage_session.load(keys)
  if s then
    return s
  end
  local moving = storage_moving.read(keys[1])
  if moving and moving.step == 'held' and storage_time.now() >= moving.till then
    storage_moving.release(keys[1], moving)
    s = storage_session.load(keys)
    storage_alarms.correct(s)
    return s
  end
  return nil, moving
end

-- The refusal of a call for a moving session; nil when the session is another tenant's.
local function refusal_of(moving, given)
  if given.TENANT and given.TENANT ~= moving.tenant then
    return nil
  elseif moving.step == 'gone' then
    return call_refusal.moved(moving.target, moving.move)
  end
  return call_refusal.moving()
end

-- Makes the checks and loads the session of a function that changes it. problems: those of the arguments, nil
-- for none. Returns the session; or nil and the reply, which is nil when there is no such session. When the
-- session is moving, what this server has of it comes third.
local function open(function_name, keys, given, problems)
  if problems then
    return nil, call_refusal.validation(join_problems(problems, storage_keys.problems_of(keys, 4)))
  end
  local s, moving
  if storage_keys.belong_together(keys) then
    s, moving = find(keys)
  end
  if not s then
    problems = storage_keys.problems_of(keys, 4)
    if problems then
      return nil, call_refusal.validation(problems)
    end
    return nil, moving and refusal_of(moving, given), moving
  end
  if given == NONE then
    return s
  end
  if not is_tenant(s, given) then
    return nil, nil
  end
  if given.REQUEST then
    given.function_name = function_name
    local version, same_function = storage_requests.find(s, given, function_name)
    if version then
      return nil, replay(s, version, same_function)
    end
  end
  local epoch, version = given.EPOCH, given.VERSION
  if (epoch and epoch ~= s.epoch)
    or (version and (version > s.version or version < s.version - (s.warnings_since or 0))) then
    return nil, call_refusal.moved_on(s, version, epoch)
  end
  return s
end

-- Makes the checks and loads the session of a function that only reads. problems: those of the arguments and
-- keys, nil for none. Returns the session; or nil and the refusal. A session that is held for a move can be
-- read.
local function open_to_read(keys, given, problems)
  if problems then
    return nil, call_refusal.validation(problems)
  end
  local s = storage_session.load(keys)
  local moving = not s and storage_moving.read(keys[1])
  if moving and moving.step == 'held' then
    s = storage_session.load(keys, moving.rotation)
  elseif moving then
    return nil, refusal_of(moving, given) or call_refusal.session_not_found()
  end
  if not s or not is_tenant(s, given) then
    return nil, call_refusal.session_not_found()
  end
  return s
end

return {
  join_problems = join_problems,
  is_tenant = is_tenant,
  replay = replay,
  find = find,
  refusal_of = refusal_of,
  open = open,
  open_to_read = open_to_read,
}
