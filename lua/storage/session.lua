-- The hash of a session, `sk:{tt}:<id>`: what its fields hold, how they are read and how they are written.
-- Only the modules in this folder read or write it.
--
-- Of a participant in field p0, of a group g:<group id>:
--
--   field         example                what it holds
--   status        running                as in the state
--   version       46                     as in the state
--   epoch         1795306409736          as in the state
--   cycle         1 1795306409736 1795306589736 4200 12 1795306409736
--                                        see below
--   rules         per_participant 3600000 end_session 0 0 30000,10000 fischer 2000 0
--                                        what transitions need of the config: mode, TTL in ms, action,
--                                        1 with lag compensation, time per cycle in ms (0: none),
--                                        warnings in ms (-: none),
--                                        the control of owners who have none of their own
--   rotation      11x_1                  a character for each index from 0: `1` has a turn, `x` is out, `_`
--                                        there is no participant, `.` has no turn of its own (in per_group
--                                        the turn of a group is kept at the lowest index of its members)
--   p0 g:<id>     [180000,4200,3,0]      a record: see record.lua
--   clock         [60000,0,0,0]          the record of the clock that the session or the cycle owns
--   p0:shown      "participant_id":"…","group_id":null,"participant_index":0,"time_control":null}
--   g:<id>:shown  "group_id":"…","time_control":null}
--                                        the part of its JSON that never changes
--   c:p0          fischer 5000 0         the control of an owner that has one of its own
--   i:<pid>       0                      a participant's index, by its id
--   m:<id>        ,0,3,                  the indexes of a group's members in order
--   l:<id>        3                      the index of the member who was last active, in per_group
--   groups        <id>,<id>              the ids of the groups in order
--   shown         "sync_mode":"global",… the part of the state that never changes
--   action        {"type":"notify"}      `action_on_timeout` as it came
--   total         360000                 total_time_ms, where the session has no clock of its own
--   max_pause     60000                  max_pause_ms, where there is one
--   created started completed recovered
--                 1795306409736          server time in ms
--   expired_by    <pid>                  the participant whose clock ended the session
--   tenant        club                   whose session it is
--   requests      02\nr1 sk_start 2\nr2 sk_switch 3\n
--                                        how many, then the newest 16 as `request function version` lines
--
-- There is a field for each owner of a clock, so that a switch touches two of them however many there are.
--
-- `cycle` is `active since alarm used count changed`, and after it, only where they apply, the three parts
-- below:
--
--   active        index of the active participant; -1 for none
--   since         when the cycle began, in server ms with pauses left out; while paused, the ms it has run
--   alarm         the next alarm in server ms, 0 for none; of a paused session the moment at which it resumes
--   used count    ms used by all cycles that ended, and their number
--   changed       when the session last changed, in server ms
--   /offset flagged spent          in a cycle whose clock ran out under `notify`, as ` /4000 1 4000`: the
--                                  running time at which the clock got time again, 1 while it stays at its
--                                  end, and what was charged until then (only the hourglass needs that; 0 for
--                                  others)
--   !warnings_since from sent      with warnings, as ` !1 28000 10`: how many events since the last other one
--                                  are warnings, the time left in ms below which thresholds count in this
--                                  cycle (-1: none), and for each threshold 1 when it was sent
--   =left                          in `global` with a total and a time per cycle, as ` =54000`: what was left
--                                  of the total in ms at the start of the cycle

-- The shape of the hash and of the state. A session of another shape cannot be restored.
local SCHEMA = 1

local DAY_MS = 86400000
local TOMBSTONE_MS = 86400000
local CYCLE = '^(%-?%d+) (%d+) (%d+) (%d+) (%d+) (%d+)(.*)$'
local RULES = '^(%S+) (%d+) (%S+) (%d) (%d+) (%S+) (.*)$'
local ACTIONS = { end_session = true, skip_cycle = true, auto_action = true, notify = true }
local FIELDS_A_CALL = 500 -- names and values that one HSET writes at most: unpack has a limit

