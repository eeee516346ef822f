-- The requests that a session remembers, so that a repeated one is not carried out twice. They are stored as
-- their number in two digits and a line for each, with request, function and version:
-- `02\n<scope>\1r1 sk_start 2\n<scope>\1r2 sk_switch 3\n`.
--
-- The scope says whose request it is, because two actors may use the same id: the first digits of the SHA-1
-- of ACTOR, nothing without one. A request cannot have the byte \1, so no caller can write a scope. Lines
-- without scope and \1 are those of libraries before 0.3.0, which did not tell actors apart: a repeat finds
-- such a line whoever its actor is.

local MOST_REQUESTS = 16
local NO_REQUESTS = '00\n'
local COUNT_LENGTH = 2
local FIRST_LINE = COUNT_LENGTH + 2 -- after the count and its newline
local SCOPE_DIGITS = 16

-- The request as the list has it, with its scope. given: the call's options, with REQUEST.
local function scoped(given)
  local actor = given.ACTOR
  return (actor and redis.sha1hex(actor):sub(1, SCOPE_DIGITS) or '') .. '\1' .. given.REQUEST
end

-- The change that this request made earlier: its version, and whether the request called `function_name`. nil
-- for a new request.
local function find(s, given, function_name)
  local requests = redis.call('HGET', s.key, 'requests') or NO_REQUESTS
  s.requests = requests
  -- Most requests are new, and then there is no need to know whose this one is.
  if not requests:find(given.REQUEST .. ' ', 1, true) then
    return nil
  end
  local _, stop = requests:find('\n' .. scoped(given) .. ' ', 1, true)
  if not stop then
    _, stop = requests:find('\n' .. given.REQUEST .. ' ', 1, true)
  end
  if not stop then
    return nil
  end
  local made_by, version = requests:match('^(%S+) (%d+)\n', stop + 1)
  return tonumber(version), made_by == function_name
end

-- Remembers a request with the version that it made (text). The 17th pushes out the oldest.
local function remember(s, given, function_name, version)
  local requests = s.requests or NO_REQUESTS
  local line = scoped(given) .. ' ' .. function_name .. ' ' .. version .. '\n'
  local count = requests:sub(1, COUNT_LENGTH) + 1
  if count > MOST_REQUESTS then
    local end_of_oldest = requests:find('\n', FIRST_LINE, true)
    requests = requests:sub(1, COUNT_LENGTH) .. requests:sub(end_of_oldest) .. line
  else
    requests = ('%02d'):format(count) .. requests:sub(COUNT_LENGTH + 1) .. line
  end
  storage_session.set(s, 'requests', requests)
end

return {
  MOST_REQUESTS = MOST_REQUESTS,
  find = find,
  remember = remember,
}
