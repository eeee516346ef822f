-- What an exported state has beside the state, so that a restored session goes on exactly as it would have:
-- the session's hash. Before it comes back it is held against everything that other modules rely on, because
-- a snapshot may be damaged.

local MOST_DIGITS = 14
local MOST_NUMBER = 10 ^ MOST_DIGITS - 1
local STATUSES = { pending = 'open', running = 'live', paused = 'live', expired = 'closed',
  completed = 'closed', cancelled = 'closed' }
local MOST_WARNINGS = 8

-- What `sk_restore` needs beside the state: the hash as it is, and when it was read.
local function internal(s, fields)
  local parts = {}
  for name, value in pairs(fields) do
    parts[#parts + 1] = text_json.quote(name) .. ':' .. text_json.quote(value)
  end
  return string.format(',"internal":{"exported_ms":%d,"fields":{%s}}', s.now, table.concat(parts, ','))
end

-- Whether a text is a number as the library writes it. What goes beyond it is no time and no count of ours.
local function is_number(text)
  return text ~= nil and #text <= MOST_DIGITS and (text == '0' or text:find('^[1-9]%d*$') ~= nil)
end

local function may_be_number(text)
  return text == nil or is_number(text)
end

-- The same with a minus before it, where it may have one.
local function is_signed(text)
  return is_number(text) or (text:sub(1, 1) == '-' and text ~= '-0' and is_number(text:sub(2)))
end

-- Whether a text is a JSON object with a member or more, as compact as the library keeps it. inner: the
-- levels that were put around it.
local function is_object(text, inner)
  return text ~= nil and text:sub(1, 2) == '{"' and text_formats.characters(text) ~= nil
    and text_json.is_strict(text, inner) and text_json.compact(text) == text
end

local function is_index(text)
  return is_number(text) and #text <= 3
end

-- control: the text of the record's control, nil for one without a clock.
local function is_record(text, control)
  local bank, used, cycles, expired, view = (text or ''):match(storage_record.RECORD)
  if not (bank and (expired == '0' or expired == '1') and is_signed(bank) and is_number(used)
    and is_number(cycles)) then
    return false
  end
  local decoded = control and controls.decode(control)
  if tonumber(bank) < -(decoded and decoded.overtime or 0) then
    return false
  elseif not (decoded and decoded.view_names) then
    return view == ''
  end
  return controls.is_view(view, decoded, tonumber(bank))
end

-- Whether `text` is what never changes of a participant or a group, as `shown(control)` writes it.
local function is_shown(text, shown)
  local control = (text or ''):match('"time_control":(.*)}$')
  return control and (control == 'null' or is_object(control)) and shown(control) == text
end

-- A participant or a group: its record, and its control where it has one of its own. default: the session's
-- control.
local function is_owner(fields, field, owns, compensated, default)
  local control = fields['c:' .. field]
  if not owns then
    return control == nil and is_record(fields[field], nil)
  elseif control == nil then
    return (not compensated or controls.decode(default).endless)
      and fields[field .. ':shown']:sub(-5) == 'null}' and is_record(fields[field], default)
  elseif not controls.is_packed(control) then
    return false
  end
  local decoded = controls.decode(control)
  return (decoded.gain > 0) == (compensated and not decoded.endless) and is_record(fields[field], control)
end

-- Whether a record's clock is out of the game, as the rotation has to say.
local function is_out(fields, field)
  return select(4, fields[field]:match(storage_record.RECORD)) == '1'
end

-- The participants, and the members of each group in their order as `members` (id -> list). rules: {mode,
-- compensated, control}.
local function are_participants(fields, rules, members, known)
  for index = 0, #fields.rotation - 1 do
    local field = storage_record.participant_field(index)
    local shown = fields[field .. ':shown']
    if fields.rotation:sub(index + 1, index + 1) == '_' then
      if fields[field] then
        return false
      end
    else
      local id, group_id = (shown or ''):match('^"participant_id":"([^"]*)","group_id":"?([^",]*)"?,')
      if not (id and text_formats.uuid(id) == id and fields['i:' .. id] == text_formats.integer(index)) then
        return false
      end
      if group_id == 'null' then
        if rules.mode.by_group then
          return false
        end
        group_id = nil
      elseif not members[group_id] then
        return false
      else
        table.insert(members[group_id], text_formats.integer(index))
      end
      if not (is_shown(shown, function(control) return storage_record.participant_fixed_json(id, index,
        group_id, control) end)
        and is_owner(fields, field, rules.mode.owner == 'participant', rules.compensated, rules.control)) then
        return false
      end
      known[field], known[field .. ':shown'], known['i:' .. id], known['c:' .. field] = true, true, true, true
    end
  end
  return true
end

-- The groups but for their members: an empty list for each in `members`.
local function are_groups(fields, rules, members, known)
  for id in (fields.groups or ''):gmatch('[^,]+') do
    local field = 'g:' .. id
    local last = fields['l:' .. id]
    if not (text_formats.uuid(id) == id and not members[id]
      and is_shown(fields[field .. ':shown'], function(control) return storage_record.group_fixed_json(id,
      control) end)
      and is_owner(fields, field, rules.mode.owner == 'group', rules.compensated, rules.control)
      and (last == nil or last == '-1' or is_index(last))) then
      return false
    end
    members[id] = {}
    known[field], known[field .. ':shown'], known['m:' .. id], known['l:' .. id], known['c:' .. field] = true,
      true, true, true, true
  end
  return true
end

-- Whether the members of each group are those who name it.
local function are_members(fields, members)
  for id, list in pairs(members) do
    if fields['m:' .. id] ~= (#list > 0 and ',' .. table.concat(list, ',') .. ',' or ',') then
      return false
    end
  end
  return true
end

-- What the rotation has to be: whoever is out is out there, while the session goes on.
local function is_rotation(fields, rules, members, phase)
  local places = {}
  if rules.mode.by_group then
    for id, list in pairs(members) do
      for i = 1, #list do
        places[tonumber(list[i])] = i == 1 and 'g:' .. id or '.'
      end
    end
  end
  for index = 0, #fields.rotation - 1 do
    local character = fields.rotation:sub(index + 1, index + 1)
    local place = places[index] or storage_record.participant_field(index)
    local expected
    if place == '.' then
      expected = '.'
    elseif character ~= '_' then
      local may_be_out = rules.mode.owner == 'participant' or rules.mode.owner == 'group'
      expected = may_be_out and rules.action ~= 'notify' and is_out(fields, place) and 'x' or '1'
    end
    if expected and expected ~= character and (phase ~= 'closed' or expected == '.' or character == '.') then
      return false
    end
  end
  return true
end

-- Whether the one who is active has a turn.
local function has_turn(fields, rules, members, active)
  local index = tonumber(active)
  if rules.mode.by_group then
    for _, list in pairs(members) do
      for i = 1, #list do
        if list[i] == active then
          index = tonumber(list[1])
        end
      end
    end
  end
  return fields.rotation:sub(index + 1, index + 1) == '1'
end

-- Thresholds as the config writes them, and a flag for each.
local function are_warnings(warnings, flags)
  local count, before = 0, call_options.DAY_MS + 1
  for text in (warnings .. ','):gmatch('([^,]*),') do
    if not (is_number(text) and tonumber(text) >= 1 and tonumber(text) < before) then
      return false
    end
    count, before = count + 1, tonumber(text)
  end
  return count <= MOST_WARNINGS and #flags == count
end

-- What stands behind the cycle's numbers. elapsed: how long the cycle has run (ms).
local function is_tail(more, elapsed, rules)
  local offset, spent, warnings_since, from, flags, left, rest
  if more:find('^ /') then
    offset, spent, rest = more:match('^ /(%d+) [01] (%d+)(.*)$')
    if not (is_number(offset) and is_number(spent) and tonumber(offset) <= elapsed) then
      return false
    end
    more = rest
  end
  if rules.warnings ~= '-' then
    warnings_since, from, flags, rest = more:match('^ !(%d+) (%-?%d+) ([01]+)(.*)$')
    if not (is_number(warnings_since) and is_signed(from) and are_warnings(rules.warnings, flags)) then
      return false
    end
    more = rest
  end
  if rules.mode_name == 'global' and rules.mode.owner == 'cycle' and more ~= '' then
    left, more = more:match('^ =(%d+)(.*)$')
    if not is_number(left) then
      return false
    end
  end
  return more == ''
end

local function are_requests(text)
  local count, lines = text:match('^([01]%d)\n(.*)$')
  local found = 0
  for line in (lines or ''):gmatch('([^\n]*)\n') do
    if not is_number(line:match('^%S+ sk_%l+ (%d+)$')) then
      return false
    end
    found = found + 1
  end
  return lines ~= nil and found == tonumber(count) and found <= storage_requests.MOST_REQUESTS
    and (lines == '' or lines:sub(-1) == '\n')
end

-- What a newcomer's control takes from the config.
local function is_config(shown)
  local text = '{' .. (shown or '') .. '}'
  if not is_object(text, 1) then
    return false
  end
  local fine, decoded = pcall(cjson.decode, text)
  if not fine then -- half a surrogate pair, which strict JSON may have
    return false
  end
  local function within(name, least, most)
    local number = decoded[name]
    return number == nil or number == cjson.null or (type(number) == 'number' and number % 1 == 0
      and number >= least and number <= most)
  end
  return within('increment_ms', 0, 60000) and within('max_time_ms', 1000, call_options.DAY_MS)
end

local NUMBERS = { 'started', 'completed', 'recovered', 'total', 'max_pause' }

-- Whether the hash of an exported state, which was read at `exported_ms`, is that of a session.
local function is_sound(fields, exported_ms)
  for name, value in pairs(fields) do
    if type(name) ~= 'string' or type(value) ~= 'string' then
      return false
    end
  end
  for i = 1, #NUMBERS do
    if not may_be_number(fields[NUMBERS[i]]) then
      return false
    end
  end
  local active, since, alarm, used, count, changed, more = (fields.cycle or ''):match(storage_session.CYCLE)
  local mode_name, ttl, action, compensated, cycle_ms, warnings,
    control = (fields.rules or ''):match(storage_session.RULES)
  local phase = STATUSES[fields.status or '']
  if type(exported_ms) ~= 'number' or exported_ms % 1 ~= 0 or exported_ms < 0
    or exported_ms > MOST_NUMBER then
    return false
  elseif not (active and control and phase and is_number(fields.version) and is_number(fields.epoch)
    and is_number(since) and is_number(alarm)
    and is_number(used) and is_number(count) and is_number(changed) and is_number(fields.created)) then
    return false
  elseif not (modes.MODES[mode_name] and is_number(ttl) and tonumber(ttl) >= 1000
    and tonumber(ttl) <= 31536000000 and storage_session.ACTIONS[action]
    and (compensated == '0' or compensated == '1') and is_number(cycle_ms)
    and tonumber(cycle_ms) <= call_options.DAY_MS) then
    return false
  elseif not (is_object(fields.action) and is_config(fields.shown)
    and (fields.rotation or ''):find('^[1x._]+$') and #fields.rotation <= 1000
    and fields.rotation:sub(-1) ~= '_' and (active == '-1'
    or (is_index(active) and fields['p' .. active]))) then
    return false
  elseif phase ~= 'open' and (phase == 'live') ~= (active ~= '-1') or phase ~= 'closed'
    and not fields.rotation:find('1', 1, true) then
    return false
  end

  local mode = modes.named(mode_name, cycle_ms)
  local rules = { mode = mode, mode_name = mode_name, action = action, compensated = compensated == '1',
    warnings = warnings, control = control }
  local elapsed = 0
  if phase == 'live' then
    elapsed = fields.status == 'running' and exported_ms - since or tonumber(since)
    if elapsed < 0 or elapsed > exported_ms - fields.created then
      return false
    end
  end
  if mode.owner == 'participant' or mode.owner == 'group' then
    if fields.clock or not controls.is_packed(control) then
      return false
    end
  elseif not (control == 'fischer 0 0' or (control == 'none 0' and mode.counts_up))
    or not is_record(fields.clock, nil) then
    return false
  end
  local members, known = {}, {
    status = true, version = true, epoch = true, cycle = true, rules = true, rotation = true, shown = true,
    action = true, total = true, created = true,
    started = true, completed = true, recovered = true, expired_by = true, tenant = true, requests = true,
    groups = true, clock = true,
    max_pause = true,
  }
  if not (is_tail(more, elapsed, rules) and are_groups(fields, rules, members, known)
    and are_participants(fields, rules, members, known)
    and are_members(fields, members) and is_rotation(fields, rules, members, phase)
    and (phase ~= 'live' or has_turn(fields, rules, members, active))) then
    return false
  end
  for name in pairs(fields) do
    if not known[name] then
      return false
    end
  end
  return (fields.tenant == nil or text_formats.characters(fields.tenant) ~= nil)
    and (fields.expired_by == nil or text_formats.uuid(fields.expired_by) ~= nil)
    and (fields.requests == nil or are_requests(fields.requests))
end

return {
  MOST_NUMBER = MOST_NUMBER,
  internal = internal,
  is_sound = is_sound,
}
