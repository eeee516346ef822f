-- Checks the time controls of a config, written as an object or as text.

local KINDS = controls.KINDS
local MOST_UNKNOWN = 100 -- unknown members that are reported
local MOST_MS, LEAST_BANK_MS = bounds.MOST_MS, bounds.LEAST_BANK_MS
local most_of = bounds.most_of

-- Problems are reported by `problem(member, message)`, whose member is a path within the control, such as
-- `.stages.1.moves`, or '' for the control itself. The path of a stage is made once, and that of a member
-- when there is a problem: to make texts is most of what this module costs.
local stage_paths = {}
local json_pieces = {}

local function path_of_stage(number)
  local path = stage_paths[number]
  if not path then
    path = '.stages.' .. number - 1
    stage_paths[number] = path
  end
  return path
end

-- A control is written as JSON and as the text that is stored. Each is a list of pieces, which are made
-- once for all controls, with `%d` in them, and a list of the numbers for these. So a control costs two
-- texts, whatever it has. The lists are used again for the next control, because to let a list grow costs
-- more than to fill it.
local json, json_numbers = { count = 0 }, { count = 0 }
local text, text_numbers = { count = 0 }, { count = 0 }

local function add(list, piece)
  local count = list.count + 1
  list.count, list[count] = count, piece
end

local function begin_writing()
  json.count, json_numbers.count, text.count, text_numbers.count = 0, 0, 0, 0
end

local function written(pieces, numbers)
  return table.concat(pieces, '', 1, pieces.count):format(unpack(numbers, 1, numbers.count))
end

-- value[name] as an integer within bounds, and whether it is valid. It is written as JSON.
--
-- range   {name, least, most, required =}
local function number(value, name, range, path, problem)
  local found, most = value[name], most_of(name, range[3])
  if type(found) == 'number' and found % 1 == 0 and found >= range[2] and found <= most then
    local piece = json_pieces[name]
    if not piece then
      piece = ',"' .. name .. '":%d'
      json_pieces[name] = piece
    end
    add(json, piece)
    add(json_numbers, found)
    return found, true
  elseif found ~= nil and found ~= cjson.null then
    problem(path .. '.' .. name, ('must be an integer from %d to %d'):format(range[2], most))
    return nil, false
  elseif range.required then
    problem(path .. '.' .. name, 'is required')
  end
  return nil, not range.required
end

-- Reports the members of a control with these names, in alphabetical order.
local function refuse_members(names, path, problem, message)
  table.sort(names)
  for i = 1, #names do
    problem(path .. '.' .. names[i], message)
  end
end

