-- Stages: after a number of moves the owner gets more time, and another rule may begin. An example is
-- `40 moves in 90 minutes, then 30 minutes`. Each stage is a control of one of the other kinds, and also has
--
--   moves       how many moves end it; nil for the last stage
--   time        ms that are added to the bank when the stage begins, whatever max_time_ms is; those of the
--               first stage are the bank at the beginning
--   stage       its number from 0
--   following   the next stage
--
-- The hash stores stages as `<moves>/<time>/<kind> <numbers>` with | between them; the last one has 0 moves:
-- `40/5400000/fischer 0 0|0/1800000/fischer 30000 0`.

local MOST_STAGES = 8

-- The text of a list of {moves, time_ms, text}, whose text is the control of the stage.
local function pack(list)
  local parts = {}
  for i = 1, #list do
    parts[i] = ('%d/%d/%s'):format(list[i].moves or 0, list[i].time_ms, list[i].text)
  end
  return table.concat(parts, '|')
end

-- The stages of a text in their order. decode(text) makes the control of one stage.
local function parse(text, decode)
  local stages = {}
  for moves, time, control_text in text:gmatch('(%d+)/(%d+)/([^|+~]+)') do
    local control = decode(control_text)
    control.stage, control.moves, control.time = #stages, tonumber(moves), tonumber(time)
    if control.moves == 0 then
      control.moves = nil
    end
    if #stages > 0 then
      stages[#stages].following = control
    end
    stages[#stages + 1] = control
  end
  return stages
end

return {
  MOST_STAGES = MOST_STAGES,
  pack = pack,
  parse = parse,
}
