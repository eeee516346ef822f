-- The hash of a session, `sk:{tt}:<id>`: its fields, and how they are read and written. Only the modules in
-- this folder call Redis for it.
--
-- The fields, with those of the participant with index 0 and of a group:
--
--   field         example                what it holds
--   status        running                as in the state
--   version       46                     as in the state
--   epoch         1795306409736          as in the state
--   server        5f1c…                  the run id of the server that wrote it last; absent when that is not
--                                        known
--   cycle         1 1795306409736 1795306589736 4200 12 1795306409736
--                                        see below
--   rules         per_participant 3600000 end_session 0 0 30000,10000 fischer 2000 0
--                                        what transitions need of the config: mode, TTL in ms, action,
--                                        1 with lag compensation (else 0), time per cycle in ms (0: none),
--                                        warnings in ms, the highest first, some perhaps below zero (-:
--                                        none), and the control of those owners that
--                                        have none of their own
--   rotation      11x_1                  a character for each index from 0: `1` has a turn, `x` is out, `_`
--                                        is an index without a participant, `.` is a member of a group in
--                                        per_group, whose turn is at the lowest index of the group
--   p0            [180000,4200,3,0]      the record of a participant: see record.lua
--   g:<id>        [180000,4200,3,0]      the record of a group
--   clock         [60000,0,0,0]          the record of the clock that the session or the cycle owns
--   p0:shown      "participant_id":"…","group_id":null,"participant_index":0,"time_control":null}
--                                        the part of the participant's JSON that never changes
--   g:<id>:shown  "group_id":"…","time_control":null}
--                                        the same of a group
--   c:p0          fischer 5000 0         the control of an owner that has one of its own; c:g:<id> of a group
--   i:<pid>       0                      the index of the participant with this id
--   m:<id>        ,0,3,                  the indexes of a group's members in order
--   l:<id>        3                      in per_group the index of the member that was active last, who may
--                                        have left
--   groups        <id>,<id>              the ids of the groups in order
--   shown         "sync_mode":"global",… the part of the state that never changes; and `metadata`, its last
--                                        member, which only sk_metadata changes
--   action        {"type":"notify"}      `action_on_timeout` as the config has it
--   schema        2                      absent in schema 1. In schema 2 `fixed` stands for `shown` and
--   fixed         sync_mode "global"…    `action`: see ../schemas.lua
--   total         360000                 total_time_ms, when the session has no clock of its own
--   max_pause     60000                  max_pause_ms; absent without one
--   bounds        "max_pauses":3,"max_total_pause_ms":null,"max_cycles":null
--                                        these members of the config; absent when it has none of them
--   stages        12                     how many stages all clocks have together; absent while each has as
--                                        many as the control in `rules`
--   created       1795306409736          server time in ms
--   started       1795306409736          server time in ms; absent while pending
--   completed     1795306409736          server time in ms; absent until the session is over
--   recovered     1795306409736          server time in ms; absent unless the session was restored
--   expired_by    <pid>                  the participant whose clock ended the session
--   bank          180000                 the bank in ms that most clocks began with; where the session or the
--                                        cycle owns the clock that of it, or of the total. Sessions that
--                                        libraries before 0.5.0 created do not have it
--   b:p0          60000                  that of an owner with another one; b:g:<id> of a group
--   first         <pid>                  the active participant of the config; absent for none
--   was           1                      only once the session is over: the index of the participant that was
--                                        active, or of the next one where it has left; -1 for none. Libraries
--                                        before 0.5.0 did not write it
--   named         46                     only in per_group: the version of the last switch with NEXT
--   tenant        club                   the tenant that owns the session; absent without one
--   requests      01\n0a4d…\1r1 sk_start 2\n
--                                        the newest requests, 16 at most: see requests.lua
--   limit         7400 1795306409736 0   the rate limit of sk_switch; limit:<pid> that of a participant: see
--                                        throttle.lua
--   moving        held m1 1795306414736 10.0.0.2:6379 11x_1
--                                        only of a session that moves to another server, or came from one:
--                                        see moving.lua
--
-- Each owner of a clock has a field of its own, so that a switch writes two of them however many there are.
--
-- `cycle` is `active since alarm used count changed`. After that come up to six optional parts. All of them
-- are absent in most sessions.
--
--   part          example         what it holds
--   active        1               the index of the active participant; -1 for none
--   since         1795306409736   server time in ms at which the cycle began, moved by the length of its
--                                 pauses; while paused, for how many ms the cycle has run
--   alarm         1795306589736   server time in ms of the next alarm, 0 for none; while paused, the moment
--                                 at which the pause ends by itself
--   used          4200            ms that all ended cycles used
--   count         12              the number of ended cycles
--   changed       1795306409736   server time in ms of the last change
--   /offset flagged spent
--                 /4000 1 4000    only when the clock ran out under `notify` in this cycle: the running time
--                                 in ms at which the clock got time again, 1 while it stays at its end, and
--                                 the ms charged until then (only the hourglass needs them; others have 0)
--   !warnings_since from sent
--                 !1 28000 10     only with `warnings_ms`: how many warnings came after the last other event,
--                                 the time left in ms below which thresholds count in this cycle, and a
--                                 digit for each threshold, 1 once its warning was sent. Where none counts
--                                 the time is -1, or the lowest threshold when that is less
--   =left         =54000          only in `global` with a total and a time per cycle: what was left of the
--                                 total in ms when the cycle began
--   @starts ends  @0 1795306589736
--                                 only while a start or an end is set: server times in ms, 0 for none
--   ^left ms began resumes
--                 ^2 60000 0 0    only with `max_pauses` or `max_total_pause_ms`, or in a pause that ends by
--                                 itself while a start or an end is set: the pauses that are left and the ms
--                                 that are left for them, -1 where that has no bound; the server time at
--                                 which the pause began that takes from these ms, 0 for none; and that at
--                                 which the pause ends by itself, 0 for none
--   #max_cycles   #40             only with `max_cycles`

