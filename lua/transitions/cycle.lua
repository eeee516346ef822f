-- The cycle: whose turn it is, how a cycle begins, and how it is charged when it ends.
--
-- A transition changes the session `s` in memory and returns
--   turn    whose turn it is afterwards: {participant, group, owner}, records; group may be nil. nil when no
--           participant is active
--   event   the name of the event; nil when nothing changed
--   extra   further members of the payload, each with a comma before it; nil for none. Without an event it is
--           a refusal, or nil when there is nothing to do

-- The turn of the participant with this index.
local function turn_of(s, index)
  local mode = s.mode
  local field = storage_record.participant_field(index)
  local participant, owner, group_id
  if mode.owner == 'participant' then
    participant = storage_record.load(s, field)
    owner = participant
    group_id = storage_record.group_id(participant)
  elseif mode.owner == 'group' then
    participant = storage_record.load(s, field)
    group_id = storage_record.group_id(participant)
    owner = storage_record.load(s, mode.clock(field, group_id))
  else
    participant, owner = storage_record.load_pair(s, field, mode.clock())
    group_id = storage_record.group_id(participant)
  end
  return { participant = participant, group = group_id and storage_participants.group(s, group_id),
    owner = owner }
end

-- Whose turn it is now; nil when no participant is active.
local function current_turn(s)
  if s.active >= 0 then
    return turn_of(s, s.active)
  end
end

-- The index that has the current turn in the rotation. In per_group it is the lowest index of the group.
local function place(s, turn)
  if s.mode.by_group then
    local members = storage_participants.members(s, storage_record.group_id(turn.participant))
    return transitions_rotation.first_member(members)
  end
  return s.active
end

-- Begins a cycle of the participant with this index at server time `at`. In a paused session the cycle waits
-- at its start. Returns the turn.
local function begin_cycle(s, index, at)
  s.active = index
  s.since = s.status == 'paused' and 0 or at
  s.offset = 0
  s.spent = nil
  local turn = turn_of(s, index)
  local owner, group = turn.owner, turn.group
  if s.mode.owner == 'cycle' then
    owner.bank, owner.expired = s.rules.cycle_ms, false
    storage_record.touch(s, owner, true)
  elseif s.transferred_ms then
    owner.bank = owner.bank + s.transferred_ms
    owner.expired = owner.expired and s.transferred_ms == 0
    storage_record.touch(s, owner, true)
  end
  s.flagged = owner.expired
  storage_record.touch(s, turn.participant)
  if group then
    storage_record.touch(s, group)
    if s.mode.by_group then
      storage_participants.set_last_active(s, storage_record.group_id(turn.participant), index)
    end
  end
  if s.warned then
    local left = not s.flagged and rules_clock.idle(owner) or nil
    rules_clock.warn_below(s, left and s.total_left and math.min(left, s.total_left) or left, true)
  end
  return turn
end

-- The member `overtime_used_ms` of the payload for a cycle that used so many ms; '' when it used no overtime.
local function overtime_used(s, owner, used)
  if owner.control.overtime == 0 then
    return ''
  end
  local over = used - math.max(0, math.min(used, owner.control.rule.budget(owner, s.offset)))
  return over > 0 and (',"overtime_used_ms":%d'):format(over) or ''
end

-- Adds the used ms of a cycle to the participant that was active, to its group and to the session.
local function account(s, turn, used)
  turn.participant.used = turn.participant.used + used
  if turn.group then
    turn.group.used = turn.group.used + used
  end
  s.used = s.used + used
end

-- Counts a cycle that has ended. ran: for how many ms it ran.
local function count_cycle(s, turn, ran)
  if s.total_left then
    s.total_left = math.max(0, s.total_left - ran)
  end
  turn.participant.cycles = turn.participant.cycles + 1
  storage_record.touch(s, turn.participant, true)
  if turn.group then
    turn.group.cycles = turn.group.cycles + 1
    storage_record.touch(s, turn.group, true)
  end
  storage_record.touch(s, turn.owner, true)
  s.count = s.count + 1
end

-- Charges the whole budget of the current clock: the clock has expired.
local function charge_all(s, turn)
  local owner = turn.owner
  local whole = rules_clock.budget(s, owner)
  account(s, turn, whole)
  controls.charge(owner, whole, s.offset)
  owner.expired = true
end

-- Charges the current cycle, which ran for `elapsed` ms, at most its budget and without a credit.
local function charge(s, turn, elapsed)
  if s.flagged then
    return
  end
  local owner = turn.owner
  local used = elapsed - s.offset
  if used >= rules_clock.budget(s, owner) then
    charge_all(s, turn)
  else
    controls.charge(owner, used, s.offset)
    account(s, turn, used)
  end
end

-- `elapsed`, but not more than is left of the session's total.
local function within_total(s, elapsed)
  return s.total_left and elapsed > s.total_left and s.total_left or elapsed
end

