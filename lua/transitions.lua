-- What a session can do: the rules of start, switch, pause, resume, expiry, complete, cancel, adjust, join and leave. Each takes a loaded session
-- `s` and works on it in memory; nothing is written here.
--
-- Each returns (turn, event, extra): whose turn it is from now on, the event, and further fields of its payload as JSON with a comma before
-- each; or (nil, nil, refusal); or nothing where nothing is to be done.
--
-- A turn is {participant, group, owner}: the records of who is active, of its group (nil for none), and of the clock that runs.

local LATE_MS = 1000
local TOO_FAST_MS = 10

local function turn_of(s, index)
  local mode = s.mode
  local field = storage_session.participant_field(index)
  local participant, owner, group_id
  if mode.owner == 'participant' then
    participant = storage_session.record(s, field)
    owner = participant
    group_id = storage_session.group_id(participant)
  elseif mode.owner == 'group' then
    participant = storage_session.record(s, field)
    group_id = storage_session.group_id(participant)
    owner = storage_session.record(s, mode.clock(field, group_id))
  else
    participant, owner = storage_session.pair(s, field, mode.clock())
    group_id = storage_session.group_id(participant)
  end
  return { participant = participant, group = group_id and storage_session.group(s, group_id), owner = owner }
end

-- Whose turn it is now, nil where nobody's.
local function current_turn(s)
  if s.active >= 0 then
    return turn_of(s, s.active)
  end
end

-- Where the current turn stands in the rotation.
local function place(s, turn)
  if s.mode.by_group then
    return transitions_rotation.first_member(storage_session.members(s, storage_session.group_id(turn.participant)))
  end
  return s.active
end

-- The cycle of the participant with this index begins, at server time `at`; in a paused session at its start.
local function begin_cycle(s, index, at)
  s.active = index
  s.since = s.status == 'paused' and 0 or at
  s.offset = 0
  s.spent = nil
  local turn = turn_of(s, index)
  local owner, group = turn.owner, turn.group
  if s.mode.owner == 'cycle' then
    owner.bank, owner.expired = s.rules.cycle_ms, false
    storage_session.touch(s, owner, true)
  elseif s.sand then
    owner.bank = owner.bank + s.sand
    owner.expired = owner.expired and s.sand == 0
    storage_session.touch(s, owner, true)
  end
  s.standing = owner.expired
  storage_session.touch(s, turn.participant)
  if group then
    storage_session.touch(s, group)
    if s.mode.by_group then
      storage_session.set_last_active(s, storage_session.group_id(turn.participant), index)
    end
  end
  if s.warned then
    local left = not s.standing and rules_clock.idle(owner) or nil
    rules_clock.warn_below(s, left and s.total_left and math.min(left, s.total_left) or left, true)
  end
  return turn
end

-- How much of a cycle that used `used` ms came out of the overtime, as a field of the payload; nothing where none did.
local function overtime_used(s, owner, used)
  if owner.control.overtime == 0 then
    return ''
  end
  local over = used - math.max(0, math.min(used, owner.control.rule.budget(owner, s.offset)))
  return over > 0 and (',"overtime_used_ms":%d'):format(over) or ''
end

-- Adds what a cycle used to the accounts of who was active, its group and the session.
local function account(s, turn, used)
  turn.participant.used = turn.participant.used + used
  if turn.group then
    turn.group.used = turn.group.used + used
  end
  s.used = s.used + used
end

-- ran: the running time of the cycle that has ended.
local function count_cycle(s, turn, ran)
  if s.total_left then
    s.total_left = math.max(0, s.total_left - ran)
  end
  turn.participant.cycles = turn.participant.cycles + 1
  storage_session.touch(s, turn.participant, true)
  if turn.group then
    turn.group.cycles = turn.group.cycles + 1
    storage_session.touch(s, turn.group, true)
  end
  storage_session.touch(s, turn.owner, true)
  s.count = s.count + 1
end

