-- The buckets of rate limits, see rules/bucket.lua. They are stored in two places.
--
-- A hash of its own, `sk:rl:{<bucket>}`, whose fields are those of a bucket, until the bucket is full again:
--   level      7400            absent fields: the bucket is full, and has no cooldown
--   at         1795306409736
--   cooldown   1795306419736
--
-- A field of the session's hash, with the three numbers of a bucket as text:
--   limit        7400 1795306409736 0   the switches of the session that are not a player's own
--   limit:<pid>  7400 1795306409736 0   the switches of this participant that are its own
--
-- The fields are about this server's callers and not about the session: no export and no move has them.

local SESSION_FIELD = 'limit'
local BUCKET = '^(%d+) (%d+) (%d+)$'

-- Takes limit.quantity tokens out of a bucket with a key of its own. Returns the reply of rules_bucket.take.
local function consume(key, limit)
  local fields = redis.call('HMGET', key, 'level', 'at', 'cooldown')
  local level, at, cooldown = fields[1], fields[2], fields[3]
  local before = level and { level = tonumber(level), at = tonumber(at), cooldown = tonumber(cooldown) or 0 }
  local bucket, reply = rules_bucket.take(before or nil, storage_time.now(), limit)
  if bucket then
    redis.call('HSET', key, 'level', string.format('%d', bucket.level), 'at', string.format('%d', bucket.at))
    if bucket.cooldown > bucket.at then
      redis.call('HSET', key, 'cooldown', string.format('%d', bucket.cooldown))
    end
    redis.call('PEXPIRE', key, string.format('%d', math.max(reply[5], 1)))
  end
  return reply
end

-- The field with the bucket of a session's switches. player: whose own they are; nil for those of nobody.
local function field_of(player)
  return player and SESSION_FIELD .. ':' .. player or SESSION_FIELD
end

-- Whether a field of the session's hash has a bucket.
local function is_bucket(field)
  return type(field) == 'string' and field:sub(1, #SESSION_FIELD) == SESSION_FIELD
end

-- Removes all buckets from the fields of a session's hash (name -> value).
local function remove_buckets(fields)
  for name in pairs(fields) do
    if is_bucket(name) then
      fields[name] = nil
    end
  end
end

local function read(key, player)
  local level, at, cooldown = (redis.call('HGET', key, field_of(player)) or ''):match(BUCKET)
  return level and { level = tonumber(level), at = tonumber(at), cooldown = tonumber(cooldown) } or nil
end

-- Takes a token out of a bucket of the session `s`, which is written together with the session. When there is
-- no token, the session stays as it is; then a cooldown that begins is written at once. Returns the reply of
-- rules_bucket.take.
local function consume_in_session(s, player, limit)
  local before = read(s.key, player)
  local bucket, reply = rules_bucket.take(before, s.now, limit)
  local text = bucket and ('%d %d %d'):format(bucket.level, bucket.at, bucket.cooldown)
  if reply[1] == 0 then
    storage_session.set(s, field_of(player), text)
  elseif bucket and bucket.cooldown > (before and before.cooldown or 0) then
    redis.call('HSET', s.key, field_of(player), text)
  end
  return reply
end

-- The same reply, but nothing is taken.
local function ask_in_session(key, player, limit)
  local question = { burst = limit.burst, count = limit.count, period_ms = limit.period_ms, quantity = 0,
    cooldown_ms = limit.cooldown_ms }
  local _, reply = rules_bucket.take(read(key, player), storage_time.now(), question)
  return reply
end

return {
  consume = consume,
  field_of = field_of,
  is_bucket = is_bucket,
  remove_buckets = remove_buckets,
  consume_in_session = consume_in_session,
  ask_in_session = ask_in_session,
}
