-- count_up: time counts from zero, over every switch, up to a maximum where there is one. The bank of its
-- clock is what is left of the maximum, so the maximum is always time used + bank.

local function clock()
  return 'clock'
end

return {
  owner = 'session',
  clock = clock,
  counts_up = true,
}
