-- The snapshot of a session: its hash, which an exported state has as `internal`. A session that is restored
-- from it goes on exactly as the exported one would have. A snapshot may be damaged, so a restore first
-- checks everything that other modules rely on.

local MOST_DIGITS = 14 -- times and counts of the library are shorter
local MOST_NUMBER = 10 ^ MOST_DIGITS - 1
-- The phase of each status. Open: not started; live: with an active participant; closed: finished.
local STATUSES = { pending = 'open', running = 'live', paused = 'live', expired = 'closed',
  completed = 'closed', cancelled = 'closed' }
local MOST_WARNINGS = 8

-- The fields that libraries before 0.5.0 do not know and can do without: they refuse a snapshot that has an
-- unknown field, but not one that has more beside its fields.
local ADDED = { bank = true, first = true, was = true, named = true }

local function is_added(name)
  return ADDED[name] or name:sub(1, 2) == 'b:'
end

-- The member of an exported state that sk_restore needs: the server time at which the hash was read, what of
-- it the last release knows, and what it does not.
local function internal(s, fields)
  storage_throttle.remove_buckets(fields)
  local added = {}
  for name, value in pairs(fields) do
    if is_added(name) then
      added[name] = value
    end
  end
  for name in pairs(added) do
    fields[name] = nil
  end
  return (',"internal":{"exported_ms":%d,'):format(s.now)
    .. (next(added) and '"added":' .. cjson.encode(added) .. ',' or '')
    .. '"fields":' .. cjson.encode(fields) .. '}'
end

-- The whole hash in the `internal` of an exported state, decoded; nil when there is none. Only the place of
-- its fields was looked at.
local function fields_of(exported)
  local fields, added = exported.fields, exported.added
  if type(fields) ~= 'table' or (added ~= nil and type(added) ~= 'table') then
    return nil
  end
  for name, value in pairs(added or {}) do
    if type(name) ~= 'string' or not is_added(name) or fields[name] ~= nil then
      return nil
    end
    fields[name] = value
  end
  return fields
end

-- Whether a text is a number from 0, as the library writes it: `0`, `42`, but not `042`.
local function is_number(text)
  return text ~= nil and #text <= MOST_DIGITS and (text == '0' or text:find('^[1-9]%d*$') ~= nil)
end

local function may_be_number(text)
  return text == nil or is_number(text)
end

-- Whether a text is a number, which may have a minus.
local function is_signed(text)
  return is_number(text) or (text:sub(1, 1) == '-' and text ~= '-0' and is_number(text:sub(2)))
end

-- Remembers what `judge(text)` said of each text, because many owners have equal controls. Only for one call.
local function remembering(judge)
  local said = {}
  return function(text)
    local verdict = said[text]
    if verdict == nil then
      verdict = judge(text)
      said[text] = verdict
    end
    return verdict
  end
end

local STRING = '\1' -- stands for a string in a shape

-- Whether a shape is that of an object in compact JSON: a text in which each string is STRING, and each
-- number 0.
local function is_shape(shape)
  return shape:sub(1, 2) == '{' .. STRING and not shape:find('[^\1{}%[%],:0]')
    and pcall(cjson.decode, (shape:gsub(STRING, '""')))
end

-- A function that says whether a text is compact JSON of an object without escapes, whose numbers are whole
-- and not below zero, such as the library writes of a time control. That costs far less than to check any
-- other JSON, because most controls have one of a few shapes.
local function new_plain_judge()
  local has_good_shape = remembering(is_shape)
  return function(text)
    if not text:find('^[ -~]*$') or text:find('\\', 1, true) then
      return false
    end
    local bare = text:gsub('"[^"]*"', STRING)
    if bare:find('[^%d]0%d') then
      return false
    end
    -- A time control has one member that is true or false, `repeat`.
    return has_good_shape((bare:gsub(':true([,}])', ':0%1'):gsub(':false([,}])', ':0%1'):gsub('%d+', '0')))
  end
end

-- Whether a text is compact JSON of an object that has members. added_levels: see text_json.is_strict.
local function is_object(text, added_levels)
  return text ~= nil and text:sub(1, 2) == '{"' and text_formats.characters(text) ~= nil
    and text_json.is_strict(text, added_levels) and text_json.compact(text) == text
