-- The time controls by the name of their kind: how a clock is spent. A new one is one file in controls/ and one line in KINDS.
--
-- A kind has
--   PARAMETERS                       list of {name, least, most, required =}: what a config may give, in the order in which it is shown
--   NUMBERS                          how many numbers it packs
--   pack(given, session)             these numbers, all that its rules need, as text: so a control is kept
--   parse(text)                      the same as a table: owner.control
--   budget(owner, offset)            all that the owner may use in this cycle, overtime left out, in ms; math.huge for a clock without end
--   charged(owner, used, offset)     the bank after `used` ms of a cycle, nothing credited, and what it keeps then
--   settled(owner, used, offset)     the same after a cycle that ended in time with `used` ms charged, with what is credited
-- and, where it applies,
--   KEEPS, fresh(control)            names of the numbers that it keeps with the clock, as fields of owner and of the state's `clock`, and what they
--                                    begin as; charged and settled return them in this order after the bank
--   now(owner, used)                 what a player sees of them after `used` ms of a cycle, as members of a JSON object
--   drawn(owner, used, offset)       what `used` ms of a cycle take out of the bank, where that is not all of it
--   BANK                             the bank that comes with it
--   HANDS_ON                         the next clock gets what a cycle used
-- all pure. `owner` has bank (ms, at the start of the cycle), control and what it keeps; `offset` is the running time of the cycle before this
-- clock got time again, 0 for nearly all.

local KINDS = {
  fischer = controls_fischer,
  bronstein = controls_bronstein,
  delay = controls_delay,
  byoyomi = controls_byoyomi,
  canadian = controls_canadian,
  hourglass = controls_hourglass,
  none = controls_none,
}
local NAMES, STAGE_NAMES = 'fischer, bronstein, delay, byoyomi, canadian, hourglass, stages, none', 'fischer, bronstein, delay, byoyomi, canadian, hourglass'
local MOST_UNKNOWN = 100
local DAY_MS = 86400000

-- What clocks keep: the pattern that finds a number in the JSON of the state's `clock`, by its name.
local PATTERNS = {
  stage = '"stage":(%d)', moves_left = '"moves_left":(%d+)', periods_left = '"periods_left":(%d+)',
  block_remaining_ms = '"block_remaining_ms":(%d+)', quota_ms = '"quota_ms":(%d+)',
}

-- Controls that were read lately, by their text. It only saves the same reading again, so it does no harm that it is not replicated.
local MOST_KNOWN = 256
local known, known_count = {}, 0

