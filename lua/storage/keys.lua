-- The keys of a session: their names, and whether those of a call are its own.

-- KEYS have to be the first `expected` of the session's four: one id, in its own partition. Returns the list of problems, nil for none.
local function find_problems(keys, expected)
  if #keys ~= expected then
    return { { 'KEYS', 'must be ' .. expected .. ', not ' .. #keys } }
  end
  local partition, id = keys[1]:match('^sk:{(..)}:(.*)$')
  if not id or text_formats.uuid(id) ~= id or id:sub(-2) ~= partition then
    return { { 'KEYS.0', 'must be sk:{tt}:<id>, a UUID in lower case with its last two digits as tt' } }
  end
  local names = { keys[1], keys[1] .. ':log', 'sk:{' .. partition .. '}:alarms', 'sk:{' .. partition .. '}:outbox' }
  local problems
  for i = 2, expected do
    if keys[i] ~= names[i] then
      problems = problems or {}
      problems[#problems + 1] = { 'KEYS.' .. (i - 1), 'must be ' .. names[i] }
    end
  end
  return problems
end

-- Whether the other three keys belong to the first. Enough for a session that exists: its own key was checked when it was created.
local function match(keys)
  if #keys ~= 4 then
    return false
  end
  local key = keys[1]
  local prefix = key:sub(1, 8)
  return keys[2] == key .. ':log' and keys[3] == prefix .. 'alarms' and keys[4] == prefix .. 'outbox'
end

local function id_of(s)
  return s.key:sub(9)
end

return {
  find_problems = find_problems,
  match = match,
  id_of = id_of,
}
