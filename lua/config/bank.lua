-- The control and the bank of a participant or a group that owns a clock.

local MOST_STAGES = 2000
local NOTHING_AFTER = 'must be an integer from %d to %d: nothing comes after a bank of 0'
local TOO_MANY_STAGES = 'must have at most ' .. MOST_STAGES
  .. ' stages together, where a time control of the session counts for each participant'

-- Reports a bank of 0 after which nothing comes.
local function nothing_after(path, problem)
  problem(path .. 'total_time_ms',
    NOTHING_AFTER:format(bounds.LEAST_BANK_MS, bounds.most_of('total_time_ms', bounds.MOST_MS)))
end

-- The control that this owner has of its own, see config/control.lua; nil for none.
local function own_control(owner, path, defaults, problem)
  if owner.time_control ~= nil then
    return config_control.check(owner.time_control, path, problem, defaults)
  end
end

-- The bank of an owner in ms: the one that its control supplies, else the owner's own.
--
-- given     the control as the caller wrote it
-- control   the same after its check; nil when it is wrong
-- required  the message of the problem that is reported when there is no bank
local function bank(owner, given, control, path, problem, required)
  local supplied = control and control.bank
  if not supplied then
    if not (owner.has_bank or owner.bank or config_control.supplies_bank(given)) then
      problem(path .. 'total_time_ms', required)
    elseif owner.bank == 0 and control and not controls.has_time(control.text, 0) then
      nothing_after(path, problem)
    end
    return owner.bank or 0
  elseif owner.has_bank and (control.endless or owner.bank ~= supplied) then
    problem(path .. 'total_time_ms', 'must be left out' .. (control.endless and ': its clock has no end'
      or (', or the %d of its time_control'):format(supplied)))
  end
  return supplied
end

-- Reports a bank of 0 of a participant or a group that has no clock: nothing can come after it.
local function refuse_zero(owner, path, problem)
  if owner.bank == 0 then
    nothing_after(path, problem)
  end
end

-- Reports a control of a participant or a group that owns no clock.
local function refuse_control(owner, path, problem)
  if owner.time_control ~= nil then
    problem(path .. 'time_control', 'has no effect in this mode')
  end
end

-- The number of stages of a decoded control: 1 without any.
local function stages(control)
  return control.stages and #control.stages or 1
end

return {
  MOST_STAGES = MOST_STAGES,
  TOO_MANY_STAGES = TOO_MANY_STAGES,
  stages = stages,
  own_control = own_control,
  bank = bank,
  refuse_zero = refuse_zero,
  refuse_control = refuse_control,
}
