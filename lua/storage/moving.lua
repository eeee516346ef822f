-- A session on its way to another server. The field `moving` of its hash says what this server has of it:
--
--   held <move> <until> <target> <rotation>   it is held here until this server time in ms. Nothing changes
--                                             meanwhile, and then it goes on here
--   gone <move> - <target> <rotation>         it was given up here, and is the target's. The hash is kept
--                                             until the target runs the session; then the rotation is `-`
--   copy <move> - <target> <rotation>         a copy at the target, which nobody runs before the source has
--                                             given the session up
--   here <move> - <target> -                  it has come here, and runs
--
-- move: the name of the move. target: the address of the server that the session goes to.
--
-- Unless the session runs here, its rotation is in this field and the hash has no `rotation`. So every
-- function finds no session at first, and moves cost the calls of all other sessions nothing.

local MOVING = '^(%a+) (%S+) (%S+) (%S+) (%S+)$'
local NONE = '-'
local COPY_MS = 86400000 -- for how long a copy is kept that nobody asks for
local MARK_MS = 604800000 -- for how long at least the source says where a session went

local function encode(step, move, till, target, rotation)
  return step .. ' ' .. move .. ' ' .. till .. ' ' .. target .. ' ' .. rotation
end

-- The rotation in a field `moving`; nil when the session runs here.
local function rotation_in(text)
  local rotation = text:match('(%S+)$')
  return rotation ~= NONE and rotation or nil
end

-- What this server has of a moving session: {step, move, till, target, rotation, tenant}; nil when the key
-- has no such session. `till` is a number, and nil unless the session is held.
local function read(key)
  local fields = redis.call('HMGET', key, 'moving', 'tenant')
  local text, tenant = fields[1], fields[2]
  if not text then
    return nil
  end
  local step, move, till, target, rotation = text:match(MOVING)
  return { step = step, move = move, till = tonumber(till), target = target,
    rotation = rotation ~= NONE and rotation or nil, tenant = tenant }
end

-- Holds a session until server time `till` (ms).
local function hold(key, move, till, target, rotation)
  redis.call('HSET', key, 'moving', encode('held', move, text_formats.integer(till), target, rotation))
  redis.call('HDEL', key, 'rotation')
end

-- Lets a held session go on here.
local function release(key, moving)
  redis.call('HSET', key, 'rotation', moving.rotation)
  redis.call('HDEL', key, 'moving')
end

-- Makes a time to live at least this long.
local function keep(key, ms)
  if redis.call('PTTL', key) < ms then
    redis.call('PEXPIRE', key, ms)
  end
end

-- Gives a held session up.
local function give_up(keys, moving)
  local key = keys[1]
  redis.call('HSET', key, 'moving', encode('gone', moving.move, NONE, moving.target, moving.rotation))
  keep(key, MARK_MS)
  keep(keys[2], MARK_MS)
end

-- Drops the hash of a session that was given up. A mark stays that says where it went.
local function drop(keys, moving)
  local key = keys[1]
  local life = redis.call('PTTL', key)
  local fields = redis.call('HMGET', key, 'version', 'epoch')
  redis.call('UNLINK', key, keys[2])
  redis.call('HSET', key, 'status', 'moved', 'version', fields[1], 'epoch', fields[2],
    'moving', encode('gone', moving.move, NONE, moving.target, NONE))
  if moving.tenant then
    redis.call('HSET', key, 'tenant', moving.tenant)
  end
  redis.call('PEXPIRE', key, life)
end

-- The field of a copy. It is written with the other fields of the hash, instead of the rotation.
local function copy_field(move, target, rotation)
  return encode('copy', move, NONE, target, rotation)
end

-- Gives a new copy its time to live.
local function keep_copy(keys)
  redis.call('PEXPIRE', keys[1], COPY_MS)
  redis.call('PEXPIRE', keys[2], COPY_MS)
end

-- Makes a copy a session that runs here, at this version.
local function arrive(key, moving, version)
  redis.call('HSET', key, 'rotation', moving.rotation, 'version', text_formats.integer(version),
    'moving', encode('here', moving.move, NONE, moving.target, NONE))
end

-- Makes it a copy again, because its first change could not be written.
local function leave(key, moving)
  redis.call('HSET', key, 'moving', encode('copy', moving.move, NONE, moving.target, moving.rotation))
  redis.call('HDEL', key, 'rotation')
end

-- Removes a copy and its log.
local function discard(keys)
  redis.call('UNLINK', keys[1], keys[2])
end

return {
  rotation_in = rotation_in,
  read = read,
  hold = hold,
  release = release,
  give_up = give_up,
  drop = drop,
  copy_field = copy_field,
  keep_copy = keep_copy,
  arrive = arrive,
  leave = leave,
  discard = discard,
}
