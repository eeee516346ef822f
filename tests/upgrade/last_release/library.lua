#!lua name=synckairos
local VERSION = "0.2.0"

-- text/formats.lua
local text_formats = (function()
-- Formats of numbers, timestamps and UUIDs, and the length of a text in UTF-8.

local DAY_MS = 86400000
local UUID = '^%x%x%x%x%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%x%x%x%x%x%x%x%x$'

-- The date of a day, which is a number counted from 1970-01-01. The calculation uses years that begin in
-- March: the leap day is then the last day of a year, and the lengths of the months follow one formula.
local function date(days)
  local floor = math.floor
  local z = days + 719468
  local era = floor(z / 146097)
  local day_of_era = z - era * 146097
  local leap_days = floor(day_of_era / 1460) - floor(day_of_era / 36524) + floor(day_of_era / 146096)
  local year_of_era = floor((day_of_era - leap_days) / 365)
  local day_of_year = day_of_era - (365 * year_of_era + floor(year_of_era / 4) - floor(year_of_era / 100))
  local month_from_march = floor((5 * day_of_year + 2) / 153)
  local day = day_of_year - floor((153 * month_from_march + 2) / 5) + 1
  local month = month_from_march < 10 and month_from_march + 3 or month_from_march - 9
  return ('%04d-%02d-%02d'):format(year_of_era + era * 400 + (month <= 2 and 1 or 0), month, day)
end

-- The second of the last timestamp and its text. They only save work; a replica begins without them.
local known_second, known_text

-- The timestamp of a time in ms since 1970: ISO 8601 in UTC, `2026-11-22T03:18:26.169Z`.
local function iso(ms)
  local in_second = ms % 1000
  local second = ms - in_second
  if second ~= known_second then
    local in_day = ms % DAY_MS
    known_second = second
    known_text = ('%sT%02d:%02d:%02d.'):format(date((ms - in_day) / DAY_MS), in_day / 3600000,
      in_day / 60000 % 60, in_day / 1000 % 60)
  end
  return known_text .. ('%03dZ'):format(in_second)
end

-- A UUID in lower case; nil when the value is no UUID.
local function uuid(text)
  if type(text) == 'string' and text:find(UUID) then
    return text:lower()
  end
end

-- All well-formed characters of more than one byte, as patterns. Overlong forms and surrogates do not match.
local SEQUENCES = {
  '[\194-\223][\128-\191]', '\224[\160-\191][\128-\191]', '[\225-\236\238\239][\128-\191][\128-\191]',
  '\237[\128-\159][\128-\191]',
  '\240[\144-\191][\128-\191][\128-\191]', '[\241-\243][\128-\191][\128-\191][\128-\191]',
  '\244[\128-\143][\128-\191][\128-\191]',
}

-- The number of characters in a text; nil when it is not UTF-8.
local function characters(text)
  if text:find('[\128-\255]') then
    for i = 1, #SEQUENCES do
      text = text:gsub(SEQUENCES[i], 'x')
    end
    if text:find('[\128-\255]') then
      return nil
    end
  end
  return #text
end

-- The text of an integer, which is a number or decimal text already. `..` would take numbers too, but costs
-- three times as much; string.format would have to look up a global, which is slow in a function library.
local function integer(number)
  return ('%d'):format(number)
end

return {
  integer = integer,
  iso = iso,
  uuid = uuid,
  characters = characters,
}
end)()

