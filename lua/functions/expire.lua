-- sk_expire

local NONE = call_options.NONE

local function expire(keys, args)
  if #args > 0 then
    return call_refusal.validation({ { args[1], 'is no option of this function' } })
  end
  local s, reply = functions_open.open('sk_expire', keys, NONE, nil)
  if not s then
    if not reply then
      redis.call('ZREM', keys[3], keys[1]:sub(9))
    end
    return reply
  end
  local turn, event, extra = transitions_expiry.expire(s)
  if event then
    return functions_commit.commit(s, turn, event, NONE, extra)
  end
  -- Nothing is due. Whoever asked may have followed an alarm that is not the session's: put it right, or it would be asked for ever.
  local alarm = redis.call('ZSCORE', keys[3], storage_keys.id_of(s))
  if s.alarm == 0 then
    if alarm then
      redis.call('ZREM', keys[3], storage_keys.id_of(s))
    end
  elseif not alarm or tonumber(alarm) ~= s.alarm then
    redis.call('ZADD', keys[3], text_formats.integer(s.alarm), storage_keys.id_of(s))
  end
  return nil
end

redis.register_function({
  function_name = 'sk_expire',
  callback = expire,
  description = 'Does what is due: an expiry or a warning. Replies with the change, or nil.',
  flags = { 'allow-oom' },
})

return {}
