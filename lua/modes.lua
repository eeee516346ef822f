-- The modes by name: which clock runs.
--
-- A mode has `owner` (whose the clock is: participant, group, cycle, session) and `clock(field, group_id)`:
-- the field of the session's hash with the clock that runs while the participant in `field`, of that group,
-- is active.

local MODES = {
  per_participant = modes_per_participant,
  per_group = modes_per_group,
  per_cycle = modes_per_cycle,
  global = modes_global,
  count_up = modes_count_up,
}

local NAMES = 'per_participant, per_group, per_cycle, global, count_up'

-- A mode by its name; `global` with a time per cycle (ms as text, '0' for none) has per_cycle's clock.
local function named(name, cycle_ms)
  if name == 'global' and cycle_ms ~= '0' then
    return modes_per_cycle
  end
  return MODES[name]
end

return {
  MODES = MODES,
  NAMES = NAMES,
  named = named,
}