-- The current clock's whole budget is charged: it has expired.
local function charge_all(s, turn)
  local owner = turn.owner
  local whole = rules_clock.budget(s, owner)
  account(s, turn, whole)
  controls.charge(owner, whole, s.offset)
  owner.expired = true
end

-- The current cycle, which ran for `elapsed` ms, ends by something else than a switch: charged, at most its budget, counted, and not credited.
local function break_cycle(s, turn, elapsed)
  if s.total_left and elapsed > s.total_left then
    elapsed = s.total_left
  end
  if not s.standing then
    local owner = turn.owner
    local used = elapsed - s.offset
    if used >= rules_clock.budget(s, owner) then
      charge_all(s, turn)
    else
      controls.charge(owner, used, s.offset)
      account(s, turn, used)
    end
  end
  count_cycle(s, turn, elapsed)
end

-- What a cycle used of a clock that hands it on, `used` ms of it just now, goes to the clock of the next one.
local function hand_on(s, owner, used)
  if owner.control.rule.HANDS_ON then
    s.sand = (s.spent or 0) + used
  end
end

-- The session ends with this status; `at` is when it was over, in server ms.
local function finish(s, status, at)
  storage_session.set_status(s, status)
  s.active, s.since, s.offset, s.standing = -1, 0, 0, false
  storage_session.set(s, 'completed', string.format('%d', at))
end

-- Who wins when the current turn's clock ends the session: the one other that is not out, as JSON with a comma before it.
local function winner(s, turn)
  if s.mode.owner == 'session' then
    return ''
  end
  local index = transitions_rotation.only_one(transitions_rotation.marked(s.rotation, place(s, turn), 'x'))
  if not index then
    return ''
  end
  local participant = storage_session.record(s, storage_session.participant_field(index))
  return ',"winner":"' .. (s.mode.by_group and storage_session.group_id(participant) or storage_session.participant_id(participant)) .. '"'
end

-- Time is up for the current turn: charges the clock and does what `action_on_timeout` says; where the session's total is over, the session is,
-- too. ends: the deadline in server ms; the next cycle begins when time was up, or now where the server is late or a switch came too late before
-- the grace was over.
local function expire_turn(s, turn, ends)
  local owner = turn.owner
  local up = ends + (owner.grace or 0)
  local late = math.max(0, s.now - up)
  local next_start = late > LATE_MS and s.now or math.min(up, s.now)
  local action, owned_by, whole = s.rules.action, s.mode.owner, rules_clock.budget(s, owner)
  local participant_id = storage_session.participant_id(turn.participant)
  local extra = ',"expired_participant_id":"' .. participant_id .. '"'
  if s.mode.by_group then
    extra = extra .. ',"expired_group_id":"' .. storage_session.group_id(turn.participant) .. '"'
  end
  local applied = redis.call('HGET', s.key, 'action'):sub(1, -2)
  extra = extra .. (',"expired_deadline_ms":%d,"late_ms":%d%s,"action_applied":'):format(ends, late, overtime_used(s, owner, whole))

  if s.total_left and ends - s.since >= s.total_left then
    break_cycle(s, turn, ends - s.since)
    finish(s, 'expired', ends)
    storage_session.set(s, 'expired_by', participant_id)
    return nil, 'session.expired', extra .. applied .. '},"expired_clock":"total"'
  end
  charge_all(s, turn)
  if action == 'notify' then
    s.standing = true
    rules_clock.warn_below(s, nil, false)
    if owner.control.rule.HANDS_ON then
      s.spent = (s.spent or 0) + whole
    end
    storage_session.touch(s, owner, true)
    if whole > 0 then
      storage_session.touch(s, turn.participant, true)
      if turn.group then
        storage_session.touch(s, turn.group, true)
      end
    end
    return turn, 'participant.expired', extra .. applied .. '}'
  end

  hand_on(s, owner, whole)
  count_cycle(s, turn, ends - s.since)
  local slot = place(s, turn)
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
    return begin_cycle(s, index, next_start), 'participant.expired', extra .. applied .. '}'
  end
  finish(s, 'expired', ends)
  storage_session.set(s, 'expired_by', participant_id)
  return nil, 'session.expired', extra .. applied .. won .. '}'
