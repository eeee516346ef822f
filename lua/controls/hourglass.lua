-- Hourglass: what a clock uses is handed on to the next one, as sand is.
--
--   budget   R
--   bank after a cycle   R - u, and the next clock gets u

local function pack()
  return '0'
end

local function parse()
  return {}
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
