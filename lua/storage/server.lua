-- Which server makes a change. A session keeps the id of the server that wrote it last, because the newest
-- changes may be missing on another one: a replica that became the primary, or a server that was restarted.

local own -- read once: a server has the same run id for as long as it runs

-- The run id of this server (40 hex digits); nil when the caller may not use INFO, or there is none.
local function id()
  if not own then
    local info = redis.pcall('INFO', 'server')
    own = type(info) == 'string' and info:match('run_id:(%x+)') or nil
  end
  return own
end

return { id = id }
