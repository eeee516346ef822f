-- What bounds a whole session: how many pauses it has and how long they last, and when it starts and ends.

-- Takes a pause that ends at server time `at` from the time that is left for pauses. Only a pause that counts
-- has `paused_at`.
local function charge_pause(s, at)
  if s.paused_at then
    s.pause_left = math.max(0, s.pause_left - math.max(0, at - s.paused_at))
    s.paused_at = nil
  end
end

-- Begins a pause. It ends by itself at the first of its bounds. is_free: it is left out of the bounds of all
-- pauses together, and `max_pause_ms` alone bounds it. Returns what the payload then has to say; nil for
-- nothing.
local function begin_pause(s, is_free)
  local longest = tonumber(storage_session.field(s, 'max_pause'))
  local pauses, ms, extra = s.pauses_left, s.pause_left, nil
  if is_free and (pauses or ms) then
    extra = ',"counted":false'
  elseif not is_free then
    s.pauses_left = pauses and pauses - 1
    if ms then
      s.paused_at = s.now
      longest = math.min(longest or ms, ms)
    end
  end
  s.resumes = longest and s.now + longest
  return extra
end

-- The refusal of one more pause that counts; nil when there may be one.
local function refuse_pause(s)
  local pauses, ms = s.pauses_left, s.pause_left
  if pauses == 0 or ms == 0 then
    return call_refusal.no_pause_left(s.status, pauses, ms)
  end
end

-- Gives a session its pauses back, as the config has them. It is in no pause afterwards.
local function refill_pauses(s)
  s.resumes, s.paused_at = nil, nil
  if s.limited then
    local bounds = storage_session.field(s, 'bounds')
    if bounds then
      s.pauses_left, s.pause_left = rules_bounds.read(bounds)
    end
  end
end

-- Forgets a start and an end that have come, without carrying them out.
local function keep_what_is_ahead(s)
  if s.starts_at and s.starts_at <= s.now then
    s.starts_at = nil
  end
  if s.ends_at and s.ends_at <= s.now then
    s.ends_at = nil
  end
end

-- Whether the cycle that ends now, and is counted already or not, is the last one that `max_cycles` allows.
local function is_last_cycle(s, counted)
  return s.max_cycles and s.count + (counted and 0 or 1) >= s.max_cycles
end

return {
  charge_pause = charge_pause,
  begin_pause = begin_pause,
  refuse_pause = refuse_pause,
  refill_pauses = refill_pauses,
  keep_what_is_ahead = keep_what_is_ahead,
  is_last_cycle = is_last_cycle,
}
