-- Time controls as a config has them: the judge of each, as an object or as text.

local KINDS = controls.KINDS
local MOST_UNKNOWN = 100
local DAY_MS = 86400000

-- value[name] as an integer within bounds, and whether that is as it should be; with its JSON member behind
-- those of `shown`.
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

-- Names that a control does not have, in their order. is_known(name, member).
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

-- One rule for a clock, the whole control's or a stage's, as it is kept; nil with problems. Its members go
-- behind those of `shown`; `others` are names of members that are read elsewhere.
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
  fine = refuse_unknown(value, function(name) return names[name] or others[name] end, path, problem,
    'is no parameter of ' .. kind) and fine
  return fine and kind .. ' ' .. rule.pack(given, session) or nil
end

-- The kinds that a control may be of, or a stage: not one that brings its own bank.
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
local STAGE_MOVES, NEXT_TIME, FIRST_TIME = { 'moves', 1, 1000, required = true },
  { 'time_ms', 0, DAY_MS, required = true },
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
  local stages = value.stages
  local fine = refuse_unknown(value, function(name) return STAGES_MEMBERS[name] end, path, problem,
    'is no parameter of stages')
  if type(stages) ~= 'table' or #stages < 1 or #stages > controls_stages.MOST_STAGES then
    problem(path .. '.stages', 'must be a list of 1 to ' .. controls_stages.MOST_STAGES .. ' stages')
    return nil
  end
  local list, all_shown = {}, {}
  for i = 1, #stages do
    list[i] = check_stage(stages[i], i == 1, i == #stages, path .. '.stages.' .. i - 1, problem, session,
      all_shown)
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
    problem(path .. '.kind', 'must be one of ' .. kind_names())
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
  local said, position, message = config_notation.parse(value.notation)
  if not said then
    problem(path, ('cannot be read at position %d: %s'):format(position, message))
    return nil
  end
  local object = said.object
  object.overtime_ms = value.overtime_ms
  local fine = refuse_unknown(value, function(name, member)
    return name == 'notation' or member == cjson.null or says_same(member, object[name])
  end, path, problem, 'says something else than the notation')
  local reported = {}
  local function problem_at(field, what)
    local name = field:sub(#path + 2)
    local where = said.positions[name]
    fine = false
    if not where then
      problem(field, what)
    elseif not reported[where] then
      reported[where] = true
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

-- Whether a control as it was given brings a bank along, be it right or wrong otherwise.
local function brings_bank(given)
  if type(given) ~= 'table' then
    return type(given) == 'string'
  end
  local rule = KINDS[given.kind or '']
  return given.notation ~= nil or given.kind == 'stages' or (rule ~= nil and rule.BANK ~= nil)
end

-- Checks a control of a config: an object, or text. session: what its increment_ms and max_time_ms hold for.
-- Returns {text, shown, bank}: as it is kept, as JSON for the state, and the bank that comes with it (ms, nil
-- for none); nil with problems.
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
  brings_bank = brings_bank,
}
