-- Where a session stands that is under way or over when it comes to this server. It is told in the words of
-- the state, and changes the hash that the config made for a new session.

local MOST_STANDING_BYTES = 524288 -- bounds the work of one call
local MOST_NUMBER = 99999999999999 -- times and counts of the library have at most 14 digits
local SESSION = {
  status = true, active_participant_id = true, cycle_started_ms = true, created_ms = true, started_ms = true,
  completed_ms = true, time_used_ms = true, cycle_count = true, bank_ms = true, total_left_ms = true,
  pauses_left = true, pause_remaining_ms = true,
  participants = true, groups = true,
}
local PARTICIPANT = { participant_id = true, bank_ms = true, time_used_ms = true, cycle_count = true,
  has_expired = true }
local GROUP = { group_id = true, bank_ms = true, time_used_ms = true, cycle_count = true, has_expired = true }
local LIVE = { running = true, paused = true }
local CLOSED = { expired = true, completed = true, cancelled = true }

local function number(object, name, path, problem)
  return config_members.integer(object, name, 0, MOST_NUMBER, path, problem)
end

-- Gives a record its numbers. owns: whether the participant or the group owns a clock.
local function set_record(fields, field, given, owns, path, problem)
  local _, _, _, _, view = fields[field]:match(storage_record.RECORD)
  local bank = number(given, 'bank_ms', path, problem)
  fields[field] = storage_record.encode({
    bank_text = text_formats.integer(owns and bank or 0),
    used = text_formats.integer(number(given, 'time_used_ms', path, problem) or 0),
    cycles = text_formats.integer(number(given, 'cycle_count', path, problem) or 0),
    expired = owns and given.has_expired == true,
    clock = view,
  })
end

-- Gives the records of all participants, or of all groups, their numbers. field_of(id): the field of the
-- record, nil for a stranger; count: how many there are.
local function set_records(fields, object, raw, kind, count, field_of, owns, problem)
  local list = config_members.list(object, raw, kind.list, problem) or {}
  local seen = {}
  for i = 1, #list do
    local path = kind.list .. '.' .. (i - 1) .. '.'
    local given = type(list[i]) == 'table' and config_members.without_nulls(list[i]) or {}
    config_members.refuse_unknown(given, kind.members, path, problem)
    local id = config_members.uuid(given, kind.id, path, problem)
    local field = id and field_of(id)
    if not field or seen[field] then
      problem(path .. kind.id, 'must be one of the config, and there once')
    else
      seen[field] = true
      set_record(fields, field, given, owns, path, problem)
    end
  end
  if #list ~= count then
    problem(kind.list, 'must be all of the config')
  end
end

-- Takes those out of the rotation whose clocks have run out. owned_by: who owns the clocks.
local function mark_expired(fields, owned_by)
  local rotation = fields.rotation
  for index = 0, #rotation - 1 do
    local field = storage_record.participant_field(index)
    if owned_by == 'group' and rotation:sub(index + 1, index + 1) == '1' then
      local _, group_id = fields[field .. ':shown']:match(storage_record.PARTICIPANT_IDS)
      field = 'g:' .. group_id
    end
    if rotation:sub(index + 1, index + 1) == '1' and storage_record.is_expired(fields[field]) then
      rotation = rotation:sub(1, index) .. 'x' .. rotation:sub(index + 2)
    end
  end
  fields.rotation = rotation
end

-- The optional parts of `cycle` with what is left of the bounds of all pauses.
local function with_pauses_left(object, more, problem)
  local most_pauses, most_ms = more:match('%^(%-?%d+) (%-?%d+)')
  local function left(name, most)
    if object[name] ~= nil and (most or '-1') == '-1' then
      problem(name, 'has no bound in this config')
      return most
    end
    local told = config_members.integer(object, name, 0, tonumber(most) or 0, '', problem)
    return told and text_formats.integer(told) or most
  end
  local pauses, ms = left('pauses_left', most_pauses), left('pause_remaining_ms', most_ms)
  return most_pauses and (more:gsub('%^%S+ %S+', '^' .. pauses .. ' ' .. ms)) or more
end

