-- Stages: a number of moves, then further time and another rule, as in `40 moves in 90 minutes, then 30
-- minutes`. Each stage is a control of another kind with `moves` (how many end it; nil for the last), `time`
-- (ms that it adds, uncapped, when it begins; that of the first is the bank to begin with), `stage` (its
-- number from 0) and `following` (the next one).
--
-- Text: `<moves>/<time>/<kind> <numbers>` for each, with | between them; the moves of the last are 0.

local MOST_STAGES = 8

-- list: {moves, time_ms, text}, text being the control of the stage.
local function pack(list)
  local parts = {}
  for i = 1, #list do
    parts[i] = ('%d/%d/%s'):format(list[i].moves or 0, list[i].time_ms, list[i].text)
  end
  return table.concat(parts, '|')
end

-- The stages of a text in their order; decode(text) gives the control of one.
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
