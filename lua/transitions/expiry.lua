-- Carries out what is due: the start or the end of the session, an expiry, the end of a pause, or a warning.

-- When the server is later than this, the next cycle begins now. Else it begins when the time was up.
local LATE_MS = 1000

-- The member `winner` when the clock of the current turn ends the session: the only other participant or
-- group that is not out. '' when there is none, or more than one.
local function winner(s, turn)
  if s.mode.owner == 'session' then
    return ''
  end
  local without_loser = transitions_rotation.marked(s.rotation, transitions_cycle.place(s, turn), 'x')
  local index = transitions_rotation.only_one(without_loser)
  if not index then
    return ''
  end
  local participant = storage_record.load(s, storage_record.participant_field(index))
  local id = s.mode.by_group and storage_record.group_id(participant)
    or storage_record.participant_id(participant)
  return ',"winner":"' .. id .. '"'
end

-- Carries out the expiry of the current turn: charges its clock and follows `action_on_timeout`; when the
-- session's total is used up, it ends the session. ends: the deadline in server ms.
--
-- The next cycle begins when the grace after the deadline was over. It begins now when that is more than
-- LATE_MS ago, or when a switch within the grace had too little credit.
local function expire_turn(s, turn, ends)
  local owner = turn.owner
  local time_up = ends + (owner.grace or 0)
  local late = math.max(0, s.now - time_up)
  local next_start = late > LATE_MS and s.now or math.min(time_up, s.now)
  local action, owned_by = s.rules.action, s.mode.owner
  -- A clock that was at its end when the cycle began was charged before.
  local whole = s.flagged and 0 or rules_clock.budget(s, owner)
  local participant_id = storage_record.participant_id(turn.participant)
  local extra = ',"expired_participant_id":"' .. participant_id .. '"'
  if s.mode.by_group then
    extra = extra .. ',"expired_group_id":"' .. storage_record.group_id(turn.participant) .. '"'
  end
  local applied = storage_session.action(s):sub(1, -2)
  extra = extra .. (',"expired_deadline_ms":%d,"late_ms":%d%s,"action_applied":'):format(ends, late,
    transitions_cycle.overtime_used(s, owner, whole))

  if s.total_left and ends - s.since >= s.total_left then
    transitions_cycle.break_cycle(s, turn, ends - s.since)
    transitions_cycle.finish(s, 'expired', ends)
    storage_session.set(s, 'expired_by', participant_id)
    return nil, 'session.expired', extra .. applied .. '},"expired_clock":"total"'
  end
  if not s.flagged then
    transitions_cycle.charge_all(s, turn)
  end
  if action == 'notify' then
    s.flagged = true
    rules_clock.warn_below(s, nil, false)
    if owner.control.rule.TRANSFERS_TIME then
      s.spent = (s.spent or 0) + whole
    end
    storage_record.touch(s, owner, true)
    if whole > 0 then
      storage_record.touch(s, turn.participant, true)
      if turn.group then
        storage_record.touch(s, turn.group, true)
      end
    end
    return turn, 'participant.expired', extra .. applied .. '}'
  end

  transitions_cycle.transfer(s, owner, whole)
  transitions_cycle.count_cycle(s, turn, ends - s.since)
  local slot = transitions_cycle.place(s, turn)
  local goes_on = action ~= 'end_session' and owned_by ~= 'session'
  local winner_json = ''
  if not goes_on then
    winner_json = action == 'end_session' and winner(s, turn) or ''
  end
  if owned_by == 'participant' or owned_by == 'group' then
    transitions_rotation.mark(s, slot, 'x')
  end
  local index = goes_on and transitions_rotation.next_participant(s, slot)
  if index and transitions_limits.is_last_cycle(s, true) then
    s.reason = 'auto'
    transitions_cycle.finish(s, 'completed', ends)
    return nil, 'session.completed', extra .. applied .. '}'
  elseif index then
    turn = transitions_cycle.begin_cycle(s, index, next_start)
    return turn, 'participant.expired', extra .. applied .. '}'
  end
  transitions_cycle.finish(s, 'expired', ends)
  storage_session.set(s, 'expired_by', participant_id)
  return nil, 'session.expired', extra .. applied .. winner_json .. '}'
end

-- The deadline of the current turn when it and the grace of lag compensation are over; else nil.
local function deadline_reached(s, turn)
  local ends = rules_clock.deadline(s, turn.owner)
  return ends and s.now >= ends + (turn.owner.grace or 0) and ends or nil
end

-- What a transition that was due `at` adds to the payload.
local function lateness(s, at)
  s.reason = 'auto'
  return (',"late_ms":%d'):format(s.now - at)
