-- per_participant: the clock of the active participant runs. A switch charges it and starts the clock of the
-- next participant.

local function clock(field)
  return field
end

return {
  owner = 'participant',
  clock = clock,
}
