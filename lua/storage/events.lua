-- Writes events to the outbox, to the log and to the channel. Entries of the log have the id `<version>-0`:
-- version 46 has the entry `46-0`.

local LOG_LENGTH = '64' -- the log keeps at least so many events
local TRIM_EVERY = 4 -- every fourth version trims the log

-- While the server is full, turns are taken as before and nothing may grow by that. So each change trims the
-- log to LEAST_LOG_LENGTH, and an outbox that nobody empties loses its oldest event for each new one. An
-- outbox with fewer than OUTBOX_RESERVE events is only waiting for the archiver, and loses none.
local LEAST_LOG_LENGTH = '24'
local OUTBOX_RESERVE = 100

local NONE = {}

-- Adds an event to the outbox. Returns an error, nil for none.
--
-- is_full      whether the server is full
-- traceparent  the W3C traceparent of the call, nil for none. It is kept beside the event and not in it, so
--              that storing the event can belong to the trace of the call that made it.
local function add_to_outbox(s, id, text, is_full, traceparent)
  local outbox = s.keys[4]
  local beside = traceparent and { 'traceparent', traceparent } or NONE
  local added
  local waiting = is_full and redis.pcall('XLEN', outbox)
  if type(waiting) == 'number' and waiting > OUTBOX_RESERVE then
    added = redis.pcall('XADD', outbox, 'MAXLEN', '=', waiting, '*', 'id', id, 'e', text, unpack(beside))
  else
    added = redis.pcall('XADD', outbox, '*', 'id', id, 'e', text, unpack(beside))
  end
  return type(added) == 'table' and added or nil
end

-- Adds an event to the log; version is s.version as text, is_full: whether the server is full. When the key
-- is no stream, or its newest entry is newer than this version, something else than this session wrote it:
-- the log is then begun anew.
local function append_to_log(s, version, text, is_full)
  local log, entry = s.keys[2], version .. '-0'
  local added
  if is_full then
    added = redis.pcall('XADD', log, 'MAXLEN', '~', LEAST_LOG_LENGTH, entry, 'e', text)
  elseif s.version % TRIM_EVERY == 0 then
    added = redis.pcall('XADD', log, 'MAXLEN', '~', LOG_LENGTH, entry, 'e', text)
  else
    added = redis.pcall('XADD', log, entry, 'e', text)
  end
  if type(added) == 'table' then -- an error; a success replies with the id of the entry as text
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

-- The event that made this version, or nil when the log does not have it.
local function of_version(log, version)
  local id = string.format('%d-0', version)
  local entry = redis.call('XRANGE', log, id, id)[1]
  return entry and event_of(entry)
end

-- All events after this version, oldest first; nil when the log does not reach back that far.
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

-- The newest events of the log, `most` of them, oldest first; none when the key is no stream.
local function newest(log, most)
  local entries = redis.pcall('XREVRANGE', log, '+', '-', 'COUNT', most)
  local events = {}
  for i = #entries, 1, -1 do
    events[#events + 1] = event_of(entries[i])
  end
  return events
end

-- Writes a log of these events, of which the last one has this version (a number).
local function write_log(log, events, version)
  for i = 1, #events do
    redis.call('XADD', log, string.format('%d-0', version - #events + i), 'e', events[i])
  end
end

return {
  add_to_outbox = add_to_outbox,
  append_to_log = append_to_log,
  publish = publish,
  of_version = of_version,
  after = after,
  newest = newest,
  write_log = write_log,
}
