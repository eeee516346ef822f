-- The change: one event, built once as the JSON that the reply, the log, the outbox and the channel all hold, and everything that is written
-- with it. A function that gets here has checked everything: there is no rollback.

local LOG_LENGTH = '128'
local TRIM_EVERY = 16
local TOMBSTONE_MS = 86400000

local TYPES = {
  ['time.warning'] = 'TIME_WARNING', ['participant.expired'] = 'TIME_EXPIRED', ['session.expired'] = 'TIME_EXPIRED',
  ['session.deleted'] = 'SESSION_DELETED',
}
local REASONS = {
  ['time.warning'] = 'auto', ['participant.expired'] = 'timeout', ['session.expired'] = 'timeout', ['session.deleted'] = 'deleted',
}

local function is_live(s)
  return s.status == 'running' or s.status == 'paused'
end

-- The ids of whose turn it is, as JSON.
local function active_ids(turn)
  if not turn then
    return 'null', 'null'
  end
  return '"' .. storage_session.participant_id(turn.participant) .. '"', turn.group and '"' .. turn.group.shown:sub(13, 48) .. '"' or 'null'
end

-- What is left of a clock, as text; nil for one without end. Mostly it is the bank, which is text already.
local function left_text(record, left)
  if left == record.bank then
    return record.bank_text
  end
  return left and storage_session.integer(left) or nil
end

-- Puts a record as it is shown now behind the first `n` pieces of a text; returns how many pieces there are then. turn: whose turn it is, nil for
-- nobody's; left: what is left of its clock, as text or nil.
local function show(pieces, n, s, record, turn, left)
  local live = turn and is_live(s)
  if not (live and record == turn.owner) then
    left = record.owns and left_text(record, rules_clock.idle(record)) or nil
  end
  return storage_session.show(pieces, n, record, left, live and (record == turn.participant or record == turn.group))
end

-- The same for all touched records whose fields begin with this byte, with commas between.
local function show_touched(pieces, n, s, first, turn, left)
  local begin = n
  local record = s.first_touched
  while record do
    if record.field:byte() == first and not record.gone then
      if n > begin then
        n = n + 1
        pieces[n] = ','
      end
      n = show(pieces, n, s, record, turn, left)
    end
    record = record.next_touched
  end
  return n
end

local PARTICIPANT, GROUP = 112, 103 -- p, g

-- The pieces of the event that is being built; kept, because a table that grows again for every event is dear. Only the first n are ever read.
local event_pieces = {}

-- The JSON of an event. id, version, now, left and deadline (the last two nil for none) are text, and so is the session's count. participants
-- and groups: their JSON, nil for those that are touched.
local function build(s, turn, event, given, extra, id, version, now, left, deadline, participants, groups)
  local participant_id, group_id = active_ids(turn)
  local pieces = event_pieces
  pieces[1], pieces[2], pieces[3], pieces[4] = '{"v":1,"type":"', TYPES[event] or 'STATE_UPDATE', '","session_id":"', id
  pieces[5], pieces[6], pieces[7], pieces[8] = '","version":', version, ',"epoch":"', s.epoch
  pieces[9], pieces[10], pieces[11], pieces[12] = '","server_time_ms":', now, ',"payload":{"event":"', event
  pieces[13], pieces[14], pieces[15], pieces[16] = '","reason":"', REASONS[event] or s.reason or 'manual', '","status":"', s.status
  pieces[17], pieces[18], pieces[19], pieces[20] = '","active_participant_id":', participant_id, ',"active_group_id":', group_id
  pieces[21], pieces[22] = ',"cycle_started_at":', s.status == 'running' and '"' .. text_formats.iso(s.since) .. '"' or 'null'
  pieces[23], pieces[24], pieces[25], pieces[26] = ',"deadline_ms":', deadline or 'null', ',"time_remaining_ms":', left or 'null'
  pieces[27], pieces[28], pieces[29] = ',"cycle_count":', s.count, ',"participants":['
  local n = 29
  if participants then
    pieces[30], n = participants, 30
  else
    n = show_touched(pieces, n, s, PARTICIPANT, turn, left)
  end
  pieces[n + 1] = '],"groups":['
  n = n + 1
  if groups then
    pieces[n + 1], n = groups, n + 1
  else
    n = show_touched(pieces, n, s, GROUP, turn, left)
  end
  pieces[n + 1], pieces[n + 2] = '],"actor":', given.ACTOR and text_json.quote(given.ACTOR) or 'null'
  pieces[n + 3], pieces[n + 4] = ',"trace":', given.TRACE and text_json.quote(given.TRACE) or 'null'
  pieces[n + 5], pieces[n + 6] = extra or '', '}}'
  return table.concat(pieces, '', 1, n + 6)
end

-- What is left of the clock whose turn it is, as text; nil for none.
local function running_left(s, turn)
  local left = turn and is_live(s) and rules_clock.remaining(s, turn.owner)
  return left and left_text(turn.owner, left) or nil
end

