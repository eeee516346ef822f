-- The turns that the log of a session tells of, and what was stored when each of them began. So a switch need
-- not keep anything for sk_takeback.
--
-- An event lists all participants and groups whose stored values it changed, and the one that begins a cycle
-- lists whose turn it is. So what an owner had at a version is in the newest event up to that version that
-- lists it. Where the log does not reach back to that one, the next one that lists it tells: it begins a
-- cycle of this owner, which changes nothing but what an hourglass gives it.

local MOST_EVENTS = 128 -- how much of the log is read at most, to bound the work of one call

-- The parts of an event. Texts that come from callers are all behind its groups.
local HEAD = '^{"v":1,"type":"[%u_]+","session_id":"[^"]*","version":(%d+),"epoch":"[^"]*",'
  .. '"server_time_ms":%d+,"payload":{"event":"([%l._]+)","reason":"%l+","status":"(%l+)",'
  .. '"active_participant_id":"?([^",]+)"?,"active_group_id":"?([^",]+)"?,"cycle_started_at":[^,]+,'
  .. '"deadline_ms":[^,]+,"time_remaining_ms":[^,]+,"cycle_count":(%d+),"participants":%[()'
local PARTICIPANTS_END, GROUPS_END = '],"groups":[', '],"actor":'
local RECORD = '{"total_time_ms":([-%d]*)n?u?l?l?,"time_used_ms":(%d+),"time_remaining_ms":[^,]+,'
  .. '"cycle_count":(%d+),"is_active":(%l+),"has_expired":(%l+),"clock":({?[^{}]-}?),'
local PARTICIPANT = RECORD .. '"participant_id":"[^"]*","group_id":[^,]*,"participant_index":(%d+)'
local GROUP = RECORD .. '"group_id":"([^"]*)","time_control"'
local TURNS = ',"turns":(%d+)'

-- What does not keep a turn from being taken back: these change nothing of what the cycles before left.
local PASSES = { ['session.paused'] = true, ['session.resumed'] = true, ['time.warning'] = true,
  ['session.expired'] = true, ['session.completed'] = true, ['session.cancelled'] = true,
  ['session.moved'] = true, ['session.arrived'] = true, ['metadata.changed'] = true }
-- What begins a cycle, besides an expiry that goes on. Of a session that was reopened it is that of who was
-- active at its end.
local BEGINS = { ['session.started'] = true, ['cycle.switched'] = true, ['session.reopened'] = true,
  ['turn.taken_back'] = true }
-- What also begins one, and cannot be taken back itself.
local BEGINS_ANEW = { ['turn.set'] = true, ['participant.removed'] = true }

-- Adds the records that an event lists to `owners`, by their fields. A record is {bank, used, cycles,
-- expired, clock}, as it is stored: texts, but for `expired`; bank is nil for a clock without end. Returns
-- the last key among them that is active.
local function read_records(text, pattern, prefix, owners)
  local active
  for bank, used, cycles, is_active, expired, clock, key in text:gmatch(pattern) do
    owners[prefix .. key] = { bank = bank ~= '' and bank or nil, used = used, cycles = cycles,
      expired = expired == 'true', clock = (clock == 'null' or clock == '{}') and '' or clock }
    if is_active == 'true' then
      active = key
    end
  end
  return active
end

-- An event of the log: version, name, status, active_id, group_id, count; `owners`, the records that it lists
-- by their fields; active_index, when it lists the active participant; turns of a takeback. nil for a text
-- that the library did not write.
local function read(text)
  local version, name, status, active_id, group_id, count, from = text:match(HEAD)
  local people_end, groups_from = text:find(PARTICIPANTS_END, from or 1, true)
  local groups_end = people_end and text:find(GROUPS_END, groups_from, true)
  if not version or not groups_end then
    return nil
  end
  local owners = {}
  local active = read_records(text:sub(from, people_end - 1), PARTICIPANT, 'p', owners)
  read_records(text:sub(groups_from + 1, groups_end), GROUP, 'g:', owners)
  return { version = tonumber(version), name = name, status = status, active_id = active_id,
    group_id = group_id ~= 'null' and group_id or nil, count = tonumber(count), owners = owners,
    active_index = tonumber(active), live = status == 'running' or status == 'paused',
    turns = name == 'turn.taken_back' and tonumber(text:match(TURNS, groups_end)) }
end

