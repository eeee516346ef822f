-- Adds participants to a session and removes them.

local function count_participants(s)
  local _, participants = s.rotation:gsub('[^_]', '')
  return participants
end

-- How many stages all clocks of the session have together, and whether that is stored. It is not while each
-- has as many as the session's control.
local function count_stages(s)
  local stored = storage_session.field(s, 'stages')
  if stored then
    return tonumber(stored), true
  end
  return count_participants(s) * config_bank.stages(controls.decode(s.rules.control)), false
end

-- participant: see read_participant in config/participants.lua. Without an index it gets the highest one + 1.
local function join(s, participant)
  if not transitions_cycle.is_open(s) then
    return transitions_cycle.wrong_state(s)
  end
  local problems = {}
  local index = participant.index or #s.rotation
  if storage_participants.has_id(s, participant.id) then
    problems[#problems + 1] = { 'participant_id', 'is in the session already' }
  end
  if index > 999 then
    problems[#problems + 1] = { 'participant_index', 'must be given: there is none above 999' }
  elseif storage_participants.has_index(s, index) then
    problems[#problems + 1] = { 'participant_index', 'is taken' }
  end
  local group_id = participant.group_id
  local group
  if group_id then
    group = storage_participants.group(s, group_id)
    if not group then
      problems[#problems + 1] = { 'group_id', 'is no group of this session' }
    end
  elseif s.mode.by_group then
    problems[#problems + 1] = { 'group_id', 'is required: in this mode each participant belongs to a group' }
  end
  local owns = s.mode.owner == 'participant'
  local control = { json = 'null' }
  local bank, stages, is_stored
  if owns then
    local defaults = config_members.without_nulls(storage_session.configured(s))
    local function problem(field, message)
      problems[#problems + 1] = { field, message }
    end
    local default = config_control.check(defaults.time_control, '', problem, defaults)
    if participant.time_control ~= nil then
      control = config_control.check(participant.time_control, '', problem, defaults)
    end
    local given = participant.time_control or defaults.time_control
    local governing = participant.time_control == nil and default or control
    bank = config_bank.bank(participant, given, governing, '', problem,
      'is required: in this mode each participant has a clock')
    control = control or {}
    local own = config_bank.stages(controls.decode(control.text or s.rules.control))
    stages, is_stored = count_stages(s)
    stages, is_stored = stages + own, is_stored or control.text ~= nil
    if stages > config_bank.MOST_STAGES then
      problems[#problems + 1] = { 'time_control', config_bank.TOO_MANY_STAGES }
    end
  else
    local function problem(field, message)
      problems[#problems + 1] = { field, message }
    end
    if participant.time_control ~= nil then
      problem('time_control', 'has no effect in this mode: a participant has no clock')
    end
    if not s.mode.by_group then
      config_bank.refuse_zero(participant, '', problem)
    elseif group and not storage_record.has_own_control(group.fixed_json) and (count_participants(s) + 1)
      * config_bank.stages(controls.decode(s.rules.control)) > config_bank.MOST_STAGES then
      problem('group_id', config_bank.TOO_MANY_STAGES)
    end
  end
  if #problems > 0 then
    return nil, nil, call_refusal.validation(problems)
  end

  if is_stored then
    storage_session.set(s, 'stages', text_formats.integer(stages))
  end
  local turn = transitions_cycle.current_turn(s)
  storage_participants.add(s, index, participant.id, bank, control.text,
    storage_record.participant_fixed_json(participant.id, index, group_id, control.json))
  if s.mode.by_group then
    local first = transitions_rotation.first_member(storage_participants.members(s, group_id))
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
    storage_participants.set_members(s, group_id,
      transitions_rotation.with_member(storage_participants.members(s, group_id), index))
  end
  return turn, 'participant.added'
end

-- Removes a member from its group. In per_group the turn of the group moves to the lowest index that is left.
-- Returns that index, nil when there is none.
local function leave_group(s, group_id, index)
  local members = storage_participants.members(s, group_id)
  local rest = transitions_rotation.without_member(members, index)
  storage_participants.set_members(s, group_id, rest)
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

-- The index of the participant that is active after the one at `index` has left. slot: the index that has the
-- turn of its group now. With A (0) and C (2) in one group and B (1) and D (3) in two others, the turn of A's
-- group moves to C when A leaves. B is next then, not D, although D comes after C.
local function next_after_leave(s, index, slot)
  if slot <= index then
    return transitions_rotation.next_participant(s, slot)
  end
  local rotation = s.rotation
  transitions_rotation.mark(s, slot, '.')
  local following = transitions_rotation.next_participant(s, index)
  storage_session.set_rotation(s, rotation)
  return following or transitions_rotation.next_participant(s, slot)
end

local function leave(s, id)
  if not transitions_cycle.is_open(s) then
    return transitions_cycle.wrong_state(s)
  end
  local participant = storage_participants.participant(s, id)
  if not participant then
    return nil, nil, call_refusal.participant_not_found(id)
  end
  local index = storage_record.participant_index(participant)
  local others = s.rotation:sub(1, index) .. s.rotation:sub(index + 2)
  if not others:find('[^_]') then
    return nil, nil, call_refusal.validation({ { 'participant_id',
      'is the last participant of the session, who cannot leave' } })
  end
  local turn = transitions_cycle.current_turn(s)
  local has_turn = s.active == index and rules_clock.is_live(s)
  if has_turn or transitions_expiry.is_first(s, participant) then
    local after, event, due_extra = transitions_expiry.due(s, turn)
    if event then
      return after, event, due_extra
    end
  end
  if has_turn then
    transitions_cycle.break_cycle(s, turn, rules_clock.elapsed(s))
  end
  local slot = index
  local group_id = storage_record.group_id(participant)
  if group_id then
    slot = leave_group(s, group_id, index) or index
  end
  transitions_rotation.mark(s, index, '_')
  if has_turn and slot ~= index and turn.owner.expired and s.mode.by_group and s.rules.action ~= 'notify' then
    transitions_rotation.mark(s, slot, 'x') -- the group left within the grace, with its whole budget used
  end
  if s.mode.owner == 'participant' then
    local stages, is_stored = count_stages(s)
    if is_stored then
      local own = storage_session.field(s, 'c:' .. participant.field) or s.rules.control
      stages = stages - config_bank.stages(controls.decode(own))
      storage_session.set(s, 'stages', text_formats.integer(stages))
    end
  end
  storage_participants.remove(s, participant)
  local extra = ',"removed_participant_id":"' .. id .. '"'
  if has_turn then
    local following = next_after_leave(s, index, slot)
    -- A bank of the session may be used up without a deadline: while paused, by an adjust.
    if following and not transitions_cycle.is_used_up(s, turn.owner) then
      turn = transitions_cycle.begin_cycle(s, following, s.now)
    else
      -- Once it is reopened, it goes on with the next one, who may be out as all are.
      s.active = following or transitions_rotation.with_nobody_out(s, next_after_leave, index, slot)
      transitions_cycle.finish(s, 'expired', s.now)
      turn = nil
    end
  elseif s.active == index then
    s.active = -1
    turn = nil
  end
  return turn, 'participant.removed', extra
end

return {
  join = join,
  leave = leave,
}
