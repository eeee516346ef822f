-- The config of a session: the one judge of what `sk_create` and `sk_join` are given. Every problem is found, not the first.

local DAY_MS = 86400000
local MOST_PARTICIPANTS = 1000
local MOST_WARNINGS = 8
local MOST_BYTES = 10240
local MOST_METADATA_KEYS = 100
-- Bounds of the work: what a config or a participant can need, and what a client's own object may be before its spaces are taken out.
local MOST_CONFIG_BYTES = 524288
local MOST_PARTICIPANT_BYTES = 8192
local MOST_RAW_BYTES = 32768
local MOST_UNKNOWN = 100

local CONFIG = {
  session_id = true, sync_mode = true, participants = true, groups = true, active_participant_id = true, total_time_ms = true,
  time_per_cycle_ms = true, increment_ms = true, max_time_ms = true, time_control = true, lag_compensation = true, auto_advance = true,
  action_on_timeout = true, warnings_ms = true, max_pause_ms = true, players_may_pause = true, metadata = true,
}
local PARTICIPANT = { participant_id = true, participant_index = true, group_id = true, total_time_ms = true, time_control = true }
local GROUP = { group_id = true, total_time_ms = true, time_control = true }
local ACTIONS = { end_session = true, skip_cycle = true, auto_action = true, notify = true }

-- The object without the members that are null: null means absent.
local function without_nulls(object)
  local present = {}
  for name, value in pairs(object) do
    if value ~= cjson.null then
      present[name] = value
    end
  end
  return present
end

