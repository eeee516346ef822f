-- The metadata of a session: an object that belongs to the client, and is kept as the JSON that it came as.

local MOST_KEYS = 100
local MOST_RAW_BYTES, MOST_BYTES = config_members.MOST_RAW_BYTES, config_members.MOST_BYTES
local NAME = 'metadata'

-- Reads `metadata` of a config. Returns its compact JSON.
local function read(object, raw, problem)
  if object.metadata == nil then
    return '{}'
  end
  local text, count = config_members.read_raw(object, raw, NAME, problem)
  if text and count > MOST_KEYS then
    problem(NAME, 'must have at most ' .. MOST_KEYS .. ' keys')
  end
  return text
end

-- Reads a JSON merge patch of metadata. Returns the object, see text/patch.lua; or nil and a list of
-- problems. A patch may be longer than metadata, because it also names what it removes.
local function read_patch(text)
  local problem
  if not text then
    problem = 'is required'
  elseif #text > MOST_RAW_BYTES then
    problem = 'must be at most ' .. MOST_RAW_BYTES .. ' bytes'
  elseif not text_formats.characters(text) then
    problem = 'must be UTF-8'
  elseif not text:find('^[ \t\r\n]*{') or not text_json.is_strict(text) or not pcall(cjson.decode, text) then
    problem = 'must be a JSON object, in which lists and objects are at most ' .. text_json.MAX_DEPTH
      .. ' deep'
  end
  if problem then
    return nil, { { NAME, problem } }
  end
  return text_patch.read(text_json.compact(text), true)
end

-- The problems of what a patch makes of metadata; nil for none. object: see text/patch.lua; text: its JSON.
local function problems_of(object, text)
  local count = text_patch.count(object)
  if count > MOST_KEYS then
    return { { NAME, ('must have at most %d keys: with this patch it would have %d'):format(
      MOST_KEYS, count) } }
  elseif #text > MOST_BYTES then
    return { { NAME, ('must be at most %d bytes of compact JSON: with this patch it would be %d'):format(
      MOST_BYTES, #text) } }
  end
end

return {
  read = read,
  read_patch = read_patch,
  problems_of = problems_of,
}
