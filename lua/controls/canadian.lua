-- Canadian overtime: after the main time N moves have to be made in every block of B ms; who makes them in
-- time gets a new block.
--
--   budget   R + b, b being what is left of the block
--   after a cycle   bank max(0, R - u); once that is 0, b less max(0, u - R), and s, the moves left of the
--                   block, one less, the crossing move included; at s = 0 a new block: b = B, s = N
--
-- A bank below zero (overtime that was used) counts as empty, and stays what it is: blocks pay no debt.

local PARAMETERS = { { 'period_ms', 1, 86400000, required = true }, { 'moves', 1, 1000, required = true } }
local COUNTERS = { 'moves_left', 'block_remaining_ms' }

local function pack(given)
  return ('%d %d'):format(given.period_ms, given.moves)
end

local function parse(text)
  local block, moves = text:match('^(%d+) (%d+)')
  return { block = tonumber(block), block_moves = tonumber(moves) }
end

local function fresh(control)
  return control.block_moves, control.block
end

local function budget(owner)
  return owner.bank + owner.block_remaining_ms
end

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
  DIGITS = { 8, 4 },
  COUNTERS = COUNTERS,
  pack = pack,
  parse = parse,
  fresh = fresh,
  budget = budget,
  charged = charged,
  credited = credited,
  now = now,
}