end

-- The deadline of the current turn when time is up, the grace of lag compensation included; else nil.
local function deadline_reached(s, turn)
  local ends = rules_clock.deadline(s, turn.owner)
  return ends and s.now >= ends + (turn.owner.grace or 0) and ends or nil
end

local function wrong_state(s)
  return nil, nil, call_refusal.state(s.status, s.status == 'expired' and redis.call('HGET', s.key, 'expired_by') or nil)
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
  return current_turn(s), 'session.resumed', (',"late_ms":%d'):format(late)
end

local function is_open(s)
  return s.status == 'pending' or s.status == 'running' or s.status == 'paused'
end

local function start(s)
  if s.status ~= 'pending' then
    return wrong_state(s)
  end
  storage_session.set_status(s, 'running')
  local index = s.active
  if index < 0 then
    index = transitions_rotation.next_participant(s, -1)
  end
  storage_session.set(s, 'started', string.format('%d', s.now))
  return begin_cycle(s, index, s.now), 'session.started'
end

-- Whether the clock that runs while this participant is active is out of the game.
local function is_out(s, participant)
  local owned_by = s.mode.owner
  if s.rules.action == 'notify' or owned_by == 'session' or owned_by == 'cycle' then
    return false
  end
  return storage_session.record(s, s.mode.clock(participant.field, storage_session.group_id(participant))).expired
end

-- options: NEXT, CURRENT
local function switch(s, options)
  if s.status ~= 'running' and not pause_is_over(s) then
    return wrong_state(s)
  end
  local active = s.active
  local index
  if not options.NEXT and not s.mode.by_group then
    index = transitions_rotation.after(s, active)
    storage_session.pair(s, storage_session.participant_field(active), storage_session.participant_field(index))
  end
  local turn = turn_of(s, active)
  if options.CURRENT then
    local active_id = storage_session.participant_id(turn.participant)
    if options.CURRENT ~= active_id then
      if not storage_session.participant(s, options.CURRENT) then
        return nil, nil, call_refusal.participant_not_found(options.CURRENT)
      end
      return nil, nil, call_refusal.current(options.CURRENT, active_id)
    end
  end
  if options.NEXT then
    local named = storage_session.participant(s, options.NEXT)
    if not named then
      return nil, nil, call_refusal.participant_not_found(options.NEXT)
    elseif is_out(s, named) then
      return nil, nil, call_refusal.participant_expired(options.NEXT)
    end
    index = storage_session.participant_index(named)
  end
  if s.status == 'paused' then
    return end_pause(s)
  end
  local ends = deadline_reached(s, turn)
  if ends then
    return expire_turn(s, turn, ends)
  end
  local elapsed = s.now - s.since
  local extra = elapsed <= TOO_FAST_MS and ',"suspicious":"too_fast"' or ''
  local owner = turn.owner
  if s.standing then
    hand_on(s, owner, 0)
  else
    local ran = elapsed - s.offset
    local credit = 0
    if owner.quota_ms then
      credit = rules_lag.credit(owner, options.LAG, ran)
      local whole = rules_clock.budget(s, owner)
      if ran - credit >= whole then
        return expire_turn(s, turn, rules_clock.deadline(s, owner))
      end
      account(s, turn, math.min(ran, whole))
      rules_lag.spend(owner, credit)
      if options.LAG then
        extra = extra .. (',"lag_credit_ms":%d'):format(credit)
      end
    else
      account(s, turn, ran)
    end
    extra = extra .. overtime_used(s, owner, ran - credit)
    hand_on(s, owner, ran - credit)
    controls.settle(owner, ran - credit, s.offset)
  end
  count_cycle(s, turn, elapsed)
  if not index then
    index = transitions_rotation.next_participant(s, place(s, turn))
  end
  return begin_cycle(s, index, s.now), 'cycle.switched', extra
