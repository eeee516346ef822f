-- The longest times in ms. The service keeps narrower ones for its callers unless it is told otherwise, so
-- the library has to be exact up to these: a thousand clocks or periods of MOST_MS each still have 14 digits.

local DAY_MS = 86400000
local MOST_MS = 366 * DAY_MS -- of a bank, an increment, a delay, a period and an overtime, and of a change

return {
  DAY_MS = DAY_MS,
  MOST_MS = MOST_MS,
  MOST_DIGITS = 11, -- those of MOST_MS
  LEAST_BANK_MS = 1000, -- of a bank that is not 0
}
