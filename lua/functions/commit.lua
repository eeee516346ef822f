-- Writes a change and publishes it. The caller has checked everything before, because Redis does not undo the
-- writes of a function that fails.

-- Writes and publishes the change that was made to `s` in memory. Returns the JSON of the event; or the error
-- of a key that has another type, and then nothing is written.
--
-- turn, event, extra      as a transition returns them, see transitions/cycle.lua
-- given                   the call's options; with REQUEST also `function_name`, with SCHEMA the schema in
--                         which the session is written
-- participants, groups    their JSON; nil: the event shows only the touched ones
local function commit(s, turn, event, given, extra, participants, groups)
  local ends = turn and rules_clock.deadline(s, turn.owner)
  storage_session.continue_on_this_server(s)
  local alarm_before = s.alarm
  s.version = s.version + 1
  if s.warned then
    s.warnings_since = event == 'time.warning' and s.warnings_since + 1 or 0
  end
  if ends then
    s.alarm = rules_clock.alarm(s, turn.owner, ends)
  else
    s.alarm = s.status == 'paused' and s.resumes or 0
  end
  if s.limited then
    s.alarm = rules_schedule.alarm(s, s.alarm)
    extra = views_event.with_schedule(s, event, extra)
  end
  if s.resumes or s.total_left then
    extra = views_event.with_bounds(s, extra)
  end

  -- Numbers become text here, once for both the event and the hash.
  local record = s.first_touched
  while record do
    if record.dirty then
      storage_record.format_numbers(record)
    end
    record = record.next_touched
  end
  local integer = text_formats.integer
  local id = storage_keys.session_id(s.key)
  local version, now, deadline = integer(s.version), integer(s.now), ends and integer(ends)
  local alarm = s.alarm == ends and deadline or integer(s.alarm)
  s.used, s.count = integer(s.used), integer(s.count)

  local text = views_event.build(
    s, turn, event, given, extra, id, version, now, deadline, participants, groups)
  if given.REQUEST then
    storage_requests.remember(s, given, given.function_name, version)
  end

  -- The alarms and the outbox are written first: when another program has put a value of another type there,
  -- the write fails. The hash cannot fail, because this call has read it.
  if s.alarm ~= alarm_before then
    local failed = storage_alarms.set(s, id, alarm, alarm_before)
    if failed then
      return failed
    end
  end
  local is_full = storage_server.is_full(s.now)
  local failed = storage_events.add_to_outbox(s, id, text, is_full, given.TRACEPARENT)
  if failed then
    if s.alarm ~= alarm_before then
      s.alarm = alarm_before
      storage_alarms.set(s, id, integer(alarm_before), alarm_before)
    end
    return failed
  end
  storage_events.append_to_log(s, version, text, is_full)
  if given.SCHEMA then
    storage_session.convert(s, given.SCHEMA)
  end
  storage_session.save(s, version, now, alarm)
  storage_session.prolong(s, ends and ends + (turn.owner.grace or 0))
  storage_events.publish(s, text)
  return text
end

-- Deletes the session, leaves its tombstone and publishes the event. turn: whose turn it was. Returns nil; or
-- the error of an outbox that is no stream, and then nothing is written.
local function commit_deletion(s, turn, given)
  storage_session.continue_on_this_server(s)
  local integer = text_formats.integer
  local ends = turn and rules_clock.deadline(s, turn.owner)
  local version, now, deadline = integer(s.version + 1), integer(s.now), ends and integer(ends)
  local extra = views_event.with_bounds(s)
  local id = storage_keys.session_id(s.key)
  local text = views_event.build(
    s, turn, 'session.deleted', given, extra, id, version, now, deadline, '', '')
  local failed = storage_events.add_to_outbox(
    s, id, text, storage_server.is_full(s.now), given.TRACEPARENT)
  if failed then
    return failed
  end
  storage_alarms.remove_if_possible(s.keys)
  storage_session.replace_by_tombstone(s, version)
  storage_events.publish(s, text)
end

return {
  commit = commit,
  commit_deletion = commit_deletion,
}
