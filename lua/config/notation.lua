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
local POINT = 46 -- the byte .

-- A scan is a table with the text and `at`, the position of the next character to read. After a failure it
-- has `message` and `position` too; only the first failure counts. `positions` is nil unless somebody asks
-- where the text has which number.
local function fail(scan, message, position)
  if not scan.message then
    scan.position, scan.message = position or scan.at, message
  end
end

-- Reads `symbol` if it comes next. Returns whether it did.
local function accept(scan, symbol)
  if scan.text:find(symbol, scan.at, true) == scan.at then
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
  if decimals and found:byte(-1) == POINT then
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

-- Notes where the text has the number that becomes a member of the object, if somebody asks. stage: the
-- number of its stage from 0, nil for none.
local function note(scan, stage, member, position)
  if scan.positions then
    scan.positions[(stage and '.stages.' .. stage or '') .. '.' .. member] = position
  end
end

-- The ms in so many minutes, such as `0.5`; rounded down.
local function minutes_ms(found)
  local number, fraction = found:match('^(%d+)%.?(%d*)$')
  if fraction == '' then
    return number * MINUTE_MS
  end
  return number * MINUTE_MS + math.floor(fraction * MINUTE_MS / 10 ^ #fraction)
end

local DECIMALS = { '%.1f', '%.2f', '%.3f', '%.4f', '%.5f' }

-- The shortest text of minutes that minutes_ms turns into `ms`.
local function minutes_text(ms)
  if ms % MINUTE_MS == 0 then
    return ('%d'):format(ms / MINUTE_MS)
  end
  local scale = 1
  for decimals = 1, #DECIMALS do
    scale = scale * 10
    local number = math.ceil(ms * scale / MINUTE_MS)
    if math.floor(number * MINUTE_MS / scale) == ms then
      return (DECIMALS[decimals]:format(number / scale))
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

-- Reads stages. The moves of the first one and the `/` after them were read already. Returns the object and
-- its bank (ms).
local function parse_stages(scan, moves, position, pgn)
  local stages, count = {}, 0
  local has_own_increments = false -- whether another stage than the last one has an increment
  local increment_position
  while true do
    local stage = { kind = 'fischer', moves = moves, time_ms = 0, increment_ms = nil }
    note(scan, count, 'moves', position)
    local found, time_position = digits(scan, 'a time', not pgn)
    note(scan, count, 'time_ms', time_position)
    if count == 0 and is_pgn(found) then
      pgn = true
    end
    stage.time_ms = time_ms(found, pgn)
    if accept(scan, '+') then
      stage.increment_ms, increment_position = seconds(scan, 'seconds')
      note(scan, count, 'increment_ms', increment_position)
    end
    count = count + 1
    stages[count] = stage
    if not moves then
      break
    end
    has_own_increments = has_own_increments or stage.increment_ms ~= nil
    if not accept(scan, ':') then
      fail(scan, '":" and the next stage expected')
      break
    end
    -- The next stage begins with moves and a slash; the last one has only a time.
    local ahead, slash = scan.text:find('^%d+/', scan.at)
    moves = nil
    if count == controls_stages.MOST_STAGES then
      fail(scan, 'no more than ' .. count .. ' stages expected')
      break
    end
    if ahead then
      moves, position = whole(scan, 'moves')
      scan.at = slash + 1
    end
  end
  local last_increment = stages[count].increment_ms
  for i = 1, count do
    if not stages[i].increment_ms then
      stages[i].increment_ms = not has_own_increments and last_increment or 0
      note(scan, i - 1, 'increment_ms', last_increment and increment_position)
    end
  end
  return { kind = 'stages', stages = stages }, stages[1].time_ms
end

-- The seconds that a control without stages ends with.
local REST_OF = { delay = 'delay_ms', bronstein = 'delay_ms', byoyomi = 'period_ms', canadian = 'period_ms' }

-- Reads a control without stages: a bank and an increment, a delay, periods or a block; in PGN only the
-- increment. Returns the object, its bank (ms), and whether it has an increment.
local function parse_clock(scan, pgn)
  local found, bank_position = digits(scan, pgn and 'seconds' or 'minutes', not pgn)
  note(scan, nil, 'bank', bank_position)
  local object = { kind = 'fischer', increment_ms = 0 }
  local has_increment = false
  local position
  if pgn then
    if accept(scan, '+') then
      has_increment = true
      object.increment_ms, position = seconds(scan, 'seconds')
      note(scan, nil, 'increment_ms', position)
    end
  elseif accept(scan, 'd') then
    object = { kind = 'delay' }
  elseif accept(scan, 'b') then
    object = { kind = 'bronstein' }
  elseif accept(scan, '+') then
    local number, number_position = whole(scan, 'seconds')
    if accept(scan, 'x') then
      object = { kind = 'byoyomi', periods = number }
      note(scan, nil, 'periods', number_position)
    elseif accept(scan, '/') then
      object = { kind = 'canadian', moves = number }
      note(scan, nil, 'moves', number_position)
    else
      has_increment = true
      object.increment_ms = number * SECOND_MS
      note(scan, nil, 'increment_ms', number_position)
      pgn = is_pgn(found)
    end
  end
  local rest = not has_increment and REST_OF[object.kind]
  if rest then
    object[rest], position = seconds(scan, 'seconds')
    note(scan, nil, rest, position)
  end
  return object, time_ms(found, pgn), has_increment
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
    local minutes = (i == 1 and first_minutes_text or minutes_text)(stage.time_ms)
    parts[i] = stage.moves and ('%d/%s%s'):format(stage.moves, minutes, increment) or minutes .. increment
  end
  return table.concat(parts, ':')
end

-- Reads a whole text. Returns the object, its bank in ms, whether the text has a bank by itself, and
-- whether it has an increment. A failure is in the scan.
local function read(scan)
  local text = scan.text
  local pgn = accept(scan, 'pgn ')
  local object, bank, position
  local has_bank, has_increment = true, false
  if accept(scan, '-') then
    object, bank, has_bank = { kind = 'none' }, 0, false
  elseif accept(scan, '*') then
    object = { kind = 'hourglass' }
    bank, position = seconds(scan, 'seconds')
    note(scan, nil, 'bank', position)
  elseif not pgn and accept(scan, 'hourglass ') then
    local found
    object = { kind = 'hourglass' }
    found, position = digits(scan, 'minutes', true)
    note(scan, nil, 'bank', position)
    bank = time_ms(found)
  elseif text:find('^%d+/', scan.at) then
    local moves
    moves, position = whole(scan, 'moves')
    scan.at = scan.at + 1
    object, bank = parse_stages(scan, moves, position, pgn)
    has_bank = false
  else
    object, bank, has_increment = parse_clock(scan, pgn)
  end
  if scan.at <= #text then
    fail(scan, 'unexpected')
  end
  return object, bank, has_bank, has_increment
end

-- Reads a text. Returns nil, a position from 1 and a message when it is none of the above; else
--
--   object     the time control as an object, `{kind = 'fischer', increment_ms = 3000}`
--   bank       ms
--   has_bank   whether the text says the bank by itself, and not with its first stage
--   normal     the text in its normal form
local function parse(text)
  if #text > MOST_CHARACTERS then
    return nil, MOST_CHARACTERS + 1, 'too long a text'
  end
  local scan = { text = text, at = 1 }
  local object, bank, has_bank, has_increment = read(scan)
  if scan.message then
    return nil, scan.position, scan.message
  end
  return { object = object, bank = bank, has_bank = has_bank, normal = normal(object, bank, has_increment) }
end

-- Where a text, which `parse` has read, has which number, by the path of the member: `.increment_ms` or
-- `.stages.1.time_ms`, and `.bank`.
local function positions(text)
  local scan = { text = text, at = 1, positions = {} }
  read(scan)
  return scan.positions
end

return {
  parse = parse,
  positions = positions,
}
