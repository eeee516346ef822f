-- The arithmetic of rate limits: a token bucket in whole numbers. One token is `period_ms` units and every
-- millisecond adds `count` units, so no fraction is ever lost; a full bucket holds `burst` tokens. For
-- example, with 10 tokens in 1000 ms a token is 1000 units and every millisecond adds 10 of them.
--
-- A bucket has
--   level      the units that were in it at the time `at`
--   at         server time in ms
--   cooldown   everything is refused until this server time in ms; 0 without a cooldown

-- Takes limit.quantity tokens out of a bucket if it has as many. All functions here are pure.
--
-- bucket   nil for one that is full
-- limit    {burst, count, period_ms, quantity, cooldown_ms}, integers
--
-- Returns the bucket afterwards, nil when it need not be stored, and the reply: {limited (0 or 1), limit,
-- remaining, retry_after_ms, reset_after_ms}.
local function take(bucket, now, limit)
  local burst, count, period, quantity = limit.burst, limit.count, limit.period_ms, limit.quantity
  local full = burst * period
  local level, cooldown = full, 0
  if bucket then
    cooldown = bucket.cooldown
    now = math.max(now, bucket.at)
    level = math.min(full, bucket.level + (now - bucket.at) * count)
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
  local retry = limited and math.max(cooling_ms, lacks > 0 and math.ceil(lacks / count) or 0) or 0
  local remaining = cooling and 0 or math.floor(level / period)
  local after = quantity > 0 and (not limited or bucket or cooling)
    and { level = level, at = now, cooldown = cooldown } or nil
  return after, { limited and 1 or 0, burst, remaining, retry, math.max(reset, cooling_ms) }
end

return { take = take }
