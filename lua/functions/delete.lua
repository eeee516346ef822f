-- sk_delete 4 <keys> [TENANT t] [VERSION n] [EPOCH e] [ACTOR a] [TRACE t]
--             [TRACEPARENT t] [REQUEST id] [SCHEMA n]
--
-- Deletes a session in any status. A tombstone keeps its version and its epoch for 24 hours.
--
-- SCHEMA changes nothing here: a tombstone is the same in all.
--
-- KEYS[1-4]  the session, its log, the alarms, the outbox
-- ARGV       options as `NAME value` in any order
-- Reply      1; 0 when there was no session, or it is another tenant's
-- Refusals   VALIDATION_ERROR, CONCURRENT_MODIFICATION
-- Publishes  session.deleted
local function delete(keys, args)
  local given, problems = call_options.parse(args, 1, call_options.NONE, call_options.COMMON)
  local s, reply = functions_open.open('sk_delete', keys, given, problems)
  if not s then
    return reply or 0
  end
  return functions_commit.commit_deletion(s, transitions_cycle.current_turn(s), given) or 1
end

redis.register_function({
  function_name = 'sk_delete',
  callback = delete,
  description = 'Deletes a session. Replies with 1, or 0 without a session.',
  flags = { 'allow-oom' },
})

return {}
