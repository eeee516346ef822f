-- sk_restore

local NONE = call_options.NONE
local RESTORE = { TTL = true, VERSION = true, EPOCH = true }

local function restore(keys, args)
  local given, problems = call_options.parse(args, 2, RESTORE, NONE)
  local fine, exported = pcall(cjson.decode, args[1] or '')
  local kept = fine and type(exported) == 'table' and exported.internal
  local fields = type(kept) == 'table' and kept.fields
  if type(fields) ~= 'table' or not views_snapshot.is_sound(fields, kept.exported_ms) then
    problems = functions_open.joined({ { 'state', 'must be a state from sk_get with EXPORT' } }, problems)
  elseif exported.schema ~= storage_session.SCHEMA then
    problems = functions_open.joined({ { 'state.schema', 'must be ' .. storage_session.SCHEMA } }, problems)
  elseif exported.session_id ~= (keys[1] or ''):sub(9) then
    problems = functions_open.joined({ { 'state.session_id', 'must be the id of KEYS' } }, problems)
  end
  if given.EPOCH and not call_options.integer(given.EPOCH, 0, views_snapshot.MOST_NUMBER) then
    problems = functions_open.joined(problems, { { 'EPOCH', 'must be the epoch of a session' } })
  end
  if given.VERSION and given.VERSION > views_snapshot.MOST_NUMBER then
    problems = functions_open.joined(problems, { { 'VERSION', 'must be the version of a session' } })
  end
  problems = functions_open.joined(problems, storage_keys.find_problems(keys, 4))
  if problems then
    return call_refusal.validation(problems)
  end
  local key, log = keys[1], keys[2]
  if redis.call('EXISTS', key) == 1 then
    return call_refusal.refuse('SESSION_EXISTS', 'there is a session with this id')
  end

  -- Changes after the export may be lost, but their versions were seen, and nobody may be told older ones.
  if given.VERSION and given.VERSION > tonumber(fields.version) then
    fields.version = text_formats.integer(given.VERSION)
  end
  if given.EPOCH and tonumber(given.EPOCH) > tonumber(fields.epoch) then
    fields.epoch = given.EPOCH
  end
  local now = math.max(storage_time.now(), kept.exported_ms)
  local active, since, alarm, used, count, _, more = fields.cycle:match(storage_session.CYCLE)
  if fields.status == 'running' then
    since = string.format('%d', since + now - kept.exported_ms)
  end
  local resumes = fields.status == 'paused' and tonumber(alarm) > 0 and alarm + now - kept.exported_ms or 0
  fields.cycle = ('%s %s %d %s %s %d'):format(active, since, resumes, used, count, now) .. more
  fields.epoch = storage_session.new_epoch(now, fields.epoch)
  fields.recovered = string.format('%d', now)
  if given.TTL then
    fields.rules = fields.rules:gsub('^(%S+) %d+', '%1 ' .. string.format('%d', given.TTL * 1000))
  end
  local list = {}
  for name, value in pairs(fields) do
    list[#list + 1] = name
    list[#list + 1] = value
  end
  redis.call('UNLINK', log)
  storage_session.write_fields(key, list)
  local s = storage_session.load(keys)
  s.alarm = 0 -- so far there is none in the partition's alarms
  local change = functions_commit.commit(s, transitions_cycle.current_turn(s), 'session.recovered', NONE)
  if type(change) == 'table' then
    redis.call('UNLINK', key)
    return change
  end
  return views_state.build(s)
end

redis.register_function({
  function_name = 'sk_restore',
  callback = restore,
  description = 'Brings back a session from an exported state. Replies with its state.',
})

return {}
