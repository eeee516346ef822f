-- The schemas of a session's hash. The library reads both, and writes the one that the option SCHEMA of a
-- call says; without that option a session stays in the schema that it has.
--
--   1   `shown` has the part of the state that never changes, and `action` has `action_on_timeout` once more
--   2   `fixed` has the members of `shown` whose value is not the usual one, a line for each, with name and
--       value: `increment_ms 2000`. The value `-` says that `shown` has no such member. There is no `action`.
--       The hash of a session of two weighs 330 to 400 bytes less, which is a fifth of a new one
--
-- The hash has the number of its schema in the field `schema`, which is absent in schema 1. All other modules
-- know the fields of schema 1 only: storage/session.lua has them converted. How to add a schema, and how to
-- take one out: see SCHEMAS.md.

local OLDEST, NEWEST = 1, 2

local ACTION, LAST = 'action_on_timeout', 'metadata'
local USUAL_ACTION = '{"type":"end_session"}'
local ABSENT = '-'

-- The members of `shown` in order, each with its usual value. A member that is not in this list keeps a
-- session in schema 1, so a new member of the config has to come into it.
local MEMBERS = {
  { 'players_may_choose_next', 'false' },
  { 'sync_mode', '"per_participant"' },
  { 'time_per_cycle_ms', 'null' },
  { 'increment_ms', '0' },
  { 'max_time_ms', 'null' },
  { 'time_control', '{"kind":"fischer"}' },
  { 'lag_compensation', 'false' },
  { 'auto_advance', 'false' },
  { ACTION, USUAL_ACTION },
  { 'warnings_ms', '[]' },
  { 'max_pause_ms', 'null' },
  { 'players_may_pause', 'false' },
  { LAST, '{}' },
}

-- The members with their usual values, as `shown` has them: most members of most sessions.
local USUAL = {}
for i = 1, #MEMBERS do
  USUAL[i] = '"' .. MEMBERS[i][1] .. '":' .. MEMBERS[i][2]
end

-- How a value ends, by the byte that it begins with. The objects and lists here are the library's own and
-- have no brackets in strings; those of clients, ACTION and LAST, are found in other ways.
local VALUES = { [123] = '^%b{}', [91] = '^%b[]' } -- { [
local OTHER_VALUE = '^[^,]+'

-- The value that begins at `position` of `shown`; nil when there is none.
local function value_at(shown, position, name, action)
  if name == LAST then
    return shown:sub(position)
  elseif name == ACTION then
    return shown:sub(position, position + #action - 1) == action and action or nil
  end
  return shown:match(VALUES[shown:byte(position)] or OTHER_VALUE, position)
end

-- The `fixed` of these fields of schema 1; nil when they are not as the library writes them.
local function fixed_of(shown, action)
  local lines, position = {}, 1
  for i = 1, #MEMBERS do
    local name, usual = MEMBERS[i][1], MEMBERS[i][2]
    local label = (position > 1 and ',"' or '"') .. name .. '":'
    local value = ABSENT
    if shown:sub(position, position + #label - 1) == label then
      value = value_at(shown, position + #label, name, action)
      if not value then
        return nil
      end
      position = position + #label + #value
    end
    if value ~= usual then
      lines[#lines + 1] = name .. ' ' .. value
    end
  end
  return position == #shown + 1 and table.concat(lines, '\n') or nil
end

-- The `shown` and the `action` of a `fixed`.
local function shown_of(fixed)
  local given, parts = {}, {}
  for name, value in fixed:gmatch('([%l_]+) ([^\n]*)') do
    given[name] = value
  end
  for i = 1, #MEMBERS do
    local name = MEMBERS[i][1]
    local value = given[name]
    if not value then
      parts[#parts + 1] = USUAL[i]
    elseif value ~= ABSENT then
      parts[#parts + 1] = '"' .. name .. '":' .. value
    end
  end
  return table.concat(parts, ','), given[ACTION] or USUAL_ACTION
end

-- Changes the fields of a hash (name -> value) of either schema to those of schema 1.
local function to_oldest(fields)
  if fields.fixed then
    fields.shown, fields.action = shown_of(fields.fixed)
  end
  fields.fixed, fields.schema = nil, nil
end

-- Changes the fields of a hash of schema 1 to those of another schema. Returns the schema that they have
-- then: fields that are not as the library writes them stay in schema 1.
local function convert_fields(fields, schema)
  local fixed = schema ~= OLDEST and fixed_of(fields.shown, fields.action)
  if not fixed then
    return OLDEST
  end
  fields.fixed, fields.shown, fields.action = fixed, nil, nil
  return NEWEST
end

return {
  OLDEST = OLDEST,
  NEWEST = NEWEST,
  fixed_of = fixed_of,
  shown_of = shown_of,
  to_oldest = to_oldest,
  convert_fields = convert_fields,
}
