-- The streams and the channel that events go to.

local LOG_LENGTH = '128'
local TRIM_EVERY = 16

-- Adds an event to the log. A log that the version does not fit in, or that is none, is not the session's: it begins anew.
local function append(log, number, version, text)
  local entry = version .. '-0'
  local added
  if number % TRIM_EVERY == 0 then
    added = redis.pcall('XADD', log, 'MAXLEN', '~', LOG_LENGTH, entry, 'e', text)
  else
    added = redis.pcall('XADD', log, entry, 'e', text)
  end
  if type(added) == 'table' then -- an error; else it is the entry's id
    redis.call('UNLINK', log)
    redis.call('XADD', log, entry, 'e', text)
  end
end

-- The event of one version from the log, or nil.
local function logged(log, version)
  local id = string.format('%d-0', version)
  local entry = redis.call('XRANGE', log, id, id)[1]
  return entry and entry[2][2]
end

return {
  append = append,
  logged = logged,
}
