-- Who takes part: participants and groups by their ids, the members of a group, who joins and who leaves.

-- The record of the participant with this id, or nil.
local function participant(s, id)
  local index = redis.call('HGET', s.key, 'i:' .. id)
  return index and storage_record.record(s, 'p' .. index) or nil
end

local function group(s, id)
  return storage_record.record(s, 'g:' .. id)
end

-- The indexes of a group's members in order, as `,0,3,`.
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

-- The index of the member of a group who was last active, -1 for nobody.
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

-- A new participant's record, bound to its id. bank: nil for one without a clock; control: its own, as text, or nil.
local function add_participant(s, index, id, bank, control, shown)
  local field = storage_record.participant_field(index)
  local added = { bank = 0 }
  if bank then
    local kept
    added, kept = rules_lag.new_owner(control, s.rules.control, s.rules.lag, bank)
    if kept then
      storage_session.set(s, 'c:' .. field, kept)
    end
  end
  added.field, added.owns, added.used, added.cycles, added.expired, added.clock, added.shown = field, bank ~= nil, 0, 0, false, '', shown
  s[field] = added
  storage_session.set(s, field .. ':shown', shown)
  storage_session.set(s, 'i:' .. id, text_formats.integer(index))
  storage_record.touch(s, added, true)
  return added
end

local function remove_participant(s, gone)
  storage_session.remove(s, gone.field)
  storage_session.remove(s, gone.field .. ':shown')
  storage_session.remove(s, 'i:' .. storage_record.participant_id(gone))
  storage_session.remove(s, 'c:' .. gone.field)
  s[gone.field] = nil
  gone.gone, gone.dirty = true, false
end

return {
  participant = participant,
  group = group,
  members = members,
  set_members = set_members,
  last_active = last_active,
  set_last_active = set_last_active,
  add_participant = add_participant,
  remove_participant = remove_participant,
}
