-- sk_schedule: when a session starts and ends by itself.

-- options: STARTS, ENDS; 0 stands for none. What is not named stays.
local function schedule(s, options)
  if not transitions_cycle.is_open(s) then
    return transitions_cycle.wrong_state(s)
  elseif transitions_expiry.is_scheduled_due(s) then
    return transitions_expiry.due(s)
  end
  local starts, ends = options.STARTS, options.ENDS
  if starts and starts > 0 and s.status ~= 'pending' then
    return transitions_cycle.wrong_state(s)
  end
  local problems = {}
  local function check(name, at)
    local problem = at and at > 0 and rules_schedule.problem(at, s.now)
    if problem then
      problems[#problems + 1] = { name, problem }
    end
  end
  check('STARTS', starts)
  check('ENDS', ends)
  if #problems > 0 then
    return nil, nil, call_refusal.validation(problems)
  end
  local starts_at, ends_at = s.starts_at, s.ends_at
  if starts then
    starts_at = starts > 0 and starts or nil
  end
  if ends then
    ends_at = ends > 0 and ends or nil
  end
  if starts_at and ends_at and ends_at <= starts_at then
    problems[1] = ends and { 'ENDS', 'must be after the start, ' .. text_formats.integer(starts_at) }
      or { 'STARTS', 'must be before the end, ' .. text_formats.integer(ends_at) }
    return nil, nil, call_refusal.validation(problems)
  end
  s.starts_at, s.ends_at, s.limited = starts_at, ends_at, true
  return transitions_cycle.current_turn(s), 'session.scheduled'
end

return {
  schedule = schedule,
}
