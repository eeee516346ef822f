-- Hourglass: the time that a cycle uses moves to the next clock. u: the ms that the cycle used.
--
--   budget               R
--   bank after a cycle   R - u, and the next clock gets u

local function pack()
  return 0
end

local function parse()
end

local function budget(owner)
  return owner.bank
end

local function charged(owner, used)
  return owner.bank - used
end

return {
  PARAMETERS = {},
  DIGITS = { 1 },
  TRANSFERS_TIME = true,
  pack = pack,
  parse = parse,
  budget = budget,
  charged = charged,
  credited = charged,
}
