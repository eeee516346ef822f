-- Reads time controls as players write them.
--
--   5                      5 minutes
--   5+3   5 | 3            5 minutes, and 3 seconds for every move. Minutes may have decimals, or ¼ ½ ¾
--   40/90:30+30            40 moves in 90 minutes, then 30 minutes; only the last stage has an increment, so
--                          all moves get these 30 seconds
--   40/90+30:20/60+15:30   another stage has an increment, so each stage has its own: 30, 15 and 0 seconds
--   40/90:20/60            the last stage has moves too, so it comes again and again
--   10d5                   US delay: 10 minutes, and 5 seconds of delay
--   10b5                   Bronstein: 10 minutes, and 5 seconds of delay
--   10+5x30                byo-yomi: 10 minutes, then 5 periods of 30 seconds
--   10+5+3x30              the same with 5 seconds for every move of the main time, and 3 periods
--   10+25/300              Canadian: 10 minutes, then 25 moves in every 300 seconds
--   hourglass 5            an hourglass of 5 minutes
--   G/60;d5                US Chess: the game in 60 minutes, with a delay; also `inc5`
--   40/90,SD/30;d5         US Chess with stages; also `G/30` for the last one
--   TM[600]OT[5x30 byo-yomi]    SGF, where all times are seconds; also TM[600]TC[5]TT[30]
--   pgn 300+3              the TimeControl of a PGN file, where all times are seconds
--   pgn 40/5400:1800+30    the same with stages. An increment belongs to the stage that has it
--
-- The word `pgn` may be left out in `*180` (an hourglass), in `-` (no time control), in stages, before an
-- increment and alone, when the first time is a whole number of at least 180, because players do not play so
-- many minutes. Letters may be large or small. What has two meanings is refused with both.

-- The longest normal form has 8 stages of `1000/31622399.999+31622399.999` in PGN: 251 characters.
local MOST_CHARACTERS = 256
local MOST_DIGITS = 12
local MINUTE_MS, SECOND_MS = 60000, 1000
local LEAST_PGN_SECONDS = 180
-- Below this a block of moves is not meant: 30/30 is then rather 30 moves in 30 minutes.
local LEAST_BLOCK_MS = 2000
-- From so many moves on, and below so much time for each, the time of a stage in a text of US Chess may be
-- meant in hours, if it is a number of halves: 40/2, SD/1.
local LEAST_MOVES_IN_HOURS, LEAST_STAGE_MOVE_MS, HALF_MINUTE_MS = 10, 5000, 30000
-- The characters ¼ ½ ¾ in UTF-8.
local FRACTIONS = { ['\194\188'] = '25', ['\194\189'] = '5', ['\194\190'] = '75' }

-- What a number may be.
local WHOLE, DECIMALS, MINUTES = {}, { decimals = true }, { decimals = true, fractions = true }

-- A scan is a table with the text and `at`, the position of the next byte to read. `wanted` has what could
-- have stood at the byte `furthest`; it becomes the message of a failure. A failure ends the reading as an
-- error whose value is the scan, with its `position` and `message`. `positions` is nil unless somebody asks
-- where the text has which number.
local function fail(scan, message, position)
  scan.position, scan.message = position or scan.at, message
  error(scan, 0)
end

