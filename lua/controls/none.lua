-- No time control: a clock without end. The used time is counted, but there is no bank and no deadline.

local function pack()
  return 0
end

local function budget()
  return math.huge
end

local function charged(owner)
  return owner.bank
end

return {
  PARAMETERS = {},
  DIGITS = { 1 },
  NUMBERS = {},
  ENDLESS = true,
  BANK = 0,
  pack = pack,
  budget = budget,
  charged = charged,
  credited = charged,
}
