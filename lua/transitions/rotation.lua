-- The rotation: whose turn is next. Turns go by the participants' indexes, without those that are out. The
-- rotation is a text with a character for each index (see storage/session.lua), so one search finds the next
-- one, however many participants there are.

-- The next index after `index` that has a turn. It is `index` itself when no other has one, and nil when none
-- has one.
local function after(s, index)
  local rotation = s.rotation
  local found = rotation:find('1', index + 2, true) or rotation:find('1', 1, true)
  return found and found - 1
end

-- The only index that has a turn; nil when there is none, or more than one.
local function only_one(rotation)
  local first = rotation:find('1', 1, true)
  if first and not rotation:find('1', first + 1, true) then
    return first - 1
  end
end

-- The rotation with another character at an index. Its end is cut after the last participant.
local function marked(rotation, index, character)
  if #rotation < index then
    rotation = rotation .. string.rep('_', index - #rotation)
  end
  rotation = rotation:sub(1, index) .. character .. rotation:sub(index + 2)
  return rotation:match('^(.-)_*$')
end

-- Changes the character of an index in the session's rotation.
local function mark(s, index, character)
  storage_session.set_rotation(s, marked(s.rotation, index, character))
end

-- The lowest index in a list of members such as `,0,3,`; nil for a group without members.
local function first_member(members)
  return tonumber(members:match('^,(%d+),'))
end

-- The first member after an index, which need not be a member's: who was there may have left. After the last
-- member comes the first.
local function member_after(members, index)
  local _, stop = members:find(',' .. string.format('%d', index) .. ',', 1, true)
  if stop then
    return tonumber(members:match('^(%d+),', stop + 1)) or first_member(members)
  end
  for member in members:gmatch('%d+') do
    member = tonumber(member)
    if member > index then
      return member
    end
  end
  return first_member(members)
end

-- The list of members with one more.
local function with_member(members, index)
  local list, placed = {}, false
  for member in members:gmatch('%d+') do
    if not placed and tonumber(member) > index then
      list[#list + 1] = string.format('%d', index)
      placed = true
    end
    list[#list + 1] = member
  end
  if not placed then
    list[#list + 1] = string.format('%d', index)
  end
  return ',' .. table.concat(list, ',') .. ','
end

-- The list of members without one.
local function without_member(members, index)
  local start, stop = members:find(',' .. string.format('%d', index) .. ',', 1, true)
  return members:sub(1, start) .. members:sub(stop + 1)
end

-- The member before the one with this index. Before the first one comes the last.
local function member_before_in_turn(members, index)
  local before = members:sub(1, members:find(',' .. string.format('%d', index) .. ',', 1, true))
  return tonumber(before:match('(%d+),$') or members:match('(%d+),$'))
end

-- The index that has the turn of a participant or a group, whose record this is; nil for a group without
-- members.
local function slot(s, record)
  if record.kind == storage_record.GROUP_KIND then
    return first_member(storage_participants.members(s, storage_record.id_of_group(record)))
  end
  return storage_record.participant_index(record)
end

-- The index of the participant that is active after the turn at `index` of the rotation; nil when all are
-- out.
local function next_participant(s, index)
  local found = after(s, index)
  if not found then
    return nil
  end
  if s.mode.by_group then
    local group_id = storage_record.group_id(storage_record.load(s, storage_record.participant_field(found)))
    found = member_after(storage_participants.members(s, group_id),
      storage_participants.last_active(s, group_id))
  end
  return found
end

-- What a search in the rotation finds when nobody counts as out. search(s, ...): next_participant, or a
-- function like it.
local function with_nobody_out(s, search, ...)
  local rotation = s.rotation
  s.rotation = rotation:gsub('x', '1')
  local found = search(s, ...)
  s.rotation = rotation
  return found
end

return {
  after = after,
  only_one = only_one,
  marked = marked,
  mark = mark,
  first_member = first_member,
  member_after = member_after,
  with_member = with_member,
  without_member = without_member,
  member_before_in_turn = member_before_in_turn,
  slot = slot,
  next_participant = next_participant,
  with_nobody_out = with_nobody_out,
}
