-- The time controls by the name of their kind: how a clock is spent. A new one is one file in controls/ and one line here.
--
-- A kind has
--   PARAMETERS                       list of {name, least, most, required =}: what a config may give, in the order in which it is shown
--   pack(given, session)             the numbers that its rules need, as text: so a control is kept
--   parse(text)                      the same as a table: owner.control
--   budget(owner, offset)            all that the owner may use in this cycle, overtime left out, in ms; math.huge for a clock without end
--   charged(owner, used, offset)     the bank after `used` ms of a cycle, nothing credited
--   settled(owner, used, offset)     the bank after a cycle that ended in time with `used` ms charged
-- all pure. `owner` has bank (ms, at the start of the cycle) and control; `offset` is the running time of the cycle before this clock got time
-- again, 0 for nearly all.

local KINDS = { fischer = controls_fischer, bronstein = controls_bronstein, delay = controls_delay }
local MOST_UNKNOWN = 100
local NAMES = 'fischer, bronstein, delay'

-- The clock of count_up without a maximum: it has no end.
local ENDLESS = {
  parse = function() return { endless = true } end,
  budget = function() return math.huge end,
  charged = function(owner) return owner.bank end,
  settled = function(owner) return owner.bank end,
}

-- Controls that were read lately, by their text. It only saves the same reading again, so it does no harm that it is not replicated.
local MOST_KNOWN = 256
local known, known_count = {}, 0

-- A control from its text, `<kind> <numbers> [+<overtime ms>] [~<lag gain ms>]` or `endless`: its numbers by name, `rule` (the functions
-- of its kind), overtime and gain (ms, 0 for none). Shared: not to be changed.
local function read(text)
  local control = known[text]
  if control then
    return control
  end
  local kind, numbers = text:match('^(%l+) ?(.*)$')
  local rule = KINDS[kind] or ENDLESS
  control = rule.parse(numbers)
  control.rule = rule
  control.overtime = tonumber(text:match(' %+(%d+)')) or 0
  control.gain = tonumber(text:match(' ~(%d+)')) or 0
  if known_count >= MOST_KNOWN then
    known, known_count = {}, 0
  end
  known[text], known_count = control, known_count + 1
  return control
end

-- Whether a text is a control as it is kept.
local function is_kept(text)
  if text == 'endless' then
    return true
  end
  local kind, numbers = text:match('^(%l+) ([%d ]+)[ +~%d]*$')
  if not KINDS[kind] or #text > 100 or text:find(('%d'):rep(12)) then
    return false
  end
  -- A number that is not there is nil, and then the table has fewer names than one that was packed.
  local control, whole = KINDS[kind].parse(numbers), KINDS[kind].parse('0 0')
  for name in pairs(whole) do
    if not control[name] then
      return false
    end
  end
  return true
end

-- Checks a control of a config. Returns {text, shown}: as it is kept, and as JSON for the state; nil with problems.
local function check(value, path, problem, session)
  if type(value) ~= 'table' then
    problem(path, 'must be an object with a kind')
    return nil
  end
  local control = KINDS[value.kind]
  if not control or type(value.kind) ~= 'string' then
    problem(path .. '.kind', 'must be one of ' .. NAMES)
    return nil
  end
  local given, names, fine = {}, { kind = true, overtime_ms = true }, true
  local shown = { '"kind":"' .. value.kind .. '"' }
  local function read_number(name, least, most, required)
    names[name] = true
    local number = value[name]
    if number == nil or number == cjson.null then
      if required then
        problem(path .. '.' .. name, 'is required')
        fine = false
      end
    elseif type(number) ~= 'number' or number % 1 ~= 0 or number < least or number > most then
      problem(path .. '.' .. name, string.format('must be an integer from %d to %d', least, most))
      fine = false
    else
      given[name] = number
      shown[#shown + 1] = string.format('"%s":%d', name, number)
    end
  end
  for i = 1, #control.PARAMETERS do
    local parameter = control.PARAMETERS[i]
    read_number(parameter[1], parameter[2], parameter[3], parameter.required)
  end
  read_number('overtime_ms', 0, 86400000)
  local unknown = 0
  for name in pairs(value) do
    if not names[name] and unknown < MOST_UNKNOWN then
      problem(path .. '.' .. tostring(name), 'is no parameter of ' .. value.kind)
      fine, unknown = false, unknown + 1
    end
  end
  if not fine then
    return nil
  end
  local text = value.kind .. ' ' .. control.pack(given, session)
  if given.overtime_ms and given.overtime_ms > 0 then
    text = text .. string.format(' +%d', given.overtime_ms)
  end
  return { text = text, shown = '{' .. table.concat(shown, ',') .. '}' }
end

return { read = read, is_kept = is_kept, check = check }
