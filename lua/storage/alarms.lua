-- The alarms of a partition: a sorted set of session ids, each with the server time (ms) at which something
-- is due in that session.

-- Sets the alarm of session `id` to s.alarm (0: none); `at` is the same number as text. When this makes the
-- earliest alarm of the partition earlier, a message wakes the timekeepers. `before` is the session's
-- previous alarm: when the new one is not earlier, the earliest alarm of the partition is not earlier
-- either, and is not read. Returns an error, nil for none.
local function set(s, id, at, before)
  local alarms, alarm = s.keys[3], s.alarm
  if alarm == 0 then
    local removed = redis.pcall('ZREM', alarms, id)
    return type(removed) == 'table' and removed or nil
  end
  local added = redis.pcall('ZADD', alarms, at, id)
  if type(added) == 'table' then
    return added
  end
  if before == 0 or alarm < before then
    local earliest = redis.call('ZRANGE', alarms, 0, 1, 'WITHSCORES') -- {id, time, id, time}
    local first_id, second_at = earliest[1], earliest[4]
    if first_id == id and tonumber(second_at) ~= alarm then
      redis.call('SPUBLISH', alarms, at)
    end
  end
end

-- Makes the stored alarm of a session equal to s.alarm. A timekeeper that finds a wrong one would call
-- sk_expire for ever.
local function correct(s)
  local alarms, id = s.keys[3], storage_keys.session_id(s.key)
  local alarm = redis.call('ZSCORE', alarms, id)
  if s.alarm == 0 then
    if alarm then
      redis.call('ZREM', alarms, id)
    end
  elseif not alarm or tonumber(alarm) ~= s.alarm then
    redis.call('ZADD', alarms, text_formats.integer(s.alarm), id)
  end
end

-- Removes the alarm of a session that does not exist any more.
local function remove(keys)
  redis.call('ZREM', keys[3], storage_keys.session_id(keys[1]))
end

-- The same, but without an error when the key of the alarms holds another type.
local function remove_if_possible(keys)
  redis.pcall('ZREM', keys[3], storage_keys.session_id(keys[1]))
end

return {
  set = set,
  correct = correct,
  remove = remove,
  remove_if_possible = remove_if_possible,
}
