-- Checks the members of a JSON object one by one, and reports all problems, not only the first.

local MOST_RAW_BYTES = 32768 -- of a client's own object, with the space between its tokens
local MOST_BYTES = 10240 -- of the same as compact JSON
local MOST_UNKNOWN = 100 -- unknown names that are reported
local MOST_MEMBERS = 200 -- of an object that is read
local MOST_BRACKETS = 15000 -- lists, and objects, in it: more than the largest config has
local NO_BANK = 'must be 0 or an integer from %d to %d'
local MOST_PROBLEMS = 101 -- one more than a refusal names, so that it can say that there are more

-- Removes the null members of an object, because null means absent. Returns the object.
local function without_nulls(object)
  for name, value in pairs(object) do
    if value == cjson.null then
      object[name] = nil
    end
  end
  return object
end

-- An empty list of problems, the function problem(field, message) that adds to it, and the function is_full()
-- that says whether there are so many that the rest of a list need not be read.
local function collector()
  local problems = {}
  local function problem(field, message)
    if #problems < MOST_PROBLEMS then
      problems[#problems + 1] = { field, message }
    end
  end
  return problems, problem, function()
    return #problems >= MOST_PROBLEMS
  end
end

-- Reports each member of `object` that is not in the set `known`, in alphabetical order.
local function refuse_unknown(object, known, path, problem)
  local names
  for name in pairs(object) do
    if not known[name] then
      names = names or {}
      names[#names + 1] = tostring(name)
      if #names == MOST_UNKNOWN then
        break
      end
    end
  end
  if not names then
    return
  end
  table.sort(names)
  for i = 1, #names do
    problem(path .. names[i], 'is unknown')
  end
end

-- object[name] as an integer within bounds; nil when it is absent or wrong.
local function integer(object, name, least, most, path, problem)
  local number = object[name]
  if number == nil then
    return nil
  end
  most = bounds.most_of(name, most)
  if type(number) ~= 'number' or number % 1 ~= 0 or number < least or number > most then
    problem(path .. name, string.format('must be an integer from %d to %d', least, most))
    return nil
  end
  return number
end

-- object.total_time_ms as a bank in ms; nil when it is absent or wrong. It may be 0: whether anything comes
-- after it, config/bank.lua looks.
local function bank(object, path, problem)
  local function refuse()
    problem(path .. 'total_time_ms',
      NO_BANK:format(bounds.LEAST_BANK_MS, bounds.most_of('total_time_ms', bounds.MOST_MS)))
  end
  local ms = integer(object, 'total_time_ms', 0, bounds.MOST_MS, path, refuse)
  if ms and ms > 0 and ms < bounds.LEAST_BANK_MS then
    refuse()
    return nil
  end
  return ms
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

-- The list at object[name]; nil when it is absent or no list. raw: the JSON of each member. cjson decodes
-- `{}` and `[]` to the same table, so the JSON says which of them it was.
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

-- Decodes the JSON of an object of at most `most` bytes. Returns the object without its null members, and the
-- JSON of each member by name; nil with a problem.
local function read_object(text, path, most, known, problem)
  if #text > most then
    problem(path, 'must be at most ' .. most .. ' bytes')
    return nil
  end
  -- To decode a text costs far more than to look at it. So one that has more in it than any good one is
  -- refused before.
  if text_json.has_more(text, '[', MOST_BRACKETS) or text_json.has_more(text, '{', MOST_BRACKETS) then
    problem(path, 'must have at most ' .. MOST_BRACKETS .. ' lists and as many objects')
    return nil
  end
  local raw, seen = text_json.members(text, MOST_MEMBERS)
  if not raw and seen then
    problem(path, 'must have at most ' .. MOST_MEMBERS .. ' members')
    return nil
  elseif not text_formats.characters(text) then
    problem(path, 'must be UTF-8')
    return nil
  end
  local is_json, object = pcall(cjson.decode, text)
  if not (is_json and raw) then
    problem(path, 'must be a JSON object')
    return nil
  end
  for name in pairs(raw) do
    -- A name such as "meta\u0064ata" is `metadata` in the decoded object, but not among the raw members.
    if name:find('\\', 1, true) and known[cjson.decode('["' .. name .. '"]')[1]] then
      problem(name, 'must be written without escapes')
    end
  end
  return without_nulls(object), raw
end

-- The object at object[name] as compact JSON, and the number of its members; nil with a problem. Such an
-- object belongs to the client, so it keeps its empty lists and its nulls.
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
  MOST_RAW_BYTES = MOST_RAW_BYTES,
  MOST_BYTES = MOST_BYTES,
  without_nulls = without_nulls,
  collector = collector,
  refuse_unknown = refuse_unknown,
  integer = integer,
  bank = bank,
  boolean = boolean,
  uuid = uuid,
  list = list,
  read_object = read_object,
  read_raw = read_raw,
}
