-- The JSON of an event: the bytes that the reply, the log, the outbox and the channel all get.

local TYPES = {
  ['time.warning'] = 'TIME_WARNING',
  ['participant.expired'] = 'TIME_EXPIRED',
  ['session.expired'] = 'TIME_EXPIRED',
  ['session.deleted'] = 'SESSION_DELETED',
}
local OTHER_TYPE = 'STATE_UPDATE'

local REASONS = {
  ['time.warning'] = 'auto',
  ['participant.expired'] = 'timeout',
  ['session.expired'] = 'timeout',
  ['session.deleted'] = 'deleted',
}

-- The event as a template. Up to `participants` each line is a fixed piece and the place that `build` fills
-- in; what follows has as many pieces as participants and groups need. The list is used again for every event
-- and only its first n pieces are read, because a table that grows anew for every event is dear.
local pieces = {
  '{"v":1,"type":"', 'TYPE',
  '","session_id":"', 'ID',
  '","version":', 'VERSION',
  ',"epoch":"', 'EPOCH',
  '","server_time_ms":', 'NOW',
  ',"payload":{"event":"', 'EVENT',
  '","reason":"', 'REASON',
  '","status":"', 'STATUS',
  '","active_participant_id":', 'PARTICIPANT_ID',
  ',"active_group_id":', 'GROUP_ID',
  ',"cycle_started_at":', 'STARTED_AT',
  ',"deadline_ms":', 'DEADLINE',
  ',"time_remaining_ms":', 'LEFT',
  ',"cycle_count":', 'COUNT',
  ',"participants":[',
}
local TYPE, ID, VERSION_PLACE, EPOCH, NOW, EVENT, REASON, STATUS = 2, 4, 6, 8, 10, 12, 14, 16
local PARTICIPANT_ID, GROUP_ID, STARTED_AT, DEADLINE, LEFT, COUNT = 18, 20, 22, 24, 26, 28
local TEMPLATE_LENGTH = 29

-- Appends all touched records of a kind with commas between them. Returns the new number of pieces.
local function append_touched(n, s, kind, turn, left)
  local begin = n
  local record = s.first_touched
  while record do
    if record.kind == kind and not record.gone then
      if n > begin then
        n = n + 1
        pieces[n] = ','
      end
      n = views_record.append(pieces, n, s, record, turn, left)
    end
    record = record.next_touched
  end
  return n
end

-- The JSON of an event.
--
-- turn                    whose turn it is, nil for none
-- event                   its name, such as `cycle.switched`
-- given                   the call's options: ACTOR and TRACE stand in the event
-- extra                   further members of the payload, each with a comma before it; nil for none
-- id                      the session's
-- version, now, deadline  text; the deadline is nil where nothing runs down
-- participants, groups    their JSON; nil: that of the touched ones
-- The records' numbers and s.count are text by now.
local function build(s, turn, event, given, extra, id, version, now, deadline, participants, groups)
  local left = views_record.running_left(s, turn)
  local participant_id, group_id = views_record.active_ids(turn)
  pieces[TYPE], pieces[ID] = TYPES[event] or OTHER_TYPE, id
  pieces[VERSION_PLACE], pieces[EPOCH], pieces[NOW] = version, s.epoch, now
  pieces[EVENT], pieces[REASON] = event, REASONS[event] or s.reason or 'manual'
  pieces[STATUS], pieces[PARTICIPANT_ID], pieces[GROUP_ID] = s.status, participant_id, group_id
  pieces[STARTED_AT] = s.status == 'running' and '"' .. text_formats.iso(s.since) .. '"' or 'null'
  pieces[DEADLINE], pieces[LEFT], pieces[COUNT] = deadline or 'null', left or 'null', s.count
  local n = TEMPLATE_LENGTH
  if participants then
    pieces[n + 1], n = participants, n + 1
  else
    n = append_touched(n, s, storage_record.PARTICIPANT_KIND, turn, left)
  end
  pieces[n + 1] = '],"groups":['
  n = n + 1
  if groups then
    pieces[n + 1], n = groups, n + 1
  else
    n = append_touched(n, s, storage_record.GROUP_KIND, turn, left)
  end
  pieces[n + 1], pieces[n + 2] = '],"actor":', given.ACTOR and text_json.quote(given.ACTOR) or 'null'
  pieces[n + 3], pieces[n + 4] = ',"trace":', given.TRACE and text_json.quote(given.TRACE) or 'null'
  pieces[n + 5], pieces[n + 6] = extra or '', '}}'
  return table.concat(pieces, '', 1, n + 6)
end

-- `extra` with the members that sessions with a longest pause or a total have besides.
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
  with_bounds = with_bounds,
}
