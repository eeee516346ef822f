-- Small formats: timestamps, UUIDs, UTF-8.

local DAY_MS = 86400000
local UUID = '^%x%x%x%x%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%x%x%x%x%x%x%x%x$'

-- The date of a day, counted from 1970-01-01. Found by counting in years that begin in March, so that the
-- leap day is a year's last and the months before it have a regular pattern of lengths.
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

-- The last second that was asked for. It only saves the same computation again, so it does no harm that it is
-- not replicated.
local known_second, known_text

-- ISO 8601 in UTC with milliseconds of a time in milliseconds since 1970.
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

-- The lower-case UUID that a text is, or nil.
local function uuid(text)
  if type(text) == 'string' and text:find(UUID) then
    return text:lower()
  end
end

-- Every well-formed sequence of more than one byte: overlong forms and surrogates are none.
local SEQUENCES = {
  '[\194-\223][\128-\191]', '\224[\160-\191][\128-\191]', '[\225-\236\238\239][\128-\191][\128-\191]',
  '\237[\128-\159][\128-\191]',
  '\240[\144-\191][\128-\191][\128-\191]', '[\241-\243][\128-\191][\128-\191][\128-\191]',
  '\244[\128-\143][\128-\191][\128-\191]',
}

-- The number of characters of a text in UTF-8, or nil where it is not UTF-8.
local function characters(text)
  if text:find('[\128-\255]') then
    for i = 1, #SEQUENCES do
      text = text:gsub(SEQUENCES[i], 'x')
    end
    if text:find('[\128-\255]') then
      return nil
    end
  end
  return #text
end

-- A number, or a decimal text, as the decimal integer that it is. (Concatenating a number costs three times
-- as much. As a method of the text, because a look-up of a global is dear inside a function library.)
local function integer(number)
  return ('%d'):format(number)
end

return {
  integer = integer,
  iso = iso,
  uuid = uuid,
  characters = characters,
}
