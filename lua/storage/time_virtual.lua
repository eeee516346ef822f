-- The clock of tests: milliseconds from the string key `sk:{vt}:now`, so that every rule can be checked to
-- the millisecond. The virtual-time build has this module in the place of time.lua, and no other build has
-- it. The key is not declared, so it works on standalone servers only.

-- Virtual time in milliseconds since 1970; 0 while the key is not set.
local function now()
  return tonumber(redis.call('GET', 'sk:{vt}:now')) or 0
end

return { now = now }