end

local function pause(s)
  if pause_is_over(s) then
    return end_pause(s)
  end
  if s.status ~= 'running' then
    return wrong_state(s)
  end
  local turn = current_turn(s)
  local ends = deadline_reached(s, turn)
  if ends then
    return expire_turn(s, turn, ends)
  end
  s.since = rules_clock.elapsed(s)
  storage_session.set_status(s, 'paused')
  local most = tonumber(redis.call('HGET', s.key, 'max_pause'))
  s.resumes = most and s.now + most
  return turn, 'session.paused'
end

local function resume(s)
  if s.status ~= 'paused' then
    return wrong_state(s)
  elseif pause_is_over(s) then
    return end_pause(s)
  end
  s.since = s.now - s.since
  storage_session.set_status(s, 'running')
  return current_turn(s), 'session.resumed'
end

-- status: completed or cancelled
local function close(s, status)
  if not is_open(s) then
    return wrong_state(s)
  end
  if s.status ~= 'pending' then
    break_cycle(s, current_turn(s), rules_clock.elapsed(s))
  end
  finish(s, status, s.now)
  return nil, 'session.' .. status
end

-- What is due: an expiry, the end of a pause, or one warning, the highest first. Nothing where nothing is due.
local function expire(s)
  if pause_is_over(s) then
    return end_pause(s)
  end
  if s.status ~= 'running' or s.alarm == 0 or s.now < s.alarm then
    return nil
  end
  local turn = current_turn(s)
  local ends = deadline_reached(s, turn)
  if ends then
    return expire_turn(s, turn, ends)
  end
  local threshold, position = rules_clock.next_warning(s)
  s.warn_sent = s.warn_sent:sub(1, position - 1) .. '1' .. s.warn_sent:sub(position + 1)
  return turn, 'time.warning', string.format(',"warning_ms":%d', threshold)
end

-- The record of the clock that an adjust names, or nil with a refusal.
local function named_clock(s, options)
  local owned_by = s.mode.owner
  local problem
  if owned_by == 'participant' then
    problem = (options.GROUP and { 'GROUP', 'has no clock in this mode: name a PARTICIPANT' })
      or (not options.PARTICIPANT and { 'PARTICIPANT', 'is required: in this mode each participant has a clock' })
  elseif owned_by == 'group' then
    problem = (options.PARTICIPANT and { 'PARTICIPANT', 'has no clock in this mode: name a GROUP' })
      or (not options.GROUP and { 'GROUP', 'is required: in this mode each group has a clock' })
  elseif options.PARTICIPANT or options.GROUP then
    problem = { options.PARTICIPANT and 'PARTICIPANT' or 'GROUP', 'has no clock in this mode: the ' .. owned_by .. ' has it' }
  end
  if problem then
    return nil, call_refusal.validation({ problem })
  end
  local record
  if options.PARTICIPANT then
    record = storage_session.participant(s, options.PARTICIPANT)
  elseif options.GROUP then
    record = storage_session.group(s, options.GROUP)
  elseif owned_by == 'cycle' and s.status == 'pending' then
    return nil, call_refusal.state(s.status)
  else
    record = storage_session.record(s, s.mode.clock())
  end
  if not record then
    return nil, call_refusal.participant_not_found(options.PARTICIPANT or options.GROUP)
  end
  return record
end

