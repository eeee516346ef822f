-- The JSON of an event. The reply, the log, the outbox and the channel all get the same bytes.

local TYPES = {
  ['time.warning'] = 'TIME_WARNING',
  ['participant.expired'] = 'TIME_EXPIRED',
  ['session.expired'] = 'TIME_EXPIRED',
  ['session.deleted'] = 'SESSION_DELETED',
  ['session.moved'] = 'SESSION_MOVED',
}
local OTHER_TYPE = 'STATE_UPDATE'

local REASONS = {
  ['time.warning'] = 'auto',
  ['participant.expired'] = 'timeout',
  ['session.expired'] = 'timeout',
  ['session.deleted'] = 'deleted',
}

-- The JSON of all touched records of a kind, with commas between them. They are a handful at most, however
-- many participants there are. turn, left: see views/record.lua.
local function touched_json(s, kind, turn, left)
  local json = ''
  local record = s.first_touched
  while record do
    if record.kind == kind and not record.hidden then
      local text = views_record.build(record, turn, left)
      json = json == '' and text or json .. ',' .. text
    end
    record = record.next_touched
  end
  return json
end

-- The JSON of an event.
--
-- turn                    whose turn it is; nil: no participant is active
-- event                   the name of the event, such as `cycle.switched`
-- given                   the call's options: the event shows ACTOR and TRACE
-- extra                   further members of the payload, each with a comma before it; nil for none
-- id                      the id of the session
-- version, now, deadline  as text; the deadline is nil when no clock runs down
-- participants, groups    their JSON; nil: only the touched ones are shown
--
-- s.count and the numbers of the records have to be text already.
local function build(s, turn, event, given, extra, id, version, now, deadline, participants, groups)
  local live = views_record.under_way(s, turn)
  local left = views_record.running_left(s, live)
  local participant_id, group_id = views_record.active_ids(turn)
  return '{"v":1,"type":"' .. (TYPES[event] or OTHER_TYPE)
    .. '","session_id":"' .. id
    .. '","version":' .. version
    .. ',"epoch":"' .. s.epoch
    .. '","server_time_ms":' .. now
    .. ',"payload":{"event":"' .. event
    .. '","reason":"' .. (REASONS[event] or s.reason or 'manual')
    .. '","status":"' .. s.status
    .. '","active_participant_id":' .. participant_id
    .. ',"active_group_id":' .. group_id
    .. ',"cycle_started_at":' .. (s.status == 'running' and '"' .. text_formats.iso(s.since) .. '"' or 'null')
    .. ',"deadline_ms":' .. (deadline or 'null')
    .. ',"time_remaining_ms":' .. (left or 'null')
    .. ',"cycle_count":' .. s.count
    .. ',"participants":[' .. (participants or touched_json(s, storage_record.PARTICIPANT_KIND, live, left))
    .. '],"groups":[' .. (groups or touched_json(s, storage_record.GROUP_KIND, live, left))
    .. '],"actor":' .. (given.ACTOR and text_json.quote(given.ACTOR) or 'null')
    .. ',"trace":' .. (given.TRACE and text_json.quote(given.TRACE) or 'null')
    .. (extra or '')
    .. '}}'
end

-- The events that say when the session starts and ends by itself.
local SCHEDULED = { ['session.created'] = true, ['session.scheduled'] = true }

-- `extra` and, after it, when the session starts and ends by itself, where this event says so.
local function with_schedule(s, event, extra)
  if not SCHEDULED[event] then
    return extra
  end
  return (extra or '') .. (s.starts_at and (',"starts_at_ms":%d'):format(s.starts_at) or '')
    .. (s.ends_at and (',"ends_at_ms":%d'):format(s.ends_at) or '')
end

-- `extra` and, after it, the members that only sessions with `max_pause_ms` or with a total have.
local function with_bounds(s, extra)
  extra = extra or ''
  if s.resumes and s.status == 'paused' then
    extra = extra .. (',"resumes_at_ms":%d'):format(s.resumes)
  end
  if s.total_left then
    extra = extra .. (',"total_remaining_ms":%d'):format(rules_clock.total_remaining(s))
  end
  return extra
end

return {
  build = build,
  with_schedule = with_schedule,
  with_bounds = with_bounds,
}
