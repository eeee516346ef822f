-- Checks the participants and groups of a config, and the participant of sk_join.

local MOST_PARTICIPANTS = 1000
local MOST_PARTICIPANT_BYTES = 8192
local PARTICIPANT = { participant_id = true, participant_index = true, group_id = true, total_time_ms = true,
  time_control = true }
local GROUP = { group_id = true, total_time_ms = true, time_control = true }

-- Reads one participant. Returns {id, index, group_id, bank, time_control, has_group, has_bank}; members that
-- are absent or wrong are nil. has_group and has_bank say whether group_id and total_time_ms were there, so
-- that a wrong one is not also reported as missing.
local function read_participant(given, path, problem)
  if type(given) ~= 'table' then
    problem(path:sub(1, -2), 'must be an object')
    return { has_group = true, has_bank = true }
  end
  given = config_members.without_nulls(given)
  config_members.refuse_unknown(given, PARTICIPANT, path, problem)
  if given.participant_id == nil then
    problem(path .. 'participant_id', 'is required')
  end
  return {
    id = config_members.uuid(given, 'participant_id', path, problem),
    index = config_members.integer(given, 'participant_index', 0, 999, path, problem),
    group_id = config_members.uuid(given, 'group_id', path, problem),
    bank = config_members.bank(given, path, problem),
    time_control = given.time_control,
    has_group = given.group_id ~= nil,
    has_bank = given.total_time_ms ~= nil,
  }
end

-- Reads a list of participants. Returns them in rotation order, each with its index and its path in the
-- config, and the same by id. problem, is_full: see config/members.lua.
local function read_participants(given, problem, is_full)
  local found, by_id, by_index = {}, {}, {}
  if not given then
    return found, by_id
  end
  if #given < 1 or #given > MOST_PARTICIPANTS then
    problem('participants', 'must be 1 to ' .. MOST_PARTICIPANTS)
  end
  for i = 1, math.min(#given, MOST_PARTICIPANTS) do
    if is_full() then
      break
    end
    local path = 'participants.' .. storage_record.index_text(i - 1) .. '.'
    local participant = read_participant(given[i], path, problem)
    participant.path = path
    participant.index = participant.index or i - 1
    if participant.id then
      if by_id[participant.id] then
        problem(path .. 'participant_id', 'is there twice')
      end
      by_id[participant.id] = participant
    end
    if by_index[participant.index] then
      problem(path .. 'participant_index', 'is there twice')
    end
    by_index[participant.index] = true
    found[i] = participant
  end
  table.sort(found, function(one, other) return one.index < other.index end)
  return found, by_id
end

-- Reads a list of groups; without a list the groups are those that the participants name. Returns them in
-- order, each with
--
--   id bank time_control has_bank path   as of a participant
--   members                              the indexes of its members, as text
--   sum banks                            the banks of its members together in ms, and how many have one
local function read_groups(given, participants, problem, is_full)
  local found, by_id = {}, {}
  if given then
    if #given > MOST_PARTICIPANTS then
      problem('groups', 'must be at most ' .. MOST_PARTICIPANTS)
    end
    for i = 1, math.min(#given, MOST_PARTICIPANTS) do
      if is_full() then
        break
      end
      local path = 'groups.' .. storage_record.index_text(i - 1) .. '.'
      local group = type(given[i]) == 'table' and config_members.without_nulls(given[i]) or nil
      if not group then
        problem(path:sub(1, -2), 'must be an object')
      else
        config_members.refuse_unknown(group, GROUP, path, problem)
        if group.group_id == nil then
          problem(path .. 'group_id', 'is required')
        end
        local id = config_members.uuid(group, 'group_id', path, problem)
        if id and by_id[id] then
          problem(path .. 'group_id', 'is there twice')
        end
        found[#found + 1] = {
          id = id, bank = config_members.bank(group, path, problem),
          has_bank = group.total_time_ms ~= nil,
          time_control = group.time_control, path = path, members = {}, sum = 0, banks = 0,
        }
        if id then
          by_id[id] = found[#found]
        end
      end
    end
  end
  for i = 1, #participants do
    local participant = participants[i]
    local id = participant.group_id
    if id then
      local group = by_id[id]
      if not group and given then
        problem(participant.path .. 'group_id', 'is none of groups')
      else
        if not group then
          group = { id = id, path = 'groups.' .. #found .. '.', members = {}, sum = 0, banks = 0 }
          found[#found + 1], by_id[id] = group, group
        end
        group.members[#group.members + 1] = storage_record.index_text(participant.index)
        if participant.bank then
          group.sum, group.banks = group.sum + participant.bank, group.banks + 1
        end
      end
    end
  end
  return found
end

-- Checks the participant of sk_join. Returns it as read_participant does; or nil and the list of problems.
local function check_participant(text)
  local problems, problem = config_members.collector()
  local object = config_members.read_object(text, 'participant', MOST_PARTICIPANT_BYTES, PARTICIPANT, problem)
  if not object then
    return nil, problems
  end
  local participant = read_participant(object, '', problem)
  if #problems > 0 then
    return nil, problems
  end
  return participant
end

return {
  read_participants = read_participants,
  read_groups = read_groups,
  check_participant = check_participant,
}
