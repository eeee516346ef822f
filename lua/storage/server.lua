-- What the server tells of itself: which one it is, and whether its memory is full. Both need the right to
-- use INFO.

-- Read once: a server has the same run id for as long as it runs.
local own

-- The run id of this server (40 hex digits); nil when the caller may not use INFO, or there is none. A
-- session keeps the id of the server that wrote it last, because the newest changes may be missing on another
-- one: a replica that became the primary, or a server that was restarted.
local function id()
  if not own then
    local info = redis.pcall('INFO', 'server')
    own = type(info) == 'string' and info:match('run_id:(%x+)') or nil
  end
  return own
end

-- INFO costs about as much as a switch, so it is asked once in a while for all sessions together.
local ASK_EVERY_MS = 100
local asked_at, full = 0, false

-- Whether the server has reached its `maxmemory`; `now` is server time in ms. Calls that create something are
-- refused then by the server itself. Those that go on give memory back: see storage/events.lua.
local function is_full(now)
  if now < asked_at or now - asked_at >= ASK_EVERY_MS then
    asked_at = now
    local info = redis.pcall('INFO', 'memory')
    info = type(info) == 'string' and info or ''
    local used, most = info:match('used_memory:(%d+)'), info:match('maxmemory:(%d+)')
    local not_counted = info:match('mem_not_counted_for_evict:(%d+)') or 0
    full = used ~= nil and most ~= nil and tonumber(most) > 0 and used - not_counted >= tonumber(most)
  end
  return full
end

return { id = id, is_full = is_full }
