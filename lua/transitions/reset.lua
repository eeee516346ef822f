-- sk_reset: a session begins anew, as its config had it.

local NOT_ANY_MORE = { 'started', 'completed', 'recovered', 'expired_by', 'was', 'named' }

-- Gives a record the values of a new one. fields: the whole hash; usual: the bank that most clocks begin
-- with.
local function begin_record(s, record, fields, usual)
  local before = storage_record.encode(record)
  record.used, record.cycles, record.expired = 0, 0, false
  if record.owns then
    controls.begin(record, fields['c:' .. record.field] or s.rules.control,
      tonumber(fields['b:' .. record.field] or usual))
    if record.control.gain > 0 then
      rules_lag.begin(record)
    end
  end
  storage_record.format_numbers(record)
  if storage_record.encode(record) ~= before then
    storage_record.touch(s, record, true)
  end
end

-- The same for the clock that the session or the cycle owns.
local function begin_clock(s, clock, bank)
  clock.used, clock.expired = 0, false
  clock.bank = s.mode.owner == 'cycle' and s.rules.cycle_ms or bank
  local control = s.mode.counts_up and bank == 0 and 'none 0' or 'fischer 0 0'
  if control ~= s.rules.control then -- an adjust gave it a maximum
    storage_session.set_session_control(s, clock, control)
  end
  storage_record.touch(s, clock, true)
end

-- What the payload says of a clock that the session owns, because it lists the owners of all others: what it
-- has now. A clock that may count up for ever has no such time.
local function told(s, fields)
  if s.mode.owner ~= 'session' then
    return nil
  elseif not s.mode.counts_up then
    return (',"total_time_ms":%d'):format(fields.bank)
  end
  return fields.bank ~= '0' and (',"max_time_ms":%d'):format(fields.bank) or ',"max_time_ms":null'
end

-- The index of the config's active participant; -1 for none, and where that one does not take part now.
local function configured_active(fields)
  return tonumber(fields.first and fields['i:' .. fields.first] or -1)
end

-- All clocks, counts and marks are as the config had them, for those who take part now.
local function reset(s)
  local fields = storage_session.all_fields(s.key)
  if not fields.bank then
    return nil, nil, call_refusal.no_beginning(s.status)
  end
  local was_active = rules_clock.is_live(s) and transitions_cycle.current_turn(s)
  if was_active then
    storage_record.touch(s, was_active.participant)
    if was_active.group then
      storage_record.touch(s, was_active.group)
    end
  end
  storage_session.set_status(s, 'pending')
  storage_session.set_rotation(s, (s.rotation:gsub('x', '1')))
  s.active, s.since, s.offset, s.flagged, s.spent = configured_active(fields), 0, 0, false, nil
  s.used, s.count = 0, 0
  transitions_limits.refill_pauses(s)
  transitions_limits.keep_what_is_ahead(s)
  if s.total_left then
    s.total_left = tonumber(fields.bank)
  end
  rules_clock.warn_below(s, nil, true)
  for i = 1, #NOT_ANY_MORE do
    storage_session.remove(s, NOT_ANY_MORE[i])
  end

  local function load(field)
    s[field] = s[field] or storage_record.decode(s, field, fields[field], fields[field .. ':shown'], fields)
    return s[field]
  end
  for index = 0, #s.rotation - 1 do
    local field = storage_record.participant_field(index)
    if fields[field] then
      begin_record(s, load(field), fields, fields.bank)
    end
  end
  for id in (fields.groups or ''):gmatch('[^,]+') do
    begin_record(s, load('g:' .. id), fields, fields.bank)
    storage_session.remove(s, 'l:' .. id)
  end
  if fields.clock then
    begin_clock(s, load('clock'), tonumber(fields.bank))
  end
  return transitions_cycle.current_turn(s), 'session.reset', told(s, fields)
end

return { reset = reset }
