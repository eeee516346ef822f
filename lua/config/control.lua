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

-- Reports the members of a control with these names, in alphabetical order.
local function refuse_members(names, path, problem, message)
  table.sort(names)
  for i = 1, #names do
    problem(path .. '.' .. names[i], message)
  end
end

-- Reports each member of a control that is not in the set `known`. Returns whether all were.
local function refuse_unknown(value, known, path, problem, message)
  local names
  for name in pairs(value) do
    if not known[name] then
      names = names or {}
      names[#names + 1] = tostring(name)
      if #names == MOST_UNKNOWN then
        break
      end
    end
  end
  if names then
    refuse_members(names, path, problem, message)
  end
  return names == nil
end

-- The members that a control, and a stage, of each kind may have. Each set is made when it is first needed.
local OF_A_CONTROL = { others = { overtime_ms = true, notation = true }, sets = {} }
local OF_A_STAGE = { others = { moves = true, time_ms = true }, sets = {} }

local function known_members(place, kind)
  local set = place.sets[kind]
  if not set then
    set = { kind = true }
    for name in pairs(place.others) do
      set[name] = true
    end
    for i = 1, #KINDS[kind].PARAMETERS do
      set[KINDS[kind].PARAMETERS[i][1]] = true
    end
    place.sets[kind] = set
  end
  return set
end

-- Checks kind and parameters of a control or of a stage. Returns the text that is stored, such as
-- `fischer 2000 0`; nil with problems. place: OF_A_CONTROL or OF_A_STAGE.
local function check_kind(value, kind, path, problem, session, members, place)
  local rule = KINDS[kind]
  local parameters = rule.PARAMETERS
  members[#members + 1] = '"kind":"' .. kind .. '"'
  local given, valid = {}, true
  for i = 1, #parameters do
    local parameter = parameters[i]
    local found, is_valid = number(value, parameter[1], parameter, path, problem, members)
    given[parameter[1]] = found
    valid = valid and is_valid
  end
  valid = refuse_unknown(value, known_members(place, kind), path, problem, 'is no parameter of ' .. kind)
    and valid
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
  local text = check_kind(stage, kind, path, problem, session, members, OF_A_STAGE)
  stages_json[#stages_json + 1] = '{' .. table.concat(members, ',') .. '}'
  return has_moves and has_time and text and { moves = moves, time_ms = time_ms, text = text } or nil
end

local STAGES_MEMBERS = { kind = true, stages = true, overtime_ms = true, notation = true }

-- Checks a control with stages. Returns the text that is stored, and the bank of the first stage in ms; nil
-- with problems.
local function check_stages(value, path, problem, session, members)
  local stages = value.stages
  local valid = refuse_unknown(value, STAGES_MEMBERS, path, problem, 'is no parameter of stages')
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
    text, bank = check_kind(value, kind, path, problem, session, members, OF_A_CONTROL), KINDS[kind].BANK
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
  local others = {}
  for name, member in pairs(value) do
    if name ~= 'notation' and member ~= cjson.null and not is_equal(member, object[name]) then
      others[#others + 1] = tostring(name)
    end
    if #others == MOST_UNKNOWN then
      break
    end
  end
  local valid = #others == 0
  refuse_members(others, path, problem, 'says something else than the notation')
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

-- Checks a control of a config, which is an object or text. Returns nil with problems, else
--
--   text   the control as it is stored, such as `fischer 2000 0`
--   json   the same as JSON, for the state
--   bank   the bank in ms that the control supplies, nil for none
--
-- session   {increment_ms, max_time_ms, read}: the session's values for controls without their own, and the
--           good controls that were read before, by what they were read from. Participants often have equal
--           controls, and reading one costs more than all else of a participant. `read` may be left out.
local function check(value, path, problem, session)
  if type(value) ~= 'string' and type(value) ~= 'table' then
    problem(path, 'must be an object with a kind, or text as players write it')
    return nil
  end
  local is_text = type(value) == 'string'
  local read = session.read
  local source = read and (is_text and '"' .. value or cjson.encode(value))
  local known = read and read[source]
  if known then
    return known
  end
  if is_text then
    value = { notation = value }
  end
  local is_notation = value.notation ~= nil and value.notation ~= cjson.null
  local control = (is_notation and check_notation or check_object)(value, path, problem, session)
  if read then
    read[source] = control
  end
  return control
end

return {
  check = check,
  supplies_bank = supplies_bank,
}
