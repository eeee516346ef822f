-- What a tenant has: its sessions that are not over, their participants, and the sessions that it created
-- today. The sessions themselves are elsewhere, so this is a count of its own. Whoever refuses something
-- because of it asks after the sessions that were longest not looked at, and takes out those that are over.
--
-- Hash `sk:quota:{<tenant>}`:
--   sessions       253         how many there are
--   participants   1012        of all sessions together
--   day            20786       the day (since 1970, UTC) that `creates` is about
--   creates        17          how many sessions were created on it
--   <id>           4           how many participants this session has
-- Sorted set `sk:quota:{<tenant>}:looked`: the sessions by when they were last looked at (server time in ms).
-- A session that is being created, or is about to go on, is not looked at: it has a time that is still ahead.

local DAY_MS = 86400000
local LIFE_MS = 400 * DAY_MS -- no session lives longer
local CREATING_MS = 10000 -- creating a session takes less
local DAY_LIFE_MS = 2 * DAY_MS -- of the count of a day alone

local function number(key, field)
  return tonumber(redis.call('HGET', key, field)) or 0
end

local function add(key, field, more)
  redis.call('HSET', key, field, string.format('%d', number(key, field) + more))
end

-- Counts a session (sign 1), or counts it no more (sign -1).
local function count(keys, sign, participants)
  add(keys[1], 'sessions', sign)
  add(keys[1], 'participants', sign * participants)
  local life = number(keys[1], 'sessions') > 0 and LIFE_MS or DAY_LIFE_MS
  redis.call('PEXPIRE', keys[1], string.format('%d', life))
  redis.call('PEXPIRE', keys[2], string.format('%d', life))
end

local function creates_of(key, day)
  return number(key, 'day') == day and number(key, 'creates') or 0
end

-- Whether there is no room for `more` beside `present`. most: -1 for no bound.
local function exceeds(present, more, most)
  return most >= 0 and present + more > most
end

-- Counts a session, if there is room for it. most: {sessions, participants, creates}, -1 for no bound.
-- is_new: whether it is being created, which counts for the day; else it was over and goes on.
-- Returns {1 counted, 0 counted before, -1 refused; the quota that is used up; retry_after_ms}.
local function add_session(keys, id, participants, most, is_new, now)
  if redis.call('HEXISTS', keys[1], id) == 1 then
    return { 0, '', 0 }
  end
  local day = math.floor(now / DAY_MS)
  local creates = creates_of(keys[1], day)
  if exceeds(number(keys[1], 'sessions'), 1, most.sessions) then
    return { -1, 'sessions', 0 }
  elseif exceeds(number(keys[1], 'participants'), participants, most.participants) then
    return { -1, 'participants', 0 }
  elseif is_new and exceeds(creates, 1, most.creates) then
    return { -1, 'creates_per_day', (day + 1) * DAY_MS - now }
  end
  redis.call('HSET', keys[1], id, string.format('%d', participants))
  if is_new then
    redis.call('HSET', keys[1], 'day', string.format('%d', day), 'creates', string.format('%d', creates + 1))
  end
  redis.call('ZADD', keys[2], string.format('%d', now + CREATING_MS), id)
  count(keys, 1, participants)
  return { 1, '', 0 }
end

-- Counts a session that was created some time ago. Returns 1, or 0 when it was counted before.
local function found(keys, id, participants, now)
  if redis.call('HEXISTS', keys[1], id) == 1 then
    return 0
  end
  redis.call('HSET', keys[1], id, string.format('%d', participants))
  redis.call('ZADD', keys[2], string.format('%d', now), id)
  count(keys, 1, participants)
  return 1
end

-- Counts `more` participants of a session, or fewer when it is negative. Replies like `add_session`.
local function join(keys, id, more, most)
  local present = redis.call('HGET', keys[1], id)
  if not present then
    return { 0, '', 0 }
  elseif more > 0 and exceeds(number(keys[1], 'participants'), more, most.participants) then
    return { -1, 'participants', 0 }
  end
  more = math.max(more, -tonumber(present))
  add(keys[1], id, more)
  add(keys[1], 'participants', more)
  return { 1, '', 0 }
end

-- Counts a session no more. uncreated: whether it was not created after all. Then it stays where somebody
-- else has created one under its id meanwhile.
local function drop(keys, id, uncreated, now)
  local participants = redis.call('HGET', keys[1], id)
  if not participants or (uncreated and (tonumber(redis.call('ZSCORE', keys[2], id)) or 0) <= now) then
    return 0
  end
  redis.call('HDEL', keys[1], id)
  redis.call('ZREM', keys[2], id)
  if uncreated and creates_of(keys[1], math.floor(now / DAY_MS)) > 0 then
    add(keys[1], 'creates', -1)
  end
  count(keys, -1, tonumber(participants))
  return 1
end

-- The ids of the sessions that were longest not looked at, `most` of them. They count as looked at now.
local function look(keys, most, now)
  local text = string.format('%d', now)
  local ids = redis.call('ZRANGE', keys[2], '-inf', text, 'BYSCORE', 'LIMIT', '0', string.format('%d', most))
  for i = 1, #ids do
    redis.call('ZADD', keys[2], text, ids[i])
  end
  return ids
end

-- The session was created.
local function created(keys, id, now)
  return redis.call('ZADD', keys[2], 'XX', 'CH', string.format('%d', now), id)
end

return { add_session = add_session, created = created, found = found, join = join, drop = drop, look = look }
