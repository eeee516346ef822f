-- What happens when time is up: an expiry, the end of a pause, a warning.

local LATE_MS = 1000

-- Who wins when the current turn's clock ends the session: the one other that is not out, as JSON with a
-- comma before it.
local function winner(s, turn)
  if s.mode.owner == 'session' then
    return ''
  end
  local index = transitions_rotation.only_one(transitions_rotation.marked(s.rotation,
    transitions_cycle.place(s, turn), 'x'))
  if not index then
    return ''
  end
  local participant = storage_record.load(s, storage_record.participant_field(index))
  return ',"winner":"' .. (s.mode.by_group and storage_record.group_id(participant)
    or storage_record.participant_id(participant)) .. '"'
end

-- Time is up for the current turn: charges the clock and does what `action_on_timeout` says; where the
-- session's total is over, the session is, too. ends: the deadline in server ms; the next cycle begins when
-- time was up, or now where the server is late or a switch came too late before the grace was over.
local function expire_turn(s, turn, ends)
  local owner = turn.owner
  local up = ends + (owner.grace or 0)
  local late = math.max(0, s.now - up)
  local next_start = late > LATE_MS and s.now or math.min(up, s.now)
  local action, owned_by, whole = s.rules.action, s.mode.owner, rules_clock.budget(s, owner)
  local participant_id = storage_record.participant_id(turn.participant)
  local extra = ',"expired_participant_id":"' .. participant_id .. '"'
  if s.mode.by_group then
    extra = extra .. ',"expired_group_id":"' .. storage_record.group_id(turn.participant) .. '"'
  end
  local applied = storage_session.field(s, 'action'):sub(1, -2)
  extra = extra .. (',"expired_deadline_ms":%d,"late_ms":%d%s,"action_applied":'):format(ends, late,
    transitions_cycle.overtime_used(s, owner, whole))

  if s.total_left and ends - s.since >= s.total_left then
    transitions_cycle.break_cycle(s, turn, ends - s.since)
    transitions_cycle.finish(s, 'expired', ends)
    storage_session.set(s, 'expired_by', participant_id)
    return nil, 'session.expired', extra .. applied .. '},"expired_clock":"total"'
  end
  transitions_cycle.charge_all(s, turn)
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
  local won = ''
  if not goes_on then
    won = action == 'end_session' and winner(s, turn) or ''
  end
  if owned_by == 'participant' or owned_by == 'group' then
    transitions_rotation.mark(s, slot, 'x')
  end
  local index = goes_on and transitions_rotation.next_participant(s, slot)
  if index then
    return transitions_cycle.begin_cycle(s, index, next_start), 'participant.expired', extra .. applied .. '}'
  end
  transitions_cycle.finish(s, 'expired', ends)
  storage_session.set(s, 'expired_by', participant_id)
  return nil, 'session.expired', extra .. applied .. won .. '}'
end

-- The deadline of the current turn when time is up, the grace of lag compensation included; else nil.
local function deadline_reached(s, turn)
  local ends = rules_clock.deadline(s, turn.owner)
  return ends and s.now >= ends + (turn.owner.grace or 0) and ends or nil
end

-- Whether a pause has lasted as long as it may.
local function pause_is_over(s)
  return s.resumes and s.now >= s.resumes
end

-- The pause is over: the session goes on from that moment, or from now where the server is late.
local function end_pause(s)
  local late = s.now - s.resumes
  s.since = (late > LATE_MS and s.now or s.resumes) - s.since
  s.reason = 'auto'
  storage_session.set_status(s, 'running')
  return transitions_cycle.current_turn(s), 'session.resumed', (',"late_ms":%d'):format(late)
end

-- What is due: an expiry, the end of a pause, or one warning, the highest first. Nothing where nothing is
-- due.
local function expire(s)
  if pause_is_over(s) then
    return end_pause(s)
  end
  if s.status ~= 'running' or s.alarm == 0 or s.now < s.alarm then
    return nil
  end
  local turn = transitions_cycle.current_turn(s)
  local ends = deadline_reached(s, turn)
  if ends then
    return expire_turn(s, turn, ends)
  end
  local threshold, position = rules_clock.next_warning(s)
  s.warn_sent = s.warn_sent:sub(1, position - 1) .. '1' .. s.warn_sent:sub(position + 1)
  return turn, 'time.warning', string.format(',"warning_ms":%d', threshold)
end

return {
  expire_turn = expire_turn,
  deadline_reached = deadline_reached,
  pause_is_over = pause_is_over,
  end_pause = end_pause,
  expire = expire,
}
