-- Rate limits: a token bucket in whole numbers. One token is `period_ms` units and every millisecond adds
-- `count` units, so no fraction is ever lost; a full bucket holds `burst` tokens. For example, with 10 tokens
-- in 1000 ms a token is 1000 units and every millisecond adds 10 of them.
--
-- Hash of a bucket, `sk:rl:{<bucket>}`:
--   level      7400            the units that were in the bucket at the time `at`
--   at         1795306409736   server time in ms
--   cooldown   1795306419736   everything is refused until this server time in ms; absent without a cooldown

-- Takes limit.quantity tokens out of a bucket if it has as many.
-- limit: {burst, count, period_ms, quantity, cooldown_ms}, integers.
-- Returns {limited (0 or 1), limit, remaining, retry_after_ms, reset_after_ms}.
local function consume(key, limit)
  local now = storage_time.now()
  local burst, count, period, quantity = limit.burst, limit.count, limit.period_ms, limit.quantity
  local full = burst * period
  local fields = redis.call('HMGET', key, 'level', 'at', 'cooldown')
  local stored_level, stored_at, stored_cooldown = fields[1], fields[2], fields[3]
  local level, cooldown = full, tonumber(stored_cooldown) or 0
  if stored_level then
    local at = tonumber(stored_at)
    if now < at then
      now = at
    end
    level = math.min(full, tonumber(stored_level) + (now - at) * count)
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
  if quantity > 0 and (not limited or stored_level or cooling) then
    redis.call('HSET', key, 'level', string.format('%d', level), 'at', string.format('%d', now))
    if cooling then
      redis.call('HSET', key, 'cooldown', string.format('%d', cooldown))
    end
    redis.call('PEXPIRE', key, string.format('%d', math.max(reset, cooling_ms, 1)))
  end
  local retry = limited and math.max(cooling_ms, lacks > 0 and math.ceil(lacks / count) or 0) or 0
  local remaining = cooling and 0 or math.floor(level / period)
  return { limited and 1 or 0, burst, remaining, retry, math.max(reset, cooling_ms) }
end

return { consume = consume }
