-- The JSON of a participant or a group, as the state and the events show it.

-- The ids of the active participant and of its group as JSON, `null` for none.
local function active_ids(turn)
  if not turn then
    return 'null', 'null'
  end
  return '"' .. storage_record.participant_id(turn.participant) .. '"',
    turn.group and '"' .. storage_record.id_of_group(turn.group) .. '"' or 'null'
end

-- The time left on a record's clock as text; nil for a clock without end. In most cases it equals the bank,
-- which is text already.
local function left_text(record, left)
  if left == record.bank then
    return record.bank_text
  end
  return left and text_formats.integer(left) or nil
end

-- The turn whose cycle is under way; nil for none: the turn of a pending session is still to come.
local function under_way(s, turn)
  return turn and rules_clock.is_live(s) and turn or nil
end

-- The time left on the clock of a turn that is under way, as text; nil without one, or without an end.
local function running_left(s, turn)
  local left = turn and rules_clock.remaining(s, turn.owner)
  return left and left_text(turn.owner, left) or nil
end

-- The JSON of a record. left: ms as text, nil for a clock without end. Lua joins all parts of one expression
-- at once, so that this costs no more than a list of pieces that `table.concat` joins.
local function fields_json(record, left, is_active)
  if not record.owns then
    return '{"total_time_ms":null,"time_used_ms":' .. record.used
      .. ',"time_remaining_ms":null,"cycle_count":' .. record.cycles
      .. ',"is_active":' .. (is_active and 'true' or 'false')
      .. ',"has_expired":false,"clock":null,' .. record.fixed_json
  end
  return '{"total_time_ms":' .. (left and record.bank_text or 'null')
    .. ',"time_used_ms":' .. record.used
    .. ',"time_remaining_ms":' .. (left or 'null')
    .. ',"cycle_count":' .. record.cycles
    .. ',"is_active":' .. (is_active and 'true' or 'false')
    .. ',"has_expired":' .. (record.expired and 'true' or 'false')
    .. ',"clock":' .. (record.clock ~= '' and record.clock or '{}')
    .. ',' .. record.fixed_json
end

-- The JSON of a record as it is at this moment. turn: the one that is under way, nil for none; left: the time
-- left on its clock, see running_left.
local function build(record, turn, left)
  if not (turn and record == turn.owner) then
    left = record.owns and left_text(record, rules_clock.idle(record)) or nil
  end
  local is_active = turn and (record == turn.participant or record == turn.group)
  return fields_json(record, left, is_active)
end

return {
  active_ids = active_ids,
  under_way = under_way,
  running_left = running_left,
  build = build,
}
