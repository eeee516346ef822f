-- Fischer: a bank R, and an increment I after every cycle that ended in time. An increment of 0 is sudden
-- death. u: the ms that the cycle used; M: the most that an increment may lift the bank to.
--
--   budget               R
--   bank after a cycle   R - u + I, with M at most max(M, R - u)

local PARAMETERS = { { 'increment_ms', 0, bounds.MOST_MS } }

-- A control without increment_ms has the session's; M is the session's max_time_ms, 0 for none.
local function pack(given, session)
  return given.increment_ms or session.increment_ms or 0, session.max_time_ms or 0
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
  DIGITS = { bounds.MOST_DIGITS, bounds.MOST_DIGITS },
  NUMBERS = { 'increment', 'cap' },
  pack = pack,
  budget = budget,
  charged = charged,
  credited = credited,
}
