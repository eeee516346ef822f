-- sk_delete

local NONE = call_options.NONE
local COMMON = call_options.COMMON

local function delete(keys, args)
  local given, problems = call_options.parse(args, 1, NONE, COMMON)
  local s, reply = functions_open.open('sk_delete', keys, given, problems)
  if not s then
    return reply or 0
  end
  functions_commit.commit_deletion(s, transitions_cycle.current_turn(s), given)
  return 1
end

redis.register_function({
  function_name = 'sk_delete',
  callback = delete,
  description = 'Deletes a session. Replies with 1, or 0 where there was none.',
  flags = { 'allow-oom' },
})

return {}