end

local function is_index(text)
  return is_number(text) and #text <= 3
end

-- Whether a text is a record. control: the text of its control, nil for a record without a clock.
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

local CONTROL = '"time_control":'

-- Whether a text is the fixed JSON of a participant or a group. make(control) makes that JSON;
-- is_control_json(text): whether a text may be the JSON of a control.
local function is_fixed_json(text, make, is_control_json)
  local _, stop = (text or ''):find(CONTROL, 1, true)
  local control = stop and text:sub(stop + 1, -2)
  return control and (control == 'null' or is_control_json(control)) and make(control) == text
end

-- Whether record and control of a participant or a group are sound.
--
-- record, control, fixed_json   the texts of its fields
-- owns                          whether it owns a clock
-- rules                         see is_sound
local function is_owner(record, control, fixed_json, owns, rules)
  if not owns then
    return control == nil and is_record(record, nil)
  elseif control == nil then
    return (not rules.compensated or controls.decode(rules.control).endless)
      and not storage_record.has_own_control(fixed_json) and is_record(record, rules.control)
  elseif not rules.is_packed(control) then
    return false
  end
  local decoded = controls.decode(control)
  return (decoded.gain > 0) == (rules.compensated and not decoded.endless) and is_record(record, control)
end

-- Whether the bank that an owner began with is sound. bank: that of most of them; own: the owner's own.
local function is_beginning(own, bank, owns)
  return own == nil or (owns and bank ~= nil and own ~= bank and is_number(own))
end

-- Whether the fields of all participants are sound. Adds each participant with a group to the list of that
-- group in `members`, and the names of its fields to `known`. rules: see is_sound.
local function are_participants(fields, rules, members, known)
  local owns = rules.mode.owner == 'participant'
  for index = 0, #fields.rotation - 1 do
    local field, number = storage_record.participant_field(index), storage_record.index_text(index)
    if fields.rotation:sub(index + 1, index + 1) == '_' then
      if fields[field] then
        return false
      end
    else
      local shown, own, beginning = field .. ':shown', 'c:' .. field, 'b:' .. field
      local fixed_json = fields[shown]
      local id, group_id = (fixed_json or ''):match(storage_record.PARTICIPANT_IDS)
      local place = id and 'i:' .. id
      if not (id and text_formats.uuid(id) == id and fields[place] == number) then
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
        table.insert(members[group_id], number)
      end
      local function make(control)
        return storage_record.participant_fixed_json(id, index, group_id, control)
      end
      if not (is_fixed_json(fixed_json, make, rules.is_control_json)
        and is_owner(fields[field], fields[own], fixed_json, owns, rules)
        and is_beginning(fields[beginning], fields.bank, owns)) then
        return false
      end
      known[field], known[shown], known[own], known[place], known[beginning] = true, true, true, true, true
    end
  end
  return true
end

-- Whether the fields of all groups are sound, except the lists of their members. Adds an empty list for each
-- group to `members`, and the names of all its fields to `known`.
local function are_groups(fields, rules, members, known)
  local owns = rules.mode.owner == 'group'
  for id in (fields.groups or ''):gmatch('[^,]+') do
    local field = 'g:' .. id
    local shown, own, newest, beginning = field .. ':shown', 'c:' .. field, 'l:' .. id, 'b:' .. field
    local fixed_json, last = fields[shown], fields[newest]
    local function make(control)
      return storage_record.group_fixed_json(id, control)
    end
    if not (text_formats.uuid(id) == id and not members[id]
      and is_fixed_json(fixed_json, make, rules.is_control_json)
      and is_owner(fields[field], fields[own], fixed_json, owns, rules)
      and is_beginning(fields[beginning], fields.bank, owns)
      and (last == nil or last == '-1' or is_index(last))) then
      return false
    end
    members[id] = {}
    known[field], known[shown], known[own], known['m:' .. id] = true, true, true, true
    known[newest], known[beginning] = true, true
  end
  return true
end

