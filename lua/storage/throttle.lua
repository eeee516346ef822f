-- Rate limits: a token bucket in whole numbers. One token is `period_ms` units and every millisecond brings `count` units, so that no
-- fraction is ever lost; a full bucket holds `burst` tokens.
--
-- Hash of a bucket: level (units at `at`), at (server ms), cooldown (server ms until which everything is refused, absent without one).

-- Returns {limited, limit, remaining, retry_after_ms, reset_after_ms}. limit: {burst, count, period_ms, quantity, cooldown_ms}, integers.
local function take(key, limit)
  local now = storage_time.now()
  local burst, count, period, quantity = limit.burst, limit.count, limit.period_ms, limit.quantity
  local full = burst * period
  local stored = redis.call('HMGET', key, 'level', 'at', 'cooldown')
  local level, cooldown = full, tonumber(stored[3]) or 0
  if stored[1] then
    local at = tonumber(stored[2])
    if now < at then
      now = at
    end
    level = math.min(full, tonumber(stored[1]) + (now - at) * count)
  end
  local cooling = cooldown > now
  local lacks = quantity * period - level
  local limited = cooling or lacks > 0
  if not limited then
    level = level - quantity * period
  elseif not cooling and quantity > 0 and limit.cooldown_ms > 0 then
    cooldown = now + limit.cooldown_ms
    cooling = true
  end

  local reset = math.ceil((full - level) / count)
  local cooling_ms = cooling and cooldown - now or 0
  if quantity > 0 and (not limited or stored[1] or cooling) then
    redis.call('HSET', key, 'level', string.format('%d', level), 'at', string.format('%d', now))
    if cooling then
      redis.call('HSET', key, 'cooldown', string.format('%d', cooldown))
    end
    redis.call('PEXPIRE', key, string.format('%d', math.max(reset, cooling_ms, 1)))
  end
  local retry = limited and math.max(cooling_ms, lacks > 0 and math.ceil(lacks / count) or 0) or 0
  return { limited and 1 or 0, burst, cooling and 0 or math.floor(level / period), retry, math.max(reset, cooling_ms) }
end

return { take = take }
