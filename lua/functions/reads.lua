-- The functions that only read. They also work with FCALL_RO, on replicas too.

local NONE = call_options.NONE
local GET = { EXPORT = true, TENANT = true }
local LOG = { EPOCH = true, TENANT = true }

-- sk_get 1 sk:{tt}:<id> [TENANT t] [EXPORT]
--
-- Reads the state as it is now, running clocks included.
--
-- KEYS[1]    the session
-- ARGV       options as `NAME value` in any order; EXPORT has no value
-- Reply      state (JSON); with EXPORT also `internal`, which sk_restore needs
-- Refusals   VALIDATION_ERROR, SESSION_NOT_FOUND
-- Publishes  nothing
local function get(keys, args)
  local given, problems = call_options.parse(args, 1, GET, NONE)
  local s, refused = functions_open.open_to_read(keys, 1, given, problems)
  if not s then
    return refused
  end
  return views_state.build(s, given.EXPORT)
end

-- sk_log 2 sk:{tt}:<id> sk:{tt}:<id>:log <since> [EPOCH e] [TENANT t]
--
-- Reads the events after a version, so that a client that has missed them can catch up.
--
-- KEYS[1-2]  the session and its log
-- ARGV[1]    since: a version
-- Reply      list of events (JSON), oldest first, empty when there are no newer ones; nil when the log does
--            not reach back that far, since is above the session's version, or EPOCH is not its epoch: the
--            client then has to read the state
-- Refusals   VALIDATION_ERROR, SESSION_NOT_FOUND
-- Publishes  nothing
local function log(keys, args)
  local given, problems = call_options.parse(args, 2, LOG, NONE)
  local since = args[1] and call_options.integer(args[1], 0, call_options.MAX_INTEGER)
  if not since then
    local problem = { 'since', 'must be a version, an integer from 0' }
    problems = functions_open.join_problems({ problem }, problems)
  end
  local s, refused = functions_open.open_to_read(keys, 2, given, problems)
  if not s then
    return refused
  end
  if since > s.version or (given.EPOCH and given.EPOCH ~= s.epoch) then
    return nil
  elseif since == s.version then
    return {}
  end
  return storage_events.after(keys[2], since)
end

redis.register_function({
  function_name = 'sk_get',
  callback = get,
  description = 'Replies with the state of a session.',
  flags = { 'no-writes' },
})

redis.register_function({
  function_name = 'sk_log',
  callback = log,
  description = 'Replies with the events after a version, or nil when the log does not reach back that far.',
  flags = { 'no-writes' },
})

return {}
