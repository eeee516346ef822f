-- US delay: the first D ms of every cycle are free, then the bank R runs. u: the ms that the cycle used.
--
--   budget               R + D
--   bank after a cycle   R - max(0, u - D)
--
-- When the clock ran out in this cycle and got time again after `offset` ms, only D - offset ms of the delay
-- are left.

local PARAMETERS = { { 'delay_ms', 0, bounds.MOST_MS, required = true } }

local function pack(given)
  return given.delay_ms
end

local function delay_left(owner, offset)
  local delay = owner.control.delay - offset
  return delay > 0 and delay or 0
end

local function budget(owner, offset)
  return owner.bank + delay_left(owner, offset)
end

local function drawn(owner, used, offset)
  local over = used - delay_left(owner, offset)
  return over > 0 and over or 0
end

local function charged(owner, used, offset)
  return owner.bank - drawn(owner, used, offset)
end

return {
  PARAMETERS = PARAMETERS,
  DIGITS = { bounds.MOST_DIGITS },
  NUMBERS = { 'delay' },
  pack = pack,
  budget = budget,
  drawn = drawn,
  charged = charged,
  credited = charged,
}
