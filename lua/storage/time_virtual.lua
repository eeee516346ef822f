-- The clock of tests: milliseconds from the string key `sk:{vt}:now`, so that every rule can be checked to the millisecond.
-- Exchanged for time.lua in the virtual-time build and in no other; the one undeclared key, so standalone servers only.

-- Virtual time in milliseconds since 1970; 0 while the key is not set.
local function now()
  return tonumber(redis.call('GET', 'sk:{vt}:now')) or 0
end

return { now = now }
