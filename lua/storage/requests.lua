-- The requests that a session remembers, so that one that comes again is not carried out twice.

local MOST_REQUESTS = 16
local NO_REQUESTS = '00\n'

-- The change that a request made before: its version, and whether by the same function; nil for a new request.
local function find(s, request, name)
  local requests = redis.call('HGET', s.key, 'requests') or NO_REQUESTS
  s.requests = requests
  local _, stop = requests:find('\n' .. request .. ' ', 1, true)
  if not stop then
    return nil
  end
  local made_by, version = requests:match('^(%S+) (%d+)\n', stop + 1)
  return tonumber(version), made_by == name
end

-- Remembers a request with the version that it made, and forgets the oldest beyond the newest 16.
local function remember(s, request, name, version)
  local requests = s.requests or NO_REQUESTS
  local line = request .. ' ' .. name .. ' ' .. version .. '\n'
  local count = requests:sub(1, 2) + 1
  if count > MOST_REQUESTS then
    requests = requests:sub(1, 2) .. requests:sub((requests:find('\n', 4, true))) .. line
  else
    requests = ('%02d'):format(count) .. requests:sub(3) .. line
  end
  storage_session.set(s, 'requests', requests)
end

return {
  MOST_REQUESTS = MOST_REQUESTS,
  find = find,
  remember = remember,
}
