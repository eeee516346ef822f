-- Reads JSON as text. A client's own objects are stored as text, because cjson would turn an empty list into
-- an object and would lose nulls.

local MAX_DEPTH = 64 -- lists and objects inside each other
local QUOTE, OPEN_LIST, OPEN_OBJECT = 34, 91, 123 -- the bytes " [ {
local ESCAPES = { ['"'] = '\\"', ['\\'] = '\\\\', ['\b'] = '\\b', ['\f'] = '\\f', ['\n'] = '\\n',
  ['\r'] = '\\r', ['\t'] = '\\t' }

for byte = 0, 127 do
  local character = (('').char)(byte) -- a library cannot use `string` while it is loaded
  if character:find('%c') and not ESCAPES[character] then
    ESCAPES[character] = ('\\u%04x'):format(byte)
  end
end

-- A text as a JSON string.
local function quote(text)
  if text:find('[%c"\\]') then
    text = text:gsub('[%c"\\]', ESCAPES)
  end
  return '"' .. text .. '"'
end

-- The position after the string that begins at `position`; nil when it is no strict JSON.
local function skip_string(text, position)
  local at = position + 1
  while true do
    local stop = text:find('["\\%c]', at)
    if not stop then
      return nil
    end
    local character = text:sub(stop, stop)
    if character == '"' then
      return stop + 1
    elseif character ~= '\\' then
      if character == '\127' then -- Lua's %c matches it, but JSON allows it
        at = stop + 1
      else
        return nil
      end
    elseif text:find('^u%x%x%x%x', stop + 1) then
      at = stop + 6
    elseif text:find('^["\\/bfnrt]', stop + 1) then
      at = stop + 2
    else
      return nil
    end
  end
end

-- The position after the number that begins at `position`; nil when it is no strict JSON.
local function skip_number(text, position)
  local _, stop = text:find('^%-?%d+', position)
  if not stop or text:find('^%-?0%d', position) then
    return nil
  end
  local _, fraction = text:find('^%.%d+', stop + 1)
  stop = fraction or stop
  local _, exponent = text:find('^[eE][+-]?%d+', stop + 1)
  return (exponent or stop) + 1
end

-- The position of the first character from `position` on that is no space.
local function skip_space(text, position)
  return text:find('[^ \t\r\n]', position) or #text + 1
end

-- The position after the value that begins at `position`; nil when it is no strict JSON.
local function skip_value(text, position, depth)
  local first = text:sub(position, position)
  if first == '"' then
    return skip_string(text, position)
  elseif first == '{' or first == '[' then
    if depth > MAX_DEPTH then
      return nil
    end
    local close = first == '{' and '}' or ']'
    position = skip_space(text, position + 1)
    if text:sub(position, position) == close then
      return position + 1
    end
    while true do
      if first == '{' then
        position = text:sub(position, position) == '"' and skip_string(text, position)
        if not position then
          return nil
        end
        position = skip_space(text, position)
        if text:sub(position, position) ~= ':' then
          return nil
        end
        position = skip_space(text, position + 1)
      end
      position = skip_value(text, position, depth + 1)
      if not position then
        return nil
      end
      position = skip_space(text, position)
      local separator = text:sub(position, position)
      if separator == close then
        return position + 1
      elseif separator ~= ',' then
        return nil
      end
      position = skip_space(text, position + 1)
    end
  end
  local word = text:match('^%l+', position)
  if word == 'true' or word == 'false' or word == 'null' then
    return position + #word
  end
  return skip_number(text, position)
end

-- Whether a text is one value in strict JSON; cjson also accepts NaN and hexadecimal numbers. added_levels:
-- how many brackets the caller has put around the value, which do not count for its depth.
local function is_strict(text, added_levels)
  local stop = skip_value(text, skip_space(text, 1), 1 - (added_levels or 0))
  return stop ~= nil and skip_space(text, stop) > #text
end

