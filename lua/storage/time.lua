-- The only clock that counts is that of the primary. A call reads it once and passes the time down, because
-- two readings in one call may differ.

-- Server time in milliseconds since 1970.
local function now()
  local seconds_and_micros = redis.call('TIME')
  local micros = seconds_and_micros[2]
  return seconds_and_micros[1] * 1000 + (micros - micros % 1000) / 1000
end

return { now = now }
