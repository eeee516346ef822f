-- sk_takeback: what the last turns changed comes back.

-- Charges the clock that the session owns, or its total, for the current cycle. Such a clock runs on.
local function run_on(s, turn)
  local elapsed = rules_clock.elapsed(s)
  if s.total_left then
    s.total_left = math.max(0, s.total_left - elapsed)
  end
  local owner = turn.owner
  if s.mode.owner ~= 'session' or s.flagged then
    return
  end
  local whole, used = rules_clock.budget(s, owner), elapsed - s.offset
  if used >= whole then
    used, owner.expired = whole, true
  end
  controls.charge(owner, used, s.offset)
  transitions_cycle.keep_maximum(s, owner, used)
  storage_record.touch(s, owner, true)
end

-- Gives a participant or a group what it had. Returns how many ms less it has used then.
local function restore(s, record)
  local now = storage_record.load(s, record.field)
  if storage_record.encode(now) == storage_record.encode(record) then
    return 0
  end
  s[record.field] = record
  storage_record.touch(s, record, true)
  if now.expired ~= record.expired and record.owns and s.rules.action ~= 'notify' then
    transitions_rotation.mark(s, transitions_rotation.slot(s, record), record.expired and 'x' or '1')
  end
  return now.used - record.used
end

-- options: TURNS
local function takeback(s, options)
  if not rules_clock.is_live(s) and not transitions_expiry.is_due(s) then
    return transitions_cycle.wrong_state(s)
  end
  local turn = transitions_cycle.current_turn(s)
  local after, event, extra = transitions_expiry.due(s, turn)
  if event then
    return after, event, extra
  end
  local turns = options.TURNS or 1
  local found, refused = transitions_turns.find(s, turns)
  if not found then
    return nil, nil, refused
  end

  -- All that is needed is found before anything changes.
  local records, fields = {}, transitions_turns.changed_since(found)
  for i = 1, #fields do
    local record = transitions_turns.record_then(s, found, fields[i])
    if not record then
      return nil, nil, transitions_turns.unknown(s, found, fields[i])
    end
    records[i] = record
  end
  local last = {}
  if s.mode.by_group then
    local group_id
    last, group_id = transitions_turns.last_active_since(s, found)
    if not last then
      return nil, nil, transitions_turns.unknown(s, found, 'g:' .. group_id)
    end
  end

  run_on(s, turn)
  local less = 0
  for i = 1, #records do
    local fewer = restore(s, records[i])
    if records[i].kind == storage_record.PARTICIPANT_KIND then
      less = less + fewer
    end
  end
  transitions_cycle.keep_maximum(s, turn.owner, less)
  s.used = s.used - less
  s.count = transitions_turns.count_then(found)
  for i = 1, #last do
    storage_participants.set_last_active(s, last[i][1], last[i][2])
  end
  storage_record.touch(s, s[turn.participant.field])
  if turn.group then
    storage_record.touch(s, s[turn.group.field])
  end
  turn = transitions_cycle.begin_cycle(s, transitions_turns.active_then(found), s.now)
  return turn, 'turn.taken_back', (',"turns":%d'):format(turns)
end

return { takeback = takeback }
