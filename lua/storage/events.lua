-- Where events go: the outbox, the log and the channel. Entries of the log have the id `<version>-0`.

local LOG_LENGTH = '128' -- events that the log keeps at least
local TRIM_EVERY = 16 -- versions between two trims

-- Adds an event to the outbox. Returns an error, nil for none.
local function add_to_outbox(s, id, text)
  local added = redis.pcall('XADD', s.keys[4], '*', 'id', id, 'e', text)
  return type(added) == 'table' and added or nil
end

-- Adds an event to the log; version is s.version as text. A log that this version does not fit in, or that is
-- no stream, is not the session's own: it begins anew.
local function append_to_log(s, version, text)
  local log, entry = s.keys[2], version .. '-0'
  local added
  if s.version % TRIM_EVERY == 0 then
    added = redis.pcall('XADD', log, 'MAXLEN', '~', LOG_LENGTH, entry, 'e', text)
  else
    added = redis.pcall('XADD', log, entry, 'e', text)
  end
  if type(added) == 'table' then -- an error; else it is the entry's id
    redis.call('UNLINK', log)
    redis.call('XADD', log, entry, 'e', text)
  end
end

local function publish(s, text)
  redis.call('SPUBLISH', s.key, text)
end

-- The event in an entry of the log: {id, {'e', event}}.
local function event_of(entry)
  return entry[2][2]
end

-- The event that made one version, or nil where the log does not have it.
local function of_version(log, version)
  local id = string.format('%d-0', version)
  local entry = redis.call('XRANGE', log, id, id)[1]
  return entry and event_of(entry)
end

-- The events after a version in their order, or nil where the log does not reach back that far.
local function after(log, version)
  local first = string.format('%d-0', version + 1)
  local entries = redis.call('XRANGE', log, first, '+')
  if not entries[1] or entries[1][1] ~= first then
    return nil
  end
  local events = {}
  for i = 1, #entries do
    events[i] = event_of(entries[i])
  end
  return events
end

return {
  add_to_outbox = add_to_outbox,
  append_to_log = append_to_log,
  publish = publish,
  of_version = of_version,
  after = after,
}
