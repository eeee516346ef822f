-- The clock of tests reads milliseconds from the string key `sk:{vt}:now`, so that tests can check every rule
-- to the millisecond. Only the virtual-time build has this module, in the place of time.lua. Its key is not
-- passed in KEYS, so this build works on a single server, but not in a cluster.

-- Virtual time in milliseconds since 1970; 0 while the key is not set.
local function now()
  return tonumber(redis.call('GET', 'sk:{vt}:now')) or 0
end

return { now = now }
