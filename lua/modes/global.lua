-- global: one clock for the whole session, which runs on over every switch. With a time per cycle it is
-- per_cycle's clock.

local function clock()
  return 'clock'
end

return {
  owner = 'session',
  clock = clock,
}
