-- Time that is given to a clock or taken from it.

-- The record of the clock that an adjust names, or nil with a refusal.
local function named_clock(s, options)
  local owned_by = s.mode.owner
  local problem
  if owned_by == 'participant' then
    problem = (options.GROUP and { 'GROUP', 'has no clock in this mode: name a PARTICIPANT' })
      or (not options.PARTICIPANT and { 'PARTICIPANT',
      'is required: in this mode each participant has a clock' })
  elseif owned_by == 'group' then
    problem = (options.PARTICIPANT and { 'PARTICIPANT', 'has no clock in this mode: name a GROUP' })
      or (not options.GROUP and { 'GROUP', 'is required: in this mode each group has a clock' })
  elseif options.PARTICIPANT or options.GROUP then
    problem = { options.PARTICIPANT and 'PARTICIPANT' or 'GROUP', 'has no clock in this mode: the '
      .. owned_by .. ' has it' }
  end
  if problem then
    return nil, call_refusal.validation({ problem })
  end
  local record
  if options.PARTICIPANT then
    record = storage_participants.participant(s, options.PARTICIPANT)
  elseif options.GROUP then
    record = storage_participants.group(s, options.GROUP)
  elseif owned_by == 'cycle' and s.status == 'pending' then
    return nil, call_refusal.state(s.status)
  else
    record = storage_record.load(s, s.mode.clock())
  end
  if not record then
    return nil, call_refusal.participant_not_found(options.PARTICIPANT or options.GROUP)
  end
  return record
end

-- options: PARTICIPANT or GROUP or neither, SET or ADD, WITHIN, REASON
local function adjust(s, options)
  if not transitions_cycle.is_open(s) then
    return transitions_cycle.wrong_state(s)
  end
  local owner, refused = named_clock(s, options)
  if not owner then
    return nil, nil, refused
  end
  local turn = transitions_cycle.current_turn(s)
  local runs = turn and turn.owner == owner and rules_clock.is_live(s)
  if owner.control.endless and not s.mode.counts_up then
    return nil, nil, call_refusal.validation({ { options.SET and 'SET' or 'ADD',
      'has no effect on a clock without end' } })
  elseif runs and transitions_expiry.pause_is_over(s) then
    return transitions_expiry.end_pause(s)
  elseif runs and s.status == 'running' then
    local ends = transitions_expiry.deadline_reached(s, turn)
    if ends then
      return transitions_expiry.expire_turn(s, turn, ends)
    end
  end
  local left
  if runs then
    left = rules_clock.remaining(s, owner)
  else
    left = rules_clock.idle(owner)
  end
  if options.WITHIN and not (left and left < options.WITHIN) then
    return nil
  end
  local elapsed = runs and rules_clock.elapsed(s) or 0
  if not left then
    if options.ADD then
      return nil, nil, call_refusal.validation({ { 'ADD',
        'needs a maximum: this session has none yet, SET one' } })
    end
    storage_session.set_session_control(s, owner, 'fischer 0 0')
    owner.bank = elapsed
    storage_record.touch(s, owner, true)
  end
  -- What the bank is at this moment: in periods and blocks as far below zero as they are used. So a SET
  -- begins them anew, as if the main time had that much left.
  local reads = owner.bank
  if runs and not s.flagged then
    reads = owner.bank - controls.drawn(owner, elapsed - s.offset, s.offset)
  end
  local moved = (options.SET or math.max(reads + options.ADD, math.min(reads, 0))) - reads
  if moved > 0 and owner.expired then
    owner.expired = false
    if s.mode.owner == 'participant' then
      transitions_rotation.mark(s, storage_record.participant_index(owner), '1')
    elseif s.mode.owner == 'group' then
      local first = transitions_rotation.first_member(storage_participants.members(s,
        storage_record.id_of_group(owner)))
      if first then
        transitions_rotation.mark(s, first, '1')
      end
    end
    if runs then
      s.offset = elapsed
      s.flagged = false
    end
  end
  owner.bank = owner.bank + moved
  if moved ~= 0 then
    storage_record.touch(s, owner, true)
  end
  if runs and not s.flagged then
    rules_clock.warn_below(s, rules_clock.remaining(s, owner), false)
  end
  local extra = string.format(',"adjusted_ms":%d', moved)
  if options.REASON then
    extra = extra .. ',"adjust_reason":' .. text_json.quote(options.REASON)
  end
  return turn, 'time.adjusted', extra
end

return {
  adjust = adjust,
}
