-- sk_expire: what is due happens.

local NONE = call_options.NONE

-- sk_expire 4 <keys>
--
-- Carries out what is due: the start or the end of the session, an expiry, the end of a pause, or one
-- warning, the highest first. Of many calls at the same time only one has an effect. When nothing is due, it
-- corrects the session's alarm, and without a session it removes the alarm: a caller that follows a wrong
-- alarm would call for ever.
--
-- KEYS[1-4]  the session, its log, the alarms, the outbox
-- ARGV       none
-- Reply      change (JSON); nil when nothing is due or there is no session
-- Refusals   VALIDATION_ERROR
-- Publishes  time.warning, participant.expired, session.expired, session.resumed, session.started,
--            session.completed
local function expire(keys, args)
  if #args > 0 then
    return call_refusal.validation({ { args[1], 'is no option of this function' } })
  end
  local s, refused, moving = functions_open.open('sk_expire', keys, NONE, nil)
  if not s then
    local step = moving and moving.step
    if step == 'held' then
      return nil -- its alarm is the end of the hold
    elseif step == 'gone' and moving.rotation then
      return refused -- its alarm stays, so that somebody looks whether the target runs it
    elseif step or not refused then
      storage_alarms.remove(keys)
    end
    return step ~= 'gone' and refused or nil
  end
  local turn, event, extra = transitions_expiry.expire(s)
  if event then
    return functions_commit.commit(s, turn, event, NONE, extra)
  end
  storage_alarms.correct(s)
  return nil
end

redis.register_function({
  function_name = 'sk_expire',
  callback = expire,
  description = 'Carries out what is due, such as an expiry or a warning. Replies with the change, or nil.',
  flags = { 'allow-oom' },
})

return {}
