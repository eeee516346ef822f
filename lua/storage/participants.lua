-- Finds participants and groups by their ids, and the members of each group. Only per_group, a join and a
-- leave need member lists, so a list is read when it is first needed.

-- The record of the participant with this id, or nil.
local function participant(s, id)
  local index = redis.call('HGET', s.key, 'i:' .. id)
  return index and storage_record.load(s, 'p' .. index) or nil
end

-- The record of the group with this id, or nil.
local function group(s, id)
  return storage_record.load(s, 'g:' .. id)
end

-- Whether a participant has this id.
local function has_id(s, id)
  return redis.call('HEXISTS', s.key, 'i:' .. id) == 1
end

-- Whether a participant has this index.
local function has_index(s, index)
  return redis.call('HEXISTS', s.key, storage_record.participant_field(index)) == 1
end

-- The indexes of a group's members in order, as text: `,0,3,`.
local function members(s, id)
  s.members = s.members or {}
  if not s.members[id] then
    s.members[id] = redis.call('HGET', s.key, 'm:' .. id)
  end
  return s.members[id]
end

local function set_members(s, id, text)
  s.members[id] = text
  storage_session.set(s, 'm:' .. id, text)
end

-- The index of the group's member that was active last, -1 for none. It may have left, and a newcomer may be
-- there.
local function last_active(s, id)
  s.last = s.last or {}
  if not s.last[id] then
    s.last[id] = tonumber(redis.call('HGET', s.key, 'l:' .. id)) or -1
  end
  return s.last[id]
end

local function set_last_active(s, id, index)
  s.last = s.last or {}
  s.last[id] = index
  storage_session.set(s, 'l:' .. id, text_formats.integer(index))
end

-- Adds a participant to the session and returns its record. bank: ms, nil when it owns no clock; control: its
-- own control as text, nil for none; fixed_json: see record.lua.
local function add(s, index, id, bank, control, fixed_json)
  local field = storage_record.participant_field(index)
  local added = storage_record.fresh(field, bank ~= nil)
  if bank then
    local usual = storage_session.field(s, 'bank')
    if usual and tonumber(usual) ~= bank then
      storage_session.set(s, 'b:' .. field, text_formats.integer(bank))
    end
    local own_control = rules_lag.give_clock(added, control, s.rules.control, s.rules.lag, bank)
    if own_control then
      storage_session.set(s, 'c:' .. field, own_control)
    end
  end
  added.fixed_json = fixed_json
  s[field] = added
  storage_session.set(s, field .. ':shown', fixed_json)
  storage_session.set(s, 'i:' .. id, text_formats.integer(index))
  storage_record.touch(s, added, true)
  return added
end

local function remove(s, gone)
  storage_session.remove(s, gone.field)
  storage_session.remove(s, gone.field .. ':shown')
  local id = storage_record.participant_id(gone)
  storage_session.remove(s, 'i:' .. id)
  storage_session.remove(s, 'c:' .. gone.field)
  storage_session.remove(s, 'b:' .. gone.field)
  storage_session.remove(s, storage_throttle.field_of(id))
  s[gone.field] = nil
  gone.hidden, gone.dirty = true, false
end

return {
  participant = participant,
  group = group,
  has_id = has_id,
  has_index = has_index,
  members = members,
  set_members = set_members,
  last_active = last_active,
  set_last_active = set_last_active,
  add = add,
  remove = remove,
}
