-- sk_throttle: rate limits.

local ARGUMENTS = { 'burst', 'count', 'period_ms', 'quantity', 'cooldown_ms' }

-- sk_throttle 1 sk:rl:{<bucket>} <burst> <count> <period_ms> <quantity> <cooldown_ms>
--
-- Takes tokens out of the bucket of a rate limit if it has as many. These buckets do not belong to sessions;
-- sk_switch has its own with LIMIT.
--
-- KEYS[1]    the bucket
-- ARGV[1]    burst: how many tokens it holds
-- ARGV[2]    count: how many tokens it gets in a period
-- ARGV[3]    period_ms: the length of the period
-- ARGV[4]    quantity: how many tokens to take, at most burst; 0 only asks
-- ARGV[5]    cooldown_ms: for how long everything is refused after a refusal; 0 for no cooldown
-- Reply      five integers: limited (1 when refused, else 0), limit, remaining, retry_after_ms,
--            reset_after_ms
-- Refusals   VALIDATION_ERROR
-- Publishes  nothing
local function throttle(keys, args)
  local limit, problems = call_options.limit(args, 1, ARGUMENTS)
  local name = keys[1] and keys[1]:match('^sk:rl:{([^{}]*)}$')
  if #keys ~= 1 or not name or #name < 1 or #name > 200 or name:find('[^\32-\126]') then
    local message = 'must be sk:rl:{<bucket>}, the bucket 1 to 200 printable ASCII characters without braces'
    table.insert(problems, 1, { 'KEYS.0', message })
  end
  if #args > #ARGUMENTS then
    problems[#problems + 1] = { 'arguments', 'must be ' .. #ARGUMENTS }
  end
  if #problems > 0 then
    return call_refusal.validation(problems)
  end
  return storage_throttle.consume(keys[1], limit)
end

redis.register_function({
  function_name = 'sk_throttle',
  callback = throttle,
  description = 'Takes from a rate limit. '
    .. 'Replies with limited, limit, remaining, retry_after_ms, reset_after_ms.',
  flags = { 'allow-oom' },
})

return {}
