-- The server of tests has the run id that is in the string key `sk:{vt}:server`, and is full while there is a
-- key `sk:{vt}:full`. So tests can have another server make the next change, or fill it up. Only the
-- virtual-time build has this module, in the place of server.lua.

-- The run id; nil while the key is not set.
local function id()
  return redis.call('GET', 'sk:{vt}:server') or nil
end

local function is_full()
  return redis.call('EXISTS', 'sk:{vt}:full') == 1
end

return { id = id, is_full = is_full }
