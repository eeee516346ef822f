-- global: one clock for the whole session, which a switch does not stop. (With a time per cycle, modes.lua
-- takes the clock of per_cycle instead.)

local function clock()
  return 'clock'
end

return {
  owner = 'session',
  clock = clock,
}