-- Reports each member of a control that is not in the set `known`. One that is null is absent. Returns
-- whether there was none.
local function refuse_unknown(value, known, path, problem, kind)
  local names
  for name, member in pairs(value) do
    if not known[name] and member ~= cjson.null then
      names = names or {}
      names[#names + 1] = tostring(name)
      if #names == MOST_UNKNOWN then
        break
      end
    end
  end
  if names then
    refuse_members(names, path, problem, 'is no parameter of ' .. kind)
  end
  return names == nil
end

-- What a control, and a stage, of each kind may have and how it is written. Each is made when it is first
-- needed.
--
--   members   the set of the members that it may have
--   json      what its JSON begins with
--   text      its text, such as `byoyomi %d %d`, without numbers that may be left out; that of a stage begins
--             with `%d/%d/`
local OF_A_CONTROL = { others = { overtime_ms = true, notation = true }, text = '', kinds = {} }
local OF_A_STAGE = { others = { moves = true, time_ms = true }, text = controls_stages.FORM, kinds = {} }

local function of_kind(place, kind)
  local found = place.kinds[kind]
  if not found then
    local rule = KINDS[kind]
    found = { members = { kind = true }, json = '{"kind":"' .. kind .. '"',
      text = place.text .. kind .. (' %d'):rep(#rule.DIGITS - (rule.OPTIONAL or 0)) }
    for name in pairs(place.others) do
      found.members[name] = true
    end
    for i = 1, #rule.PARAMETERS do
      found.members[rule.PARAMETERS[i][1]] = true
    end
    place.kinds[kind] = found
  end
  return found
end

-- Checks the parameters of a control or of a stage, and writes them. Returns whether all is well. known: see
-- of_kind.
local function check_parameters(value, kind, known, path, problem, session)
  local rule = KINDS[kind]
  local parameters = rule.PARAMETERS
  local given, valid = {}, true
  for i = 1, #parameters do
    local parameter = parameters[i]
    local found, is_valid = number(value, parameter[1], parameter, path, problem)
    given[parameter[1]] = found
    valid = valid and is_valid
  end
  valid = refuse_unknown(value, known.members, path, problem, kind) and valid
  if valid then
    add(text, known.text)
    local first, second, third = rule.pack(given, session)
    add(text_numbers, first)
    if second then
      add(text_numbers, second)
      if third then
        add(text, ' %d')
        add(text_numbers, third)
      end
    end
  end
  return valid
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

local STAGE_MOVES = { 'moves', 1, 1000, required = true }
local FIRST_TIME = { 'time_ms', LEAST_BANK_MS, MOST_MS, required = true }
local NEXT_TIME = { 'time_ms', 0, MOST_MS, required = true }

-- Checks a stage and writes it. Returns its time in ms; nil with problems. repeats: whether the last stage
-- comes again and again.
local function check_stage(stage, is_first, is_last, repeats, path, problem, session)
  if type(stage) ~= 'table' then
    problem(path, 'must be an object')
    return nil
  end
  local kind = stage.kind
  if kind == nil or kind == cjson.null then
    kind = 'fischer'
  elseif type(kind) ~= 'string' or not KINDS[kind] or KINDS[kind].BANK then
    problem(path .. '.kind', 'must be one of ' .. kind_names(true))
    return nil
  end
  local known = of_kind(OF_A_STAGE, kind)
  add(json, known.json)
  local moves, has_moves
  if kind == 'canadian' then
    has_moves = is_last and not repeats
    if not has_moves then
      problem(path .. '.kind', is_last and 'must not be canadian in a stage that repeats'
        or 'must not be canadian before the last stage')
    end
  elseif not is_last or repeats then
    moves, has_moves = number(stage, 'moves', STAGE_MOVES, path, problem)
  else
    has_moves = stage.moves == nil or stage.moves == cjson.null
    if not has_moves then
      problem(path .. '.moves', 'must not be in the last stage')
    end
  end
  local time_ms = number(stage, 'time_ms', is_first and FIRST_TIME or NEXT_TIME, path, problem)
  add(text_numbers, moves or 0)
  add(text_numbers, time_ms)
  local valid = check_parameters(stage, kind, known, path, problem, session)
  add(json, '}')
  return valid and has_moves and time_ms or nil
end

local STAGES_MEMBERS = { kind = true, stages = true, ['repeat'] = true, overtime_ms = true, notation = true }

-- Checks a control with stages and writes it. Returns the bank of the first stage in ms; nil with problems.
local function check_stages(value, problem, session)
  local stages = value.stages
  local valid = refuse_unknown(value, STAGES_MEMBERS, '', problem, 'stages')
  if type(stages) ~= 'table' or #stages < 1 or #stages > controls_stages.MOST_STAGES then
    problem('.stages', 'must be a list of 1 to ' .. controls_stages.MOST_STAGES .. ' stages')
    return nil
  end
  local repeats = value['repeat']
  if repeats == cjson.null then
    repeats = nil
  elseif repeats ~= nil and type(repeats) ~= 'boolean' then
    problem('.repeat', 'must be true or false')
    valid, repeats = false, nil
  end
  add(json, '{"kind":"stages","stages":[')
  add(text, 'stages ')
  local bank
  for i = 1, #stages do
    if i > 1 then
      add(json, ',')
      add(text, '|')
    end
    local time_ms = check_stage(
      stages[i], i == 1, i == #stages, repeats, path_of_stage(i), problem, session)
    bank, valid = bank or time_ms, valid and time_ms ~= nil
  end
  add(json, repeats == nil and ']' or '],"repeat":' .. tostring(repeats))
  return valid and bank or nil
end

local OVERTIME = { 'overtime_ms', 0, MOST_MS }

-- Checks a control that is an object with a kind: see check. notation: its notation in normal form, nil for
-- none.
local function check_object(value, problem, session, notation)
  local kind = value.kind
  if type(kind) ~= 'string' or not (KINDS[kind] or kind == 'stages') then
    problem('.kind', 'must be one of ' .. kind_names())
    return nil
  end
  begin_writing()
  local bank, valid
  if kind == 'stages' then
    bank = check_stages(value, problem, session)
    valid = bank ~= nil
  else
    local known = of_kind(OF_A_CONTROL, kind)
    add(json, known.json)
    valid = check_parameters(value, kind, known, '', problem, session)
    bank = KINDS[kind].BANK
  end
  local overtime, has_overtime = number(value, 'overtime_ms', OVERTIME, '', problem)
  if overtime and kind == 'none' then
    problem('.overtime_ms', 'is no parameter of none')
    return nil
  elseif not (valid and has_overtime) then
    return nil
  end
  if overtime and overtime > 0 then
    add(text, ' +%d')
    add(text_numbers, overtime)
  end
  if notation then
    add(json, ',"notation":"')
    add(json, notation)
    add(json, '"')
  end
  add(json, '}')
  return { text = written(text, text_numbers), json = written(json, json_numbers), bank = bank,
    endless = kind ~= 'stages' and KINDS[kind].ENDLESS }
end

-- Whether two decoded values are equal. A member that is null equals one that is absent.
local function is_equal(one, other)
  if one == other then
    return true
  elseif type(one) ~= 'table' or type(other) ~= 'table' then
    return one == cjson.null and other == nil
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

-- What a member means that a notation leaves out, by kind.
local DEFAULTS = { stages = { ['repeat'] = false }, byoyomi = { increment_ms = 0 } }

-- Reports each member that says something else than the object which the notation stands for. Returns whether
-- there was none.
local function refuse_contradictions(value, object, problem)
  local others, defaults = {}, DEFAULTS[object.kind] or {}
  for name, member in pairs(value) do
    local meant = object[name]
    if meant == nil then
      meant = defaults[name]
    end
    if name ~= 'notation' and member ~= cjson.null and not is_equal(member, meant) then
      others[#others + 1] = tostring(name)
    end
    if #others == MOST_UNKNOWN then
      break
    end
  end
  refuse_members(others, '', problem, 'says something else than the notation')
  return #others == 0
end

-- Checks the bank (ms) of a notation. control: what else the notation says, nil when that is wrong.
local function check_bank(bank, control, problem)
  local most = most_of('bank', MOST_MS)
  local range = 'a time from 1 second to ' .. (most == MOST_MS and '366 days' or '24 hours')
  if bank > most or (bank < LEAST_BANK_MS and bank ~= 0) then
    problem('.bank', 'must be 0 or ' .. range)
  elseif bank == 0 and control and not controls.has_time(control.text, 0) then
    problem('.bank', 'must be ' .. range .. ': nothing comes after a bank of 0')
  end
end

-- Checks a notation: see check. value: the control that it is a member of, nil for a control that is text.
-- Other members may be there when they say the same.
local function check_notation(notation, value, problem, session)
  if type(notation) ~= 'string' then
    problem('.notation', 'must be text')
    return nil
  end
  local parsed, position, message = config_notation.parse(notation)
  if not parsed then
    problem('', ('cannot be read at position %d: %s'):format(position, message))
    return nil
  end
  local object = parsed.object
  local valid = true
  if value then
    object.overtime_ms = value.overtime_ms
    valid = refuse_contradictions(value, object, problem)
  end
  local positions, reported
  -- Reports a problem of the parsed object at the position of the text that it came from, once for each.
  local function problem_at(member, problem_text)
    valid = false
    positions, reported = positions or config_notation.positions(notation), reported or {}
    local at = positions[member]
    if not at then
      problem(member, problem_text)
    elseif not reported[at] then
      reported[at] = true
      problem('', ('cannot be read at position %d: %s %s'):format(at, member:sub(2), problem_text))
    end
  end
  local control = check_object(object, problem_at, session, parsed.normal)
  if parsed.has_bank then
    check_bank(parsed.bank, control, problem_at)
  end
  if not (valid and control) then
    return nil
  end
  control.bank = parsed.bank
  return control
end

-- Whether a control supplies a bank. `given` is the control as the caller wrote it, which may have problems.
local function supplies_bank(given)
  if type(given) ~= 'table' then
    return type(given) == 'string'
  end
  local rule = KINDS[given.kind or '']
  return given.notation ~= nil and given.notation ~= cjson.null or given.kind == 'stages'
    or (rule ~= nil and rule.BANK ~= nil)
end

-- Checks the control of an owner, or of the session, which is an object or text. Returns nil with problems,
-- else
--
--   text   the control as it is stored, such as `fischer 2000 0`
--   json   the same as JSON, for the state
--   bank   the bank in ms that the control supplies, nil for none
--   endless  true for a clock without end
--
-- path      the path of the owner in the config, with a dot at its end; '' for the session
-- session   {increment_ms, max_time_ms, read, last, last_control}: the session's values for controls without
--           their own. Participants often have equal controls, and reading one costs more than all else of a
--           participant. So `read` has the good controls that were read from texts; `last` is the object that
--           was read last, of which `last_control` was made. `read` may be left out.
local function check(value, path, problem, session)
  local is_text = type(value) == 'string'
  if not is_text and type(value) ~= 'table' then
    problem(path .. 'time_control', 'must be an object with a kind, or text as players write it')
    return nil
  end
  local read = session.read
  if is_text then
    if read and read[value] then
      return read[value]
    end
  elseif session.last and is_equal(value, session.last) then
    return session.last_control
  end
  local function problem_of(member, message)
    problem(path .. 'time_control' .. member, message)
  end
  local control
  if is_text then
    control = check_notation(value, nil, problem_of, session)
  elseif value.notation ~= nil and value.notation ~= cjson.null then
    control = check_notation(value.notation, value, problem_of, session)
  else
    control = check_object(value, problem_of, session)
  end
  if read then
    if is_text then
      read[value] = control
    elseif control then
      session.last, session.last_control = value, control
    end
  end
  return control
end

return {
  check = check,
  supplies_bank = supplies_bank,
}
