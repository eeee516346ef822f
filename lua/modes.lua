-- The modes by their names. A mode says which clock runs. It has
--
--   owner                    who owns the clock: 'participant', 'group', 'cycle' or 'session'
--   clock(field, group_id)   the field of the hash with the clock that runs while a participant is active.
--                            field: that participant's; group_id: of its group, nil for none
--   by_group                 true: groups take turns, and within a group its members
--   counts_up                true: time counts up from zero

local MODES = {
  per_participant = modes_per_participant,
  per_group = modes_per_group,
  per_cycle = modes_per_cycle,
  global = modes_global,
  count_up = modes_count_up,
}

local NAMES = 'per_participant, per_group, per_cycle, global, count_up'

-- The mode with this name. `global` with a time per cycle has the clock of per_cycle. cycle_ms: text, '0' for
-- none.
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
