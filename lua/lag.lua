-- Lag compensation: a switch that was held up on its way is given back what the server measured, out of a quota that fills again with every
-- switch. The rule and its numbers are lichess'.
--
--   gain     G = min(1000, 10 * floor(2 * (limit + 40 * increment) / 5) + 150), limit and increment in seconds
--   quota    starts at 3G; a switch with credit c leaves min(7G, quota + G - c)
--   grace    min(quota, 2000): how long after the deadline a switch may still come in time
--
-- An owner keeps its gain with its control (`~G`) and its quota with its clock (`quota_ms`).

local MOST_GAIN_MS = 1000
local MOST_GRACE_MS = 2000

-- The gain of a clock that begins with `bank` ms and has `increment` ms a cycle. In thousandths, because fractions of a second count.
local function gain(bank, increment)
  return math.min(MOST_GAIN_MS, 10 * math.floor(2 * (bank + 40 * increment) / 5000) + 150)
end

-- The control of an owner with its gain, and the clock that it begins with.
local function fresh(text, bank)
  local ms = gain(bank, controls.read(text).increment or 0)
  return text .. (' ~%d'):format(ms), ('{"quota_ms":%d}'):format(3 * ms)
end

-- Reads an owner's quota, and with it the grace, where its control has a gain.
local function adopt(owner)
  if owner.control.gain > 0 then
    owner.quota = owner.clock:match('"quota_ms":(%d+)') + 0
    owner.grace = math.min(owner.quota, MOST_GRACE_MS)
  end
end

-- What a switch is credited that the server measured `measured` ms of lag for, in a cycle that ran for `used` ms.
local function credit(owner, measured, used)
  return math.min(measured or 0, owner.quota or 0, used)
end

-- The quota after a switch that was credited `credited` ms.
local function spend(owner, credited)
  if owner.quota then
    owner.quota = math.min(7 * owner.control.gain, owner.quota + owner.control.gain - credited)
    owner.grace = math.min(owner.quota, MOST_GRACE_MS)
    owner.clock = owner.clock:gsub('"quota_ms":%d+', ('"quota_ms":%d'):format(owner.quota))
  end
end

return { fresh = fresh, adopt = adopt, credit = credit, spend = spend }
