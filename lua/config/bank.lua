-- The control and the bank of who owns a clock.

-- The control that an owner of a clock has of its own: {text, shown}; nil for none.
local function own_control(owner, path, defaults, problem)
  if owner.time_control ~= nil then
    return config_control.check(owner.time_control, path .. 'time_control', problem, defaults)
  end
end

-- The bank of an owner of a clock (ms): the one that its control supplies, else its own. given: the control
-- as it was given, control: the checked one, nil where it is wrong; needs: what is wrong where there is no
-- bank.
local function bank(owner, given, control, path, problem, needs)
  local supplied = control and control.bank
  if not supplied then
    if not (owner.named_bank or owner.bank or config_control.brings_bank(given)) then
      problem(path .. 'total_time_ms', needs)
    end
    return owner.bank or 0
  elseif owner.named_bank and owner.bank ~= supplied then
    problem(path .. 'total_time_ms', 'must be left out'
      .. (supplied > 0 and (', or the %d of its time_control'):format(supplied) or ': its clock has no end'))
  end
  return supplied
end

local function no_control(owner, path, problem)
  if owner.time_control ~= nil then
    problem(path .. 'time_control', 'has no effect in this mode')
  end
end

return {
  own_control = own_control,
  bank = bank,
  no_control = no_control,
}
