-- Hourglass: the time that a cycle uses moves to the next clock. u: the ms that the cycle used.
--
--   budget               R
--   bank after a cycle   R - u, and the next clock gets u

local function pack()
  return 0
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
  NUMBERS = {},
  TRANSFERS_TIME = true,
  pack = pack,
  budget = budget,
  charged = charged,
  credited = charged,
}
