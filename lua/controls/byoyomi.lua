-- Byo-yomi (Japanese overtime): after the main time k periods of P ms. A cycle that ends within the running
-- period leaves it whole; one that goes over it loses it and goes on in the next one. The last period lost is
-- the end.
--
--   budget   R + k * P
--   after a cycle   u < R: bank R - u; else bank 0 and floor((u - R) / P) periods less
--
-- A bank below zero (overtime that was used) counts as empty, and stays what it is: periods pay no debt.

local PARAMETERS = { { 'periods', 1, 1000, required = true }, { 'period_ms', 1, 86400000, required = true } }
local COUNTERS = { 'periods_left' }

local function pack(given)
  return ('%d %d'):format(given.periods, given.period_ms)
end

local function parse(text)
  local periods, period = text:match('^(%d+) (%d+)')
  return { periods = tonumber(periods), period = tonumber(period) }
end

local function fresh(control)
  return control.periods
end

local function budget(owner)
  return owner.bank + owner.periods_left * owner.control.period
end

-- How far `used` ms go beyond the main time.
local function beyond(owner, used)
  local over = owner.bank > 0 and used - owner.bank or used
  return over > 0 and over or 0
end

local function charged(owner, used)
  local over = beyond(owner, used)
  local bank = owner.bank
  if over == 0 then
    return bank > used and bank - used or bank < 0 and bank or 0, owner.periods_left
  end
  local control, periods = owner.control, owner.periods_left
  local past = over - periods * control.period
  periods = periods - math.floor(over / control.period)
  return (bank < 0 and bank or 0) - (past > 0 and past or 0), periods > 0 and periods or 0
end

local function now(owner, used)
  local period = owner.control.period
  local over = beyond(owner, used)
  local periods = math.max(0, owner.periods_left - math.floor(over / period))
  return ('"periods_left":%d,"period_remaining_ms":%d'):format(periods, periods > 0 and period - over % period
    or 0)
end

return {
  PARAMETERS = PARAMETERS,
  DIGITS = { 4, 8 },
  COUNTERS = COUNTERS,
  pack = pack,
  parse = parse,
  fresh = fresh,
  budget = budget,
  charged = charged,
  credited = charged,
  now = now,
}
