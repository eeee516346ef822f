-- Reads the `NAME value` pairs of a call, which may come in any order, as in the commands of Redis.

local MAX_INTEGER = 9007199254740991
local DAY_MS, MOST_MS = bounds.DAY_MS, bounds.MOST_MS
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

-- The numbers of a rate limit with their bounds: sk_throttle has them as arguments, LIMIT as its values.
local LIMIT = {
  burst = { 1, 1000000 }, count = { 1, 1000000 }, period_ms = { 1, DAY_MS }, quantity = { 0, 1000000 },
  cooldown_ms = { 0, DAY_MS },
}

-- Reads numbers of a rate limit in `args` from position `from` on. names: which ones, in their order. Returns
-- them by name, and the list of problems, {name, message}, which is empty when there are none.
local function limit(args, from, names)
  local found, problems = {}, {}
  for i = 1, #names do
    local name, text = names[i], args[from + i - 1]
    local least, most = LIMIT[name][1], LIMIT[name][2]
    if name == 'quantity' and found.burst then
      most = found.burst
    end
    found[name] = text and integer(text, least, most)
    if not found[name] then
      problems[#problems + 1] = { name, ('must be an integer from %d to %d'):format(least, most) }
    end
  end
  return found, problems
end

-- The functions below make readers. A reader takes the text of a value and returns the value, nil when it is
-- wrong, and the message for that case. The readers of options with several values get `args` and the
-- position of the first one, too.

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

-- A W3C traceparent: version, trace, span and flags. Later versions of it may have more at the end.
local HEX = '[0-9a-f]'
local TRACEPARENT = ('^%s%%-%s%%-%s%%-%s'):format(HEX:rep(2), HEX:rep(32), HEX:rep(16), HEX:rep(2))

local function traceparent(text)
  return #text <= 128 and text:find(TRACEPARENT) and not text:find('[^\33-\126]') and text or nil,
    'must be a W3C traceparent'
end

-- What a client knows already: {version, epoch}, both as text.
local function known(text)
  local version, epoch = text:match('^(%d+)@(%S+)$')
  return version and { version = version, epoch = epoch }, 'must be <version>@<epoch>'
end

-- A server time in ms; 0 for `none`. Whether it is ahead is judged later, by the session's own time.
local function instant(text)
  return text:lower() == 'none' and 0 or integer(text, 1, MAX_INTEGER), 'must be a server time in ms, or none'
end

local LIMIT_VALUES = { 'burst', 'count', 'period_ms', 'cooldown_ms' }

local function switch_limit(_, args, position)
  local found, problems = limit(args, position, LIMIT_VALUES)
  local problem = problems[1]
  found.quantity = 1
  return not problem and found or nil, problem and ('needs %s, which %s'):format(problem[1], problem[2])
end

local READERS = {
  TTL = whole(1, 31536000, 'must be 1 to 31536000 seconds'),
  TENANT = words(1, 255),
  VERSION = whole(0, MAX_INTEGER, 'must be a version, an integer from 0'),
  EPOCH = words(1, 255),
  ACTOR = words(1, 255),
  TRACE = words(1, 255),
  TRACEPARENT = traceparent,
  REQUEST = request,
  NEXT = id,
  CURRENT = id,
  PLAYER = id,
  LIMIT = switch_limit,
  UNLESS = known,
  PARTICIPANT = id,
  GROUP = id,
  LAG = whole(0, MAX_INTEGER, 'must be milliseconds, an integer from 0'),
  CLOCK = function(text) return text == 'total' and text or nil, 'must be total' end,
  SET = whole(0, MOST_MS, ('must be 0 to %d milliseconds'):format(MOST_MS)),
  ADD = whole(-MOST_MS, MOST_MS, ('must be -%d to %d milliseconds'):format(MOST_MS, MOST_MS)),
  WITHIN = whole(1, MOST_MS, ('must be 1 to %d milliseconds'):format(MOST_MS)),
  REASON = words(0, 200),
  STARTS = instant,
  ENDS = instant,
  TURNS = whole(1, 16, 'must be 1 to 16 turns'),
  MOVE = word(64),
  TARGET = word(1024),
  LEASE = whole(1000, 600000, 'must be 1000 to 600000 milliseconds'),
  SCHEMA = whole(schemas.OLDEST, schemas.NEWEST,
    ('must be a schema that this library writes: %d or %d'):format(
      schemas.OLDEST, schemas.NEWEST)),
  SHIFT = whole(-MAX_INTEGER, MAX_INTEGER, 'must be milliseconds, an integer'),
}

-- The options that every transition has.
local COMMON = {
  TENANT = true, VERSION = true, EPOCH = true, ACTOR = true, TRACE = true, TRACEPARENT = true, REQUEST = true,
  SCHEMA = true,
}
-- The options without a value.
local FLAGS = { EXPORT = true, DRYRUN = true, SUMMARY = true, FREE = true, SHORT = true }
local VALUES = { LIMIT = #LIMIT_VALUES } -- how many values an option has; the others have one
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
    elseif position + (VALUES[name] or 1) > size then
      problem(name, VALUES[name] and 'lacks values' or 'lacks its value')
      break
    else
      local value, meaning = READERS[name](args[position + 1], args, position + 1)
      if value == nil then
        problem(name, meaning)
      else
        found[name] = value
      end
      position = position + 1 + (VALUES[name] or 1)
    end
  end
  return found, problems
end

return {
  parse = parse,
  integer = integer,
  limit = limit,
  COMMON = COMMON,
  NONE = NONE,
  MAX_INTEGER = MAX_INTEGER,
}