-- Notes what could have come next.
local function want(scan, what)
  if scan.at > scan.furthest then
    scan.furthest, scan.wanted = scan.at, {}
  end
  local wanted = scan.wanted
  for i = 1, #wanted do
    if wanted[i] == what then
      return
    end
  end
  wanted[#wanted + 1] = what
end

-- Fails because none of what was wanted came.
local function fail_wanting(scan)
  local wanted = scan.wanted
  local last = table.remove(wanted)
  fail(scan, (#wanted > 0 and table.concat(wanted, ', ') .. ' or ' or '') .. last .. ' expected')
end

-- Reads `symbol` if it comes next. Returns whether it did. shown: how a message names it, which is in quotes
-- without it.
local function accept(scan, symbol, shown)
  if scan.text:find(symbol, scan.at, true) == scan.at then
    scan.at = scan.at + #symbol
    return true
  end
  want(scan, shown or '"' .. symbol .. '"')
  return false
end

-- Reads `symbol`, or fails.
local function expect(scan, symbol, shown)
  if not accept(scan, symbol, shown) then
    fail_wanting(scan)
  end
end

-- Reads a plus with spaces around it. Returns whether it came. is_strict: whether `|` is none, as in PGN and
-- in what US Chess writes.
local function accept_plus(scan, is_strict)
  local stop = scan.text:match(is_strict and '^ *%+ *()' or '^ *[+|] *()', scan.at)
  if stop then
    scan.at = stop
    return true
  end
  want(scan, '"+"')
  return false
end

local function skip_spaces(scan)
  scan.at = scan.text:match('^ *()', scan.at)
end

-- Fails unless the text ends here.
local function finish(scan)
  if scan.at <= #scan.text then
    want(scan, 'the end')
    fail_wanting(scan)
  end
end

-- Reads a number. Returns it as decimal digits, perhaps with a point, and its position. wanted: the word for
-- it in a message, such as `seconds`. form: WHOLE, DECIMALS or MINUTES.
local function number(scan, wanted, form)
  local text, position = scan.text, scan.at
  local found = text:match(form.decimals and '^%d+%.?%d*' or '^%d+', position) or ''
  local after = position + #found
  local fraction = form.fractions and not found:find('.', 1, true) and FRACTIONS[text:sub(after, after + 1)]
  if #found > MOST_DIGITS then
    fail(scan, 'a number of at most ' .. MOST_DIGITS .. ' characters expected')
  elseif fraction then
    scan.at = after + 2
    return (found == '' and '0' or found) .. '.' .. fraction, position
  elseif found == '' then
    want(scan, wanted)
    fail_wanting(scan)
  end
  scan.at = after
  if found:sub(-1) == '.' then
    want(scan, 'decimals')
    fail_wanting(scan)
  end
  return found, position
end

local function has_point(found)
  return found:find('.', 1, true) ~= nil
end

-- The ms in a number of minutes or seconds, rounded down.
local function ms_of(found, unit_ms)
  local whole, decimals = found:match('^(%d+)%.?(%d*)$')
  if decimals == '' then
    return whole * unit_ms
  end
  return whole * unit_ms + math.floor(decimals * unit_ms / 10 ^ #decimals)
end

-- The ms in a time: seconds in PGN, else minutes.
local function time_ms(found, pgn)
  return ms_of(found, pgn and SECOND_MS or MINUTE_MS)
end

-- Notes where the text has the number that becomes a member of the object, if somebody asks. stage: the
-- number of its stage from 0, nil for none.
local function note(scan, stage, member, position)
  if scan.positions and position then
    scan.positions[(stage and '.stages.' .. stage or '') .. '.' .. member] = position
  end
end

local MINUTE_DECIMALS = { '%.1f', '%.2f', '%.3f', '%.4f', '%.5f' }

-- The shortest text of minutes that ms_of turns into `ms`.
local function minutes_text(ms)
  if ms % MINUTE_MS == 0 then
    return ('%d'):format(ms / MINUTE_MS)
  end
  local scale = 1
  for decimals = 1, #MINUTE_DECIMALS do
    scale = scale * 10
    local scaled = math.ceil(ms * scale / MINUTE_MS)
    if math.floor(scaled * MINUTE_MS / scale) == ms then
      return (MINUTE_DECIMALS[decimals]:format(scaled / scale))
    end
  end
end

-- The shortest text of seconds.
local function seconds_text(ms)
  if ms % SECOND_MS == 0 then
    return ('%d'):format(ms / SECOND_MS)
  end
  return (('%.3f'):format(ms / SECOND_MS):gsub('0+$', ''))
end

-- Whether a first time has to be in seconds, although the word `pgn` is not there.
local function is_pgn(found)
  return not has_point(found) and tonumber(found) >= LEAST_PGN_SECONDS
end

-- Refuses seconds with decimals where the time before them may be minutes or seconds. first: that time.
-- instead: what to write.
local function fail_decimals(scan, position, first, found, instead)
  fail(scan, ('two meanings: %s minutes and %s seconds, or %s seconds and %s seconds; %s expected'):format(
    first, found, first, found, instead), position)
end

-- Reads whole seconds. Returns ms, and their position. first: see fail_decimals; nil where it can only be
-- minutes.
local function seconds(scan, first)
  local found, position = number(scan, 'seconds', DECIMALS)
  if has_point(found) then
    if first then
      fail_decimals(scan, position, first, found, 'whole seconds after minutes')
    end
    fail(scan, 'whole seconds expected', position)
  end
  return found * SECOND_MS, position
end

-- Reads a whole number.
local function whole(scan, wanted)
  local found, position = number(scan, wanted, WHOLE)
  return tonumber(found), position
end

-- Fails if there are as many stages as there may be.
local function check_count(scan, stages)
  if #stages == controls_stages.MOST_STAGES then
    fail(scan, 'no more than ' .. #stages .. ' stages expected')
  end
end

-- The object of stages. A last stage with moves repeats.
local function stages_object(stages)
  return { kind = 'stages', stages = stages, ['repeat'] = stages[#stages].moves and true or nil }
end

-- Reads stages, with `:` between them. Returns the object and its bank (ms).
local function parse_stages(scan, pgn)
  local text = scan.text
  local is_word = pgn
  if not pgn and not text:find('|', 1, true) then
    local first = text:match('^%d+/(%d+)', scan.at)
    local after = first and text:match('^%d+/%d+()', scan.at)
    pgn = first ~= nil and #first <= MOST_DIGITS and is_pgn(first) and text:sub(after, after) ~= '.'
      and not FRACTIONS[text:sub(after, after + 1)]
  end
  local stages = {}
  local has_own_increments = false -- whether another stage than the last one has an increment
  local increment_position
  while true do
    local count = #stages
    local is_ahead = text:find('^%d+/', scan.at) ~= nil
    local stage = { kind = 'fischer', time_ms = 0 }
    if is_ahead then
      local position
      stage.moves, position = whole(scan, 'moves')
      note(scan, count, 'moves', position)
      scan.at = scan.at + 1
    end
    local found, position = number(scan, 'a time', pgn and DECIMALS or MINUTES)
    note(scan, count, 'time_ms', position)
    stage.time_ms = time_ms(found, pgn)
    if accept_plus(scan, is_word) then
      local added
      added, increment_position = number(scan, 'seconds', DECIMALS)
      if has_point(added) and not pgn then
        fail_decimals(scan, increment_position, found, added,
          '"pgn" in front of seconds, or whole seconds after minutes')
      end
      stage.increment_ms = ms_of(added, SECOND_MS)
      note(scan, count, 'increment_ms', increment_position)
    end
    stages[count + 1] = stage
    if not stage.moves or not accept(scan, ':') then
      break
    end
    has_own_increments = has_own_increments or stage.increment_ms ~= nil
    check_count(scan, stages)
  end
  finish(scan)
  local shared = not pgn and not has_own_increments and stages[#stages].increment_ms or 0
  for i = 1, #stages do
    if not stages[i].increment_ms then
      stages[i].increment_ms = shared
      note(scan, i - 1, 'increment_ms', increment_position)
    end
  end
  return stages_object(stages), stages[1].time_ms
end

-- Reads what stands between the parts of a text of US Chess. Returns whether it came.
local function accept_us_separator(scan)
  local stop = scan.text:match('^ *[,;:] *()', scan.at) or scan.text:match('^ +()', scan.at)
  if stop then
    scan.at = stop
    return true
  end
  want(scan, '","')
  want(scan, '";"')
  return false
end

-- The name of the member that has the seconds of a kind.
local SECONDS_OF = { fischer = 'increment_ms', delay = 'delay_ms' }

-- Puts the rule of US Chess into a stage or a control.
local function set_us_rule(scan, target, stage, rule)
  target.kind = rule.kind
  target[SECONDS_OF[rule.kind]] = rule.ms
  note(scan, stage, SECONDS_OF[rule.kind], rule.position)
end

-- Reads what US Chess writes behind a time: `;d5`, `;inc5`, `;+5`, `+5`. Returns it, or nil, and whether a
-- separator was read that still has something to come after it.
local function parse_us_rule(scan)
  local is_open = accept_us_separator(scan)
  local kind = is_open and (accept(scan, 'd') and 'delay' or accept(scan, 'inc') and 'fischer')
    or accept_plus(scan, true) and 'fischer'
  if not kind then
    return nil, is_open
  end
  local ms, position = seconds(scan)
  return { kind = kind, ms = ms, position = position }, false
end

-- Reads the game in so many minutes, whose `G/` was read. Returns as parse_clock does.
local function parse_us_game(scan)
  local found, position = number(scan, 'minutes', MINUTES)
  note(scan, nil, 'bank', position)
  local rule, is_open = parse_us_rule(scan)
  if is_open then
    fail_wanting(scan)
  end
  finish(scan)
  local object = { kind = 'fischer', increment_ms = not rule and 0 or nil }
  if rule then
    set_us_rule(scan, object, nil, rule)
  end
  return object, time_ms(found), rule ~= nil and rule.kind == 'fischer'
end

-- Reads stages as US Chess writes them: `40/90,20/60,SD/30;d5`. Returns the object and its bank (ms).
local function parse_us_stages(scan)
  local text = scan.text
  local stages, rules, has_own_rules = {}, {}, false
  while true do
    local count = #stages
    local stage = { kind = 'fischer', time_ms = 0 }
    if not accept(scan, 'sd/', '"SD/"') and not accept(scan, 'g/', '"G/"') then
      local position
      stage.moves, position = whole(scan, 'moves')
      note(scan, count, 'moves', position)
      expect(scan, '/')
    end
    local found, position = number(scan, 'minutes', MINUTES)
    note(scan, count, 'time_ms', position)
    stage.time_ms = time_ms(found)
    if stage.moves and stage.moves >= LEAST_MOVES_IN_HOURS and stage.time_ms >= MINUTE_MS
      and stage.time_ms % HALF_MINUTE_MS == 0 and stage.time_ms < stage.moves * LEAST_STAGE_MOVE_MS then
      fail(scan, ('two meanings: %d moves in %s minutes, or in %s hours; '
        .. '"pgn" and seconds, or "%d/%s" expected'):format(stage.moves, found, found, stage.moves,
        minutes_text(stage.time_ms * 60)), position)
    end
    stages[count + 1] = stage
    local rule, is_open = parse_us_rule(scan)
    rules[count + 1] = rule or false
    if not stage.moves then
      if is_open then
        fail_wanting(scan)
      end
      break
    end
    if not is_open then
      if scan.at > #text or not accept_us_separator(scan) then
        break
      end
    end
    has_own_rules = has_own_rules or rule ~= nil
    check_count(scan, stages)
  end
  finish(scan)
  local last = rules[#stages]
  for i = 1, #stages do
    local rule = rules[i] or (not has_own_rules and last)
    if rule then
      set_us_rule(scan, stages[i], i - 1, rule)
    else
      stages[i].increment_ms = 0
    end
  end
  return stages_object(stages), stages[1].time_ms
end

-- Refuses a block in which nobody can play so many moves. moves_position: that of its moves. main: the text
-- of the minutes before it; nil in SGF, where all times are seconds.
local function check_block(scan, object, bank, moves_position, main)
  local moves, period_ms = object.moves, object.period_ms
  if bank == 0 or period_ms == 0 or period_ms >= moves * LEAST_BLOCK_MS then
    return
  end
  local period = period_ms / SECOND_MS
  local message = ('two meanings: %d moves in %d seconds, or %d moves in %d minutes'):format(
    moves, period, moves, period)
  if not main then
    fail(scan, message .. '; at least 2 seconds a move expected', moves_position)
  end
  fail(scan, ('%s, or %d more minutes with %d seconds a move; "%s+%d/%d" or "40/%s:%d+%d" expected'):format(
    message, moves, period, main, moves, period * 60, main, moves, period), moves_position)
end

-- Reads what comes after the main time in SGF, `OT[5x30 byo-yomi]`, whose `OT[` was read. Returns the object,
-- and the position of its moves or periods.
local function parse_sgf_overtime(scan)
  local count, position = whole(scan, 'a number')
  local object
  if accept(scan, 'x') then
    object = { kind = 'byoyomi', periods = count, period_ms = 0 }
    note(scan, nil, 'periods', position)
  elseif accept(scan, '/') then
    object = { kind = 'canadian', moves = count, period_ms = 0 }
    note(scan, nil, 'moves', position)
  end
  if object then
    local period_position
    object.period_ms, period_position = seconds(scan)
    note(scan, nil, 'period_ms', period_position)
    skip_spaces(scan)
    if object.kind == 'canadian' then
      expect(scan, 'canadian', '"Canadian"')
    elseif not accept(scan, 'byoyomi', '"byo-yomi"') then
      expect(scan, 'byo-yomi')
    end
    return object, position
  end
  skip_spaces(scan)
  if accept(scan, 'simple') then
    note(scan, nil, 'period_ms', position)
    return { kind = 'byoyomi', periods = 1, period_ms = count * SECOND_MS }
  end
  expect(scan, 'fischer')
  note(scan, nil, 'increment_ms', position)
  return { kind = 'fischer', increment_ms = count * SECOND_MS }
end

-- Reads the periods of SGF as the server Fox writes them, `TC[3]TT[30]`, whose `TC[` was read. Returns the
-- object.
local function parse_sgf_periods(scan)
  local object = { kind = 'byoyomi' }
  local position
  object.periods, position = whole(scan, 'a number')
  note(scan, nil, 'periods', position)
  expect(scan, ']')
  expect(scan, 'tt[', '"TT["')
  object.period_ms, position = seconds(scan)
  note(scan, nil, 'period_ms', position)
  return object
end

-- Reads the properties of SGF, in either order. Returns as parse_clock does.
local function parse_sgf(scan)
  local bank, bank_position, object, position, has_increment
  repeat
    skip_spaces(scan)
    if not bank and accept(scan, 'tm[', '"TM["') then
      local found
      found, bank_position = number(scan, 'seconds', DECIMALS)
      bank = ms_of(found, SECOND_MS)
    elseif not object and accept(scan, 'ot[', '"OT["') then
      bank_position = bank_position or scan.at - 3
      object, position = parse_sgf_overtime(scan)
      has_increment = object.kind == 'fischer'
    elseif not object and accept(scan, 'tc[', '"TC["') then
      bank_position = bank_position or scan.at - 3
      object = parse_sgf_periods(scan)
    else
      finish(scan)
    end
    expect(scan, ']')
  until scan.at > #scan.text
  note(scan, nil, 'bank', bank_position)
  bank, object = bank or 0, object or { kind = 'fischer', increment_ms = 0 }
  if object.kind == 'canadian' then
    check_block(scan, object, bank, position)
  end
  return object, bank, has_increment
end

-- Reads what comes after the plus of a control without stages that is in minutes, or may be in seconds: an
-- increment, periods, both, or a block. main: the text of the main time; is_seconds: whether it is in seconds
-- if an increment is all that follows. Returns the object, and whether an increment was all.
local function parse_added(scan, main, is_seconds)
  local found, position = number(scan, 'seconds', DECIMALS)
  local object = { kind = 'fischer', increment_ms = ms_of(found, SECOND_MS) }
  local count, count_position = found, position
  if accept_plus(scan) then
    if has_point(found) then
      fail_decimals(scan, position, main, found, 'whole seconds after minutes')
    end
    note(scan, nil, 'increment_ms', position)
    object.kind = 'byoyomi'
    count, count_position = number(scan, 'periods', WHOLE)
    expect(scan, 'x')
  elseif accept(scan, 'x') then
    object = { kind = 'byoyomi' }
  elseif accept(scan, '/') then
    object = { kind = 'canadian' }
  else
    if has_point(found) and not is_seconds then
      fail_decimals(scan, position, main, found, ('"pgn %s+%s" or "pgn %s+%s"'):format(
        seconds_text(ms_of(main, MINUTE_MS)), seconds_text(object.increment_ms),
        seconds_text(ms_of(main, SECOND_MS)), seconds_text(object.increment_ms)))
    end
    note(scan, nil, 'increment_ms', position)
    return object, true
  end
  if has_point(count) then
    fail(scan, 'a whole number expected', count_position)
  end
  local counted = object.kind == 'byoyomi' and 'periods' or 'moves'
  object[counted] = tonumber(count)
  note(scan, nil, counted, count_position)
  object.period_ms, position = seconds(scan, main)
  note(scan, nil, 'period_ms', position)
  if object.kind == 'canadian' then
    check_block(scan, object, ms_of(main, MINUTE_MS), count_position, main)
  elseif object.increment_ms == 0 then
    object.increment_ms = nil
  end
  return object, false
end

-- Reads a control without stages: a bank and an increment, a delay, periods or a block; after the word `pgn`
-- only the increment. Returns the object, its bank (ms), and whether an increment is all that follows.
local function parse_clock(scan, pgn)
  local main, position = number(scan, pgn and 'seconds' or 'minutes', pgn and DECIMALS or MINUTES)
  note(scan, nil, 'bank', position)
  local is_seconds = pgn or (is_pgn(main) and not scan.text:find('|', 1, true))
  local object, has_increment = { kind = 'fischer', increment_ms = 0 }, false
  if pgn then
    if accept_plus(scan, true) then
      local found
      found, position = number(scan, 'seconds', DECIMALS)
      object.increment_ms, has_increment = ms_of(found, SECOND_MS), true
      note(scan, nil, 'increment_ms', position)
    end
  elseif accept_plus(scan) then
    object, has_increment = parse_added(scan, main, is_seconds)
    is_seconds = is_seconds and has_increment
  elseif accept(scan, 'd') or accept(scan, 'b') then
    object = { kind = scan.text:sub(scan.at - 1, scan.at - 1) == 'd' and 'delay' or 'bronstein' }
    object.delay_ms, position = seconds(scan, main)
    note(scan, nil, 'delay_ms', position)
    is_seconds = false
  end
  finish(scan)
  return object, time_ms(main, is_seconds), has_increment
end

-- What the normal form of a kind has after the bank.
local NORMAL = {
  delay = function(object) return 'd' .. seconds_text(object.delay_ms) end,
  bronstein = function(object) return 'b' .. seconds_text(object.delay_ms) end,
  byoyomi = function(object)
    local increment = object.increment_ms and '+' .. seconds_text(object.increment_ms) or ''
    return ('%s+%dx%s'):format(increment, object.periods, seconds_text(object.period_ms))
  end,
  canadian = function(object) return ('+%d/%s'):format(object.moves, seconds_text(object.period_ms)) end,
}

-- The text of a first time alone, before an increment or in a stage. 200 minutes become `200.0`, because
-- `200` would be taken for seconds.
local function first_minutes_text(ms)
  local text = minutes_text(ms)
  return is_pgn(text) and text .. '.0' or text
end

local function has_part_seconds(stages)
  for i = 1, #stages do
    if (stages[i].increment_ms or 0) % SECOND_MS > 0 then
      return true
    end
  end
  return false
end

local function has_delay(stages)
  for i = 1, #stages do
    if stages[i].delay_ms then
      return true
    end
  end
  return false
end

-- Whether all stages have the rule of the first one.
local function has_one_rule(stages)
  local first = stages[1]
  for i = 2, #stages do
    if stages[i].increment_ms ~= first.increment_ms or stages[i].delay_ms ~= first.delay_ms then
      return false
    end
  end
  return true
end

-- The three ways to write stages. Each gives the text of a stage: its time, whose digits are `minutes`, and
-- its rule, which is not written where `is_implied`.
local function plain_stage(stage, minutes, is_implied)
  return minutes .. (is_implied and '' or '+' .. seconds_text(stage.increment_ms))
end

local function us_stage(stage, _, is_implied)
  local rule = stage.delay_ms and ';d' .. seconds_text(stage.delay_ms)
    or ';inc' .. seconds_text(stage.increment_ms)
  return minutes_text(stage.time_ms) .. (is_implied and '' or rule)
end

local function pgn_stage(stage)
  return seconds_text(stage.time_ms)
    .. (stage.increment_ms > 0 and '+' .. seconds_text(stage.increment_ms) or '')
end

local function normal_stages(stages)
  local parts = {}
  local write, separator, before = plain_stage, ':', ''
  if has_part_seconds(stages) then
    write, before = pgn_stage, 'pgn '
  elseif has_delay(stages) then
    write, separator = us_stage, ','
  end
  local is_one_rule = has_one_rule(stages)
  for i = 1, #stages do
    local stage = stages[i]
    local is_implied = i < #stages and is_one_rule or i == #stages and stage.increment_ms == 0
    local part = write(stage, (i == 1 and first_minutes_text or minutes_text)(stage.time_ms), is_implied)
    if stage.moves then
      part = ('%d/%s'):format(stage.moves, part)
    elseif write == us_stage then
      part = 'SD/' .. part
    end
    parts[i] = part
  end
  return before .. table.concat(parts, separator)
end

-- The normal form of a control: in minutes, with the shortest numbers. Only seconds with decimals are in PGN.
-- has_increment: whether the text had an increment and nothing else, which may be 0.
local function normal(object, bank, has_increment)
  local kind = object.kind
  if kind == 'none' then
    return '-'
  elseif kind == 'hourglass' then
    return 'hourglass ' .. minutes_text(bank)
  elseif kind == 'stages' then
    return normal_stages(object.stages)
  elseif kind ~= 'fischer' then
    return minutes_text(bank) .. NORMAL[kind](object)
  elseif object.increment_ms % SECOND_MS > 0 then
    return ('pgn %s+%s'):format(seconds_text(bank), seconds_text(object.increment_ms))
  end
  return first_minutes_text(bank) .. (has_increment and '+' .. seconds_text(object.increment_ms) or '')
end

-- Reads a whole text. Returns the object, its bank in ms, whether the text has a bank by itself, and
-- whether an increment is all that follows its bank.
local function read(scan)
  local text = scan.text
  local pgn = accept(scan, 'pgn ')
  local object, bank
  if accept(scan, '-') then
    finish(scan)
    return { kind = 'none' }, 0, false
  end
  local is_sandclock = accept(scan, '*')
  if is_sandclock or not pgn and accept(scan, 'hourglass ') then
    local found, position = number(
      scan, is_sandclock and 'seconds' or 'minutes', is_sandclock and DECIMALS or MINUTES)
    note(scan, nil, 'bank', position)
    finish(scan)
    return { kind = 'hourglass' }, time_ms(found, is_sandclock), true
  end
  if not text:find('^%d+/', scan.at) then
    local parse_one = parse_clock
    if not pgn then
      if accept(scan, 'g/', '"G/"') or accept(scan, 'sd/', '"SD/"') then
        parse_one = parse_us_game
      elseif text:find('^[to][mtc]%[') then
        parse_one = parse_sgf
      else
        want(scan, '"TM["')
        want(scan, '"OT["')
      end
    end
    local has_increment
    object, bank, has_increment = parse_one(scan, pgn)
    return object, bank, true, has_increment
  elseif not pgn and (text:find('[,;]') or text:find('sd/', 1, true) or text:find('g/', 1, true)) then
    object, bank = parse_us_stages(scan)
  else
    object, bank = parse_stages(scan, pgn)
  end
  return object, bank, false
end

-- The scan of a text, and what `read` returns; only the scan after a failure.
local function scan_text(text, positions)
  local scan = { text = text:lower(), at = 1, furthest = 0, wanted = {}, positions = positions }
  local ok, object, bank, has_bank, has_increment = pcall(read, scan)
  if ok then
    return scan, object, bank, has_bank, has_increment
  elseif not scan.message then
    error(object, 0)
  end
  return scan
end

-- The position of a byte, in characters.
local function in_characters(text, position)
  local _, continuing = text:sub(1, position - 1):gsub('[\128-\191]', '')
  return position - continuing
end

-- Reads a text. Returns nil, a position from 1 in characters and a message when it is none of the above; else
--
--   object     the time control as an object, `{kind = 'fischer', increment_ms = 3000}`
--   bank       ms
--   has_bank   whether the text says the bank by itself, and not with its first stage
--   normal     the text in its normal form
local function parse(text)
  -- A character has four bytes at most.
  if #text > 4 * MOST_CHARACTERS or in_characters(text, #text + 1) > MOST_CHARACTERS + 1 then
    return nil, MOST_CHARACTERS + 1, 'a text of at most ' .. MOST_CHARACTERS .. ' characters expected'
  end
  local scan, object, bank, has_bank, has_increment = scan_text(text)
  if not object then
    return nil, in_characters(text, scan.position), scan.message
  end
  return { object = object, bank = bank, has_bank = has_bank, normal = normal(object, bank, has_increment) }
end

-- Where a text, which `parse` has read, has which number, by the path of the member: `.increment_ms` or
-- `.stages.1.time_ms`, and `.bank`.
local function positions(text)
  local found = {}
  scan_text(text, found)
  for member, position in pairs(found) do
    found[member] = in_characters(text, position)
  end
  return found
end

return {
  parse = parse,
  positions = positions,
}