end

-- Ends a pause that is over. The session goes on from that moment, or from now when it is more than LATE_MS
-- ago; not from after its own end, so that the cycle is charged what it ran before the pause.
local function end_pause(s)
  local due = s.resumes
  local at = s.now - due > LATE_MS and math.min(s.now, s.ends_at or s.now) or due
  s.since = at - s.since
  transitions_limits.charge_pause(s, at)
  storage_session.set_status(s, 'running')
  return transitions_cycle.current_turn(s), 'session.resumed', lateness(s, due)
end

-- Starts the session. Its first cycle begins at the moment that was set, or now when it is more than LATE_MS
-- ago.
local function start_by_itself(s)
  local due = s.starts_at
  local turn = transitions_cycle.begin_session(s, s.now - due > LATE_MS and s.now or due)
  return turn, 'session.started', lateness(s, due)
end

-- Ends the session. A cycle that runs, or a pause, is charged up to that moment. When the session was
-- restored after it, they are charged what they had lasted before the outage: nobody is charged for that.
local function end_by_itself(s)
  local due = s.ends_at
  local extra = lateness(s, due)
  if s.status ~= 'pending' then
    local stopped = math.max(due, tonumber(storage_session.field(s, 'recovered')) or 0)
    local ran = s.status == 'running' and math.max(0, stopped - s.since) or s.since
    transitions_cycle.break_cycle(s, transitions_cycle.current_turn(s), ran)
    transitions_limits.charge_pause(s, stopped)
  end
  s.starts_at, s.ends_at = nil, nil
  s.active = s.configured_active or s.active -- nobody has been active in a session that has not started
  transitions_cycle.finish(s, 'completed', due)
  return nil, 'session.completed', extra
end

-- Whether the start or the end of the session is due. One that is over keeps an end that is still ahead.
local function is_scheduled_due(s)
  return ((s.ends_at and s.now >= s.ends_at) or (s.starts_at and s.now >= s.starts_at))
    and transitions_cycle.is_open(s)
end

-- Whether a participant or a record is the one that a start which is due would make active, or whose clock it
-- would let run.
local function is_first(s, record)
  if s.status ~= 'pending' or not is_scheduled_due(s) then
    return false
  end
  local turn = transitions_cycle.turn_of(s, transitions_cycle.first_index(s))
  return turn.participant == record or turn.owner == record
end

-- Carries out what is due before a call that concerns the cycle: the start or the end of the session, the end
-- of a pause, or an expiry; of several the earliest, and of two at the same moment the end of the session.
-- turn: the current one where the caller has it. Returns nil when nothing is due.
local function due(s, turn)
  local now, stop = s.now, s.ends_at
  local is_over = stop and now >= stop
  if s.status == 'running' then
    turn = turn or transitions_cycle.current_turn(s)
    local ends = deadline_reached(s, turn)
    if is_over and not (ends and ends + (turn.owner.grace or 0) < stop) then
      return end_by_itself(s)
    elseif ends then
      return expire_turn(s, turn, ends)
    end
  elseif s.status == 'paused' then
    local resumes = s.resumes
    if is_over and not (resumes and resumes < stop) then
      return end_by_itself(s)
    elseif resumes and now >= resumes then
      return end_pause(s)
    end
  elseif s.status == 'pending' then
    if s.starts_at and now >= s.starts_at then
      return start_by_itself(s)
    elseif is_over then
      return end_by_itself(s)
    end
  end
end

-- Whether `due` would carry out something.
local function is_due(s)
  local now, status = s.now, s.status
  return is_scheduled_due(s) or (status == 'paused' and s.resumes and now >= s.resumes)
    or (status == 'running' and deadline_reached(s, transitions_cycle.current_turn(s)))
end

-- Carries out what is due, also one warning, the highest first. Returns nil when nothing is due.
local function expire(s)
  if s.alarm == 0 or s.now < s.alarm then
    return nil
  end
  local turn = transitions_cycle.current_turn(s)
  local after, event, extra = due(s, turn)
  if event or s.status ~= 'running' then
    return after, event, extra
  end
  local threshold, position = rules_clock.next_warning(s, turn.owner)
  if not threshold then
    return nil
  end
  s.warn_sent = s.warn_sent:sub(1, position - 1) .. '1' .. s.warn_sent:sub(position + 1)
  return turn, 'time.warning', string.format(',"warning_ms":%d', threshold)
end

return {
  expire_turn = expire_turn,
  is_scheduled_due = is_scheduled_due,
  is_first = is_first,
  is_due = is_due,
  deadline_reached = deadline_reached,
  due = due,
  expire = expire,
}
