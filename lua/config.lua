-- Checks the config of `sk_create`, and makes the fields of the session's hash from it. All problems are
-- reported, not only the first.

local DAY_MS = 86400000
local MOST_WARNINGS = 8
local MOST_METADATA_KEYS = 100
local MOST_CONFIG_BYTES = 524288 -- bounds the work of one call

local CONFIG = {
  session_id = true, sync_mode = true, participants = true, groups = true, active_participant_id = true,
  total_time_ms = true, time_per_cycle_ms = true, increment_ms = true, max_time_ms = true,
  time_control = true, lag_compensation = true, auto_advance = true, action_on_timeout = true,
  warnings_ms = true, max_pause_ms = true, players_may_pause = true, metadata = true,
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
-- `-` for none), and their number.
local function read_warnings(object, raw, problem)
  local given = config_members.list(object, raw, 'warnings_ms', problem) or {}
  if #given > MOST_WARNINGS then
    problem('warnings_ms', 'must be at most ' .. MOST_WARNINGS)
  end
  local listed, sorted, known = {}, {}, {}
  for i = 1, math.min(#given, MOST_WARNINGS) do
    local threshold = config_members.integer(given, i, 1, DAY_MS, 'warnings_ms.', function(_, message)
      problem('warnings_ms.' .. (i - 1), message)
    end)
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

-- Reads `metadata`. Returns its compact JSON.
local function read_metadata(object, raw, problem)
  if object.metadata == nil then
    return '{}'
  end
  local text, count = config_members.read_raw(object, raw, 'metadata', problem)
  if text and count > MOST_METADATA_KEYS then
    problem('metadata', 'must have at most ' .. MOST_METADATA_KEYS .. ' keys')
  end
  return text
end

-- Checks the config of sk_create. Returns the fields of the hash as a list of name, value, name, value, ...
-- without status, version, epoch, created and tenant; or nil and the list of problems.
--
-- text     the config (JSON)
-- key_id   the id in KEYS
-- ttl      s
-- now      server time in ms
local function check(text, key_id, ttl, now)
  local problems, problem = config_members.collector()
  local object, raw = config_members.read_object(text, 'config', MOST_CONFIG_BYTES, CONFIG, problem)
  if not object then
    return nil, problems
  end
  config_members.refuse_unknown(object, CONFIG, '', problem)
  local session_id = config_members.uuid(object, 'session_id', '', problem)
  if session_id and session_id ~= key_id then
    problem('session_id', 'must be the id of KEYS, ' .. key_id)
  end
  local mode_name = object.sync_mode
  local mode = type(mode_name) == 'string' and modes.MODES[mode_name] or nil
  if not mode then
    problem('sync_mode', 'must be one of ' .. modes.NAMES)
  end
  if object.participants == nil then
    problem('participants', 'is required')
  end
  local participants, by_id = config_participants.read_participants(
    config_members.list(object, raw, 'participants', problem), problem)
  local groups = config_participants.read_groups(
    config_members.list(object, raw, 'groups', problem), participants, problem)
  local active_id = config_members.uuid(object, 'active_participant_id', '', problem)
  if active_id and not by_id[active_id] then
    problem('active_participant_id', 'is none of participants')
  end
  local total = config_members.integer(object, 'total_time_ms', 1000, DAY_MS, '', problem)
  local per_cycle = config_members.integer(object, 'time_per_cycle_ms', 1000, DAY_MS, '', problem)
  local increment = config_members.integer(object, 'increment_ms', 0, 60000, '', problem) or 0
  local maximum = config_members.integer(object, 'max_time_ms', 1000, DAY_MS, '', problem)
  local auto_advance = config_members.boolean(object, 'auto_advance', problem)
  local max_pause = config_members.integer(object, 'max_pause_ms', 1000, DAY_MS, '', problem)
  local players_may_pause = config_members.boolean(object, 'players_may_pause', problem)
  local lag_compensation = config_members.boolean(object, 'lag_compensation', problem)
  local warnings_json, warnings, warning_count = read_warnings(object, raw, problem)
  local metadata = read_metadata(object, raw, problem)

  local has_cycle_time = object.time_per_cycle_ms ~= nil
  local cycle_clock = mode_name == 'per_cycle' or (mode_name == 'global' and has_cycle_time)
  local action, action_text = read_action(object, raw, cycle_clock, auto_advance, problem)
  local owned_by = mode and (cycle_clock and 'cycle' or mode.owner)
  local owners_have_clocks = owned_by == 'participant' or owned_by == 'group'
  if mode_name == 'per_cycle' and not has_cycle_time then
    problem('time_per_cycle_ms', 'is required in per_cycle')
  elseif mode_name == 'global' and not has_cycle_time and object.total_time_ms == nil then
    problem('total_time_ms', 'is required in global, or time_per_cycle_ms')
  end

  -- The control of the session.
  local defaults = { increment_ms = increment, max_time_ms = maximum }
  local default, control_json, default_control = '-', 'null', nil
  if mode and not owners_have_clocks then
    if object.time_control ~= nil then
      problem('time_control', 'has no effect in ' .. mode_name)
    end
    if lag_compensation then
      problem('lag_compensation', 'has no effect in ' .. mode_name)
    end
  else
    local given = object.time_control
    if given == nil then
      given = { kind = 'fischer' }
    end
    default_control = config_control.check(given, 'time_control', problem, defaults)
    if default_control then
      default, control_json = default_control.text, default_control.json
    end
  end

  -- Participants and groups, with their clocks.
  local sum = 0
  local fields, owners, hourglass_path = {}, 0, nil
  local function field(name, value)
    fields[#fields + 1] = name
    fields[#fields + 1] = value
  end
  -- Adds the fields of a participant or a group.
  --
  -- name        the field of its record
  -- owns        whether it owns a clock
  -- required    the message of the problem that is reported when it has no bank
  -- fixed_json  makes its fixed JSON, see storage/record.lua, from that of its own control
  local function add_record(name, owner, path, owns, required, fixed_json)
    local own_control_json, clock_json = 'null', ''
    local own_bank = 0
    if owns then
      local control = config_bank.own_control(owner, path, defaults, problem)
      local governing = control or (owner.time_control == nil and default_control) or nil
      own_bank = config_bank.bank(owner, owner.time_control or object.time_control, governing, path, problem,
        required)
      sum, owners = sum + own_bank, owners + 1
      if control then
        own_control_json = control.json
      end
      if governing then
        if governing.text:find('hourglass', 1, true) then
          hourglass_path = hourglass_path or (control and path or '')
        end
        local new_owner, own_text = rules_lag.new_owner(
          control and control.text, default, lag_compensation, own_bank)
        if own_text then
          field('c:' .. name, own_text)
        end
        if new_owner.control.view_names then
          clock_json = controls.view(new_owner)
        end
      end
    elseif mode then
      config_bank.refuse_control(owner, path, problem)
    end
    field(name, storage_record.encode_new(own_bank, clock_json))
    field(name .. ':shown', fixed_json(own_control_json))
  end
  local turns = {}
  for i = 1, #participants do
    local participant = participants[i]
    local path = participant.path
    if owned_by == 'group' and not participant.has_group then
      problem(path .. 'group_id', 'is required in per_group')
    end
    local function fixed_json(own_control_json)
      return storage_record.participant_fixed_json(participant.id or '', participant.index,
        participant.group_id, own_control_json)
    end
    add_record(storage_record.participant_field(participant.index), participant, path,
      owned_by == 'participant', 'is required in per_participant', fixed_json)
    field('i:' .. (participant.id or ''), string.format('%d', participant.index))
    turns[participant.index] = owned_by == 'group' and '.' or '1'
  end
  local group_ids = {}
  for i = 1, #groups do
    local group = groups[i]
    if owned_by == 'group' then
      if not group.has_bank and group.banks > 0 and group.banks == #group.members then
        group.bank = group.sum
      end
      if group.members[1] then
        turns[tonumber(group.members[1])] = '1'
      end
    end
    local id = group.id or ''
    local function fixed_json(own_control_json)
      return storage_record.group_fixed_json(id, own_control_json)
    end
    add_record('g:' .. id, group, group.path, owned_by == 'group',
      'is required in per_group, or that of each of its members', fixed_json)
    field('m:' .. id, #group.members > 0 and ',' .. table.concat(group.members, ',') .. ',' or ',')
    group_ids[i] = group.id
  end
  if hourglass_path and owners < 2 then
    problem(hourglass_path .. 'time_control', 'must not be an hourglass of one: it needs two clocks')
  end
  if #problems > 0 then
    return nil, problems
  end

  if not owners_have_clocks then
    default = mode.counts_up and not maximum and 'none 0' or 'fischer 0 0'
    local bank = owned_by == 'cycle' and per_cycle or mode.counts_up and (maximum or 0) or total
    field('clock', storage_record.encode_new(bank, ''))
  end
  if #group_ids > 0 then
    field('groups', table.concat(group_ids, ','))
  end
  local rotation_text = {}
  for index = 0, participants[#participants].index do
    rotation_text[index + 1] = turns[index] or '_'
  end
  if cycle_clock and (action == 'auto_action' or (action == 'notify' and auto_advance)) then
    action = 'skip_cycle' -- a cycle clock does the same for all of them; events show the configured one
  end
  field('rotation', table.concat(rotation_text))
  field('rules', storage_session.encode_rules(mode_name, ttl * 1000, action, lag_compensation,
    cycle_clock and per_cycle or 0, warnings, default))
  field('action', action_text)
  if owned_by ~= 'session' or mode.counts_up then
    local total_or_sum = total or (owners_have_clocks and sum > 0 and sum) or nil
    if total_or_sum then
      field('total', string.format('%d', total_or_sum))
    end
  end
  if max_pause then
    field('max_pause', string.format('%d', max_pause))
  end
  local function integer_or_null(number)
    return number and string.format('%d', number) or 'null'
  end
  -- The members that never change. In count_up an adjust may change max_time_ms.
  field('shown', '"sync_mode":"' .. mode_name
    .. '","time_per_cycle_ms":' .. integer_or_null(per_cycle)
    .. ',"increment_ms":' .. integer_or_null(increment)
    .. (mode.counts_up and '' or ',"max_time_ms":' .. integer_or_null(maximum))
    .. ',"time_control":' .. control_json
    .. ',"lag_compensation":' .. tostring(lag_compensation)
    .. ',"auto_advance":' .. tostring(auto_advance)
    .. ',"action_on_timeout":' .. action_text
    .. ',"warnings_ms":' .. warnings_json
    .. ',"max_pause_ms":' .. integer_or_null(max_pause)
    .. ',"players_may_pause":' .. tostring(players_may_pause)
    .. ',"metadata":' .. metadata)
  local active = active_id and by_id[active_id].index or -1
  field('cycle', storage_session.encode_new_cycle(active, now, warning_count,
    mode_name == 'global' and per_cycle and total or nil))
  return fields
end

return {
  check = check,
}
