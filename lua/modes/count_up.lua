-- count_up: one clock for the whole session counts up from zero, to max_time_ms if there is one. Its bank is
-- the time left to that maximum, so the maximum is always the used time + the bank. What ran in turns that
-- were taken back was used by nobody: it is in `used` of the clock's own record, and counts there, too.

local function clock()
  return 'clock'
end

return {
  owner = 'session',
  clock = clock,
  counts_up = true,
}