-- options: PARTICIPANT or GROUP or neither, SET or ADD, WITHIN, REASON
local function adjust(s, options)
  if not is_open(s) then
    return wrong_state(s)
  end
  local owner, refused = named_clock(s, options)
  if not owner then
    return nil, nil, refused
  end
  local turn = current_turn(s)
  local runs = turn and turn.owner == owner and storage_events.is_live(s)
  if owner.control.endless and not s.mode.counts_up then
    return nil, nil, call_refusal.validation({ { options.SET and 'SET' or 'ADD', 'has no effect on a clock without end' } })
  elseif runs and pause_is_over(s) then
    return end_pause(s)
  elseif runs and s.status == 'running' then
    local ends = deadline_reached(s, turn)
    if ends then
      return expire_turn(s, turn, ends)
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
      return nil, nil, call_refusal.validation({ { 'ADD', 'needs a maximum: this session has none yet, SET one' } })
    end
    storage_session.set_session_control(s, owner, 'fischer 0 0')
    owner.bank = elapsed
    storage_session.touch(s, owner, true)
  end
  -- What the bank is at this moment: in periods and blocks as far below zero as they are used. So a SET begins them anew, as if the main time had
  -- that much left.
  local reads = owner.bank
  if runs and not s.standing then
    reads = owner.bank - controls.drawn(owner, elapsed - s.offset, s.offset)
  end
  local moved = (options.SET or math.max(reads + options.ADD, math.min(reads, 0))) - reads
  if moved > 0 and owner.expired then
    owner.expired = false
    if s.mode.owner == 'participant' then
      transitions_rotation.mark(s, storage_session.participant_index(owner), '1')
    elseif s.mode.owner == 'group' then
      local first = transitions_rotation.first_member(storage_session.members(s, owner.field:sub(3)))
      if first then
        transitions_rotation.mark(s, first, '1')
      end
    end
    if runs then
      s.offset = elapsed
      s.standing = false
    end
  end
  owner.bank = owner.bank + moved
  if moved ~= 0 then
    storage_session.touch(s, owner, true)
  end
  if runs and not s.standing then
    rules_clock.warn_below(s, rules_clock.remaining(s, owner), false)
  end
  local extra = string.format(',"adjusted_ms":%d', moved)
  if options.REASON then
    extra = extra .. ',"adjust_reason":' .. text_json.quote(options.REASON)
  end
  return turn, 'time.adjusted', extra
end

