-- sk_convert: a session goes to another schema without a change.

local CONVERT = { SCHEMA = true }

-- sk_convert 4 <keys> SCHEMA n
--
-- Writes a session in another schema, see schemas.lua. Every change with the option SCHEMA does that as well;
-- this function is for sessions that nobody changes, before a library is taken back that reads the older
-- schema only. State, version and log stay as they are.
--
-- KEYS[1-4]  the session, its log, the alarms, the outbox
-- ARGV       SCHEMA and the number of the schema
-- Reply      1; 0 when the session has this schema, there is none, or the server is full
-- Refusals   VALIDATION_ERROR, SESSION_MOVING, SESSION_MOVED
-- Publishes  nothing
local function convert(keys, args)
  local given, problems = call_options.parse(args, 1, CONVERT, call_options.NONE)
  if not given.SCHEMA and not problems then
    problems = { { 'SCHEMA', 'is required' } }
  end
  local s, refused = functions_open.open('sk_convert', keys, given, problems)
  if not s then
    return refused or 0
  end
  return storage_session.convert_alone(s, given.SCHEMA) and 1 or 0
end

redis.register_function({
  function_name = 'sk_convert',
  callback = convert,
  description = 'Writes a session in another schema. Replies with 1, or 0 when there is nothing to do.',
})

return {}