-- Whether the stored members of each group are the participants that name this group.
local function are_members(fields, members)
  for id, list in pairs(members) do
    if fields['m:' .. id] ~= (#list > 0 and ',' .. table.concat(list, ',') .. ',' or ',') then
      return false
    end
  end
  return true
end

-- Whether the rotation agrees with the records: the owner of an expired clock is out, and all others have a
-- turn. Once the session is closed, both are possible for all of them.
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
      local is_out = may_be_out and rules.action ~= 'notify' and storage_record.is_expired(fields[place])
      expected = is_out and 'x' or '1'
    end
    if expected and expected ~= character and (phase ~= 'closed' or expected == '.' or character == '.') then
      return false
    end
  end
  return true
end

-- Whether the active participant, or its group, has a turn in the rotation. It may be out in a session that
-- was reopened, where its cycle waits for time, and where `cycle` says that its clock stands at its end:
-- sk_turn has charged all that it had, and the pause may have ended by itself since.
-- more: the optional parts of `cycle`, which are sound.
local function has_turn(fields, rules, members, active, elapsed, more)
  if (fields.status == 'paused' and elapsed == 0) or more:find('^ /%d+ 1 ') then
    return true
  end
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

-- Whether a text is a list of thresholds as the config makes it, such as `30000,10000`, and `flags` has a
-- digit for each.
local function are_warnings(warnings, flags)
  local count, before = 0, bounds.DAY_MS + 1
  for text in (warnings .. ','):gmatch('([^,]*),') do
    if not (is_signed(text) and tonumber(text) >= -bounds.MOST_MS and tonumber(text) < before) then
      return false
    end
    count, before = count + 1, tonumber(text)
  end
  return count <= MOST_WARNINGS and #flags == count
end

-- Whether the part of `cycle` with a start and an end is sound. starts, ends: text. Only what is pending, or
-- ended before it had started, has a start.
local function is_schedule(starts, ends, fields)
  if not (is_number(starts) and is_number(ends)) then
    return false
  end
  starts, ends = tonumber(starts), tonumber(ends)
  local started = fields.started or STATUSES[fields.status] == 'live'
  return (starts > 0 or ends > 0) and not (starts > 0 and started) and (ends == 0 or ends > starts)
end

-- Whether what is left of a bound, -1 without one, is possible.
local function is_left(text, most)
  if not most then
    return text == '-1'
  end
  return is_number(text) and tonumber(text) <= most
end

-- Whether the part of `cycle` with the pauses, which begins at ` ^`, is sound.
--
-- most_pauses, most_ms   what the config allows, nil without a bound
-- scheduled              whether there is a start or an end
--
-- Returns the rest of the text after it, too.
local function are_pauses(more, most_pauses, most_ms, scheduled, fields, exported_ms)
  local pauses, ms, began, resumes, rest = more:match('^ %^(%-?%d+) (%-?%d+) (%d+) (%d+)(.*)$')
  if not (is_number(began) and is_number(resumes) and is_left(pauses, most_pauses)
    and is_left(ms, most_ms)) then
    return false
  end
  local is_paused = fields.status == 'paused'
  return (began == '0' or (is_paused and most_ms ~= nil and tonumber(began) <= exported_ms))
    and (resumes == '0' or is_paused) and (began == '0' or resumes ~= '0')
    and (most_pauses ~= nil or most_ms ~= nil or (scheduled and resumes ~= '0')), rest
end

-- Whether the last three optional parts of `cycle` are sound, and agree with the field `bounds`.
local function are_limits(more, fields, exported_ms)
  local bounds, most_pauses, most_ms, most_cycles = fields.bounds, nil, nil, nil
  if bounds then
    if not rules_bounds.is_sound(bounds) then
      return false
    end
    most_pauses, most_ms, most_cycles = rules_bounds.read(bounds)
  end
  local starts, ends, after = more:match('^ @(%d+) (%d+)(.*)$')
  if starts then
    if not is_schedule(starts, ends, fields) then
      return false
    end
    more = after
  end
  if more:find('^ %^') then
    local is_good, rest = are_pauses(more, most_pauses, most_ms, starts ~= nil, fields, exported_ms)
    if not is_good then
      return false
    end
    more = rest
  elseif most_pauses or most_ms then
    return false
  end
  return more == (most_cycles and (' #%d'):format(most_cycles) or '')
end

-- Whether the optional parts of `cycle` are sound, see storage/session.lua. elapsed: for how many ms the
-- cycle has run.
local function are_optional_parts(more, elapsed, rules, fields, exported_ms)
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
  if rules.mode_name == 'global' and rules.mode.owner == 'cycle' and more:find('^ =') then
    left, more = more:match('^ =(%d+)(.*)$')
    if not is_number(left) then
      return false
    end
  end
  return are_limits(more, fields, exported_ms)
end

-- Whether a text is the list of remembered requests, see storage/requests.lua.
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

-- Whether a text is the part of the state that never changes. A participant that joins later takes
-- increment_ms and max_time_ms from it.
local function is_config(members)
  local text = '{' .. (members or '') .. '}'
  if not is_object(text, 1) then
    return false
  end
  local is_json, decoded = pcall(cjson.decode, text)
  if not is_json then -- half of a surrogate pair, which strict JSON may have but cjson refuses
    return false
  end
  local function within(name, least, most)
    local number = decoded[name]
    return number == nil or number == cjson.null or (type(number) == 'number' and number % 1 == 0
      and number >= least and number <= most)
  end
  return within('increment_ms', 0, bounds.MOST_MS)
    and within('max_time_ms', bounds.LEAST_BANK_MS, bounds.MOST_MS)
end

local NUMBERS = { 'started', 'completed', 'recovered', 'total', 'max_pause', 'stages', 'bank', 'named' }

-- Whether `fields` is the hash of a session. exported_ms: the server time at which it was read.
local function is_sound(fields, exported_ms)
  local type = type -- to look up a global costs more than to call it
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
  local mode_name, ttl, action, compensated, cycle_ms, warnings, control =
    (fields.rules or ''):match(storage_session.RULES)
  local phase = STATUSES[fields.status or '']
  if type(exported_ms) ~= 'number' or exported_ms % 1 ~= 0 or exported_ms < 0
    or exported_ms > MOST_NUMBER then
    return false
  elseif not (active and control and phase
    and is_number(fields.version) and is_number(fields.epoch) and is_number(fields.created)
    and is_number(since) and is_number(alarm) and is_number(used) and is_number(count)
    and is_number(changed)) then
    return false
  elseif not (modes.MODES[mode_name] and storage_session.ACTIONS[action]
    and is_number(ttl) and tonumber(ttl) >= 1000 and tonumber(ttl) <= 31536000000
    and (compensated == '0' or compensated == '1')
    and is_number(cycle_ms) and tonumber(cycle_ms) <= bounds.MOST_MS) then
    return false
  elseif not (is_object(fields.action) and is_config(fields.shown)
    and (fields.rotation or ''):find('^[1x._]+$') and #fields.rotation <= 1000
    and fields.rotation:sub(-1) ~= '_') then
    return false
  elseif active ~= '-1' and not (is_index(active) and fields['p' .. active]) then
    return false
  elseif phase ~= 'open' and (phase == 'live') ~= (active ~= '-1') then
    return false
  elseif phase == 'open' and not fields.rotation:find('1', 1, true) then
    return false
  elseif fields.first ~= nil and text_formats.uuid(fields.first) ~= fields.first then
    return false
  elseif fields.was ~= nil and not (phase == 'closed' and (fields.was == '-1' or is_index(fields.was))) then
    return false
  end

  local mode = modes.named(mode_name, cycle_ms)
  local is_plain = new_plain_judge()
  local rules = { mode = mode, mode_name = mode_name, action = action, compensated = compensated == '1',
    warnings = warnings, control = control, is_packed = remembering(controls.is_packed),
    is_control_json = remembering(function(text)
      return is_plain(text) or is_object(text)
    end) }
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
    status = true, version = true, epoch = true, cycle = true, rules = true, rotation = true, clock = true,
    groups = true, shown = true, action = true, total = true, max_pause = true, bounds = true, stages = true,
    created = true,
    started = true, completed = true, recovered = true, expired_by = true, tenant = true, requests = true,
    bank = true, first = true, was = true, named = true,
  }
  if not (are_optional_parts(more, elapsed, rules, fields, exported_ms)
    and are_groups(fields, rules, members, known)
    and are_participants(fields, rules, members, known)
    and are_members(fields, members) and is_rotation(fields, rules, members, phase)
    and (phase ~= 'live' or has_turn(fields, rules, members, active, elapsed, more))) then
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
  fields_of = fields_of,
  is_sound = is_sound,
}