local DAY_MS = bounds.DAY_MS
local TOMBSTONE_MS = 86400000
local CYCLE = '^(%-?%d+) (%d+) (%d+) (%d+) (%d+) (%d+)(.*)$'
local RULES = '^(%S+) (%d+) (%S+) (%d) (%d+) (%S+) (.*)$'
local ACTIONS = { end_session = true, skip_cycle = true, auto_action = true, notify = true }
local MOST_PER_HSET = 500 -- names and values together: unpack cannot return much more

-- Recently decoded rules by their text. The list only saves work; a replica begins with an empty one.
local MOST_KNOWN_RULES = 256
local known_rules, known_count = {}, 0

-- Decodes the rules of a session. Sessions with the same rules share the result: do not change it.
local function decode_rules(text)
  local rules = known_rules[text]
  if rules then
    return rules
  end
  local mode_name, ttl, action, compensated, cycle_ms, warnings, control = text:match(RULES)
  rules = {
    mode_name = mode_name, mode = modes.named(mode_name, cycle_ms), ttl = tonumber(ttl), action = action,
    lag = compensated == '1', cycle_ms = tonumber(cycle_ms), warnings = warnings, control = control,
    no_warning = math.min(-1, tonumber(warnings:match('%-?%d+$')) or -1),
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

-- The same rules with another TTL (ms).
local function with_ttl(text, ttl)
  return (text:gsub('^(%S+) %d+', '%1 ' .. ('%d'):format(ttl)))
end

-- The numbers of `cycle` that every session has, all of them numbers or decimal text.
local function encode_cycle(active, since, alarm, used, count, changed)
  return ('%d %d %d %d %d %d'):format(active, since, alarm, used, count, changed)
end

-- The last three optional parts of `cycle`, '' when the session has none of them.
local function encode_limits(s)
  local text = ''
  if s.starts_at or s.ends_at then
    text = (' @%d %d'):format(s.starts_at or 0, s.ends_at or 0)
  end
  local resumes = s.status == 'paused' and s.resumes or 0
  if s.pauses_left or s.pause_left or (text ~= '' and resumes > 0) then
    text = text .. (' ^%d %d %d %d'):format(
      s.pauses_left or -1, s.pause_left or -1, s.paused_at or 0, resumes)
  end
  return s.max_cycles and text .. (' #%d'):format(s.max_cycles) or text
end

-- Reads these parts from the end of `cycle`.
local function decode_limits(s, more)
  s.limited = true
  local starts, ends = more:match('@(%d+) (%d+)')
  if starts then
    s.starts_at = starts ~= '0' and starts + 0 or nil
    s.ends_at = ends ~= '0' and ends + 0 or nil
    local status = s.status
    if s.ends_at and s.ends_at <= s.now
      and not (status == 'running' or status == 'paused' or status == 'pending') then
      s.ends_at = nil -- it came after the session was over
    end
    if s.starts_at and s.starts_at <= s.now and status ~= 'pending' then
      s.starts_at = nil
    end
  end
  local pauses, ms, began, resumes = more:match('%^(%-?%d+) (%-?%d+) (%d+) (%d+)')
  if pauses then
    s.pauses_left = pauses ~= '-1' and pauses + 0 or nil
    s.pause_left = ms ~= '-1' and ms + 0 or nil
    s.paused_at = began ~= '0' and began + 0 or nil
  end
  if pauses or starts then -- else the alarm is the end of a pause
    s.resumes = resumes and resumes ~= '0' and resumes + 0 or nil
  end
  local most = more:match('#(%d+)')
  s.max_cycles = most and most + 0
end

-- The optional parts of `cycle` with the moments of a pause moved by so many ms.
local function with_pause_moved(more, by)
  return (more:gsub('(%^%-?%d+ %-?%d+) (%d+) (%d+)', function(left, began, resumes)
    local function moved(text)
      return text == '0' and text or text_formats.integer(math.max(1, text + by))
    end
    return left .. ' ' .. moved(began) .. ' ' .. moved(resumes)
  end))
end

-- The `cycle` of a new session. total: ms, nil unless the session has a total and a time per cycle; limits:
-- see encode_limits.
local function encode_new_cycle(active, now, warning_count, total, limits)
  return encode_cycle(active, 0, 0, 0, 0, now)
    .. (warning_count > 0 and ' !0 -1 ' .. ('0'):rep(warning_count) or '')
    .. (total and (' =%d'):format(total) or '')
    .. encode_limits(limits)
end

-- When the session with this `cycle` last changed: server time in ms as text.
local function changed_at(cycle)
  local _, _, _, _, _, changed = cycle:match(CYCLE)
  return changed
end

-- The schema in a field `schema`. That of a newer library is an error: nothing that this one wrote or said of
-- such a session would be right.
local function schema_of(text)
  local schema = tonumber(text)
  if not schema or schema > schemas.NEWEST then
    error(('the session is of schema %s, and library %s reads none newer than %d: load the library that '
      .. 'wrote it again'):format(text, VERSION, schemas.NEWEST), 0)
  end
  return schema
end

-- The session at keys[1], or nil when there is none. `now` is the server's time, but never before the last
-- change of the session. kept_rotation: the rotation of a session whose hash has none, because it moves.
--
-- To set a field in a Lua table costs about as much as to read one from the hash, and a new table costs
-- several times that. So fields that few sessions need are absent in the others (flagged; warned and its
-- companions), records are fields of the session itself, and `used` and `count` stay the text that the hash
-- holds until they change.
local function load(keys, kept_rotation)
  local key = keys[1]
  local fields = redis.call(
    'HMGET', key, 'status', 'version', 'epoch', 'cycle', 'rules', 'rotation', 'server', 'tenant', 'schema')
  local status, version, epoch, cycle, rules_text, rotation, server =
    fields[1], fields[2], fields[3], fields[4], fields[5], fields[6] or kept_rotation, fields[7]
  if not rotation then -- no key, a tombstone, a session that moves, or a hash that is no session
    return nil
  end
  local active, since, alarm, used, count, changed, more = cycle:match(CYCLE)
  local rules, schema = decode_rules(rules_text), fields[9] and schema_of(fields[9]) or schemas.OLDEST
  local now = storage_time.now()
  changed = changed + 0
  if now < changed then
    now = changed
  end
  local s = {
    key = key, keys = keys, now = now, status = status, version = version + 0, epoch = epoch,
    active = active + 0, since = since + 0, alarm = alarm + 0, used = used, count = count,
    rules = rules, mode = rules.mode, rotation = rotation, offset = 0, server = server, tenant = fields[8],
    schema = schema,
  }
  if status == 'paused' and s.alarm > 0 then
    s.resumes = s.alarm
  end
  if more ~= '' then
    local offset, flagged, spent = more:match('^ /(%d+) (%d) (%d+)')
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
    if more:find('[@^#]') then
      decode_limits(s, more)
    end
  end
  return s
end

-- Whether the session at a key runs here, is at this version and epoch (both text), and, when a tenant is
-- given, is this tenant's. It is cheaper than to load the session. Only a session that runs here has a
-- rotation.
local function is_at(key, version, epoch, tenant)
  local fields = redis.call('HMGET', key, 'version', 'epoch', 'tenant', 'rotation')
  return fields[1] == version and fields[2] == epoch and (not tenant or fields[3] == tenant)
    and fields[4] ~= false
end

-- Some fields of the session as name -> value. Absent ones are false.
local function some_fields(key, names)
  local values = redis.call('HMGET', key, unpack(names))
  local fields = {}
  for i = 1, #names do
    fields[names[i]] = values[i]
  end
  return fields
end

-- The same for a session of either schema, with the fields of schema 1.
local function some_fields_of(s, names)
  local read = names
  if s.schema ~= schemas.OLDEST then
    read = { 'fixed', unpack(names) }
  end
  local fields = some_fields(s.key, read)
  schemas.to_oldest(fields)
  return fields
end

local function exists(key)
  return redis.call('EXISTS', key) == 1
end

-- A field that few transitions need; false when it is absent.
local function field(s, name)
  return redis.call('HGET', s.key, name)
end

-- The part of the state that never changes, decoded. Absent members of it are cjson.null.
local function configured(s)
  return cjson.decode('{' .. some_fields_of(s, { 'shown' }).shown .. '}')
end

-- The members of the state that never change, but for `metadata`, the last of them: JSON without the braces.
local function shown_of(s)
  return some_fields_of(s, { 'shown' }).shown
end

-- `action_on_timeout` as the config has it (JSON).
local function action(s)
  return some_fields_of(s, { 'action' }).action
end

-- Removes `server` and `moving`, which are about the hash and not about the session, from its fields
-- (name -> value).
local function without_place(fields)
  if fields.moving then
    fields.rotation = fields.rotation or storage_moving.rotation_in(fields.moving)
    fields.moving = nil
  end
  fields.server = nil
  return fields
end

-- A list of name, value, name, value, ... as name -> value.
local function named(list)
  local fields = {}
  for i = 1, #list, 2 do
    fields[list[i]] = list[i + 1]
  end
  return fields
end

-- All fields of the session as name -> value, in schema 1.
local function all_fields(key)
  local fields = without_place(named(redis.call('HGETALL', key)))
  schemas.to_oldest(fields)
  return fields
end

-- Status, epoch and tenant of the session at a key, each false when it is absent. A tombstone has the status
-- `deleted`.
local function previous(key)
  local fields = redis.call('HMGET', key, 'status', 'epoch', 'tenant')
  return fields[1], fields[2], fields[3]
end

-- When the session at a key was created (ms); nil when there is none.
local function created(key)
  return tonumber(redis.call('HGET', key, 'created'))
end

-- The epoch of a session that is created or restored at `now`: this time, or the epoch that this id had
-- `before` + 1 when that is not earlier. So an id never has the same epoch twice.
local function new_epoch(now, before)
  before = tonumber(before)
  if before and before >= now then
    return string.format('%d', before + 1)
  end
  return string.format('%d', now)
end

-- Adds a field to those that `save` writes.
local function set(s, name, value)
  local sets = s.sets
  if not sets then
    sets = {}
    s.sets = sets
  end
  sets[#sets + 1] = name
  sets[#sets + 1] = value
end

-- Has the next change open a new epoch. Two servers whose clocks are behind have the same `now` here. When
-- the changes of the first one got lost, a part of the server's id (up to 4,095 ms) keeps their epochs apart.
local function begin_epoch(s)
  local server = storage_server.id()
  local own = server and tonumber(server:sub(1, 3), 16) or 0
  s.epoch = new_epoch(s.now + own, s.epoch)
  set(s, 'epoch', s.epoch)
end

-- Has the next change open a new epoch when another server wrote the last one. What that server wrote after
-- the newest change that is known here has versions that this one gives again, to other changes.
local function continue_on_this_server(s)
  local server = storage_server.id()
  if server and server ~= s.server then
    begin_epoch(s)
    set(s, 'server', server)
  end
end

-- Writes many fields. list: name, value, name, value, ... from position `from` on.
local function write(key, list, from)
  for start = from, #list, MOST_PER_HSET do
    redis.call('HSET', key, unpack(list, start, math.min(start + MOST_PER_HSET - 1, #list)))
  end
end

-- Writes a new session and removes an old log. list: name, value, name, value, ...
local function write_new(keys, list)
  local server = storage_server.id()
  if server then
    list[#list + 1] = 'server'
    list[#list + 1] = server
  end
  redis.call('UNLINK', keys[2])
  write(keys[1], list, 1)
end

-- Removes a new session again, because its first change could not be written.
local function discard(key)
  redis.call('UNLINK', key)
end

-- Deletes the session and its log. A tombstone with version (text), epoch and tenant stays for a day.
local function replace_by_tombstone(s, version)
  local key = s.key
  local tenant = field(s, 'tenant')
  redis.call('UNLINK', key, s.keys[2])
  redis.call('HSET', key, 'status', 'deleted', 'version', version, 'epoch', s.epoch)
  if tenant then
    redis.call('HSET', key, 'tenant', tenant)
  end
  redis.call('PEXPIRE', key, TOMBSTONE_MS)
end

-- Adds a field to those that `save` removes.
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

-- Changes the members that `shown_of` returns.
local function set_shown(s, shown)
  if s.schema == schemas.OLDEST then
    set(s, 'shown', shown)
  else
    set(s, 'fixed', schemas.fixed_of(shown, action(s)))
  end
  s.new_shown = shown
end

-- Has `save` write the session in another schema. While the server is full it stays in the one that it has,
-- because it may need more room in the other one. What does not depend on the number of participants is
-- converted, so a call costs the same however many there are.
local function convert(s, schema)
  if schema == s.schema or storage_server.is_full(s.now) then
    return
  end
  if schema == schemas.OLDEST then
    local shown, action_json = schemas.shown_of(field(s, 'fixed'))
    set(s, 'shown', s.new_shown or shown)
    set(s, 'action', action_json)
    remove(s, 'fixed')
    remove(s, 'schema')
  else
    local fields = some_fields(s.key, { 'shown', 'action' })
    local fixed = schemas.fixed_of(s.new_shown or fields.shown, fields.action)
    if not fixed then
      return
    end
    set(s, 'fixed', fixed)
    set(s, 'schema', text_formats.integer(schema))
    remove(s, 'shown')
    remove(s, 'action')
  end
  s.schema = schema
end

-- Writes the session and its changed records. version, now, alarm, s.used, s.count and the numbers of the
-- records have to be text already.
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
  if s.limited then
    cycle = cycle .. encode_limits(s)
  end
  -- With room for two records: to let the list grow costs more than to write them into it.
  local fields = { 'HSET', key, 'version', version, 'cycle', cycle, nil, nil, nil, nil }
  local record = s.first_touched
  while record do
    if record.dirty then
      fields[#fields + 1] = record.field
      fields[#fields + 1] = storage_record.encode(record)
    end
    record = record.next_touched
  end
  if s.rotation_changed then
    fields[#fields + 1] = 'rotation'
    fields[#fields + 1] = s.rotation
  end
  local sets, removed = s.sets, s.removed
  if sets then
    for i = 1, #sets do
      fields[#fields + 1] = sets[i]
    end
  end
  if #fields <= MOST_PER_HSET then
    redis.call(unpack(fields))
  else -- a reset of many participants
    write(key, fields, 3)
  end
  if removed then
    for from = 1, #removed, MOST_PER_HSET do
      redis.call('HDEL', key, unpack(removed, from, math.min(from + MOST_PER_HSET - 1, #removed)))
    end
  end
end

-- Writes the session in another schema, and nothing else. Returns whether it was written.
local function convert_alone(s, schema)
  convert(s, schema)
  if not s.sets then
    return false
  end
  redis.call('HSET', s.key, unpack(s.sets))
  redis.call('HDEL', s.key, unpack(s.removed))
  return true
end

-- Sets when the session and its log end. A finished session stays for its TTL, a running one for its TTL
-- after the time of its clock is up. A session that is not finished and has no deadline stays for a day at
-- least, and for its TTL after its alarm: the end of a pause, its start or its end. time_up: the server time
-- in ms at which the deadline and its grace are over; nil without a deadline.
local function prolong(s, time_up)
  local life = s.rules.ttl
  local status = s.status
  if time_up then
    if time_up > s.now then
      life = life + time_up - s.now
    end
  elseif status == 'running' or status == 'paused' or status == 'pending' then
    if s.alarm > s.now then
      life = life + s.alarm - s.now
    end
    life = life < DAY_MS and DAY_MS or life
  end
  local call = redis.call
  call('PEXPIRE', s.key, life)
  call('PEXPIRE', s.keys[2], life)
end

return {
  CYCLE = CYCLE,
  RULES = RULES,
  ACTIONS = ACTIONS,
  encode_rules = encode_rules,
  with_ttl = with_ttl,
  encode_cycle = encode_cycle,
  encode_new_cycle = encode_new_cycle,
  with_pause_moved = with_pause_moved,
  changed_at = changed_at,
  load = load,
  is_at = is_at,
  exists = exists,
  field = field,
  configured = configured,
  shown = shown_of,
  action = action,
  named = named,
  all_fields = all_fields,
  some_fields_of = some_fields_of,
  without_place = without_place,
  previous = previous,
  created = created,
  new_epoch = new_epoch,
  begin_epoch = begin_epoch,
  continue_on_this_server = continue_on_this_server,
  write_new = write_new,
  discard = discard,
  replace_by_tombstone = replace_by_tombstone,
  set = set,
  remove = remove,
  set_status = set_status,
  set_rotation = set_rotation,
  set_shown = set_shown,
  set_session_control = set_session_control,
  convert = convert,
  convert_alone = convert_alone,
  save = save,
  prolong = prolong,
}