-- Sets the session's alarm (`at` is the same as text), and wakes the timekeepers when the head of the alarms got earlier by it. `before` is the
-- session's own alarm until now: when that was not later, the head cannot have got earlier and need not be read. Returns an error, nil for none.
local function set_alarm(s, id, at, before)
  local alarms, alarm = s.keys[3], s.alarm
  if alarm == 0 then
    local removed = redis.pcall('ZREM', alarms, id)
    return type(removed) == 'table' and removed or nil
  end
  local added = redis.pcall('ZADD', alarms, at, id)
  if type(added) == 'table' then
    return added
  end
  if before == 0 or alarm < before then
    local head = redis.call('ZRANGE', alarms, 0, 1, 'WITHSCORES')
    if head[1] == id and tonumber(head[4]) ~= alarm then
      redis.call('SPUBLISH', alarms, at)
    end
  end
end

-- Adds an event to the log. A log that the version does not fit in, or that is none, is not the session's: it begins anew.
local function append(log, number, version, text)
  local entry = version .. '-0'
  local added
  if number % TRIM_EVERY == 0 then
    added = redis.pcall('XADD', log, 'MAXLEN', '~', LOG_LENGTH, entry, 'e', text)
  else
    added = redis.pcall('XADD', log, entry, 'e', text)
  end
  if type(added) == 'table' then -- an error; else it is the entry's id
    redis.call('UNLINK', log)
    redis.call('XADD', log, entry, 'e', text)
  end
end

-- Further fields of the payload, with those that sessions with a longest pause or a total have.
local function with_bounds(s, extra)
  extra = extra or ''
  if s.resumes and s.status == 'paused' then
    extra = extra .. (',"resumes_at_ms":%d'):format(s.resumes)
  end
  if s.total_left then
    extra = extra .. (',"total_remaining_ms":%d'):format(rules_clock.total_remaining(s))
  end
  return extra
end

-- Writes and publishes the change that `s` holds and returns its JSON; or, with nothing written, the error of a key that is not ours.
-- turn: whose turn it is from now on, or nil; given: the options; extra: further fields of the payload, each with a comma before it; participants and
-- groups: their JSON, where it is there already, else that of the touched ones is made.
local function commit(s, turn, event, given, extra, participants, groups)
  local keys = s.keys
  local ends
  if turn and s.status == 'running' then
    ends = rules_clock.deadline(s, turn.owner)
  end
  local before = s.alarm
  s.version = s.version + 1
  if s.warned then
    s.trailing = event == 'time.warning' and s.trailing + 1 or 0
  end
  if ends then
    s.alarm = rules_clock.alarm(s, turn.owner, ends)
  else
    s.alarm = s.status == 'paused' and s.resumes or 0
  end
  if s.resumes or s.total_left then
    extra = with_bounds(s, extra)
  end
  local changed = s.first_touched
  while changed do
    if changed.dirty then
      storage_session.write_down(changed)
    end
    changed = changed.next_touched
  end
  local integer = storage_session.integer
  local id, version, now, left = storage_session.id_of(s), integer(s.version), integer(s.now), running_left(s, turn)
  local deadline = ends and integer(ends)
  local alarm = s.alarm == ends and deadline or integer(s.alarm)
  s.used, s.count = integer(s.used), integer(s.count)
  local text = build(s, turn, event, given, extra, id, version, now, left, deadline, participants, groups)
  if given.REQUEST then
    storage_session.remember_request(s, given.REQUEST, given.function_name, version)
  end

  -- First what can fail, because somebody wrote something else into one of our keys, so that nothing is half done; the hash was read and cannot fail.
  local call = redis.call
  if s.alarm ~= before then
    local failed = set_alarm(s, id, alarm, before)
    if failed then
      return failed
    end
  end
  local added = redis.pcall('XADD', keys[4], '*', 'id', id, 'e', text)
  if type(added) == 'table' then
    if s.alarm ~= before then
      s.alarm = before
      set_alarm(s, id, integer(before), before)
    end
    return added
  end
  append(keys[2], s.version, version, text)
  storage_session.save(s, version, now, alarm)
  storage_session.prolong(s, ends)
  call('SPUBLISH', keys[1], text)
  return text
end

-- Deletes the session and leaves its tombstone. turn: whose turn it was.
local function commit_deletion(s, turn, given)
  local keys = s.keys
  local version = storage_session.integer(s.version + 1)
  local ends = turn and rules_clock.deadline(s, turn.owner)
  local id = storage_session.id_of(s)
  local text = build(s, turn, 'session.deleted', given, with_bounds(s), id, version, storage_session.integer(s.now), running_left(s, turn),
    ends and storage_session.integer(ends), '', '')
  redis.call('XADD', keys[4], '*', 'id', id, 'e', text)
  redis.pcall('ZREM', keys[3], id)
  redis.call('UNLINK', keys[1], keys[2])
  redis.call('HSET', keys[1], 'status', 'deleted', 'version', version, 'epoch', s.epoch)
  redis.call('PEXPIRE', keys[1], TOMBSTONE_MS)
  redis.call('SPUBLISH', keys[1], text)
end

return { is_live = is_live, active_ids = active_ids, show = show, running_left = running_left, commit = commit, commit_deletion = commit_deletion }