-- The text of `cycle`.
--
-- more     the optional parts that the config has made
-- flagged  whether the clock of the current cycle stands at its end
local function cycle_of(object, status, active, now, flagged, more, problem)
  local since = 0
  if status == 'running' then
    -- The time that the caller knows may be a few ms ahead of this server's.
    since = math.min(number(object, 'cycle_started_ms', '', problem) or now, now)
  end
  local left = number(object, 'total_left_ms', '', problem)
  if left then
    more = more:gsub('=%d+', '=' .. text_formats.integer(left))
  end
  more = with_pauses_left(object, more, problem)
  return storage_session.encode_cycle(active, since, 0, number(object, 'time_used_ms', '', problem) or 0,
    number(object, 'cycle_count', '', problem) or 0, now) .. (flagged and ' /0 1 0' or '') .. more, since
end

-- Adds the times at which the session was created, started and completed. No time is later than now, and the
-- session was not created after the start of its cycle.
local function set_times(fields, object, status, since, now, problem)
  local function time(name)
    local ms = number(object, name, '', problem)
    return ms and math.min(ms, now)
  end
  local created = time('created_ms') or now
  local started = time('started_ms')
  if status == 'running' then
    created, started = math.min(created, since), math.min(started or since, since)
  end
  fields.created = text_formats.integer(math.min(created, started or created))
  fields.started = (started or LIVE[status]) and text_formats.integer(started or now) or nil
  fields.completed = CLOSED[status] and text_formats.integer(time('completed_ms') or now) or nil
end

-- Changes the fields of a new session, as the config made them, to those of one that stands elsewhere.
--
-- text     the standing (JSON), see sk_import
-- fields   the hash: name -> value
-- now      server time in ms
--
-- Returns the list of problems, which is empty when there are none.
local function apply(text, fields, now)
  local problems, problem = config_members.collector()
  local object, raw = config_members.read_object(text, 'standing', MOST_STANDING_BYTES, SESSION, problem)
  if not object then
    return problems
  end
  config_members.refuse_unknown(object, SESSION, '', problem)
  local status = object.status
  if not (status == 'pending' or LIVE[status] or CLOSED[status]) then
    problem('status', 'must be pending, running, paused, expired, completed or cancelled')
    return problems
  end
  local active_id = config_members.uuid(object, 'active_participant_id', '', problem)
  local configured, _, _, _, _, _, more = fields.cycle:match(storage_session.CYCLE)
  local active = status == 'pending' and configured or '-1'
  if active_id then
    active = not CLOSED[status] and fields['i:' .. active_id] or nil
  end
  if not active or (LIVE[status] and active == '-1') then
    problem('active_participant_id', 'must be one of the config while the session is running or paused, '
      .. 'and absent when it is over')
    return problems
  end

  if status ~= 'pending' and (more:match('@(%d+)') or '0') ~= '0' then
    problem('status', 'must be pending: a session with starts_at_ms has not started')
  end

  local mode_name, _, action, _, cycle_ms = fields.rules:match(storage_session.RULES)
  local mode = modes.named(mode_name, cycle_ms)
  local people, groups = 0, 0
  for name in pairs(fields) do
    people = people + (name:find('^i:') and 1 or 0)
    groups = groups + (name:find('^m:') and 1 or 0)
  end
  set_records(fields, object, raw, { list = 'participants', id = 'participant_id', members = PARTICIPANT },
    people, function(id)
      return fields['i:' .. id] and 'p' .. fields['i:' .. id]
    end, mode.owner == 'participant', problem)
  set_records(fields, object, raw, { list = 'groups', id = 'group_id', members = GROUP },
    groups, function(id)
      return fields['g:' .. id] and 'g:' .. id
    end, mode.owner == 'group', problem)
  if fields.clock then
    fields.clock = storage_record.encode_new(number(object, 'bank_ms', '', problem) or 0, '')
  end

  local flagged = false
  if LIVE[status] then
    local _, group_id = fields['p' .. active .. ':shown']:match(storage_record.PARTICIPANT_IDS)
    local owner = mode.clock('p' .. active, group_id)
    flagged = storage_record.is_expired(fields[owner])
    if mode.by_group then
      fields['l:' .. group_id] = active
    end
  end
  if action ~= 'notify' and (mode.owner == 'participant' or mode.owner == 'group') then
    mark_expired(fields, mode.owner)
    if flagged and status == 'running' then
      problem('active_participant_id', 'must not be out while the session is running')
    end
  end
  local since
  fields.cycle, since = cycle_of(object, status, active, now, flagged, more, problem)
  fields.status = status
  set_times(fields, object, status, since, now, problem)
  return problems
end

return {
  apply = apply,
}