-- The position after the list or object that begins at `position`, when that can be told without looking at
-- each string; else nil. Nothing is asked of the strings but that they have no escapes.
local function skip_plain_brackets(text, position)
  local is_list = text:sub(position, position) == '['
  local _, stop = text:find(is_list and '^%b[]' or '^%b{}', position)
  if not stop then
    return nil
  end
  -- It is the end unless a string has a bracket. Then, without its strings, the text would end elsewhere.
  local bare = text:sub(position, stop):gsub('"[^"\\%c]*"', '')
  if bare:find('["\\]') then
    return nil
  end
  local _, bare_stop = bare:find(is_list and '^%b[]' or '^%b{}')
  return bare_stop == #bare and stop + 1 or nil
end

-- The position after the list or object that begins at `position`; nil when it has no end. Only strings and
-- brackets matter: whether the rest is JSON, cjson finds out.
local function skip_brackets(text, position)
  local plain = skip_plain_brackets(text, position)
  if plain then
    return plain
  end
  local depth, find, byte = 0, text.find, text.byte
  while true do
    local character = byte(text, position)
    local _, stop
    if character == QUOTE then
      -- Most strings have no escapes: then the next string or bracket is found in the same search.
      _, stop = find(text, '^[^"\\%c]*"[^"%[%]{}]*', position + 1)
      if not stop then
        position = skip_string(text, position)
        if not position then
          return nil
        end
        _, stop = find(text, '^[^"%[%]{}]*', position)
      end
    elseif character then
      depth = depth + ((character == OPEN_LIST or character == OPEN_OBJECT) and 1 or -1)
      if depth == 0 then
        return position + 1
      end
      _, stop = find(text, '^[^"%[%]{}]*', position + 1)
    else
      return nil
    end
    position = stop + 1
  end
end

-- Whether a character is in a text more than `most` times. It looks no further than that.
local function has_more(text, character, most)
  local position = 0
  for _ = 1, most + 1 do
    position = text:find(character, position + 1, true)
    if not position then
      return false
    end
  end
  return true
end

-- The members of an object in JSON: a table from name to the JSON of the value, and their number. Of a list
-- it has the bracket only: nobody needs more, and a list may be most of the text. A name is as the text has
-- it, escapes included; of equal names the last one counts. nil when the text is no object, or has more
-- than `most` members; `most` may be left out. The values may be no JSON unless cjson has accepted the
-- text.
local function members(text, most)
  local found, count, seen = {}, 0, 0
  local position = skip_space(text, 1)
  if text:sub(position, position) ~= '{' then
    return nil
  end
  position = skip_space(text, position + 1)
  while text:sub(position, position) == '"' do
    local stop = skip_string(text, position)
    if not stop then
      return nil
    end
    local name = text:sub(position + 1, stop - 2)
    position = skip_space(text, skip_space(text, stop) + 1) -- after the colon
    local from = position
    local first = text:sub(position, position)
    if first == '"' then
      position = skip_string(text, position)
    elseif first == '{' or first == '[' then
      position = skip_brackets(text, position)
    else
      position = text:find('[,}]', position)
    end
    if not position then
      return nil
    end
    count, seen = count + (found[name] == nil and 1 or 0), seen + 1
    if most and seen > most then
      return nil, seen
    end
    found[name] = first == '[' and first or text:sub(from, position - 1)
    position = skip_space(text, position)
    position = skip_space(text, position + 1) -- after the comma
  end
  return found, count
end

-- The same JSON without the space between its tokens. The text has to be valid JSON.
local function compact(text)
  if not text:find('[ \t\r\n]') then
    return text
  end
  local parts, position = {}, 1
  while position <= #text do
    local quoted = text:find('"', position, true)
    if not quoted then
      parts[#parts + 1] = (text:sub(position):gsub('[ \t\r\n]+', ''))
      break
    end
    parts[#parts + 1] = (text:sub(position, quoted - 1):gsub('[ \t\r\n]+', ''))
    local after = skip_string(text, quoted)
    parts[#parts + 1] = text:sub(quoted, after - 1)
    position = after
  end
  return table.concat(parts)
end

return {
  MAX_DEPTH = MAX_DEPTH,
  skip_string = skip_string,
  skip_brackets = skip_brackets,
  quote = quote,
  has_more = has_more,
  members = members,
  is_strict = is_strict,
  compact = compact,
}
