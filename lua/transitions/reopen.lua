-- sk_reopen: a session that is over goes on.

-- The index of who was active when the session ended. Libraries before 0.5.0 did not keep it: then it is
-- whose clock ended the session, or else who was active in the log.
local function active_at_end(s)
  local was = storage_session.field(s, 'was')
  if was then
    return tonumber(was)
  end
  local expired_by = storage_session.field(s, 'expired_by')
  local participant = expired_by and storage_participants.participant(s, expired_by)
  return participant and storage_record.participant_index(participant)
    or transitions_turns.newest_active(s) or -1
end

-- The participant with this index; where it has left, the next one in rotation, who may be out when all are.
-- Only libraries before 0.5.1 kept an index of somebody who had left.
local function still_there(s, index)
  if index >= 0 and storage_participants.has_index(s, index) then
    return index
  end
  local search = transitions_rotation.next_participant
  return search(s, index) or transitions_rotation.with_nobody_out(s, search, index)
end

-- Nobody is charged or given anything. The session stands as in a pause, at the start of a cycle, until it is
-- resumed; when it had not started, it is pending.
local function reopen(s)
  if s.status == 'pending' or rules_clock.is_live(s) then
    return transitions_cycle.wrong_state(s)
  end
  local index = active_at_end(s)
  storage_session.remove(s, 'completed')
  storage_session.remove(s, 'expired_by')
  storage_session.remove(s, 'was')
  if not storage_session.field(s, 'started') then
    storage_session.set_status(s, 'pending')
    s.active = index >= 0 and storage_participants.has_index(s, index) and index or -1
    return transitions_cycle.current_turn(s), 'session.reopened'
  end
  storage_session.set_status(s, 'paused')
  s.resumes = nil
  local turn = transitions_cycle.begin_cycle(s, still_there(s, index), s.now)
  transitions_cycle.mark_if_out(s, turn)
  return turn, 'session.reopened'
end

return { reopen = reopen }
