-- When a session starts and ends by itself. All functions are pure; all times in ms.

local FARTHEST_MS = 366 * 86400000
local MOST = 9007199254740991 -- any number above is not exact

-- What is wrong with a server time that is set as a start or an end; nil when it is fine.
local function problem(at, now)
  if at <= now then
    return ('must be ahead: the server time is %d'):format(now)
  elseif at - now > FARTHEST_MS then
    return 'must be at most 366 days ahead'
  end
end

-- The earlier one of an alarm (0: none) and the start or the end of the session itself. Of these two the
-- start is the earlier one.
local function alarm(s, at)
  local status = s.status
  local own
  if status == 'pending' then
    own = s.starts_at or s.ends_at
  elseif status == 'running' or status == 'paused' then
    own = s.ends_at
  end
  return own and (at == 0 or own < at) and own or at
end

return {
  MOST = MOST,
  problem = problem,
  alarm = alarm,
}
