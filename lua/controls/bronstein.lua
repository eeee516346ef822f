-- Bronstein: after every cycle the owner gets back the time that the cycle used, at most the delay D. So the
-- bank R never grows. u: the ms that the cycle used.
--
--   budget               R
--   bank after a cycle   R - u + min(u, D)

local PARAMETERS = { { 'delay_ms', 0, bounds.MOST_MS, required = true } }

local function pack(given)
  return given.delay_ms
end

local function budget(owner)
  return owner.bank
end

local function charged(owner, used)
  return owner.bank - used
end

local function credited(owner, used)
  local delay = owner.control.delay
  return owner.bank - used + (used < delay and used or delay)
end

return {
  PARAMETERS = PARAMETERS,
  DIGITS = { bounds.MOST_DIGITS },
  NUMBERS = { 'delay' },
  pack = pack,
  budget = budget,
  charged = charged,
  credited = credited,
}
