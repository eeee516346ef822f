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
