-- Time controls as players write them.
--
--   5  5+3                 minutes, and seconds for every move (decimals in minutes: 0.5+1)
--   40/90:30+30            40 moves in 90 minutes, then 30 minutes; an increment that only the last stage has
--                          holds from move one
--   40/90+30:20/60+15:30   else each stage has its own
--   10d5  10b5             US delay, Bronstein
--   10+5x30                byo-yomi: 5 periods of 30 seconds
--   10+25/300              Canadian: 25 moves in 300 seconds
--   hourglass 5
-- and PGN's TimeControl, where all times are seconds: `pgn 300+3`, `pgn 40/5400:1800+30`, and without the
-- word where it is PGN beyond doubt: `*180` (an hourglass), `-` (no time control), and stages or an increment
-- after a first time of at least 180, whole, which nobody plays in minutes.

-- The longest normal form has 8 stages of `1000/1439.98334+60`, which is 151 characters.
local MOST_CHARACTERS = 200
local MOST_DIGITS = 12
local MINUTE_MS, SECOND_MS = 60000, 1000
local LEAST_PGN_SECONDS = 180

-- A scanner: text, `at` (the position to go on from), and where reading failed: position and message.
local function fail(scan, message, position)
  if not scan.message then
    scan.position, scan.message = position or scan.at, message
  end
end

local function accept(scan, symbol)
  if scan.text:sub(scan.at, scan.at + #symbol - 1) == symbol then
    scan.at = scan.at + #symbol
    return true
  end
  return false
end

-- The digits of a number and their position; nil where there are none. Decimals where they may be.
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

local function whole(scan, wanted)
  local found, position = digits(scan, wanted)
  return tonumber(found) or 0, position
end

-- Seconds as ms.
local function seconds(scan, wanted)
  local number, position = whole(scan, wanted)
  return number * SECOND_MS, position
end

-- Minutes in their digits as ms, rounded down.
local function minutes_ms(found)
  local number, fraction = found:match('^(%d+)%.?(%d*)$')
  return number * MINUTE_MS + math.floor((tonumber(fraction) or 0) * MINUTE_MS / 10 ^ #fraction)
end

-- The shortest minutes that are these ms.
local function minutes_text(ms)
  for decimals = 0, 5 do
    local scale = 10 ^ decimals
    local number = math.ceil(ms * scale / MINUTE_MS)
    if math.floor(number * MINUTE_MS / scale) == ms then
      return (('%.' .. decimals .. 'f'):format(number / scale))
    end
  end
end

-- A time whose unit is known, as ms.
local function time_ms(found, pgn)
  if not found then
    return 0
  end
  return pgn and tonumber(found) * SECOND_MS or minutes_ms(found)
end

local function is_pgn(found)
  return found and not found:find('.', 1, true) and tonumber(found) >= LEAST_PGN_SECONDS
end

-- Stages from the first `/` on, whose moves were read.
local function staged(scan, moves, position, pgn)
  local stages, positions, own = {}, {}, false
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
    own = own or stage.increment_ms ~= nil
    if not accept(scan, ':') then
      fail(scan, '":" and the next stage expected')
      break
    end
    -- The next stage: moves and a slash, or the last one's time.
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
  local last = stages[#stages]
  for i = 1, #stages do
    if not stages[i].increment_ms then
      stages[i].increment_ms = not own and last.increment_ms or 0
      positions['stages.' .. i - 1 .. '.increment_ms'] = positions['stages.' .. #stages - 1
        .. '.increment_ms']
    end
  end
  return { kind = 'stages', stages = stages }, stages[1].time_ms, positions
end

-- A time and what stands after it: the object, its bank and the positions of its numbers. PGN has the
-- increment alone.
local function simple(scan, pgn)
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

local NORMAL = {
  delay = function(object) return 'd' .. seconds_text(object.delay_ms) end,
  bronstein = function(object) return 'b' .. seconds_text(object.delay_ms) end,
  byoyomi = function(object) return ('+%dx%s'):format(object.periods, seconds_text(object.period_ms)) end,
  canadian = function(object) return ('+%d/%s'):format(object.moves, seconds_text(object.period_ms)) end,
}

-- The first time of a text that would be PGN's if it were whole; with a decimal it stays in minutes.
local function first_minutes_text(ms)
  local found = minutes_text(ms)
  return is_pgn(found) and found .. '.0' or found
end

-- The normal form: the shortest numbers, in minutes. incremented: whether an increment was written, which may
-- be 0.
local function normal(object, bank, incremented)
  if object.kind == 'none' then
    return '-'
  elseif object.kind == 'hourglass' then
    return 'hourglass ' .. minutes_text(bank)
  elseif object.kind == 'fischer' then
    return (incremented and first_minutes_text or minutes_text)(bank)
      .. (incremented and '+' .. seconds_text(object.increment_ms) or '')
  elseif object.kind ~= 'stages' then
    return minutes_text(bank) .. NORMAL[object.kind](object)
  end
  local parts, stages = {}, object.stages
  local same = true
  for i = 2, #stages do
    same = same and stages[i].increment_ms == stages[1].increment_ms
  end
  for i = 1, #stages do
    local stage = stages[i]
    local without = i < #stages and same or i == #stages and stage.increment_ms == 0
    local increment = without and '' or '+' .. seconds_text(stage.increment_ms)
    parts[i] = (stage.moves and ('%d/'):format(stage.moves) or '')
      .. (i == 1 and first_minutes_text or minutes_text)(stage.time_ms) .. increment
  end
  return table.concat(parts, ':')
end

-- A text as {object (a time_control as its object), bank (ms), normal (the text in its normal form),
-- positions (of the numbers of the text, by the names of what they mean)}; or nil, the position of what does
-- not fit, from 1, and what is wrong there.
local function parse(text)
  if #text > MOST_CHARACTERS then
    return nil, MOST_CHARACTERS + 1, 'too long a text'
  end
  local scan = { text = text, at = 1 }
  local pgn = accept(scan, 'pgn ')
  local object, bank, positions, incremented
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
    object, bank, positions = staged(scan, moves, position, pgn)
  else
    object, bank, positions = simple(scan, pgn)
    incremented = positions.increment_ms ~= nil
  end
  if scan.at <= #text then
    fail(scan, 'unexpected')
  end
  if scan.message then
    return nil, scan.position, scan.message
  end
  return { object = object, bank = bank, normal = normal(object, bank, incremented), positions = positions }
end

return { parse = parse }
