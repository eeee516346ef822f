-- The alarms of a partition: a sorted set of session ids by the server time at which something is due.

-- Sets the session's alarm (`at` is the same as text), and wakes the timekeepers when the head of the alarms got earlier by it. `before` is the
-- session's own alarm until now: when that was not later, the head cannot have got earlier and need not be read. Returns an error, nil for none.
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
    local head = redis.call('ZRANGE', alarms, 0, 1, 'WITHSCORES')
    if head[1] == id and tonumber(head[4]) ~= alarm then
      redis.call('SPUBLISH', alarms, at)
    end
  end
end

return {
  set = set,
}
