-- The session's hash: what its fields hold, how they are read and how they are written. Nothing else reads or writes session keys.
--
-- Fields of `sk:{tt}:<id>`
--   status version epoch    as in the state
--   cycle                   `active since alarm used count changed`: index of the active participant (-1: none); start of the cycle in server ms with
--                           pauses left out, while paused the ms that it has run; next alarm in server ms (0: none); ms used by all cycles that
--                           ended, and their number; time of the last change in server ms. After it, only where it applies:
--                           ` /offset standing spent`, in a cycle whose clock ran out under `notify`: running time at which the clock got time again,
--                           1 while it stands at its end, and what was charged until then (0 where nobody asks: only sand is handed on);
--                           ` !trailing from sent`, with warnings: how many warnings are the newest events, the time left (ms) below which
--                           thresholds count in this cycle (-1: none), and for each threshold 1 when it was sent; ` =left`, in `global` with a total
--                           and a time per cycle: what was left of the total (ms) at the start of the cycle. The alarm of a paused session is
--                           when it resumes by itself
--   rules                   `mode ttl_ms action lag cycle_ms warnings control`: what transitions need of the config; lag is 1 with lag compensation
--   rotation                one character for each index from 0: `1` has a turn, `x` is out, `.` has none of its own (in per_group a group's turn
--                           stands at the lowest index of its members), `_` nobody
--   p<index> g:<group id>   a participant, a group: JSON [bank, used, cycles, expired, clock]; the bank is 0 for who owns no clock; clock is an object
--                           with what its control keeps, and left out where that is nothing
--   clock                   the session's or the cycle's clock, in the same form
--   p<index>:shown g:<group id>:shown   what never changes of it, as the JSON of the state
--   i:<participant id>      the participant's index
--   c:<field>               the control of an owner that has one of its own
--   m:<group id>            the indexes of a group's members in order, `,0,3,`
--   l:<group id>            the index of the member who was last active, in per_group
--   groups                  the ids of the groups, in order, with commas between
--   shown                   the part of the state that never changes, as JSON
--   action                  `action_on_timeout` as JSON, as it came
--   total                   the session's total_time_ms where it has no clock of its own
--   max_pause               max_pause_ms, where there is one
--   created started completed recovered   server ms
--   expired_by              id of the participant whose clock ended the session
--   tenant                  whose session it is
--   requests                the newest 16 requests: their number in two digits, then each as `id function version` on a line
-- One field for each owner of a clock, so that a switch touches two of them however many there are.

-- The shape of the hash and of the state; a session of another one cannot be restored.
local SCHEMA = 1
local MOST_REQUESTS = 16
local NO_REQUESTS = '00\n'
local DAY_MS = 86400000

local CYCLE = '^(%-?%d+) (%d+) (%d+) (%d+) (%d+) (%d+)(.*)$'
local RULES = '^(%S+) (%d+) (%S+) (%d) (%d+) (%S+) (.*)$'
local RECORD = '^%[(%-?%d+),(%d+),(%d+),(%d),?(.*)%]$'

-- A number, or a decimal text, as the decimal integer that it is. (Concatenating a number costs three times as much. As a method of the
-- text, because a look-up of a global is dear inside a function library.)
local function integer(number)
  return ('%d'):format(number)
end

-- The fields of participants by their indexes, and the indexes as text, made as they are needed.
local fields_by_index, texts_by_index = {}, {}

local function index_text(index)
  local text = texts_by_index[index]
  if not text then
    text = integer(index)
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