-- A collector of problems: problem(field, message).
local function collector()
  local problems = {}
  return problems, function(field, message)
    problems[#problems + 1] = { field, message }
  end
end

local function unknown_names(object, known, path, problem)
  local names = {}
  for name in pairs(object) do
    if not known[name] and #names < MOST_UNKNOWN then
      names[#names + 1] = tostring(name)
    end
  end
  table.sort(names)
  for i = 1, #names do
    problem(path .. names[i], 'is unknown')
  end
end

-- object[name] as an integer within bounds; nil where it is absent or wrong.
local function integer(object, name, least, most, path, problem)
  local number = object[name]
  if number == nil then
    return nil
  elseif type(number) ~= 'number' or number % 1 ~= 0 or number < least or number > most then
    problem(path .. name, string.format('must be an integer from %d to %d', least, most))
    return nil
  end
  return number
end

local function boolean(object, name, problem)
  local value = object[name]
  if value ~= nil and type(value) ~= 'boolean' then
    problem(name, 'must be true or false')
    return false
  end
  return value or false
end

local function uuid(object, name, path, problem)
  local value = object[name]
  if value == nil then
    return nil
  end
  local id = text_formats.uuid(value)
  if not id then
    problem(path .. name, 'must be a UUID')
  end
  return id
end

-- The list at object[name]; nil where it is absent or no list.
local function list(object, raw, name, problem)
  local value = object[name]
  if value == nil then
    return nil
  elseif type(value) ~= 'table' or (raw[name] or ''):sub(1, 1) ~= '[' then
    problem(name, 'must be a list')
    return nil
  end
  return value
end

-- JSON text as an object: decoded without nulls, and the raw text of its members. nil where it is none; that is a problem then.
local function read_object(text, path, most, known, problem)
  if #text > most then
    problem(path, 'must be at most ' .. most .. ' bytes')
    return nil
  elseif not text_formats.characters(text) then
    problem(path, 'must be UTF-8')
    return nil
  end
  local fine, object = pcall(cjson.decode, text)
  local raw = fine and text_json.members(text)
  if not raw then
    problem(path, 'must be a JSON object')
    return nil
  end
  for name in pairs(raw) do
    -- A known name that is written with escapes would be one name when it is judged, and another when it is kept.
    if name:find('\\', 1, true) and known[cjson.decode('["' .. name .. '"]')[1]] then
      problem(name, 'must be written without escapes')
    end
  end
  return without_nulls(object), raw
end

-- One participant of a config, or the one that joins: {id, index, group_id, bank, time_control}; what is wrong in it is left out.
local function read_participant(given, path, problem)
  if type(given) ~= 'table' then
    problem(path:sub(1, -2), 'must be an object')
    return { named_group = true, named_bank = true }
  end
  given = without_nulls(given)
  unknown_names(given, PARTICIPANT, path, problem)
  if given.participant_id == nil then
    problem(path .. 'participant_id', 'is required')
  end
  return {
    id = uuid(given, 'participant_id', path, problem), index = integer(given, 'participant_index', 0, 999, path, problem),
    group_id = uuid(given, 'group_id', path, problem), bank = integer(given, 'total_time_ms', 1000, DAY_MS, path, problem),
    time_control = given.time_control,
    -- What is there and wrong is named once, and not as missing as well.
    named_group = given.group_id ~= nil, named_bank = given.total_time_ms ~= nil,
  }
end

-- The participants with their indexes, in rotation order.
local function read_participants(given, problem)
  local found, by_id, by_index = {}, {}, {}
  if not given then
    return found, by_id
  end
  if #given < 1 or #given > MOST_PARTICIPANTS then
    problem('participants', 'must be 1 to ' .. MOST_PARTICIPANTS)
  end
  for i = 1, math.min(#given, MOST_PARTICIPANTS) do
    local path = 'participants.' .. (i - 1) .. '.'
    local participant = read_participant(given[i], path, problem)
    participant.path = path
    participant.index = participant.index or i - 1
    if participant.id then
      if by_id[participant.id] then
        problem(path .. 'participant_id', 'is there twice')
      end
      by_id[participant.id] = participant
    end
    if by_index[participant.index] then
      problem(path .. 'participant_index', 'is there twice')
    end
    by_index[participant.index] = true
    found[i] = participant
  end
  table.sort(found, function(one, other) return one.index < other.index end)
  return found, by_id
end

-- The groups with their members' indexes: those that are given, else those that members name.
local function read_groups(given, participants, problem)
  local found, by_id = {}, {}
  if given then
    if #given > MOST_PARTICIPANTS then
      problem('groups', 'must be at most ' .. MOST_PARTICIPANTS)
    end
    for i = 1, math.min(#given, MOST_PARTICIPANTS) do
      local path = 'groups.' .. (i - 1) .. '.'
      local group = type(given[i]) == 'table' and without_nulls(given[i]) or nil
      if not group then
        problem(path:sub(1, -2), 'must be an object')
      else
        unknown_names(group, GROUP, path, problem)
        if group.group_id == nil then
          problem(path .. 'group_id', 'is required')
        end
        local id = uuid(group, 'group_id', path, problem)
        if id and by_id[id] then
          problem(path .. 'group_id', 'is there twice')
        end
        found[#found + 1] = {
          id = id, bank = integer(group, 'total_time_ms', 1000, DAY_MS, path, problem), named_bank = group.total_time_ms ~= nil,
          time_control = group.time_control, path = path, members = {}, sum = 0, banks = 0,
        }
        if id then
          by_id[id] = found[#found]
        end
      end
    end
  end
  for i = 1, #participants do
    local participant = participants[i]
    local id = participant.group_id
    if id then
      local group = by_id[id]
      if not group and given then
        problem(participant.path .. 'group_id', 'is none of groups')
      else
        if not group then
          group = { id = id, path = 'groups.' .. #found .. '.', members = {}, sum = 0, banks = 0 }
          found[#found + 1], by_id[id] = group, group
        end
        group.members[#group.members + 1] = string.format('%d', participant.index)
        if participant.bank then
          group.sum, group.banks = group.sum + participant.bank, group.banks + 1
        end
      end
    end
  end
  return found
end

-- A client's own object as compact JSON, with the number of its members; nil where it is none, or too large.
local function read_raw(object, raw, name, problem)
  local text = raw[name]
  if type(object[name]) ~= 'table' or not text or text:sub(1, 1) ~= '{' or (#text <= MOST_RAW_BYTES and not text_json.is_strict(text)) then
    problem(name, 'must be an object')
    return nil
  end
  if #text <= MOST_RAW_BYTES then
    text = text_json.compact(text)
  end
  if #text > MOST_BYTES then
    problem(name, 'must be at most ' .. MOST_BYTES .. ' bytes of compact JSON')
    return nil
  end
  local _, count = text_json.members(text)
  return text, count
end

-- `action_on_timeout`: its type, and its JSON as it came.
local function read_action(object, raw, cycle_clock, advance, problem)
  local given = object.action_on_timeout
  if given == nil then
    local kind = cycle_clock and advance and 'skip_cycle' or 'end_session'
    return kind, '{"type":"' .. kind .. '"}'
  end
  local text = read_raw(object, raw, 'action_on_timeout', problem)
  if not text then
    return 'end_session', '{}'
  end
  local kind = given.type
  if type(kind) ~= 'string' or not ACTIONS[kind] then
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
  local given = list(object, raw, 'warnings_ms', problem) or {}
  if #given > MOST_WARNINGS then
    problem('warnings_ms', 'must be at most ' .. MOST_WARNINGS)
  end
  local shown, sorted, known = {}, {}, {}
  for i = 1, math.min(#given, MOST_WARNINGS) do
    local threshold = integer(given, i, 1, DAY_MS, 'warnings_ms.', function(_, message)
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
  local text, count = read_raw(object, raw, 'metadata', problem)
  if text and count > MOST_METADATA_KEYS then
    problem('metadata', 'must have at most ' .. MOST_METADATA_KEYS .. ' keys')
  end
  return text
end

-- The control that an owner of a clock has of its own: {text, shown}; nil for none.
local function own_control(owner, path, defaults, problem)
  if owner.time_control ~= nil then
    return config_control.check(owner.time_control, path .. 'time_control', problem, defaults)
  end
end

-- The bank of an owner of a clock (ms): the one that its control supplies, else its own. given: the control as it was given, control: the checked one,
-- nil where it is wrong; needs: what is wrong where there is no bank.
local function bank(owner, given, control, path, problem, needs)
  local supplied = control and control.bank
  if not supplied then
    if not (owner.named_bank or owner.bank or config_control.brings_bank(given)) then
      problem(path .. 'total_time_ms', needs)
    end
    return owner.bank or 0
  elseif owner.named_bank and owner.bank ~= supplied then
    problem(path .. 'total_time_ms', 'must be left out' .. (supplied > 0 and (', or the %d of its time_control'):format(supplied) or ': its clock has no end'))
  end
  return supplied
end

local function no_control(owner, path, problem)
  if owner.time_control ~= nil then
    problem(path .. 'time_control', 'has no effect in this mode')
  end
end

-- Checks the config of sk_create. Returns the hash's fields as a list of name, value, ... (without status, version, epoch and created) with `cycle` as it
-- begins at `now`; or nil and the list of problems.
local function check(text, key_id, ttl, now)
  local problems, problem = collector()
  local object, raw = read_object(text, 'config', MOST_CONFIG_BYTES, CONFIG, problem)
  if not object then
    return nil, problems
  end
  unknown_names(object, CONFIG, '', problem)
  local session_id = uuid(object, 'session_id', '', problem)
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
  local participants, by_id = read_participants(list(object, raw, 'participants', problem), problem)
  local groups = read_groups(list(object, raw, 'groups', problem), participants, problem)
  local active_id = uuid(object, 'active_participant_id', '', problem)
  if active_id and not by_id[active_id] then
    problem('active_participant_id', 'is none of participants')
  end
  local total = integer(object, 'total_time_ms', 1000, DAY_MS, '', problem)
  local per_cycle = integer(object, 'time_per_cycle_ms', 1000, DAY_MS, '', problem)
  local increment = integer(object, 'increment_ms', 0, 60000, '', problem) or 0
  local maximum = integer(object, 'max_time_ms', 1000, DAY_MS, '', problem)
  local advance = boolean(object, 'auto_advance', problem)
  local max_pause = integer(object, 'max_pause_ms', 1000, DAY_MS, '', problem)
  local players_may_pause = boolean(object, 'players_may_pause', problem)
  local compensation = boolean(object, 'lag_compensation', problem)
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
  local fields, owners, sand_owner = {}, 0, nil
  local function field(name, value)
    fields[#fields + 1] = name
    fields[#fields + 1] = value
  end
  -- The record of a participant or a group. owns: whether it owns a clock; needs: what is wrong when it has no bank.
  local function add_record(name, owner, path, owns, needs, show)
    local shown, kept = 'null', ''
    local own_bank = 0
    if owns then
      local control = own_control(owner, path, defaults, problem)
      local governing = control or (owner.time_control == nil and default_control) or nil
      own_bank = bank(owner, owner.time_control or object.time_control, governing, path, problem, needs)
      sum, owners = sum + own_bank, owners + 1
      if control then
        shown = control.shown
      end
      if governing then
        if governing.text:find('hourglass', 1, true) then
          sand_owner = sand_owner or (control and path or '')
        end
        local begun, own_text = storage_session.new_owner(control and control.text, default, compensation, own_bank)
        if own_text then
          field('c:' .. name, own_text)
        end
        if begun.control.shows then
          kept = ',' .. controls.view(begun)
        end
      end
    elseif mode then
      no_control(owner, path, problem)
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
    add_record(string.format('p%d', participant.index), participant, path, owned_by == 'participant', 'is required in per_participant', function(shown)
      return storage_session.participant_shown(participant.id or '', participant.index, participant.group_id, shown)
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
    add_record('g:' .. (group.id or ''), group, group.path, owned_by == 'group', 'is required in per_group, or that of each of its members', function(shown)
      return storage_session.group_shown(group.id or '', shown)
    end)
    field('m:' .. (group.id or ''), #group.members > 0 and ',' .. table.concat(group.members, ',') .. ',' or ',')
    group_ids[i] = group.id
  end
  if sand_owner and owners < 2 then
    problem(sand_owner .. 'time_control', 'must not be an hourglass of one: it needs two clocks')
  end
  if #problems > 0 then
    return nil, problems
  end

  if not by_owner then
    default = mode.counts_up and not maximum and 'none 0' or 'fischer 0 0'
    field('clock', ('[%d,0,0,0]'):format(owned_by == 'cycle' and per_cycle or mode.counts_up and (maximum or 0) or total))
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
  field('rules', storage_session.rules_text(mode_name, ttl * 1000, action, compensation, cycle_clock and per_cycle or 0, warnings, default))
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
  field('shown', string.format('"sync_mode":"%s","time_per_cycle_ms":%s,"increment_ms":%d,%s"time_control":%s,"lag_compensation":%s,"auto_advance":%s,'
    .. '"action_on_timeout":%s,"warnings_ms":%s,"max_pause_ms":%s,"players_may_pause":%s,"metadata":%s', mode_name,
    per_cycle and string.format('%d', per_cycle) or 'null', increment,
    mode.counts_up and '' or '"max_time_ms":' .. (maximum and string.format('%d', maximum) or 'null') .. ',', shown_control,
    tostring(compensation), tostring(advance), action_text, shown_warnings, max_pause and string.format('%d', max_pause) or 'null',
    tostring(players_may_pause), metadata))
  field('cycle', ('%d 0 0 0 0 %d'):format(active_id and by_id[active_id].index or -1, now)
    .. (warning_count > 0 and ' !0 -1 ' .. ('0'):rep(warning_count) or '') .. (mode_name == 'global' and per_cycle and total and (' =%d'):format(total) or ''))
  return fields
end

-- Checks the participant of sk_join: see read_participant; or nil and the list of problems.
local function check_participant(text)
  local problems, problem = collector()
  local object = read_object(text, 'participant', MOST_PARTICIPANT_BYTES, PARTICIPANT, problem)
  if not object then
    return nil, problems
  end
  local participant = read_participant(object, '', problem)
  if #problems > 0 then
    return nil, problems
  end
  return participant
end

return { check = check, check_participant = check_participant, bank = bank, without_nulls = without_nulls, ACTIONS = ACTIONS }
