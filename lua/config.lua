-- The config of a session: the one judge of what `sk_create` and `sk_join` are given. Every problem is found,
-- not the first.

local DAY_MS = 86400000
local MOST_WARNINGS = 8
local MOST_METADATA_KEYS = 100

-- Bounds of the work: what a config or a participant can need, and what a client's own object may be before
-- its spaces are taken out.
local MOST_CONFIG_BYTES = 524288

local CONFIG = {
  session_id = true, sync_mode = true, participants = true, groups = true, active_participant_id = true,
  total_time_ms = true,
  time_per_cycle_ms = true, increment_ms = true, max_time_ms = true, time_control = true,
  lag_compensation = true, auto_advance = true,
  action_on_timeout = true, warnings_ms = true, max_pause_ms = true, players_may_pause = true,
  metadata = true,
}

-- `action_on_timeout`: its type, and its JSON as it came.
local function read_action(object, raw, cycle_clock, advance, problem)
  local given = object.action_on_timeout
  if given == nil then
    local kind = cycle_clock and advance and 'skip_cycle' or 'end_session'
    return kind, '{"type":"' .. kind .. '"}'
  end
  local text = config_members.read_raw(object, raw, 'action_on_timeout', problem)
  if not text then
    return 'end_session', '{}'
  end
  local kind = given.type
  if type(kind) ~= 'string' or not storage_session.ACTIONS[kind] then
    problem('action_on_timeout.type', 'must be one of end_session, skip_cycle, auto_action, notify')
  elseif kind == 'end_session' and cycle_clock and advance then
    problem('action_on_timeout.type', 'must not be end_session with auto_advance')
  end
  if given.winner ~= nil then
    problem('action_on_timeout.winner', 'is set by the server')
  end
  return kind, text
end

