-- The arithmetic of the running clock: the time left, the deadline and the next alarm. All functions are
-- pure. s: a loaded session; owner: the record whose clock runs in the current cycle; all times in ms.

-- For how long the current cycle has run, without pauses.
local function elapsed(s)
  if s.status == 'running' then
    return s.now - s.since
  end
  return s.since
end

-- The time that the owner may use in this cycle, with overtime; math.huge for a clock without end.
local function budget(s, owner)
  return owner.control.rule.budget(owner, s.offset) + owner.control.overtime
end

-- The server time at which the budget of the running clock ends, or the session's total when that is not
-- later; nil when neither runs down.
local function deadline(s, owner)
  if s.status ~= 'running' then
    return nil
  end
  local ends
  if not s.flagged then
    local ms = budget(s, owner)
    if ms < math.huge then
      ends = s.since + s.offset + ms
    end
  elseif s.rules.action ~= 'notify' then
    ends = s.since + s.offset -- only `notify` lets a clock stand at its end
  end
  local total = s.total_left
  if total and not (ends and ends < s.since + total) then
    return s.since + total
  end
  return ends
end

-- The time left of the session's total. Only for a session with a total and a time per cycle.
local function total_remaining(s)
  local live = s.status == 'running' or s.status == 'paused'
  return math.max(0, s.total_left - (live and elapsed(s) or 0))
end

-- The time left on the clock of the current cycle, without overtime: it is below zero in overtime. nil for a
-- clock without end.
local function remaining(s, owner)
  if s.flagged then
    return owner.bank < 0 and owner.bank or 0
  end
  local ms = owner.control.rule.budget(owner, s.offset)
  if ms < math.huge then
    local left = ms - (elapsed(s) - s.offset)
    return s.total_left and math.min(left, s.total_left - elapsed(s)) or left
  end
end

-- The time that a clock that does not run has for its next cycle; nil for a clock without end.
local function idle(owner)
  if owner.expired then
    return owner.bank < 0 and owner.bank or 0
  end
  local ms = owner.control.rule.budget(owner, 0)
  if ms < math.huge then
    return ms
  end
end

-- The next warning threshold of this cycle, which is the highest one that has not been sent, and its position
-- in the list; nil for none. At the end of the budget the expiry comes, and no warning.
local function next_warning(s, owner)
  if s.warned then
    local position, last = 0, -owner.control.overtime
    for threshold in s.rules.warnings:gmatch('%-?%d+') do
      position = position + 1
      threshold = tonumber(threshold)
      if threshold < s.warn_from and threshold > last and s.warn_sent:sub(position, position) == '0' then
        return threshold, position
      end
    end
  end
end

-- The server time at which the next warning or the expiry is due. ends: the deadline.
local function alarm(s, owner, ends)
  local threshold = next_warning(s, owner)
  if threshold then
    return ends - owner.control.overtime - threshold
  end
  return owner.grace and ends + owner.grace or ends
end

-- The time that is left for pauses, without that of the pause that is under way; nil without a bound.
local function pause_remaining(s)
  local left = s.pause_left
  if left and s.paused_at then
    return math.max(0, left - (s.now - s.paused_at))
  end
  return left
end

-- From now on only the thresholds below `left` ms count; nil: none counts. A threshold warns once in a cycle;
-- new_cycle: true when a cycle begins.
local function warn_below(s, left, new_cycle)
  if s.warned then
    s.warn_from = left or s.rules.no_warning
    if new_cycle then
      s.warn_sent = s.warn_sent:gsub('1', '0')
    end
  end
end

-- Whether the session has a current cycle.
local function is_live(s)
  return s.status == 'running' or s.status == 'paused'
end

return {
  is_live = is_live,
  elapsed = elapsed,
  budget = budget,
  deadline = deadline,
  total_remaining = total_remaining,
  remaining = remaining,
  idle = idle,
  next_warning = next_warning,
  alarm = alarm,
  pause_remaining = pause_remaining,
  warn_below = warn_below,
}
