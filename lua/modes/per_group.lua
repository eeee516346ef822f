-- per_group: the clock of the active participant's group runs. By default the turn goes to the next group,
-- and in it to the member after the one who was last active there.

local function clock(_, group_id)
  return 'g:' .. group_id
end

return {
  owner = 'group',
  clock = clock,
  by_group = true,
}