-- KEYS have to be the first `expected` of the session's four: one id, in its own partition. Returns the list of problems, nil for none.
local function key_problems(keys, expected)
  if #keys ~= expected then
    return { { 'KEYS', 'must be ' .. expected .. ', not ' .. #keys } }
  end
  local partition, id = keys[1]:match('^sk:{(..)}:(.*)$')
  if not id or text_formats.uuid(id) ~= id or id:sub(-2) ~= partition then
    return { { 'KEYS.0', 'must be sk:{tt}:<id>, a UUID in lower case with its last two digits as tt' } }
  end
  local names = { keys[1], keys[1] .. ':log', 'sk:{' .. partition .. '}:alarms', 'sk:{' .. partition .. '}:outbox' }
  local problems
  for i = 2, expected do
    if keys[i] ~= names[i] then
      problems = problems or {}
      problems[#problems + 1] = { 'KEYS.' .. (i - 1), 'must be ' .. names[i] }
    end
  end
  return problems
end

-- Whether the other three keys belong to the first. Enough for a session that exists: its own key was checked when it was created.
local function keys_match(keys)
  if #keys ~= 4 then
    return false
  end
  local key = keys[1]
  local prefix = key:sub(1, 8)
  return keys[2] == key .. ':log' and keys[3] == prefix .. 'alarms' and keys[4] == prefix .. 'outbox'
end

-- Rules that were read lately, by their text. It only saves the same reading again, so it does no harm that it is not replicated.
local MOST_KNOWN = 256
local known_rules, known_count = {}, 0

-- The rules of a session from their text. Shared: not to be changed.
local function read_rules(text)
  local rules = known_rules[text]
  if rules then
    return rules
  end
  local mode_name, ttl, action, compensated, cycle_ms, warnings, control = text:match(RULES)
  rules = {
    mode_name = mode_name, mode = modes.named(mode_name, cycle_ms), ttl = tonumber(ttl), action = action, lag = compensated == '1',
    cycle_ms = tonumber(cycle_ms), warnings = warnings, control = control,
  }
  if known_count >= MOST_KNOWN then
    known_rules, known_count = {}, 0
  end
  known_rules[text], known_count = rules, known_count + 1
  return rules
end

-- The session at keys[1], or nil where there is none. Time is the server's, but never before the session's last change.
-- A field in a table costs about as much as reading one from the hash, and a further table several of them. So what is rare is left out (standing, and
-- warned with what belongs to it), records that were read lie in the session itself under their fields, and those that are touched in a list that
-- begins at first_touched and goes on by their next_touched.
-- Numbers that are only added to or shown (used, count) stay the text that they were read as.
local function load(keys)
  local key = keys[1]
  local fields = redis.call('HMGET', key, 'status', 'version', 'epoch', 'cycle', 'rules', 'rotation')
  local status = fields[1]
  if not fields[6] then -- nothing, a tombstone, or a hash that is no session
    return nil
  end
  local active, since, alarm, used, count, changed, more = fields[4]:match(CYCLE)
  local rules = read_rules(fields[5])
  local now = storage_time.now()
  changed = changed + 0
  if now < changed then
    now = changed
  end
  local s = {
    key = key, keys = keys, now = now, status = status, version = fields[2] + 0, epoch = fields[3], active = active + 0, since = since + 0,
    alarm = alarm + 0, used = used, count = count, rules = rules, mode = rules.mode, rotation = fields[6], offset = 0,
  }
  if status == 'paused' and s.alarm > 0 then
    s.resumes = s.alarm
  end
  if more ~= '' then
    local offset, standing, spent = more:match('/(%d+) (%d) (%d+)')
    if offset then
      s.offset, s.standing, s.spent = offset + 0, standing == '1', spent + 0
    end
    local left = more:match('=(%d+)')
    if left then
      s.total_left = left + 0
    end
    local trailing, from, sent = more:match('!(%d+) (%-?%d+) (%d+)')
    if trailing then
      s.warned, s.trailing, s.warn_from, s.warn_sent = true, trailing + 0, from + 0, sent
    end
  end
  return s
end

local function id_of(s)
  return s.key:sub(9)
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

-- Puts what is shown of a record, whose numbers are written down, behind the first `n` pieces of a text; returns how many pieces there are then.
-- left: ms as text (nil: a clock without end). In pieces, because Lua keeps every text that it makes once: each long one is looked for among all
-- there are, and those of one session differ in so few places that they are hard to tell apart.
local function show(pieces, n, owner, left, active)
  if owner.owns then
    pieces[n + 1], pieces[n + 2], pieces[n + 3], pieces[n + 4] = '{"total_time_ms":', left and owner.bank_text or 'null', ',"time_used_ms":', owner.used
    pieces[n + 5], pieces[n + 6], pieces[n + 7], pieces[n + 8] = ',"time_remaining_ms":', left or 'null', ',"cycle_count":', owner.cycles
    pieces[n + 9] = active and ',"is_active":true' or ',"is_active":false'
    pieces[n + 10] = owner.expired and ',"has_expired":true,"clock":' or ',"has_expired":false,"clock":'
    pieces[n + 11], pieces[n + 12], pieces[n + 13] = owner.clock ~= '' and owner.clock or '{}', ',', owner.shown
    return n + 13
  end
  pieces[n + 1], pieces[n + 2], pieces[n + 3] = '{"total_time_ms":null,"time_used_ms":', owner.used, ',"time_remaining_ms":null,"cycle_count":'
  pieces[n + 4], pieces[n + 5] = owner.cycles, active and ',"is_active":true' or ',"is_active":false'
  pieces[n + 6], pieces[n + 7] = ',"has_expired":false,"clock":null,', owner.shown
  return n + 7
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

-- The record of the participant with this id, or nil.
local function participant(s, id)
  local index = redis.call('HGET', s.key, 'i:' .. id)
  return index and record(s, 'p' .. index) or nil
end

local function group(s, id)
  return record(s, 'g:' .. id)
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

-- A field to be written with the change, beside those that every change writes.
local function set(s, field, value)
  local sets = s.sets
  if not sets then
    sets = {}
    s.sets = sets
  end
  sets[#sets + 1] = field
  sets[#sets + 1] = value
end

local function remove(s, field)
  s.removed = s.removed or {}
  s.removed[#s.removed + 1] = field
end

-- Another status; written with the change.
local function set_status(s, status)
  s.status = status
  set(s, 'status', status)
end

local function set_rotation(s, rotation_text)
  s.rotation = rotation_text
  s.rotation_changed = true
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
  set(s, 'm:' .. id, text)
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
  set(s, 'l:' .. id, integer(index))
end

local function rules_text(mode_name, ttl, action, compensated, cycle_ms, warnings, control)
  return ('%s %d %s %d %d %s %s'):format(mode_name, ttl, action, compensated and 1 or 0, cycle_ms, warnings, control)
end

-- Gives the session's own clock another control.
local function set_session_control(s, own_clock, control)
  own_clock.control = controls.read(control)
  local rules = s.rules
  set(s, 'rules', rules_text(rules.mode_name, rules.ttl, rules.action, rules.lag, rules.cycle_ms, rules.warnings, control))
end

-- An owner of a clock as it begins: bank (ms) and what the control of this text keeps, lag compensation included where `compensated`. Returns the
-- owner, and the text that has to be kept for it beside the session's, nil for none. own: the control's text where it is the owner's own.
local function new_owner(own, default, compensated, bank)
  if compensated then
    own = rules_lag.with_gain(own or default, bank)
  end
  local owner = {}
  controls.begin(owner, own or default, bank)
  if owner.control.gain > 0 then
    rules_lag.begin(owner)
  end
  return owner, own
end

-- A new participant's record, bound to its id. bank: nil for one without a clock; control: its own, as text, or nil.
local function add_participant(s, index, id, bank, control, shown)
  local field = participant_field(index)
  local added = { bank = 0 }
  if bank then
    local kept
    added, kept = new_owner(control, s.rules.control, s.rules.lag, bank)
    if kept then
      set(s, 'c:' .. field, kept)
    end
  end
  added.field, added.owns, added.used, added.cycles, added.expired, added.clock, added.shown = field, bank ~= nil, 0, 0, false, '', shown
  s[field] = added
  set(s, field .. ':shown', shown)
  set(s, 'i:' .. id, integer(index))
  touch(s, added, true)
  return added
end

local function remove_participant(s, gone)
  remove(s, gone.field)
  remove(s, gone.field .. ':shown')
  remove(s, 'i:' .. participant_id(gone))
  remove(s, 'c:' .. gone.field)
  s[gone.field] = nil
  gone.gone, gone.dirty = true, false
end

-- Writes the session with its changed records, whose numbers are written down. version, now and alarm are text; used and count are, too.
local function save(s, version, now, alarm)
  local key = s.key
  local cycle = index_text(s.active) .. ' ' .. (s.since == s.now and now or ('%d'):format(s.since)) .. ' ' .. alarm .. ' ' .. s.used .. ' ' .. s.count .. ' '
    .. now
  if s.offset > 0 or s.standing then
    cycle = cycle .. (' /%d %d %d'):format(s.offset, s.standing and 1 or 0, s.spent or 0)
  end
  if s.warned then
    cycle = cycle .. (' !%d %d %s'):format(s.trailing, s.warn_from, s.warn_sent)
  end
  if s.total_left then
    cycle = cycle .. (' =%d'):format(s.total_left)
  end
  local fields = { 'HSET', key, 'version', version, 'cycle', cycle }
  local size = 6
  local changed = s.first_touched
  while changed do
    if changed.dirty then
      fields[size + 1], fields[size + 2] = changed.field, encode(changed)
      size = size + 2
    end
    changed = changed.next_touched
  end
  if s.rotation_changed then
    fields[size + 1], fields[size + 2] = 'rotation', s.rotation
    size = size + 2
  end
  if s.sets then
    for i = 1, #s.sets do
      fields[size + i] = s.sets[i]
    end
  end
  redis.call(unpack(fields))
  if s.removed then
    redis.call('HDEL', key, unpack(s.removed))
  end
end

-- Gives the session and its log their lifetime: the session's TTL past the end of a finished one or past the deadline of a running one
-- (server ms), and a day or more while nothing runs down.
local function prolong(s, deadline)
  local life = s.rules.ttl
  local status = s.status
  if deadline then
    if deadline > s.now then
      life = life + deadline - s.now
    end
  elseif status == 'running' or status == 'paused' or status == 'pending' then
    if s.alarm > s.now then -- when a pause ends
      life = life + s.alarm - s.now
    end
    life = life < DAY_MS and DAY_MS or life
  end
  local call = redis.call
  call('PEXPIRE', s.key, life)
  call('PEXPIRE', s.keys[2], life)
end

-- The change that a request made before: its version, and whether by the same function; nil for a new request.
local function find_request(s, request, name)
  local requests = redis.call('HGET', s.key, 'requests') or NO_REQUESTS
  s.requests = requests
  local _, stop = requests:find('\n' .. request .. ' ', 1, true)
  if not stop then
    return nil
  end
  local made_by, version = requests:match('^(%S+) (%d+)\n', stop + 1)
  return tonumber(version), made_by == name
end

-- Remembers a request with the version that it made, and forgets the oldest beyond the newest 16.
local function remember_request(s, request, name, version)
  local requests = s.requests or NO_REQUESTS
  local line = request .. ' ' .. name .. ' ' .. version .. '\n'
  local count = requests:sub(1, 2) + 1
  if count > MOST_REQUESTS then
    requests = requests:sub(1, 2) .. requests:sub((requests:find('\n', 4, true))) .. line
  else
    requests = ('%02d'):format(count) .. requests:sub(3) .. line
  end
  set(s, 'requests', requests)
end

return {
  SCHEMA = SCHEMA, MOST_REQUESTS = MOST_REQUESTS, CYCLE = CYCLE, RULES = RULES, RECORD = RECORD,
  integer = integer, key_problems = key_problems, keys_match = keys_match, load = load, id_of = id_of, adopt = adopt, record = record, pair = pair,
  show = show, participant_shown = participant_shown, group_shown = group_shown, participant_id = participant_id,
  group_id = group_id, participant_index = participant_index, participant = participant, group = group, touch = touch, set = set,
  write_down = write_down, participant_field = participant_field, set_session_control = set_session_control,
  set_status = set_status, set_rotation = set_rotation, members = members, set_members = set_members,
  last_active = last_active, set_last_active = set_last_active, rules_text = rules_text, new_owner = new_owner, add_participant = add_participant,
  remove_participant = remove_participant, save = save, prolong = prolong, find_request = find_request, remember_request = remember_request,
}
