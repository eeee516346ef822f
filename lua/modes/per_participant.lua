-- per_participant: the active participant's own clock runs; a switch charges it and starts the next one's.

local function clock(field)
  return field
end

return {
  owner = 'participant',
  clock = clock,
}