-- text/json.lua
local text_json = (function()
-- Reads JSON as text. A client's own objects are stored as text, because cjson would turn an empty list into
-- an object and would lose nulls.

local MAX_DEPTH = 64 -- lists and objects inside each other
local QUOTE, OPEN_LIST, OPEN_OBJECT = 34, 91, 123 -- the bytes " [ {
local ESCAPES = { ['"'] = '\\"', ['\\'] = '\\\\', ['\b'] = '\\b', ['\f'] = '\\f', ['\n'] = '\\n',
  ['\r'] = '\\r', ['\t'] = '\\t' }

local function escape(character)
  return ESCAPES[character] or string.format('\\u%04x', character:byte())
end

-- A text as a JSON string.
local function quote(text)
  if text:find('[%c"\\]') then
    text = text:gsub('[%c"\\]', escape)
  end
  return '"' .. text .. '"'
end

-- The position after the string that begins at `position`; nil when it is no strict JSON.
local function skip_string(text, position)
  local at = position + 1
  while true do
    local stop = text:find('["\\%c]', at)
    if not stop then
      return nil
    end
    local character = text:sub(stop, stop)
    if character == '"' then
      return stop + 1
    elseif character ~= '\\' then
      if character == '\127' then -- Lua's %c matches it, but JSON allows it
        at = stop + 1
      else
        return nil
      end
    elseif text:find('^u%x%x%x%x', stop + 1) then
      at = stop + 6
    elseif text:find('^["\\/bfnrt]', stop + 1) then
      at = stop + 2
    else
      return nil
    end
  end
end

-- The position after the number that begins at `position`; nil when it is no strict JSON.
local function skip_number(text, position)
  local _, stop = text:find('^%-?%d+', position)
  if not stop or text:find('^%-?0%d', position) then
    return nil
  end
  local _, fraction = text:find('^%.%d+', stop + 1)
  stop = fraction or stop
  local _, exponent = text:find('^[eE][+-]?%d+', stop + 1)
  return (exponent or stop) + 1
end

-- The position of the first character from `position` on that is no space.
local function skip_space(text, position)
  return text:find('[^ \t\r\n]', position) or #text + 1
end

-- The position after the value that begins at `position`; nil when it is no strict JSON.
local function skip_value(text, position, depth)
  local first = text:sub(position, position)
  if first == '"' then
    return skip_string(text, position)
  elseif first == '{' or first == '[' then
    if depth > MAX_DEPTH then
      return nil
    end
    local close = first == '{' and '}' or ']'
    position = skip_space(text, position + 1)
    if text:sub(position, position) == close then
      return position + 1
    end
    while true do
      if first == '{' then
        position = text:sub(position, position) == '"' and skip_string(text, position)
        if not position then
          return nil
        end
        position = skip_space(text, position)
        if text:sub(position, position) ~= ':' then
          return nil
        end
        position = skip_space(text, position + 1)
      end
      position = skip_value(text, position, depth + 1)
      if not position then
        return nil
      end
      position = skip_space(text, position)
      local separator = text:sub(position, position)
      if separator == close then
        return position + 1
      elseif separator ~= ',' then
        return nil
      end
      position = skip_space(text, position + 1)
    end
  end
  local word = text:match('^%l+', position)
  if word == 'true' or word == 'false' or word == 'null' then
    return position + #word
  end
  return skip_number(text, position)
end

-- Whether a text is one value in strict JSON; cjson also accepts NaN and hexadecimal numbers. added_levels:
-- how many brackets the caller has put around the value, which do not count for its depth.
local function is_strict(text, added_levels)
  local stop = skip_value(text, skip_space(text, 1), 1 - (added_levels or 0))
  return stop ~= nil and skip_space(text, stop) > #text
end

-- The position after the list or object that begins at `position`. cjson has accepted the text already, so
-- only strings and brackets matter.
local function skip_brackets(text, position)
  local depth = 0
  while true do
    position = text:find('["%[%]{}]', position)
    if not position then
      return nil
    end
    local character = text:byte(position)
    if character == QUOTE then
      position = skip_string(text, position)
      if not position then
        return nil
      end
    else
      depth = depth + ((character == OPEN_LIST or character == OPEN_OBJECT) and 1 or -1)
      position = position + 1
      if depth == 0 then
        return position
      end
    end
  end
end

-- The members of an object in JSON that cjson has accepted: a table from name to the JSON of the value, and
-- their number. A name is as the text has it, escapes included; of equal names the last one counts. nil when
-- the text is no object.
local function members(text)
  local found, count = {}, 0
  local position = skip_space(text, 1)
  if text:sub(position, position) ~= '{' then
    return nil
  end
  position = skip_space(text, position + 1)
  while text:sub(position, position) == '"' do
    local stop = skip_string(text, position)
    if not stop then
      return nil
    end
    local name = text:sub(position + 1, stop - 2)
    position = skip_space(text, skip_space(text, stop) + 1) -- after the colon
    local from = position
    local first = text:sub(position, position)
    if first == '"' then
      position = skip_string(text, position)
    elseif first == '{' or first == '[' then
      position = skip_brackets(text, position)
    else
      position = text:find('[,}]', position)
    end
    if not position then
      return nil
    end
    count = count + (found[name] == nil and 1 or 0)
    found[name] = text:sub(from, position - 1)
    position = skip_space(text, position)
    position = skip_space(text, position + 1) -- after the comma
  end
  return found, count
end

-- The same JSON without the space between its tokens. The text has to be valid JSON.
local function compact(text)
  if not text:find('[ \t\r\n]') then
    return text
  end
  local parts, position = {}, 1
  while position <= #text do
    local quoted = text:find('"', position, true)
    if not quoted then
      parts[#parts + 1] = (text:sub(position):gsub('[ \t\r\n]+', ''))
      break
    end
    parts[#parts + 1] = (text:sub(position, quoted - 1):gsub('[ \t\r\n]+', ''))
    local after = skip_string(text, quoted)
    parts[#parts + 1] = text:sub(quoted, after - 1)
    position = after
  end
  return table.concat(parts)
end

return {
  quote = quote,
  members = members,
  is_strict = is_strict,
  compact = compact,
}
end)()

-- call/refusal.lua
local call_refusal = (function()
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

local function participant_not_found(id)
  return refuse('PARTICIPANT_NOT_FOUND', 'there is no ' .. id .. ' in this session')
end

local function participant_expired(id)
  return refuse('PARTICIPANT_EXPIRED', id .. ' is out of time')
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
  moved_on = moved_on,
  current = current,
  participant_not_found = participant_not_found,
  participant_expired = participant_expired,
  moving = moving,
  moved = moved,
  not_held = not_held,
}
end)()

-- call/options.lua
local call_options = (function()
-- Reads the `NAME value` pairs of a call, which may come in any order, as in the commands of Redis.

local MAX_INTEGER = 9007199254740991
local DAY_MS = 86400000
local MOST_ARGUMENTS = 40

-- A decimal integer within bounds, or nil.
local function integer(text, least, most)
  if #text <= 17 and text:find('^%-?%d+$') then
    local number = tonumber(text)
    if number >= least and number <= most then
      return number
    end
  end
end

-- The functions below make readers. A reader takes the text of a value and returns the value, nil when it is
-- wrong, and the message for that case.

local function whole(least, most, meaning)
  return function(text)
    return integer(text, least, most), meaning
  end
end

local function id(text)
  return text_formats.uuid(text), 'must be a UUID'
end

local function words(least, most)
  return function(text)
    local characters = #text <= 4 * most and text_formats.characters(text)
    return characters and characters >= least and characters <= most and text or nil,
      'must be ' .. least .. ' to ' .. most .. ' characters of UTF-8'
  end
end

local function request(text)
  return #text >= 1 and #text <= 255 and not text:find('[^\33-\126]') and text or nil,
    'must be 1 to 255 visible ASCII characters'
end

-- A word of visible ASCII characters that needs no escapes in JSON.
local function word(most)
  return function(text)
    return #text >= 1 and #text <= most and not text:find('[^\33-\126]') and not text:find('["\\]') and text
      or nil,
      'must be 1 to ' .. most .. ' visible ASCII characters, none of them a quotation mark or a backslash'
  end
end

local READERS = {
  TTL = whole(1, 31536000, 'must be 1 to 31536000 seconds'),
  TENANT = words(1, 255),
  VERSION = whole(0, MAX_INTEGER, 'must be a version, an integer from 0'),
  EPOCH = words(1, 255),
  ACTOR = words(1, 255),
  TRACE = words(1, 255),
  REQUEST = request,
  NEXT = id,
  CURRENT = id,
  PARTICIPANT = id,
  GROUP = id,
  LAG = whole(0, MAX_INTEGER, 'must be milliseconds, an integer from 0'),
  SET = whole(0, DAY_MS, 'must be 0 to 86400000 milliseconds'),
  ADD = whole(-DAY_MS, DAY_MS, 'must be -86400000 to 86400000 milliseconds'),
  WITHIN = whole(1, DAY_MS, 'must be 1 to 86400000 milliseconds'),
  REASON = words(0, 200),
  MOVE = word(64),
  TARGET = word(1024),
  LEASE = whole(1000, 600000, 'must be 1000 to 600000 milliseconds'),
  SHIFT = whole(-MAX_INTEGER, MAX_INTEGER, 'must be milliseconds, an integer'),
}

-- The options that every transition has.
local COMMON = { TENANT = true, VERSION = true, EPOCH = true, ACTOR = true, TRACE = true, REQUEST = true }
local FLAGS = { EXPORT = true, DRYRUN = true } -- the options without a value
local NONE = {} -- the options of a call without any

-- Reads the options in `args` from position `from` on. Returns them as a table from name to value, and the
-- problems with them as a list of {field, message}, nil for none. `own` and `common` are the sets of the
-- allowed names.
local function parse(args, from, own, common)
  local size = #args
  if size < from then
    return NONE
  end
  if size > MOST_ARGUMENTS then
    return NONE, { { 'arguments', 'must be at most ' .. MOST_ARGUMENTS } }
  end
  local found, problems = {}, nil
  local function problem(field, message)
    problems = problems or {}
    problems[#problems + 1] = { field, message }
  end
  local position = from
  while position <= size do
    local name = args[position]:upper()
    if not (own[name] or common[name]) then
      problem(args[position], 'is no option of this function')
      position = position + 2
    elseif found[name] ~= nil then
      problem(name, 'is given twice')
      position = position + 2
    elseif FLAGS[name] then
      found[name] = true
      position = position + 1
    elseif position == size then
      problem(name, 'lacks its value')
      position = position + 1
    else
      local value, meaning = READERS[name](args[position + 1])
      if value == nil then
        problem(name, meaning)
      else
        found[name] = value
      end
      position = position + 2
    end
  end
  return found, problems
end

return {
  parse = parse,
  integer = integer,
  COMMON = COMMON,
  NONE = NONE,
  MAX_INTEGER = MAX_INTEGER,
  DAY_MS = DAY_MS,
}
end)()

-- controls/bronstein.lua
local controls_bronstein = (function()
-- Bronstein: after every cycle the owner gets back the time that the cycle used, at most the delay D. So the
-- bank R never grows. u: the ms that the cycle used.
--
--   budget               R
--   bank after a cycle   R - u + min(u, D)

local PARAMETERS = { { 'delay_ms', 0, 86400000, required = true } }

local function pack(given)
  return ('%d'):format(given.delay_ms)
end

local function parse(text)
  return { delay = tonumber(text:match('^%d+')) }
end

local function budget(owner)
  return owner.bank
end

local function charged(owner, used)
  return owner.bank - used
end

local function credited(owner, used)
  local delay = owner.control.delay
  return owner.bank - used + (used < delay and used or delay)
end

return {
  PARAMETERS = PARAMETERS,
  DIGITS = { 8 },
  pack = pack,
  parse = parse,
  budget = budget,
  charged = charged,
  credited = credited,
}
end)()

-- controls/byoyomi.lua
local controls_byoyomi = (function()
-- Byo-yomi (Japanese overtime): after the main time R come k periods of P ms. A cycle that ends within the
-- running period leaves that period whole. A cycle that runs past its end loses the period and goes on in the
-- next one. When the last period is lost, the time is up. u: the ms that the cycle used.
--
--   budget          R + k * P
--   after a cycle   u < R: the bank is R - u
--                   else: the bank is 0, and floor((u - R) / P) periods are lost
--
-- A bank below zero is overtime that was used. It counts as empty here and stays as it is: periods pay no
-- debt.

local PARAMETERS = { { 'periods', 1, 1000, required = true }, { 'period_ms', 1, 86400000, required = true } }
local COUNTERS = { 'periods_left' }

local function pack(given)
  return ('%d %d'):format(given.periods, given.period_ms)
end

local function parse(text)
  local periods, period = text:match('^(%d+) (%d+)')
  return { periods = tonumber(periods), period = tonumber(period) }
end

local function fresh(control)
  return control.periods
end

local function budget(owner)
  return owner.bank + owner.periods_left * owner.control.period
end

-- How many of the used ms come after the main time.
local function beyond(owner, used)
  local over = owner.bank > 0 and used - owner.bank or used
  return over > 0 and over or 0
end

local function charged(owner, used)
  local over = beyond(owner, used)
  local bank = owner.bank
  if over == 0 then
    return bank > used and bank - used or bank < 0 and bank or 0, owner.periods_left
  end
  local control, periods = owner.control, owner.periods_left
  local past = over - periods * control.period
  periods = periods - math.floor(over / control.period)
  return (bank < 0 and bank or 0) - (past > 0 and past or 0), periods > 0 and periods or 0
end

local function now(owner, used)
  local period = owner.control.period
  local over = beyond(owner, used)
  local periods = math.max(0, owner.periods_left - math.floor(over / period))
  local remaining = periods > 0 and period - over % period or 0
  return ('"periods_left":%d,"period_remaining_ms":%d'):format(periods, remaining)
end

return {
  PARAMETERS = PARAMETERS,
  DIGITS = { 4, 8 },
  COUNTERS = COUNTERS,
  pack = pack,
  parse = parse,
  fresh = fresh,
  budget = budget,
  charged = charged,
  credited = charged,
  now = now,
}
end)()

-- controls/canadian.lua
local controls_canadian = (function()
-- Canadian overtime: after the main time R an owner has to make N moves in a block of B ms. When it makes
-- them in time, it gets a new block. u: the ms that the cycle used; b: the ms left of the block; s: the moves
-- left in the block.
--
--   budget          R + b
--   after a cycle   the bank is max(0, R - u)
--                   when that is 0: b is less by max(0, u - R), and s by 1. The cycle that uses up the bank
--                   counts as the first move of the block
--                   when s is 0: a new block begins with b = B and s = N
--
-- A bank below zero is overtime that was used. It counts as empty here and stays as it is: blocks pay no
-- debt.

local PARAMETERS = { { 'period_ms', 1, 86400000, required = true }, { 'moves', 1, 1000, required = true } }
local COUNTERS = { 'moves_left', 'block_remaining_ms' }

local function pack(given)
  return ('%d %d'):format(given.period_ms, given.moves)
end

local function parse(text)
  local block, moves = text:match('^(%d+) (%d+)')
  return { block = tonumber(block), block_moves = tonumber(moves) }
end

local function fresh(control)
  return control.block_moves, control.block
end

local function budget(owner)
  return owner.bank + owner.block_remaining_ms
end

-- How many of the used ms come after the main time.
local function beyond(owner, used)
  local over = owner.bank > 0 and used - owner.bank or used
  return over > 0 and over or 0
end

local function charged(owner, used)
  local over = beyond(owner, used)
  local bank = owner.bank
  if over == 0 then
    return bank > used and bank - used or bank < 0 and bank or 0, owner.moves_left, owner.block_remaining_ms
  end
  local left = owner.block_remaining_ms - over
  return (bank < 0 and bank or 0) + (left < 0 and left or 0), owner.moves_left, left > 0 and left or 0
end

local function credited(owner, used)
  local bank, moves, left = charged(owner, used)
  if bank > 0 then
    return bank, moves, left
  elseif moves > 1 then
    return bank, moves - 1, left
  end
  return bank, fresh(owner.control)
end

local function now(owner, used)
  return ('"block_remaining_ms":%d'):format(math.max(0, owner.block_remaining_ms - beyond(owner, used)))
end

return {
  PARAMETERS = PARAMETERS,
  DIGITS = { 8, 4 },
  COUNTERS = COUNTERS,
  pack = pack,
  parse = parse,
  fresh = fresh,
  budget = budget,
  charged = charged,
  credited = credited,
  now = now,
}
end)()

-- controls/delay.lua
local controls_delay = (function()
-- US delay: the first D ms of every cycle are free, then the bank R runs. u: the ms that the cycle used.
--
--   budget               R + D
--   bank after a cycle   R - max(0, u - D)
--
-- When the clock ran out in this cycle and got time again after `offset` ms, only D - offset ms of the delay
-- are left.

local PARAMETERS = { { 'delay_ms', 0, 86400000, required = true } }

local function pack(given)
  return ('%d'):format(given.delay_ms)
end

local function parse(text)
  return { delay = tonumber(text:match('^%d+')) }
end

local function delay_left(owner, offset)
  local delay = owner.control.delay - offset
  return delay > 0 and delay or 0
end

local function budget(owner, offset)
  return owner.bank + delay_left(owner, offset)
end

local function drawn(owner, used, offset)
  local over = used - delay_left(owner, offset)
  return over > 0 and over or 0
end

local function charged(owner, used, offset)
  return owner.bank - drawn(owner, used, offset)
end

return {
  PARAMETERS = PARAMETERS,
  DIGITS = { 8 },
  pack = pack,
  parse = parse,
  budget = budget,
  drawn = drawn,
  charged = charged,
  credited = charged,
}
end)()

-- controls/fischer.lua
local controls_fischer = (function()
-- Fischer: a bank R, and an increment I after every cycle that ended in time. An increment of 0 is sudden
-- death. u: the ms that the cycle used; M: the most that an increment may lift the bank to.
--
--   budget               R
--   bank after a cycle   R - u + I, with M at most max(M, R - u)

local PARAMETERS = { { 'increment_ms', 0, 60000 } }

-- A control without increment_ms has the session's; M is the session's max_time_ms, 0 for none.
local function pack(given, session)
  return ('%d %d'):format(given.increment_ms or session.increment_ms or 0, session.max_time_ms or 0)
end

local function parse(text)
  local increment, cap = text:match('^(%d+) (%d+)')
  return { increment = tonumber(increment), cap = tonumber(cap) }
end

local function budget(owner)
  return owner.bank
end

local function charged(owner, used)
  return owner.bank - used
end

local function credited(owner, used)
  local rest, control = owner.bank - used, owner.control
  local with_increment, cap = rest + control.increment, control.cap
  if cap > 0 and with_increment > cap then
    return rest > cap and rest or cap
  end
  return with_increment
end

return {
  PARAMETERS = PARAMETERS,
  DIGITS = { 5, 8 },
  pack = pack,
  parse = parse,
  budget = budget,
  charged = charged,
  credited = credited,
}
end)()

-- controls/hourglass.lua
local controls_hourglass = (function()
-- Hourglass: the time that a cycle uses moves to the next clock. u: the ms that the cycle used.
--
--   budget               R
--   bank after a cycle   R - u, and the next clock gets u

local function pack()
  return '0'
end

local function parse()
  return {}
end

local function budget(owner)
  return owner.bank
end

local function charged(owner, used)
  return owner.bank - used
end

return {
  PARAMETERS = {},
  DIGITS = { 1 },
  TRANSFERS_TIME = true,
  pack = pack,
  parse = parse,
  budget = budget,
  charged = charged,
  credited = charged,
}
end)()

-- controls/none.lua
local controls_none = (function()
-- No time control: a clock without end. The used time is counted, but there is no bank and no deadline.

local function pack()
  return '0'
end

local function parse()
  return { endless = true }
end

local function budget()
  return math.huge
end

local function charged(owner)
  return owner.bank
end

return {
  PARAMETERS = {},
  DIGITS = { 1 },
  BANK = 0,
  pack = pack,
  parse = parse,
  budget = budget,
  charged = charged,
  credited = charged,
}
end)()

-- controls/stages.lua
local controls_stages = (function()
-- Stages: after a number of moves the owner gets more time, and another rule may begin. An example is
-- `40 moves in 90 minutes, then 30 minutes`. Each stage is a control of one of the other kinds, and also has
--
--   moves       how many moves end it; nil for the last stage
--   time        ms that are added to the bank when the stage begins, whatever max_time_ms is; those of the
--               first stage are the bank at the beginning
--   stage       its number from 0
--   following   the next stage
--
-- The hash stores stages as `<moves>/<time>/<kind> <numbers>` with | between them; the last one has 0 moves:
-- `40/5400000/fischer 0 0|0/1800000/fischer 30000 0`.

local MOST_STAGES = 8

-- The text of a list of {moves, time_ms, text}, whose text is the control of the stage.
local function pack(list)
  local parts = {}
  for i = 1, #list do
    parts[i] = ('%d/%d/%s'):format(list[i].moves or 0, list[i].time_ms, list[i].text)
  end
  return table.concat(parts, '|')
end

-- The stages of a text in their order. decode(text) makes the control of one stage.
local function parse(text, decode)
  local stages = {}
  for moves, time, control_text in text:gmatch('(%d+)/(%d+)/([^|+~]+)') do
    local control = decode(control_text)
    control.stage, control.moves, control.time = #stages, tonumber(moves), tonumber(time)
    if control.moves == 0 then
      control.moves = nil
    end
    if #stages > 0 then
      stages[#stages].following = control
    end
    stages[#stages + 1] = control
  end
  return stages
end

return {
  MOST_STAGES = MOST_STAGES,
  pack = pack,
  parse = parse,
}
end)()

-- controls.lua
local controls = (function()
-- The time controls by the name of their kind. A time control says how a clock is spent. A new kind is one
-- file in controls/ and one line in KINDS.
--
-- Each kind is a module with
--   PARAMETERS        what a config may set, in the order of the state: a list of
--                     {name, least, most, required =}
--   DIGITS            the most digits of each number that `pack` writes
--   pack(given, session)
--                     the numbers that its rules need as text, for example `2000 0`, as the hash stores
--                     them. given: the parameters of the config; session: the session's {increment_ms,
--                     max_time_ms}
--   parse(text)       the same numbers as a table, which becomes owner.control
--   budget(owner, offset)
--                     the time in ms that the owner may use in this cycle, without overtime; math.huge for a
--                     clock without end
--   charged(owner, used, offset)
--                     the bank and the counters after a cycle that used so many ms, without any credit
--   credited(owner, used, offset)
--                     the same after a cycle that ended in time, with the credit of this kind
--
-- Some kinds also have
--   COUNTERS          the names of the numbers that change besides the bank, such as periods_left. They are
--                     fields of owner and of the state's `clock`. charged and credited return them in this
--                     order after the bank
--   fresh(control)    the counters at the beginning
--   now(owner, used)  what the counters would show if the cycle ended after so many ms: JSON members
--   drawn(owner, used, offset)
--                     how many of the used ms come out of the bank; without it all of them do
--   BANK              the bank that this kind supplies
--   TRANSFERS_TIME    true: the next clock gets the time that a cycle used
--
-- All functions are pure. `owner` has bank (ms at the start of the cycle), control and the counters. `used`
-- is in ms. `offset` is how many ms the cycle had run when this clock got time again after its end; it is 0
-- in nearly all cycles.

local KINDS = {
  fischer = controls_fischer,
  bronstein = controls_bronstein,
  delay = controls_delay,
  byoyomi = controls_byoyomi,
  canadian = controls_canadian,
  hourglass = controls_hourglass,
  none = controls_none,
}

local STAGE = '^{"stage":(%d)'

-- Recently decoded controls by their text. They only save work; a replica begins without them.
local MOST_KNOWN = 256
local known, known_count = {}, 0

-- The names of the members that the state's `clock` has for an owner with this control, in their order. There
-- are five at most.
local function list_view_names(control)
  local names = {}
  if control.stage then
    names[1] = 'stage'
    if control.moves then
      names[2] = 'moves_left'
    end
  end
  local own = control.rule.COUNTERS
  for i = 1, own and #own or 0 do
    names[#names + 1] = own[i]
  end
  if control.overtime > 0 then
    names[#names + 1] = 'overtime_used_ms'
  end
  if control.gain > 0 then
    names[#names + 1] = 'quota_ms'
  end
  return names
end

local function decode_kind(text)
  local kind, numbers = text:match('^(%l+) (.*)$')
  local rule = KINDS[kind]
  local control = rule.parse(numbers)
  control.rule = rule
  return control
end

-- Adds overtime, lag gain and the format of `clock` to a control or a stage.
local function complete(control, overtime, gain)
  control.overtime, control.gain = overtime, gain
  local names = list_view_names(control)
  if #names > 0 then
    control.view_names = names
    control.form = '{"' .. table.concat(names, '":%d,"') .. '":%d}'
    control.pattern = '^{"' .. table.concat(names, '":(%d+),"') .. '":(%d+)}$'
  end
end

-- Decodes the text of a control, `<kind> <numbers> [+<overtime ms>] [~<lag gain ms>]`, for example
-- `fischer 2000 0 +5000`. A control has
--
--   <name>            each of its numbers
--   rule              the module of its kind
--   overtime gain     ms, 0 for none
--   view_names        the names of the members of `clock`; nil when that is empty
--   form pattern      to write and to read the JSON of `clock`
--
-- For a control with stages the result is the first stage, and its `stages` is the list of all. Owners share
-- the result: do not change it.
local function decode(text)
  local control = known[text]
  if control then
    return control
  end
  local overtime, gain = tonumber(text:match(' %+(%d+)')) or 0, tonumber(text:match(' ~(%d+)')) or 0
  local staged = text:match('^stages (.*)$')
  if staged then
    local stages = controls_stages.parse(staged, decode_kind)
    for i = 1, #stages do
      complete(stages[i], overtime, gain)
    end
    control = stages[1]
    control.stages = stages
  else
    control = decode_kind(text)
    complete(control, overtime, gain)
  end
  if known_count >= MOST_KNOWN then
    known, known_count = {}, 0
  end
  known[text], known_count = control, known_count + 1
  return control
end

-- The JSON of the state's `clock` of an owner, as it was when the cycle began.
local function view(owner)
  local control = owner.control
  local names = control.view_names
  if not names then
    return '{}'
  end
  owner.overtime_used_ms = owner.bank < 0 and -owner.bank or 0
  return control.form:format(owner[names[1]], owner[names[2]], owner[names[3]], owner[names[4]],
    owner[names[5]])
end

-- The same with the member `now`: what `clock` would be if the cycle ended at this moment, after `used` ms.
local function view_now(owner, used, offset)
  local control = owner.control
  local rule = control.rule
  local now = rule.now and rule.now(owner, used)
  if control.overtime > 0 then
    local bank = rule.charged(owner, used, offset)
    local overtime = ('"overtime_used_ms":%d'):format(bank < 0 and -bank or 0)
    now = now and now .. ',' .. overtime or overtime
  end
  return now and owner.clock:sub(1, -2) .. ',"now":{' .. now .. '}}' or owner.clock
end

-- Reads the counters of an owner from its `clock`. With stages this also sets its control to its present
-- stage.
local function decode_counters(owner)
  local control, text = owner.control, owner.clock
  if control.stages then
    control = control.stages[text:match(STAGE) + 1]
    owner.control = control
  end
  local names = control.view_names
  local first, second, third, fourth, fifth = text:match(control.pattern)
  owner[names[1]] = first + 0
  if second then
    owner[names[2]] = second + 0
    if third then
      owner[names[3]] = third + 0
      if fourth then
        owner[names[4]] = fourth + 0
        if fifth then
          owner[names[5]] = fifth + 0
        end
      end
    end
  end
end

-- Sets the bank and up to two counters of an owner.
local function set_bank(owner, bank, first, second)
  owner.bank = bank
  if first then
    local names = owner.control.rule.COUNTERS
    owner[names[1]] = first
    if second then
      owner[names[2]] = second
    end
  end
end

-- Puts an owner into a stage, or under a control without stages, with fresh counters.
local function enter(owner, control)
  owner.control = control
  owner.stage, owner.moves_left = control.stage, control.moves
  if control.rule.COUNTERS then
    set_bank(owner, owner.bank, control.rule.fresh(control))
  end
end

-- Gives a new owner its bank (ms) and its control, which is text.
local function begin(owner, text, bank)
  owner.bank = bank
  enter(owner, decode(text))
end

-- Charges a cycle without a credit.
local function charge(owner, used, offset)
  set_bank(owner, owner.control.rule.charged(owner, used, offset))
end

-- Charges a cycle that ended in time, adds the credit of the control, and counts the move. After the last
-- move of a stage the next one begins.
local function charge_and_credit(owner, used, offset)
  local control = owner.control
  set_bank(owner, control.rule.credited(owner, used, offset))
  if control.moves then
    owner.moves_left = owner.moves_left - 1
    if owner.moves_left == 0 then
      local following = control.following
      owner.bank = owner.bank + following.time
      enter(owner, following)
    end
  end
end

-- How many of the used ms came out of an owner's bank. They may be more than the bank had: the rest came out
-- of periods, the block or the overtime.
local function drawn(owner, used, offset)
  local own = owner.control.rule.drawn
  return own and own(owner, used, offset) or used
end

-- Whether a text is a number from 0 without leading zeros, with so many digits at most.
local function is_number(text, digits)
  return text ~= nil and #text <= digits and (text == '0' or text:find('^[1-9]%d*$') ~= nil)
end

-- Whether a text has the numbers that `pack` of this kind writes.
local function are_numbers(kind, numbers)
  local rule = KINDS[kind]
  if not rule then
    return false
  end
  local found = {}
  for text in (numbers .. ' '):gmatch('([^ ]*) ') do
    found[#found + 1] = text
    if not (rule.DIGITS[#found] and is_number(text, rule.DIGITS[#found])) then
      return false
    end
  end
  return #found == #rule.DIGITS
end

-- Whether a text is a list of stages, see controls/stages.lua.
local function are_stages(text)
  local count, last = 0, false
  for part in (text .. '|'):gmatch('([^|]*)|') do
    local moves, time, kind, numbers = part:match('^(%d+)/(%d+)/(%l+) (.*)$')
    if last or not (is_number(moves, 4) and is_number(time, 8) and are_numbers(kind, numbers))
      or KINDS[kind].BANK then
      return false
    end
    count, last = count + 1, moves == '0'
    if kind == 'canadian' and not last then
      return false
    end
  end
  return last and count <= controls_stages.MOST_STAGES
end

-- Whether a text is a control as the hash stores it, see decode.
local function is_packed(text)
  local body, gain = text:match('^(.*) ~(%d+)$')
  body = body or text
  local without_overtime, overtime = body:match('^(.*) %+(%d+)$')
  local kind, numbers = (without_overtime or body):match('^(%l+) (.*)$')
  if not kind or (gain and not is_number(gain, 4)) or (overtime and not is_number(overtime, 8)) then
    return false
  elseif kind == 'stages' then
    return are_stages(numbers)
  end
  return are_numbers(kind, numbers) and not (KINDS[kind].BANK and (gain or overtime))
end

-- Whether the counters of an owner are within their bounds.
local function is_within(owner, control)
  local first, second
  if control.rule.COUNTERS then
    first, second = control.rule.fresh(control)
  end
  local names = control.rule.COUNTERS or {}
  return (not first or owner[names[1]] <= first) and (not second or owner[names[2]] <= second)
    and (not control.moves or owner.moves_left <= control.moves)
    and (not owner.moves_left or owner.moves_left >= 1)
    and (not owner.quota_ms or owner.quota_ms <= 7 * control.gain)
end

-- Whether a text can be the `clock` of an owner with this control and this bank.
local function is_view(text, control, bank)
  local owner = { bank = bank, clock = text, control = control }
  if control.stages then
    local stage = text:match(STAGE)
    control = stage and control.stages[stage + 1]
  end
  if not control or not text:match(control.pattern) or text:find(('%d'):rep(10)) then
    return false
  end
  decode_counters(owner)
  return view(owner) == text and is_within(owner, control)
end

return {
  KINDS = KINDS,
  decode = decode,
  is_packed = is_packed,
  is_view = is_view,
  view = view,
  view_now = view_now,
  decode_counters = decode_counters,
  begin = begin,
  charge = charge,
  charge_and_credit = charge_and_credit,
  drawn = drawn,
}
end)()

-- modes/count_up.lua
local modes_count_up = (function()
-- count_up: one clock for the whole session counts up from zero, to max_time_ms if there is one. Its bank is
-- the time left to that maximum, so the maximum is always the used time + the bank.

local function clock()
  return 'clock'
end

return {
  owner = 'session',
  clock = clock,
  counts_up = true,
}
end)()

-- modes/global.lua
local modes_global = (function()
-- global: one clock for the whole session, which a switch does not stop. (With a time per cycle, modes.lua
-- takes the clock of per_cycle instead.)

local function clock()
  return 'clock'
end

return {
  owner = 'session',
  clock = clock,
}
end)()

-- modes/per_cycle.lua
local modes_per_cycle = (function()
-- per_cycle: every cycle begins with the same time. The time left of the last cycle is lost, and participants
-- are never out.

local function clock()
  return 'clock'
end

return {
  owner = 'cycle',
  clock = clock,
}
end)()

-- modes/per_group.lua
local modes_per_group = (function()
-- per_group: the clock of the active participant's group runs. A switch without NEXT goes to the next group,
-- and there to the member after the one that was active last.

local function clock(_, group_id)
  return 'g:' .. group_id
end

return {
  owner = 'group',
  clock = clock,
  by_group = true,
}
end)()

-- modes/per_participant.lua
local modes_per_participant = (function()
-- per_participant: the clock of the active participant runs. A switch charges it and starts the clock of the
-- next participant.

local function clock(field)
  return field
end

return {
  owner = 'participant',
  clock = clock,
}
end)()

-- modes.lua
local modes = (function()
-- The modes by their names. A mode says which clock runs. It has
--
--   owner                    who owns the clock: 'participant', 'group', 'cycle' or 'session'
--   clock(field, group_id)   the field of the hash with the clock that runs while a participant is active.
--                            field: that participant's; group_id: of its group, nil for none
--   by_group                 true: groups take turns, and within a group its members
--   counts_up                true: time counts up from zero

local MODES = {
  per_participant = modes_per_participant,
  per_group = modes_per_group,
  per_cycle = modes_per_cycle,
  global = modes_global,
  count_up = modes_count_up,
}

local NAMES = 'per_participant, per_group, per_cycle, global, count_up'

-- The mode with this name. `global` with a time per cycle has the clock of per_cycle. cycle_ms: text, '0' for
-- none.
local function named(name, cycle_ms)
  if name == 'global' and cycle_ms ~= '0' then
    return modes_per_cycle
  end
  return MODES[name]
end

return {
  MODES = MODES,
  NAMES = NAMES,
  named = named,
}
end)()

-- rules/lag.lua
local rules_lag = (function()
-- Lag compensation: when the network delayed a switch, the owner gets back the delay that the server
-- measured. It comes out of a quota, which grows with every switch. The rule and its numbers are those of
-- lichess.
--
--   gain    G = min(1000, 10 * floor(2 * (bank + 40 * increment) / 5) + 150), bank and increment in seconds
--   quota   begins with 3G; a switch with a credit of c leaves min(7G, quota + G - c)
--   grace   min(quota, 2000): for how many ms after the deadline a switch may still be in time
--
-- The hash stores the gain with the owner's control (`~G`) and the quota in its clock (`quota_ms`).

local MOST_GAIN_MS = 1000
local MOST_GRACE_MS = 2000

-- The gain in ms of a clock that begins with `bank` ms and has `increment` ms a cycle. The formula above has
-- seconds: 2 * seconds / 5 is 2 * ms / 5000.
local function gain(bank, increment)
  return math.min(MOST_GAIN_MS, 10 * math.floor(2 * (bank + 40 * increment) / 5000) + 150)
end

-- The text of a control with the gain of an owner that begins with `bank` ms. A clock without end has no
-- gain.
local function with_gain(text, bank)
  local control = controls.decode(text)
  return control.endless and text or text .. (' ~%d'):format(gain(bank, control.increment or 0))
end

-- Gives a new owner its quota.
local function begin(owner)
  owner.quota_ms = 3 * owner.control.gain
end

-- Sets for how many ms after the deadline a switch of this owner may still be in time.
local function set_grace(owner)
  owner.grace = math.min(owner.quota_ms, MOST_GRACE_MS)
end

-- The credit in ms for a switch with `measured` ms of lag, after a cycle that ran for `used` ms.
local function credit(owner, measured, used)
  return math.min(measured or 0, owner.quota_ms, used)
end

-- Sets the quota after a switch with so many ms of credit.
local function spend(owner, credited)
  local per_switch = owner.control.gain
  owner.quota_ms = math.min(7 * per_switch, owner.quota_ms + per_switch - credited)
  set_grace(owner)
end

-- Makes a new owner of a clock with `bank` ms and fresh counters. Returns the owner, and the text of the
-- control that has to be stored for it, nil when the session's is enough.
--
-- own           the text of the owner's own control, nil for none
-- default       the text of the session's control
-- compensated   whether the session has lag compensation: each owner then has a gain of its own
local function new_owner(own, default, compensated, bank)
  if compensated then
    own = with_gain(own or default, bank)
  end
  local owner = {}
  controls.begin(owner, own or default, bank)
  if owner.control.gain > 0 then
    begin(owner)
  end
  return owner, own
end

return {
  new_owner = new_owner,
  with_gain = with_gain,
  begin = begin,
  set_grace = set_grace,
  credit = credit,
  spend = spend,
}
end)()

-- rules/clock.lua
local rules_clock = (function()
-- The arithmetic of the running clock: the time left, the deadline and the next alarm. All functions are
-- pure. s: a loaded session; owner: the record whose clock runs in the current cycle; all times in ms.

-- For how long the current cycle has run, without pauses.
local function elapsed(s)
  if s.status == 'running' then
    return s.now - s.since
  end
  return s.since
end

-- The time that the owner may use in this cycle, with overtime; math.huge for a clock without end.
local function budget(s, owner)
  return owner.control.rule.budget(owner, s.offset) + owner.control.overtime
end

-- The server time at which the budget of the running clock ends, or the session's total when that is not
-- later; nil when neither runs down.
local function deadline(s, owner)
  if s.status ~= 'running' then
    return nil
  end
  local ends
  if not s.flagged then
    local ms = budget(s, owner)
    if ms < math.huge then
      ends = s.since + s.offset + ms
    end
  end
  local total = s.total_left
  if total and not (ends and ends < s.since + total) then
    return s.since + total
  end
  return ends
end

-- The time left of the session's total. Only for a session with a total and a time per cycle.
local function total_remaining(s)
  local live = s.status == 'running' or s.status == 'paused'
  return math.max(0, s.total_left - (live and elapsed(s) or 0))
end

-- The time left on the clock of the current cycle, without overtime: it is below zero in overtime. nil for a
-- clock without end.
local function remaining(s, owner)
  if s.flagged then
    return owner.bank < 0 and owner.bank or 0
  end
  local ms = owner.control.rule.budget(owner, s.offset)
  if ms < math.huge then
    local left = ms - (elapsed(s) - s.offset)
    return s.total_left and math.min(left, s.total_left - elapsed(s)) or left
  end
end

-- The time that a clock that does not run has for its next cycle; nil for a clock without end.
local function idle(owner)
  if owner.expired then
    return owner.bank < 0 and owner.bank or 0
  end
  local ms = owner.control.rule.budget(owner, 0)
  if ms < math.huge then
    return ms
  end
end

-- The next warning threshold of this cycle, which is the highest one that has not been sent, and its position
-- in the list; nil for none.
local function next_warning(s)
  if s.warned and s.warn_from > 0 then
    local position = 0
    for threshold in s.rules.warnings:gmatch('%d+') do
      position = position + 1
      threshold = tonumber(threshold)
      if threshold < s.warn_from and s.warn_sent:sub(position, position) == '0' then
        return threshold, position
      end
    end
  end
end

-- The server time at which the next warning or the expiry is due, 0 for none. ends: the deadline.
local function alarm(s, owner, ends)
  if not ends then
    return 0
  end
  local threshold = next_warning(s)
  if threshold then
    return ends - owner.control.overtime - threshold
  end
  return owner.grace and ends + owner.grace or ends
end

-- From now on only the thresholds below `left` ms count; nil: none counts. A threshold warns once in a cycle;
-- new_cycle: true when a cycle begins.
local function warn_below(s, left, new_cycle)
  if s.warned then
    s.warn_from = left or -1
    if new_cycle then
      s.warn_sent = s.warn_sent:gsub('1', '0')
    end
  end
end

-- Whether the session has a current cycle.
local function is_live(s)
  return s.status == 'running' or s.status == 'paused'
end

return {
  is_live = is_live,
  elapsed = elapsed,
  budget = budget,
  deadline = deadline,
  total_remaining = total_remaining,
  remaining = remaining,
  idle = idle,
  next_warning = next_warning,
  alarm = alarm,
  warn_below = warn_below,
}
end)()

-- storage/time.lua
local storage_time = (function()
-- The only clock that counts is that of the primary. A call reads it once and passes the time down, because
-- two readings in one call may differ.

-- Server time in milliseconds since 1970.
local function now()
  local seconds_and_micros = redis.call('TIME')
  local micros = seconds_and_micros[2]
  return seconds_and_micros[1] * 1000 + (micros - micros % 1000) / 1000
end

return { now = now }
end)()

-- storage/server.lua
local storage_server = (function()
-- Which server makes a change. A session keeps the id of the server that wrote it last, because the newest
-- changes may be missing on another one: a replica that became the primary, or a server that was restarted.

local own -- read once: a server has the same run id for as long as it runs

-- The run id of this server (40 hex digits); nil when the caller may not use INFO, or there is none.
local function id()
  if not own then
    local info = redis.pcall('INFO', 'server')
    own = type(info) == 'string' and info:match('run_id:(%x+)') or nil
  end
  return own
end

return { id = id }
end)()

-- storage/keys.lua
local storage_keys = (function()
-- The keys of a session, as callers pass them in:
--
--   1  sk:{tt}:<id>       hash         the session (fields: see session.lua)
--   2  sk:{tt}:<id>:log   stream       its newest events
--   3  sk:{tt}:alarms     sorted set   the sessions of the partition by the time of their next alarm
--   4  sk:{tt}:outbox     stream       every event of the partition
--
-- tt is the partition: the last two hex digits of the id.

local PREFIX_LENGTH = 8 -- of `sk:{tt}:`

-- The id of the session with this key (KEYS[1]).
local function session_id(key)
  return key:sub(PREFIX_LENGTH + 1)
end

-- Checks that KEYS are the first `expected` of a session's four, all of one id in its own partition. Returns
-- a list of problems, nil for none.
local function problems_of(keys, expected)
  if #keys ~= expected then
    return { { 'KEYS', 'must be ' .. expected .. ', not ' .. #keys } }
  end
  local partition, id = keys[1]:match('^sk:{(..)}:(.*)$')
  if not id or text_formats.uuid(id) ~= id or id:sub(-2) ~= partition then
    return { { 'KEYS.0', 'must be sk:{tt}:<id>, a UUID in lower case with its last two digits as tt' } }
  end
  local names = { keys[1], keys[1] .. ':log', 'sk:{' .. partition .. '}:alarms', 'sk:{' .. partition
    .. '}:outbox' }
  local problems
  for i = 2, expected do
    if keys[i] ~= names[i] then
      problems = problems or {}
      problems[#problems + 1] = { 'KEYS.' .. (i - 1), 'must be ' .. names[i] }
    end
  end
  return problems
end

-- Whether there are four keys and the last three belong to the first. That is enough when the session exists:
-- its first key was checked when it was created.
local function belong_together(keys)
  if #keys ~= 4 then
    return false
  end
  local key = keys[1]
  local prefix = key:sub(1, PREFIX_LENGTH)
  return keys[2] == key .. ':log' and keys[3] == prefix .. 'alarms' and keys[4] == prefix .. 'outbox'
end

return {
  session_id = session_id,
  problems_of = problems_of,
  belong_together = belong_together,
}
end)()

-- storage/record.lua
local storage_record = (function()
-- The records in a session's hash: one for each participant, one for each group, and one for the clock that
-- the session or the cycle owns. A record is stored as `[bank,used,cycles,expired,clock]`, for example
-- `[180000,4200,3,0]`. The part of a participant's or a group's JSON that never changes is stored in a field
-- of its own (`fixed_json`).
--
-- In memory a record has
--   field                  its field in the hash: p<index>, g:<group id> or clock
--   kind                   the first byte of that field
--   bank used cycles       ms, ms, and a number of cycles
--   expired                whether its clock has run out
--   clock                  the JSON of its `clock` in the state; '' when that is empty
--   fixed_json             see participant_fixed_json and group_fixed_json
--   owns control           whether it owns a clock, and the control of that clock
--   bank_text              the bank as text
--   touched                true: the event shows the record
--   dirty                  true: the record has to be written
--   gone                   true: the participant has left the session
--
-- used and cycles stay the text that the hash holds until they change, because most records are only copied.

local RECORD = '^%[(%-?%d+),(%d+),(%d+),(%d),?(.*)%]$'

-- The kind of a record is the byte that its field begins with: comparing a byte makes no new text.
local PARTICIPANT_KIND, GROUP_KIND, CLOCK_KIND = 112, 103, 99 -- p, g, c

-- Where ids are in the text of participant_fixed_json. A switch reads several of them, and a position is
-- cheaper than a pattern.
--
--   "participant_id":"aaaaaaaa-0000-4000-8000-000000000001","group_id":"eeeeeeee-0000-4000-8000-000000000001"
--                     19                                54             68                                 104
--   "participant_id":"aaaaaaaa-0000-4000-8000-000000000001","group_id":null,…
local ID_FIRST, ID_LAST = 19, 54
local GROUP_QUOTE, GROUP_ID_FIRST, GROUP_ID_LAST = 68, 69, 104
local QUOTE = 34 -- "
-- The same as a pattern that also checks the names: the participant's id, and its group's or `null`.
local PARTICIPANT_IDS = '^"participant_id":"([^"]*)","group_id":"?([^",]*)"?,'
-- Every fixed JSON ends with the record's own control. Without one it ends with `"time_control":null}`, whose
-- last byte but one is an l; a control is an object and has a } there.
local LAST_OF_CONTROL, LAST_OF_NULL = -2, 108 -- l

local GROUP_FIELD_PREFIX = 'g:'

-- The field names of participants and the indexes as text, both by index. Each is made when it is first
-- needed.
local fields_by_index, texts_by_index = {}, {}

local function index_text(index)
  local text = texts_by_index[index]
  if not text then
    text = text_formats.integer(index)
    texts_by_index[index] = text
  end
  return text
end

local function participant_field(index)
  local field = fields_by_index[index]
  if not field then
    field = 'p' .. index_text(index)
    fields_by_index[index] = field
  end
  return field
end

-- The part of a participant's JSON that never changes: the end of the object. control: the JSON of its own
-- control, or null.
local function participant_fixed_json(id, index, group_id, control)
  return ('"participant_id":"%s","group_id":%s,"participant_index":%d,"time_control":%s}'):format(
    id, group_id and '"' .. group_id .. '"' or 'null', index, control)
end

-- The same of a group.
local function group_fixed_json(id, control)
  return '"group_id":"' .. id .. '","time_control":' .. control .. '}'
end

local function participant_id(participant)
  return participant.fixed_json:sub(ID_FIRST, ID_LAST)
end

local function participant_index(participant)
  return tonumber(participant.field:sub(2))
end

-- The id of a participant's group, nil for none.
local function group_id(participant)
  local json = participant.fixed_json
  if json:byte(GROUP_QUOTE) == QUOTE then
    return json:sub(GROUP_ID_FIRST, GROUP_ID_LAST)
  end
end

-- The id of the group that this record belongs to.
local function id_of_group(group)
  return group.field:sub(#GROUP_FIELD_PREFIX + 1)
end

-- Whether a fixed JSON names a control of its own.
local function has_own_control(fixed_json)
  return fixed_json:byte(LAST_OF_CONTROL) ~= LAST_OF_NULL
end

-- Whether records of this kind own a clock in the session's mode.
local function owns_clock(s, kind)
  local owned_by = s.mode.owner
  return kind == PARTICIPANT_KIND and owned_by == 'participant' or kind == GROUP_KIND and owned_by == 'group'
    or kind == CLOCK_KIND
end

-- Decodes the text of a record and adds the record to the session.
local function decode(s, field, text, fixed_json)
  local bank, used, cycles, expired, clock = text:match(RECORD)
  local kind = field:byte()
  local record = {
    field = field, kind = kind, owns = owns_clock(s, kind), bank = bank + 0, bank_text = bank,
    used = used, cycles = cycles, expired = expired == '1', clock = clock, fixed_json = fixed_json,
  }
  if record.owns then
    local control = s.rules.control
    if s.rules.lag or (fixed_json and has_own_control(fixed_json)) then
      control = redis.call('HGET', s.key, 'c:' .. field) or control
    end
    control = controls.decode(control)
    record.control = control
    if control.view_names then
      controls.decode_counters(record)
      if control.gain > 0 then
        rules_lag.set_grace(record)
      end
    end
  end
  s[field] = record
  return record
end

-- The record in a field, which is read once in a call; nil when the hash has no such field.
local function load(s, field)
  local loaded = s[field]
  if loaded then
    return loaded
  end
  local texts = redis.call('HMGET', s.key, field, field .. ':shown')
  local text, fixed_json = texts[1], texts[2]
  return text and decode(s, field, text, fixed_json) or nil
end

-- Two records with one read of the hash.
local function load_pair(s, one, other)
  if one == other or s[one] or s[other] then
    return load(s, one), load(s, other)
  end
  local texts = redis.call('HMGET', s.key, one, one .. ':shown', other, other .. ':shown')
  return decode(s, one, texts[1], texts[2]), decode(s, other, texts[3], texts[4])
end

-- Marks a record: the event shows it; with `dirty` it is also written. Touched records form a list, from
-- s.first_touched on by next_touched.
local function touch(s, record, dirty)
  if not record.touched then
    record.touched = true
    if s.first_touched then
      s.last_touched.next_touched = record
    else
      s.first_touched = record
    end
    s.last_touched = record
  end
  if dirty then
    record.dirty = true
  end
end

-- Turns the numbers of a changed record into text. The event and the hash both use that text.
local function format_numbers(record)
  record.bank_text, record.used, record.cycles =
    ('%d'):format(record.bank), ('%d'):format(record.used), ('%d'):format(record.cycles)
  local control = record.control
  if control and control.view_names then
    record.clock = controls.view(record)
  end
end

-- The text of a new record with `bank` ms. clock: the JSON of its `clock`, '' for none.
local function encode_new(bank, clock)
  return ('[%d,0,0,0%s]'):format(bank, clock ~= '' and ',' .. clock or '')
end

-- Whether the record in this text has expired.
local function is_expired(text)
  local _, _, _, expired = text:match(RECORD)
  return expired == '1'
end

-- The text of a record, as it is stored; format_numbers has to be called before.
local function encode(record)
  return '[' .. record.bank_text .. ',' .. record.used .. ',' .. record.cycles
    .. (record.expired and ',1' or ',0')
    .. (record.clock ~= '' and ',' .. record.clock .. ']' or ']')
end

return {
  RECORD = RECORD,
  PARTICIPANT_IDS = PARTICIPANT_IDS,
  PARTICIPANT_KIND = PARTICIPANT_KIND,
  GROUP_KIND = GROUP_KIND,
  index_text = index_text,
  participant_field = participant_field,
  participant_fixed_json = participant_fixed_json,
  group_fixed_json = group_fixed_json,
  participant_id = participant_id,
  participant_index = participant_index,
  group_id = group_id,
  id_of_group = id_of_group,
  has_own_control = has_own_control,
  is_expired = is_expired,
  decode = decode,
  load = load,
  load_pair = load_pair,
  touch = touch,
  format_numbers = format_numbers,
  encode = encode,
  encode_new = encode_new,
}
end)()

-- storage/moving.lua
local storage_moving = (function()
-- A session on its way to another server. The field `moving` of its hash says what this server has of it:
--
--   held <move> <until> <target> <rotation>   it is held here until this server time in ms. Nothing changes
--                                             meanwhile, and then it goes on here
--   gone <move> - <target> <rotation>         it was given up here, and is the target's. The hash is kept
--                                             until the target runs the session; then the rotation is `-`
--   copy <move> - <target> <rotation>         a copy at the target, which nobody runs before the source has
--                                             given the session up
--   here <move> - <target> -                  it has come here, and runs
--
-- move: the name of the move. target: the address of the server that the session goes to.
--
-- Unless the session runs here, its rotation is in this field and the hash has no `rotation`. So every
-- function finds no session at first, and moves cost the calls of all other sessions nothing.

local MOVING = '^(%a+) (%S+) (%S+) (%S+) (%S+)$'
local NONE = '-'
local COPY_MS = 86400000 -- for how long a copy is kept that nobody asks for
local MARK_MS = 604800000 -- for how long at least the source says where a session went

local function encode(step, move, till, target, rotation)
  return step .. ' ' .. move .. ' ' .. till .. ' ' .. target .. ' ' .. rotation
end

-- The rotation in a field `moving`; nil when the session runs here.
local function rotation_in(text)
  local rotation = text:match('(%S+)$')
  return rotation ~= NONE and rotation or nil
end

-- What this server has of a moving session: {step, move, till, target, rotation, tenant}; nil when the key
-- has no such session. `till` is a number, and nil unless the session is held.
local function read(key)
  local fields = redis.call('HMGET', key, 'moving', 'tenant')
  local text, tenant = fields[1], fields[2]
  if not text then
    return nil
  end
  local step, move, till, target, rotation = text:match(MOVING)
  return { step = step, move = move, till = tonumber(till), target = target,
    rotation = rotation ~= NONE and rotation or nil, tenant = tenant }
end

-- Holds a session until server time `till` (ms).
local function hold(key, move, till, target, rotation)
  redis.call('HSET', key, 'moving', encode('held', move, text_formats.integer(till), target, rotation))
  redis.call('HDEL', key, 'rotation')
end

-- Lets a held session go on here.
local function release(key, moving)
  redis.call('HSET', key, 'rotation', moving.rotation)
  redis.call('HDEL', key, 'moving')
end

-- Makes a time to live at least this long.
local function keep(key, ms)
  if redis.call('PTTL', key) < ms then
    redis.call('PEXPIRE', key, ms)
  end
end

-- Gives a held session up.
local function give_up(keys, moving)
  local key = keys[1]
  redis.call('HSET', key, 'moving', encode('gone', moving.move, NONE, moving.target, moving.rotation))
  keep(key, MARK_MS)
  keep(keys[2], MARK_MS)
end

-- Drops the hash of a session that was given up. A mark stays that says where it went.
local function drop(keys, moving)
  local key = keys[1]
  local life = redis.call('PTTL', key)
  local fields = redis.call('HMGET', key, 'version', 'epoch')
  redis.call('UNLINK', key, keys[2])
  redis.call('HSET', key, 'status', 'moved', 'version', fields[1], 'epoch', fields[2],
    'moving', encode('gone', moving.move, NONE, moving.target, NONE))
  if moving.tenant then
    redis.call('HSET', key, 'tenant', moving.tenant)
  end
  redis.call('PEXPIRE', key, life)
end

-- The field of a copy. It is written with the other fields of the hash, instead of the rotation.
local function copy_field(move, target, rotation)
  return encode('copy', move, NONE, target, rotation)
end

-- Gives a new copy its time to live.
local function keep_copy(keys)
  redis.call('PEXPIRE', keys[1], COPY_MS)
  redis.call('PEXPIRE', keys[2], COPY_MS)
end

-- Makes a copy a session that runs here, at this version.
local function arrive(key, moving, version)
  redis.call('HSET', key, 'rotation', moving.rotation, 'version', text_formats.integer(version),
    'moving', encode('here', moving.move, NONE, moving.target, NONE))
end

-- Makes it a copy again, because its first change could not be written.
local function leave(key, moving)
  redis.call('HSET', key, 'moving', encode('copy', moving.move, NONE, moving.target, moving.rotation))
  redis.call('HDEL', key, 'rotation')
end

-- Removes a copy and its log.
local function discard(keys)
  redis.call('UNLINK', keys[1], keys[2])
end

return {
  rotation_in = rotation_in,
  read = read,
  hold = hold,
  release = release,
  give_up = give_up,
  drop = drop,
  copy_field = copy_field,
  keep_copy = keep_copy,
  arrive = arrive,
  leave = leave,
  discard = discard,
}
end)()

-- storage/session.lua
local storage_session = (function()
-- The hash of a session, `sk:{tt}:<id>`: its fields, and how they are read and written. Only the modules in
-- this folder call Redis for it.
--
-- The fields, with those of the participant with index 0 and of a group:
--
--   field         example                what it holds
--   status        running                as in the state
--   version       46                     as in the state
--   epoch         1795306409736          as in the state
--   server        5f1c…                  the run id of the server that wrote it last; absent when that is not
--                                        known
--   cycle         1 1795306409736 1795306589736 4200 12 1795306409736
--                                        see below
--   rules         per_participant 3600000 end_session 0 0 30000,10000 fischer 2000 0
--                                        what transitions need of the config: mode, TTL in ms, action,
--                                        1 with lag compensation (else 0), time per cycle in ms (0: none),
--                                        warnings in ms (-: none), and the control of those owners that
--                                        have none of their own
--   rotation      11x_1                  a character for each index from 0: `1` has a turn, `x` is out, `_`
--                                        is an index without a participant, `.` is a member of a group in
--                                        per_group, whose turn is at the lowest index of the group
--   p0            [180000,4200,3,0]      the record of a participant: see record.lua
--   g:<id>        [180000,4200,3,0]      the record of a group
--   clock         [60000,0,0,0]          the record of the clock that the session or the cycle owns
--   p0:shown      "participant_id":"…","group_id":null,"participant_index":0,"time_control":null}
--                                        the part of the participant's JSON that never changes
--   g:<id>:shown  "group_id":"…","time_control":null}
--                                        the same of a group
--   c:p0          fischer 5000 0         the control of an owner that has one of its own; c:g:<id> of a group
--   i:<pid>       0                      the index of the participant with this id
--   m:<id>        ,0,3,                  the indexes of a group's members in order
--   l:<id>        3                      in per_group the index of the member that was active last
--   groups        <id>,<id>              the ids of the groups in order
--   shown         "sync_mode":"global",… the part of the state that never changes
--   action        {"type":"notify"}      `action_on_timeout` as the config has it
--   total         360000                 total_time_ms, when the session has no clock of its own
--   max_pause     60000                  max_pause_ms; absent without one
--   created       1795306409736          server time in ms
--   started       1795306409736          server time in ms; absent while pending
--   completed     1795306409736          server time in ms; absent until the session is over
--   recovered     1795306409736          server time in ms; absent unless the session was restored
--   expired_by    <pid>                  the participant whose clock ended the session
--   tenant        club                   the tenant that owns the session; absent without one
--   requests      02\nr1 sk_start 2\nr2 sk_switch 3\n
--                                        the newest requests, 16 at most: see requests.lua
--   moving        held m1 1795306414736 10.0.0.2:6379 11x_1
--                                        only of a session that moves to another server, or came from one:
--                                        see moving.lua
--
-- Each owner of a clock has a field of its own, so that a switch writes two of them however many there are.
--
-- `cycle` is `active since alarm used count changed`. After that come up to three optional parts.
--
--   part          example         what it holds
--   active        1               the index of the active participant; -1 for none
--   since         1795306409736   server time in ms at which the cycle began, moved by the length of its
--                                 pauses; while paused, for how many ms the cycle has run
--   alarm         1795306589736   server time in ms of the next alarm, 0 for none; while paused, the moment
--                                 at which the pause ends by itself
--   used          4200            ms that all ended cycles used
--   count         12              the number of ended cycles
--   changed       1795306409736   server time in ms of the last change
--   /offset flagged spent
--                 /4000 1 4000    only when the clock ran out under `notify` in this cycle: the running time
--                                 in ms at which the clock got time again, 1 while it stays at its end, and
--                                 the ms charged until then (only the hourglass needs them; others have 0)
--   !warnings_since from sent
--                 !1 28000 10     only with `warnings_ms`: how many warnings came after the last other event,
--                                 the time left in ms below which thresholds count in this cycle (-1: none
--                                 counts), and a digit for each threshold, 1 once its warning was sent
--   =left         =54000          only in `global` with a total and a time per cycle: what was left of the
--                                 total in ms when the cycle began

-- The number of the layout of hash and state. A session of another layout cannot be restored.
local SCHEMA = 1

local DAY_MS = 86400000
local TOMBSTONE_MS = 86400000
local CYCLE = '^(%-?%d+) (%d+) (%d+) (%d+) (%d+) (%d+)(.*)$'
local RULES = '^(%S+) (%d+) (%S+) (%d) (%d+) (%S+) (.*)$'
local ACTIONS = { end_session = true, skip_cycle = true, auto_action = true, notify = true }
local MOST_PER_HSET = 500 -- names and values together: unpack cannot return much more

-- Recently decoded rules by their text. The list only saves work; a replica begins with an empty one.
local MOST_KNOWN_RULES = 256
local known_rules, known_count = {}, 0

-- Decodes the rules of a session. Sessions with the same rules share the result: do not change it.
local function decode_rules(text)
  local rules = known_rules[text]
  if rules then
    return rules
  end
  local mode_name, ttl, action, compensated, cycle_ms, warnings, control = text:match(RULES)
  rules = {
    mode_name = mode_name, mode = modes.named(mode_name, cycle_ms), ttl = tonumber(ttl), action = action,
    lag = compensated == '1', cycle_ms = tonumber(cycle_ms), warnings = warnings, control = control,
  }
  if known_count >= MOST_KNOWN_RULES then
    known_rules, known_count = {}, 0
  end
  known_rules[text], known_count = rules, known_count + 1
  return rules
end

local function encode_rules(mode_name, ttl, action, compensated, cycle_ms, warnings, control)
  return ('%s %d %s %d %d %s %s'):format(
    mode_name, ttl, action, compensated and 1 or 0, cycle_ms, warnings, control)
end

-- The same rules with another TTL (ms).
local function with_ttl(text, ttl)
  return (text:gsub('^(%S+) %d+', '%1 ' .. ('%d'):format(ttl)))
end

-- The numbers of `cycle` that every session has, all of them numbers or decimal text.
local function encode_cycle(active, since, alarm, used, count, changed)
  return ('%d %d %d %d %d %d'):format(active, since, alarm, used, count, changed)
end

-- The `cycle` of a new session. total: ms, nil unless the session has a total and a time per cycle.
local function encode_new_cycle(active, now, warning_count, total)
  return encode_cycle(active, 0, 0, 0, 0, now)
    .. (warning_count > 0 and ' !0 -1 ' .. ('0'):rep(warning_count) or '')
    .. (total and (' =%d'):format(total) or '')
end

-- When the session with this `cycle` last changed: server time in ms as text.
local function changed_at(cycle)
  local _, _, _, _, _, changed = cycle:match(CYCLE)
  return changed
end

-- The session at keys[1], or nil when there is none. `now` is the server's time, but never before the last
-- change of the session. kept_rotation: the rotation of a session whose hash has none, because it moves.
--
-- To set a field in a Lua table costs about as much as to read one from the hash, and a new table costs
-- several times that. So fields that few sessions need are absent in the others (flagged; warned and its
-- companions), records are fields of the session itself, and `used` and `count` stay the text that the hash
-- holds until they change.
local function load(keys, kept_rotation)
  local key = keys[1]
  local fields = redis.call(
    'HMGET', key, 'status', 'version', 'epoch', 'cycle', 'rules', 'rotation', 'server')
  local status, version, epoch, cycle, rules_text, rotation, server =
    fields[1], fields[2], fields[3], fields[4], fields[5], fields[6] or kept_rotation, fields[7]
  if not rotation then -- no key, a tombstone, a session that moves, or a hash that is no session
    return nil
  end
  local active, since, alarm, used, count, changed, more = cycle:match(CYCLE)
  local rules = decode_rules(rules_text)
  local now = storage_time.now()
  changed = changed + 0
  if now < changed then
    now = changed
  end
  local s = {
    key = key, keys = keys, now = now, status = status, version = version + 0, epoch = epoch,
    active = active + 0, since = since + 0, alarm = alarm + 0, used = used, count = count,
    rules = rules, mode = rules.mode, rotation = rotation, offset = 0, server = server,
  }
  if status == 'paused' and s.alarm > 0 then
    s.resumes = s.alarm
  end
  if more ~= '' then
    local offset, flagged, spent = more:match('/(%d+) (%d) (%d+)')
    if offset then
      s.offset, s.flagged, s.spent = offset + 0, flagged == '1', spent + 0
    end
    local left = more:match('=(%d+)')
    if left then
      s.total_left = left + 0
    end
    local warnings_since, from, sent = more:match('!(%d+) (%-?%d+) (%d+)')
    if warnings_since then
      s.warned, s.warnings_since, s.warn_from, s.warn_sent = true, warnings_since + 0, from + 0, sent
    end
  end
  return s
end

local function exists(key)
  return redis.call('EXISTS', key) == 1
end

-- A field that few transitions need; false when it is absent.
local function field(s, name)
  return redis.call('HGET', s.key, name)
end

-- Removes `server` and `moving`, which are about the hash and not about the session, from its fields
-- (name -> value).
local function without_place(fields)
  if fields.moving then
    fields.rotation = fields.rotation or storage_moving.rotation_in(fields.moving)
    fields.moving = nil
  end
  fields.server = nil
  return fields
end

-- All fields of the session as name -> value.
local function all_fields(key)
  local flat = redis.call('HGETALL', key)
  local fields = {}
  for i = 1, #flat, 2 do
    fields[flat[i]] = flat[i + 1]
  end
  return without_place(fields)
end

-- Status and epoch of the session at a key. A tombstone has the status `deleted`; without a key both are
-- false.
local function previous(key)
  local fields = redis.call('HMGET', key, 'status', 'epoch')
  return fields[1], fields[2]
end

-- The epoch of a session that is created or restored at `now`: this time, or the epoch that this id had
-- `before` + 1 when that is not earlier. So an id never has the same epoch twice.
local function new_epoch(now, before)
  before = tonumber(before)
  if before and before >= now then
    return string.format('%d', before + 1)
  end
  return string.format('%d', now)
end

-- Adds a field to those that `save` writes.
local function set(s, name, value)
  local sets = s.sets
  if not sets then
    sets = {}
    s.sets = sets
  end
  sets[#sets + 1] = name
  sets[#sets + 1] = value
end

-- Has the next change open a new epoch. Two servers whose clocks are behind have the same `now` here. When
-- the changes of the first one got lost, a part of the server's id (up to 4,095 ms) keeps their epochs apart.
local function begin_epoch(s)
  local server = storage_server.id()
  local own = server and tonumber(server:sub(1, 3), 16) or 0
  s.epoch = new_epoch(s.now + own, s.epoch)
  set(s, 'epoch', s.epoch)
end

-- Has the next change open a new epoch when another server wrote the last one. What that server wrote after
-- the newest change that is known here has versions that this one gives again, to other changes.
local function continue_on_this_server(s)
  local server = storage_server.id()
  if server and server ~= s.server then
    begin_epoch(s)
    set(s, 'server', server)
  end
end

-- Writes a new session and removes an old log. list: name, value, name, value, ...
local function write_new(keys, list)
  local server = storage_server.id()
  if server then
    list[#list + 1] = 'server'
    list[#list + 1] = server
  end
  redis.call('UNLINK', keys[2])
  for from = 1, #list, MOST_PER_HSET do
    redis.call('HSET', keys[1], unpack(list, from, math.min(from + MOST_PER_HSET - 1, #list)))
  end
end

-- Removes a new session again, because its first change could not be written.
local function discard(key)
  redis.call('UNLINK', key)
end

-- Deletes the session and its log. A tombstone with version (text) and epoch stays for a day.
local function replace_by_tombstone(s, version)
  local key = s.key
  redis.call('UNLINK', key, s.keys[2])
  redis.call('HSET', key, 'status', 'deleted', 'version', version, 'epoch', s.epoch)
  redis.call('PEXPIRE', key, TOMBSTONE_MS)
end

-- Adds a field to those that `save` removes.
local function remove(s, name)
  s.removed = s.removed or {}
  s.removed[#s.removed + 1] = name
end

local function set_status(s, status)
  s.status = status
  set(s, 'status', status)
end

local function set_rotation(s, rotation)
  s.rotation = rotation
  s.rotation_changed = true
end

-- Gives the session's own clock another control.
local function set_session_control(s, own_clock, control)
  own_clock.control = controls.decode(control)
  local rules = s.rules
  set(s, 'rules', encode_rules(
    rules.mode_name, rules.ttl, rules.action, rules.lag, rules.cycle_ms, rules.warnings, control))
end

-- Writes the session and its changed records. version, now, alarm, s.used, s.count and the numbers of the
-- records have to be text already.
local function save(s, version, now, alarm)
  local key = s.key
  local since = s.since == s.now and now or ('%d'):format(s.since)
  local cycle = storage_record.index_text(s.active) .. ' ' .. since .. ' ' .. alarm .. ' ' .. s.used .. ' '
    .. s.count .. ' ' .. now
  if s.offset > 0 or s.flagged then
    cycle = cycle .. (' /%d %d %d'):format(s.offset, s.flagged and 1 or 0, s.spent or 0)
  end
  if s.warned then
    cycle = cycle .. (' !%d %d %s'):format(s.warnings_since, s.warn_from, s.warn_sent)
  end
  if s.total_left then
    cycle = cycle .. (' =%d'):format(s.total_left)
  end
  local fields = { 'HSET', key, 'version', version, 'cycle', cycle }
  local record = s.first_touched
  while record do
    if record.dirty then
      fields[#fields + 1] = record.field
      fields[#fields + 1] = storage_record.encode(record)
    end
    record = record.next_touched
  end
  if s.rotation_changed then
    fields[#fields + 1] = 'rotation'
    fields[#fields + 1] = s.rotation
  end
  local sets = s.sets
  for i = 1, sets and #sets or 0 do
    fields[#fields + 1] = sets[i]
  end
  redis.call(unpack(fields))
  if s.removed then
    redis.call('HDEL', key, unpack(s.removed))
  end
end

-- Sets when the session and its log end. A finished session stays for its TTL, a running one for its TTL
-- after the deadline (server ms). A session that is not finished and has no deadline stays for a day at
-- least; a paused one also for its TTL after the moment at which the pause ends by itself.
local function prolong(s, deadline)
  local life = s.rules.ttl
  local status = s.status
  if deadline then
    if deadline > s.now then
      life = life + deadline - s.now
    end
  elseif status == 'running' or status == 'paused' or status == 'pending' then
    if s.alarm > s.now then -- the end of a pause
      life = life + s.alarm - s.now
    end
    life = life < DAY_MS and DAY_MS or life
  end
  local call = redis.call
  call('PEXPIRE', s.key, life)
  call('PEXPIRE', s.keys[2], life)
end

return {
  SCHEMA = SCHEMA,
  CYCLE = CYCLE,
  RULES = RULES,
  ACTIONS = ACTIONS,
  encode_rules = encode_rules,
  with_ttl = with_ttl,
  encode_cycle = encode_cycle,
  encode_new_cycle = encode_new_cycle,
  changed_at = changed_at,
  load = load,
  exists = exists,
  field = field,
  all_fields = all_fields,
  without_place = without_place,
  previous = previous,
  new_epoch = new_epoch,
  begin_epoch = begin_epoch,
  continue_on_this_server = continue_on_this_server,
  write_new = write_new,
  discard = discard,
  replace_by_tombstone = replace_by_tombstone,
  set = set,
  remove = remove,
  set_status = set_status,
  set_rotation = set_rotation,
  set_session_control = set_session_control,
  save = save,
  prolong = prolong,
}
end)()

-- storage/participants.lua
local storage_participants = (function()
-- Finds participants and groups by their ids, and the members of each group. Only per_group, a join and a
-- leave need member lists, so a list is read when it is first needed.

-- The record of the participant with this id, or nil.
local function participant(s, id)
  local index = redis.call('HGET', s.key, 'i:' .. id)
  return index and storage_record.load(s, 'p' .. index) or nil
end

-- The record of the group with this id, or nil.
local function group(s, id)
  return storage_record.load(s, 'g:' .. id)
end

-- Whether a participant has this id.
local function has_id(s, id)
  return redis.call('HEXISTS', s.key, 'i:' .. id) == 1
end

-- Whether a participant has this index.
local function has_index(s, index)
  return redis.call('HEXISTS', s.key, storage_record.participant_field(index)) == 1
end

-- The indexes of a group's members in order, as text: `,0,3,`.
local function members(s, id)
  s.members = s.members or {}
  if not s.members[id] then
    s.members[id] = redis.call('HGET', s.key, 'm:' .. id)
  end
  return s.members[id]
end

local function set_members(s, id, text)
  s.members[id] = text
  storage_session.set(s, 'm:' .. id, text)
end

-- The index of the group's member that was active last, -1 for none.
local function last_active(s, id)
  s.last = s.last or {}
  if not s.last[id] then
    s.last[id] = tonumber(redis.call('HGET', s.key, 'l:' .. id)) or -1
  end
  return s.last[id]
end

local function set_last_active(s, id, index)
  s.last = s.last or {}
  s.last[id] = index
  storage_session.set(s, 'l:' .. id, text_formats.integer(index))
end

-- Adds a participant to the session and returns its record. bank: ms, nil when it owns no clock; control: its
-- own control as text, nil for none; fixed_json: see record.lua.
local function add(s, index, id, bank, control, fixed_json)
  local field = storage_record.participant_field(index)
  local added = { bank = 0 }
  if bank then
    local own_control
    added, own_control = rules_lag.new_owner(control, s.rules.control, s.rules.lag, bank)
    if own_control then
      storage_session.set(s, 'c:' .. field, own_control)
    end
  end
  added.field, added.kind = field, storage_record.PARTICIPANT_KIND
  added.owns, added.fixed_json = bank ~= nil, fixed_json
  added.used, added.cycles, added.expired, added.clock = 0, 0, false, ''
  s[field] = added
  storage_session.set(s, field .. ':shown', fixed_json)
  storage_session.set(s, 'i:' .. id, text_formats.integer(index))
  storage_record.touch(s, added, true)
  return added
end

local function remove(s, gone)
  storage_session.remove(s, gone.field)
  storage_session.remove(s, gone.field .. ':shown')
  storage_session.remove(s, 'i:' .. storage_record.participant_id(gone))
  storage_session.remove(s, 'c:' .. gone.field)
  s[gone.field] = nil
  gone.gone, gone.dirty = true, false
end

return {
  participant = participant,
  group = group,
  has_id = has_id,
  has_index = has_index,
  members = members,
  set_members = set_members,
  last_active = last_active,
  set_last_active = set_last_active,
  add = add,
  remove = remove,
}
end)()

-- storage/requests.lua
local storage_requests = (function()
-- The requests that a session remembers, so that a repeated one is not carried out twice. They are stored as
-- their number in two digits and a line for each, with request, function and version:
-- `02\nr1 sk_start 2\nr2 sk_switch 3\n`.

local MOST_REQUESTS = 16
local NO_REQUESTS = '00\n'
local COUNT_LENGTH = 2
local FIRST_LINE = COUNT_LENGTH + 2 -- after the count and its newline

-- The change that this request made earlier: its version, and whether the request called `function_name`. nil
-- for a new request.
local function find(s, request, function_name)
  local requests = redis.call('HGET', s.key, 'requests') or NO_REQUESTS
  s.requests = requests
  local _, stop = requests:find('\n' .. request .. ' ', 1, true)
  if not stop then
    return nil
  end
  local made_by, version = requests:match('^(%S+) (%d+)\n', stop + 1)
  return tonumber(version), made_by == function_name
end

-- Remembers a request with the version that it made (text). The 17th pushes out the oldest.
local function remember(s, request, function_name, version)
  local requests = s.requests or NO_REQUESTS
  local line = request .. ' ' .. function_name .. ' ' .. version .. '\n'
  local count = requests:sub(1, COUNT_LENGTH) + 1
  if count > MOST_REQUESTS then
    local end_of_oldest = requests:find('\n', FIRST_LINE, true)
    requests = requests:sub(1, COUNT_LENGTH) .. requests:sub(end_of_oldest) .. line
  else
    requests = ('%02d'):format(count) .. requests:sub(COUNT_LENGTH + 1) .. line
  end
  storage_session.set(s, 'requests', requests)
end

return {
  MOST_REQUESTS = MOST_REQUESTS,
  find = find,
  remember = remember,
}
end)()

-- storage/alarms.lua
local storage_alarms = (function()
-- The alarms of a partition: a sorted set of session ids, each with the server time (ms) at which something
-- is due in that session.

-- Sets the alarm of session `id` to s.alarm (0: none); `at` is the same number as text. When this makes the
-- earliest alarm of the partition earlier, a message wakes the timekeepers. `before` is the session's
-- previous alarm: when the new one is not earlier, the earliest alarm of the partition is not earlier
-- either, and is not read. Returns an error, nil for none.
local function set(s, id, at, before)
  local alarms, alarm = s.keys[3], s.alarm
  if alarm == 0 then
    local removed = redis.pcall('ZREM', alarms, id)
    return type(removed) == 'table' and removed or nil
  end
  local added = redis.pcall('ZADD', alarms, at, id)
  if type(added) == 'table' then
    return added
  end
  if before == 0 or alarm < before then
    local earliest = redis.call('ZRANGE', alarms, 0, 1, 'WITHSCORES') -- {id, time, id, time}
    local first_id, second_at = earliest[1], earliest[4]
    if first_id == id and tonumber(second_at) ~= alarm then
      redis.call('SPUBLISH', alarms, at)
    end
  end
end

-- Makes the stored alarm of a session equal to s.alarm. A timekeeper that finds a wrong one would call
-- sk_expire for ever.
local function correct(s)
  local alarms, id = s.keys[3], storage_keys.session_id(s.key)
  local alarm = redis.call('ZSCORE', alarms, id)
  if s.alarm == 0 then
    if alarm then
      redis.call('ZREM', alarms, id)
    end
  elseif not alarm or tonumber(alarm) ~= s.alarm then
    redis.call('ZADD', alarms, text_formats.integer(s.alarm), id)
  end
end

-- Removes the alarm of a session that does not exist any more.
local function remove(keys)
  redis.call('ZREM', keys[3], storage_keys.session_id(keys[1]))
end

-- The same, but without an error when the key of the alarms holds another type.
local function remove_if_possible(keys)
  redis.pcall('ZREM', keys[3], storage_keys.session_id(keys[1]))
end

return {
  set = set,
  correct = correct,
  remove = remove,
  remove_if_possible = remove_if_possible,
}
end)()

-- storage/events.lua
local storage_events = (function()
-- Writes events to the outbox, to the log and to the channel. Entries of the log have the id `<version>-0`:
-- version 46 has the entry `46-0`.

local LOG_LENGTH = '64' -- the log keeps at least so many events
local TRIM_EVERY = 4 -- every fourth version trims the log

-- Adds an event to the outbox. Returns an error, nil for none.
local function add_to_outbox(s, id, text)
  local added = redis.pcall('XADD', s.keys[4], '*', 'id', id, 'e', text)
  return type(added) == 'table' and added or nil
end

-- Adds an event to the log; version is s.version as text. When the key is no stream, or its newest entry is
-- newer than this version, something else than this session wrote it: the log is then begun anew.
local function append_to_log(s, version, text)
  local log, entry = s.keys[2], version .. '-0'
  local added
  if s.version % TRIM_EVERY == 0 then
    added = redis.pcall('XADD', log, 'MAXLEN', '~', LOG_LENGTH, entry, 'e', text)
  else
    added = redis.pcall('XADD', log, entry, 'e', text)
  end
  if type(added) == 'table' then -- an error; a success replies with the id of the entry as text
    redis.call('UNLINK', log)
    redis.call('XADD', log, entry, 'e', text)
  end
end

local function publish(s, text)
  redis.call('SPUBLISH', s.key, text)
end

-- The event in an entry of the log: {id, {'e', event}}.
local function event_of(entry)
  return entry[2][2]
end

-- The event that made this version, or nil when the log does not have it.
local function of_version(log, version)
  local id = string.format('%d-0', version)
  local entry = redis.call('XRANGE', log, id, id)[1]
  return entry and event_of(entry)
end

-- All events after this version, oldest first; nil when the log does not reach back that far.
local function after(log, version)
  local first = string.format('%d-0', version + 1)
  local entries = redis.call('XRANGE', log, first, '+')
  if not entries[1] or entries[1][1] ~= first then
    return nil
  end
  local events = {}
  for i = 1, #entries do
    events[i] = event_of(entries[i])
  end
  return events
end

-- The newest events of the log, `most` of them, oldest first; none when the key is no stream.
local function newest(log, most)
  local entries = redis.pcall('XREVRANGE', log, '+', '-', 'COUNT', most)
  local events = {}
  for i = #entries, 1, -1 do
    events[#events + 1] = event_of(entries[i])
  end
  return events
end

-- Writes a log of these events, of which the last one has this version (a number).
local function write_log(log, events, version)
  for i = 1, #events do
    redis.call('XADD', log, string.format('%d-0', version - #events + i), 'e', events[i])
  end
end

return {
  add_to_outbox = add_to_outbox,
  append_to_log = append_to_log,
  publish = publish,
  of_version = of_version,
  after = after,
  newest = newest,
  write_log = write_log,
}
end)()

-- storage/throttle.lua
local storage_throttle = (function()
-- Rate limits: a token bucket in whole numbers. One token is `period_ms` units and every millisecond adds
-- `count` units, so no fraction is ever lost; a full bucket holds `burst` tokens. For example, with 10 tokens
-- in 1000 ms a token is 1000 units and every millisecond adds 10 of them.
--
-- Hash of a bucket, `sk:rl:{<bucket>}`:
--   level      7400            the units that were in the bucket at the time `at`
--   at         1795306409736   server time in ms
--   cooldown   1795306419736   everything is refused until this server time in ms; absent without a cooldown

-- Takes limit.quantity tokens out of a bucket if it has as many.
-- limit: {burst, count, period_ms, quantity, cooldown_ms}, integers.
-- Returns {limited (0 or 1), limit, remaining, retry_after_ms, reset_after_ms}.
local function consume(key, limit)
  local now = storage_time.now()
  local burst, count, period, quantity = limit.burst, limit.count, limit.period_ms, limit.quantity
  local full = burst * period
  local fields = redis.call('HMGET', key, 'level', 'at', 'cooldown')
  local stored_level, stored_at, stored_cooldown = fields[1], fields[2], fields[3]
  local level, cooldown = full, tonumber(stored_cooldown) or 0
  if stored_level then
    local at = tonumber(stored_at)
    if now < at then
      now = at
    end
    level = math.min(full, tonumber(stored_level) + (now - at) * count)
  end
  local cooling = cooldown > now
  local lacks = quantity * period - level
  local limited = cooling or lacks > 0
  if not limited then
    level = level - quantity * period
  elseif not cooling and quantity > 0 and limit.cooldown_ms > 0 then
    cooldown = now + limit.cooldown_ms
    cooling = true
  end

  local reset = math.ceil((full - level) / count)
  local cooling_ms = cooling and cooldown - now or 0
  if quantity > 0 and (not limited or stored_level or cooling) then
    redis.call('HSET', key, 'level', string.format('%d', level), 'at', string.format('%d', now))
    if cooling then
      redis.call('HSET', key, 'cooldown', string.format('%d', cooldown))
    end
    redis.call('PEXPIRE', key, string.format('%d', math.max(reset, cooling_ms, 1)))
  end
  local retry = limited and math.max(cooling_ms, lacks > 0 and math.ceil(lacks / count) or 0) or 0
  local remaining = cooling and 0 or math.floor(level / period)
  return { limited and 1 or 0, burst, remaining, retry, math.max(reset, cooling_ms) }
end

return { consume = consume }
end)()

-- config/notation.lua
local config_notation = (function()
-- Reads time controls as players write them.
--
--   5                      5 minutes
--   5+3                    5 minutes, and 3 seconds for every move (minutes may have decimals: 0.5+1)
--   40/90:30+30            40 moves in 90 minutes, then 30 minutes; only the last stage has an increment, so
--                          all moves get these 30 seconds
--   40/90+30:20/60+15:30   another stage has an increment, so each stage has its own: 30, 15 and 0 seconds
--   10d5                   US delay: 10 minutes, and 5 seconds of delay
--   10b5                   Bronstein: 10 minutes, and 5 seconds of delay
--   10+5x30                byo-yomi: 10 minutes, then 5 periods of 30 seconds
--   10+25/300              Canadian: 10 minutes, then 25 moves in every 300 seconds
--   hourglass 5            an hourglass of 5 minutes
--   pgn 300+3              the TimeControl of a PGN file, where all times are seconds
--   pgn 40/5400:1800+30    the same with stages
--
-- The word `pgn` may be left out in `*180` (an hourglass), in `-` (no time control), and in stages or before
-- an increment when the first time is a whole number of at least 180, because players do not play so many
-- minutes.

-- The longest normal form has 8 stages of `1000/1439.98334+60`: 151 characters.
local MOST_CHARACTERS = 200
local MOST_DIGITS = 12
local MINUTE_MS, SECOND_MS = 60000, 1000
local LEAST_PGN_SECONDS = 180

-- A scan is a table with the text and `at`, the position of the next character to read. After a failure it
-- has `message` and `position` too; only the first failure counts.
local function fail(scan, message, position)
  if not scan.message then
    scan.position, scan.message = position or scan.at, message
  end
end

-- Reads `symbol` if it comes next. Returns whether it did.
local function accept(scan, symbol)
  if scan.text:sub(scan.at, scan.at + #symbol - 1) == symbol then
    scan.at = scan.at + #symbol
    return true
  end
  return false
end

-- Reads a number, with `decimals` also one with a point. Returns its digits, nil when there are none, and
-- their position. wanted: the word for it in a message, such as `seconds`.
local function digits(scan, wanted, decimals)
  local position = scan.at
  local found = scan.text:match(decimals and '^%d+%.?%d*' or '^%d+', position)
  if not found then
    fail(scan, wanted .. ' expected')
    return nil, position
  elseif #found > MOST_DIGITS then
    fail(scan, 'too long a number')
    return nil, position
  end
  scan.at = position + #found
  if found:sub(-1) == '.' then
    fail(scan, 'decimals expected')
  end
  return found, position
end

-- Reads a whole number. Returns it, 0 when there is none, and its position.
local function whole(scan, wanted)
  local found, position = digits(scan, wanted)
  return tonumber(found) or 0, position
end

-- Reads a number of seconds. Returns them in ms, and their position.
local function seconds(scan, wanted)
  local number, position = whole(scan, wanted)
  return number * SECOND_MS, position
end

-- The ms in so many minutes, such as `0.5`; rounded down.
local function minutes_ms(found)
  local number, fraction = found:match('^(%d+)%.?(%d*)$')
  return number * MINUTE_MS + math.floor((tonumber(fraction) or 0) * MINUTE_MS / 10 ^ #fraction)
end

-- The shortest text of minutes that minutes_ms turns into `ms`.
local function minutes_text(ms)
  for decimals = 0, 5 do
    local scale = 10 ^ decimals
    local number = math.ceil(ms * scale / MINUTE_MS)
    if math.floor(number * MINUTE_MS / scale) == ms then
      return (('%.' .. decimals .. 'f'):format(number / scale))
    end
  end
end

-- The ms in these digits: seconds in PGN, else minutes.
local function time_ms(found, pgn)
  if not found then
    return 0
  end
  return pgn and tonumber(found) * SECOND_MS or minutes_ms(found)
end

-- Whether a first time has to be in seconds, although the word `pgn` is not there.
local function is_pgn(found)
  return found and not found:find('.', 1, true) and tonumber(found) >= LEAST_PGN_SECONDS
end

-- Reads stages. The moves of the first one and the `/` after them were read already. Returns the object, its
-- bank (ms) and the positions of its numbers.
local function parse_stages(scan, moves, position, pgn)
  local stages, positions = {}, {}
  local has_own_increments = false -- whether another stage than the last one has an increment
  while true do
    local name = 'stages.' .. #stages .. '.'
    local stage = { kind = 'fischer', moves = moves }
    positions[name .. 'moves'] = position
    local found
    found, positions[name .. 'time_ms'] = digits(scan, 'a time', not pgn)
    if #stages == 0 and is_pgn(found) then
      pgn = true
    end
    stage.time_ms = time_ms(found, pgn)
    if accept(scan, '+') then
      stage.increment_ms, positions[name .. 'increment_ms'] = seconds(scan, 'seconds')
    end
    stages[#stages + 1] = stage
    if not moves then
      break
    end
    has_own_increments = has_own_increments or stage.increment_ms ~= nil
    if not accept(scan, ':') then
      fail(scan, '":" and the next stage expected')
      break
    end
    -- The next stage begins with moves and a slash; the last one has only a time.
    local ahead, slash = scan.text:match('^(%d+)()/', scan.at)
    moves = nil
    if #stages == controls_stages.MOST_STAGES then
      fail(scan, 'no more than ' .. #stages .. ' stages expected')
      break
    end
    if ahead then
      moves, position = whole(scan, 'moves')
      scan.at = slash + 1
    end
  end
  local last_increment = stages[#stages].increment_ms
  local last_position = positions['stages.' .. #stages - 1 .. '.increment_ms']
  for i = 1, #stages do
    if not stages[i].increment_ms then
      stages[i].increment_ms = not has_own_increments and last_increment or 0
      positions['stages.' .. i - 1 .. '.increment_ms'] = last_position
    end
  end
  return { kind = 'stages', stages = stages }, stages[1].time_ms, positions
end

-- Reads a control without stages: a bank and an increment, a delay, periods or a block; in PGN only the
-- increment. Returns the object, its bank (ms) and the positions of its numbers.
local function parse_clock(scan, pgn)
  local found, bank_position = digits(scan, pgn and 'seconds' or 'minutes', not pgn)
  local positions = { bank = bank_position }
  local object
  if pgn then
    object = { kind = 'fischer', increment_ms = 0 }
    if accept(scan, '+') then
      object.increment_ms, positions.increment_ms = seconds(scan, 'seconds')
    end
  elseif accept(scan, 'd') then
    object = { kind = 'delay' }
    object.delay_ms, positions.delay_ms = seconds(scan, 'seconds')
  elseif accept(scan, 'b') then
    object = { kind = 'bronstein' }
    object.delay_ms, positions.delay_ms = seconds(scan, 'seconds')
  elseif accept(scan, '+') then
    local number, position = whole(scan, 'seconds')
    if accept(scan, 'x') then
      object = { kind = 'byoyomi', periods = number }
      positions.periods = position
      object.period_ms, positions.period_ms = seconds(scan, 'seconds')
    elseif accept(scan, '/') then
      object = { kind = 'canadian', moves = number }
      positions.moves = position
      object.period_ms, positions.period_ms = seconds(scan, 'seconds')
    else
      object = { kind = 'fischer', increment_ms = number * SECOND_MS }
      positions.increment_ms = position
      pgn = is_pgn(found)
    end
  else
    object = { kind = 'fischer', increment_ms = 0 }
  end
  return object, time_ms(found, pgn), positions
end

local function seconds_text(ms)
  return ('%d'):format(ms / SECOND_MS)
end

-- What the normal form of a kind has after the bank.
local NORMAL = {
  delay = function(object) return 'd' .. seconds_text(object.delay_ms) end,
  bronstein = function(object) return 'b' .. seconds_text(object.delay_ms) end,
  byoyomi = function(object) return ('+%dx%s'):format(object.periods, seconds_text(object.period_ms)) end,
  canadian = function(object) return ('+%d/%s'):format(object.moves, seconds_text(object.period_ms)) end,
}

-- The text of a first time before an increment or a stage. 200 minutes become `200.0`, because `200` would be
-- taken for seconds.
local function first_minutes_text(ms)
  local text = minutes_text(ms)
  return is_pgn(text) and text .. '.0' or text
end

-- The normal form of a control: in minutes, with the shortest numbers. has_increment: whether the text had an
-- increment, which may be 0.
local function normal(object, bank, has_increment)
  if object.kind == 'none' then
    return '-'
  elseif object.kind == 'hourglass' then
    return 'hourglass ' .. minutes_text(bank)
  elseif object.kind == 'fischer' then
    return (has_increment and first_minutes_text or minutes_text)(bank)
      .. (has_increment and '+' .. seconds_text(object.increment_ms) or '')
  elseif object.kind ~= 'stages' then
    return minutes_text(bank) .. NORMAL[object.kind](object)
  end
  local parts, stages = {}, object.stages
  local all_same = true
  for i = 2, #stages do
    all_same = all_same and stages[i].increment_ms == stages[1].increment_ms
  end
  for i = 1, #stages do
    local stage = stages[i]
    local is_implied = i < #stages and all_same or i == #stages and stage.increment_ms == 0
    local increment = is_implied and '' or '+' .. seconds_text(stage.increment_ms)
    parts[i] = (stage.moves and ('%d/'):format(stage.moves) or '')
      .. (i == 1 and first_minutes_text or minutes_text)(stage.time_ms) .. increment
  end
  return table.concat(parts, ':')
end

-- Reads a text. Returns nil, a position from 1 and a message when it is none of the above; else
--
--   object     the time control as an object, `{kind = 'fischer', increment_ms = 3000}`
--   bank       ms
--   normal     the text in its normal form
--   positions  where the text has which number, by the number's name: `{bank = 1, increment_ms = 3}`
local function parse(text)
  if #text > MOST_CHARACTERS then
    return nil, MOST_CHARACTERS + 1, 'too long a text'
  end
  local scan = { text = text, at = 1 }
  local pgn = accept(scan, 'pgn ')
  local object, bank, positions, has_increment
  if accept(scan, '-') then
    object, bank, positions = { kind = 'none' }, 0, {}
  elseif accept(scan, '*') then
    positions = {}
    object = { kind = 'hourglass' }
    bank, positions.bank = seconds(scan, 'seconds')
  elseif not pgn and accept(scan, 'hourglass ') then
    positions = {}
    local found
    object = { kind = 'hourglass' }
    found, positions.bank = digits(scan, 'minutes', true)
    bank = time_ms(found)
  elseif text:find('^%d+/', scan.at) then
    local moves, position = whole(scan, 'moves')
    scan.at = scan.at + 1
    object, bank, positions = parse_stages(scan, moves, position, pgn)
  else
    object, bank, positions = parse_clock(scan, pgn)
    has_increment = positions.increment_ms ~= nil
  end
  if scan.at <= #text then
    fail(scan, 'unexpected')
  end
  if scan.message then
    return nil, scan.position, scan.message
  end
  return { object = object, bank = bank, normal = normal(object, bank, has_increment), positions = positions }
end

return { parse = parse }
end)()

-- config/control.lua
local config_control = (function()
-- Checks the time controls of a config, written as an object or as text.

local KINDS = controls.KINDS
local MOST_UNKNOWN = 100 -- unknown members that are reported
local DAY_MS = 86400000

-- value[name] as an integer within bounds, and whether it is valid. Its JSON is appended to `members`.
--
-- bounds   {name, least, most, required =}
-- members  the members of the control's JSON, in the order of the state
local function number(value, name, bounds, path, problem, members)
  local found, least, most = value[name], bounds[2], bounds[3]
  if found == nil or found == cjson.null then
    if bounds.required then
      problem(path .. '.' .. name, 'is required')
    end
    return nil, not bounds.required
  elseif type(found) ~= 'number' or found % 1 ~= 0 or found < least or found > most then
    problem(path .. '.' .. name, ('must be an integer from %d to %d'):format(least, most))
    return nil, false
  end
  members[#members + 1] = ('"%s":%d'):format(name, found)
  return found, true
end

-- Reports each member of a control that is_known(name, member) does not accept, in alphabetical order.
-- Returns whether all were accepted.
local function refuse_unknown(value, is_known, path, problem, message)
  local names = {}
  for name, member in pairs(value) do
    if not is_known(name, member) and #names < MOST_UNKNOWN then
      names[#names + 1] = tostring(name)
    end
  end
  table.sort(names)
  for i = 1, #names do
    problem(path .. '.' .. names[i], message)
  end
  return #names == 0
end

-- Checks kind and parameters of a control or of a stage. Returns the text that is stored, such as
-- `fischer 2000 0`; nil with problems. `others` is the set of members that the caller checks itself.
local function check_kind(value, kind, path, problem, session, members, others)
  local rule = KINDS[kind]
  members[#members + 1] = '"kind":"' .. kind .. '"'
  local given, names, valid = {}, { kind = true }, true
  for i = 1, #rule.PARAMETERS do
    local parameter = rule.PARAMETERS[i]
    local name = parameter[1]
    local is_valid
    names[name] = true
    given[name], is_valid = number(value, name, parameter, path, problem, members)
    valid = valid and is_valid
  end
  valid = refuse_unknown(value, function(name) return names[name] or others[name] end, path, problem,
    'is no parameter of ' .. kind) and valid
  return valid and kind .. ' ' .. rule.pack(given, session) or nil
end

-- The kinds that a control may have, as text for people. A stage cannot have a kind that supplies its own
-- bank.
local function kind_names(of_stage)
  local names = {}
  for name, rule in pairs(KINDS) do
    if not (of_stage and rule.BANK) then
      names[#names + 1] = name
    end
  end
  if not of_stage then
    names[#names + 1] = 'stages'
  end
  table.sort(names)
  return table.concat(names, ', ')
end

local STAGE_NUMBERS = { moves = true, time_ms = true }
local STAGE_MOVES = { 'moves', 1, 1000, required = true }
local FIRST_TIME = { 'time_ms', 1000, DAY_MS, required = true }
local NEXT_TIME = { 'time_ms', 0, DAY_MS, required = true }

-- Checks a stage. Returns {moves, time_ms, text}, nil with problems. Its JSON is appended to `stages_json`.
local function check_stage(stage, is_first, is_last, path, problem, session, stages_json)
  if type(stage) ~= 'table' then
    problem(path, 'must be an object')
    return nil
  end
  local kind, members = stage.kind, {}
  if kind == nil or kind == cjson.null then
    kind = 'fischer'
  elseif type(kind) ~= 'string' or not KINDS[kind] or KINDS[kind].BANK then
    problem(path .. '.kind', 'must be one of ' .. kind_names(true))
    return nil
  end
  local moves, has_moves, time_ms, has_time
  if kind == 'canadian' then
    has_moves = is_last
    if not is_last then
      problem(path .. '.kind', 'must not be canadian before the last stage')
    end
  elseif not is_last then
    moves, has_moves = number(stage, 'moves', STAGE_MOVES, path, problem, members)
  else
    has_moves = stage.moves == nil or stage.moves == cjson.null
    if not has_moves then
      problem(path .. '.moves', 'must not be in the last stage')
    end
  end
  time_ms, has_time = number(stage, 'time_ms', is_first and FIRST_TIME or NEXT_TIME, path, problem, members)
  local text = check_kind(stage, kind, path, problem, session, members, STAGE_NUMBERS)
  stages_json[#stages_json + 1] = '{' .. table.concat(members, ',') .. '}'
  return has_moves and has_time and text and { moves = moves, time_ms = time_ms, text = text } or nil
end

local STAGES_MEMBERS = { kind = true, stages = true, overtime_ms = true, notation = true }

-- Checks a control with stages. Returns the text that is stored, and the bank of the first stage in ms; nil
-- with problems.
local function check_stages(value, path, problem, session, members)
  local stages = value.stages
  local valid = refuse_unknown(value, function(name) return STAGES_MEMBERS[name] end, path, problem,
    'is no parameter of stages')
  if type(stages) ~= 'table' or #stages < 1 or #stages > controls_stages.MOST_STAGES then
    problem(path .. '.stages', 'must be a list of 1 to ' .. controls_stages.MOST_STAGES .. ' stages')
    return nil
  end
  local list, stages_json = {}, {}
  for i = 1, #stages do
    list[i] = check_stage(stages[i], i == 1, i == #stages, path .. '.stages.' .. i - 1, problem, session,
      stages_json)
    valid = valid and list[i] ~= nil
  end
  if not valid then
    return nil
  end
  members[#members + 1] = '"kind":"stages","stages":[' .. table.concat(stages_json, ',') .. ']'
  return 'stages ' .. controls_stages.pack(list), list[1].time_ms
end

local OVERTIME = { 'overtime_ms', 0, DAY_MS }
local COMMON_MEMBERS = { overtime_ms = true, notation = true }

-- Checks a control that is an object with a kind: see check.
local function check_object(value, path, problem, session)
  local kind = value.kind
  if type(kind) ~= 'string' or not (KINDS[kind] or kind == 'stages') then
    problem(path .. '.kind', 'must be one of ' .. kind_names())
    return nil
  end
  local members = {}
  local text, bank
  if kind == 'stages' then
    text, bank = check_stages(value, path, problem, session, members)
  else
    text, bank = check_kind(value, kind, path, problem, session, members, COMMON_MEMBERS), KINDS[kind].BANK
  end
  local overtime, valid = number(value, 'overtime_ms', OVERTIME, path, problem, members)
  if overtime and kind == 'none' then
    problem(path .. '.overtime_ms', 'is no parameter of none')
    return nil
  elseif not (text and valid) then
    return nil
  end
  if overtime and overtime > 0 then
    text = text .. (' +%d'):format(overtime)
  end
  return { text = text, json = '{' .. table.concat(members, ',') .. '}', bank = bank }
end

-- Whether two decoded values are equal. A member that is null equals one that is absent.
local function is_equal(one, other)
  if type(one) ~= 'table' or type(other) ~= 'table' then
    return one == other or (one == cjson.null and other == nil)
  end
  for name, value in pairs(one) do
    if not is_equal(value, other[name]) then
      return false
    end
  end
  for name in pairs(other) do
    if one[name] == nil then
      return false
    end
  end
  return true
end

-- Checks a control that has a notation: see check. Other members may be there when they say the same.
local function check_notation(value, path, problem, session)
  if type(value.notation) ~= 'string' then
    problem(path .. '.notation', 'must be text')
    return nil
  end
  local parsed, position, message = config_notation.parse(value.notation)
  if not parsed then
    problem(path, ('cannot be read at position %d: %s'):format(position, message))
    return nil
  end
  local object = parsed.object
  object.overtime_ms = value.overtime_ms
  local valid = refuse_unknown(value, function(name, member)
    return name == 'notation' or member == cjson.null or is_equal(member, object[name])
  end, path, problem, 'says something else than the notation')
  local reported = {}
  -- Reports a problem of the parsed object at the position of the text that it came from, once for each.
  local function problem_at(field, problem_text)
    local name = field:sub(#path + 2)
    local at = parsed.positions[name]
    valid = false
    if not at then
      problem(field, problem_text)
    elseif not reported[at] then
      reported[at] = true
      problem(path, ('cannot be read at position %d: %s %s'):format(at, name, problem_text))
    end
  end
  local control = check_object(object, path, problem_at, session)
  if parsed.positions.bank and (parsed.bank < 1000 or parsed.bank > DAY_MS) then
    problem_at(path .. '.bank', 'must be a time from 1 second to 24 hours')
  end
  if not (valid and control) then
    return nil
  end
  control.bank = parsed.bank
  control.json = control.json:sub(1, -2) .. ',"notation":"' .. parsed.normal .. '"}'
  return control
end

-- Whether a control supplies a bank. `given` is the control as the caller wrote it, which may have problems.
local function supplies_bank(given)
  if type(given) ~= 'table' then
    return type(given) == 'string'
  end
  local rule = KINDS[given.kind or '']
  return given.notation ~= nil or given.kind == 'stages' or (rule ~= nil and rule.BANK ~= nil)
end

-- Checks a control of a config, which is an object or text. session: {increment_ms, max_time_ms}, the
-- session's values for controls without their own. Returns nil with problems, else
--
--   text   the control as it is stored, such as `fischer 2000 0`
--   json   the same as JSON, for the state
--   bank   the bank in ms that the control supplies, nil for none
local function check(value, path, problem, session)
  if type(value) == 'string' then
    value = { notation = value }
  elseif type(value) ~= 'table' then
    problem(path, 'must be an object with a kind, or text as players write it')
    return nil
  end
  if value.notation ~= nil and value.notation ~= cjson.null then
    return check_notation(value, path, problem, session)
  end
  return check_object(value, path, problem, session)
end

return {
  check = check,
  supplies_bank = supplies_bank,
}
end)()

-- config/members.lua
local config_members = (function()
-- Checks the members of a JSON object one by one, and reports all problems, not only the first.

local MOST_RAW_BYTES = 32768 -- of a client's own object, with the space between its tokens
local MOST_BYTES = 10240 -- of the same as compact JSON
local MOST_UNKNOWN = 100 -- unknown names that are reported

-- A copy of the object without its null members, because null means absent.
local function without_nulls(object)
  local present = {}
  for name, value in pairs(object) do
    if value ~= cjson.null then
      present[name] = value
    end
  end
  return present
end

-- An empty list of problems, and the function problem(field, message) that adds to it.
local function collector()
  local problems = {}
  return problems, function(field, message)
    problems[#problems + 1] = { field, message }
  end
end

-- Reports each member of `object` that is not in the set `known`, in alphabetical order.
local function refuse_unknown(object, known, path, problem)
  local names = {}
  for name in pairs(object) do
    if not known[name] and #names < MOST_UNKNOWN then
      names[#names + 1] = tostring(name)
    end
  end
  table.sort(names)
  for i = 1, #names do
    problem(path .. names[i], 'is unknown')
  end
end

-- object[name] as an integer within bounds; nil when it is absent or wrong.
local function integer(object, name, least, most, path, problem)
  local number = object[name]
  if number == nil then
    return nil
  elseif type(number) ~= 'number' or number % 1 ~= 0 or number < least or number > most then
    problem(path .. name, string.format('must be an integer from %d to %d', least, most))
    return nil
  end
  return number
end

local function boolean(object, name, problem)
  local value = object[name]
  if value ~= nil and type(value) ~= 'boolean' then
    problem(name, 'must be true or false')
    return false
  end
  return value or false
end

local function uuid(object, name, path, problem)
  local value = object[name]
  if value == nil then
    return nil
  end
  local id = text_formats.uuid(value)
  if not id then
    problem(path .. name, 'must be a UUID')
  end
  return id
end

-- The list at object[name]; nil when it is absent or no list. raw: the JSON of each member. cjson decodes
-- `{}` and `[]` to the same table, so the JSON says which of them it was.
local function list(object, raw, name, problem)
  local value = object[name]
  if value == nil then
    return nil
  elseif type(value) ~= 'table' or (raw[name] or ''):sub(1, 1) ~= '[' then
    problem(name, 'must be a list')
    return nil
  end
  return value
end

-- Decodes the JSON of an object of at most `most` bytes. Returns the object without its null members, and the
-- JSON of each member by name; nil with a problem.
local function read_object(text, path, most, known, problem)
  if #text > most then
    problem(path, 'must be at most ' .. most .. ' bytes')
    return nil
  elseif not text_formats.characters(text) then
    problem(path, 'must be UTF-8')
    return nil
  end
  local is_json, object = pcall(cjson.decode, text)
  local raw = is_json and text_json.members(text)
  if not raw then
    problem(path, 'must be a JSON object')
    return nil
  end
  for name in pairs(raw) do
    -- A name such as "meta\u0064ata" is `metadata` in the decoded object, but not among the raw members.
    if name:find('\\', 1, true) and known[cjson.decode('["' .. name .. '"]')[1]] then
      problem(name, 'must be written without escapes')
    end
  end
  return without_nulls(object), raw
end

-- The object at object[name] as compact JSON, and the number of its members; nil with a problem. Such an
-- object belongs to the client, so it keeps its empty lists and its nulls.
local function read_raw(object, raw, name, problem)
  local text = raw[name]
  if type(object[name]) ~= 'table' or not text or text:sub(1, 1) ~= '{'
    or (#text <= MOST_RAW_BYTES and not text_json.is_strict(text)) then
    problem(name, 'must be an object')
    return nil
  end
  if #text <= MOST_RAW_BYTES then
    text = text_json.compact(text)
  end
  if #text > MOST_BYTES then
    problem(name, 'must be at most ' .. MOST_BYTES .. ' bytes of compact JSON')
    return nil
  end
  local _, count = text_json.members(text)
  return text, count
end

return {
  without_nulls = without_nulls,
  collector = collector,
  refuse_unknown = refuse_unknown,
  integer = integer,
  boolean = boolean,
  uuid = uuid,
  list = list,
  read_object = read_object,
  read_raw = read_raw,
}
end)()

-- config/participants.lua
local config_participants = (function()
-- Checks the participants and groups of a config, and the participant of sk_join.

local DAY_MS = 86400000
local MOST_PARTICIPANTS = 1000
local MOST_PARTICIPANT_BYTES = 8192
local PARTICIPANT = { participant_id = true, participant_index = true, group_id = true, total_time_ms = true,
  time_control = true }
local GROUP = { group_id = true, total_time_ms = true, time_control = true }

-- Reads one participant. Returns {id, index, group_id, bank, time_control, has_group, has_bank}; members that
-- are absent or wrong are nil. has_group and has_bank say whether group_id and total_time_ms were there, so
-- that a wrong one is not also reported as missing.
local function read_participant(given, path, problem)
  if type(given) ~= 'table' then
    problem(path:sub(1, -2), 'must be an object')
    return { has_group = true, has_bank = true }
  end
  given = config_members.without_nulls(given)
  config_members.refuse_unknown(given, PARTICIPANT, path, problem)
  if given.participant_id == nil then
    problem(path .. 'participant_id', 'is required')
  end
  return {
    id = config_members.uuid(given, 'participant_id', path, problem),
    index = config_members.integer(given, 'participant_index', 0, 999, path, problem),
    group_id = config_members.uuid(given, 'group_id', path, problem),
    bank = config_members.integer(given, 'total_time_ms', 1000, DAY_MS, path, problem),
    time_control = given.time_control,
    has_group = given.group_id ~= nil,
    has_bank = given.total_time_ms ~= nil,
  }
end

-- Reads a list of participants. Returns them in rotation order, each with its index and its path in the
-- config, and the same by id.
local function read_participants(given, problem)
  local found, by_id, by_index = {}, {}, {}
  if not given then
    return found, by_id
  end
  if #given < 1 or #given > MOST_PARTICIPANTS then
    problem('participants', 'must be 1 to ' .. MOST_PARTICIPANTS)
  end
  for i = 1, math.min(#given, MOST_PARTICIPANTS) do
    local path = 'participants.' .. (i - 1) .. '.'
    local participant = read_participant(given[i], path, problem)
    participant.path = path
    participant.index = participant.index or i - 1
    if participant.id then
      if by_id[participant.id] then
        problem(path .. 'participant_id', 'is there twice')
      end
      by_id[participant.id] = participant
    end
    if by_index[participant.index] then
      problem(path .. 'participant_index', 'is there twice')
    end
    by_index[participant.index] = true
    found[i] = participant
  end
  table.sort(found, function(one, other) return one.index < other.index end)
  return found, by_id
end

-- Reads a list of groups; without a list the groups are those that the participants name. Returns them in
-- order, each with
--
--   id bank time_control has_bank path   as of a participant
--   members                              the indexes of its members, as text
--   sum banks                            the banks of its members together in ms, and how many have one
local function read_groups(given, participants, problem)
  local found, by_id = {}, {}
  if given then
    if #given > MOST_PARTICIPANTS then
      problem('groups', 'must be at most ' .. MOST_PARTICIPANTS)
    end
    for i = 1, math.min(#given, MOST_PARTICIPANTS) do
      local path = 'groups.' .. (i - 1) .. '.'
      local group = type(given[i]) == 'table' and config_members.without_nulls(given[i]) or nil
      if not group then
        problem(path:sub(1, -2), 'must be an object')
      else
        config_members.refuse_unknown(group, GROUP, path, problem)
        if group.group_id == nil then
          problem(path .. 'group_id', 'is required')
        end
        local id = config_members.uuid(group, 'group_id', path, problem)
        if id and by_id[id] then
          problem(path .. 'group_id', 'is there twice')
        end
        found[#found + 1] = {
          id = id, bank = config_members.integer(group, 'total_time_ms', 1000, DAY_MS, path, problem),
          has_bank = group.total_time_ms ~= nil,
          time_control = group.time_control, path = path, members = {}, sum = 0, banks = 0,
        }
        if id then
          by_id[id] = found[#found]
        end
      end
    end
  end
  for i = 1, #participants do
    local participant = participants[i]
    local id = participant.group_id
    if id then
      local group = by_id[id]
      if not group and given then
        problem(participant.path .. 'group_id', 'is none of groups')
      else
        if not group then
          group = { id = id, path = 'groups.' .. #found .. '.', members = {}, sum = 0, banks = 0 }
          found[#found + 1], by_id[id] = group, group
        end
        group.members[#group.members + 1] = string.format('%d', participant.index)
        if participant.bank then
          group.sum, group.banks = group.sum + participant.bank, group.banks + 1
        end
      end
    end
  end
  return found
end

-- Checks the participant of sk_join. Returns it as read_participant does; or nil and the list of problems.
local function check_participant(text)
  local problems, problem = config_members.collector()
  local object = config_members.read_object(text, 'participant', MOST_PARTICIPANT_BYTES, PARTICIPANT, problem)
  if not object then
    return nil, problems
  end
  local participant = read_participant(object, '', problem)
  if #problems > 0 then
    return nil, problems
  end
  return participant
end

return {
  read_participants = read_participants,
  read_groups = read_groups,
  check_participant = check_participant,
}
end)()

-- config/bank.lua
local config_bank = (function()
-- The control and the bank of a participant or a group that owns a clock.

-- The control that this owner has of its own, see config/control.lua; nil for none.
local function own_control(owner, path, defaults, problem)
  if owner.time_control ~= nil then
    return config_control.check(owner.time_control, path .. 'time_control', problem, defaults)
  end
end

-- The bank of an owner in ms: the one that its control supplies, else the owner's own.
--
-- given     the control as the caller wrote it
-- control   the same after its check; nil when it is wrong
-- required  the message of the problem that is reported when there is no bank
local function bank(owner, given, control, path, problem, required)
  local supplied = control and control.bank
  if not supplied then
    if not (owner.has_bank or owner.bank or config_control.supplies_bank(given)) then
      problem(path .. 'total_time_ms', required)
    end
    return owner.bank or 0
  elseif owner.has_bank and owner.bank ~= supplied then
    problem(path .. 'total_time_ms', 'must be left out'
      .. (supplied > 0 and (', or the %d of its time_control'):format(supplied) or ': its clock has no end'))
  end
  return supplied
end

-- Reports a control of a participant or a group that owns no clock.
local function refuse_control(owner, path, problem)
  if owner.time_control ~= nil then
    problem(path .. 'time_control', 'has no effect in this mode')
  end
end

return {
  own_control = own_control,
  bank = bank,
  refuse_control = refuse_control,
}
end)()

-- config.lua
local config = (function()
-- Checks the config of `sk_create`, and makes the fields of the session's hash from it. All problems are
-- reported, not only the first.
--
-- The config is read into `settings`, a table with what the client's object says:
--
-- mode_name, mode                       `sync_mode`, and its module in modes/, nil for an unknown name
-- participants, groups                  lists, see config/participants.lua
-- active_index                          the index of `active_participant_id`, -1 for none
-- total, per_cycle, maximum, max_pause  ms, nil where they are not given; increment is 0 then
-- auto_advance, players_may_pause, lag_compensation
-- warnings, warnings_json, warning_count
-- metadata                              JSON
-- cycle_clock                           whether each cycle has a clock of its own
-- owned_by, owners_have_clocks          who owns the clocks, and whether that is participants or groups
-- action, action_json                   `action_on_timeout`
-- control                               the control of the session, nil where it has none or a wrong one
-- default, control_json                 its text in the rules, and its JSON
-- given_control, control_defaults       `time_control` as it was given; the defaults of all controls

local DAY_MS = 86400000
local MOST_WARNINGS = 8
local MOST_METADATA_KEYS = 100
local MOST_CONFIG_BYTES = 524288 -- bounds the work of one call

local CONFIG = {
  session_id = true, sync_mode = true, participants = true, groups = true, active_participant_id = true,
  total_time_ms = true, time_per_cycle_ms = true, increment_ms = true, max_time_ms = true,
  time_control = true, lag_compensation = true, auto_advance = true, action_on_timeout = true,
  warnings_ms = true, max_pause_ms = true, players_may_pause = true, metadata = true,
}

-- Reads `action_on_timeout`. Returns its type, and its JSON with all members of the client.
local function read_action(object, raw, cycle_clock, auto_advance, problem)
  local given = object.action_on_timeout
  if given == nil then
    local kind = cycle_clock and auto_advance and 'skip_cycle' or 'end_session'
    return kind, '{"type":"' .. kind .. '"}'
  end
  local text = config_members.read_raw(object, raw, 'action_on_timeout', problem)
  if not text then
    return 'end_session', '{}'
  end
  local kind = given.type
  if type(kind) ~= 'string' or not storage_session.ACTIONS[kind] then
    problem('action_on_timeout.type', 'must be one of end_session, skip_cycle, auto_action, notify')
  elseif kind == 'end_session' and cycle_clock and auto_advance then
    problem('action_on_timeout.type', 'must not be end_session with auto_advance')
  end
  if given.winner ~= nil then
    problem('action_on_timeout.winner', 'is set by the server')
  end
  return kind, text
end

-- Reads `warnings_ms`. Returns its JSON, the thresholds as they are stored (`30000,10000`, the highest first;
-- `-` for none), and their number.
local function read_warnings(object, raw, problem)
  local given = config_members.list(object, raw, 'warnings_ms', problem) or {}
  if #given > MOST_WARNINGS then
    problem('warnings_ms', 'must be at most ' .. MOST_WARNINGS)
  end
  local listed, sorted, known = {}, {}, {}
  for i = 1, math.min(#given, MOST_WARNINGS) do
    local threshold = config_members.integer(given, i, 1, DAY_MS, 'warnings_ms.', function(_, message)
      problem('warnings_ms.' .. (i - 1), message)
    end)
    if threshold then
      if known[threshold] then
        problem('warnings_ms.' .. (i - 1), 'is there twice')
      end
      known[threshold] = true
      listed[#listed + 1] = string.format('%d', threshold)
      sorted[#sorted + 1] = threshold
    end
  end
  table.sort(sorted, function(one, other) return one > other end)
  for i = 1, #sorted do
    sorted[i] = string.format('%d', sorted[i])
  end
  return '[' .. table.concat(listed, ',') .. ']', #sorted > 0 and table.concat(sorted, ',') or '-', #sorted
end

-- Reads `metadata`. Returns its compact JSON.
local function read_metadata(object, raw, problem)
  if object.metadata == nil then
    return '{}'
  end
  local text, count = config_members.read_raw(object, raw, 'metadata', problem)
  if text and count > MOST_METADATA_KEYS then
    problem('metadata', 'must have at most ' .. MOST_METADATA_KEYS .. ' keys')
  end
  return text
end

local function read_mode(settings, object, problem)
  local name = object.sync_mode
  settings.mode_name = name
  settings.mode = type(name) == 'string' and modes.MODES[name] or nil
  if not settings.mode then
    problem('sync_mode', 'must be one of ' .. modes.NAMES)
  end
end

local function read_members(settings, object, raw, problem)
  if object.participants == nil then
    problem('participants', 'is required')
  end
  local by_id
  settings.participants, by_id = config_participants.read_participants(
    config_members.list(object, raw, 'participants', problem), problem)
  settings.groups = config_participants.read_groups(
    config_members.list(object, raw, 'groups', problem), settings.participants, problem)
  local active_id = config_members.uuid(object, 'active_participant_id', '', problem)
  local active = active_id and by_id[active_id]
  if active_id and not active then
    problem('active_participant_id', 'is none of participants')
  end
  settings.active_index = active and active.index or -1
end

local function read_values(settings, object, raw, problem)
  local function integer(name, least, most)
    return config_members.integer(object, name, least, most, '', problem)
  end
  local function boolean(name)
    return config_members.boolean(object, name, problem)
  end
  settings.total = integer('total_time_ms', 1000, DAY_MS)
  settings.per_cycle = integer('time_per_cycle_ms', 1000, DAY_MS)
  settings.increment = integer('increment_ms', 0, 60000) or 0
  settings.maximum = integer('max_time_ms', 1000, DAY_MS)
  settings.auto_advance = boolean('auto_advance')
  settings.max_pause = integer('max_pause_ms', 1000, DAY_MS)
  settings.players_may_pause = boolean('players_may_pause')
  settings.lag_compensation = boolean('lag_compensation')
  settings.warnings_json, settings.warnings, settings.warning_count = read_warnings(object, raw, problem)
  settings.metadata = read_metadata(object, raw, problem)
end

-- Finds out who owns the clocks, and checks that their time is given. Reads `action_on_timeout`, because its
-- default depends on the owner.
local function read_owner(settings, object, raw, problem)
  local mode, mode_name = settings.mode, settings.mode_name
  local has_cycle_time = object.time_per_cycle_ms ~= nil
  settings.cycle_clock = mode_name == 'per_cycle' or (mode_name == 'global' and has_cycle_time)
  settings.action, settings.action_json = read_action(
    object, raw, settings.cycle_clock, settings.auto_advance, problem)
  settings.owned_by = mode and (settings.cycle_clock and 'cycle' or mode.owner)
  settings.owners_have_clocks = settings.owned_by == 'participant' or settings.owned_by == 'group'
  if mode_name == 'per_cycle' and not has_cycle_time then
    problem('time_per_cycle_ms', 'is required in per_cycle')
  elseif mode_name == 'global' and not has_cycle_time and object.total_time_ms == nil then
    problem('total_time_ms', 'is required in global, or time_per_cycle_ms')
  end
end

-- Reads `time_control`, the control of all owners that have none of their own.
local function read_control(settings, object, problem)
  settings.default, settings.control_json = '-', 'null'
  settings.control_defaults = { increment_ms = settings.increment, max_time_ms = settings.maximum }
  if settings.mode and not settings.owners_have_clocks then
    if object.time_control ~= nil then
      problem('time_control', 'has no effect in ' .. settings.mode_name)
    end
    if settings.lag_compensation then
      problem('lag_compensation', 'has no effect in ' .. settings.mode_name)
    end
    return
  end
  local given = object.time_control
  if given == nil then
    given = { kind = 'fischer' }
  end
  settings.control = config_control.check(given, 'time_control', problem, settings.control_defaults)
  if settings.control then
    settings.default, settings.control_json = settings.control.text, settings.control.json
  end
end

-- Adds the clock of a participant or a group that owns one. Returns its bank (ms), the JSON of its clock, and
-- the JSON of its own control.
--
-- clocks    sums up all clocks: count, bank, and hourglass_path, where the first hourglass is configured
-- required  the message of the problem that is reported when it has no bank
local function add_clock(settings, clocks, field, name, owner, required, problem)
  local control = config_bank.own_control(owner, owner.path, settings.control_defaults, problem)
  local governing = control or (owner.time_control == nil and settings.control) or nil
  local bank = config_bank.bank(owner, owner.time_control or settings.given_control, governing, owner.path,
    problem, required)
  clocks.count, clocks.bank = clocks.count + 1, clocks.bank + bank
  local clock_json = ''
  if governing then
    if governing.text:find('hourglass', 1, true) then
      clocks.hourglass_path = clocks.hourglass_path or (control and owner.path or '')
    end
    local new_owner, own_text = rules_lag.new_owner(
      control and control.text, settings.default, settings.lag_compensation, bank)
    if own_text then
      field('c:' .. name, own_text)
    end
    if new_owner.control.view_names then
      clock_json = controls.view(new_owner)
    end
  end
  return bank, clock_json, control and control.json or 'null'
end

-- Adds the record of a participant or a group, and its clock if owners of this kind have one. Returns the
-- JSON of its own control.
--
-- kind  'participant' or 'group'
local function add_record(settings, clocks, field, kind, name, owner, required, problem)
  local bank, clock_json, control_json = 0, '', 'null'
  if settings.owned_by == kind then
    bank, clock_json, control_json = add_clock(settings, clocks, field, name, owner, required, problem)
  elseif settings.mode then
    config_bank.refuse_control(owner, owner.path, problem)
  end
  field(name, storage_record.encode_new(bank, clock_json))
  return control_json
end

local function add_participants(settings, clocks, field, problem)
  for i = 1, #settings.participants do
    local participant = settings.participants[i]
    if settings.owned_by == 'group' and not participant.has_group then
      problem(participant.path .. 'group_id', 'is required in per_group')
    end
    local name, id = storage_record.participant_field(participant.index), participant.id or ''
    local control_json = add_record(settings, clocks, field, 'participant', name, participant,
      'is required in per_participant', problem)
    field(name .. ':shown', storage_record.participant_fixed_json(id, participant.index,
      participant.group_id, control_json))
    field('i:' .. id, string.format('%d', participant.index))
  end
end

local function add_groups(settings, clocks, field, problem)
  local ids = {}
  for i = 1, #settings.groups do
    local group = settings.groups[i]
    if settings.owned_by == 'group' and not group.has_bank and group.banks > 0
      and group.banks == #group.members then
      group.bank = group.sum
    end
    local id = group.id or ''
    local name = 'g:' .. id
    local control_json = add_record(settings, clocks, field, 'group', name, group,
      'is required in per_group, or that of each of its members', problem)
    field(name .. ':shown', storage_record.group_fixed_json(id, control_json))
    field('m:' .. id, #group.members > 0 and ',' .. table.concat(group.members, ',') .. ',' or ',')
    ids[i] = group.id
  end
  if #ids > 0 then
    field('groups', table.concat(ids, ','))
  end
end

-- The rotation, with a character for each index from 0; see storage/session.lua.
local function rotation_of(settings)
  local by_group = settings.owned_by == 'group'
  local turns = {}
  for i = 1, #settings.participants do
    turns[settings.participants[i].index] = by_group and '.' or '1'
  end
  for i = 1, by_group and #settings.groups or 0 do
    local first = settings.groups[i].members[1]
    if first then
      turns[tonumber(first)] = '1'
    end
  end
  local text = {}
  for index = 0, settings.participants[#settings.participants].index do
    text[index + 1] = turns[index] or '_'
  end
  return table.concat(text)
end

local function integer_or_null(number)
  return number and string.format('%d', number) or 'null'
end

-- The JSON of the members of the state that never change. In count_up an adjust may change max_time_ms.
local function fixed_json(settings)
  return '"sync_mode":"' .. settings.mode_name
    .. '","time_per_cycle_ms":' .. integer_or_null(settings.per_cycle)
    .. ',"increment_ms":' .. integer_or_null(settings.increment)
    .. (settings.mode.counts_up and '' or ',"max_time_ms":' .. integer_or_null(settings.maximum))
    .. ',"time_control":' .. settings.control_json
    .. ',"lag_compensation":' .. tostring(settings.lag_compensation)
    .. ',"auto_advance":' .. tostring(settings.auto_advance)
    .. ',"action_on_timeout":' .. settings.action_json
    .. ',"warnings_ms":' .. settings.warnings_json
    .. ',"max_pause_ms":' .. integer_or_null(settings.max_pause)
    .. ',"players_may_pause":' .. tostring(settings.players_may_pause)
    .. ',"metadata":' .. settings.metadata
end

-- Adds the fields of the session itself. The config has no problems.
local function add_session(settings, clocks, field, ttl, now)
  local mode, per_cycle, total = settings.mode, settings.per_cycle, settings.total
  local default, action = settings.default, settings.action
  if not settings.owners_have_clocks then
    default = mode.counts_up and not settings.maximum and 'none 0' or 'fischer 0 0'
    local bank = settings.owned_by == 'cycle' and per_cycle
      or mode.counts_up and (settings.maximum or 0) or total
    field('clock', storage_record.encode_new(bank, ''))
  end
  if settings.cycle_clock and (action == 'auto_action' or (action == 'notify' and settings.auto_advance)) then
    action = 'skip_cycle' -- a cycle clock does the same for all of them; events show the configured one
  end
  field('rotation', rotation_of(settings))
  field('rules', storage_session.encode_rules(settings.mode_name, ttl * 1000, action,
    settings.lag_compensation, settings.cycle_clock and per_cycle or 0, settings.warnings, default))
  field('action', settings.action_json)
  if settings.owned_by ~= 'session' or mode.counts_up then
    local total_or_sum = total or (settings.owners_have_clocks and clocks.bank > 0 and clocks.bank) or nil
    if total_or_sum then
      field('total', string.format('%d', total_or_sum))
    end
  end
  if settings.max_pause then
    field('max_pause', string.format('%d', settings.max_pause))
  end
  field('shown', fixed_json(settings))
  field('cycle', storage_session.encode_new_cycle(settings.active_index, now, settings.warning_count,
    settings.mode_name == 'global' and per_cycle and total or nil))
end

-- Checks the config of sk_create. Returns the fields of the hash as a list of name, value, name, value, ...
-- without status, version, epoch, created and tenant; or nil and the list of problems.
--
-- text     the config (JSON)
-- key_id   the id in KEYS
-- ttl      s
-- now      server time in ms
local function check(text, key_id, ttl, now)
  local problems, problem = config_members.collector()
  local object, raw = config_members.read_object(text, 'config', MOST_CONFIG_BYTES, CONFIG, problem)
  if not object then
    return nil, problems
  end
  config_members.refuse_unknown(object, CONFIG, '', problem)
  local session_id = config_members.uuid(object, 'session_id', '', problem)
  if session_id and session_id ~= key_id then
    problem('session_id', 'must be the id of KEYS, ' .. key_id)
  end
  local settings = { given_control = object.time_control }
  read_mode(settings, object, problem)
  read_members(settings, object, raw, problem)
  read_values(settings, object, raw, problem)
  read_owner(settings, object, raw, problem)
  read_control(settings, object, problem)

  local fields, count = {}, 0
  local function field(name, value)
    fields[count + 1], fields[count + 2] = name, value
    count = count + 2
  end
  local clocks = { count = 0, bank = 0 }
  add_participants(settings, clocks, field, problem)
  add_groups(settings, clocks, field, problem)
  if clocks.hourglass_path and clocks.count < 2 then
    problem(clocks.hourglass_path .. 'time_control', 'must not be an hourglass of one: it needs two clocks')
  end
  if #problems > 0 then
    return nil, problems
  end
  add_session(settings, clocks, field, ttl, now)
  return fields
end

return {
  check = check,
}
end)()

-- config/standing.lua
local config_standing = (function()
-- Where a session stands that is under way or over when it comes to this server. It is told in the words of
-- the state, and changes the hash that the config made for a new session.

local MOST_STANDING_BYTES = 524288 -- bounds the work of one call
local MOST_NUMBER = 99999999999999 -- times and counts of the library have at most 14 digits
local SESSION = {
  status = true, active_participant_id = true, cycle_started_ms = true, created_ms = true, started_ms = true,
  completed_ms = true, time_used_ms = true, cycle_count = true, bank_ms = true, total_left_ms = true,
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
end)()

-- transitions/rotation.lua
local transitions_rotation = (function()
-- The rotation: whose turn is next. Turns go by the participants' indexes, without those that are out. The
-- rotation is a text with a character for each index (see storage/session.lua), so one search finds the next
-- one, however many participants there are.

-- The next index after `index` that has a turn. It is `index` itself when no other has one, and nil when none
-- has one.
local function after(s, index)
  local rotation = s.rotation
  local found = rotation:find('1', index + 2, true) or rotation:find('1', 1, true)
  return found and found - 1
end

-- The only index that has a turn; nil when there is none, or more than one.
local function only_one(rotation)
  local first = rotation:find('1', 1, true)
  if first and not rotation:find('1', first + 1, true) then
    return first - 1
  end
end

-- The rotation with another character at an index. Its end is cut after the last participant.
local function marked(rotation, index, character)
  if #rotation < index then
    rotation = rotation .. string.rep('_', index - #rotation)
  end
  rotation = rotation:sub(1, index) .. character .. rotation:sub(index + 2)
  return rotation:match('^(.-)_*$')
end

-- Changes the character of an index in the session's rotation.
local function mark(s, index, character)
  storage_session.set_rotation(s, marked(s.rotation, index, character))
end

-- The lowest index in a list of members such as `,0,3,`; nil for a group without members.
local function first_member(members)
  return tonumber(members:match('^,(%d+),'))
end

-- The member after the one with this index. After the last one comes the first.
local function member_after(members, index)
  local _, stop = members:find(',' .. string.format('%d', index) .. ',', 1, true)
  local found = stop and members:match('^(%d+),', stop + 1)
  return tonumber(found) or first_member(members)
end

-- The list of members with one more.
local function with_member(members, index)
  local list, placed = {}, false
  for member in members:gmatch('%d+') do
    if not placed and tonumber(member) > index then
      list[#list + 1] = string.format('%d', index)
      placed = true
    end
    list[#list + 1] = member
  end
  if not placed then
    list[#list + 1] = string.format('%d', index)
  end
  return ',' .. table.concat(list, ',') .. ','
end

-- The list of members without one.
local function without_member(members, index)
  local start, stop = members:find(',' .. string.format('%d', index) .. ',', 1, true)
  return members:sub(1, start) .. members:sub(stop + 1)
end

-- The member before the one with this index; -1 when that is the first.
local function member_before(members, index)
  local start = members:find(',' .. string.format('%d', index) .. ',', 1, true)
  return tonumber(members:sub(1, start):match('(%d+),$')) or -1
end

-- The index of the participant that is active after the turn at `index` of the rotation; nil when all are
-- out.
local function next_participant(s, index)
  local found = after(s, index)
  if not found then
    return nil
  end
  if s.mode.by_group then
    local group_id = storage_record.group_id(storage_record.load(s, storage_record.participant_field(found)))
    found = member_after(storage_participants.members(s, group_id),
      storage_participants.last_active(s, group_id))
  end
  return found
end

return {
  after = after,
  only_one = only_one,
  marked = marked,
  mark = mark,
  first_member = first_member,
  member_after = member_after,
  with_member = with_member,
  without_member = without_member,
  member_before = member_before,
  next_participant = next_participant,
}
end)()

-- transitions/cycle.lua
local transitions_cycle = (function()
-- The cycle: whose turn it is, how a cycle begins, and how it is charged when it ends.
--
-- A transition changes the session `s` in memory and returns
--   turn    whose turn it is afterwards: {participant, group, owner}, records; group may be nil. nil when no
--           participant is active
--   event   the name of the event; nil when nothing changed
--   extra   further members of the payload, each with a comma before it; nil for none. Without an event it is
--           a refusal, or nil when there is nothing to do

-- The turn of the participant with this index.
local function turn_of(s, index)
  local mode = s.mode
  local field = storage_record.participant_field(index)
  local participant, owner, group_id
  if mode.owner == 'participant' then
    participant = storage_record.load(s, field)
    owner = participant
    group_id = storage_record.group_id(participant)
  elseif mode.owner == 'group' then
    participant = storage_record.load(s, field)
    group_id = storage_record.group_id(participant)
    owner = storage_record.load(s, mode.clock(field, group_id))
  else
    participant, owner = storage_record.load_pair(s, field, mode.clock())
    group_id = storage_record.group_id(participant)
  end
  return { participant = participant, group = group_id and storage_participants.group(s, group_id),
    owner = owner }
end

-- Whose turn it is now; nil when no participant is active.
local function current_turn(s)
  if s.active >= 0 then
    return turn_of(s, s.active)
  end
end

-- The index that has the current turn in the rotation. In per_group it is the lowest index of the group.
local function place(s, turn)
  if s.mode.by_group then
    local members = storage_participants.members(s, storage_record.group_id(turn.participant))
    return transitions_rotation.first_member(members)
  end
  return s.active
end

-- Begins a cycle of the participant with this index at server time `at`. In a paused session the cycle waits
-- at its start. Returns the turn.
local function begin_cycle(s, index, at)
  s.active = index
  s.since = s.status == 'paused' and 0 or at
  s.offset = 0
  s.spent = nil
  local turn = turn_of(s, index)
  local owner, group = turn.owner, turn.group
  if s.mode.owner == 'cycle' then
    owner.bank, owner.expired = s.rules.cycle_ms, false
    storage_record.touch(s, owner, true)
  elseif s.transferred_ms then
    owner.bank = owner.bank + s.transferred_ms
    owner.expired = owner.expired and s.transferred_ms == 0
    storage_record.touch(s, owner, true)
  end
  s.flagged = owner.expired
  storage_record.touch(s, turn.participant)
  if group then
    storage_record.touch(s, group)
    if s.mode.by_group then
      storage_participants.set_last_active(s, storage_record.group_id(turn.participant), index)
    end
  end
  if s.warned then
    local left = not s.flagged and rules_clock.idle(owner) or nil
    rules_clock.warn_below(s, left and s.total_left and math.min(left, s.total_left) or left, true)
  end
  return turn
end

-- The member `overtime_used_ms` of the payload for a cycle that used so many ms; '' when it used no overtime.
local function overtime_used(s, owner, used)
  if owner.control.overtime == 0 then
    return ''
  end
  local over = used - math.max(0, math.min(used, owner.control.rule.budget(owner, s.offset)))
  return over > 0 and (',"overtime_used_ms":%d'):format(over) or ''
end

-- Adds the used ms of a cycle to the participant that was active, to its group and to the session.
local function account(s, turn, used)
  turn.participant.used = turn.participant.used + used
  if turn.group then
    turn.group.used = turn.group.used + used
  end
  s.used = s.used + used
end

-- Counts a cycle that has ended. ran: for how many ms it ran.
local function count_cycle(s, turn, ran)
  if s.total_left then
    s.total_left = math.max(0, s.total_left - ran)
  end
  turn.participant.cycles = turn.participant.cycles + 1
  storage_record.touch(s, turn.participant, true)
  if turn.group then
    turn.group.cycles = turn.group.cycles + 1
    storage_record.touch(s, turn.group, true)
  end
  storage_record.touch(s, turn.owner, true)
  s.count = s.count + 1
end

-- Charges the whole budget of the current clock: the clock has expired.
local function charge_all(s, turn)
  local owner = turn.owner
  local whole = rules_clock.budget(s, owner)
  account(s, turn, whole)
  controls.charge(owner, whole, s.offset)
  owner.expired = true
end

-- Ends the current cycle, which ran for `elapsed` ms, without a switch: it is charged, at most its budget,
-- and counted, but there is no credit.
local function break_cycle(s, turn, elapsed)
  if s.total_left and elapsed > s.total_left then
    elapsed = s.total_left
  end
  if not s.flagged then
    local owner = turn.owner
    local used = elapsed - s.offset
    if used >= rules_clock.budget(s, owner) then
      charge_all(s, turn)
    else
      controls.charge(owner, used, s.offset)
      account(s, turn, used)
    end
  end
  count_cycle(s, turn, elapsed)
end

-- In an hourglass the next clock gets the time that this cycle used. used: the ms that are charged now;
-- s.spent: those that were charged when the clock ran out earlier in this cycle.
local function transfer(s, owner, used)
  if owner.control.rule.TRANSFERS_TIME then
    s.transferred_ms = (s.spent or 0) + used
  end
end

-- Ends the session with this status. at: the server time in ms at which it was over.
local function finish(s, status, at)
  storage_session.set_status(s, status)
  s.active, s.since, s.offset, s.flagged = -1, 0, 0, false
  storage_session.set(s, 'completed', string.format('%d', at))
end

-- Whether the session is not finished.
local function is_open(s)
  return s.status == 'pending' or s.status == 'running' or s.status == 'paused'
end

-- The refusal, as a transition returns it, of a call that the session's status does not allow.
local function wrong_state(s)
  return nil, nil, call_refusal.state(s.status, s.status == 'expired'
    and storage_session.field(s, 'expired_by') or nil)
end

return {
  turn_of = turn_of,
  current_turn = current_turn,
  place = place,
  begin_cycle = begin_cycle,
  overtime_used = overtime_used,
  account = account,
  count_cycle = count_cycle,
  charge_all = charge_all,
  break_cycle = break_cycle,
  transfer = transfer,
  finish = finish,
  is_open = is_open,
  wrong_state = wrong_state,
}
end)()

-- transitions/expiry.lua
local transitions_expiry = (function()
-- Carries out what is due: an expiry, the end of a pause, or a warning.

-- When the server is later than this, the next cycle begins now. Else it begins when the time was up.
local LATE_MS = 1000

-- The member `winner` when the clock of the current turn ends the session: the only other participant or
-- group that is not out. '' when there is none, or more than one.
local function winner(s, turn)
  if s.mode.owner == 'session' then
    return ''
  end
  local without_loser = transitions_rotation.marked(s.rotation, transitions_cycle.place(s, turn), 'x')
  local index = transitions_rotation.only_one(without_loser)
  if not index then
    return ''
  end
  local participant = storage_record.load(s, storage_record.participant_field(index))
  local id = s.mode.by_group and storage_record.group_id(participant)
    or storage_record.participant_id(participant)
  return ',"winner":"' .. id .. '"'
end

-- Carries out the expiry of the current turn: charges its clock and follows `action_on_timeout`; when the
-- session's total is used up, it ends the session. ends: the deadline in server ms.
--
-- The next cycle begins when the grace after the deadline was over. It begins now when that is more than
-- LATE_MS ago, or when a switch within the grace had too little credit.
local function expire_turn(s, turn, ends)
  local owner = turn.owner
  local time_up = ends + (owner.grace or 0)
  local late = math.max(0, s.now - time_up)
  local next_start = late > LATE_MS and s.now or math.min(time_up, s.now)
  local action, owned_by, whole = s.rules.action, s.mode.owner, rules_clock.budget(s, owner)
  local participant_id = storage_record.participant_id(turn.participant)
  local extra = ',"expired_participant_id":"' .. participant_id .. '"'
  if s.mode.by_group then
    extra = extra .. ',"expired_group_id":"' .. storage_record.group_id(turn.participant) .. '"'
  end
  local applied = storage_session.field(s, 'action'):sub(1, -2)
  extra = extra .. (',"expired_deadline_ms":%d,"late_ms":%d%s,"action_applied":'):format(ends, late,
    transitions_cycle.overtime_used(s, owner, whole))

  if s.total_left and ends - s.since >= s.total_left then
    transitions_cycle.break_cycle(s, turn, ends - s.since)
    transitions_cycle.finish(s, 'expired', ends)
    storage_session.set(s, 'expired_by', participant_id)
    return nil, 'session.expired', extra .. applied .. '},"expired_clock":"total"'
  end
  transitions_cycle.charge_all(s, turn)
  if action == 'notify' then
    s.flagged = true
    rules_clock.warn_below(s, nil, false)
    if owner.control.rule.TRANSFERS_TIME then
      s.spent = (s.spent or 0) + whole
    end
    storage_record.touch(s, owner, true)
    if whole > 0 then
      storage_record.touch(s, turn.participant, true)
      if turn.group then
        storage_record.touch(s, turn.group, true)
      end
    end
    return turn, 'participant.expired', extra .. applied .. '}'
  end

  transitions_cycle.transfer(s, owner, whole)
  transitions_cycle.count_cycle(s, turn, ends - s.since)
  local slot = transitions_cycle.place(s, turn)
  local goes_on = action ~= 'end_session' and owned_by ~= 'session'
  local winner_json = ''
  if not goes_on then
    winner_json = action == 'end_session' and winner(s, turn) or ''
  end
  if owned_by == 'participant' or owned_by == 'group' then
    transitions_rotation.mark(s, slot, 'x')
  end
  local index = goes_on and transitions_rotation.next_participant(s, slot)
  if index then
    turn = transitions_cycle.begin_cycle(s, index, next_start)
    return turn, 'participant.expired', extra .. applied .. '}'
  end
  transitions_cycle.finish(s, 'expired', ends)
  storage_session.set(s, 'expired_by', participant_id)
  return nil, 'session.expired', extra .. applied .. winner_json .. '}'
end

-- The deadline of the current turn when it and the grace of lag compensation are over; else nil.
local function deadline_reached(s, turn)
  local ends = rules_clock.deadline(s, turn.owner)
  return ends and s.now >= ends + (turn.owner.grace or 0) and ends or nil
end

-- Whether a pause has lasted for max_pause_ms.
local function pause_is_over(s)
  return s.resumes and s.now >= s.resumes
end

-- Ends a pause that is over. The session goes on from that moment, or from now when it is more than LATE_MS
-- ago.
local function end_pause(s)
  local late = s.now - s.resumes
  s.since = (late > LATE_MS and s.now or s.resumes) - s.since
  s.reason = 'auto'
  storage_session.set_status(s, 'running')
  return transitions_cycle.current_turn(s), 'session.resumed', (',"late_ms":%d'):format(late)
end

-- Carries out what is due: an expiry, the end of a pause, or one warning, the highest first. Returns nil when
-- nothing is due.
local function expire(s)
  if pause_is_over(s) then
    return end_pause(s)
  end
  if s.status ~= 'running' or s.alarm == 0 or s.now < s.alarm then
    return nil
  end
  local turn = transitions_cycle.current_turn(s)
  local ends = deadline_reached(s, turn)
  if ends then
    return expire_turn(s, turn, ends)
  end
  local threshold, position = rules_clock.next_warning(s)
  s.warn_sent = s.warn_sent:sub(1, position - 1) .. '1' .. s.warn_sent:sub(position + 1)
  return turn, 'time.warning', string.format(',"warning_ms":%d', threshold)
end

return {
  expire_turn = expire_turn,
  deadline_reached = deadline_reached,
  pause_is_over = pause_is_over,
  end_pause = end_pause,
  expire = expire,
}
end)()

-- transitions/lifecycle.lua
local transitions_lifecycle = (function()
-- Start, switch, pause, resume, and the end of a session.

-- The event of a switch within so many ms of the start of its cycle says `"suspicious":"too_fast"`.
local TOO_FAST_MS = 10

local function start(s)
  if s.status ~= 'pending' then
    return transitions_cycle.wrong_state(s)
  end
  storage_session.set_status(s, 'running')
  local index = s.active
  if index < 0 then
    index = transitions_rotation.next_participant(s, -1)
  end
  storage_session.set(s, 'started', string.format('%d', s.now))
  return transitions_cycle.begin_cycle(s, index, s.now), 'session.started'
end

-- Whether this participant is out, because its clock has run out. Under `notify` participants are never out.
local function is_out(s, participant)
  local owned_by = s.mode.owner
  if s.rules.action == 'notify' or owned_by == 'session' or owned_by == 'cycle' then
    return false
  end
  local clock_field = s.mode.clock(participant.field, storage_record.group_id(participant))
  return storage_record.load(s, clock_field).expired
end

-- options: NEXT, CURRENT, LAG
local function switch(s, options)
  if s.status ~= 'running' and not transitions_expiry.pause_is_over(s) then
    return transitions_cycle.wrong_state(s)
  end
  local active = s.active
  local index
  if not options.NEXT and not s.mode.by_group then
    index = transitions_rotation.after(s, active)
    storage_record.load_pair(s, storage_record.participant_field(active),
      storage_record.participant_field(index))
  end
  local turn = transitions_cycle.turn_of(s, active)
  if options.CURRENT then
    local active_id = storage_record.participant_id(turn.participant)
    if options.CURRENT ~= active_id then
      if not storage_participants.participant(s, options.CURRENT) then
        return nil, nil, call_refusal.participant_not_found(options.CURRENT)
      end
      return nil, nil, call_refusal.current(options.CURRENT, active_id)
    end
  end
  if options.NEXT then
    local named = storage_participants.participant(s, options.NEXT)
    if not named then
      return nil, nil, call_refusal.participant_not_found(options.NEXT)
    elseif is_out(s, named) then
      return nil, nil, call_refusal.participant_expired(options.NEXT)
    end
    index = storage_record.participant_index(named)
  end
  if s.status == 'paused' then
    return transitions_expiry.end_pause(s)
  end
  local ends = transitions_expiry.deadline_reached(s, turn)
  if ends then
    return transitions_expiry.expire_turn(s, turn, ends)
  end
  local elapsed = s.now - s.since
  local extra = elapsed <= TOO_FAST_MS and ',"suspicious":"too_fast"' or ''
  local owner = turn.owner
  if s.flagged then
    transitions_cycle.transfer(s, owner, 0)
  else
    local ran = elapsed - s.offset
    local credit = 0
    if owner.quota_ms then
      credit = rules_lag.credit(owner, options.LAG, ran)
      local whole = rules_clock.budget(s, owner)
      if ran - credit >= whole then
        return transitions_expiry.expire_turn(s, turn, rules_clock.deadline(s, owner))
      end
      transitions_cycle.account(s, turn, math.min(ran, whole))
      rules_lag.spend(owner, credit)
      if options.LAG then
        extra = extra .. (',"lag_credit_ms":%d'):format(credit)
      end
    else
      transitions_cycle.account(s, turn, ran)
    end
    extra = extra .. transitions_cycle.overtime_used(s, owner, ran - credit)
    transitions_cycle.transfer(s, owner, ran - credit)
    controls.charge_and_credit(owner, ran - credit, s.offset)
  end
  transitions_cycle.count_cycle(s, turn, elapsed)
  if not index then
    index = transitions_rotation.next_participant(s, transitions_cycle.place(s, turn))
  end
  return transitions_cycle.begin_cycle(s, index, s.now), 'cycle.switched', extra
end

local function pause(s)
  if transitions_expiry.pause_is_over(s) then
    return transitions_expiry.end_pause(s)
  end
  if s.status ~= 'running' then
    return transitions_cycle.wrong_state(s)
  end
  local turn = transitions_cycle.current_turn(s)
  local ends = transitions_expiry.deadline_reached(s, turn)
  if ends then
    return transitions_expiry.expire_turn(s, turn, ends)
  end
  s.since = rules_clock.elapsed(s)
  storage_session.set_status(s, 'paused')
  local max_pause = tonumber(storage_session.field(s, 'max_pause'))
  s.resumes = max_pause and s.now + max_pause
  return turn, 'session.paused'
end

local function resume(s)
  if s.status ~= 'paused' then
    return transitions_cycle.wrong_state(s)
  elseif transitions_expiry.pause_is_over(s) then
    return transitions_expiry.end_pause(s)
  end
  s.since = s.now - s.since
  storage_session.set_status(s, 'running')
  return transitions_cycle.current_turn(s), 'session.resumed'
end

-- status: completed or cancelled
local function close(s, status)
  if not transitions_cycle.is_open(s) then
    return transitions_cycle.wrong_state(s)
  end
  if s.status ~= 'pending' then
    transitions_cycle.break_cycle(s, transitions_cycle.current_turn(s), rules_clock.elapsed(s))
  end
  transitions_cycle.finish(s, status, s.now)
  return nil, 'session.' .. status
end

return {
  start = start,
  switch = switch,
  pause = pause,
  resume = resume,
  close = close,
}
end)()

-- transitions/adjust.lua
local transitions_adjust = (function()
-- sk_adjust: gives time to a clock or takes time from it.

-- The record whose clock the options name; nil and a refusal when they name none.
local function named_clock(s, options)
  local owned_by = s.mode.owner
  local problem
  if owned_by == 'participant' then
    problem = options.GROUP and { 'GROUP', 'has no clock in this mode: name a PARTICIPANT' }
      or not options.PARTICIPANT
      and { 'PARTICIPANT', 'is required: in this mode each participant has a clock' }
  elseif owned_by == 'group' then
    problem = options.PARTICIPANT and { 'PARTICIPANT', 'has no clock in this mode: name a GROUP' }
      or not options.GROUP and { 'GROUP', 'is required: in this mode each group has a clock' }
  elseif options.PARTICIPANT or options.GROUP then
    local option = options.PARTICIPANT and 'PARTICIPANT' or 'GROUP'
    problem = { option, 'has no clock in this mode: the ' .. owned_by .. ' has it' }
  end
  if problem then
    return nil, call_refusal.validation({ problem })
  end
  local record
  if options.PARTICIPANT then
    record = storage_participants.participant(s, options.PARTICIPANT)
  elseif options.GROUP then
    record = storage_participants.group(s, options.GROUP)
  elseif owned_by == 'cycle' and s.status == 'pending' then
    return nil, call_refusal.state(s.status)
  else
    record = storage_record.load(s, s.mode.clock())
  end
  if not record then
    return nil, call_refusal.participant_not_found(options.PARTICIPANT or options.GROUP)
  end
  return record
end

-- options: PARTICIPANT or GROUP or neither; SET or ADD; WITHIN, REASON
local function adjust(s, options)
  if not transitions_cycle.is_open(s) then
    return transitions_cycle.wrong_state(s)
  end
  local owner, refused = named_clock(s, options)
  if not owner then
    return nil, nil, refused
  end
  local turn = transitions_cycle.current_turn(s)
  local runs = turn and turn.owner == owner and rules_clock.is_live(s)
  if owner.control.endless and not s.mode.counts_up then
    return nil, nil, call_refusal.validation({ { options.SET and 'SET' or 'ADD',
      'has no effect on a clock without end' } })
  elseif runs and transitions_expiry.pause_is_over(s) then
    return transitions_expiry.end_pause(s)
  elseif runs and s.status == 'running' then
    local ends = transitions_expiry.deadline_reached(s, turn)
    if ends then
      return transitions_expiry.expire_turn(s, turn, ends)
    end
  end
  local left
  if runs then
    left = rules_clock.remaining(s, owner)
  else
    left = rules_clock.idle(owner)
  end
  if options.WITHIN and not (left and left < options.WITHIN) then
    return nil
  end
  local elapsed = runs and rules_clock.elapsed(s) or 0
  if not left then
    if options.ADD then
      return nil, nil, call_refusal.validation({ { 'ADD',
        'needs a maximum: this session has none yet, SET one' } })
    end
    storage_session.set_session_control(s, owner, 'fischer 0 0')
    owner.bank = elapsed
    storage_record.touch(s, owner, true)
  end
  -- The bank at this moment: below zero when periods, a block or overtime run. When 3000 ms of a period are
  -- used, it is -3000. SET 5000 then adds 8000, so 5000 ms of main time are left and the period is whole.
  local balance = owner.bank
  if runs and not s.flagged then
    balance = owner.bank - controls.drawn(owner, elapsed - s.offset, s.offset)
  end
  local new_balance = options.SET or math.max(balance + options.ADD, math.min(balance, 0))
  local added = new_balance - balance
  if added > 0 and owner.expired then
    owner.expired = false
    if s.mode.owner == 'participant' then
      transitions_rotation.mark(s, storage_record.participant_index(owner), '1')
    elseif s.mode.owner == 'group' then
      local members = storage_participants.members(s, storage_record.id_of_group(owner))
      local first = transitions_rotation.first_member(members)
      if first then
        transitions_rotation.mark(s, first, '1')
      end
    end
    if runs then
      s.offset = elapsed
      s.flagged = false
    end
  end
  owner.bank = owner.bank + added
  if added ~= 0 then
    storage_record.touch(s, owner, true)
  end
  if runs and not s.flagged then
    rules_clock.warn_below(s, rules_clock.remaining(s, owner), false)
  end
  local extra = string.format(',"adjusted_ms":%d', added)
  if options.REASON then
    extra = extra .. ',"adjust_reason":' .. text_json.quote(options.REASON)
  end
  return turn, 'time.adjusted', extra
end

return {
  adjust = adjust,
}
end)()

-- transitions/membership.lua
local transitions_membership = (function()
-- Adds participants to a session and removes them.

-- participant: see read_participant in config/participants.lua. Without an index it gets the highest one + 1.
local function join(s, participant)
  if not transitions_cycle.is_open(s) then
    return transitions_cycle.wrong_state(s)
  end
  local problems = {}
  local index = participant.index or #s.rotation
  if storage_participants.has_id(s, participant.id) then
    problems[#problems + 1] = { 'participant_id', 'is in the session already' }
  end
  if index > 999 then
    problems[#problems + 1] = { 'participant_index', 'must be given: there is none above 999' }
  elseif storage_participants.has_index(s, index) then
    problems[#problems + 1] = { 'participant_index', 'is taken' }
  end
  local group_id = participant.group_id
  local group
  if group_id then
    group = storage_participants.group(s, group_id)
    if not group then
      problems[#problems + 1] = { 'group_id', 'is no group of this session' }
    end
  elseif s.mode.by_group then
    problems[#problems + 1] = { 'group_id', 'is required: in this mode each participant belongs to a group' }
  end
  local owns = s.mode.owner == 'participant'
  local control = { json = 'null' }
  local bank
  if owns then
    local session_json = '{' .. storage_session.field(s, 'shown') .. '}'
    local defaults = config_members.without_nulls(cjson.decode(session_json))
    local function problem(field, message)
      problems[#problems + 1] = { field, message }
    end
    local default = config_control.check(defaults.time_control, 'time_control', problem, defaults)
    if participant.time_control ~= nil then
      control = config_control.check(participant.time_control, 'time_control', problem, defaults)
    end
    local given = participant.time_control or defaults.time_control
    local governing = participant.time_control == nil and default or control
    bank = config_bank.bank(participant, given, governing, '', problem,
      'is required: in this mode each participant has a clock')
    control = control or {}
  elseif participant.time_control ~= nil then
    problems[#problems + 1] = { 'time_control', 'has no effect in this mode: a participant has no clock' }
  end
  if #problems > 0 then
    return nil, nil, call_refusal.validation(problems)
  end

  local turn = transitions_cycle.current_turn(s)
  storage_participants.add(s, index, participant.id, bank, control.text,
    storage_record.participant_fixed_json(participant.id, index, group_id, control.json))
  if s.mode.by_group then
    local first = transitions_rotation.first_member(storage_participants.members(s, group_id))
    if not first or index < first then
      if first then
        transitions_rotation.mark(s, first, '.')
      end
      transitions_rotation.mark(s, index, group.expired and s.rules.action ~= 'notify' and 'x' or '1')
    else
      transitions_rotation.mark(s, index, '.')
    end
  else
    transitions_rotation.mark(s, index, '1')
  end
  if group then
    storage_participants.set_members(s, group_id,
      transitions_rotation.with_member(storage_participants.members(s, group_id), index))
  end
  return turn, 'participant.added'
end

-- Removes a member from its group. In per_group the turn of the group moves to the lowest index that is left.
-- Returns that index, nil when there is none.
local function leave_group(s, group_id, index)
  local members = storage_participants.members(s, group_id)
  if storage_participants.last_active(s, group_id) == index then
    storage_participants.set_last_active(s, group_id, transitions_rotation.member_before(members, index))
  end
  local rest = transitions_rotation.without_member(members, index)
  storage_participants.set_members(s, group_id, rest)
  if not s.mode.by_group then
    return nil
  end
  local first = transitions_rotation.first_member(rest)
  if first and first > index then
    local character = s.rotation:sub(index + 1, index + 1)
    transitions_rotation.mark(s, first, character)
  end
  return first
end

-- The index of the participant that is active after the one at `index` has left. slot: the index that has the
-- turn of its group now. With A (0) and C (2) in one group and B (1) and D (3) in two others, the turn of A's
-- group moves to C when A leaves. B is next then, not D, although D comes after C.
local function next_after_leave(s, index, slot)
  if slot <= index then
    return transitions_rotation.next_participant(s, slot)
  end
  local rotation = s.rotation
  transitions_rotation.mark(s, slot, '.')
  local following = transitions_rotation.next_participant(s, index)
  storage_session.set_rotation(s, rotation)
  return following or transitions_rotation.next_participant(s, slot)
end

local function leave(s, id)
  if not transitions_cycle.is_open(s) then
    return transitions_cycle.wrong_state(s)
  end
  local participant = storage_participants.participant(s, id)
  if not participant then
    return nil, nil, call_refusal.participant_not_found(id)
  end
  local index = storage_record.participant_index(participant)
  local others = s.rotation:sub(1, index) .. s.rotation:sub(index + 2)
  if not others:find('[^_]') then
    return nil, nil, call_refusal.validation({ { 'participant_id',
      'is the last participant of the session, who cannot leave' } })
  end
  local turn = transitions_cycle.current_turn(s)
  local has_turn = s.active == index and rules_clock.is_live(s)
  if has_turn then
    if transitions_expiry.pause_is_over(s) then
      return transitions_expiry.end_pause(s)
    end
    local ends = transitions_expiry.deadline_reached(s, turn)
    if ends then
      return transitions_expiry.expire_turn(s, turn, ends)
    end
    transitions_cycle.break_cycle(s, turn, rules_clock.elapsed(s))
  end
  local slot = index
  local group_id = storage_record.group_id(participant)
  if group_id then
    slot = leave_group(s, group_id, index) or index
  end
  transitions_rotation.mark(s, index, '_')
  if has_turn and slot ~= index and turn.owner.expired and s.mode.by_group and s.rules.action ~= 'notify' then
    transitions_rotation.mark(s, slot, 'x') -- the group left within the grace, with its whole budget used
  end
  storage_participants.remove(s, participant)
  local extra = ',"removed_participant_id":"' .. id .. '"'
  if has_turn then
    local following = next_after_leave(s, index, slot)
    if following then
      turn = transitions_cycle.begin_cycle(s, following, s.now)
    else
      transitions_cycle.finish(s, 'expired', s.now)
      turn = nil
    end
  elseif s.active == index then
    s.active = -1
    turn = nil
  end
  return turn, 'participant.removed', extra
end

return {
  join = join,
  leave = leave,
}
end)()

-- views/record.lua
local views_record = (function()
-- The JSON of a participant or a group, as the state and the events show it.

-- The ids of the active participant and of its group as JSON, `null` for none.
local function active_ids(turn)
  if not turn then
    return 'null', 'null'
  end
  return '"' .. storage_record.participant_id(turn.participant) .. '"',
    turn.group and '"' .. storage_record.id_of_group(turn.group) .. '"' or 'null'
end

-- The time left on a record's clock as text; nil for a clock without end. In most cases it equals the bank,
-- which is text already.
local function left_text(record, left)
  if left == record.bank then
    return record.bank_text
  end
  return left and text_formats.integer(left) or nil
end

-- The time left on the clock of the current turn, as text; nil without a turn or an end.
local function running_left(s, turn)
  local left = turn and rules_clock.is_live(s) and rules_clock.remaining(s, turn.owner)
  return left and left_text(turn.owner, left) or nil
end

-- The JSON of a record. left: ms as text, nil for a clock without end. Lua joins all parts of one expression
-- at once, so that this costs no more than a list of pieces that `table.concat` joins.
local function fields_json(record, left, is_active)
  if not record.owns then
    return '{"total_time_ms":null,"time_used_ms":' .. record.used
      .. ',"time_remaining_ms":null,"cycle_count":' .. record.cycles
      .. ',"is_active":' .. (is_active and 'true' or 'false')
      .. ',"has_expired":false,"clock":null,' .. record.fixed_json
  end
  return '{"total_time_ms":' .. (left and record.bank_text or 'null')
    .. ',"time_used_ms":' .. record.used
    .. ',"time_remaining_ms":' .. (left or 'null')
    .. ',"cycle_count":' .. record.cycles
    .. ',"is_active":' .. (is_active and 'true' or 'false')
    .. ',"has_expired":' .. (record.expired and 'true' or 'false')
    .. ',"clock":' .. (record.clock ~= '' and record.clock or '{}')
    .. ',' .. record.fixed_json
end

-- The JSON of a record as it is at this moment. turn: whose turn it is, nil for none; left: the time left on
-- the clock of that turn, see running_left.
local function build(s, record, turn, left)
  local live = turn and rules_clock.is_live(s)
  if not (live and record == turn.owner) then
    left = record.owns and left_text(record, rules_clock.idle(record)) or nil
  end
  local is_active = live and (record == turn.participant or record == turn.group)
  return fields_json(record, left, is_active)
end

return {
  active_ids = active_ids,
  running_left = running_left,
  build = build,
}
end)()

-- views/event.lua
local views_event = (function()
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
-- many participants there are.
local function touched_json(s, kind, turn, left)
  local json = ''
  local record = s.first_touched
  while record do
    if record.kind == kind and not record.gone then
      local text = views_record.build(s, record, turn, left)
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
  local left = views_record.running_left(s, turn)
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
    .. ',"participants":[' .. (participants or touched_json(s, storage_record.PARTICIPANT_KIND, turn, left))
    .. '],"groups":[' .. (groups or touched_json(s, storage_record.GROUP_KIND, turn, left))
    .. '],"actor":' .. (given.ACTOR and text_json.quote(given.ACTOR) or 'null')
    .. ',"trace":' .. (given.TRACE and text_json.quote(given.TRACE) or 'null')
    .. (extra or '')
    .. '}}'
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
  with_bounds = with_bounds,
}
end)()

-- views/snapshot.lua
local views_snapshot = (function()
-- The snapshot of a session: its hash, which an exported state has as `internal`. A session that is restored
-- from it goes on exactly as the exported one would have. A snapshot may be damaged, so a restore first
-- checks everything that other modules rely on.

local MOST_DIGITS = 14 -- times and counts of the library are shorter
local MOST_NUMBER = 10 ^ MOST_DIGITS - 1
-- The phase of each status. Open: not started; live: with an active participant; closed: finished.
local STATUSES = { pending = 'open', running = 'live', paused = 'live', expired = 'closed',
  completed = 'closed', cancelled = 'closed' }
local MOST_WARNINGS = 8

-- The member of an exported state that sk_restore needs: the hash, and the server time at which it was read.
local function internal(s, fields)
  local parts = {}
  for name, value in pairs(fields) do
    parts[#parts + 1] = text_json.quote(name) .. ':' .. text_json.quote(value)
  end
  return string.format(',"internal":{"exported_ms":%d,"fields":{%s}}', s.now, table.concat(parts, ','))
end

-- Whether a text is a number from 0, as the library writes it: `0`, `42`, but not `042`.
local function is_number(text)
  return text ~= nil and #text <= MOST_DIGITS and (text == '0' or text:find('^[1-9]%d*$') ~= nil)
end

local function may_be_number(text)
  return text == nil or is_number(text)
end

-- Whether a text is a number, which may have a minus.
local function is_signed(text)
  return is_number(text) or (text:sub(1, 1) == '-' and text ~= '-0' and is_number(text:sub(2)))
end

-- Whether a text is compact JSON of an object that has members. added_levels: see text_json.is_strict.
local function is_object(text, added_levels)
  return text ~= nil and text:sub(1, 2) == '{"' and text_formats.characters(text) ~= nil
    and text_json.is_strict(text, added_levels) and text_json.compact(text) == text
end

local function is_index(text)
  return is_number(text) and #text <= 3
end

-- Whether a text is a record. control: the text of its control, nil for a record without a clock.
local function is_record(text, control)
  local bank, used, cycles, expired, view = (text or ''):match(storage_record.RECORD)
  if not (bank and (expired == '0' or expired == '1') and is_signed(bank) and is_number(used)
    and is_number(cycles)) then
    return false
  end
  local decoded = control and controls.decode(control)
  if tonumber(bank) < -(decoded and decoded.overtime or 0) then
    return false
  elseif not (decoded and decoded.view_names) then
    return view == ''
  end
  return controls.is_view(view, decoded, tonumber(bank))
end

-- Whether a text is the fixed JSON of a participant or a group. make(control) makes that JSON.
local function is_fixed_json(text, make)
  local control = (text or ''):match('"time_control":(.*)}$')
  return control and (control == 'null' or is_object(control)) and make(control) == text
end

-- Whether record and control of a participant or a group are sound. field: the field of the record; owns:
-- whether it owns a clock; default: the control of the session.
local function is_owner(fields, field, owns, compensated, default)
  local control = fields['c:' .. field]
  if not owns then
    return control == nil and is_record(fields[field], nil)
  elseif control == nil then
    return (not compensated or controls.decode(default).endless)
      and not storage_record.has_own_control(fields[field .. ':shown']) and is_record(fields[field], default)
  elseif not controls.is_packed(control) then
    return false
  end
  local decoded = controls.decode(control)
  return (decoded.gain > 0) == (compensated and not decoded.endless) and is_record(fields[field], control)
end

-- Whether the fields of all participants are sound. Adds each participant with a group to the list of that
-- group in `members`, and the names of its fields to `known`. rules: see is_sound.
local function are_participants(fields, rules, members, known)
  for index = 0, #fields.rotation - 1 do
    local field = storage_record.participant_field(index)
    local fixed_json = fields[field .. ':shown']
    if fields.rotation:sub(index + 1, index + 1) == '_' then
      if fields[field] then
        return false
      end
    else
      local id, group_id = (fixed_json or ''):match(storage_record.PARTICIPANT_IDS)
      if not (id and text_formats.uuid(id) == id and fields['i:' .. id] == text_formats.integer(index)) then
        return false
      end
      if group_id == 'null' then
        if rules.mode.by_group then
          return false
        end
        group_id = nil
      elseif not members[group_id] then
        return false
      else
        table.insert(members[group_id], text_formats.integer(index))
      end
      local function make(control)
        return storage_record.participant_fixed_json(id, index, group_id, control)
      end
      if not (is_fixed_json(fixed_json, make)
        and is_owner(fields, field, rules.mode.owner == 'participant', rules.compensated, rules.control)) then
        return false
      end
      known[field], known[field .. ':shown'] = true, true
      known['i:' .. id], known['c:' .. field] = true, true
    end
  end
  return true
end

-- Whether the fields of all groups are sound, except the lists of their members. Adds an empty list for each
-- group to `members`, and the names of all its fields to `known`.
local function are_groups(fields, rules, members, known)
  for id in (fields.groups or ''):gmatch('[^,]+') do
    local field = 'g:' .. id
    local last = fields['l:' .. id]
    local function make(control)
      return storage_record.group_fixed_json(id, control)
    end
    if not (text_formats.uuid(id) == id and not members[id] and is_fixed_json(fields[field .. ':shown'], make)
      and is_owner(fields, field, rules.mode.owner == 'group', rules.compensated, rules.control)
      and (last == nil or last == '-1' or is_index(last))) then
      return false
    end
    members[id] = {}
    known[field], known[field .. ':shown'], known['c:' .. field] = true, true, true
    known['m:' .. id], known['l:' .. id] = true, true
  end
  return true
end

-- Whether the stored members of each group are the participants that name this group.
local function are_members(fields, members)
  for id, list in pairs(members) do
    if fields['m:' .. id] ~= (#list > 0 and ',' .. table.concat(list, ',') .. ',' or ',') then
      return false
    end
  end
  return true
end

-- Whether the rotation agrees with the records: the owner of an expired clock is out, and all others have a
-- turn. Once the session is closed, both are possible for all of them.
local function is_rotation(fields, rules, members, phase)
  local places = {}
  if rules.mode.by_group then
    for id, list in pairs(members) do
      for i = 1, #list do
        places[tonumber(list[i])] = i == 1 and 'g:' .. id or '.'
      end
    end
  end
  for index = 0, #fields.rotation - 1 do
    local character = fields.rotation:sub(index + 1, index + 1)
    local place = places[index] or storage_record.participant_field(index)
    local expected
    if place == '.' then
      expected = '.'
    elseif character ~= '_' then
      local may_be_out = rules.mode.owner == 'participant' or rules.mode.owner == 'group'
      local is_out = may_be_out and rules.action ~= 'notify' and storage_record.is_expired(fields[place])
      expected = is_out and 'x' or '1'
    end
    if expected and expected ~= character and (phase ~= 'closed' or expected == '.' or character == '.') then
      return false
    end
  end
  return true
end

-- Whether the active participant, or its group, has a turn in the rotation.
local function has_turn(fields, rules, members, active)
  local index = tonumber(active)
  if rules.mode.by_group then
    for _, list in pairs(members) do
      for i = 1, #list do
        if list[i] == active then
          index = tonumber(list[1])
        end
      end
    end
  end
  return fields.rotation:sub(index + 1, index + 1) == '1'
end

-- Whether a text is a list of thresholds as the config makes it, such as `30000,10000`, and `flags` has a
-- digit for each.
local function are_warnings(warnings, flags)
  local count, before = 0, call_options.DAY_MS + 1
  for text in (warnings .. ','):gmatch('([^,]*),') do
    if not (is_number(text) and tonumber(text) >= 1 and tonumber(text) < before) then
      return false
    end
    count, before = count + 1, tonumber(text)
  end
  return count <= MOST_WARNINGS and #flags == count
end

-- Whether the optional parts of `cycle` are sound, see storage/session.lua. elapsed: for how many ms the
-- cycle has run.
local function are_optional_parts(more, elapsed, rules)
  local offset, spent, warnings_since, from, flags, left, rest
  if more:find('^ /') then
    offset, spent, rest = more:match('^ /(%d+) [01] (%d+)(.*)$')
    if not (is_number(offset) and is_number(spent) and tonumber(offset) <= elapsed) then
      return false
    end
    more = rest
  end
  if rules.warnings ~= '-' then
    warnings_since, from, flags, rest = more:match('^ !(%d+) (%-?%d+) ([01]+)(.*)$')
    if not (is_number(warnings_since) and is_signed(from) and are_warnings(rules.warnings, flags)) then
      return false
    end
    more = rest
  end
  if rules.mode_name == 'global' and rules.mode.owner == 'cycle' and more ~= '' then
    left, more = more:match('^ =(%d+)(.*)$')
    if not is_number(left) then
      return false
    end
  end
  return more == ''
end

-- Whether a text is the list of remembered requests, see storage/requests.lua.
local function are_requests(text)
  local count, lines = text:match('^([01]%d)\n(.*)$')
  local found = 0
  for line in (lines or ''):gmatch('([^\n]*)\n') do
    if not is_number(line:match('^%S+ sk_%l+ (%d+)$')) then
      return false
    end
    found = found + 1
  end
  return lines ~= nil and found == tonumber(count) and found <= storage_requests.MOST_REQUESTS
    and (lines == '' or lines:sub(-1) == '\n')
end

-- Whether a text is the part of the state that never changes. A participant that joins later takes
-- increment_ms and max_time_ms from it.
local function is_config(members)
  local text = '{' .. (members or '') .. '}'
  if not is_object(text, 1) then
    return false
  end
  local is_json, decoded = pcall(cjson.decode, text)
  if not is_json then -- half of a surrogate pair, which strict JSON may have but cjson refuses
    return false
  end
  local function within(name, least, most)
    local number = decoded[name]
    return number == nil or number == cjson.null or (type(number) == 'number' and number % 1 == 0
      and number >= least and number <= most)
  end
  return within('increment_ms', 0, 60000) and within('max_time_ms', 1000, call_options.DAY_MS)
end

local NUMBERS = { 'started', 'completed', 'recovered', 'total', 'max_pause' }

-- Whether `fields` is the hash of a session. exported_ms: the server time at which it was read.
local function is_sound(fields, exported_ms)
  for name, value in pairs(fields) do
    if type(name) ~= 'string' or type(value) ~= 'string' then
      return false
    end
  end
  for i = 1, #NUMBERS do
    if not may_be_number(fields[NUMBERS[i]]) then
      return false
    end
  end
  local active, since, alarm, used, count, changed, more = (fields.cycle or ''):match(storage_session.CYCLE)
  local mode_name, ttl, action, compensated, cycle_ms, warnings, control =
    (fields.rules or ''):match(storage_session.RULES)
  local phase = STATUSES[fields.status or '']
  if type(exported_ms) ~= 'number' or exported_ms % 1 ~= 0 or exported_ms < 0
    or exported_ms > MOST_NUMBER then
    return false
  elseif not (active and control and phase
    and is_number(fields.version) and is_number(fields.epoch) and is_number(fields.created)
    and is_number(since) and is_number(alarm) and is_number(used) and is_number(count)
    and is_number(changed)) then
    return false
  elseif not (modes.MODES[mode_name] and storage_session.ACTIONS[action]
    and is_number(ttl) and tonumber(ttl) >= 1000 and tonumber(ttl) <= 31536000000
    and (compensated == '0' or compensated == '1')
    and is_number(cycle_ms) and tonumber(cycle_ms) <= call_options.DAY_MS) then
    return false
  elseif not (is_object(fields.action) and is_config(fields.shown)
    and (fields.rotation or ''):find('^[1x._]+$') and #fields.rotation <= 1000
    and fields.rotation:sub(-1) ~= '_') then
    return false
  elseif active ~= '-1' and not (is_index(active) and fields['p' .. active]) then
    return false
  elseif phase ~= 'open' and (phase == 'live') ~= (active ~= '-1') then
    return false
  elseif phase ~= 'closed' and not fields.rotation:find('1', 1, true) then
    return false
  end

  local mode = modes.named(mode_name, cycle_ms)
  local rules = { mode = mode, mode_name = mode_name, action = action, compensated = compensated == '1',
    warnings = warnings, control = control }
  local elapsed = 0
  if phase == 'live' then
    elapsed = fields.status == 'running' and exported_ms - since or tonumber(since)
    if elapsed < 0 or elapsed > exported_ms - fields.created then
      return false
    end
  end
  if mode.owner == 'participant' or mode.owner == 'group' then
    if fields.clock or not controls.is_packed(control) then
      return false
    end
  elseif not (control == 'fischer 0 0' or (control == 'none 0' and mode.counts_up))
    or not is_record(fields.clock, nil) then
    return false
  end
  local members, known = {}, {
    status = true, version = true, epoch = true, cycle = true, rules = true, rotation = true, clock = true,
    groups = true, shown = true, action = true, total = true, max_pause = true, created = true,
    started = true, completed = true, recovered = true, expired_by = true, tenant = true, requests = true,
  }
  if not (are_optional_parts(more, elapsed, rules) and are_groups(fields, rules, members, known)
    and are_participants(fields, rules, members, known)
    and are_members(fields, members) and is_rotation(fields, rules, members, phase)
    and (phase ~= 'live' or has_turn(fields, rules, members, active))) then
    return false
  end
  for name in pairs(fields) do
    if not known[name] then
      return false
    end
  end
  return (fields.tenant == nil or text_formats.characters(fields.tenant) ~= nil)
    and (fields.expired_by == nil or text_formats.uuid(fields.expired_by) ~= nil)
    and (fields.requests == nil or are_requests(fields.requests))
end

return {
  MOST_NUMBER = MOST_NUMBER,
  internal = internal,
  is_sound = is_sound,
}
end)()

-- views/state.lua
local views_state = (function()
-- The whole state of a session as JSON.

local RECOVERED = 'restored after the server lost it; the time of the outage was charged to nobody'

local function integer_or_null(number)
  return number and text_formats.integer(number) or 'null'
end

local function timestamp(ms)
  return ms and '"' .. text_formats.iso(tonumber(ms)) .. '"' or 'null'
end

-- The JSON of all participants and the JSON of all groups, with commas between them. fields: the whole hash.
local function build_owners(s, fields, turn)
  local left = views_record.running_left(s, turn)
  local function add(list, field)
    local text = fields[field]
    if text then
      local record = s[field] or storage_record.decode(s, field, text, fields[field .. ':shown'])
      list[#list + 1] = views_record.build(s, record, turn, left)
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

-- The JSON of the state.
--
-- s                     a loaded session; all its changes have to be written already
-- export                true adds `internal`, which sk_restore needs
-- participants, groups  their JSON where the caller has built it; else nil
local function build(s, export, participants, groups)
  local integer = text_formats.integer
  local fields = storage_session.all_fields(s.key)
  local turn = transitions_cycle.current_turn(s)
  local left = views_record.running_left(s, turn)
  if not participants then
    add_now(s, turn)
    participants, groups = build_owners(s, fields, turn)
  end
  local participant_id, group_id = views_record.active_ids(turn)
  local live = turn and rules_clock.is_live(s)
  local own_clock = fields.clock and storage_record.load(s, 'clock')
  local total, maximum = fields.total or 'null', nil
  if s.mode.counts_up then
    maximum = not own_clock.control.endless and integer(s.used + own_clock.bank) or 'null'
  elseif s.mode.owner == 'session' then
    total = integer(own_clock.bank)
  end
  return '{"session_id":"' .. storage_keys.session_id(s.key)
    .. '","status":"' .. s.status
    .. '","version":' .. integer(s.version)
    .. ',"epoch":"' .. s.epoch
    .. '","schema":' .. integer(storage_session.SCHEMA)
    .. ',"participants":[' .. participants
    .. '],"groups":[' .. groups
    .. '],"active_participant_id":' .. participant_id
    .. ',"active_group_id":' .. group_id
    .. ',"total_time_ms":' .. total
    .. ',' .. fields.shown
    .. (maximum and ',"max_time_ms":' .. maximum or '')
    .. ',"time_used_ms":' .. integer(s.used)
    .. ',"time_remaining_ms":' .. (left or 'null')
    .. ',"total_remaining_ms":' .. integer_or_null(s.total_left and rules_clock.total_remaining(s))
    .. ',"cycle_count":' .. integer(s.count)
    .. ',"cycle_elapsed_ms":' .. integer_or_null(live and rules_clock.elapsed(s))
    .. ',"cycle_started_at":' .. (s.status == 'running' and timestamp(s.since) or 'null')
    .. ',"deadline_ms":' .. integer_or_null(turn and rules_clock.deadline(s, turn.owner))
    .. ',"resumes_at_ms":' .. integer_or_null(s.status == 'paused' and s.resumes)
    .. ',"session_started_at":' .. timestamp(fields.started)
    .. ',"session_completed_at":' .. timestamp(fields.completed)
    .. ',"created_at":' .. timestamp(fields.created)
    .. ',"updated_at":' .. timestamp(storage_session.changed_at(fields.cycle))
    .. ',"server_time_ms":' .. integer(s.now)
    .. ',"tenant_id":' .. (fields.tenant and text_json.quote(fields.tenant) or 'null')
    .. ',"recovered":' .. (fields.recovered and 'true' or 'false')
    .. ',"recovered_at":' .. timestamp(fields.recovered)
    .. ',"warning":' .. (fields.recovered and '"' .. RECOVERED .. '"' or 'null')
    .. (export and views_snapshot.internal(s, fields) or '')
    .. '}'
end

return {
  build_owners = build_owners,
  build = build,
}
end)()

-- functions/open.lua
local functions_open = (function()
-- The checks that functions share. They come in this order: arguments, KEYS, whether the session exists and
-- belongs to the tenant, REQUEST, EPOCH, VERSION. After them each function makes its own: status, CURRENT,
-- NEXT, and whether the time is up. All checks come before the first write.

local NONE = call_options.NONE

-- Both lists of problems as one; nil when there are no problems.
local function join_problems(first, second)
  if not first or #first == 0 then
    return second
  end
  for i = 1, second and #second or 0 do
    first[#first + 1] = second[i]
  end
  return first
end

-- Whether the session belongs to the tenant of the call. A call without TENANT may use all sessions.
local function is_tenant(s, given)
  return not given.TENANT or storage_session.field(s, 'tenant') == given.TENANT
end

-- The reply to a repeated request, which made `version` at first: the same change again, or a refusal.
local function replay(s, version, same_function)
  if not same_function then
    return call_refusal.validation({ { 'REQUEST', 'was used for another function' } })
  end
  local event = storage_events.of_version(s.keys[2], version)
  if not event then
    return call_refusal.refuse('CONCURRENT_MODIFICATION',
      'this request was carried out, and its event is not in the log any more',
      string.format('{"actual_version":%d}', s.version))
  end
  return event:sub(1, -2) .. ',"replayed":true}'
end

-- The session of these keys, loaded; or nil and, when it is moving, what this server has of it. A session
-- that was held for a move goes on here when the time of that has passed.
local function find(keys)
  local s = storage_session.load(keys)
  if s then
    return s
  end
  local moving = storage_moving.read(keys[1])
  if moving and moving.step == 'held' and storage_time.now() >= moving.till then
    storage_moving.release(keys[1], moving)
    s = storage_session.load(keys)
    storage_alarms.correct(s)
    return s
  end
  return nil, moving
end

-- The refusal of a call for a moving session; nil when the session is another tenant's.
local function refusal_of(moving, given)
  if given.TENANT and given.TENANT ~= moving.tenant then
    return nil
  elseif moving.step == 'gone' then
    return call_refusal.moved(moving.target, moving.move)
  end
  return call_refusal.moving()
end

-- Makes the checks and loads the session of a function that changes it. problems: those of the arguments, nil
-- for none. Returns the session; or nil and the reply, which is nil when there is no such session. When the
-- session is moving, what this server has of it comes third.
local function open(function_name, keys, given, problems)
  if problems then
    return nil, call_refusal.validation(join_problems(problems, storage_keys.problems_of(keys, 4)))
  end
  local s, moving
  if storage_keys.belong_together(keys) then
    s, moving = find(keys)
  end
  if not s then
    problems = storage_keys.problems_of(keys, 4)
    if problems then
      return nil, call_refusal.validation(problems)
    end
    return nil, moving and refusal_of(moving, given), moving
  end
  if given == NONE then
    return s
  end
  if not is_tenant(s, given) then
    return nil, nil
  end
  if given.REQUEST then
    given.function_name = function_name
    local version, same_function = storage_requests.find(s, given.REQUEST, function_name)
    if version then
      return nil, replay(s, version, same_function)
    end
  end
  local epoch, version = given.EPOCH, given.VERSION
  if (epoch and epoch ~= s.epoch)
    or (version and (version > s.version or version < s.version - (s.warnings_since or 0))) then
    return nil, call_refusal.moved_on(s, version, epoch)
  end
  return s
end

-- Makes the checks and loads the session of a function that only reads. key_count: how many keys the function
-- takes. Returns the session; or nil and the refusal. A session that is held for a move can be read.
local function open_to_read(keys, key_count, given, problems)
  problems = join_problems(problems, storage_keys.problems_of(keys, key_count))
  if problems then
    return nil, call_refusal.validation(problems)
  end
  local s = storage_session.load(keys)
  local moving = not s and storage_moving.read(keys[1])
  if moving and moving.step == 'held' then
    s = storage_session.load(keys, moving.rotation)
  elseif moving then
    return nil, refusal_of(moving, given) or call_refusal.session_not_found()
  end
  if not s or not is_tenant(s, given) then
    return nil, call_refusal.session_not_found()
  end
  return s
end

return {
  join_problems = join_problems,
  is_tenant = is_tenant,
  replay = replay,
  find = find,
  refusal_of = refusal_of,
  open = open,
  open_to_read = open_to_read,
}
end)()

-- functions/commit.lua
local functions_commit = (function()
-- Writes a change and publishes it. The caller has checked everything before, because Redis does not undo the
-- writes of a function that fails.

-- Writes and publishes the change that was made to `s` in memory. Returns the JSON of the event; or the error
-- of a key that has another type, and then nothing is written.
--
-- turn, event, extra      as a transition returns them, see transitions/cycle.lua
-- given                   the call's options; with REQUEST also `function_name`
-- participants, groups    their JSON; nil: the event shows only the touched ones
local function commit(s, turn, event, given, extra, participants, groups)
  local ends
  if turn and s.status == 'running' then
    ends = rules_clock.deadline(s, turn.owner)
  end
  storage_session.continue_on_this_server(s)
  local alarm_before = s.alarm
  s.version = s.version + 1
  if s.warned then
    s.warnings_since = event == 'time.warning' and s.warnings_since + 1 or 0
  end
  if ends then
    s.alarm = rules_clock.alarm(s, turn.owner, ends)
  else
    s.alarm = s.status == 'paused' and s.resumes or 0
  end
  if s.resumes or s.total_left then
    extra = views_event.with_bounds(s, extra)
  end

  -- Numbers become text here, once for both the event and the hash.
  local record = s.first_touched
  while record do
    if record.dirty then
      storage_record.format_numbers(record)
    end
    record = record.next_touched
  end
  local integer = text_formats.integer
  local id = storage_keys.session_id(s.key)
  local version, now, deadline = integer(s.version), integer(s.now), ends and integer(ends)
  local alarm = s.alarm == ends and deadline or integer(s.alarm)
  s.used, s.count = integer(s.used), integer(s.count)

  local text = views_event.build(
    s, turn, event, given, extra, id, version, now, deadline, participants, groups)
  if given.REQUEST then
    storage_requests.remember(s, given.REQUEST, given.function_name, version)
  end

  -- The alarms and the outbox are written first: when another program has put a value of another type there,
  -- the write fails. The hash cannot fail, because this call has read it.
  if s.alarm ~= alarm_before then
    local failed = storage_alarms.set(s, id, alarm, alarm_before)
    if failed then
      return failed
    end
  end
  local failed = storage_events.add_to_outbox(s, id, text)
  if failed then
    if s.alarm ~= alarm_before then
      s.alarm = alarm_before
      storage_alarms.set(s, id, integer(alarm_before), alarm_before)
    end
    return failed
  end
  storage_events.append_to_log(s, version, text)
  storage_session.save(s, version, now, alarm)
  storage_session.prolong(s, ends)
  storage_events.publish(s, text)
  return text
end

-- Deletes the session, leaves its tombstone and publishes the event. turn: whose turn it was. Returns nil; or
-- the error of an outbox that is no stream, and then nothing is written.
local function commit_deletion(s, turn, given)
  storage_session.continue_on_this_server(s)
  local integer = text_formats.integer
  local ends = turn and rules_clock.deadline(s, turn.owner)
  local version, now, deadline = integer(s.version + 1), integer(s.now), ends and integer(ends)
  local extra = views_event.with_bounds(s)
  local id = storage_keys.session_id(s.key)
  local text = views_event.build(
    s, turn, 'session.deleted', given, extra, id, version, now, deadline, '', '')
  local failed = storage_events.add_to_outbox(s, id, text)
  if failed then
    return failed
  end
  storage_alarms.remove_if_possible(s.keys)
  storage_session.replace_by_tombstone(s, version)
  storage_events.publish(s, text)
end

return {
  commit = commit,
  commit_deletion = commit_deletion,
}
end)()

-- functions/transitions.lua
local functions_transitions = (function()
-- The functions that carry out a transition. All of them have in common
--
-- KEYS[1-4]  the session, its log, the alarms, the outbox
-- ARGV       the function's own arguments; then options as `NAME value` in any order: its own, and the
--            common ones TENANT t, VERSION n, EPOCH e, ACTOR a, TRACE t, REQUEST id
-- Reply      change (JSON)
-- Refusals   VALIDATION_ERROR, SESSION_NOT_FOUND, and CONCURRENT_MODIFICATION for VERSION, for EPOCH, and for
--            a repeated REQUEST whose event the log does not have any more
--
-- The block above each function adds its own.
--
-- When the time is up, or a pause has lasted for max_pause_ms, then switch, pause, resume, adjust and leave
-- carry out the expiry or the end of the pause instead of their own change, and publish the same event as
-- sk_expire.

local NONE = call_options.NONE
local COMMON = call_options.COMMON
local ADJUST = { PARTICIPANT = true, GROUP = true, SET = true, ADD = true, WITHIN = true, REASON = true }
local SWITCH = { NEXT = true, CURRENT = true, LAG = true }

-- Makes the callback of a function that carries out a transition.
--
-- rule(s, given, value)     the transition, a function of transitions/
-- own                       the names of its own options
-- parse_first(text)         turns its first argument into `value`, or returns nil and problems; nil for a
--                           function without arguments
-- options_problems(given)   the problems of options that are valid alone but not together; nil for none
local function transition(function_name, rule, own, parse_first, options_problems)
  return function(keys, args)
    local given, problems, value
    if parse_first then
      local first_problems
      value, first_problems = parse_first(args[1])
      given, problems = call_options.parse(args, 2, own, COMMON)
      problems = functions_open.join_problems(first_problems, problems)
    else
      given, problems = call_options.parse(args, 1, own, COMMON)
    end
    if options_problems and not problems then
      problems = options_problems(given)
    end
    local s, reply = functions_open.open(function_name, keys, given, problems)
    if not s then
      return reply or call_refusal.session_not_found()
    end
    local turn, event, extra = rule(s, given, value)
    if not event then
      return extra -- a refusal, or nil when there is nothing to do
    end
    return functions_commit.commit(s, turn, event, given, extra)
  end
end

-- sk_start 4 <keys> [options]
--
-- pending -> running. The config's active_participant_id becomes active, or else the first participant in
-- rotation.
--
-- Refusals   INVALID_SESSION_STATE
-- Publishes  session.started
redis.register_function({
  function_name = 'sk_start',
  callback = transition('sk_start', transitions_lifecycle.start, NONE),
  description = 'Starts a pending session. Replies with the change.',
})

-- sk_switch 4 <keys> [NEXT pid] [CURRENT pid] [LAG ms] [options]
--
-- Ends the running cycle, charges and credits its clock, and begins the cycle of NEXT, or else of the next
-- participant in rotation. With CURRENT it is refused unless this participant is active. LAG is the network
-- delay that the server measured.
--
-- Refusals   INVALID_SESSION_STATE, CONCURRENT_MODIFICATION (CURRENT), PARTICIPANT_NOT_FOUND,
--            PARTICIPANT_EXPIRED
-- Publishes  cycle.switched
redis.register_function({
  function_name = 'sk_switch',
  callback = transition('sk_switch', transitions_lifecycle.switch, SWITCH),
  description = 'Ends the running cycle and begins the next one. Replies with the change.',
})

-- sk_pause 4 <keys> [options]
--
-- running -> paused, for as long as max_pause_ms allows. Nothing is charged.
--
-- Refusals   INVALID_SESSION_STATE
-- Publishes  session.paused
redis.register_function({
  function_name = 'sk_pause',
  callback = transition('sk_pause', transitions_lifecycle.pause, NONE),
  description = 'Stops the running clock. Replies with the change.',
})

-- sk_resume 4 <keys> [options]
--
-- paused -> running, in the same cycle of the same participant.
--
-- Refusals   INVALID_SESSION_STATE
-- Publishes  session.resumed
redis.register_function({
  function_name = 'sk_resume',
  callback = transition('sk_resume', transitions_lifecycle.resume, NONE),
  description = 'Lets a paused session go on. Replies with the change.',
})

local function close_as(status)
  return function(s)
    return transitions_lifecycle.close(s, status)
  end
end

-- sk_complete 4 <keys> [options]
--
-- pending, running or paused -> completed. The running cycle is charged and counted, not credited.
--
-- Refusals   INVALID_SESSION_STATE
-- Publishes  session.completed
redis.register_function({
  function_name = 'sk_complete',
  callback = transition('sk_complete', close_as('completed'), NONE),
  description = 'Ends a session as completed. Replies with the change.',
  flags = { 'allow-oom' },
})

-- sk_cancel 4 <keys> [options]
--
-- pending, running or paused -> cancelled. The running cycle is charged and counted, not credited.
--
-- Refusals   INVALID_SESSION_STATE
-- Publishes  session.cancelled
redis.register_function({
  function_name = 'sk_cancel',
  callback = transition('sk_cancel', close_as('cancelled'), NONE),
  description = 'Ends a session as cancelled. Replies with the change.',
  flags = { 'allow-oom' },
})

-- The problems of the options of sk_adjust together.
local function adjust_problems(given)
  local problems
  if given.PARTICIPANT and given.GROUP then
    problems = { { 'GROUP', 'cannot go with PARTICIPANT' } }
  end
  if (given.SET == nil) == (given.ADD == nil) then
    problems = functions_open.join_problems(problems, { { 'SET', 'or ADD is required, one of them' } })
  end
  return problems
end

-- sk_adjust 4 <keys> [PARTICIPANT pid | GROUP gid] SET ms | ADD ms [WITHIN ms] [REASON text] [options]
--
-- Gives time to a clock, or takes time from it. The mode says how the clock is named: by its participant, by
-- its group, or not at all when the session or the cycle owns it. With WITHIN nothing changes unless less
-- than this is left.
--
-- Reply      change (JSON); nil when not less than WITHIN is left
-- Refusals   INVALID_SESSION_STATE, PARTICIPANT_NOT_FOUND
-- Publishes  time.adjusted
redis.register_function({
  function_name = 'sk_adjust',
  callback = transition('sk_adjust', transitions_adjust.adjust, ADJUST, nil, adjust_problems),
  description = 'Gives time to a clock, or takes it. '
    .. 'Replies with the change, or nil when not less than WITHIN is left.',
})

local function parse_participant(text)
  if not text then
    return nil, { { 'participant', 'is required' } }
  end
  return config_participants.check_participant(text)
end

local function join(s, _, participant)
  return transitions_membership.join(s, participant)
end

-- sk_join 4 <keys> <participant> [options]
--
-- Adds a participant to a pending, running or paused session. Without participant_index it comes last in the
-- rotation.
--
-- ARGV[1]    participant (JSON), as in the config
-- Refusals   INVALID_SESSION_STATE
-- Publishes  participant.added
redis.register_function({
  function_name = 'sk_join',
  callback = transition('sk_join', join, NONE, parse_participant),
  description = 'Adds a participant. Replies with the change.',
})

local function parse_id(text)
  local id = text and text_formats.uuid(text)
  if id then
    return id
  end
  return nil, { { 'participant_id', 'must be a UUID' } }
end

local function leave(s, _, id)
  return transitions_membership.leave(s, id)
end

-- sk_leave 4 <keys> <participant id> [options]
--
-- Removes a participant. When the active participant leaves, the next cycle begins in the same event.
--
-- ARGV[1]    the id of the participant
-- Refusals   INVALID_SESSION_STATE, PARTICIPANT_NOT_FOUND
-- Publishes  participant.removed
redis.register_function({
  function_name = 'sk_leave',
  callback = transition('sk_leave', leave, NONE, parse_id),
  description = 'Removes a participant. Replies with the change.',
})

return {}
end)()

-- functions/create.lua
local functions_create = (function()
-- sk_create: a new session.

local NONE = call_options.NONE
local CREATE = { TTL = true, TENANT = true, ACTOR = true, TRACE = true, REQUEST = true }
local DEFAULT_TTL_S = 3600

-- The reply when the id is taken: a refusal, or the state when the same request created the session.
local function reply_of_taken(keys, given)
  local s, moving = functions_open.find(keys)
  if moving then
    local refused = functions_open.refusal_of(moving, given)
    if refused then
      return refused
    end
  end
  if s and given.REQUEST and functions_open.is_tenant(s, given) then
    local version, same_function = storage_requests.find(s, given.REQUEST, 'sk_create')
    if version and not same_function then
      return functions_open.replay(s, version, false)
    elseif version == 1 then
      return views_state.build(s):sub(1, -2) .. ',"replayed":true}'
    end
  end
  return call_refusal.refuse('SESSION_EXISTS', 'there is a session with this id')
end

-- sk_create 4 <keys> <config> [TTL s] [TENANT t] [ACTOR a] [TRACE t] [REQUEST id]
--
-- Creates a pending session. The id of a deleted session may be used again, and gets another epoch.
--
-- KEYS[1-4]  the session, its log, the alarms, the outbox
-- ARGV[1]    config (JSON), see config.lua
-- Reply      state (JSON)
-- Refusals   VALIDATION_ERROR, SESSION_EXISTS, CONCURRENT_MODIFICATION
-- Publishes  session.created
local function create(keys, args)
  local given, problems = call_options.parse(args, 2, CREATE, NONE)
  local key_problems = storage_keys.problems_of(keys, 4)
  local now = storage_time.now()
  local fields, config_problems
  if not args[1] then
    problems = functions_open.join_problems({ { 'config', 'is required' } }, problems)
  else
    local id = keys[1] and storage_keys.session_id(keys[1]) or ''
    fields, config_problems = config.check(args[1], id, given.TTL or DEFAULT_TTL_S, now)
    problems = functions_open.join_problems(config_problems, problems)
  end
  problems = functions_open.join_problems(problems, key_problems)
  if problems then
    return call_refusal.validation(problems)
  end
  local key = keys[1]
  local status_before, epoch_before = storage_session.previous(key)
  if status_before and status_before ~= 'deleted' then
    return reply_of_taken(keys, given)
  end

  local function add(name, value)
    fields[#fields + 1] = name
    fields[#fields + 1] = value
  end
  add('status', 'pending')
  add('version', '0')
  add('epoch', storage_session.new_epoch(now, epoch_before))
  add('created', text_formats.integer(now))
  if given.TENANT then
    add('tenant', given.TENANT)
  end
  storage_session.write_new(keys, fields)
  local s = storage_session.load(keys)
  local turn = transitions_cycle.current_turn(s)
  local participants, groups = views_state.build_owners(s, storage_session.all_fields(key), turn)
  given = given == NONE and {} or given
  given.function_name = 'sk_create'
  local change = functions_commit.commit(s, turn, 'session.created', given, nil, participants, groups)
  if type(change) == 'table' then -- an error
    storage_session.discard(key)
    return change
  end
  return views_state.build(s, false, participants, groups)
end

redis.register_function({
  function_name = 'sk_create',
  callback = create,
  description = 'Creates a session from a config. Replies with its state.',
})

return {}
end)()

-- functions/import.lua
local functions_import = (function()
-- sk_import: a session that was kept elsewhere goes on here.

local NONE = call_options.NONE
local IMPORT = { TTL = true, TENANT = true, ACTOR = true, TRACE = true, DRYRUN = true }
local DEFAULT_TTL_S = 3600

-- The hash of the session by name, and the problems with the arguments; nil for none of either.
local function read(keys, args, given, now)
  local id = keys[1] and storage_keys.session_id(keys[1]) or ''
  local list, problems = config.check(args[1] or '', id, given.TTL or DEFAULT_TTL_S, now)
  if not list then
    return nil, problems
  end
  local fields = {
    version = '0', epoch = storage_session.new_epoch(now), tenant = given.TENANT,
  }
  for i = 1, #list, 2 do
    fields[list[i]] = list[i + 1]
  end
  problems = config_standing.apply(args[2] or '', fields, now)
  if #problems == 0 and not views_snapshot.is_sound(fields, now) then
    problems[1] = { 'standing', 'must be one in which a session of this config can be' }
  end
  return fields, problems
end

-- sk_import 4 <keys> <config> <standing> [TTL s] [TENANT t] [ACTOR a] [TRACE t] [DRYRUN]
--
-- Creates a session that is under way or over: it has the config, and stands where the standing says. Its
-- clock runs on from the start of its cycle, so nobody loses or gains time. With DRYRUN everything is checked
-- and nothing is written.
--
-- KEYS[1-4]  the session, its log, the alarms, the outbox
-- ARGV[1]    config (JSON), see config.lua
-- ARGV[2]    standing (JSON), see config/standing.lua
-- Reply      state (JSON); nil with DRYRUN
-- Refusals   VALIDATION_ERROR, SESSION_EXISTS (also for a tombstone)
-- Publishes  session.created
local function import(keys, args)
  local given, problems = call_options.parse(args, 3, IMPORT, NONE)
  local now = storage_time.now()
  local join = functions_open.join_problems
  local fields, own_problems = read(keys, args, given, now)
  problems = join(join(own_problems, problems), storage_keys.problems_of(keys, 4))
  if problems and #problems > 0 then
    return call_refusal.validation(problems)
  end
  local key = keys[1]
  if storage_session.exists(key) then
    return call_refusal.refuse('SESSION_EXISTS', 'there is a session with this id')
  elseif given.DRYRUN then
    return nil
  end

  local list = {}
  for name, value in pairs(fields) do
    list[#list + 1] = name
    list[#list + 1] = value
  end
  storage_session.write_new(keys, list)
  local s = storage_session.load(keys)
  local turn = transitions_cycle.current_turn(s)
  if turn and rules_clock.is_live(s) then
    rules_clock.warn_below(s, rules_clock.remaining(s, turn.owner), true)
  end
  local participants, groups = views_state.build_owners(s, fields, turn)
  local change = functions_commit.commit(s, turn, 'session.created', given, nil, participants, groups)
  if type(change) == 'table' then -- an error
    storage_session.discard(key)
    return change
  end
  return views_state.build(s)
end

redis.register_function({
  function_name = 'sk_import',
  callback = import,
  description = 'Creates a session that is under way or over. Replies with its state.',
})

return {}
end)()

-- functions/expire.lua
local functions_expire = (function()
-- sk_expire: what is due happens.

local NONE = call_options.NONE

-- sk_expire 4 <keys>
--
-- Carries out what is due: an expiry, the end of a pause, or one warning, the highest first. Of many calls at
-- the same time only one has an effect. When nothing is due, it corrects the session's alarm, and without a
-- session it removes the alarm: a caller that follows a wrong alarm would call for ever.
--
-- KEYS[1-4]  the session, its log, the alarms, the outbox
-- ARGV       none
-- Reply      change (JSON); nil when nothing is due or there is no session
-- Refusals   VALIDATION_ERROR
-- Publishes  time.warning, participant.expired, session.expired, session.resumed
local function expire(keys, args)
  if #args > 0 then
    return call_refusal.validation({ { args[1], 'is no option of this function' } })
  end
  local s, refused, moving = functions_open.open('sk_expire', keys, NONE, nil)
  if not s then
    local step = moving and moving.step
    if step == 'held' then
      return nil -- its alarm is the end of the hold
    elseif step == 'gone' and moving.rotation then
      return refused -- its alarm stays, so that somebody looks whether the target runs it
    elseif step or not refused then
      storage_alarms.remove(keys)
    end
    return step ~= 'gone' and refused or nil
  end
  local turn, event, extra = transitions_expiry.expire(s)
  if event then
    return functions_commit.commit(s, turn, event, NONE, extra)
  end
  storage_alarms.correct(s)
  return nil
end

redis.register_function({
  function_name = 'sk_expire',
  callback = expire,
  description = 'Carries out an expiry, the end of a pause or a warning. Replies with the change, or nil.',
  flags = { 'allow-oom' },
})

return {}
end)()

-- functions/delete.lua
local functions_delete = (function()
-- sk_delete 4 <keys> [TENANT t] [VERSION n] [EPOCH e] [ACTOR a] [TRACE t] [REQUEST id]
--
-- Deletes a session in any status. A tombstone keeps its version and its epoch for 24 hours.
--
-- KEYS[1-4]  the session, its log, the alarms, the outbox
-- ARGV       options as `NAME value` in any order
-- Reply      1; 0 when there was no session, or it is another tenant's
-- Refusals   VALIDATION_ERROR, CONCURRENT_MODIFICATION
-- Publishes  session.deleted
local function delete(keys, args)
  local given, problems = call_options.parse(args, 1, call_options.NONE, call_options.COMMON)
  local s, reply = functions_open.open('sk_delete', keys, given, problems)
  if not s then
    return reply or 0
  end
  return functions_commit.commit_deletion(s, transitions_cycle.current_turn(s), given) or 1
end

redis.register_function({
  function_name = 'sk_delete',
  callback = delete,
  description = 'Deletes a session. Replies with 1, or 0 without a session.',
  flags = { 'allow-oom' },
})

return {}
end)()

-- functions/restore.lua
local functions_restore = (function()
-- sk_restore: a session comes back from an exported state.

local NONE = call_options.NONE
local RESTORE = { TTL = true, VERSION = true, EPOCH = true }

-- Checks the arguments of a restore. Returns the fields of the exported hash, and the server time in ms at
-- which it was exported; or nil, nil and the problems.
local function check(keys, args, given, problems)
  local join = functions_open.join_problems
  local is_json, exported = pcall(cjson.decode, args[1] or '')
  local internal = is_json and type(exported) == 'table' and exported.internal
  local fields = type(internal) == 'table' and internal.fields
  if type(fields) == 'table' then
    storage_session.without_place(fields) -- a library that does not know these fields exports them
  end
  if type(fields) ~= 'table' or not views_snapshot.is_sound(fields, internal.exported_ms) then
    problems = join({ { 'state', 'must be a state from sk_get with EXPORT' } }, problems)
  elseif exported.schema ~= storage_session.SCHEMA then
    problems = join({ { 'state.schema', 'must be ' .. storage_session.SCHEMA } }, problems)
  elseif exported.session_id ~= storage_keys.session_id(keys[1] or '') then
    problems = join({ { 'state.session_id', 'must be the id of KEYS' } }, problems)
  end
  if given.EPOCH and not call_options.integer(given.EPOCH, 0, views_snapshot.MOST_NUMBER) then
    problems = join(problems, { { 'EPOCH', 'must be the epoch of a session' } })
  end
  if given.VERSION and given.VERSION > views_snapshot.MOST_NUMBER then
    problems = join(problems, { { 'VERSION', 'must be the version of a session' } })
  end
  problems = join(problems, storage_keys.problems_of(keys, 4))
  if problems then
    return nil, nil, problems
  end
  return fields, internal.exported_ms
end

-- Changes the exported fields to those of a session that goes on at `now`, as if no time had passed since the
-- export.
local function bring_forward(fields, exported_ms, now, given)
  -- Changes that came after the export may be lost, but clients have seen their versions. A client ignores a
  -- version that it has seen, so the session goes on with a higher one.
  if given.VERSION and given.VERSION > tonumber(fields.version) then
    fields.version = text_formats.integer(given.VERSION)
  end
  if given.EPOCH and tonumber(given.EPOCH) > tonumber(fields.epoch) then
    fields.epoch = given.EPOCH
  end
  local active, since, alarm, used, count, _, more = fields.cycle:match(storage_session.CYCLE)
  if fields.status == 'running' then
    since = since + now - exported_ms
  end
  local resumes = fields.status == 'paused' and tonumber(alarm) > 0 and alarm + now - exported_ms or 0
  fields.cycle = storage_session.encode_cycle(active, since, resumes, used, count, now) .. more
  fields.epoch = storage_session.new_epoch(now, fields.epoch)
  fields.recovered = string.format('%d', now)
  if given.TTL then
    fields.rules = storage_session.with_ttl(fields.rules, given.TTL * 1000)
  end
end

-- sk_restore 4 <keys> <state> [TTL s] [VERSION n] [EPOCH e]
--
-- Brings back a session that the server has lost, as it was when it was exported. No clock is charged for the
-- time in between. VERSION and EPOCH are those of the newest known event of the session: its next version is
-- higher.
--
-- KEYS[1-4]  the session, its log, the alarms, the outbox
-- ARGV[1]    a state (JSON) from sk_get with EXPORT
-- Reply      state (JSON)
-- Refusals   VALIDATION_ERROR, SESSION_EXISTS (also for a tombstone)
-- Publishes  session.recovered
local function restore(keys, args)
  local given, problems = call_options.parse(args, 2, RESTORE, NONE)
  local fields, exported_ms
  fields, exported_ms, problems = check(keys, args, given, problems)
  if not fields then
    return call_refusal.validation(problems)
  end
  local key = keys[1]
  if storage_session.exists(key) then
    return call_refusal.refuse('SESSION_EXISTS', 'there is a session with this id')
  end

  bring_forward(fields, exported_ms, math.max(storage_time.now(), exported_ms), given)
  local list = {}
  for name, value in pairs(fields) do
    list[#list + 1] = name
    list[#list + 1] = value
  end
  storage_session.write_new(keys, list)
  local s = storage_session.load(keys)
  s.alarm = 0 -- the alarms of the partition do not have this session yet
  local change = functions_commit.commit(s, transitions_cycle.current_turn(s), 'session.recovered', NONE)
  if type(change) == 'table' then -- an error
    storage_session.discard(key)
    return change
  end
  return views_state.build(s)
end

redis.register_function({
  function_name = 'sk_restore',
  callback = restore,
  description = 'Brings back a session from an exported state. Replies with its state.',
})

return { check = check }
end)()

-- functions/moving.lua
local functions_moving = (function()
-- The steps by which a session moves to another server, whose caller carries what one server says to the
-- other. In this order:
--
--   source   sk_move_out        holds the session, and replies with all that there is of it
--   target   sk_move_in         makes a copy of it, which does not run
--   source   sk_move_commit     gives the session up: from here on it is the target's; replies with the event
--   target   sk_move_activate   lets the copy run
--   source   sk_move_finish     drops what it still has, and keeps a mark that says where the session went
--
-- One write decides where the session is: that of sk_move_commit. Before it sk_move_undo takes both sides
-- back, and a hold also ends by itself; after it there is only the way forward. Each step may be repeated.
--
-- While a session is held it can be read; what changes it is refused with SESSION_MOVING, and nothing
-- expires. Its clock runs on: what falls due meanwhile is carried out afterwards, where the session then is.

local NONE = call_options.NONE
local STEP = { MOVE = true }
local OUT = { MOVE = true, TARGET = true, LEASE = true, TENANT = true }
local IN = { MOVE = true, TARGET = true, SHIFT = true }
local MOST_EVENTS = 64 -- so much of the log goes along
local INSTANTS = { 'started', 'completed', 'recovered' }

-- The problems of options that are missing; nil for none.
local function missing(given, ...)
  local problems
  for _, name in ipairs({ ... }) do
    if given[name] == nil then
      problems = problems or {}
      problems[#problems + 1] = { name, 'is required' }
    end
  end
  return problems
end

-- Reads the options from position `from` on and checks the keys of a step that has MOVE alone. Returns the
-- options; or nil and the refusal.
local function read_step(keys, args, from)
  local given, problems = call_options.parse(args, from, STEP, NONE)
  problems = functions_open.join_problems(problems, missing(given, 'MOVE'))
  problems = functions_open.join_problems(problems, storage_keys.problems_of(keys, 4))
  if problems then
    return nil, call_refusal.validation(problems)
  end
  return given
end

-- The reply of sk_move_out: the session as JSON, and the newest events of its log.
local function all_of(s, given_up)
  local reply = storage_events.newest(s.keys[2], MOST_EVENTS)
  table.insert(reply, 1, ('{"session_id":"%s","schema":%d,"given_up":%s'):format(
    storage_keys.session_id(s.key), storage_session.SCHEMA, given_up and 'true' or 'false')
    .. views_snapshot.internal(s, storage_session.all_fields(s.key)) .. '}')
  return reply
end

-- sk_move_out 4 <keys> MOVE m TARGET address LEASE ms [TENANT t]
--
-- Holds a session for a move, and replies with all that the target needs. The hold ends after LEASE; a repeat
-- begins it anew. Of a session that this move has given up already, it only replies.
--
-- KEYS[1-4]  the session, its log, the alarms, the outbox
-- ARGV       options as `NAME value` in any order: the name of the move, the address of the server to which
--            the session goes, and for how long it is held (ms)
-- Reply      list: a JSON for sk_move_in, with `given_up`; then the newest events (JSON), oldest first
-- Refusals   VALIDATION_ERROR, SESSION_NOT_FOUND, SESSION_MOVING (another move has it), SESSION_MOVED
-- Publishes  nothing
local function move_out(keys, args)
  local given, problems = call_options.parse(args, 1, OUT, NONE)
  problems = functions_open.join_problems(problems, missing(given, 'MOVE', 'TARGET', 'LEASE'))
  local s, refused, moving = functions_open.open('sk_move_out', keys, given, problems)
  local resumed = moving and moving.move == given.MOVE and moving.rotation and moving.step ~= 'copy'
  if resumed and refused then
    s = storage_session.load(keys, moving.rotation)
  elseif not s then
    return refused or call_refusal.session_not_found()
  end
  if resumed and moving.step == 'gone' then
    return all_of(s, true)
  end
  local till = storage_time.now() + given.LEASE
  local alarm_before = s.alarm
  s.alarm = till
  local failed = storage_alarms.set(
    s, storage_keys.session_id(s.key), text_formats.integer(till), alarm_before)
  if failed then
    return failed
  end
  storage_moving.hold(keys[1], given.MOVE, till, given.TARGET, s.rotation)
  return all_of(s, false)
end

-- Moves all instants of an exported hash by `shift` ms, from the source's clock to the target's. The time of
-- the creation is not moved forward, because events from before the move keep theirs. Returns false when an
-- instant would not be one of the library's any more.
local function shift_instants(fields, shift)
  local active, since, alarm, used, count, changed, more = fields.cycle:match(storage_session.CYCLE)
  if fields.status == 'running' then
    since = since + shift
  end
  if tonumber(alarm) > 0 then
    alarm = alarm + shift
  end
  changed = changed + shift
  local created = fields.created + math.min(shift, 0)
  if created < 0 or changed < 0 or tonumber(since) < 0 or changed > views_snapshot.MOST_NUMBER then
    return false
  end
  fields.cycle = storage_session.encode_cycle(active, since, alarm, used, count, changed) .. more
  fields.created = text_formats.integer(created)
  for i = 1, #INSTANTS do
    local name = INSTANTS[i]
    if fields[name] then
      fields[name] = text_formats.integer(math.max(0, fields[name] + shift))
    end
  end
  return true
end

-- The member of an event that says which server has the session from here on.
local function moved_to(moving)
  return ',"moved_to":' .. text_json.quote(moving.target)
end

-- The version of an event of this session; nil when the text is none.
local function version_of(text, session_id)
  local is_json, event = pcall(cjson.decode, text)
  return is_json and type(event) == 'table' and event.session_id == session_id and tonumber(event.version)
    or nil
end

-- The events of a text with one in each line. Returns nil when they are not those up to this version.
local function events_of(text, session_id, version)
  local events = {}
  for line in text:gmatch('[^\n]+') do
    events[#events + 1] = line
  end
  for i = 1, #events do
    if #events > MOST_EVENTS or version_of(events[i], session_id) ~= version - #events + i then
      return nil
    end
  end
  return events
end

-- sk_move_in 4 <keys> <session> <events> MOVE m TARGET address SHIFT ms
--
-- Makes a copy of a held session. It does not run, and does not expire; functions refuse it with
-- SESSION_MOVING until sk_move_activate. A copy that is there already is replaced.
--
-- KEYS[1-4]  the session, its log, the alarms, the outbox
-- ARGV[1]    the session (JSON), the first of the list that sk_move_out replied
-- ARGV[2]    the events of that list, one in each line
-- ARGV       options as `NAME value` in any order: the name of the move, the address of this server, and
--            this server's clock minus that of the source at the same moment (ms, may be below zero)
-- Reply      1; 0 when this move has brought the session here already, and it runs
-- Refusals   VALIDATION_ERROR, SESSION_EXISTS
-- Publishes  nothing
local function move_in(keys, args)
  local given, problems = call_options.parse(args, 3, IN, NONE)
  problems = functions_open.join_problems(problems, missing(given, 'MOVE', 'TARGET', 'SHIFT'))
  local fields, _, all_problems = functions_restore.check(keys, args, given, problems)
  if not fields then
    return call_refusal.validation(all_problems)
  end
  local events = events_of(args[2] or '', storage_keys.session_id(keys[1]), tonumber(fields.version))
  if not events then
    return call_refusal.validation({ { 'events', 'must be those of the session, up to its version' } })
  elseif not shift_instants(fields, given.SHIFT) then
    return call_refusal.validation({ { 'SHIFT', 'must leave all times between 1970 and the year 5138' } })
  end
  local key = keys[1]
  local moving = storage_moving.read(key)
  if moving and moving.step == 'here' and moving.move == given.MOVE then
    return 0
  elseif moving and (moving.step == 'copy' or moving.step == 'gone') then
    storage_moving.discard(keys) -- an old copy; or the mark of a session that comes back
    storage_alarms.remove_if_possible(keys)
  elseif storage_session.exists(key) then
    return call_refusal.refuse('SESSION_EXISTS', 'there is a session with this id')
  end
  local list = { 'moving', storage_moving.copy_field(given.MOVE, given.TARGET, fields.rotation) }
  fields.rotation = nil
  for name, value in pairs(fields) do
    list[#list + 1] = name
    list[#list + 1] = value
  end
  storage_session.write_new(keys, list)
  storage_events.write_log(keys[2], events, tonumber(fields.version))
  storage_moving.keep_copy(keys)
  return 1
end

-- sk_move_commit 4 <keys> MOVE m
--
-- Gives a held session up to the target: the one write that decides where the session is. From here on every
-- function answers SESSION_MOVED with the target's address, and only sk_move_out still replies with the
-- session. The copy at the target has to be there before.
--
-- KEYS[1-4]  the session, its log, the alarms, the outbox
-- ARGV       MOVE and the name of the move
-- Reply      change (JSON); nil when sk_move_finish has dropped it already
-- Refusals   VALIDATION_ERROR, SESSION_NOT_FOUND, CONCURRENT_MODIFICATION (this move does not hold it)
-- Publishes  session.moved
local function move_commit(keys, args)
  local given, refused = read_step(keys, args, 1)
  if not given then
    return refused
  end
  local s, moving = functions_open.find(keys)
  if moving and moving.move == given.MOVE and moving.step == 'gone' then
    return moving.rotation
      and storage_events.of_version(keys[2], storage_session.load(keys, moving.rotation).version)
  elseif not s and not moving then
    return call_refusal.session_not_found()
  elseif not (moving and moving.move == given.MOVE and moving.step == 'held') then
    return call_refusal.not_held(given.MOVE)
  end
  s = storage_session.load(keys, moving.rotation)
  local change = functions_commit.commit(
    s, transitions_cycle.current_turn(s), 'session.moved', NONE, moved_to(moving))
  if type(change) ~= 'table' then -- no error
    storage_moving.give_up(keys, moving)
  end
  return change
end

-- sk_move_activate 4 <keys> <change> MOVE m
--
-- Lets a copy run, in a new epoch. The change shows that its source has given it up.
--
-- KEYS[1-4]  the session, its log, the alarms, the outbox
-- ARGV[1]    the change (JSON) that sk_move_commit replied
-- ARGV       MOVE and the name of the move
-- Reply      1; 0 when this move has brought the session here already, and it runs
-- Refusals   VALIDATION_ERROR, SESSION_NOT_FOUND (there is no copy of this move)
-- Publishes  session.arrived
local function move_activate(keys, args)
  local given, refused = read_step(keys, args, 2)
  if not given then
    return refused
  end
  local key = keys[1]
  local moving = storage_moving.read(key)
  if not moving or moving.move ~= given.MOVE or not (moving.step == 'copy' or moving.step == 'here') then
    return call_refusal.session_not_found()
  elseif moving.step == 'here' then
    return 0
  end
  local s = storage_session.load(keys, moving.rotation)
  local version = version_of(args[1], storage_keys.session_id(key))
  if version ~= s.version and version ~= s.version + 1 then
    return call_refusal.validation({ { 'change', 'must be that of sk_move_commit' } })
  elseif version > s.version then
    storage_events.write_log(keys[2], { args[1] }, version)
    s.version = version
  end
  storage_moving.arrive(key, moving, version)
  storage_session.begin_epoch(s)
  s.alarm = 0 -- the alarms of the partition do not have this session yet
  local change = functions_commit.commit(
    s, transitions_cycle.current_turn(s), 'session.arrived', NONE, moved_to(moving))
  if type(change) == 'table' then -- an error
    storage_moving.leave(key, moving)
    return change
  end
  return 1
end

-- sk_move_finish 4 <keys> MOVE m
--
-- Drops the data of a session that was given up and runs at the target. A mark with the target's address
-- stays for a week, or for as long as the session would have stayed.
--
-- KEYS[1-4]  the session, its log, the alarms, the outbox
-- ARGV       MOVE and the name of the move
-- Reply      1; 0 when there is nothing to drop
-- Refusals   VALIDATION_ERROR, CONCURRENT_MODIFICATION (the session was not given up)
-- Publishes  nothing
local function move_finish(keys, args)
  local given, refused = read_step(keys, args, 1)
  if not given then
    return refused
  end
  local moving = storage_moving.read(keys[1])
  if not moving or moving.move ~= given.MOVE or not moving.rotation then
    return 0
  elseif moving.step ~= 'gone' then
    return call_refusal.not_held(given.MOVE)
  end
  storage_alarms.remove_if_possible(keys)
  storage_moving.drop(keys, moving)
  return 1
end

-- sk_move_undo 4 <keys> MOVE m
--
-- Takes a move back that has not given the session up: at the source the session goes on, at the target the
-- copy is removed. It has to be called at the source first.
--
-- KEYS[1-4]  the session, its log, the alarms, the outbox
-- ARGV       MOVE and the name of the move
-- Reply      1; 0 when there is nothing to take back
-- Refusals   VALIDATION_ERROR, SESSION_MOVED (the session was given up)
-- Publishes  nothing
local function move_undo(keys, args)
  local given, refused = read_step(keys, args, 1)
  if not given then
    return refused
  end
  local key = keys[1]
  local moving = storage_moving.read(key)
  if not moving or moving.move ~= given.MOVE or moving.step == 'here' then
    return 0
  elseif moving.step == 'gone' then
    return call_refusal.moved(moving.target, moving.move)
  elseif moving.step == 'copy' then
    storage_moving.discard(keys)
    return 1
  end
  storage_moving.release(key, moving)
  storage_alarms.correct(storage_session.load(keys))
  return 1
end

redis.register_function({
  function_name = 'sk_move_out',
  callback = move_out,
  description = 'Holds a session for a move. Replies with all that the target needs.',
  flags = { 'allow-oom' },
})

redis.register_function({
  function_name = 'sk_move_in',
  callback = move_in,
  description = 'Makes a copy of a held session, which does not run. '
    .. 'Replies with 1, or 0 when it runs already.',
})

redis.register_function({
  function_name = 'sk_move_commit',
  callback = move_commit,
  description = 'Gives a held session up to the target. Replies with the change.',
  flags = { 'allow-oom' },
})

redis.register_function({
  function_name = 'sk_move_activate',
  callback = move_activate,
  description = 'Lets a copy run. Replies with 1, or 0 when it runs already.',
  flags = { 'allow-oom' },
})

redis.register_function({
  function_name = 'sk_move_finish',
  callback = move_finish,
  description = 'Drops the data of a session that was given up. Replies with 1, or 0 when there is none.',
  flags = { 'allow-oom' },
})

redis.register_function({
  function_name = 'sk_move_undo',
  callback = move_undo,
  description = 'Takes a move back that has not given the session up. Replies with 1, or 0 without one.',
  flags = { 'allow-oom' },
})

return {}
end)()

-- functions/reads.lua
local functions_reads = (function()
-- The functions that only read. They also work with FCALL_RO, on replicas too.

local NONE = call_options.NONE
local GET = { EXPORT = true, TENANT = true }
local LOG = { EPOCH = true, TENANT = true }

-- sk_get 1 sk:{tt}:<id> [TENANT t] [EXPORT]
--
-- Reads the state as it is now, running clocks included.
--
-- KEYS[1]    the session
-- ARGV       options as `NAME value` in any order; EXPORT has no value
-- Reply      state (JSON); with EXPORT also `internal`, which sk_restore needs
-- Refusals   VALIDATION_ERROR, SESSION_NOT_FOUND
-- Publishes  nothing
local function get(keys, args)
  local given, problems = call_options.parse(args, 1, GET, NONE)
  local s, refused = functions_open.open_to_read(keys, 1, given, problems)
  if not s then
    return refused
  end
  return views_state.build(s, given.EXPORT)
end

-- sk_log 2 sk:{tt}:<id> sk:{tt}:<id>:log <since> [EPOCH e] [TENANT t]
--
-- Reads the events after a version, so that a client that has missed them can catch up.
--
-- KEYS[1-2]  the session and its log
-- ARGV[1]    since: a version
-- Reply      list of events (JSON), oldest first, empty when there are no newer ones; nil when the log does
--            not reach back that far, since is above the session's version, or EPOCH is not its epoch: the
--            client then has to read the state
-- Refusals   VALIDATION_ERROR, SESSION_NOT_FOUND
-- Publishes  nothing
local function log(keys, args)
  local given, problems = call_options.parse(args, 2, LOG, NONE)
  local since = args[1] and call_options.integer(args[1], 0, call_options.MAX_INTEGER)
  if not since then
    local problem = { 'since', 'must be a version, an integer from 0' }
    problems = functions_open.join_problems({ problem }, problems)
  end
  local s, refused = functions_open.open_to_read(keys, 2, given, problems)
  if not s then
    return refused
  end
  if since > s.version or (given.EPOCH and given.EPOCH ~= s.epoch) then
    return nil
  elseif since == s.version then
    return {}
  end
  return storage_events.after(keys[2], since)
end

redis.register_function({
  function_name = 'sk_get',
  callback = get,
  description = 'Replies with the state of a session.',
  flags = { 'no-writes' },
})

redis.register_function({
  function_name = 'sk_log',
  callback = log,
  description = 'Replies with the events after a version, or nil when the log does not reach back that far.',
  flags = { 'no-writes' },
})

return {}
end)()

-- functions/throttle.lua
local functions_throttle = (function()
-- sk_throttle: rate limits.

-- The arguments with their bounds.
local LIMIT = {
  { 'burst', 1, 1000000 },
  { 'count', 1, 1000000 },
  { 'period_ms', 1, 86400000 },
  { 'quantity', 0, 1000000 },
  { 'cooldown_ms', 0, 86400000 },
}

-- sk_throttle 1 sk:rl:{<bucket>} <burst> <count> <period_ms> <quantity> <cooldown_ms>
--
-- Takes tokens out of the bucket of a rate limit if it has as many. Rate limits do not belong to sessions.
--
-- KEYS[1]    the bucket
-- ARGV[1]    burst: how many tokens it holds
-- ARGV[2]    count: how many tokens it gets in a period
-- ARGV[3]    period_ms: the length of the period
-- ARGV[4]    quantity: how many tokens to take, at most burst; 0 only asks
-- ARGV[5]    cooldown_ms: for how long everything is refused after a refusal; 0 for no cooldown
-- Reply      five integers: limited (1 when refused, else 0), limit, remaining, retry_after_ms,
--            reset_after_ms
-- Refusals   VALIDATION_ERROR
-- Publishes  nothing
local function throttle(keys, args)
  local problems = {}
  local name = keys[1] and keys[1]:match('^sk:rl:{([^{}]*)}$')
  if #keys ~= 1 or not name or #name < 1 or #name > 200 or name:find('[^\32-\126]') then
    local message = 'must be sk:rl:{<bucket>}, the bucket 1 to 200 printable ASCII characters without braces'
    problems[1] = { 'KEYS.0', message }
  end
  local limit = {}
  for i = 1, #LIMIT do
    local argument, least, most = LIMIT[i][1], LIMIT[i][2], LIMIT[i][3]
    if argument == 'quantity' and limit.burst then
      most = limit.burst
    end
    limit[argument] = args[i] and call_options.integer(args[i], least, most)
    if not limit[argument] then
      problems[#problems + 1] = { argument, string.format('must be an integer from %d to %d', least, most) }
    end
  end
  if #args > #LIMIT then
    problems[#problems + 1] = { 'arguments', 'must be ' .. #LIMIT }
  end
  if #problems > 0 then
    return call_refusal.validation(problems)
  end
  return storage_throttle.consume(keys[1], limit)
end

redis.register_function({
  function_name = 'sk_throttle',
  callback = throttle,
  description = 'Takes from a rate limit. '
    .. 'Replies with limited, limit, remaining, retry_after_ms, reset_after_ms.',
  flags = { 'allow-oom' },
})

return {}
end)()

-- functions/info.lua
local functions_info = (function()
-- sk_info 0
--
-- Tells which library is loaded.
--
-- KEYS       none
-- ARGV       none
-- Reply      version of the library, schema of its state (integer), server time (ms)
-- Refusals   VALIDATION_ERROR
-- Publishes  nothing
local function info(keys, args)
  if #keys > 0 or #args > 0 then
    return call_refusal.validation({ { 'arguments', 'must be none' } })
  end
  return { VERSION, storage_session.SCHEMA, storage_time.now() }
end

redis.register_function({
  function_name = 'sk_info',
  callback = info,
  description = 'Replies with the version of the library, the schema of its state and the server time.',
  flags = { 'no-writes' },
})

return {}
end)()