-- The newest events of the log, without gaps, oldest first; none when the log does not end with the session's
-- version.
local function read_log(s)
  local texts = storage_events.newest(s.keys[2], MOST_EVENTS)
  local first = #texts + 1
  local events = {}
  for i = #texts, 1, -1 do
    local event = read(texts[i])
    if not event or event.version ~= s.version - (#texts - i) then
      break
    end
    first = i
    events[i] = event
  end
  return { unpack(events, first, #texts) }
end

local function copy(map)
  local same = {}
  for key, value in pairs(map) do
    same[key] = value
  end
  return same
end

-- Whether this event begins a cycle.
local function begins(s, event)
  if event.name == 'participant.expired' then
    return s.rules.action ~= 'notify'
  end
  return event.live and event.active_index ~= nil
    and (BEGINS[event.name] or BEGINS_ANEW[event.name]) or false
end

-- Plays the events again as a stack of cycles. Returns
--
--   stack    the cycles that a takeback can reach, oldest first, the current one last. Each has the
--            `position` of the event that began it, and `last`: the index of who of each group was active
--            last, by the group's id, and whether the groups that are not there have had nobody (`all_known`)
--   before   by the position of each event that began a cycle, that of the event that had begun the one
--            before it
--   barrier  the event that keeps the ones before from being taken back; nil when there are none
--   reaches  whether the log tells of the first cycle, or of the barrier
local function play(s, events)
  local stack, barrier, reaches = {}, nil, false
  local before = {}
  local last, all_known = {}, false
  for position = 1, #events do
    local event = events[position]
    local name = event.name
    if name == 'turn.set' and event.live and not event.active_index then -- the same one, without a change
      local participant = storage_participants.participant(s, event.active_id)
      event.active_index = participant and storage_record.participant_index(participant)
    end
    local current = stack[#stack]
    if name == 'turn.taken_back' then
      for _ = 1, math.min(event.turns, #stack) do
        stack[#stack] = nil
      end
      local begun = stack[#stack]
      last, all_known = begun and copy(begun.last) or {}, begun ~= nil and begun.all_known
      stack[#stack] = nil -- it begins once more, with this event
    elseif name == 'session.created' or name == 'session.reset' or name == 'session.started' then
      stack, reaches = {}, true
      barrier = event.live and name ~= 'session.started' and event or nil -- an imported session
      last, all_known = {}, true
    elseif not (PASSES[name] or BEGINS[name] or name == 'participant.expired') then
      stack, barrier, reaches = {}, event, true
    end
    if event.active_index and event.group_id then
      last[event.group_id] = event.active_index
    end
    if begins(s, event) then
      before[position] = current and current.position
      stack[#stack + 1] = { position = position, last = copy(last), all_known = all_known }
    end
  end
  return stack, before, barrier, reaches
end

-- The refusal when no cycle so many turns ago can be found.
local function refusal(s, events, stack, barrier, reaches)
  local can = math.max(0, #stack - 1)
  if barrier then
    return call_refusal.not_taken_back(('no more than %d can be taken back: %s (version %d) lies between')
      :format(can, barrier.name, barrier.version), s.status, can,
      (',"event":"%s","version":%d'):format(barrier.name, barrier.version))
  elseif reaches then
    return call_refusal.not_taken_back(('no more than %d can be taken back: there were no more turns')
      :format(can), s.status, can)
  elseif not events[1] then
    return call_refusal.not_taken_back('none can be taken back: the log is empty', s.status, 0)
  end
  return call_refusal.not_taken_back(('no more than %d can be taken back: the log begins with version %d')
    :format(can, events[1].version), s.status, can, (',"log_begins":%d'):format(events[1].version))
end

-- Finds the cycle that began so many turns ago. Returns {events, before, cycle}, see play; or nil and a
-- refusal.
local function find(s, turns)
  local events = read_log(s)
  local stack, before, barrier, reaches = play(s, events)
  local cycle = stack[#stack - turns]
  if not cycle then
    return nil, refusal(s, events, stack, barrier, reaches)
  end
  return { events = events, before = before, cycle = cycle }
end

-- The record of a participant or a group, as it is now but with the values of an event.
local function record_with(s, field, values)
  local now = storage_record.load(s, field)
  local text = storage_record.encode({ bank_text = values.bank or now.bank_text, used = values.used,
    cycles = values.cycles, expired = values.expired, clock = values.clock })
  return storage_record.decode(s, field, text, now.fixed_json)
end

-- What the newest event up to this position that lists an owner says of it; nil when there is none.
local function values_at(found, position, field)
  for i = position, 1, -1 do
    local values = found.events[i].owners[field]
    if values then
      return values
    end
  end
end

-- How many ms the cycle that ended with the event at `position` gave to the next clock; 0 except in an
-- hourglass, nil when the log does not tell. What a cycle used is what its bank lost. before: the position of
-- the event that began it.
local function transferred(s, found, position, before)
  local begun, ended = found.events[before], found.events[position]
  local field = s.mode.clock(storage_record.participant_field(begun.active_index), begun.group_id)
  local values = values_at(found, before, field)
  if not values then
    return nil
  end
  local record = record_with(s, field, values)
  if not record.control.rule.TRANSFERS_TIME then
    return 0
  end
  return record.bank - tonumber(ended.owners[field].bank)
end

-- The record in a field as it was before the event at `position`, the first one of the log that lists it,
-- which began a cycle of it. nil when that cannot be said.
local function derive(s, found, field, position)
  local before = found.before[position]
  if not before then
    return nil
  end
  local record = record_with(s, field, found.events[position].owners[field])
  local given = 0
  if record.owns then
    given = transferred(s, found, position, before)
  end
  if not given then
    return nil
  elseif given ~= 0 then
    record.bank = record.bank - given
    local least = -record.control.overtime
    if s.rules.action == 'notify' and record.bank <= least then
      if least == 0 then
        return nil -- it had run out, or an adjust took all of it
      end
      record.expired = true
    end
    storage_record.format_numbers(record)
  end
  return record
end

-- The record in a field as it was when the cycle began; nil when the log does not tell.
local function record_then(s, found, field)
  local events, position = found.events, found.cycle.position
  local values = values_at(found, position, field)
  if values then
    return record_with(s, field, values)
  end
  for i = position + 1, #events do
    if events[i].owners[field] then
      return derive(s, found, field, i)
    end
  end
end

-- The fields of all records that changed since the cycle began, in the order in which they did.
local function changed_since(found)
  local fields, seen = {}, {}
  for i = found.cycle.position + 1, #found.events do
    local names = {}
    for field in pairs(found.events[i].owners) do
      if not seen[field] then
        seen[field] = true
        names[#names + 1] = field
      end
    end
    table.sort(names)
    for _, field in ipairs(names) do
      fields[#fields + 1] = field
    end
  end
  return fields
end

-- The index of the member of a group that was active last when the cycle began, -1 for none; nil when the log
-- does not tell. A group that the log does not show before was at the member whose turn was before the one
-- that the rotation took afterwards; who was named with NEXT says nothing of that.
local function last_active_then(s, found, group_id, position)
  local last = found.cycle.last[group_id]
  if last or found.cycle.all_known then
    return last or -1
  end
  local event, group = found.events[position], record_then(s, found, 'g:' .. group_id)
  local by_rotation = event.name == 'cycle.switched' or event.name == 'participant.expired'
  local named = tonumber(storage_session.field(s, 'named') or 0)
  -- Libraries before 0.5.0 kept neither `bank` nor `named`.
  if not (group and by_rotation and named < event.version and storage_session.field(s, 'bank')) then
    return nil
  elseif tonumber(group.cycles) == 0 then
    return -1
  end
  return transitions_rotation.member_before_in_turn(
    storage_participants.members(s, group_id), event.active_index)
end

-- Who was active last in each group that has had the turn since the cycle began: a list of {group_id, index}.
-- nil when the log does not tell of one, and then also its id. Of the group whose cycle it is, it is known.
local function last_active_since(s, found)
  local list, seen = {}, {}
  local first = found.cycle.position
  local own = found.events[first].group_id
  for i = first + 1, #found.events do
    local event = found.events[i]
    local group_id = event.live and event.group_id
    if group_id and group_id ~= own and not seen[group_id] then
      seen[group_id] = true
      local index = last_active_then(s, found, group_id, i)
      if not index then
        return nil, group_id
      end
      list[#list + 1] = { group_id, index }
    end
  end
  return list
end

-- The index of who was active in the cycle, and how many cycles had ended when it began.
local function active_then(found)
  return found.events[found.cycle.position].active_index
end

local function count_then(found)
  return found.events[found.cycle.position].count
end

-- The refusal of a takeback when the log does not tell what this owner had.
local function unknown(s, found, field)
  local id = field:find('^g:') and field:sub(3)
    or storage_record.participant_id(storage_record.load(s, field))
  local from = found.events[1].version
  return call_refusal.not_taken_back(
    ('this cannot be taken back: the log begins with version %d and does not say what %s had before'):format(
      from, id), s.status, 0, (',"log_begins":%d'):format(from))
end

-- The index of who was active in the newest event of the log in which somebody was; nil for none.
local function newest_active(s)
  local events = read_log(s)
  for i = #events, 1, -1 do
    local id = events[i].active_id
    if id ~= 'null' then
      local participant = storage_participants.participant(s, id)
      return participant and storage_record.participant_index(participant)
    end
  end
end

return {
  find = find,
  record_then = record_then,
  changed_since = changed_since,
  last_active_since = last_active_since,
  active_then = active_then,
  count_then = count_then,
  unknown = unknown,
  newest_active = newest_active,
}
