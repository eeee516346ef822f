-- The records in a session's hash: one for each participant, one for each group, and one for the clock that
-- the session or the cycle owns. A record is stored as `[bank,used,cycles,expired,clock]`, for example
-- `[180000,4200,3,0]`. The part of a participant's or a group's JSON that never changes is stored in a field
-- of its own (`fixed_json`).
--
-- In memory a record has
--   field                  its field in the hash: p<index>, g:<group id> or clock
--   kind                   the first byte of that field
--   bank used cycles       ms, ms, and a number of cycles
--   expired                whether its clock has run out
--   clock                  the JSON of its `clock` in the state; '' when that is empty
--   fixed_json             see participant_fixed_json and group_fixed_json
--   owns control           whether it owns a clock, and the control of that clock
--   bank_text              the bank as text
--   touched                true: the event shows the record
--   dirty                  true: the record has to be written
--   hidden                 true: the event does not show the record, although it is touched: the participant
--                          has left the session, or nothing of it changed
--
-- used and cycles stay the text that the hash holds until they change, because most records are only copied.

local RECORD = '^%[(%-?%d+),(%d+),(%d+),(%d),?(.*)%]$'

-- The kind of a record is the byte that its field begins with: comparing a byte makes no new text.
local PARTICIPANT_KIND, GROUP_KIND, CLOCK_KIND = 112, 103, 99 -- p, g, c

-- Where ids are in the text of participant_fixed_json. A switch reads several of them, and a position is
-- cheaper than a pattern.
--
--   "participant_id":"aaaaaaaa-0000-4000-8000-000000000001","group_id":"eeeeeeee-0000-4000-8000-000000000001"
--                     19                                54             68                                 104
--   "participant_id":"aaaaaaaa-0000-4000-8000-000000000001","group_id":null,…
local ID_FIRST, ID_LAST = 19, 54
local GROUP_QUOTE, GROUP_ID_FIRST, GROUP_ID_LAST = 68, 69, 104
local QUOTE = 34 -- "
-- The same as a pattern that also checks the names: the participant's id, and its group's or `null`.
local PARTICIPANT_IDS = '^"participant_id":"([^"]*)","group_id":"?([^",]*)"?,'
-- Every fixed JSON ends with the record's own control. Without one it ends with `"time_control":null}`, whose
-- last byte but one is an l; a control is an object and has a } there.
local LAST_OF_CONTROL, LAST_OF_NULL = -2, 108 -- l

local GROUP_FIELD_PREFIX = 'g:'

-- The field names of participants and the indexes as text, both by index. Each is made when it is first
-- needed.
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

-- The part of a participant's JSON that never changes: the end of the object. control: the JSON of its own
-- control, or null.
local function participant_fixed_json(id, index, group_id, control)
  return '"participant_id":"' .. id .. '","group_id":' .. (group_id and '"' .. group_id .. '"' or 'null')
    .. ',"participant_index":' .. index_text(index) .. ',"time_control":' .. control .. '}'
end

-- The same of a group.
local function group_fixed_json(id, control)
  return '"group_id":"' .. id .. '","time_control":' .. control .. '}'
end

local function participant_id(participant)
  return participant.fixed_json:sub(ID_FIRST, ID_LAST)
end

local function participant_index(participant)
  return tonumber(participant.field:sub(2))
end

-- The id of a participant's group, nil for none.
local function group_id(participant)
  local json = participant.fixed_json
  if json:byte(GROUP_QUOTE) == QUOTE then
    return json:sub(GROUP_ID_FIRST, GROUP_ID_LAST)
  end
end

