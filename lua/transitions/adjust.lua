-- sk_adjust: gives time to a clock or takes time from it.

-- The record whose clock the options name; nil and a refusal when they name none.
local function named_clock(s, options)
  local owned_by = s.mode.owner
  local problem
  if owned_by == 'participant' then
    problem = options.GROUP and { 'GROUP', 'has no clock in this mode: name a PARTICIPANT' }
      or not options.PARTICIPANT
      and { 'PARTICIPANT', 'is required: in this mode each participant has a clock' }
  elseif owned_by == 'group' then
    problem = options.PARTICIPANT and { 'PARTICIPANT', 'has no clock in this mode: name a GROUP' }
      or not options.GROUP and { 'GROUP', 'is required: in this mode each group has a clock' }
  elseif options.PARTICIPANT or options.GROUP then
    local option = options.PARTICIPANT and 'PARTICIPANT' or 'GROUP'
    problem = { option, 'has no clock in this mode: the ' .. owned_by .. ' has it' }
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

-- Further members of the payload. changed: by how many ms the time left changed.
local function extra_of(options, changed)
  local extra = string.format(',"adjusted_ms":%d', changed)
  if options.REASON then
    extra = extra .. ',"adjust_reason":' .. text_json.quote(options.REASON)
  end
  return extra
end

-- Has the thresholds below the time that is left now count.
local function warn_anew(s, turn)
  if not s.flagged then
    rules_clock.warn_below(s, rules_clock.remaining(s, turn.owner), false)
  end
end

-- `CLOCK total`: the total over all cycles, which runs whenever a cycle does.
local function adjust_total(s, options)
  if not s.total_left then
    return nil, nil, call_refusal.validation({ { 'CLOCK', 'has no effect: this session has no total beside '
      .. 'its cycles' } })
  end
  local turn = transitions_cycle.current_turn(s)
  local runs = turn and rules_clock.is_live(s)
  if runs or s.status == 'pending' then -- a start that is due lets the total run
    local after, event, extra = transitions_expiry.due(s, turn)
    if event then
      return after, event, extra
    end
  end
  local elapsed = runs and rules_clock.elapsed(s) or 0
  local left = s.total_left - elapsed
  if options.WITHIN and left >= options.WITHIN then
    return nil
  end
  local new_left = options.SET or math.max(left + options.ADD, 0)
  s.total_left = new_left + elapsed
  if runs then
    warn_anew(s, turn)
  end
  return turn, 'time.adjusted', extra_of(options, new_left - left)
end

-- The time left on a clock at this moment, as the state shows it; nil for a clock without end. runs: whether
-- it is the clock of the current cycle.
local function time_left(s, owner, runs)
  if runs then
    return rules_clock.remaining(s, owner)
  end
  return rules_clock.idle(owner)
end

-- options: PARTICIPANT or GROUP or CLOCK or neither; SET or ADD; WITHIN, REASON
local function adjust(s, options)
  if not transitions_cycle.is_open(s) then
    return transitions_cycle.wrong_state(s)
  elseif options.CLOCK then
    return adjust_total(s, options)
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
  elseif runs or transitions_expiry.is_first(s, owner) then
    local after, event, extra = transitions_expiry.due(s, turn)
    if event then
      return after, event, extra
    end
  end
  local left = time_left(s, owner, runs)
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
  -- The bank at this moment: below zero when periods, a block or overtime run. When 3000 ms of a period are
  -- used, it is -3000. SET 5000 then adds 8000, so 5000 ms of main time are left and the period is whole.
  local balance = owner.bank
  if runs and not s.flagged then
    balance = owner.bank - controls.drawn(owner, elapsed - s.offset, s.offset)
  end
  local new_balance = options.SET or math.max(balance + options.ADD, math.min(balance, 0))
  local added = new_balance - balance
  if added > 0 and owner.expired then
    owner.expired = false
    if s.mode.owner == 'participant' then
      transitions_rotation.mark(s, storage_record.participant_index(owner), '1')
    elseif s.mode.owner == 'group' then
      local members = storage_participants.members(s, storage_record.id_of_group(owner))
      local first = transitions_rotation.first_member(members)
      if first then
        transitions_rotation.mark(s, first, '1')
      end
    end
    if runs then
      s.offset = elapsed
      s.flagged = false
    end
  end
  owner.bank = owner.bank + added
  if added ~= 0 then
    storage_record.touch(s, owner, true)
  end
  if runs then
    warn_anew(s, turn)
  end
  -- This differs from what was added to the bank where the total of the session ends first, and for a clock
  -- that was at its end, which then has its delay again.
  return turn, 'time.adjusted', extra_of(options, time_left(s, owner, runs) - (left or 0))
end

return {
  adjust = adjust,
}