local function read_warnings(object, raw, problem)
  local given = config_members.list(object, raw, 'warnings_ms', problem) or {}
  if #given > MOST_WARNINGS then
    problem('warnings_ms', 'must be at most ' .. MOST_WARNINGS)
  end
  local shown, sorted, known = {}, {}, {}
  for i = 1, math.min(#given, MOST_WARNINGS) do
    local threshold = config_members.integer(given, i, 1, DAY_MS, 'warnings_ms.', function(_, message)
      problem('warnings_ms.' .. (i - 1), message)
    end)
    if threshold then
      if known[threshold] then
        problem('warnings_ms.' .. (i - 1), 'is there twice')
      end
      known[threshold] = true
      shown[#shown + 1] = string.format('%d', threshold)
      sorted[#sorted + 1] = threshold
    end
  end
  table.sort(sorted, function(one, other) return one > other end)
  for i = 1, #sorted do
    sorted[i] = string.format('%d', sorted[i])
  end
  return '[' .. table.concat(shown, ',') .. ']', #sorted > 0 and table.concat(sorted, ',') or '-', #sorted
end

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

-- Checks the config of sk_create. Returns the hash's fields as a list of name, value, ... (without status,
-- version, epoch and created) with `cycle` as it begins at `now`; or nil and the list of problems.
local function check(text, key_id, ttl, now)
  local problems, problem = config_members.collector()
  local object, raw = config_members.read_object(text, 'config', MOST_CONFIG_BYTES, CONFIG, problem)
  if not object then
    return nil, problems
  end
  config_members.unknown_names(object, CONFIG, '', problem)
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
  local participants, by_id = config_participants.read_participants(config_members.list(object, raw,
    'participants', problem), problem)
  local groups = config_participants.read_groups(config_members.list(object, raw, 'groups', problem),
    participants, problem)
  local active_id = config_members.uuid(object, 'active_participant_id', '', problem)
  if active_id and not by_id[active_id] then
    problem('active_participant_id', 'is none of participants')
  end
  local total = config_members.integer(object, 'total_time_ms', 1000, DAY_MS, '', problem)
  local per_cycle = config_members.integer(object, 'time_per_cycle_ms', 1000, DAY_MS, '', problem)
  local increment = config_members.integer(object, 'increment_ms', 0, 60000, '', problem) or 0
  local maximum = config_members.integer(object, 'max_time_ms', 1000, DAY_MS, '', problem)
  local advance = config_members.boolean(object, 'auto_advance', problem)
  local max_pause = config_members.integer(object, 'max_pause_ms', 1000, DAY_MS, '', problem)
  local players_may_pause = config_members.boolean(object, 'players_may_pause', problem)
  local compensation = config_members.boolean(object, 'lag_compensation', problem)
  local shown_warnings, warnings, warning_count = read_warnings(object, raw, problem)
  local metadata = read_metadata(object, raw, problem)

  local has_cycle_time = object.time_per_cycle_ms ~= nil
  local cycle_clock = mode_name == 'per_cycle' or (mode_name == 'global' and has_cycle_time)
  local action, action_text = read_action(object, raw, cycle_clock, advance, problem)
  local owned_by = mode and (cycle_clock and 'cycle' or mode.owner)
  local by_owner = owned_by == 'participant' or owned_by == 'group'
  if mode_name == 'per_cycle' and not has_cycle_time then
    problem('time_per_cycle_ms', 'is required in per_cycle')
  elseif mode_name == 'global' and not has_cycle_time and object.total_time_ms == nil then
    problem('total_time_ms', 'is required in global, or time_per_cycle_ms')
  end

  -- Controls and banks.
  local defaults = { increment_ms = increment, max_time_ms = maximum }
  local default, shown_control, default_control = '-', 'null', nil
  if mode and not by_owner then
    if object.time_control ~= nil then
      problem('time_control', 'has no effect in ' .. mode_name)
    end
    if compensation then
      problem('lag_compensation', 'has no effect in ' .. mode_name)
    end
  else
    local given = object.time_control
    if given == nil then
      given = { kind = 'fischer' }
    end
    default_control = config_control.check(given, 'time_control', problem, defaults)
    if default_control then
      default, shown_control = default_control.text, default_control.shown
    end
  end
  local sum = 0
  local fields, owners, hourglass_path = {}, 0, nil
  local function field(name, value)
    fields[#fields + 1] = name
    fields[#fields + 1] = value
  end
  -- The record of a participant or a group. owns: whether it owns a clock; needs: what is wrong when it has
  -- no bank.
  local function add_record(name, owner, path, owns, needs, show)
    local shown, kept = 'null', ''
    local own_bank = 0
    if owns then
      local control = config_bank.own_control(owner, path, defaults, problem)
      local governing = control or (owner.time_control == nil and default_control) or nil
      own_bank = config_bank.bank(owner, owner.time_control or object.time_control, governing, path, problem,
        needs)
      sum, owners = sum + own_bank, owners + 1
      if control then
        shown = control.shown
      end
      if governing then
        if governing.text:find('hourglass', 1, true) then
          hourglass_path = hourglass_path or (control and path or '')
        end
        local begun, own_text = rules_lag.new_owner(control and control.text, default, compensation, own_bank)
        if own_text then
          field('c:' .. name, own_text)
        end
        if begun.control.view_names then
          kept = ',' .. controls.view(begun)
        end
      end
    elseif mode then
      config_bank.no_control(owner, path, problem)
    end
    field(name, ('[%d,0,0,0%s]'):format(own_bank, kept))
    field(name .. ':shown', show(shown))
  end
  local turns = {}
  for i = 1, #participants do
    local participant = participants[i]
    local path = participant.path
    if owned_by == 'group' and not participant.named_group then
      problem(path .. 'group_id', 'is required in per_group')
    end
    add_record(string.format('p%d', participant.index), participant, path, owned_by == 'participant',
      'is required in per_participant', function(shown)
      return storage_record.participant_fixed_json(participant.id or '', participant.index,
        participant.group_id, shown)
    end)
    field('i:' .. (participant.id or ''), string.format('%d', participant.index))
    turns[participant.index] = owned_by == 'group' and '.' or '1'
  end
  local group_ids = {}
  for i = 1, #groups do
    local group = groups[i]
    if owned_by == 'group' then
      if not group.named_bank and group.banks > 0 and group.banks == #group.members then
        group.bank = group.sum
      end
      if group.members[1] then
        turns[tonumber(group.members[1])] = '1'
      end
    end
    add_record('g:' .. (group.id or ''), group, group.path, owned_by == 'group',
      'is required in per_group, or that of each of its members', function(shown)
      return storage_record.group_fixed_json(group.id or '', shown)
    end)
    field('m:' .. (group.id or ''), #group.members > 0 and ',' .. table.concat(group.members, ',') .. ','
      or ',')
    group_ids[i] = group.id
  end
  if hourglass_path and owners < 2 then
    problem(hourglass_path .. 'time_control', 'must not be an hourglass of one: it needs two clocks')
  end
  if #problems > 0 then
    return nil, problems
  end

  if not by_owner then
    default = mode.counts_up and not maximum and 'none 0' or 'fischer 0 0'
    field('clock', ('[%d,0,0,0]'):format(owned_by == 'cycle' and per_cycle or mode.counts_up
      and (maximum or 0) or total))
  end
  if #group_ids > 0 then
    field('groups', table.concat(group_ids, ','))
  end
  local rotation_text = {}
  for index = 0, participants[#participants].index do
    rotation_text[index + 1] = turns[index] or '_'
  end
  if cycle_clock and (action == 'auto_action' or (action == 'notify' and advance)) then
    action = 'skip_cycle' -- what it does; the event still carries what was configured
  end
  field('rotation', table.concat(rotation_text))
  field('rules', storage_session.encode_rules(mode_name, ttl * 1000, action, compensation, cycle_clock
    and per_cycle or 0, warnings, default))
  field('action', action_text)
  if owned_by ~= 'session' or mode.counts_up then
    local echoed = total or (by_owner and sum > 0 and sum) or nil
    if echoed then
      field('total', string.format('%d', echoed))
    end
  end
  if max_pause then
    field('max_pause', string.format('%d', max_pause))
  end
  field('shown',
    string.format('"sync_mode":"%s","time_per_cycle_ms":%s,"increment_ms":%d,%s"time_control":%s,'
    .. '"lag_compensation":%s,"auto_advance":%s,'
    .. '"action_on_timeout":%s,"warnings_ms":%s,"max_pause_ms":%s,"players_may_pause":%s,"metadata":%s',
    mode_name,
    per_cycle and string.format('%d', per_cycle) or 'null', increment,
    mode.counts_up and '' or '"max_time_ms":' .. (maximum and string.format('%d', maximum) or 'null') .. ',',
    shown_control,
    tostring(compensation), tostring(advance), action_text, shown_warnings, max_pause
    and string.format('%d', max_pause) or 'null',
    tostring(players_may_pause), metadata))
  field('cycle', ('%d 0 0 0 0 %d'):format(active_id and by_id[active_id].index or -1, now)
    .. (warning_count > 0 and ' !0 -1 ' .. ('0'):rep(warning_count) or '')
    .. (mode_name == 'global' and per_cycle and total and (' =%d'):format(total) or ''))
  return fields
end

return {
  check = check,
}
