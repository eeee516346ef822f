-- The JSON of an event.

local TYPES = {
  ['time.warning'] = 'TIME_WARNING', ['participant.expired'] = 'TIME_EXPIRED', ['session.expired'] = 'TIME_EXPIRED',
  ['session.deleted'] = 'SESSION_DELETED',
}

local REASONS = {
  ['time.warning'] = 'auto', ['participant.expired'] = 'timeout', ['session.expired'] = 'timeout', ['session.deleted'] = 'deleted',
}

-- The same for all touched records whose fields begin with this byte, with commas between.
local function show_touched(pieces, n, s, first, turn, left)
  local begin = n
  local record = s.first_touched
  while record do
    if record.field:byte() == first and not record.gone then
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

local PARTICIPANT, GROUP = 112, 103 -- p, g

-- The pieces of the event that is being built; kept, because a table that grows again for every event is dear. Only the first n are ever read.
local event_pieces = {}

-- The JSON of an event. id, version, now, left and deadline (the last two nil for none) are text, and so is the session's count. participants
-- and groups: their JSON, nil for those that are touched.
local function build(s, turn, event, given, extra, id, version, now, left, deadline, participants, groups)
  local participant_id, group_id = views_record.active_ids(turn)
  local pieces = event_pieces
  pieces[1], pieces[2], pieces[3], pieces[4] = '{"v":1,"type":"', TYPES[event] or 'STATE_UPDATE', '","session_id":"', id
  pieces[5], pieces[6], pieces[7], pieces[8] = '","version":', version, ',"epoch":"', s.epoch
  pieces[9], pieces[10], pieces[11], pieces[12] = '","server_time_ms":', now, ',"payload":{"event":"', event
  pieces[13], pieces[14], pieces[15], pieces[16] = '","reason":"', REASONS[event] or s.reason or 'manual', '","status":"', s.status
  pieces[17], pieces[18], pieces[19], pieces[20] = '","active_participant_id":', participant_id, ',"active_group_id":', group_id
  pieces[21], pieces[22] = ',"cycle_started_at":', s.status == 'running' and '"' .. text_formats.iso(s.since) .. '"' or 'null'
  pieces[23], pieces[24], pieces[25], pieces[26] = ',"deadline_ms":', deadline or 'null', ',"time_remaining_ms":', left or 'null'
  pieces[27], pieces[28], pieces[29] = ',"cycle_count":', s.count, ',"participants":['
  local n = 29
  if participants then
    pieces[30], n = participants, 30
  else
    n = show_touched(pieces, n, s, PARTICIPANT, turn, left)
  end
  pieces[n + 1] = '],"groups":['
  n = n + 1
  if groups then
    pieces[n + 1], n = groups, n + 1
  else
    n = show_touched(pieces, n, s, GROUP, turn, left)
  end
  pieces[n + 1], pieces[n + 2] = '],"actor":', given.ACTOR and text_json.quote(given.ACTOR) or 'null'
  pieces[n + 3], pieces[n + 4] = ',"trace":', given.TRACE and text_json.quote(given.TRACE) or 'null'
  pieces[n + 5], pieces[n + 6] = extra or '', '}}'
  return table.concat(pieces, '', 1, n + 6)
end

-- Further fields of the payload, with those that sessions with a longest pause or a total have.
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
