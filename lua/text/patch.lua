-- JSON merge patches (RFC 7396) on texts, so that whatever a patch does not name keeps the JSON that it has.
--
-- A value is a text, or for an object
--   names    the names in order, as they compare: without escapes
--   values   the value of each name
--   written  how the text has the names with escapes
-- All texts have to be compact JSON that is strict and that cjson accepts.

-- A name without its escapes.
local function plain(name)
  return name:find('\\', 1, true) and cjson.decode('["' .. name .. '"]')[1] or name
end

-- Reads the object that begins at `position`. Of equal names the last one counts. deep: whether its objects
-- are read as well, else they stay text; what is in lists is never read. Returns the object and the position
-- after it.
local function read_at(text, position, deep)
  local object = { names = {}, values = {}, written = {} }
  position = position + 1
  while text:sub(position, position) == '"' do
    local stop = text_json.skip_string(text, position)
    local written = text:sub(position + 1, stop - 2)
    local name = plain(written)
    local from = stop + 1 -- after the colon
    local first = text:sub(from, from)
    local value
    if first == '{' and deep then
      value, position = read_at(text, from, deep)
    else
      if first == '"' then
        position = text_json.skip_string(text, from)
      elseif first == '{' or first == '[' then
        position = text_json.skip_brackets(text, from)
      else
        position = text:find('[,}]', from)
      end
      value = text:sub(from, position - 1)
    end
    if object.values[name] == nil then
      object.names[#object.names + 1] = name
    end
    object.values[name], object.written[name] = value, written ~= name and written or nil
    if text:sub(position, position) == ',' then
      position = position + 1
    end
  end
  return object, position + 1
end

-- Reads the object in a text, with all objects in it when it is `deep`.
local function read(text, deep)
  return (read_at(text, 1, deep))
end

-- The JSON of a value.
local function write(value)
  if type(value) == 'string' then
    return value
  end
  local members = {}
  for i = 1, #value.names do
    local name = value.names[i]
    if value.values[name] ~= nil then
      members[#members + 1] = '"' .. (value.written[name] or name) .. '":' .. write(value.values[name])
    end
  end
  return '{' .. table.concat(members, ',') .. '}'
end

-- How many members an object has.
local function count(object)
  local found = 0
  for _ in pairs(object.values) do
    found = found + 1
  end
  return found
end

-- Applies a patch to a value, nil for none, which it may change. Returns the new value, and whether it is
-- another one than before.
local function apply(value, patch)
  if type(patch) == 'string' then
    return patch, value ~= patch
  end
  local changed = type(value) ~= 'table'
  if changed then
    value = { names = {}, values = {}, written = {} }
  end
  for i = 1, #patch.names do
    local name = patch.names[i]
    local before, wanted = value.values[name], patch.values[name]
    if wanted == 'null' then
      value.values[name] = nil
      changed = changed or before ~= nil
    else
      local after, differs = apply(before, wanted)
      if before == nil then
        value.names[#value.names + 1], value.written[name] = name, patch.written[name]
      end
      value.values[name] = after
      changed = changed or differs
    end
  end
  return value, changed
end

return {
  read = read,
  write = write,
  count = count,
  apply = apply,
}