-- Ends the current cycle, which ran for `elapsed` ms, without a switch: it is charged, at most its budget,
-- and counted, but there is no credit.
local function break_cycle(s, turn, elapsed)
  elapsed = within_total(s, elapsed)
  charge(s, turn, elapsed)
  count_cycle(s, turn, elapsed)
end

-- Whether the session is over because the bank that it owns has run out. owner: the clock whose cycle has
-- ended. Under `notify` the bank stands at its end.
local function is_used_up(s, owner)
  return s.mode.owner == 'session' and owner.expired and s.rules.action ~= 'notify'
end

-- Gives the current cycle up, which ran for `elapsed` ms: it is charged, but it does not count as a turn.
local function give_up_cycle(s, turn, elapsed)
  elapsed = within_total(s, elapsed)
  charge(s, turn, elapsed)
  if s.total_left then
    s.total_left = s.total_left - elapsed
  end
  storage_record.touch(s, turn.participant, true)
  if turn.group then
    storage_record.touch(s, turn.group, true)
  end
  storage_record.touch(s, turn.owner, true)
end

-- Keeps the maximum of a count_up clock where it is when so many ms are charged to nobody, or are not used
-- any more. The maximum is what was used and the bank: see modes/count_up.lua.
local function keep_maximum(s, owner, ms)
  if s.mode.counts_up and ms ~= 0 then
    owner.used = owner.used + ms
    storage_record.touch(s, owner, true)
  end
end

-- Makes the rotation agree with the clock of a turn: whose clock has run out is out. Nobody is out under
-- `notify`, nor where the session or the cycle owns the clock.
local function mark_if_out(s, turn)
  local owned_by = s.mode.owner
  if s.rules.action ~= 'notify' and (owned_by == 'participant' or owned_by == 'group') then
    transitions_rotation.mark(s, transitions_rotation.slot(s, turn.owner), turn.owner.expired and 'x' or '1')
  end
end

-- Whether this participant is out, because its clock has run out. Under `notify` participants are never out.
local function is_out(s, participant)
  local owned_by = s.mode.owner
  if s.rules.action == 'notify' or owned_by == 'session' or owned_by == 'cycle' then
    return false
  end
  local clock_field = s.mode.clock(participant.field, storage_record.group_id(participant))
  return storage_record.load(s, clock_field).expired
end

-- Whether the session's total is used up.
local function has_total_ended(s)
  return s.total_left ~= nil and s.total_left <= 0
end

-- Whether the current cycle cannot go on, because its clock, or the session's total, has run out.
local function is_over(s, turn)
  return (s.rules.action ~= 'notify' and turn.owner.expired) or has_total_ended(s)
end

-- In an hourglass the next clock gets the time that this cycle used. used: the ms that are charged now;
-- s.spent: those that were charged when the clock ran out earlier in this cycle.
local function transfer(s, owner, used)
  if owner.control.rule.TRANSFERS_TIME then
    s.transferred_ms = (s.spent or 0) + used
  end
end

-- The index of the participant that is active when a pending session starts.
local function first_index(s)
  return s.active >= 0 and s.active or transitions_rotation.next_participant(s, -1)
end

-- Starts a pending session: its first cycle begins at server time `at`. Returns the turn.
local function begin_session(s, at)
  storage_session.set_status(s, 'running')
  storage_session.set(s, 'started', string.format('%d', at))
  s.starts_at = nil
  return begin_cycle(s, first_index(s), at)
end

-- Ends the session with this status. at: the server time in ms at which it was over. Who was active is kept
-- for sk_reopen.
local function finish(s, status, at)
  transitions_limits.charge_pause(s, at)
  storage_session.set_status(s, status)
  storage_session.set(s, 'was', storage_record.index_text(s.active))
  s.active, s.since, s.offset, s.flagged = -1, 0, 0, false
  storage_session.set(s, 'completed', string.format('%d', at))
end

-- Whether the session is not finished.
local function is_open(s)
  return s.status == 'pending' or s.status == 'running' or s.status == 'paused'
end

-- The refusal, as a transition returns it, of a call that the session's status does not allow.
local function wrong_state(s)
  return nil, nil, call_refusal.state(s.status, s.status == 'expired'
    and storage_session.field(s, 'expired_by') or nil)
end

return {
  turn_of = turn_of,
  current_turn = current_turn,
  place = place,
  begin_cycle = begin_cycle,
  overtime_used = overtime_used,
  account = account,
  count_cycle = count_cycle,
  charge_all = charge_all,
  break_cycle = break_cycle,
  is_used_up = is_used_up,
  give_up_cycle = give_up_cycle,
  keep_maximum = keep_maximum,
  mark_if_out = mark_if_out,
  is_out = is_out,
  has_total_ended = has_total_ended,
  is_over = is_over,
  transfer = transfer,
  first_index = first_index,
  begin_session = begin_session,
  finish = finish,
  is_open = is_open,
  wrong_state = wrong_state,
}
