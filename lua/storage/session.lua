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

local DAY_MS = 86400000
local CYCLE = '^(%-?%d+) (%d+) (%d+) (%d+) (%d+) (%d+)(.*)$'
local RULES = '^(%S+) (%d+) (%S+) (%d) (%d+) (%S+) (.*)$'
local ACTIONS = { end_session = true, skip_cycle = true, auto_action = true, notify = true }

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

local function rules_text(mode_name, ttl, action, compensated, cycle_ms, warnings, control)
  return ('%s %d %s %d %d %s %s'):format(mode_name, ttl, action, compensated and 1 or 0, cycle_ms, warnings, control)
end

-- Gives the session's own clock another control.
local function set_session_control(s, own_clock, control)
  own_clock.control = controls.read(control)
  local rules = s.rules
  set(s, 'rules', rules_text(rules.mode_name, rules.ttl, rules.action, rules.lag, rules.cycle_ms, rules.warnings, control))
end

-- Writes the session with its changed records, whose numbers are written down. version, now and alarm are text; used and count are, too.
local function save(s, version, now, alarm)
  local key = s.key
  local cycle = storage_record.index_text(s.active) .. ' ' .. (s.since == s.now and now or ('%d'):format(s.since)) .. ' ' .. alarm .. ' ' .. s.used .. ' ' .. s.count .. ' '
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
      fields[size + 1], fields[size + 2] = changed.field, storage_record.encode(changed)
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

-- The epoch of a session that is made at `now`: a time, and never one that the id had before.
local function new_epoch(now, before)
  before = tonumber(before)
  if before and before >= now then
    return string.format('%d', before + 1)
  end
  return string.format('%d', now)
end

local CHUNK = 500

-- All fields of the hash as name -> value.
local function all_fields(key)
  local flat = redis.call('HGETALL', key)
  local fields = {}
  for i = 1, #flat, 2 do
    fields[flat[i]] = flat[i + 1]
  end
  return fields
end

-- Writes the fields of a session that is not there yet. list: name, value, ...
local function write_fields(key, list)
  for from = 1, #list, CHUNK do
    redis.call('HSET', key, unpack(list, from, math.min(from + CHUNK - 1, #list)))
  end
end

return {
  SCHEMA = SCHEMA,
  CYCLE = CYCLE,
  RULES = RULES,
  ACTIONS = ACTIONS,
  load = load,
  set = set,
  remove = remove,
  set_status = set_status,
  set_rotation = set_rotation,
  rules_text = rules_text,
  set_session_control = set_session_control,
  save = save,
  prolong = prolong,
  new_epoch = new_epoch,
  all_fields = all_fields,
  write_fields = write_fields,
}
