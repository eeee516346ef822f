-- Stages: after a number of moves the owner gets more time, and another rule may begin. An example is
-- `40 moves in 90 minutes, then 30 minutes`. Each stage is a control of one of the other kinds, and also has
--
--   moves       how many moves end it; nil for the last stage, unless that repeats: then it begins anew
--   time        ms that are added to the bank when the stage begins, whatever max_time_ms is; those of the
--               first stage are the bank at the beginning
--   stage       its number from 0
--   following   the next stage; of a last stage that repeats it is that stage itself
--
-- The hash stores stages as `<moves>/<time>/<kind> <numbers>` with | between them; the last one has 0 moves
-- unless it repeats: `40/5400000/fischer 0 0|0/1800000/fischer 30000 0`.

local MOST_STAGES = 8
local FORM = '%d/%d/' -- what the text of a stage begins with, before that of its control

-- The stages of a text in their order. new_control: makes one, see controls.lua.
local function parse(text, overtime, gain, new_control)
  local stages, count = {}, 0
  for moves, time, kind, first, second, third in text:gmatch('(%d+)/(%d+)/(%l+) (%d+) ?(%d*) ?(%d*)') do
    local stage = new_control(
      kind, first, second, third, overtime, gain, count, moves ~= '0' and moves + 0 or nil, time + 0)
    if count > 0 then
      stages[count].following = stage
    end
    count = count + 1
    stages[count] = stage
  end
  local last = stages[count]
  last.following = last.moves and last
  return stages
end

return {
  MOST_STAGES = MOST_STAGES,
  FORM = FORM,
  parse = parse,
}
