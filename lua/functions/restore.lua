-- sk_restore: a session comes back from an exported state.

local NONE = call_options.NONE
local RESTORE = { TTL = true, VERSION = true, EPOCH = true, SCHEMA = true }
-- Bounds of an exported state, to bound the work of one call. The largest that a library has exported, with a
-- thousand participants of eight stages each, has a third of it.
local MOST_STATE_BYTES = 6291456
local MOST_BRACKETS = 60000
-- What is wrong with an exported state of another schema, and what can be done.
local UNREAD = ('must be %d or %d, the schemas that library %s reads: restore it with the library that '
  .. 'exported it, and export it there in its oldest schema'):format(
  schemas.OLDEST, schemas.NEWEST, VERSION)

-- An exported state, decoded; nil when the text is none.
local function read(text)
  if #text > MOST_STATE_BYTES or text_json.has_more(text, '{', MOST_BRACKETS)
    or text_json.has_more(text, '[', MOST_BRACKETS) then
    return nil
  end
  local is_json, exported = pcall(cjson.decode, text)
  return is_json and type(exported) == 'table' and exported or nil
end

-- Whether this library reads an exported state of this schema.
local function is_read(schema)
  return schema == schemas.OLDEST or schema == schemas.NEWEST
end

-- Changes exported fields to those of schema 1. Returns false when they are not of the schema that they
-- should have.
local function to_oldest(fields, schema)
  if schema == schemas.OLDEST then
    return fields.fixed == nil
  end
  local fixed = fields.fixed
  if type(fixed) ~= 'string' or fields.shown ~= nil or fields.action ~= nil then
    return false
  end
  schemas.to_oldest(fields)
  return schemas.fixed_of(fields.shown, fields.action) == fixed
end

-- Checks the arguments of a restore. Returns the fields of the exported hash in schema 1, the server time in
-- ms at which it was exported, and the schema that it had; or nil, nil, nil and the problems.
local function check(keys, args, given, problems)
  local join = functions_open.join_problems
  local exported = read(args[1] or '')
  local internal = exported and exported.internal
  local fields = type(internal) == 'table' and views_snapshot.fields_of(internal)
  if type(fields) == 'table' then
    -- A library that does not know these fields exports them.
    storage_session.without_place(fields)
    storage_throttle.remove_buckets(fields)
  end
  if type(fields) == 'table' and not is_read(exported.schema) then
    problems = join({ { 'state.schema', UNREAD } }, problems)
  elseif type(fields) ~= 'table' or not to_oldest(fields, exported.schema)
    or not views_snapshot.is_sound(fields, internal.exported_ms) then
    problems = join({ { 'state', 'must be a state from sk_get with EXPORT' } }, problems)
  elseif exported.session_id ~= storage_keys.session_id(keys[1] or '') then
    problems = join({ { 'state.session_id', 'must be the id of KEYS' } }, problems)
  end
  if given.EPOCH and not call_options.integer(given.EPOCH, 0, views_snapshot.MOST_NUMBER) then
    problems = join(problems, { { 'EPOCH', 'must be the epoch of a session' } })
  end
  if given.VERSION and given.VERSION > views_snapshot.MOST_NUMBER then
    problems = join(problems, { { 'VERSION', 'must be the version of a session' } })
  end
  problems = join(problems, storage_keys.problems_of(keys, 4))
  if problems then
    return nil, nil, nil, problems
  end
  return fields, internal.exported_ms, exported.schema
end

-- Changes the exported fields to those of a session that goes on at `now`, as if no time had passed since the
-- export. The start and the end of the session are moments of the calendar, and stay.
local function bring_forward(fields, exported_ms, now, given)
  -- Changes that came after the export may be lost, but clients have seen their versions. A client ignores a
  -- version that it has seen, so the session goes on with a higher one.
  if given.VERSION and given.VERSION > tonumber(fields.version) then
    fields.version = text_formats.integer(given.VERSION)
  end
  if given.EPOCH and tonumber(given.EPOCH) > tonumber(fields.epoch) then
    fields.epoch = given.EPOCH
  end
  local active, since, alarm, used, count, _, more = fields.cycle:match(storage_session.CYCLE)
  if fields.status == 'running' then
    since = since + now - exported_ms
  end
  more = storage_session.with_pause_moved(more, now - exported_ms)
  local resumes = fields.status == 'paused' and tonumber(alarm) > 0 and alarm + now - exported_ms or 0
  fields.cycle = storage_session.encode_cycle(active, since, resumes, used, count, now) .. more
  fields.epoch = storage_session.new_epoch(now, fields.epoch)
  fields.recovered = string.format('%d', now)
  if given.TTL then
    fields.rules = storage_session.with_ttl(fields.rules, given.TTL * 1000)
  end
end

-- sk_restore 4 <keys> <state> [TTL s] [VERSION n] [EPOCH e] [SCHEMA n]
--
-- Brings back a session that the server has lost, as it was when it was exported. No clock is charged for the
-- time in between. VERSION and EPOCH are those of the newest known event of the session: its next version is
-- higher. It is written in the schema of SCHEMA, else in that of the exported state.
--
-- KEYS[1-4]  the session, its log, the alarms, the outbox
-- ARGV[1]    a state (JSON) from sk_get with EXPORT
-- Reply      state (JSON)
-- Refusals   VALIDATION_ERROR, SESSION_EXISTS (also for a tombstone)
-- Publishes  session.recovered
local function restore(keys, args)
  local given, problems = call_options.parse(args, 2, RESTORE, NONE)
  local fields, exported_ms, schema
  fields, exported_ms, schema, problems = check(keys, args, given, problems)
  if not fields then
    return call_refusal.validation(problems)
  end
  local key = keys[1]
  if storage_session.exists(key) then
    return call_refusal.refuse('SESSION_EXISTS', 'there is a session with this id')
  end

  bring_forward(fields, exported_ms, math.max(storage_time.now(), exported_ms), given)
  local list = {}
  for name, value in pairs(fields) do
    list[#list + 1] = name
    list[#list + 1] = value
  end
  storage_session.write_new(keys, list)
  local s = storage_session.load(keys)
  s.alarm = 0 -- the alarms of the partition do not have this session yet
  local change = functions_commit.commit(s, transitions_cycle.current_turn(s), 'session.recovered',
    { SCHEMA = given.SCHEMA or schema })
  if type(change) == 'table' then -- an error
    storage_session.discard(key)
    return change
  end
  return views_state.build(s, fields)
end

redis.register_function({
  function_name = 'sk_restore',
  callback = restore,
  description = 'Brings back a session from an exported state. Replies with its state.',
})

return { check = check }
