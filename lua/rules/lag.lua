-- Lag compensation: a switch that was held up on its way is given back what the server measured, out of a
-- quota that fills again with every switch. The rule and its numbers are lichess'.
--
--   gain     G = min(1000, 10 * floor(2 * (limit + 40 * increment) / 5) + 150), both in seconds
--   quota    starts at 3G; a switch with credit c leaves min(7G, quota + G - c)
--   grace    min(quota, 2000): how long after the deadline a switch may still come in time
--
-- An owner keeps its gain with its control (`~G`) and its quota with its clock (`quota_ms`).

local MOST_GAIN_MS = 1000
local MOST_GRACE_MS = 2000

-- The gain of a clock that begins with `bank` ms and has `increment` ms a cycle. In thousandths, because
-- fractions of a second count.
local function gain(bank, increment)
  return math.min(MOST_GAIN_MS, 10 * math.floor(2 * (bank + 40 * increment) / 5000) + 150)
end

-- The control of an owner that begins with `bank` ms, with its gain. A clock without end needs none.
local function with_gain(text, bank)
  local control = controls.decode(text)
  return control.endless and text or text .. (' ~%d'):format(gain(bank, control.increment or 0))
end

-- An owner begins with its quota.
local function begin(owner)
  owner.quota_ms = 3 * owner.control.gain
end

-- How long after its deadline an owner's switch may still come in time.
local function set_grace(owner)
  owner.grace = math.min(owner.quota_ms, MOST_GRACE_MS)
end

-- What a switch is credited that the server measured `measured` ms of lag for, in a cycle that ran for `used`
-- ms.
local function credit(owner, measured, used)
  return math.min(measured or 0, owner.quota_ms, used)
end

-- The quota after a switch that was credited `credited` ms.
local function spend(owner, credited)
  local per_switch = owner.control.gain
  owner.quota_ms = math.min(7 * per_switch, owner.quota_ms + per_switch - credited)
  set_grace(owner)
end

-- An owner of a clock as it begins: bank (ms) and what the control of this text keeps, lag compensation
-- included where `compensated`. Returns the owner, and the text that has to be kept for it beside the
-- session's, nil for none. own: the control's text where it is the owner's own.
local function new_owner(own, default, compensated, bank)
  if compensated then
    own = with_gain(own or default, bank)
  end
  local owner = {}
  controls.begin(owner, own or default, bank)
  if owner.control.gain > 0 then
    begin(owner)
  end
  return owner, own
end

return {
  new_owner = new_owner,
  with_gain = with_gain,
  begin = begin,
  set_grace = set_grace,
  credit = credit,
  spend = spend,
}
