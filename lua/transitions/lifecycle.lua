-- Start, switch, pause, resume, and the end of a session.

-- The event of a switch within so many ms of the start of its cycle says `"suspicious":"too_fast"`.
local TOO_FAST_MS = 10

local function start(s)
  if s.status ~= 'pending' then
    return transitions_cycle.wrong_state(s)
  elseif transitions_expiry.is_scheduled_due(s) then
    return transitions_expiry.due(s)
  end
  return transitions_cycle.begin_session(s, s.now), 'session.started'
end

-- Whether a call that concerns the cycle is for a session in another status than `status`, and nothing is due
-- that comes first. A pending session whose start or end is due gets the participant that is active then, by
-- which the options of the call are judged.
local function is_out_of_place(s, status)
  if s.status == status then
    return false
  elseif not transitions_expiry.is_due(s) then
    return true
  end
  if s.status == 'pending' then
    s.configured_active, s.active = s.active, transitions_cycle.first_index(s)
  end
  return false
end

-- options: NEXT, CURRENT, LAG, PLAYER
local function switch(s, options)
  if s.status ~= 'running' and is_out_of_place(s, 'running') then
    return transitions_cycle.wrong_state(s)
  end
  local active = s.active
  local index
  if not options.NEXT and not s.mode.by_group then
    index = transitions_rotation.after(s, active)
    if index then -- none has a turn in a session that was reopened after all clocks had run out
      storage_record.load_pair(s, storage_record.participant_field(active),
        storage_record.participant_field(index))
    end
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
  local ends = transitions_expiry.deadline_reached(s, turn)
  if ends or s.limited or s.status ~= 'running' then
    local after, event, due_extra = transitions_expiry.due(s, turn)
    if event then
      return after, event, due_extra
    end
  end
  local is_last = s.max_cycles and transitions_limits.is_last_cycle(s)
  local elapsed = s.now - s.since
  local extra = elapsed <= TOO_FAST_MS and ',"suspicious":"too_fast"' or ''
  local owner = turn.owner
  if s.flagged and s.rules.action ~= 'notify' then
    -- A pause that ended by itself let a clock go on that was out: no credit can save what has no budget.
    return transitions_expiry.expire_turn(s, turn, rules_clock.deadline(s, owner))
  elseif s.flagged then
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
    if is_last then
      controls.charge(owner, ran - credit, s.offset)
    else
      controls.charge_and_credit(owner, ran - credit, s.offset)
    end
  end
  transitions_cycle.count_cycle(s, turn, elapsed)
  if is_last then
    s.reason = 'auto'
    transitions_cycle.finish(s, 'completed', s.now)
    return nil, 'session.completed', extra
  end
  if not index then
    index = transitions_rotation.next_participant(s, transitions_cycle.place(s, turn))
  elseif s.mode.by_group then -- the rotation did not say who of the group is active: see turns.lua
    storage_session.set(s, 'named', text_formats.integer(s.version + 1))
  end
  return transitions_cycle.begin_cycle(s, index, s.now), 'cycle.switched', extra
end

-- options: PLAYER, FREE
local function pause(s, options)
  if is_out_of_place(s, 'running') then
    return transitions_cycle.wrong_state(s)
  end
  local refused = transitions_player.may_pause(s, options)
  if refused then
    return nil, nil, refused
  end
  local turn = transitions_cycle.current_turn(s)
  local after, event, extra = transitions_expiry.due(s, turn)
  if event then
    return after, event, extra
  end
  refused = not options.FREE and transitions_limits.refuse_pause(s)
  if refused then
    return nil, nil, refused
  end
  s.since = rules_clock.elapsed(s)
  storage_session.set_status(s, 'paused')
  return turn, 'session.paused', transitions_limits.begin_pause(s, options.FREE)
end

-- options: PLAYER
local function resume(s, options)
  if is_out_of_place(s, 'paused') then
    return transitions_cycle.wrong_state(s)
  end
  local refused = transitions_player.may_pause(s, options)
  if refused then
    return nil, nil, refused
  end
  local after, event, extra = transitions_expiry.due(s)
  if event then
    return after, event, extra
  end
  local turn = transitions_cycle.current_turn(s)
  if transitions_cycle.is_over(s, turn) then
    return nil, nil, call_refusal.participant_expired(storage_record.participant_id(turn.participant),
      transitions_cycle.has_total_ended(s))
  end
  s.since = s.now - s.since
  transitions_limits.charge_pause(s, s.now)
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
