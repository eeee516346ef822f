-- The steps by which a session moves to another server, whose caller carries what one server says to the
-- other. In this order:
--
--   source   sk_move_out        holds the session, and replies with all that there is of it
--   target   sk_move_in         makes a copy of it, which does not run
--   source   sk_move_commit     gives the session up: from here on it is the target's; replies with the event
--   target   sk_move_activate   lets the copy run
--   source   sk_move_finish     drops what it still has, and keeps a mark that says where the session went
--
-- One write decides where the session is: that of sk_move_commit. Before it sk_move_undo takes both sides
-- back, and a hold also ends by itself; after it there is only the way forward. Each step may be repeated.
--
-- While a session is held it can be read; what changes it is refused with SESSION_MOVING, and nothing
-- expires. Its clock runs on: what falls due meanwhile is carried out afterwards, where the session then is.

local NONE = call_options.NONE
local STEP = { MOVE = true }
local OUT = { MOVE = true, TARGET = true, LEASE = true, TENANT = true }
local IN = { MOVE = true, TARGET = true, SHIFT = true }
local MOST_EVENTS = 64 -- so much of the log goes along
local INSTANTS = { 'started', 'completed', 'recovered' }

-- The problems of options that are missing; nil for none.
local function missing(given, ...)
  local problems
  for _, name in ipairs({ ... }) do
    if given[name] == nil then
      problems = problems or {}
      problems[#problems + 1] = { name, 'is required' }
    end
  end
  return problems
end

-- Reads the options from position `from` on and checks the keys of a step that has MOVE alone. Returns the
-- options; or nil and the refusal.
local function read_step(keys, args, from)
  local given, problems = call_options.parse(args, from, STEP, NONE)
  problems = functions_open.join_problems(problems, missing(given, 'MOVE'))
  problems = functions_open.join_problems(problems, storage_keys.problems_of(keys, 4))
  if problems then
    return nil, call_refusal.validation(problems)
  end
  return given
end

-- The reply of sk_move_out: the session as JSON, and the newest events of its log. It goes in the oldest
-- schema, because the target may have the last release's library.
local function all_of(s, given_up)
  local reply = storage_events.newest(s.keys[2], MOST_EVENTS)
  table.insert(reply, 1, ('{"session_id":"%s","schema":%d,"given_up":%s'):format(
    storage_keys.session_id(s.key), schemas.OLDEST, given_up and 'true' or 'false')
    .. views_snapshot.internal(s, storage_session.all_fields(s.key)) .. '}')
  return reply
end

-- sk_move_out 4 <keys> MOVE m TARGET address LEASE ms [TENANT t]
--
-- Holds a session for a move, and replies with all that the target needs. The hold ends after LEASE; a repeat
-- begins it anew. Of a session that this move has given up already, it only replies.
--
-- KEYS[1-4]  the session, its log, the alarms, the outbox
-- ARGV       options as `NAME value` in any order: the name of the move, the address of the server to which
--            the session goes, and for how long it is held (ms)
-- Reply      list: a JSON for sk_move_in, with `given_up`; then the newest events (JSON), oldest first
-- Refusals   VALIDATION_ERROR, SESSION_NOT_FOUND, SESSION_MOVING (another move has it), SESSION_MOVED
-- Publishes  nothing
local function move_out(keys, args)
  local given, problems = call_options.parse(args, 1, OUT, NONE)
  problems = functions_open.join_problems(problems, missing(given, 'MOVE', 'TARGET', 'LEASE'))
  local s, refused, moving = functions_open.open('sk_move_out', keys, given, problems)
  local resumed = moving and moving.move == given.MOVE and moving.rotation and moving.step ~= 'copy'
  if resumed and refused then
    s = storage_session.load(keys, moving.rotation)
  elseif not s then
    return refused or call_refusal.session_not_found()
  end
  if resumed and moving.step == 'gone' then
    return all_of(s, true)
  end
  local till = storage_time.now() + given.LEASE
  local alarm_before = s.alarm
  s.alarm = till
  local failed = storage_alarms.set(
    s, storage_keys.session_id(s.key), text_formats.integer(till), alarm_before)
  if failed then
    return failed
  end
  storage_moving.hold(keys[1], given.MOVE, till, given.TARGET, s.rotation)
  return all_of(s, false)
end

-- Moves all instants of an exported hash by `shift` ms, from the source's clock to the target's. The time of
-- the creation is not moved forward, because events from before the move keep theirs. The session's own start
-- and end stay as well: they are moments of the calendar. Returns false when an instant would not be one of
-- the library's any more.
local function shift_instants(fields, shift)
  local active, since, alarm, used, count, changed, more = fields.cycle:match(storage_session.CYCLE)
  if fields.status == 'running' then
    since = since + shift
  end
  if tonumber(alarm) > 0 then
    alarm = alarm + shift
  end
  changed = changed + shift
  more = storage_session.with_pause_moved(more, shift)
  local created = fields.created + math.min(shift, 0)
  if created < 0 or changed < 0 or tonumber(since) < 0 or changed > views_snapshot.MOST_NUMBER then
    return false
  end
  fields.cycle = storage_session.encode_cycle(active, since, alarm, used, count, changed) .. more
  fields.created = text_formats.integer(created)
  for i = 1, #INSTANTS do
    local name = INSTANTS[i]
    if fields[name] then
      fields[name] = text_formats.integer(math.max(0, fields[name] + shift))
    end
  end
  return true
end

-- The member of an event that says which server has the session from here on.
local function moved_to(moving)
  return ',"moved_to":' .. text_json.quote(moving.target)
end

-- The version of an event of this session, its epoch, and its name; nil when the text is none.
local function version_of(text, session_id)
  local is_json, event = pcall(cjson.decode, text)
  if not is_json or type(event) ~= 'table' or event.session_id ~= session_id then
    return nil
  end
  local payload = type(event.payload) == 'table' and event.payload or NONE
  return tonumber(event.version), tonumber(event.epoch), payload.event
end

-- The events of a text with one in each line. Returns nil when they are not those up to this version.
local function events_of(text, session_id, version)
  local events = {}
  for line in text:gmatch('[^\n]+') do
    events[#events + 1] = line
  end
  for i = 1, #events do
    if #events > MOST_EVENTS or version_of(events[i], session_id) ~= version - #events + i then
      return nil
    end
  end
  return events
end

-- sk_move_in 4 <keys> <session> <events> MOVE m TARGET address SHIFT ms
--
-- Makes a copy of a held session. It does not run, and does not expire; functions refuse it with
-- SESSION_MOVING until sk_move_activate. A copy that is there already is replaced.
--
-- KEYS[1-4]  the session, its log, the alarms, the outbox
-- ARGV[1]    the session (JSON), the first of the list that sk_move_out replied
-- ARGV[2]    the events of that list, one in each line
-- ARGV       options as `NAME value` in any order: the name of the move, the address of this server, and
--            this server's clock minus that of the source at the same moment (ms, may be below zero)
-- Reply      1; 0 when this move has brought the session here already, and it runs
-- Refusals   VALIDATION_ERROR, SESSION_EXISTS
-- Publishes  nothing
local function move_in(keys, args)
  local given, problems = call_options.parse(args, 3, IN, NONE)
  problems = functions_open.join_problems(problems, missing(given, 'MOVE', 'TARGET', 'SHIFT'))
  local fields, _, _, all_problems = functions_restore.check(keys, args, given, problems)
  if not fields then
    return call_refusal.validation(all_problems)
  end
  local events = events_of(args[2] or '', storage_keys.session_id(keys[1]), tonumber(fields.version))
  if not events then
    return call_refusal.validation({ { 'events', 'must be those of the session, up to its version' } })
  elseif not shift_instants(fields, given.SHIFT) then
    return call_refusal.validation({ { 'SHIFT', 'must leave all times between 1970 and the year 5138' } })
  end
  local key = keys[1]
  local moving = storage_moving.read(key)
  if moving and moving.step == 'here' and moving.move == given.MOVE then
    return 0
  elseif moving and (moving.step == 'copy' or moving.step == 'gone') then
    storage_moving.discard(keys) -- an old copy; or the mark of a session that comes back
    storage_alarms.remove_if_possible(keys)
  elseif storage_session.exists(key) then
    return call_refusal.refuse('SESSION_EXISTS', 'there is a session with this id')
  end
  local list = { 'moving', storage_moving.copy_field(given.MOVE, given.TARGET, fields.rotation) }
  fields.rotation = nil
  for name, value in pairs(fields) do
    list[#list + 1] = name
    list[#list + 1] = value
  end
  storage_session.write_new(keys, list)
  storage_events.write_log(keys[2], events, tonumber(fields.version))
  storage_moving.keep_copy(keys)
  return 1
end

-- sk_move_commit 4 <keys> MOVE m
--
-- Gives a held session up to the target: the one write that decides where the session is. From here on every
-- function answers SESSION_MOVED with the target's address, and only sk_move_out still replies with the
-- session. The copy at the target has to be there before.
--
-- KEYS[1-4]  the session, its log, the alarms, the outbox
-- ARGV       MOVE and the name of the move
-- Reply      change (JSON); nil when sk_move_finish has dropped it already
-- Refusals   VALIDATION_ERROR, SESSION_NOT_FOUND, CONCURRENT_MODIFICATION (this move does not hold it)
-- Publishes  session.moved
local function move_commit(keys, args)
  local given, refused = read_step(keys, args, 1)
  if not given then
    return refused
  end
  local s, moving = functions_open.find(keys)
  if moving and moving.move == given.MOVE and moving.step == 'gone' then
    return moving.rotation
      and storage_events.of_version(keys[2], storage_session.load(keys, moving.rotation).version)
  elseif not s and not moving then
    return call_refusal.session_not_found()
  elseif not (moving and moving.move == given.MOVE and moving.step == 'held') then
    return call_refusal.not_held(given.MOVE)
  end
  s = storage_session.load(keys, moving.rotation)
  local change = functions_commit.commit(
    s, transitions_cycle.current_turn(s), 'session.moved', NONE, moved_to(moving))
  if type(change) ~= 'table' then -- no error
    storage_moving.give_up(keys, moving)
  end
  return change
end

-- sk_move_activate 4 <keys> <change> MOVE m
--
-- Lets a copy run, in a new epoch. The change shows that its source has given it up.
--
-- KEYS[1-4]  the session, its log, the alarms, the outbox
-- ARGV[1]    the change (JSON) that sk_move_commit replied
-- ARGV       MOVE and the name of the move
-- Reply      1; 0 when this move has brought the session here already, and it runs
-- Refusals   VALIDATION_ERROR, SESSION_NOT_FOUND (there is no copy of this move)
-- Publishes  session.arrived
local function move_activate(keys, args)
  local given, refused = read_step(keys, args, 2)
  if not given then
    return refused
  end
  local key = keys[1]
  local moving = storage_moving.read(key)
  if not moving or moving.move ~= given.MOVE or not (moving.step == 'copy' or moving.step == 'here') then
    return call_refusal.session_not_found()
  elseif moving.step == 'here' then
    return 0
  end
  local s = storage_session.load(keys, moving.rotation)
  local version, epoch, name = version_of(args[1], storage_keys.session_id(key))
  if (version ~= s.version and version ~= s.version + 1) or name ~= 'session.moved'
    or not epoch or epoch < tonumber(s.epoch) then
    return call_refusal.validation({ { 'change', 'must be that of sk_move_commit' } })
  elseif version > s.version then
    storage_events.write_log(keys[2], { args[1] }, version)
    s.version = version
  end
  storage_moving.arrive(key, moving, version)
  storage_session.begin_epoch(s)
  s.alarm = 0 -- the alarms of the partition do not have this session yet
  local change = functions_commit.commit(
    s, transitions_cycle.current_turn(s), 'session.arrived', NONE, moved_to(moving))
  if type(change) == 'table' then -- an error
    storage_moving.leave(key, moving)
    return change
  end
  return 1
end

-- sk_move_finish 4 <keys> MOVE m
--
-- Drops the data of a session that was given up and runs at the target. A mark with the target's address
-- stays for a week, or for as long as the session would have stayed.
--
-- KEYS[1-4]  the session, its log, the alarms, the outbox
-- ARGV       MOVE and the name of the move
-- Reply      1; 0 when there is nothing to drop
-- Refusals   VALIDATION_ERROR, CONCURRENT_MODIFICATION (the session was not given up)
-- Publishes  nothing
local function move_finish(keys, args)
  local given, refused = read_step(keys, args, 1)
  if not given then
    return refused
  end
  local moving = storage_moving.read(keys[1])
  if not moving or moving.move ~= given.MOVE or not moving.rotation then
    return 0
  elseif moving.step ~= 'gone' then
    return call_refusal.not_held(given.MOVE)
  end
  storage_alarms.remove_if_possible(keys)
  storage_moving.drop(keys, moving)
  return 1
end

-- sk_move_undo 4 <keys> MOVE m
--
-- Takes a move back that has not given the session up: at the source the session goes on, at the target the
-- copy is removed. It has to be called at the source first.
--
-- KEYS[1-4]  the session, its log, the alarms, the outbox
-- ARGV       MOVE and the name of the move
-- Reply      1; 0 when there is nothing to take back
-- Refusals   VALIDATION_ERROR, SESSION_MOVED (the session was given up)
-- Publishes  nothing
local function move_undo(keys, args)
  local given, refused = read_step(keys, args, 1)
  if not given then
    return refused
  end
  local key = keys[1]
  local moving = storage_moving.read(key)
  if not moving or moving.move ~= given.MOVE or moving.step == 'here' then
    return 0
  elseif moving.step == 'gone' then
    return call_refusal.moved(moving.target, moving.move)
  elseif moving.step == 'copy' then
    storage_moving.discard(keys)
    return 1
  end
  storage_moving.release(key, moving)
  storage_alarms.correct(storage_session.load(keys))
  return 1
end

redis.register_function({
  function_name = 'sk_move_out',
  callback = move_out,
  description = 'Holds a session for a move. Replies with all that the target needs.',
  flags = { 'allow-oom' },
})

redis.register_function({
  function_name = 'sk_move_in',
  callback = move_in,
  description = 'Makes a copy of a held session, which does not run. '
    .. 'Replies with 1, or 0 when it runs already.',
})

redis.register_function({
  function_name = 'sk_move_commit',
  callback = move_commit,
  description = 'Gives a held session up to the target. Replies with the change.',
  flags = { 'allow-oom' },
})

redis.register_function({
  function_name = 'sk_move_activate',
  callback = move_activate,
  description = 'Lets a copy run. Replies with 1, or 0 when it runs already.',
  flags = { 'allow-oom' },
})

redis.register_function({
  function_name = 'sk_move_finish',
  callback = move_finish,
  description = 'Drops the data of a session that was given up. Replies with 1, or 0 when there is none.',
  flags = { 'allow-oom' },
})

redis.register_function({
  function_name = 'sk_move_undo',
  callback = move_undo,
  description = 'Takes a move back that has not given the session up. Replies with 1, or 0 without one.',
  flags = { 'allow-oom' },
})

return {}
