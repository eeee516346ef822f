-- What an exported state has beside the state, so that a restored session goes on exactly as it would have: the session's hash. Before it comes
-- back it is held against everything that other modules rely on, because a snapshot may be damaged.

local MOST_INTEGER = 9007199254740991
local STATUSES = { pending = 'open', running = 'live', paused = 'live', expired = 'closed', completed = 'closed', cancelled = 'closed' }

-- What `sk_restore` needs beside the state: the hash as it is, and when it was read.
local function internal(s, fields)
  local parts = {}
  for name, value in pairs(fields) do
    parts[#parts + 1] = json.quote(name) .. ':' .. json.quote(value)
  end
  return string.format(',"internal":{"exported_ms":%d,"fields":{%s}}', s.now, table.concat(parts, ','))
end

local function is_number(text)
  return text and #text <= 15 and text:find('^%d+$') ~= nil
end

local function is_object(text)
  return text and text:sub(1, 1) == '{' and json.is_strict(text)
end

-- A number or nothing.
local function may_be_number(text)
  return text == nil or is_number(text)
end

local function is_index(text)
  local index = options.integer(text, 0, 999)
  return index and session.integer(index) == text
end

-- control: the text of the record's control, nil for one without a clock.
local function is_record(text, control)
  local bank, used, cycles, expired, view = (text or ''):match(session.RECORD)
  if not (bank and (expired == '0' or expired == '1') and is_number(bank:gsub('^%-', '')) and is_number(used) and is_number(cycles)) then
    return false
  elseif not control or not controls.read(control).shows then
    return view == ''
  end
  return controls.is_view(view, controls.read(control), tonumber(bank))
end

-- Whether `text` is what never changes of a participant or a group, as `shown(control)` writes it.
local function is_shown(text, shown)
  local control = (text or ''):match('"time_control":(.*)}$')
  return control and (control == 'null' or is_object(control)) and shown(control) == text
end

-- A participant or a group: its record, and its control where it has one of its own. default: the session's control.
local function is_owner(fields, field, owns, compensated, default)
  local control = fields['c:' .. field]
  if not owns then
    return control == nil and is_record(fields[field], nil)
  elseif control == nil then
    return not compensated and fields[field .. ':shown']:sub(-5) == 'null}' and is_record(fields[field], default)
  end
  if not controls.is_kept(control) then
    return false
  end
  local read = controls.read(control)
  return (read.gain > 0) == (compensated and not read.endless) and is_record(fields[field], control)
end

local function are_participants(fields, mode, compensated, default, known)
  for index = 0, #fields.rotation - 1 do
    local field = session.participant_field(index)
    local shown = fields[field .. ':shown']
    if fields.rotation:sub(index + 1, index + 1) == '_' then
      if fields[field] then
        return false
      end
    else
      local id, group_id = (shown or ''):match('^"participant_id":"([^"]*)","group_id":"?([^",]*)"?,')
      if not (id and formats.uuid(id) == id and fields['i:' .. id] == session.integer(index)) then
        return false
      end
      if group_id == 'null' then
        if mode.by_group then
          return false
        end
        group_id = nil
      elseif not fields['m:' .. group_id] or not fields['m:' .. group_id]:find(',' .. session.integer(index) .. ',', 1, true) then
        return false
      end
      if not (is_shown(shown, function(control) return session.participant_shown(id, index, group_id, control) end)
        and is_owner(fields, field, mode.owner == 'participant', compensated, default)) then
        return false
      end
      known[field], known[field .. ':shown'], known['i:' .. id], known['c:' .. field] = true, true, true, true
    end
  end
  return true
end

local function are_groups(fields, owns, compensated, default, known)
  for id in (fields.groups or ''):gmatch('[^,]+') do
    local field = 'g:' .. id
    if not (formats.uuid(id) == id and is_shown(fields[field .. ':shown'], function(control) return session.group_shown(id, control) end)
      and is_owner(fields, field, owns, compensated, default) and (fields['m:' .. id] or ''):find('^,[%d,]*$')
      and (fields['l:' .. id] == nil or options.integer(fields['l:' .. id], -1, 999))) then
      return false
    end
    for index in fields['m:' .. id]:gmatch('%d+') do
      if not (is_index(index) and fields['p' .. index]) then
        return false
      end
    end
    known[field], known[field .. ':shown'], known['m:' .. id], known['l:' .. id], known['c:' .. field] = true, true, true, true, true
  end
  return true
end

-- Whether the hash of an exported state, which was read at `exported_ms`, is that of a session.
local function is_sound(fields, exported_ms)
  for name, value in pairs(fields) do
    if type(name) ~= 'string' or type(value) ~= 'string' then
      return false
    end
  end
  if type(exported_ms) ~= 'number' or exported_ms % 1 ~= 0 or exported_ms < 0 or exported_ms > MOST_INTEGER then
    return false
  end
  local active, since, alarm, used, count, changed, more = (fields.cycle or ''):match(session.CYCLE)
  local mode_name, ttl, action, compensated, cycle_ms, warnings, control = (fields.rules or ''):match(session.RULES)
  local phase = STATUSES[fields.status or '']
  if not (active and control and phase and is_number(fields.version) and is_number(fields.epoch) and is_number(since) and is_number(alarm)
    and is_number(used) and is_number(count) and is_number(changed) and is_number(fields.created) and may_be_number(fields.started)
    and may_be_number(fields.completed) and may_be_number(fields.recovered) and may_be_number(fields.total) and may_be_number(fields.max_pause)
    and #more <= 100) then
    return false
  end
  if not (modes.MODES[mode_name] and options.integer(ttl, 1000, 31536000000) and config.ACTIONS[action] and (compensated == '0' or compensated == '1')
    and options.integer(cycle_ms, 0, options.DAY_MS) and (warnings == '-' or warnings:find('^[%d,]+$')) and (control == '-' or controls.is_kept(control))
    and is_object(fields.action) and (fields.shown or '') ~= '' and is_object('{' .. fields.shown .. '}')
    and (fields.rotation or ''):find('^[1x._]+$') and #fields.rotation <= 1000
    and fields.rotation:sub(-1) ~= '_' and (active == '-1' or (is_index(active) and fields['p' .. active]))) then
    return false
  end
  if phase ~= 'open' and (phase == 'live') ~= (active ~= '-1') or phase ~= 'closed' and not fields.rotation:find('1', 1, true) then
    return false
  end
  if fields.status == 'running' and tonumber(since) > exported_ms then
    return false
  end
  local warned, totalled
  more = more:gsub('^ /%d+ [01] %d+', '')
  more, warned = more:gsub('^ !%d+ %-?%d+ [01]+', '')
  more, totalled = more:gsub('^ =%d+', '')
  if more ~= '' or (warnings ~= '-') ~= (warned == 1) or (totalled == 1 and (mode_name ~= 'global' or cycle_ms == '0')) then
    return false
  end
  local mode = modes.named(mode_name, cycle_ms)
  if control == '-' and (mode.owner == 'participant' or mode.owner == 'group') then
    return false
  end
  local known = {
    status = true, version = true, epoch = true, cycle = true, rules = true, rotation = true, shown = true, action = true, total = true, created = true,
    started = true, completed = true, recovered = true, expired_by = true, tenant = true, requests = true, groups = true, clock = true,
    max_pause = true,
  }
  if not (are_groups(fields, mode.owner == 'group', compensated == '1', control, known)
    and are_participants(fields, mode, compensated == '1', control, known)) then
    return false
  end
  if (mode.owner == 'session' or mode.owner == 'cycle') ~= (fields.clock ~= nil) or (fields.clock and not is_record(fields.clock, nil)) then
    return false
  end
  for name in pairs(fields) do
    if not known[name] then
      return false
    end
  end
  return (fields.tenant == nil or formats.characters(fields.tenant) ~= nil) and (fields.expired_by == nil or formats.uuid(fields.expired_by) ~= nil)
    and (fields.requests == nil or fields.requests:find('^[01]%d\n[%S \n]*$') ~= nil)
end

return { internal = internal, is_sound = is_sound }
