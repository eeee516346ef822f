-- Byo-yomi (Japanese overtime): after the main time R come k periods of P ms. A cycle that ends within the
-- running period leaves that period whole. A cycle that runs past its end loses the period and goes on in the
-- next one. When the last period is lost, the time is up. While there is main time, a cycle that ended in
-- time may also earn an increment I. u: the ms that the cycle used.
--
--   budget          R + k * P
--   after a cycle   u < R: the bank is R - u + I
--                   else: the bank is 0, and floor((u - R) / P) periods are lost
--
-- A bank below zero is overtime that was used. It counts as empty here and stays as it is: periods pay no
-- debt.

local PARAMETERS = {
  { 'periods', 1, 1000, required = true },
  { 'period_ms', 1, bounds.MOST_MS, required = true },
  { 'increment_ms', 0, bounds.MOST_MS },
}
local COUNTERS = { 'periods_left' }

-- The session's increment_ms is that of fischer, and has no effect here. An increment of 0 is left out.
local function pack(given)
  local increment = given.increment_ms
  return given.periods, given.period_ms, increment ~= 0 and increment or nil
end

local function fresh(control)
  return control.periods
end

local function budget(owner)
  return owner.bank + owner.periods_left * owner.control.period
end

-- How many of the used ms come after the main time.
local function beyond(owner, used)
  local over = owner.bank > 0 and used - owner.bank or used
  return over > 0 and over or 0
end

local function charged(owner, used)
  local bank, periods = owner.bank, owner.periods_left
  if used < bank then
    return bank - used, periods
  end
  local over, period = beyond(owner, used), owner.control.period
  local past = over - periods * period
  periods = periods - math.floor(over / period)
  return (bank < 0 and bank or 0) - (past > 0 and past or 0), periods > 0 and periods or 0
end

local function credited(owner, used)
  local bank, periods = charged(owner, used)
  if bank > 0 then
    return bank + owner.control.main_increment, periods
  end
  return bank, periods
end

local function now(owner, used)
  local period = owner.control.period
  local over = beyond(owner, used)
  local periods = math.max(0, owner.periods_left - math.floor(over / period))
  local remaining = periods > 0 and period - over % period or 0
  return ('"periods_left":%d,"period_remaining_ms":%d'):format(periods, remaining)
end

return {
  PARAMETERS = PARAMETERS,
  DIGITS = { 4, bounds.MOST_DIGITS, bounds.MOST_DIGITS },
  OPTIONAL = 1,
  NUMBERS = { 'periods', 'period', 'main_increment' },
  COUNTERS = COUNTERS,
  pack = pack,
  fresh = fresh,
  budget = budget,
  charged = charged,
  credited = credited,
  now = now,
}
