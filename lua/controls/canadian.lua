-- Canadian overtime: after the main time R an owner has to make N moves in a block of B ms. When it makes
-- them in time, it gets a new block. u: the ms that the cycle used; b: the ms left of the block; s: the moves
-- left in the block.
--
--   budget          R + b
--   after a cycle   the bank is max(0, R - u)
--                   when that is 0: b is less by max(0, u - R), and s by 1. The cycle that uses up the bank
--                   counts as the first move of the block
--                   when s is 0: a new block begins with b = B and s = N
--
-- A bank below zero is overtime that was used. It counts as empty here and stays as it is: blocks pay no
-- debt.

local PARAMETERS = {
  { 'period_ms', 1, bounds.MOST_MS, required = true },
  { 'moves', 1, 1000, required = true },
}
local COUNTERS = { 'moves_left', 'block_remaining_ms' }

local function pack(given)
  return given.period_ms, given.moves
end

local function fresh(control)
  return control.block_moves, control.block
end

local function budget(owner)
  return owner.bank + owner.block_remaining_ms
end

-- How many of the used ms come after the main time.
local function beyond(owner, used)
  local over = owner.bank > 0 and used - owner.bank or used
  return over > 0 and over or 0
end

local function charged(owner, used)
  local over = beyond(owner, used)
  local bank = owner.bank
  if over == 0 then
    return bank > used and bank - used or bank < 0 and bank or 0, owner.moves_left, owner.block_remaining_ms
  end
  local left = owner.block_remaining_ms - over
  return (bank < 0 and bank or 0) + (left < 0 and left or 0), owner.moves_left, left > 0 and left or 0
end

local function credited(owner, used)
  local bank, moves, left = charged(owner, used)
  if bank > 0 then
    return bank, moves, left
  elseif moves > 1 then
    return bank, moves - 1, left
  end
  return bank, fresh(owner.control)
end

local function now(owner, used)
  return ('"block_remaining_ms":%d'):format(math.max(0, owner.block_remaining_ms - beyond(owner, used)))
end

return {
  PARAMETERS = PARAMETERS,
  DIGITS = { bounds.MOST_DIGITS, 4 },
  NUMBERS = { 'block', 'block_moves' },
  COUNTERS = COUNTERS,
  pack = pack,
  fresh = fresh,
  budget = budget,
  charged = charged,
  credited = credited,
  now = now,
}