-- Rules that were decoded lately, by their text. The list only saves work, so it is no harm that replicas
-- lack it.
local MOST_KNOWN_RULES = 256
local known_rules, known_count = {}, 0

-- The rules of a session from their text. They are shared and must not be changed.
local function decode_rules(text)
  local rules = known_rules[text]
  if rules then
    return rules
  end
  local mode_name, ttl, action, compensated, cycle_ms, warnings, control = text:match(RULES)
  rules = {
    mode_name = mode_name, mode = modes.named(mode_name, cycle_ms), ttl = tonumber(ttl), action = action,
    lag = compensated == '1', cycle_ms = tonumber(cycle_ms), warnings = warnings, control = control,
  }
  if known_count >= MOST_KNOWN_RULES then
    known_rules, known_count = {}, 0
  end
  known_rules[text], known_count = rules, known_count + 1
  return rules
end

local function encode_rules(mode_name, ttl, action, compensated, cycle_ms, warnings, control)
  return ('%s %d %s %d %d %s %s'):format(
    mode_name, ttl, action, compensated and 1 or 0, cycle_ms, warnings, control)
end

-- The session at keys[1], or nil where there is none. `now` is the server's time, but never before the
-- session's last change.
--
-- Setting a field in a table costs about as much as reading one from the hash, and a further table costs
-- several times that. So what is rare is absent (flagged; warned with what belongs to it), records are fields
-- of the session itself, and `used` and `count` stay the text that they were read as until they are changed.
local function load(keys)
  local key = keys[1]
  local fields = redis.call('HMGET', key, 'status', 'version', 'epoch', 'cycle', 'rules', 'rotation')
  local status = fields[1]
  if not fields[6] then -- nothing, a tombstone, or a hash that is no session
    return nil
  end
  local active, since, alarm, used, count, changed, more = fields[4]:match(CYCLE)
  local rules = decode_rules(fields[5])
  local now = storage_time.now()
  changed = changed + 0
  if now < changed then
    now = changed
  end
  local s = {
    key = key, keys = keys, now = now, status = status, version = fields[2] + 0, epoch = fields[3],
    active = active + 0, since = since + 0, alarm = alarm + 0, used = used, count = count,
    rules = rules, mode = rules.mode, rotation = fields[6], offset = 0,
  }
  if status == 'paused' and s.alarm > 0 then
    s.resumes = s.alarm
  end
  if more ~= '' then
    local offset, flagged, spent = more:match('/(%d+) (%d) (%d+)')
    if offset then
      s.offset, s.flagged, s.spent = offset + 0, flagged == '1', spent + 0
    end
    local left = more:match('=(%d+)')
    if left then
      s.total_left = left + 0
    end
    local warnings_since, from, sent = more:match('!(%d+) (%-?%d+) (%d+)')
    if warnings_since then
      s.warned, s.warnings_since, s.warn_from, s.warn_sent = true, warnings_since + 0, from + 0, sent
    end
  end
  return s
end

local function exists(key)
  return redis.call('EXISTS', key) == 1
end

-- A field that few transitions need; false where it is absent.
local function field(s, name)
  return redis.call('HGET', s.key, name)
end

-- All fields of the hash as name -> value.
local function all_fields(key)
  local flat = redis.call('HGETALL', key)
  local fields = {}
  for i = 1, #flat, 2 do
    fields[flat[i]] = flat[i + 1]
  end
  return fields
end

-- Status and epoch of what is at a key: a session, a tombstone (status `deleted`), or nothing (false, false).
local function previous(key)
  local fields = redis.call('HMGET', key, 'status', 'epoch')
  return fields[1], fields[2]
end

-- The epoch of a session that is made at `now`: a time, and never one that this id had before.
local function new_epoch(now, before)
  before = tonumber(before)
  if before and before >= now then
    return string.format('%d', before + 1)
  end
  return string.format('%d', now)
end