-- The id of the group that this record belongs to.
local function id_of_group(group)
  return group.field:sub(#GROUP_FIELD_PREFIX + 1)
end

-- Whether a fixed JSON names a control of its own.
local function has_own_control(fixed_json)
  return fixed_json:byte(LAST_OF_CONTROL) ~= LAST_OF_NULL
end

-- Whether records of this kind own a clock in the session's mode.
local function owns_clock(s, kind)
  local owned_by = s.mode.owner
  return kind == PARTICIPANT_KIND and owned_by == 'participant' or kind == GROUP_KIND and owned_by == 'group'
    or kind == CLOCK_KIND
end

-- Decodes the text of a record. fields: the whole hash where the caller has read it; else the control of the
-- record is read when it has one of its own.
local function decode(s, field, text, fixed_json, fields)
  local bank, used, cycles, expired, clock = text:match(RECORD)
  local kind = field:byte()
  local record = {
    field = field, kind = kind, owns = owns_clock(s, kind), bank = bank + 0, bank_text = bank,
    used = used, cycles = cycles, expired = expired == '1', clock = clock, fixed_json = fixed_json,
  }
  if record.owns then
    local control = s.rules.control
    if s.rules.lag or (fixed_json and has_own_control(fixed_json)) then
      local name = 'c:' .. field
      control = fields and fields[name] or not fields and redis.call('HGET', s.key, name) or control
    end
    control = controls.decode(control)
    record.control = control
    if control.view_names then
      controls.decode_counters(record)
      if control.gain > 0 then
        rules_lag.set_grace(record)
      end
    end
  end
  return record
end

-- The record of a new participant or group, as decode would make it, without its clock. It has room for all
-- members: a table that grows costs more than everything else here.
local function fresh(field, owns)
  return {
    field = field, kind = field:byte(), owns = owns, bank = 0, bank_text = '0', used = '0', cycles = '0',
    expired = false, clock = '', fixed_json = '', control = nil, stage = nil, moves_left = nil,
  }
end

-- The record in a field, which is read once in a call; nil when the hash has no such field.
local function load(s, field)
  local loaded = s[field]
  if loaded then
    return loaded
  end
  local texts = redis.call('HMGET', s.key, field, field .. ':shown')
  if texts[1] then
    loaded = decode(s, field, texts[1], texts[2])
    s[field] = loaded
  end
  return loaded
end

-- Two records with one read of the hash.
local function load_pair(s, one, other)
  if one == other or s[one] or s[other] then
    return load(s, one), load(s, other)
  end
  local texts = redis.call('HMGET', s.key, one, one .. ':shown', other, other .. ':shown')
  local first, second = decode(s, one, texts[1], texts[2]), decode(s, other, texts[3], texts[4])
  s[one], s[other] = first, second
  return first, second
end

-- Marks a record: the event shows it; with `dirty` it is also written. Touched records form a list, from
-- s.first_touched on by next_touched.
local function touch(s, record, dirty)
  if not record.touched then
    record.touched = true
    if s.first_touched then
      s.last_touched.next_touched = record
    else
      s.first_touched = record
    end
    s.last_touched = record
  end
  if dirty then
    record.dirty = true
  end
end

-- Turns the numbers of a changed record into text. The event and the hash both use that text.
local function format_numbers(record)
  record.bank_text, record.used, record.cycles =
    ('%d'):format(record.bank), ('%d'):format(record.used), ('%d'):format(record.cycles)
  local control = record.control
  if control and control.view_names then
    record.clock = controls.view(record)
  end
end

-- The text of a new record with `bank` ms. clock: the JSON of its `clock`, '' for none.
local function encode_new(bank, clock)
  return ('[%d,0,0,0%s]'):format(bank, clock ~= '' and ',' .. clock or '')
end

-- Whether the record in this text has expired.
local function is_expired(text)
  local _, _, _, expired = text:match(RECORD)
  return expired == '1'
end

-- The text of a record, as it is stored; format_numbers has to be called before.
local function encode(record)
  return '[' .. record.bank_text .. ',' .. record.used .. ',' .. record.cycles
    .. (record.expired and ',1' or ',0')
    .. (record.clock ~= '' and ',' .. record.clock .. ']' or ']')
end

-- Hides a record from the event when it is as it was `before`, as text. record: nil for none.
local function hide_unchanged(record, before)
  if record then
    format_numbers(record)
    record.hidden = encode(record) == before
  end
end

return {
  RECORD = RECORD,
  PARTICIPANT_IDS = PARTICIPANT_IDS,
  PARTICIPANT_KIND = PARTICIPANT_KIND,
  GROUP_KIND = GROUP_KIND,
  index_text = index_text,
  participant_field = participant_field,
  participant_fixed_json = participant_fixed_json,
  group_fixed_json = group_fixed_json,
  participant_id = participant_id,
  participant_index = participant_index,
  group_id = group_id,
  id_of_group = id_of_group,
  has_own_control = has_own_control,
  is_expired = is_expired,
  decode = decode,
  fresh = fresh,
  load = load,
  load_pair = load_pair,
  touch = touch,
  format_numbers = format_numbers,
  encode = encode,
  hide_unchanged = hide_unchanged,
  encode_new = encode_new,
}
