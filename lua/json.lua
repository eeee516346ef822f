-- JSON that has to stay as it came: a client's own objects are kept as text, because cjson would turn an empty list into an
-- object and lose nulls.

local MAX_DEPTH = 64
local ESCAPES = { ['"'] = '\\"', ['\\'] = '\\\\', ['\b'] = '\\b', ['\f'] = '\\f', ['\n'] = '\\n', ['\r'] = '\\r', ['\t'] = '\\t' }

local function escape(character)
  return ESCAPES[character] or string.format('\\u%04x', character:byte())
end

-- A text as a JSON string.
local function quote(text)
  if text:find('[%c"\\]') then
    text = text:gsub('[%c"\\]', escape)
  end
  return '"' .. text .. '"'
end

-- A text as a JSON string, or null for none.
local function quote_or_null(text)
  return text and quote(text) or 'null'
end

-- The position behind the string that begins at `position`, or nil.
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
      if character == '\127' then
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

-- The position behind the number that begins at `position`, or nil.
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

local function skip_space(text, position)
  return text:find('[^ \t\r\n]', position) or #text + 1
end

-- The position behind the value that begins at `position`, or nil where it is no strict JSON; `visit(name, from, to)` is called for each
-- member of an object that lies at depth 1.
local function skip_value(text, position, depth, visit)
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
      local name
      if first == '{' then
        if text:sub(position, position) ~= '"' then
          return nil
        end
        local after = skip_string(text, position)
        if not after then
          return nil
        end
        name = text:sub(position + 1, after - 2)
        position = skip_space(text, after)
        if text:sub(position, position) ~= ':' then
          return nil
        end
        position = skip_space(text, position + 1)
      end
      local after = skip_value(text, position, depth + 1)
      if not after then
        return nil
      end
      if visit and name then
        visit(name, position, after - 1)
      end
      position = skip_space(text, after)
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

-- The members of the object that a text is, as name -> raw text of the value (names as they are written; the last of equals wins) and
-- their number; nil where the text is no strict JSON object.
local function members(text)
  local found, count = {}, 0
  local start = skip_space(text, 1)
  if text:sub(start, start) ~= '{' then
    return nil
  end
  local stop = skip_value(text, start, 1, function(name, from, to)
    count = count + (found[name] == nil and 1 or 0)
    found[name] = text:sub(from, to)
  end)
  if not stop or skip_space(text, stop) <= #text then
    return nil
  end
  return found, count
end

-- Valid JSON without the space between its tokens.
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

return { quote = quote, quote_or_null = quote_or_null, members = members, compact = compact }
