-- The records of a session's hash: participants, groups and clocks, as they are read and as they are kept.

local RECORD = '^%[(%-?%d+),(%d+),(%d+),(%d),?(.*)%]$'

-- The fields of participants by their indexes, and the indexes as text, made as they are needed.
local fields_by_index, texts_by_index = {}, {}

local function index_text(index)
  local text = texts_by_index[index]
  if not text then
    text = text_formats.integer(index)
    texts_by_index[index] = text
  end
  return text
end

local function participant_field(index)
  local field = fields_by_index[index]
  if not field then
    field = 'p' .. index_text(index)
    fields_by_index[index] = field
  end
  return field
end

-- Whether the record in this field owns a clock in the session's mode. By their first letters: p, g, c.
local function owns(s, field)
  local owned_by = s.mode.owner
  local first = field:byte()
  return first == 112 and owned_by == 'participant' or first == 103 and owned_by == 'group' or first == 99
end

-- A record in memory: bank, used, cycles, expired and clock (JSON) as in its field, shown (the JSON that never changes); for an owner of a clock its
-- control as well. bank_text, used and cycles are as they were read, until the record is changed.
local function adopt(s, field, text, shown)
  local bank, used, cycles, expired, view = text:match(RECORD)
  local record = { field = field, owns = owns(s, field), bank = bank + 0, bank_text = bank, used = used, cycles = cycles, expired = expired == '1',
    clock = view, shown = shown }
  if record.owns then
    local control, compensated = s.rules.control, s.rules.lag
    if compensated or (shown and shown:byte(-2) ~= 108) then -- not the end of null: it has a control of its own
      control = redis.call('HGET', s.key, 'c:' .. field) or control
    end
    control = controls.read(control)
    record.control = control
    if control.shows then
      controls.adopt(record)
      if control.gain > 0 then
        rules_lag.set_grace(record)
      end
    end
  end
  s[field] = record
  return record
end

-- The record in a field, read once in a call; nil where there is none.
local function record(s, field)
  local known = s[field]
  if known then
    return known
  end
  local texts = redis.call('HMGET', s.key, field, field .. ':shown')
  return texts[1] and adopt(s, field, texts[1], texts[2]) or nil
end

-- Two records in one round.
local function pair(s, one, other)
  if one == other or s[one] or s[other] then
    return record(s, one), record(s, other)
  end
  local texts = redis.call('HMGET', s.key, one, one .. ':shown', other, other .. ':shown')
  return adopt(s, one, texts[1], texts[2]), adopt(s, other, texts[3], texts[4])
end

-- Puts the numbers of a changed record down as text, once for the event and the hash.
local function write_down(changed)
  changed.bank_text, changed.used, changed.cycles = ('%d'):format(changed.bank), ('%d'):format(changed.used), ('%d'):format(changed.cycles)
  local control = changed.control
  if control and control.shows then
    changed.clock = controls.view(changed)
  end
end

-- A record as it is kept; its numbers are written down.
local function encode(changed)
  return '[' .. changed.bank_text .. ',' .. changed.used .. ',' .. changed.cycles .. (changed.expired and ',1' or ',0')
    .. (changed.clock ~= '' and ',' .. changed.clock .. ']' or ']')
end

-- What never changes of a participant and of a group. control: JSON or null.
local function participant_shown(id, index, group_id, control)
  return ('"participant_id":"%s","group_id":%s,"participant_index":%d,"time_control":%s}'):format(id, group_id and '"' .. group_id .. '"' or 'null', index,
    control)
end

local function group_shown(id, control)
  return '"group_id":"' .. id .. '","time_control":' .. control .. '}'
end

local function participant_id(participant)
  return participant.shown:sub(19, 54)
end

-- The group of a participant, nil for none.
local function group_id(participant)
  local shown = participant.shown
  if shown:byte(68) == 34 then -- a quote, not null
    return shown:sub(69, 104)
  end
end

local function participant_index(participant)
  return tonumber(participant.field:sub(2))
end

-- Marks a record as changed: as one that the event shows, and as one that has to be written where `dirty`.
local function touch(s, changed, dirty)
  if not changed.touched then
    changed.touched = true
    if s.first_touched then
      s.last_touched.next_touched = changed
    else
      s.first_touched = changed
    end
    s.last_touched = changed
  end
  if dirty then
    changed.dirty = true
  end
end

return {
  RECORD = RECORD,
  index_text = index_text,
  participant_field = participant_field,
  adopt = adopt,
  record = record,
  pair = pair,
  write_down = write_down,
  encode = encode,
  participant_shown = participant_shown,
  group_shown = group_shown,
  participant_id = participant_id,
  group_id = group_id,
  participant_index = participant_index,
  touch = touch,
}
