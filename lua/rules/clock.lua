-- The arithmetic of the running clock: what is left, when it ends, when to look again. Pure functions of (s,
-- owner), s being a loaded session; times in ms.
--
-- `owner` is the record whose clock the current cycle runs on.

-- Running time of the current cycle, pauses left out.
local function elapsed(s)
  if s.status == 'running' then
    return s.now - s.since
  end
  return s.since
end

-- What the owner may use in this cycle, overtime included; math.huge for a clock without end.
local function budget(s, owner)
  return owner.control.rule.budget(owner, s.offset) + owner.control.overtime
end

-- The server time at which the running clock's budget ends, or the session's total where that is not later;
-- nil where nothing runs down.
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
  end
  local total = s.total_left
  if total and not (ends and ends < s.since + total) then
    return s.since + total
  end
  return ends
end

-- What is left of the session's total, where it has one beside the cycles' clock.
local function total_remaining(s)
  local live = s.status == 'running' or s.status == 'paused'
  return math.max(0, s.total_left - (live and elapsed(s) or 0))
end

-- What is left of the current cycle's clock, overtime left out (negative in overtime); nil for a clock
-- without end.
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

-- What a clock that is not running has for its next cycle; nil for a clock without end.
local function idle(owner)
  if owner.expired then
    return owner.bank < 0 and owner.bank or 0
  end
  local ms = owner.control.rule.budget(owner, 0)
  if ms < math.huge then
    return ms
  end
end

-- The highest warning threshold that has to be announced next in this cycle, with its position in the list;
-- nil for none.
local function next_warning(s)
  if s.warned and s.warn_from > 0 then
    local position = 0
    for threshold in s.rules.warnings:gmatch('%d+') do
      position = position + 1
      threshold = tonumber(threshold)
      if threshold < s.warn_from and s.warn_sent:sub(position, position) == '0' then
        return threshold, position
      end
    end
  end
end

-- The next moment at which the server has to do something; 0 for none.
local function alarm(s, owner, ends)
  if not ends then
    return 0
  end
  local threshold = next_warning(s)
  if threshold then
    return ends - owner.control.overtime - threshold
  end
  return owner.grace and ends + owner.grace or ends
end

-- From now on the thresholds below `left` count; those sent in this cycle stay sent unless the cycle is new.
local function warn_below(s, left, new_cycle)
  if s.warned then
    s.warn_from = left or -1
    if new_cycle then
      s.warn_sent = s.warn_sent:gsub('1', '0')
    end
  end
end

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
  warn_below = warn_below,
}
