-- per_cycle: every cycle has the same fresh time; nothing is carried over and nobody is ever out.

local function clock()
  return 'clock'
end

return {
  owner = 'cycle',
  clock = clock,
}