-- Writes a session that is not there yet, and begins its log. list: name, value, name, value, ...
local function write_new(keys, list)
  redis.call('UNLINK', keys[2])
  for from = 1, #list, FIELDS_A_CALL do
    redis.call('HSET', keys[1], unpack(list, from, math.min(from + FIELDS_A_CALL - 1, #list)))
  end
end

-- Takes a session back whose first change could not be written.
local function discard(key)
  redis.call('UNLINK', key)
end

-- Deletes the session and its log, and leaves its tombstone, which keeps version (text) and epoch.
local function replace_by_tombstone(s, version)
  local key = s.key
  redis.call('UNLINK', key, s.keys[2])
  redis.call('HSET', key, 'status', 'deleted', 'version', version, 'epoch', s.epoch)
  redis.call('PEXPIRE', key, TOMBSTONE_MS)
end

-- Has a field written with the change, besides those that every change writes.
local function set(s, name, value)
  local sets = s.sets
  if not sets then
    sets = {}
    s.sets = sets
  end
  sets[#sets + 1] = name
  sets[#sets + 1] = value
end

-- Has a field removed with the change.
local function remove(s, name)
  s.removed = s.removed or {}
  s.removed[#s.removed + 1] = name
end

local function set_status(s, status)
  s.status = status
  set(s, 'status', status)
end

local function set_rotation(s, rotation)
  s.rotation = rotation
  s.rotation_changed = true
end

-- Gives the session's own clock another control.
local function set_session_control(s, own_clock, control)
  own_clock.control = controls.decode(control)
  local rules = s.rules
  set(s, 'rules', encode_rules(
    rules.mode_name, rules.ttl, rules.action, rules.lag, rules.cycle_ms, rules.warnings, control))
end

-- Writes the session and its changed records, whose numbers are text by now. version, now and alarm are text,
-- and so are s.used and s.count.
local function save(s, version, now, alarm)
  local key = s.key
  local since = s.since == s.now and now or ('%d'):format(s.since)
  local cycle = storage_record.index_text(s.active) .. ' ' .. since .. ' ' .. alarm .. ' ' .. s.used .. ' '
    .. s.count .. ' ' .. now
  if s.offset > 0 or s.flagged then
    cycle = cycle .. (' /%d %d %d'):format(s.offset, s.flagged and 1 or 0, s.spent or 0)
  end
  if s.warned then
    cycle = cycle .. (' !%d %d %s'):format(s.warnings_since, s.warn_from, s.warn_sent)
  end
  if s.total_left then
    cycle = cycle .. (' =%d'):format(s.total_left)
  end
  local fields = { 'HSET', key, 'version', version, 'cycle', cycle }
  local size = 6
  local record = s.first_touched
  while record do
    if record.dirty then
      fields[size + 1], fields[size + 2] = record.field, storage_record.encode(record)
      size = size + 2
    end
    record = record.next_touched
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

-- Gives the session and its log their lifetime. A finished session lives its TTL, a running one its TTL past
-- the deadline (server ms). While nothing runs down it lives a day at least.
local function prolong(s, deadline)
  local life = s.rules.ttl
  local status = s.status
  if deadline then
    if deadline > s.now then
      life = life + deadline - s.now
    end
  elseif status == 'running' or status == 'paused' or status == 'pending' then
    if s.alarm > s.now then -- when the pause ends
      life = life + s.alarm - s.now
    end
    life = life < DAY_MS and DAY_MS or life
  end
  local call = redis.call
  call('PEXPIRE', s.key, life)
  call('PEXPIRE', s.keys[2], life)
end

return {
  SCHEMA = SCHEMA,
  CYCLE = CYCLE,
  RULES = RULES,
  ACTIONS = ACTIONS,
  encode_rules = encode_rules,
  load = load,
  exists = exists,
  field = field,
  all_fields = all_fields,
  previous = previous,
  new_epoch = new_epoch,
  write_new = write_new,
  discard = discard,
  replace_by_tombstone = replace_by_tombstone,
  set = set,
  remove = remove,
  set_status = set_status,
  set_rotation = set_rotation,
  set_session_control = set_session_control,
  save = save,
  prolong = prolong,
}
