-- sk_turn: says whose turn it is, without a switch.

-- The texts of the records of a turn, as they are stored.
local function values(turn)
  return { participant = storage_record.encode(turn.participant),
    group = turn.group and storage_record.encode(turn.group) }
end

-- id: of the participant whose turn it is from now on. In a pause the cycle under way is given up: it is
-- charged, but it neither counts nor earns anything, and in an hourglass nobody gets what it used.
local function set_turn(s, id)
  local is_due = transitions_expiry.is_due(s)
  if s.status ~= 'pending' and s.status ~= 'paused' and not is_due then
    return transitions_cycle.wrong_state(s)
  end
  local named = storage_participants.participant(s, id)
  if not named then
    return nil, nil, call_refusal.participant_not_found(id)
  elseif transitions_cycle.is_out(s, named) then
    return nil, nil, call_refusal.participant_expired(id)
  end
  if is_due then
    return transitions_expiry.due(s)
  end
  local index = storage_record.participant_index(named)
  if s.status == 'pending' then
    s.active = index
    return transitions_cycle.turn_of(s, index), 'turn.set'
  end
  local turn = transitions_cycle.current_turn(s)
  local before, was = values(turn), s.active
  transitions_cycle.give_up_cycle(s, turn, rules_clock.elapsed(s))
  transitions_cycle.mark_if_out(s, turn)
  local following = transitions_cycle.begin_cycle(s, index, s.now)
  -- Where the same one is active, or another one of the group, nothing of it changed without a charge.
  if was == index then
    storage_record.hide_unchanged(turn.participant, before.participant)
  end
  if following.group == turn.group then
    storage_record.hide_unchanged(turn.group, before.group)
  end
  return following, 'turn.set'
end

return { set_turn = set_turn }