-- The names of what an owner with this control keeps, in the order of the state.
local function kept_names(control)
  local names = {}
  if control.stage then
    names[1] = 'stage'
    if control.moves then
      names[2] = 'moves_left'
    end
  end
  local own = control.rule.KEEPS
  for i = 1, own and #own or 0 do
    names[#names + 1] = own[i]
  end
  if control.gain > 0 then
    names[#names + 1] = 'quota_ms'
  end
  return names
end

local function read_kind(text)
  local kind, numbers = text:match('^(%l+) (.*)$')
  local rule = KINDS[kind]
  local control = rule.parse(numbers)
  control.rule = rule
  return control
end

-- What comes after the kind and its numbers, for a control and each of its stages.
local function complete(control, overtime, gain)
  control.overtime, control.gain = overtime, gain
  local names = kept_names(control)
  if #names > 0 then
    control.keeps = names
  end
  control.shows = #names > 0 or overtime > 0
end

-- A control from its text, `<kind> <numbers> [+<overtime ms>] [~<lag gain ms>]`: its numbers by name, `rule` (the functions of its kind), overtime
-- and gain (ms, 0 for none), keeps (nil for nothing), and shows where the state's `clock` has something to show. Of one with stages the first
-- stage; its `stages` are all. Shared: not to be changed.
local function read(text)
  local control = known[text]
  if control then
    return control
  end
  local overtime, gain = tonumber(text:match(' %+(%d+)')) or 0, tonumber(text:match(' ~(%d+)')) or 0
  local staged = text:match('^stages (.*)$')
  if staged then
    local stages = controls_stages.parse(staged, read_kind)
    for i = 1, #stages do
      complete(stages[i], overtime, gain)
    end
    control = stages[1]
    control.stages = stages
  else
    control = read_kind(text)
    complete(control, overtime, gain)
  end
  if known_count >= MOST_KNOWN then
    known, known_count = {}, 0
  end
  known[text], known_count = control, known_count + 1
  return control
end

-- What the state's `clock` shows of an owner, as of the start of its cycle.
local function view(owner)
  local control = owner.control
  local names, parts = control.keeps, {}
  for i = 1, names and #names or 0 do
    parts[i] = ('"%s":%d'):format(names[i], owner[names[i]])
  end
  if control.overtime > 0 then
    local place = control.gain > 0 and #parts or #parts + 1
    table.insert(parts, place, ('"overtime_used_ms":%d'):format(owner.bank < 0 and -owner.bank or 0))
  end
  return '{' .. table.concat(parts, ',') .. '}'
end

-- The same with `now`: what it would show if the cycle, which has used `used` ms of this clock, were charged at this moment.
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

-- Reads what an owner keeps out of its `clock`, and its control is the one of its stage from then on.
local function adopt(owner)
  local control, text = owner.control, owner.clock
  if control.stages then
    control = control.stages[text:match(PATTERNS.stage) + 1]
    owner.control = control
  end
  local names = control.keeps
  for i = 1, names and #names or 0 do
    owner[names[i]] = text:match(PATTERNS[names[i]]) + 0
  end
end

local function keep(owner, bank, first, second)
  owner.bank = bank
  if first then
    local names = owner.control.rule.KEEPS
    owner[names[1]] = first
    if second then
      owner[names[2]] = second
    end
  end
end

-- An owner enters a stage, or begins with a control that has none.
local function enter(owner, control)
  owner.control = control
  owner.stage, owner.moves_left = control.stage, control.moves
  if control.rule.KEEPS then
    keep(owner, owner.bank, control.rule.fresh(control))
  end
end

-- An owner begins with `bank` ms under the control of this text.
local function begin(owner, text, bank)
  owner.bank = bank
  enter(owner, read(text))
end

-- Charges a cycle, and credits nothing.
local function charge(owner, used, offset)
  keep(owner, owner.control.rule.charged(owner, used, offset))
end

-- Charges a cycle that ended in time, credits what its control gives, and counts the move: at the end of a stage the next one begins.
local function settle(owner, used, offset)
  local control = owner.control
  keep(owner, control.rule.settled(owner, used, offset))
  if control.moves then
    owner.moves_left = owner.moves_left - 1
    if owner.moves_left == 0 then
      local following = control.following
      owner.bank = owner.bank + following.time
      enter(owner, following)
    end
  end
end

-- What `used` ms of a cycle have taken out of an owner's bank so far; below zero the bank stands in periods, block or overtime.
local function drawn(owner, used, offset)
  local own = owner.control.rule.drawn
  return own and own(owner, used, offset) or used
end

-- Whether numbers are those of a kind as they are kept.
local function are_numbers(kind, numbers)
  local rule = KINDS[kind]
  return rule ~= nil and numbers:find('^%d+' .. (' %d+'):rep(rule.NUMBERS - 1) .. '$') ~= nil
end

-- Whether a text is a control as it is kept.
local function is_kept(text)
  if #text > 500 or text:find(('%d'):rep(12)) then
    return false
  end
  local body = text:gsub(' ~%d+$', '')
  local kind, numbers = body:gsub(' %+%d+$', ''):match('^(%l+) (.*)$')
  if kind ~= 'stages' then
    return are_numbers(kind, numbers)
  end
  local count, last = 0, false
  for part in (numbers .. '|'):gmatch('([^|]*)|') do
    local moves, time, stage_kind, stage_numbers = part:match('^(%d+)/(%d+)/(%l+) (.*)$')
    if last or not time or stage_kind == 'none' or not are_numbers(stage_kind, stage_numbers) then
      return false
    end
    count, last = count + 1, tonumber(moves) == 0
  end
  return last and count <= controls_stages.MOST_STAGES
end

-- Whether a text is what an owner with a control and this bank keeps.
local function is_view(text, control, bank)
  local owner = { bank = bank, clock = text, control = control }
  if control.stages then
    local stage = text:match(PATTERNS.stage)
    if not (stage and control.stages[stage + 1]) then
      return false
    end
    control = control.stages[stage + 1]
  end
  local names = control.keeps
  for i = 1, names and #names or 0 do
    local number = text:match(PATTERNS[names[i]])
    if not number or #number > 15 then
      return false
    end
  end
  adopt(owner)
  return view(owner) == text
end

-- value[name] as an integer within bounds, and whether that is as it should be; with its JSON member behind those of `shown`.
local function number(value, name, bounds, path, problem, shown)
  local found = value[name]
  if found == nil or found == cjson.null then
    if bounds.required then
      problem(path .. '.' .. name, 'is required')
    end
    return nil, not bounds.required
  elseif type(found) ~= 'number' or found % 1 ~= 0 or found < bounds[2] or found > bounds[3] then
    problem(path .. '.' .. name, ('must be an integer from %d to %d'):format(bounds[2], bounds[3]))
    return nil, false
  end
  shown[#shown + 1] = ('"%s":%d'):format(name, found)
  return found, true
end

-- One rule for a clock, the whole control's or a stage's, as it is kept; nil with problems. Its members go behind those of `shown`; `others` are names
-- of members that are read elsewhere.
local function check_kind(value, kind, path, problem, session, shown, others)
  local rule = KINDS[kind]
  shown[#shown + 1] = '"kind":"' .. kind .. '"'
  local given, names, fine = {}, { kind = true }, true
  for i = 1, #rule.PARAMETERS do
    local parameter = rule.PARAMETERS[i]
    local is_fine
    names[parameter[1]] = true
    given[parameter[1]], is_fine = number(value, parameter[1], parameter, path, problem, shown)
    fine = fine and is_fine
  end
  local unknown = 0
  for name in pairs(value) do
    if not (names[name] or others[name]) and unknown < MOST_UNKNOWN then
      problem(path .. '.' .. tostring(name), 'is no parameter of ' .. kind)
      fine, unknown = false, unknown + 1
    end
  end
  return fine and kind .. ' ' .. rule.pack(given, session) or nil
end

local STAGE_NUMBERS = { moves = true, time_ms = true }
local STAGE_MOVES, NEXT_TIME, FIRST_TIME = { 'moves', 1, 1000, required = true }, { 'time_ms', 0, DAY_MS, required = true },
  { 'time_ms', 1000, DAY_MS, required = true }

-- A stage as {moves, time_ms, text}, nil with problems.
local function check_stage(stage, is_first, is_last, path, problem, session, all_shown)
  if type(stage) ~= 'table' then
    problem(path, 'must be an object')
    return nil
  end
  local kind, shown = stage.kind, {}
  if kind == nil or kind == cjson.null then
    kind = 'fischer'
  elseif type(kind) ~= 'string' or not KINDS[kind] or kind == 'none' then
    problem(path .. '.kind', 'must be one of ' .. STAGE_NAMES)
    return nil
  end
  local moves, has_moves, time_ms, has_time
  if kind == 'canadian' then
    has_moves = is_last
    if not is_last then
      problem(path .. '.kind', 'must not be canadian before the last stage')
    end
  elseif not is_last then
    moves, has_moves = number(stage, 'moves', STAGE_MOVES, path, problem, shown)
  else
    has_moves = stage.moves == nil or stage.moves == cjson.null
    if not has_moves then
      problem(path .. '.moves', 'must not be in the last stage')
    end
  end
  time_ms, has_time = number(stage, 'time_ms', is_first and FIRST_TIME or NEXT_TIME, path, problem, shown)
  local text = check_kind(stage, kind, path, problem, session, shown, STAGE_NUMBERS)
  all_shown[#all_shown + 1] = '{' .. table.concat(shown, ',') .. '}'
  return has_moves and has_time and text and { moves = moves, time_ms = time_ms, text = text } or nil
end

local STAGES_MEMBERS = { kind = true, stages = true, overtime_ms = true, notation = true }

-- The stages of a control as they are kept, and the bank of the first; nil with problems.
local function check_stages(value, path, problem, session, shown)
  local stages, fine = value.stages, true
  for name in pairs(value) do
    if not STAGES_MEMBERS[name] then
      problem(path .. '.' .. tostring(name), 'is no parameter of stages')
      fine = false
    end
  end
  if type(stages) ~= 'table' or #stages < 1 or #stages > controls_stages.MOST_STAGES then
    problem(path .. '.stages', 'must be a list of 1 to ' .. controls_stages.MOST_STAGES .. ' stages')
    return nil
  end
  local list, all_shown = {}, {}
  for i = 1, #stages do
    list[i] = check_stage(stages[i], i == 1, i == #stages, path .. '.stages.' .. i - 1, problem, session, all_shown)
    fine = fine and list[i] ~= nil
  end
  if not fine then
    return nil
  end
  shown[#shown + 1] = '"kind":"stages","stages":[' .. table.concat(all_shown, ',') .. ']'
  return 'stages ' .. controls_stages.pack(list), list[1].time_ms
end

local OVERTIME = { 'overtime_ms', 0, DAY_MS }
local COMMON_MEMBERS = { overtime_ms = true, notation = true }

-- A control that is an object with a kind: see check.
local function check_object(value, path, problem, session)
  local kind = value.kind
  if type(kind) ~= 'string' or not (KINDS[kind] or kind == 'stages') then
    problem(path .. '.kind', 'must be one of ' .. NAMES)
    return nil
  end
  local shown = {}
  local text, bank
  if kind == 'stages' then
    text, bank = check_stages(value, path, problem, session, shown)
  else
    text, bank = check_kind(value, kind, path, problem, session, shown, COMMON_MEMBERS), KINDS[kind].BANK
  end
  local overtime, fine = number(value, 'overtime_ms', OVERTIME, path, problem, shown)
  if overtime and kind == 'none' then
    problem(path .. '.overtime_ms', 'is no parameter of none')
    return nil
  elseif not (text and fine) then
    return nil
  end
  if overtime and overtime > 0 then
    text = text .. (' +%d'):format(overtime)
  end
  return { text = text, shown = '{' .. table.concat(shown, ',') .. '}', bank = bank }
end

-- Whether two decoded values say the same; null is as good as nothing.
local function says_same(one, other)
  if type(one) ~= 'table' or type(other) ~= 'table' then
    return one == other or (one == cjson.null and other == nil)
  end
  for name, value in pairs(one) do
    if not says_same(value, other[name]) then
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

-- A control that has its notation: see check.
local function check_notation(value, path, problem, session)
  if type(value.notation) ~= 'string' then
    problem(path .. '.notation', 'must be text')
    return nil
  end
  local said, position, message = notation.parse(value.notation)
  if not said then
    problem(path, ('cannot be read at position %d: %s'):format(position, message))
    return nil
  end
  local object = said.object
  object.overtime_ms = value.overtime_ms
  local fine = true
  for name, member in pairs(value) do
    if name ~= 'notation' and member ~= cjson.null and not says_same(member, object[name]) then
      problem(path .. '.' .. tostring(name), 'says something else than the notation')
      fine = false
    end
  end
  local told = {}
  local function problem_at(field, what)
    local name = field:sub(#path + 2)
    local where = said.positions[name]
    fine = false
    if not where then
      problem(field, what)
    elseif not told[where] then
      told[where] = true
      problem(path, ('cannot be read at position %d: %s %s'):format(where, name, what))
    end
  end
  local control = check_object(object, path, problem_at, session)
  if said.positions.bank and (said.bank < 1000 or said.bank > DAY_MS) then
    problem_at(path .. '.bank', ('must be a time from 1 second to 24 hours'))
  end
  if not (fine and control) then
    return nil
  end
  control.bank = said.bank
  control.shown = control.shown:sub(1, -2) .. ',"notation":"' .. said.normal .. '"}'
  return control
end

-- Checks a control of a config: an object, or text. session: what its increment_ms and max_time_ms hold for. Returns {text, shown, bank}: as it is
-- kept, as JSON for the state, and the bank that comes with it (ms, nil for none); nil with problems.
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
  read = read, is_kept = is_kept, is_view = is_view, check = check, view = view, view_now = view_now, adopt = adopt, begin = begin, charge = charge,
  settle = settle, drawn = drawn,
}
