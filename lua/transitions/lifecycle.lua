-- Start, switch, pause, resume, and the end of a session.

-- The event of a switch within so many ms of the start of its cycle says `"suspicious":"too_fast"`.
local TOO_FAST_MS = 10

local function start(s)
  if s.status ~= 'pending' then
    return transitions_cycle.wrong_state(s)
  end
  storage_session.set_status(s, 'running')
  local index = s.active
  if index < 0 then
    index = transitions_rotation.next_participant(s, -1)
  end
  storage_session.set(s, 'started', string.format('%d', s.now))
  return transitions_cycle.begin_cycle(s, index, s.now), 'session.started'
end

-- options: NEXT, CURRENT, LAG, PLAYER
local function switch(s, options)
  if s.status ~= 'running' and not transitions_expiry.pause_is_over(s) then
    return transitions_cycle.wrong_state(s)
  end
  local active = s.active
  local index
  if not options.NEXT and not s.mode.by_group then
    index = transitions_rotation.after(s, active)
    storage_record.load_pair(s, storage_record.participant_field(active),
      storage_record.participant_field(index))
  end
  local turn = transitions_cycle.turn_of(s, active)
  local refused = transitions_player.may_switch(s, options)
  if refused then
    return nil, nil, refused
  end
  if options.CURRENT then
    local active_id = storage_record.participant_id(turn.participant)
    if options.CURRENT ~= active_id then
      if not storage_participants.participant(s, options.CURRENT) then
        return nil, nil, call_refusal.participant_not_found(options.CURRENT)
      end
      return nil, nil, call_refusal.current(options.CURRENT, active_id)
    end
  end
  if options.NEXT then
    local named = storage_participants.participant(s, options.NEXT)
    if not named then
      return nil, nil, call_refusal.participant_not_found(options.NEXT)
    elseif transitions_cycle.is_out(s, named) then
      return nil, nil, call_refusal.participant_expired(options.NEXT)
    end
    index = storage_record.participant_index(named)
  end
  if s.status == 'paused' then
    return transitions_expiry.end_pause(s)
  end
  local ends = transitions_expiry.deadline_reached(s, turn)
  if ends then
    return transitions_expiry.expire_turn(s, turn, ends)
  end
  local elapsed = s.now - s.since
  local extra = elapsed <= TOO_FAST_MS and ',"suspicious":"too_fast"' or ''
  local owner = turn.owner
  if s.flagged then
    transitions_cycle.transfer(s, owner, 0)
  else
    local ran = elapsed - s.offset
    local credit = 0
    if owner.quota_ms then
      credit = rules_lag.credit(owner, options.LAG, ran)
      local whole = rules_clock.budget(s, owner)
      if ran - credit >= whole then
        return transitions_expiry.expire_turn(s, turn, rules_clock.deadline(s, owner))
      end
      transitions_cycle.account(s, turn, math.min(ran, whole))
      rules_lag.spend(owner, credit)
      if options.LAG then
        extra = extra .. (',"lag_credit_ms":%d'):format(credit)
      end
    else
      transitions_cycle.account(s, turn, ran)
    end
    extra = extra .. transitions_cycle.overtime_used(s, owner, ran - credit)
    transitions_cycle.transfer(s, owner, ran - credit)
    controls.charge_and_credit(owner, ran - credit, s.offset)
  end
  transitions_cycle.count_cycle(s, turn, elapsed)
  if not index then
    index = transitions_rotation.next_participant(s, transitions_cycle.place(s, turn))
  elseif s.mode.by_group then -- the rotation did not say who of the group is active: see turns.lua
    storage_session.set(s, 'named', text_formats.integer(s.version + 1))
  end
  return transitions_cycle.begin_cycle(s, index, s.now), 'cycle.switched', extra
end

-- options: PLAYER
local function pause(s, options)
  local is_over = transitions_expiry.pause_is_over(s)
  if s.status ~= 'running' and not is_over then
    return transitions_cycle.wrong_state(s)
  end
  local refused = transitions_player.may_pause(s, options)
  if refused then
    return nil, nil, refused
  elseif is_over then
    return transitions_expiry.end_pause(s)
  end
  local turn = transitions_cycle.current_turn(s)
  local ends = transitions_expiry.deadline_reached(s, turn)
  if ends then
    return transitions_expiry.expire_turn(s, turn, ends)
  end
  s.since = rules_clock.elapsed(s)
  storage_session.set_status(s, 'paused')
  local max_pause = tonumber(storage_session.field(s, 'max_pause'))
  s.resumes = max_pause and s.now + max_pause
  return turn, 'session.paused'
end

-- options: PLAYER
local function resume(s, options)
  if s.status ~= 'paused' then
    return transitions_cycle.wrong_state(s)
  end
  local refused = transitions_player.may_pause(s, options)
  if refused then
    return nil, nil, refused
  elseif transitions_expiry.pause_is_over(s) then
    return transitions_expiry.end_pause(s)
  end
  local turn = transitions_cycle.current_turn(s)
  if transitions_cycle.is_over(s, turn) then
    return nil, nil, call_refusal.participant_expired(storage_record.participant_id(turn.participant))
  end
  s.since = s.now - s.since
  storage_session.set_status(s, 'running')
  return turn, 'session.resumed'
end

-- status: completed or cancelled
local function close(s, status)
  if not transitions_cycle.is_open(s) then
    return transitions_cycle.wrong_state(s)
  end
  if s.status ~= 'pending' then
    transitions_cycle.break_cycle(s, transitions_cycle.current_turn(s), rules_clock.elapsed(s))
  end
  transitions_cycle.finish(s, status, s.now)
  return nil, 'session.' .. status
end

return {
  start = start,
  switch = switch,
  pause = pause,
  resume = resume,
  close = close,
}
