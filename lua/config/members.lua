-- The members of a JSON object, judged one by one. Every problem is found, not the first.

local MOST_BYTES = 10240
local MOST_RAW_BYTES = 32768
local MOST_UNKNOWN = 100

-- The object without the members that are null: null means absent.
local function without_nulls(object)
  local present = {}
  for name, value in pairs(object) do
    if value ~= cjson.null then
      present[name] = value
    end
  end
  return present
end

-- A collector of problems: problem(field, message).
local function collector()
  local problems = {}
  return problems, function(field, message)
    problems[#problems + 1] = { field, message }
  end
end

local function unknown_names(object, known, path, problem)
  local names = {}
  for name in pairs(object) do
    if not known[name] and #names < MOST_UNKNOWN then
      names[#names + 1] = tostring(name)
    end
  end
  table.sort(names)
  for i = 1, #names do
    problem(path .. names[i], 'is unknown')
  end
end

-- object[name] as an integer within bounds; nil where it is absent or wrong.
local function integer(object, name, least, most, path, problem)
  local number = object[name]
  if number == nil then
    return nil
  elseif type(number) ~= 'number' or number % 1 ~= 0 or number < least or number > most then
    problem(path .. name, string.format('must be an integer from %d to %d', least, most))
    return nil
  end
  return number
end

local function boolean(object, name, problem)
  local value = object[name]
  if value ~= nil and type(value) ~= 'boolean' then
    problem(name, 'must be true or false')
    return false
  end
  return value or false
end

local function uuid(object, name, path, problem)
  local value = object[name]
  if value == nil then
    return nil
  end
  local id = text_formats.uuid(value)
  if not id then
    problem(path .. name, 'must be a UUID')
  end
  return id
end

-- The list at object[name]; nil where it is absent or no list.
local function list(object, raw, name, problem)
  local value = object[name]
  if value == nil then
    return nil
  elseif type(value) ~= 'table' or (raw[name] or ''):sub(1, 1) ~= '[' then
    problem(name, 'must be a list')
    return nil
  end
  return value
end

-- JSON text as an object: decoded without nulls, and the raw text of its members. nil where it is none; that
-- is a problem then.
local function read_object(text, path, most, known, problem)
  if #text > most then
    problem(path, 'must be at most ' .. most .. ' bytes')
    return nil
  elseif not text_formats.characters(text) then
    problem(path, 'must be UTF-8')
    return nil
  end
  local fine, object = pcall(cjson.decode, text)
  local raw = fine and text_json.members(text)
  if not raw then
    problem(path, 'must be a JSON object')
    return nil
  end
  for name in pairs(raw) do
    -- A known name that is written with escapes would be one name when it is judged, and another when it is
    -- kept.
    if name:find('\\', 1, true) and known[cjson.decode('["' .. name .. '"]')[1]] then
      problem(name, 'must be written without escapes')
    end
  end
  return without_nulls(object), raw
end

-- A client's own object as compact JSON, with the number of its members; nil where it is none, or too large.
local function read_raw(object, raw, name, problem)
  local text = raw[name]
  if type(object[name]) ~= 'table' or not text or text:sub(1, 1) ~= '{'
    or (#text <= MOST_RAW_BYTES and not text_json.is_strict(text)) then
    problem(name, 'must be an object')
    return nil
  end
  if #text <= MOST_RAW_BYTES then
    text = text_json.compact(text)
  end
  if #text > MOST_BYTES then
    problem(name, 'must be at most ' .. MOST_BYTES .. ' bytes of compact JSON')
    return nil
  end
  local _, count = text_json.members(text)
  return text, count
end

return {
  without_nulls = without_nulls,
  collector = collector,
  unknown_names = unknown_names,
  integer = integer,
  boolean = boolean,
  uuid = uuid,
  list = list,
  read_object = read_object,
  read_raw = read_raw,
}
