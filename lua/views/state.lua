-- The whole state of a session as JSON.

-- The fields of the hash that a state needs besides those of participants and groups.
local FIELDS = { 'clock', 'total', 'shown', 'started', 'completed', 'created', 'cycle', 'tenant',
  'recovered', 'groups', 'bounds' }
local NO_BOUNDS = '"max_pauses":null,"max_total_pause_ms":null,"max_cycles":null'
local RECOVERED = 'restored after the server lost it; the time of the outage was charged to nobody'

local function integer_or_null(number)
  return number and text_formats.integer(number) or 'null'
end

local function timestamp(ms)
  return ms and '"' .. text_formats.iso(tonumber(ms)) .. '"' or 'null'
end

-- The JSON of all participants and the JSON of all groups, with commas between them. fields: the whole hash.
local function build_owners(s, fields, turn)
  local live = views_record.under_way(s, turn)
  local left = views_record.running_left(s, live)
  local function add(list, field)
    local text = fields[field]
    if text then
      local record = s[field] or storage_record.decode(s, field, text, fields[field .. ':shown'], fields)
      list[#list + 1] = views_record.build(record, live, left)
    end
  end
  local participants, groups = {}, {}
  for index = 0, #s.rotation - 1 do
    add(participants, storage_record.participant_field(index))
  end
  for id in (fields.groups or ''):gmatch('[^,]+') do
    add(groups, 'g:' .. id)
  end
  return table.concat(participants, ','), table.concat(groups, ',')
end

-- Adds `now` to the clock of the current turn.
local function add_now(s, turn)
  if turn and turn.owner.owns and rules_clock.is_live(s) then
    local ran = rules_clock.elapsed(s) - s.offset
    local used = s.flagged and 0 or math.min(ran, rules_clock.budget(s, turn.owner))
    turn.owner.clock = controls.view_now(turn.owner, used, s.offset)
  end
end

-- Libraries before 0.3.0 had no `players_may_choose_next`. The stored part of the state begins with it, so
-- that metadata with such a name is not mistaken for it.
local CHOOSE_NEXT = '"players_may_choose_next":'

-- The JSON of the state.
--
-- fields   the hash in schema 1: name -> value, at least those in FIELDS
-- turn     whose turn it is, nil for none
-- participants, groups   their JSON; nil for a state without participants
-- export   {schema}: adds `internal`, which sk_restore needs, in this schema; nil for none
local function assemble(s, fields, turn, participants, groups, export)
  local integer = text_formats.integer
  local live = views_record.under_way(s, turn)
  local left = views_record.running_left(s, live)
  local shown = fields.shown
  if shown:sub(1, #CHOOSE_NEXT) ~= CHOOSE_NEXT then
    shown = CHOOSE_NEXT .. 'false,' .. shown
  end
  local participant_id, group_id = views_record.active_ids(turn)
  local schema, internal = s.schema, ''
  if export then
    schema = schemas.convert_fields(fields, export.schema)
    internal = views_snapshot.internal(s, fields)
  end
  local own_clock = fields.clock and storage_record.load(s, 'clock')
  local total, maximum = fields.total or 'null', nil
  if s.mode.counts_up then
    maximum = not own_clock.control.endless and integer(s.used + own_clock.used + own_clock.bank) or 'null'
  elseif s.mode.owner == 'session' then
    total = integer(own_clock.bank)
  end
  return '{"session_id":"' .. storage_keys.session_id(s.key)
    .. '","status":"' .. s.status
    .. '","version":' .. integer(s.version)
    .. ',"epoch":"' .. s.epoch
    .. '","schema":' .. integer(schema)
    .. (participants and ',"participants":[' or '') .. (participants or '') .. (participants and ']' or '')
    .. ',"groups":[' .. groups .. '],"active_participant_id":' .. participant_id
    .. ',"active_group_id":' .. group_id
    .. ',"total_time_ms":' .. total
    .. ',' .. shown
    .. ',' .. (fields.bounds or NO_BOUNDS)
    .. (maximum and ',"max_time_ms":' .. maximum or '')
    .. ',"time_used_ms":' .. integer(s.used)
    .. ',"time_remaining_ms":' .. (left or 'null')
    .. ',"total_remaining_ms":' .. integer_or_null(s.total_left and rules_clock.total_remaining(s))
    .. ',"cycle_count":' .. integer(s.count)
    .. ',"cycle_elapsed_ms":' .. integer_or_null(live and rules_clock.elapsed(s))
    .. ',"cycle_started_at":' .. (s.status == 'running' and timestamp(s.since) or 'null')
    .. ',"deadline_ms":' .. integer_or_null(turn and rules_clock.deadline(s, turn.owner))
    .. ',"resumes_at_ms":' .. integer_or_null(s.status == 'paused' and s.resumes)
    .. ',"pauses_left":' .. integer_or_null(s.pauses_left)
    .. ',"pause_remaining_ms":' .. integer_or_null(rules_clock.pause_remaining(s))
    .. ',"starts_at_ms":' .. integer_or_null(s.starts_at)
    .. ',"ends_at_ms":' .. integer_or_null(s.ends_at)
    .. ',"session_started_at":' .. timestamp(fields.started)
    .. ',"session_completed_at":' .. timestamp(fields.completed)
    .. ',"created_at":' .. timestamp(fields.created)
    .. ',"updated_at":' .. timestamp(storage_session.changed_at(fields.cycle))
    .. ',"server_time_ms":' .. integer(s.now)
    .. ',"tenant_id":' .. (fields.tenant and text_json.quote(fields.tenant) or 'null')
    .. ',"recovered":' .. (fields.recovered and 'true' or 'false')
    .. ',"recovered_at":' .. timestamp(fields.recovered)
    .. ',"warning":' .. (fields.recovered and '"' .. RECOVERED .. '"' or 'null')
    .. internal
    .. '}'
end

-- The JSON of the whole state.
--
-- s        a loaded session; all its changes have to be written already
-- fields   the whole hash in schema 1 (name -> value) where the caller has it, else nil
-- export   see assemble
local function build(s, fields, export)
  fields = fields or storage_session.all_fields(s.key)
  local turn = transitions_cycle.current_turn(s)
  add_now(s, turn)
  local participants, groups = build_owners(s, fields, turn)
  return assemble(s, fields, turn, participants, groups, export)
end

-- The same of a session that was just created. participants, groups: their JSON.
local function build_new(s, fields, participants, groups)
  return assemble(s, fields, transitions_cycle.current_turn(s), participants, groups)
end

-- The JSON of the state without its participants, of which only those are read whose turn it is.
local function summary(s)
  local fields = storage_session.some_fields_of(s, FIELDS)
  local turn = transitions_cycle.current_turn(s)
  local groups = ''
  if fields.groups then
    local names = { 'groups' }
    for id in fields.groups:gmatch('[^,]+') do
      names[#names + 1] = 'g:' .. id
      names[#names + 1] = 'g:' .. id .. ':shown'
      names[#names + 1] = 'c:g:' .. id
    end
    add_now(s, turn)
    groups = select(2, build_owners(s, storage_session.some_fields_of(s, names), turn))
  end
  return assemble(s, fields, turn, nil, groups)
end

return {
  build_owners = build_owners,
  build = build,
  build_new = build_new,
  summary = summary,
}
