-- Checks the config of `sk_create`, and makes the fields of the session's hash from it. All problems are
-- reported, not only the first.
--
-- The config is read into `settings`, a table with what the client's object says:
--
-- mode_name, mode                       `sync_mode`, and its module in modes/, nil for an unknown name
-- participants, groups                  lists, see config/participants.lua
-- active_id, active_index               `active_participant_id`, nil for none, and its index, -1 for none
-- total, per_cycle, maximum, max_pause  ms, nil where they are not given; increment is 0 then
-- starts_at, ends_at                    server times in ms; pauses_left, pause_left (ms) and max_cycles: the
--                                       other bounds. All are nil where they are not given
-- auto_advance, lag_compensation, players_may_pause, players_may_choose_next
-- warnings, warnings_json, warning_count
-- metadata                              JSON
-- cycle_clock                           whether each cycle has a clock of its own
-- owned_by, owners_have_clocks          who owns the clocks, and whether that is participants or groups
-- action, action_json                   `action_on_timeout`
-- control                               the control of the session, nil where it has none or a wrong one
-- default, control_json                 its text in the rules, and its JSON
-- given_control, control_defaults       `time_control` as it was given; the defaults of all controls

local MOST_MS = bounds.MOST_MS
local MOST_WARNINGS = 8
local MOST_CONFIG_BYTES = 524288 -- bounds the work of one call

local CONFIG = {
  session_id = true, sync_mode = true, participants = true, groups = true, active_participant_id = true,
  total_time_ms = true, time_per_cycle_ms = true, increment_ms = true, max_time_ms = true,
  time_control = true, lag_compensation = true, auto_advance = true, action_on_timeout = true,
  warnings_ms = true, max_pause_ms = true, max_pauses = true, max_total_pause_ms = true, max_cycles = true,
  starts_at_ms = true, ends_at_ms = true, players_may_pause = true, players_may_choose_next = true,
  metadata = true,
}

-- Reads `action_on_timeout`. Returns its type, and its JSON with all members of the client.
local function read_action(object, raw, cycle_clock, auto_advance, problem)
  local given = object.action_on_timeout
  if given == nil then
    local kind = cycle_clock and auto_advance and 'skip_cycle' or 'end_session'
    return kind, '{"type":"' .. kind .. '"}'
  end
  local text = config_members.read_raw(object, raw, 'action_on_timeout', problem)
  if not text then
    return 'end_session', '{}'
  end
  local kind = given.type
  if type(kind) ~= 'string' or not storage_session.ACTIONS[kind] then
    problem('action_on_timeout.type', 'must be one of end_session, skip_cycle, auto_action, notify')
  elseif kind == 'end_session' and cycle_clock and auto_advance then
    problem('action_on_timeout.type', 'must not be end_session with auto_advance')
  end
  if given.winner ~= nil then
    problem('action_on_timeout.winner', 'is set by the server')
  end
  return kind, text
end

