-- Formats of numbers, timestamps and UUIDs, and the length of a text in UTF-8.

local DAY_MS = 86400000
local UUID = '^%x%x%x%x%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%x%x%x%x%x%x%x%x$'

-- The date of a day, which is a number counted from 1970-01-01. The calculation uses years that begin in
-- March: the leap day is then the last day of a year, and the lengths of the months follow one formula.
local function date(days)
  local floor = math.floor
  local z = days + 719468
  local era = floor(z / 146097)
  local day_of_era = z - era * 146097
  local leap_days = floor(day_of_era / 1460) - floor(day_of_era / 36524) + floor(day_of_era / 146096)
  local year_of_era = floor((day_of_era - leap_days) / 365)
  local day_of_year = day_of_era - (365 * year_of_era + floor(year_of_era / 4) - floor(year_of_era / 100))
  local month_from_march = floor((5 * day_of_year + 2) / 153)
  local day = day_of_year - floor((153 * month_from_march + 2) / 5) + 1
  local month = month_from_march < 10 and month_from_march + 3 or month_from_march - 9
  return ('%04d-%02d-%02d'):format(year_of_era + era * 400 + (month <= 2 and 1 or 0), month, day)
end

-- The second of the last timestamp and its text. They only save work; a replica begins without them.
local known_second, known_text

-- The timestamp of a time in ms since 1970: ISO 8601 in UTC, `2026-11-22T03:18:26.169Z`.
local function iso(ms)
  local in_second = ms % 1000
  local second = ms - in_second
  if second ~= known_second then
    local in_day = ms % DAY_MS
    known_second = second
    known_text = ('%sT%02d:%02d:%02d.'):format(date((ms - in_day) / DAY_MS), in_day / 3600000,
      in_day / 60000 % 60, in_day / 1000 % 60)
  end
  return known_text .. ('%03dZ'):format(in_second)
end

-- A UUID in lower case; nil when the value is no UUID.
local function uuid(text)
  if type(text) == 'string' and text:find(UUID) then
    return text:lower()
  end
end

-- All well-formed characters of more than one byte, as patterns. Overlong forms and surrogates do not match.
local SEQUENCES = {
  '[\194-\223][\128-\191]', '\224[\160-\191][\128-\191]', '[\225-\236\238\239][\128-\191][\128-\191]',
  '\237[\128-\159][\128-\191]',
  '\240[\144-\191][\128-\191][\128-\191]', '[\241-\243][\128-\191][\128-\191][\128-\191]',
  '\244[\128-\143][\128-\191][\128-\191]',
}

-- The number of characters in a text; nil when it is not UTF-8.
local function characters(text)
  -- To look at all characters from the beginning costs a third of looking for one of the others.
  if not text:find('^[\1-\127]*$') then
    for i = 1, #SEQUENCES do
      text = text:gsub(SEQUENCES[i], 'x')
    end
    if text:find('[\128-\255]') then
      return nil
    end
  end
  return #text
end

-- The text of an integer, which is a number or decimal text already. `..` would take numbers too, but costs
-- three times as much; string.format would have to look up a global, which is slow in a function library.
local function integer(number)
  return ('%d'):format(number)
end

return {
  integer = integer,
  iso = iso,
  uuid = uuid,
  characters = characters,
}
