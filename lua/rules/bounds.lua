-- The field `bounds` of the hash: what bounds all pauses of a session together, and how many cycles it has.
-- All functions are pure.

local MOST_PAUSES = 1000
local MOST_PAUSE_MS = 30 * 86400000
local MOST_CYCLES = 1000000

local BOUNDS = '^"max_pauses":(%w+),"max_total_pause_ms":(%w+),"max_cycles":(%w+)$'

local function integer_or_null(number)
  return number and ('%d'):format(number) or 'null'
end

-- The text of the field; nil when there are no bounds. Each number is nil where there is none.
local function text_of(max_pauses, max_total_pause, max_cycles)
  if not (max_pauses or max_total_pause or max_cycles) then
    return nil
  end
  return '"max_pauses":' .. integer_or_null(max_pauses) .. ',"max_total_pause_ms":'
    .. integer_or_null(max_total_pause) .. ',"max_cycles":' .. integer_or_null(max_cycles)
end

-- The three numbers of such a text.
local function read(text)
  local pauses, pause, cycles = text:match(BOUNDS)
  return tonumber(pauses), tonumber(pause), tonumber(cycles)
end

-- Whether a text can be the field.
local function is_sound(text)
  local pauses, pause, cycles = read(text)
  return text_of(pauses, pause, cycles) == text and (pauses or 0) <= MOST_PAUSES
    and (pause or 1) >= 1 and (pause or 1) <= MOST_PAUSE_MS
    and (cycles or 1) >= 1 and (cycles or 1) <= MOST_CYCLES
end

return {
  MOST_PAUSES = MOST_PAUSES,
  MOST_PAUSE_MS = MOST_PAUSE_MS,
  MOST_CYCLES = MOST_CYCLES,
  text_of = text_of,
  read = read,
  is_sound = is_sound,
}
