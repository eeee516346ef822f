-- per_group: the clock of the active participant's group runs. A switch without NEXT goes to the next group,
-- and there to the member after the one that was active last.

local function clock(_, group_id)
  return 'g:' .. group_id
end

return {
  owner = 'group',
  clock = clock,
  by_group = true,
}
