-- The server of tests has the run id that is in the string key `sk:{vt}:server`. So tests can have another
-- server make the next change. Only the virtual-time build has this module, in the place of server.lua.

-- The run id; nil while the key is not set.
local function id()
  return redis.call('GET', 'sk:{vt}:server') or nil
end

return { id = id }
