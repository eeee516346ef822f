-- The keys of a session, as callers pass them in:
--
--   1  sk:{tt}:<id>       hash         the session (fields: see session.lua)
--   2  sk:{tt}:<id>:log   stream       its newest events
--   3  sk:{tt}:alarms     sorted set   the sessions of the partition by the time of their next alarm
--   4  sk:{tt}:outbox     stream       every event of the partition
--
-- tt is the partition: the last two hex digits of the id.

local PREFIX_LENGTH = 8 -- of `sk:{tt}:`

-- The id of the session with this key (KEYS[1]).
local function session_id(key)
  return key:sub(PREFIX_LENGTH + 1)
end

-- Checks that KEYS are the first `expected` of a session's four, all of one id in its own partition. Returns
-- a list of problems, nil for none.
local function problems_of(keys, expected)
  if #keys ~= expected then
    return { { 'KEYS', 'must be ' .. expected .. ', not ' .. #keys } }
  end
  local partition, id = keys[1]:match('^sk:{(..)}:(.*)$')
  if not id or text_formats.uuid(id) ~= id or id:sub(-2) ~= partition then
    return { { 'KEYS.0', 'must be sk:{tt}:<id>, a UUID in lower case with its last two digits as tt' } }
  end
  local names = { keys[1], keys[1] .. ':log', 'sk:{' .. partition .. '}:alarms', 'sk:{' .. partition
    .. '}:outbox' }
  local problems
  for i = 2, expected do
    if keys[i] ~= names[i] then
      problems = problems or {}
      problems[#problems + 1] = { 'KEYS.' .. (i - 1), 'must be ' .. names[i] }
    end
  end
  return problems
end

-- Whether there are four keys and the last three belong to the first. That is enough when the session exists:
-- its first key was checked when it was created.
local function belong_together(keys)
  if #keys ~= 4 then
    return false
  end
  local key = keys[1]
  local prefix = key:sub(1, PREFIX_LENGTH)
  return keys[2] == key .. ':log' and keys[3] == prefix .. 'alarms' and keys[4] == prefix .. 'outbox'
end

return {
  session_id = session_id,
  problems_of = problems_of,
  belong_together = belong_together,
}
