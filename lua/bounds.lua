-- The longest times in ms. The library has to be exact up to these: a thousand clocks or periods of MOST_MS
-- each still have 14 digits. A caller may ask for narrower ones in what one call reads: see keep_short.

local DAY_MS = 86400000
-- Of a bank, an increment, a delay, a period and an overtime, and of a change; a warning has DAY_MS.
local MOST_MS = 366 * DAY_MS

local SHORT_INCREMENT_MS = 60000
local is_short = false

-- Whether the configs and participants that are read from now on may have no times beyond DAY_MS, and no
-- increments beyond SHORT_INCREMENT_MS.
local function keep_short(short)
  is_short = short or false
end

-- The bound of the member `name`, whose bound in the library is `most`.
local function most_of(name, most)
  if is_short and most == MOST_MS then
    return name == 'increment_ms' and SHORT_INCREMENT_MS or DAY_MS
  end
  return most
end

return {
  keep_short = keep_short,
  most_of = most_of,
  DAY_MS = DAY_MS,
  MOST_MS = MOST_MS,
  MOST_DIGITS = 11, -- those of MOST_MS
  LEAST_BANK_MS = 1000, -- of a bank that is not 0
}