-- Reads `warnings_ms`. Returns its JSON, the thresholds as they are stored (`30000,10000`, the highest first;
-- `-` for none), and their number. lowest: the least threshold that can be, the greatest overtime below zero.
local function read_warnings(object, raw, lowest, problem)
  local given = config_members.list(object, raw, 'warnings_ms', problem) or {}
  if #given > MOST_WARNINGS then
    problem('warnings_ms', 'must be at most ' .. MOST_WARNINGS)
  end
  local listed, sorted, known = {}, {}, {}
  for i = 1, math.min(#given, MOST_WARNINGS) do
    local function refuse(_, message)
      problem('warnings_ms.' .. (i - 1), message)
    end
    local threshold = config_members.integer(given, i, lowest, bounds.DAY_MS, 'warnings_ms.', refuse)
    if threshold then
      if known[threshold] then
        problem('warnings_ms.' .. (i - 1), 'is there twice')
      end
      known[threshold] = true
      listed[#listed + 1] = string.format('%d', threshold)
      sorted[#sorted + 1] = threshold
    end
  end
  table.sort(sorted, function(one, other) return one > other end)
  for i = 1, #sorted do
    sorted[i] = string.format('%d', sorted[i])
  end
  return '[' .. table.concat(listed, ',') .. ']', #sorted > 0 and table.concat(sorted, ',') or '-', #sorted
end

local function read_mode(settings, object, problem)
  local name = object.sync_mode
  settings.mode_name = name
  settings.mode = type(name) == 'string' and modes.MODES[name] or nil
  if not settings.mode then
    problem('sync_mode', 'must be one of ' .. modes.NAMES)
  end
end

local function read_members(settings, object, raw, problem, is_full)
  if object.participants == nil then
    problem('participants', 'is required')
  end
  local by_id
  settings.participants, by_id = config_participants.read_participants(
    config_members.list(object, raw, 'participants', problem), problem, is_full)
  settings.groups = config_participants.read_groups(
    config_members.list(object, raw, 'groups', problem), settings.participants, problem, is_full)
  local active_id = config_members.uuid(object, 'active_participant_id', '', problem)
  local active = active_id and by_id[active_id]
  if active_id and not active then
    problem('active_participant_id', 'is none of participants')
  end
  settings.active_id, settings.active_index = active_id, active and active.index or -1
end

-- Reads when the session starts and ends by itself. now: server time in ms.
local function read_schedule(settings, object, problem, now)
  local function ahead(name)
    local at = config_members.integer(object, name, 0, rules_schedule.MOST, '', problem)
    local wrong = at and rules_schedule.problem(at, now)
    if wrong then
      problem(name, wrong)
    end
    return not wrong and at or nil
  end
  settings.starts_at, settings.ends_at = ahead('starts_at_ms'), ahead('ends_at_ms')
  if settings.starts_at and settings.ends_at and settings.ends_at <= settings.starts_at then
    problem('ends_at_ms', 'must be after starts_at_ms')
  end
end

local function read_values(settings, object, raw, problem)
  local function integer(name, least, most)
    return config_members.integer(object, name, least, most, '', problem)
  end
  local function boolean(name)
    return config_members.boolean(object, name, problem)
  end
  settings.total = integer('total_time_ms', bounds.LEAST_BANK_MS, MOST_MS)
  settings.per_cycle = integer('time_per_cycle_ms', bounds.LEAST_BANK_MS, MOST_MS)
  settings.increment = integer('increment_ms', 0, MOST_MS) or 0
  settings.maximum = integer('max_time_ms', bounds.LEAST_BANK_MS, MOST_MS)
  settings.auto_advance = boolean('auto_advance')
  settings.max_pause = integer('max_pause_ms', 1, rules_bounds.MOST_PAUSE_MS)
  settings.pauses_left = integer('max_pauses', 0, rules_bounds.MOST_PAUSES)
  settings.pause_left = integer('max_total_pause_ms', 1, rules_bounds.MOST_PAUSE_MS)
  settings.max_cycles = integer('max_cycles', 1, rules_bounds.MOST_CYCLES)
  settings.players_may_pause = boolean('players_may_pause')
  settings.players_may_choose_next = boolean('players_may_choose_next')
  settings.lag_compensation = boolean('lag_compensation')
  settings.metadata = config_metadata.read(object, raw, problem)
end

-- Finds out who owns the clocks, and checks that their time is given. Reads `action_on_timeout`, because its
-- default depends on the owner.
local function read_owner(settings, object, raw, problem)
  local mode, mode_name = settings.mode, settings.mode_name
  local has_cycle_time = object.time_per_cycle_ms ~= nil
  settings.cycle_clock = mode_name == 'per_cycle' or (mode_name == 'global' and has_cycle_time)
  settings.action, settings.action_json = read_action(
    object, raw, settings.cycle_clock, settings.auto_advance, problem)
  settings.owned_by = mode and (settings.cycle_clock and 'cycle' or mode.owner)
  settings.owners_have_clocks = settings.owned_by == 'participant' or settings.owned_by == 'group'
  if mode_name == 'per_cycle' and not has_cycle_time then
    problem('time_per_cycle_ms', 'is required in per_cycle')
  elseif mode_name == 'global' and not has_cycle_time and object.total_time_ms == nil then
    problem('total_time_ms', 'is required in global, or time_per_cycle_ms')
  end
end

-- Reads `time_control`, the control of all owners that have none of their own.
local function read_control(settings, object, problem)
  settings.default, settings.control_json = '-', 'null'
  settings.control_defaults = { increment_ms = settings.increment, max_time_ms = settings.maximum, read = {} }
  if settings.mode and not settings.owners_have_clocks then
    if object.time_control ~= nil then
      problem('time_control', 'has no effect in ' .. settings.mode_name)
    end
    if settings.lag_compensation then
      problem('lag_compensation', 'has no effect in ' .. settings.mode_name)
    end
    return
  end
  local given = object.time_control
  if given == nil then
    given = { kind = 'fischer' }
  end
  settings.control = config_control.check(given, '', problem, settings.control_defaults)
  if settings.control then
    settings.default, settings.control_json = settings.control.text, settings.control.json
  end
end

-- Adds the clock of a participant or a group that owns one. Returns the JSON of its own control.
--
-- clocks    sums up all clocks: count, banks and bank (how many have one, and ms), stages, counted (the
--           stages, those of a group for each of its members), overtime (the greatest, ms), unknown
--           (whether a control is wrong), and hourglass_path, where the first hourglass is configured
-- record    its record, which gets the clock
-- required  the message of the problem that is reported when it has no bank
local function add_clock(settings, clocks, field, record, owner, required, problem)
  local control = config_bank.own_control(owner, owner.path, settings.control_defaults, problem)
  local governing = control or (owner.time_control == nil and settings.control) or nil
  local bank = config_bank.bank(owner, owner.time_control or settings.given_control, governing, owner.path,
    problem, required)
  clocks.count, clocks.bank = clocks.count + 1, clocks.bank + bank
  clocks.banks[clocks.count], clocks.fields[clocks.count] = bank, record.field
  if governing then
    if governing.text:find('hourglass', 1, true) then
      clocks.hourglass_path = clocks.hourglass_path or (control and owner.path or '')
    end
    local own_text = rules_lag.give_clock(
      record, control and control.text, settings.default, settings.lag_compensation, bank)
    if own_text then
      field('c:' .. record.field, own_text)
    end
    record.bank_text = text_formats.integer(bank)
    local stages = config_bank.stages(record.control)
    clocks.stages = clocks.stages + stages
    clocks.counted = clocks.counted + stages * math.max(1, owner.members and #owner.members or 1)
    clocks.overtime = math.max(clocks.overtime, record.control.overtime)
    if not record.control.endless then
      clocks.known = clocks.known + 1
    end
    if record.control.view_names then
      record.clock = controls.view(record)
    end
  else
    clocks.unknown = true
  end
  return control and control.json or 'null'
end

-- Adds the record of a participant or a group, and its clock if owners of this kind have one.
--
-- kind         'participant' or 'group'
-- fixed_json   makes the part of its JSON that never changes, from the JSON of its own control
local function add_record(settings, clocks, field, kind, name, owner, required, problem, fixed_json)
  local owns = settings.owned_by == kind
  local record = storage_record.fresh(name, owns)
  local control_json = 'null'
  if owns then
    control_json = add_clock(settings, clocks, field, record, owner, required, problem)
  elseif settings.mode then
    config_bank.refuse_control(owner, owner.path, problem)
    if settings.owned_by ~= 'group' then -- there the banks of members are summands of the group's
      config_bank.refuse_zero(owner, owner.path, problem)
    end
  end
  record.fixed_json = fixed_json(control_json)
  field(name, storage_record.encode(record))
  field(name .. ':shown', record.fixed_json)
  local records = settings.records
  records[#records + 1] = record
end

local function add_participants(settings, clocks, field, problem, is_full)
  for i = 1, #settings.participants do
    if is_full() then
      return
    end
    local participant = settings.participants[i]
    if settings.owned_by == 'group' and not participant.has_group then
      problem(participant.path .. 'group_id', 'is required in per_group')
    end
    local name, id = storage_record.participant_field(participant.index), participant.id or ''
    add_record(settings, clocks, field, 'participant', name, participant, 'is required in per_participant',
      problem, function(control_json)
        return storage_record.participant_fixed_json(
          id, participant.index, participant.group_id, control_json)
      end)
    field('i:' .. id, storage_record.index_text(participant.index))
  end
end

local function add_groups(settings, clocks, field, problem, is_full)
  local ids = {}
  for i = 1, #settings.groups do
    if is_full() then
      return
    end
    local group = settings.groups[i]
    if settings.owned_by == 'group' and not group.has_bank and group.banks > 0
      and group.banks == #group.members then
      group.bank = group.sum
    end
    local id = group.id or ''
    local name = 'g:' .. id
    add_record(settings, clocks, field, 'group', name, group,
      'is required in per_group, or that of each of its members', problem, function(control_json)
        return storage_record.group_fixed_json(id, control_json)
      end)
    field('m:' .. id, #group.members > 0 and ',' .. table.concat(group.members, ',') .. ',' or ',')
    ids[i] = id
  end
  if #ids > 0 then
    field('groups', table.concat(ids, ','))
  end
end

-- The rotation, with a character for each index from 0; see storage/session.lua.
local function rotation_of(settings)
  local by_group = settings.owned_by == 'group'
  local turns = {}
  for i = 1, #settings.participants do
    turns[settings.participants[i].index] = by_group and '.' or '1'
  end
  for i = 1, by_group and #settings.groups or 0 do
    local first = settings.groups[i].members[1]
    if first then
      turns[tonumber(first)] = '1'
    end
  end
  local text = {}
  for index = 0, settings.participants[#settings.participants].index do
    text[index + 1] = turns[index] or '_'
  end
  return table.concat(text)
end

local function integer_or_null(number)
  return number and string.format('%d', number) or 'null'
end

-- The JSON of the members of the state that never change. In count_up an adjust may change max_time_ms. It
-- begins with a member that libraries before 0.3.0 did not have, see views/state.lua.
local function fixed_json(settings)
  return '"players_may_choose_next":' .. tostring(settings.players_may_choose_next)
    .. ',"sync_mode":"' .. settings.mode_name
    .. '","time_per_cycle_ms":' .. integer_or_null(settings.per_cycle)
    .. ',"increment_ms":' .. integer_or_null(settings.increment)
    .. (settings.mode.counts_up and '' or ',"max_time_ms":' .. integer_or_null(settings.maximum))
    .. ',"time_control":' .. settings.control_json
    .. ',"lag_compensation":' .. tostring(settings.lag_compensation)
    .. ',"auto_advance":' .. tostring(settings.auto_advance)
    .. ',"action_on_timeout":' .. settings.action_json
    .. ',"warnings_ms":' .. settings.warnings_json
    .. ',"max_pause_ms":' .. integer_or_null(settings.max_pause)
    .. ',"players_may_pause":' .. tostring(settings.players_may_pause)
    .. ',"metadata":' .. settings.metadata
end

-- Adds what sk_reset needs to know: the bank that the most clocks begin with, the banks of the others, and
-- the index of the active participant. bank: that of the clock that the session or the cycle owns.
local function add_beginning(settings, clocks, field, bank)
  local counts = {}
  for i = 1, clocks.count do
    local each = clocks.banks[i]
    counts[each] = (counts[each] or 0) + 1
    if not bank or counts[each] > counts[bank] then
      bank = each
    end
  end
  field('bank', string.format('%d', bank))
  for i = 1, clocks.count do
    if clocks.banks[i] ~= bank then
      field('b:' .. clocks.fields[i], string.format('%d', clocks.banks[i]))
    end
  end
  if settings.active_id then
    field('first', settings.active_id)
  end
end

-- Adds the fields of the session itself. The config has no problems.
local function add_session(settings, clocks, field, ttl, now)
  local mode, per_cycle, total = settings.mode, settings.per_cycle, settings.total
  local default, action = settings.default, settings.action
  local bank
  if not settings.owners_have_clocks then
    default = mode.counts_up and not settings.maximum and 'none 0' or 'fischer 0 0'
    bank = settings.owned_by == 'cycle' and per_cycle
      or mode.counts_up and (settings.maximum or 0) or total
    field('clock', storage_record.encode_new(bank, ''))
  end
  if settings.cycle_clock and (action == 'auto_action' or (action == 'notify' and settings.auto_advance)) then
    action = 'skip_cycle' -- a cycle clock does the same for all of them; events show the configured one
  end
  field('rotation', rotation_of(settings))
  field('rules', storage_session.encode_rules(settings.mode_name, ttl * 1000, action,
    settings.lag_compensation, settings.cycle_clock and per_cycle or 0, settings.warnings, default))
  field('action', settings.action_json)
  if settings.owned_by ~= 'session' or mode.counts_up then
    local total_or_sum = total or (clocks.known > 0 and clocks.bank) or nil
    if total_or_sum then
      field('total', string.format('%d', total_or_sum))
    end
  end
  if clocks.stages ~= clocks.count * config_bank.stages(controls.decode(default)) then
    field('stages', string.format('%d', clocks.stages))
  end
  if settings.max_pause then
    field('max_pause', string.format('%d', settings.max_pause))
  end
  local bounds = rules_bounds.text_of(settings.pauses_left, settings.pause_left, settings.max_cycles)
  if bounds then
    field('bounds', bounds)
  end
  field('shown', fixed_json(settings))
  field('cycle', storage_session.encode_new_cycle(settings.active_index, now, settings.warning_count,
    settings.mode_name == 'global' and per_cycle and total or nil, settings))
  add_beginning(settings, clocks, field, settings.mode_name == 'global' and total or bank)
end

-- Checks the config of sk_create. Returns the fields of the hash as a list of name, value, name, value, ...
-- without status, version, epoch, created and tenant, and the records of all participants and groups; or nil
-- and the list of problems.
--
-- text     the config (JSON)
-- key_id   the id in KEYS
-- ttl      s
-- now      server time in ms
local function check(text, key_id, ttl, now)
  local problems, problem, is_full = config_members.collector()
  local object, raw = config_members.read_object(text, 'config', MOST_CONFIG_BYTES, CONFIG, problem)
  if not object then
    return nil, problems
  end
  config_members.refuse_unknown(object, CONFIG, '', problem)
  local session_id = config_members.uuid(object, 'session_id', '', problem)
  if session_id and session_id ~= key_id then
    problem('session_id', 'must be the id of KEYS, ' .. key_id)
  end
  local settings = { given_control = object.time_control, records = {} }
  read_mode(settings, object, problem)
  read_members(settings, object, raw, problem, is_full)
  read_values(settings, object, raw, problem)
  read_schedule(settings, object, problem, now)
  read_owner(settings, object, raw, problem)
  read_control(settings, object, problem)
  if is_full() then
    return nil, problems
  end

  local fields, count = {}, 0
  local function field(name, value)
    fields[count + 1], fields[count + 2] = name, value
    count = count + 2
  end
  local clocks = { count = 0, known = 0, bank = 0, stages = 0, counted = 0, overtime = 0, unknown = false,
    banks = {}, fields = {} }
  add_participants(settings, clocks, field, problem, is_full)
  add_groups(settings, clocks, field, problem, is_full)
  settings.warnings_json, settings.warnings, settings.warning_count = read_warnings(
    object, raw, clocks.unknown and -MOST_MS or -clocks.overtime, problem)
  if clocks.counted > config_bank.MOST_STAGES then
    problem('participants', config_bank.TOO_MANY_STAGES)
  end
  if clocks.hourglass_path and clocks.count < 2 then
    problem(clocks.hourglass_path .. 'time_control', 'must not be an hourglass of one: it needs two clocks')
  end
  if #problems > 0 then
    return nil, problems
  end
  add_session(settings, clocks, field, ttl, now)
  return fields, settings.records
end

return {
  check = check,
}