-- participant: a checked one of config.lua, with id, index (nil: the highest + 1), group_id, bank, control, shown(index).
local function join(s, participant)
  if not is_open(s) then
    return wrong_state(s)
  end
  local problems = {}
  local index = participant.index or #s.rotation
  if redis.call('HEXISTS', s.key, 'i:' .. participant.id) == 1 then
    problems[#problems + 1] = { 'participant_id', 'is in the session already' }
  end
  if index > 999 then
    problems[#problems + 1] = { 'participant_index', 'must be given: there is none above 999' }
  elseif redis.call('HEXISTS', s.key, storage_session.participant_field(index)) == 1 then
    problems[#problems + 1] = { 'participant_index', 'is taken' }
  end
  local group_id = participant.group_id
  local group
  if group_id then
    group = storage_session.group(s, group_id)
    if not group then
      problems[#problems + 1] = { 'group_id', 'is no group of this session' }
    end
  elseif s.mode.by_group then
    problems[#problems + 1] = { 'group_id', 'is required: in this mode each participant belongs to a group' }
  end
  local owns = s.mode.owner == 'participant'
  local control = { shown = 'null' }
  local bank
  if owns then
    local defaults = config.without_nulls(cjson.decode('{' .. redis.call('HGET', s.key, 'shown') .. '}'))
    local function problem(field, message)
      problems[#problems + 1] = { field, message }
    end
    local default = config_control.check(defaults.time_control, 'time_control', problem, defaults)
    if participant.time_control ~= nil then
      control = config_control.check(participant.time_control, 'time_control', problem, defaults)
    end
    local given = participant.time_control or defaults.time_control
    bank = config.bank(participant, given, participant.time_control == nil and default or control, '', problem,
      'is required: in this mode each participant has a clock')
    control = control or {}
  elseif participant.time_control ~= nil then
    problems[#problems + 1] = { 'time_control', 'has no effect in this mode: a participant has no clock' }
  end
  if #problems > 0 then
    return nil, nil, call_refusal.validation(problems)
  end

  local turn = current_turn(s)
  storage_session.add_participant(s, index, participant.id, bank, control.text, storage_session.participant_shown(participant.id, index, group_id, control.shown))
  if s.mode.by_group then
    local first = transitions_rotation.first_member(storage_session.members(s, group_id))
    if not first or index < first then
      if first then
        transitions_rotation.mark(s, first, '.')
      end
      transitions_rotation.mark(s, index, group.expired and s.rules.action ~= 'notify' and 'x' or '1')
    else
      transitions_rotation.mark(s, index, '.')
    end
  else
    transitions_rotation.mark(s, index, '1')
  end
  if group then
    storage_session.set_members(s, group_id, transitions_rotation.with_member(storage_session.members(s, group_id), index))
  end
  return turn, 'participant.added'
end

-- Takes a member out of its group, and its group's turn to the lowest index that is left. Returns where that turn stands now, or nil.
local function leave_group(s, group_id, index)
  local members = storage_session.members(s, group_id)
  if storage_session.last_active(s, group_id) == index then
    storage_session.set_last_active(s, group_id, transitions_rotation.member_before(members, index))
  end
  local rest = transitions_rotation.without_member(members, index)
  storage_session.set_members(s, group_id, rest)
  if not s.mode.by_group then
    return nil
  end
  local first = transitions_rotation.first_member(rest)
  if first and first > index then
    local character = s.rotation:sub(index + 1, index + 1)
    transitions_rotation.mark(s, first, character)
  end
  return first
end

-- The index of the participant whose turn comes after the one who left at `index`, whose group's turn stands at `slot` now. A group that stands
-- between them has its turn before that one comes again.
local function next_after_leave(s, index, slot)
  if slot <= index then
    return transitions_rotation.next_participant(s, slot)
  end
  local all = s.rotation
  transitions_rotation.mark(s, slot, '.')
  local following = transitions_rotation.next_participant(s, index)
  storage_session.set_rotation(s, all)
  return following or transitions_rotation.next_participant(s, slot)
end

local function leave(s, id)
  if not is_open(s) then
    return wrong_state(s)
  end
  local participant = storage_session.participant(s, id)
  if not participant then
    return nil, nil, call_refusal.participant_not_found(id)
  end
  local index = storage_session.participant_index(participant)
  local others = s.rotation:sub(1, index) .. s.rotation:sub(index + 2)
  if not others:find('[^_]') then
    return nil, nil, call_refusal.validation({ { 'participant_id', 'is the last participant of the session, who cannot leave' } })
  end
  local turn = current_turn(s)
  local plays = s.active == index and storage_events.is_live(s)
  if plays then
    if pause_is_over(s) then
      return end_pause(s)
    end
    local ends = deadline_reached(s, turn)
    if ends then
      return expire_turn(s, turn, ends)
    end
    break_cycle(s, turn, rules_clock.elapsed(s))
  end
  local slot = index
  local group_id = storage_session.group_id(participant)
  if group_id then
    slot = leave_group(s, group_id, index) or index
  end
  transitions_rotation.mark(s, index, '_')
  if plays and slot ~= index and turn.owner.expired and s.mode.by_group and s.rules.action ~= 'notify' then
    transitions_rotation.mark(s, slot, 'x') -- its budget was used up, the grace was not over
  end
  storage_session.remove_participant(s, participant)
  local extra = ',"removed_participant_id":"' .. id .. '"'
  if plays then
    local following = next_after_leave(s, index, slot)
    if following then
      turn = begin_cycle(s, following, s.now)
    else
      finish(s, 'expired', s.now)
      turn = nil
    end
  elseif s.active == index then
    s.active = -1
    turn = nil
  end
  return turn, 'participant.removed', extra
end

return {
  current_turn = current_turn, start = start, switch = switch, pause = pause, resume = resume, close = close, expire = expire, adjust = adjust,
  join = join, leave = leave,
}
