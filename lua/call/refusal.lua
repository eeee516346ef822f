-- Refusals are error replies. The first word is a stable code; a sentence for people follows, and for some
-- codes one JSON object for programs.

local MOST_PROBLEMS = 100

local function refuse(code, sentence, context)
  local text = code .. ' ' .. sentence
  if context then
    text = text .. ' ' .. context
  end
  return redis.error_reply(text)
end

-- A name for a refusal. It may come from the caller, so it is cut to 64 bytes and made UTF-8.
local function readable_name(text)
  if #text > 64 then
    text = text:sub(1, 61) .. '...'
  end
  return text_formats.characters(text) and text or text:gsub('[\128-\255]', '?')
end

-- The refusal for a list of problems, {field, message}. It names all of them, a hundred at most.
local function validation(problems)
  local details, sentence = {}, {}
  for i = 1, math.min(#problems, MOST_PROBLEMS) do
    local field, message = readable_name(problems[i][1]), problems[i][2]
    details[i] = '{"field":' .. text_json.quote(field) .. ',"message":' .. text_json.quote(message) .. '}'
    sentence[i] = field .. ' ' .. message
  end
  if #problems > MOST_PROBLEMS then
    sentence[#sentence + 1] = 'and more'
  end
  -- An error reply is one line, and its JSON begins at the first ` {"`. A name from the caller may have line
  -- breaks or ` {"`, so both are changed in the sentence; the JSON has the name as it came.
  local text = (' ' .. table.concat(sentence, '; ')):gsub('%c', ' '):gsub(' {"', ' { "')
  return refuse('VALIDATION_ERROR', text:sub(2), '{"details":[' .. table.concat(details, ',') .. ']}')
end

local function session_not_found()
  return refuse('SESSION_NOT_FOUND', 'there is no such session')
end

local function state(status, expired_participant_id)
  return refuse('INVALID_SESSION_STATE', 'not in a session that is ' .. status, '{"status":"' .. status .. '"'
    .. (expired_participant_id and ',"expired_participant_id":"' .. expired_participant_id .. '"' or '')
    .. '}')
end

-- The refusal of a pause that counts. pauses, ms: what is left of both bounds, nil for none.
local function no_pause_left(status, pauses, ms)
  return refuse('INVALID_SESSION_STATE', pauses == 0 and 'there is no pause left in this session'
    or 'there is no time left for pauses in this session', '{"status":"' .. status .. '"'
    .. (pauses == 0 and ',"pauses_left":0' or '') .. (ms == 0 and ',"pause_remaining_ms":0' or '') .. '}')
end

-- The refusal of a takeback. turns: how many can be taken back; members: further members of the context, each
-- with a comma before it.
local function not_taken_back(sentence, status, turns, members)
  return refuse('INVALID_SESSION_STATE', sentence, ('{"status":"%s","turns":%d%s}'):format(
    status, turns, members or ''))
end

-- The refusal of a reset of a session that was created by a library which did not keep what it began with.
local function no_beginning(status)
  return refuse('INVALID_SESSION_STATE', 'the session does not know the banks that it began with, because '
    .. 'library 0.4 or older created it: create it anew', '{"status":"' .. status .. '"}')
end

local function participant_not_found(id)
  return refuse('PARTICIPANT_NOT_FOUND', 'there is no ' .. id .. ' in this session')
end

-- has_total_ended: the session's total is used up, and nobody has any time.
local function participant_expired(id, has_total_ended)
  return refuse('PARTICIPANT_EXPIRED', id .. ' is out of time'
    .. (has_total_ended and ': the total of the session is used up' or ''))
end

-- The refusal of a call with PLAYER that the participant may not make.
local function forbidden(sentence)
  return refuse('FORBIDDEN', sentence)
end

-- The refusal of a call that a rate limit does not let through. name: what is limited.
local function limited(name, retry_after_ms)
  return refuse('RATE_LIMIT_EXCEEDED', ('too many calls: a %s is possible again in %d ms'):format(
    name, retry_after_ms), ('{"limit":"%s","retry_after_ms":%d}'):format(name, retry_after_ms))
end

-- The refusal of a call whose VERSION or EPOCH is not that of the session.
local function moved_on(s, expected_version, expected_epoch)
  local context = {}
  if expected_version then
    context[1] = ('"expected_version":%d,"actual_version":%d'):format(expected_version, s.version)
  end
  if expected_epoch then
    context[#context + 1] = '"expected_epoch":' .. text_json.quote(expected_epoch) .. ',"actual_epoch":"'
      .. s.epoch .. '"'
  end
  return refuse('CONCURRENT_MODIFICATION', ('the session is at version %d of epoch %s'):format(s.version,
    s.epoch), '{' .. table.concat(context, ',') .. '}')
end

-- The refusal of a call whose CURRENT is not the active participant.
local function current(expected, actual)
  return refuse('CONCURRENT_MODIFICATION', expected .. ' is not active any more',
    '{"expected_participant_id":"' .. expected .. '","actual_participant_id":"' .. actual .. '"}')
end

-- The refusal of a call for a session that is on its way between two servers.
local function moving()
  return refuse('SESSION_MOVING', 'the session is on its way to another server; call again in a moment')
end

-- The refusal of a call for a session that another server has. move: the name of the move.
local function moved(target, move)
  return refuse('SESSION_MOVED', 'the session is at ' .. target,
    '{"moved_to":' .. text_json.quote(target) .. ',"move":' .. text_json.quote(move) .. '}')
end

-- The refusal of a step of a move that does not hold the session, or not any more.
local function not_held(move)
  return refuse('CONCURRENT_MODIFICATION', 'this move does not hold the session, or not any more',
    '{"move":' .. text_json.quote(move) .. '}')
end

return {
  refuse = refuse,
  validation = validation,
  session_not_found = session_not_found,
  state = state,
  no_pause_left = no_pause_left,
  forbidden = forbidden,
  limited = limited,
  moved_on = moved_on,
  current = current,
  not_taken_back = not_taken_back,
  no_beginning = no_beginning,
  participant_not_found = participant_not_found,
  participant_expired = participant_expired,
  moving = moving,
  moved = moved,
  not_held = not_held,
}
