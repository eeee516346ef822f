-- The functions that only read. They also work with FCALL_RO, on replicas too.

local NONE = call_options.NONE
local GET = { EXPORT = true, SUMMARY = true, UNLESS = true, TENANT = true, SCHEMA = true }
local LOG = { EPOCH = true, TENANT = true }

-- sk_get 1 sk:{tt}:<id> [TENANT t] [EXPORT [SCHEMA n] | SUMMARY] [UNLESS <version>@<epoch>]
--
-- Reads the state as it is now, running clocks included. The cost of a SUMMARY, and of a nil for UNLESS, does
-- not depend on the number of participants. An EXPORT is in the oldest schema unless SCHEMA says another one,
-- so that the last release's library restores it, too.
--
-- KEYS[1]    the session
-- ARGV       options as `NAME value` in any order; EXPORT and SUMMARY have no value
-- Reply      state (JSON); with EXPORT also `internal`, which sk_restore needs; with SUMMARY without
--            `participants`; nil when the session is still at the version and epoch of UNLESS
-- Refusals   VALIDATION_ERROR, SESSION_NOT_FOUND
-- Publishes  nothing
local function get(keys, args)
  local given, problems = call_options.parse(args, 1, GET, NONE)
  if given.EXPORT and given.SUMMARY then
    problems = functions_open.join_problems(problems, { { 'SUMMARY', 'cannot go with EXPORT' } })
  end
  if given.SCHEMA and not given.EXPORT then
    problems = functions_open.join_problems(problems, { { 'SCHEMA', 'goes with EXPORT only' } })
  end
  problems = functions_open.join_problems(problems, storage_keys.problems_of(keys, 1))
  local known = given.UNLESS
  if known and not problems and storage_session.is_at(keys[1], known.version, known.epoch, given.TENANT) then
    return nil
  end
  local s, refused = functions_open.open_to_read(keys, given, problems)
  if not s then
    return refused
  elseif known and known.version == text_formats.integer(s.version) and known.epoch == s.epoch then
    return nil -- it is held for a move
  elseif given.SUMMARY then
    return views_state.summary(s)
  end
  local export = given.EXPORT and { schema = given.SCHEMA or schemas.OLDEST }
  return views_state.build(s, nil, export or nil)
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
  problems = functions_open.join_problems(problems, storage_keys.problems_of(keys, 2))
  local s, refused = functions_open.open_to_read(keys, given, problems)
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
