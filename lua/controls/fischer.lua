-- Fischer: a bank, and an increment after every cycle that ended in time. An increment of 0 is sudden death.
--
--   budget   R
--   bank after a cycle   R - u + I, at most max(M, R - u) where there is a cap M

local PARAMETERS = { { 'increment_ms', 0, 60000 } }

-- given: the parameters that the control came with; session: the session's increment_ms and max_time_ms,
-- which hold where it has none.
local function pack(given, session)
  return ('%d %d'):format(given.increment_ms or session.increment_ms or 0, session.max_time_ms or 0)
end

local function parse(text)
  local increment, cap = text:match('^(%d+) (%d+)')
  return { increment = tonumber(increment), cap = tonumber(cap) }
end

local function budget(owner)
  return owner.bank
end

local function charged(owner, used)
  return owner.bank - used
end

local function credited(owner, used)
  local rest, control = owner.bank - used, owner.control
  local with_increment, cap = rest + control.increment, control.cap
  if cap > 0 and with_increment > cap then
    return rest > cap and rest or cap
  end
  return with_increment
end

return {
  PARAMETERS = PARAMETERS,
  DIGITS = { 5, 8 },
  pack = pack,
  parse = parse,
  budget = budget,
  charged = charged,
  credited = credited,
}
