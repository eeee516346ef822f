-- The change: one event, built once as the JSON that the reply, the log, the outbox and the channel all hold, and everything that is written
-- with it. A function that gets here has checked everything: there is no rollback.

local TOMBSTONE_MS = 86400000

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
    extra = views_event.with_bounds(s, extra)
  end
  local changed = s.first_touched
  while changed do
    if changed.dirty then
      storage_record.write_down(changed)
    end
    changed = changed.next_touched
  end
  local integer = text_formats.integer
  local id, version, now, left = storage_keys.id_of(s), integer(s.version), integer(s.now), views_record.running_left(s, turn)
  local deadline = ends and integer(ends)
  local alarm = s.alarm == ends and deadline or integer(s.alarm)
  s.used, s.count = integer(s.used), integer(s.count)
  local text = views_event.build(s, turn, event, given, extra, id, version, now, left, deadline, participants, groups)
  if given.REQUEST then
    storage_requests.remember(s, given.REQUEST, given.function_name, version)
  end

  -- First what can fail, because somebody wrote something else into one of our keys, so that nothing is half done; the hash was read and cannot fail.
  local call = redis.call
  if s.alarm ~= before then
    local failed = storage_alarms.set(s, id, alarm, before)
    if failed then
      return failed
    end
  end
  local added = redis.pcall('XADD', keys[4], '*', 'id', id, 'e', text)
  if type(added) == 'table' then
    if s.alarm ~= before then
      s.alarm = before
      storage_alarms.set(s, id, integer(before), before)
    end
    return added
  end
  storage_events.append(keys[2], s.version, version, text)
  storage_session.save(s, version, now, alarm)
  storage_session.prolong(s, ends)
  call('SPUBLISH', keys[1], text)
  return text
end

-- Deletes the session and leaves its tombstone. turn: whose turn it was.
local function commit_deletion(s, turn, given)
  local keys = s.keys
  local version = text_formats.integer(s.version + 1)
  local ends = turn and rules_clock.deadline(s, turn.owner)
  local id = storage_keys.id_of(s)
  local text = views_event.build(s, turn, 'session.deleted', given, views_event.with_bounds(s), id, version, text_formats.integer(s.now), views_record.running_left(s, turn),
    ends and text_formats.integer(ends), '', '')
  redis.call('XADD', keys[4], '*', 'id', id, 'e', text)
  redis.pcall('ZREM', keys[3], id)
  redis.call('UNLINK', keys[1], keys[2])
  redis.call('HSET', keys[1], 'status', 'deleted', 'version', version, 'epoch', s.epoch)
  redis.call('PEXPIRE', keys[1], TOMBSTONE_MS)
  redis.call('SPUBLISH', keys[1], text)
end

return {
  commit = commit,
  commit_deletion = commit_deletion,
}
