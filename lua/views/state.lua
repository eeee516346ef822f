-- The whole state of a session as JSON.

local RECOVERED = 'restored after the server lost it; the time of the outage was charged to nobody'
local CHANGED = '^%S+ %S+ %S+ %S+ %S+ (%d+)'

local function integer_or_null(number)
  return number and text_formats.integer(number) or 'null'
end

local function timestamp(ms)
  return ms and '"' .. text_formats.iso(tonumber(ms)) .. '"' or 'null'
end

-- The JSON of all participants and of all groups. fields: all of the hash.
local function show_all(s, fields, turn)
  local left = views_record.running_left(s, turn)
  if turn and turn.owner.owns and rules_clock.is_live(s) then
    local used = s.standing and 0 or math.min(rules_clock.elapsed(s) - s.offset, rules_clock.budget(s, turn.owner))
    turn.owner.clock = controls.view_now(turn.owner, used, s.offset)
  end
  local pieces, n = {}, 0
  local function add(field)
    local text = fields[field]
    if text then
      if n > 0 then
        n = n + 1
        pieces[n] = ','
      end
      n = views_record.append(pieces, n, s, s[field] or storage_record.adopt(s, field, text, fields[field .. ':shown']), turn, left)
    end
  end
  for index = 0, #s.rotation - 1 do
    add(storage_record.participant_field(index))
  end
  local participants = table.concat(pieces, '', 1, n)
  n = 0
  for id in (fields.groups or ''):gmatch('[^,]+') do
    add('g:' .. id)
  end
  return participants, table.concat(pieces, '', 1, n)
end

-- s: a loaded session whose changes, if any, are written. participants and groups: their JSON, where it is there already.
local function build(s, export, participants, groups)
  local fields = storage_session.all_fields(s.key)
  local turn = transitions_cycle.current_turn(s)
  local left = views_record.running_left(s, turn)
  if not participants then
    participants, groups = show_all(s, fields, turn)
  end
  local participant_id, group_id = views_record.active_ids(turn)
  local live = turn and rules_clock.is_live(s)
  local own_clock = fields.clock and storage_record.record(s, 'clock')
  local total, maximum = fields.total or 'null', nil
  if s.mode.counts_up then
    maximum = not own_clock.control.endless and string.format('%d', s.used + own_clock.bank) or 'null'
  elseif s.mode.owner == 'session' then
    total = string.format('%d', own_clock.bank)
  end
  return '{"session_id":"' .. storage_keys.id_of(s) .. '","status":"' .. s.status .. '","version":' .. text_formats.integer(s.version) .. ',"epoch":"' .. s.epoch
    .. '","schema":' .. text_formats.integer(storage_session.SCHEMA) .. ',"participants":[' .. participants .. '],"groups":[' .. groups
    .. '],"active_participant_id":' .. participant_id .. ',"active_group_id":' .. group_id .. ',"total_time_ms":' .. total
    .. ',' .. fields.shown .. (maximum and ',"max_time_ms":' .. maximum or '') .. ',"time_used_ms":' .. text_formats.integer(s.used)
    .. ',"time_remaining_ms":' .. (left or 'null') .. ',"total_remaining_ms":' .. integer_or_null(s.total_left and rules_clock.total_remaining(s))
    .. ',"cycle_count":' .. text_formats.integer(s.count)
    .. ',"cycle_elapsed_ms":' .. integer_or_null(live and rules_clock.elapsed(s)) .. ',"cycle_started_at":'
    .. (s.status == 'running' and timestamp(s.since) or 'null') .. ',"deadline_ms":' .. integer_or_null(turn and rules_clock.deadline(s, turn.owner))
    .. ',"resumes_at_ms":' .. integer_or_null(s.status == 'paused' and s.resumes)
    .. ',"session_started_at":' .. timestamp(fields.started) .. ',"session_completed_at":' .. timestamp(fields.completed) .. ',"created_at":'
    .. timestamp(fields.created) .. ',"updated_at":' .. timestamp(fields.cycle:match(CHANGED)) .. ',"server_time_ms":' .. text_formats.integer(s.now)
    .. ',"tenant_id":' .. (fields.tenant and text_json.quote(fields.tenant) or 'null') .. ',"recovered":' .. (fields.recovered and 'true' or 'false')
    .. ',"recovered_at":' .. timestamp(fields.recovered) .. ',"warning":' .. (fields.recovered and '"' .. RECOVERED .. '"' or 'null')
    .. (export and views_snapshot.internal(s, fields) or '') .. '}'
end

return {
  show_all = show_all,
  build = build,
}
