-- Lag compensation: when the network delayed a switch, the owner gets back the delay that the server
-- measured. It comes out of a quota, which grows with every switch. The rule and its numbers are those of
-- lichess.
--
--   gain    G = min(1000, 10 * floor(2 * (bank + 40 * increment) / 5) + 150), bank and increment in seconds
--   quota   begins with 3G; a switch with a credit of c leaves min(7G, quota + G - c)
--   grace   min(quota, 2000): for how many ms after the deadline a switch may still be in time
--
-- The hash stores the gain with the owner's control (`~G`) and the quota in its clock (`quota_ms`).

local MOST_GAIN_MS = 1000
local MOST_GRACE_MS = 2000

-- The gain in ms of a clock that begins with `bank` ms and has `increment` ms a cycle. The formula above has
-- seconds: 2 * seconds / 5 is 2 * ms / 5000.
local function gain(bank, increment)
  return math.min(MOST_GAIN_MS, 10 * math.floor(2 * (bank + 40 * increment) / 5000) + 150)
end

-- The text of a control with the gain of an owner that begins with `bank` ms. A clock without end has no
-- gain.
local function with_gain(text, bank)
  local control = controls.decode(text)
  return control.endless and text or text .. (' ~%d'):format(gain(bank, control.increment or 0))
end

-- Gives a new owner its quota.
local function begin(owner)
  owner.quota_ms = 3 * owner.control.gain
end

-- Sets for how many ms after the deadline a switch of this owner may still be in time.
local function set_grace(owner)
  owner.grace = math.min(owner.quota_ms, MOST_GRACE_MS)
end

-- The credit in ms for a switch with `measured` ms of lag, after a cycle that ran for `used` ms.
local function credit(owner, measured, used)
  return math.min(measured or 0, owner.quota_ms, used)
end

-- Sets the quota after a switch with so many ms of credit.
local function spend(owner, credited)
  local per_switch = owner.control.gain
  owner.quota_ms = math.min(7 * per_switch, owner.quota_ms + per_switch - credited)
  set_grace(owner)
end

-- Gives a new owner its clock, with `bank` ms and fresh counters. Returns the text of the control that has to
-- be stored for it, nil when the session's is enough.
--
-- own           the text of the owner's own control, nil for none
-- default       the text of the session's control
-- compensated   whether the session has lag compensation: each owner then has a gain of its own
local function give_clock(owner, own, default, compensated, bank)
  if compensated then
    own = with_gain(own or default, bank)
  end
  controls.begin(owner, own or default, bank)
  if owner.control.gain > 0 then
    begin(owner)
  end
  return own
end

return {
  give_clock = give_clock,
  with_gain = with_gain,
  begin = begin,
  set_grace = set_grace,
  credit = credit,
  spend = spend,
}
