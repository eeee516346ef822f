-- A participant or a group as the state and the events have it in their JSON.

-- The ids of the participant and the group whose turn it is, as JSON.
local function active_ids(turn)
  if not turn then
    return 'null', 'null'
  end
  return '"' .. storage_record.participant_id(turn.participant) .. '"',
    turn.group and '"' .. storage_record.id_of_group(turn.group) .. '"' or 'null'
end

-- What is left of a record's clock, as text; nil for a clock without end. Mostly it is the bank, which is
-- text already.
local function left_text(record, left)
  if left == record.bank then
    return record.bank_text
  end
  return left and text_formats.integer(left) or nil
end

-- What is left of the clock whose turn it is, as text; nil for none.
local function running_left(s, turn)
  local left = turn and rules_clock.is_live(s) and rules_clock.remaining(s, turn.owner)
  return left and left_text(turn.owner, left) or nil
end

-- Appends the JSON of a record to a list of `n` pieces. left: ms as text, nil for a clock without end.
-- Returns the new number of pieces.
--
-- In numbered pieces, because Lua hashes every text that it makes, byte by byte: a record that is joined here
-- would be hashed here and once more as a part of the event.
local function append_fields(pieces, n, record, left, is_active)
  if record.owns then
    pieces[n + 1], pieces[n + 2] = '{"total_time_ms":', left and record.bank_text or 'null'
    pieces[n + 3], pieces[n + 4] = ',"time_used_ms":', record.used
    pieces[n + 5], pieces[n + 6] = ',"time_remaining_ms":', left or 'null'
    pieces[n + 7], pieces[n + 8] = ',"cycle_count":', record.cycles
    pieces[n + 9] = is_active and ',"is_active":true' or ',"is_active":false'
    pieces[n + 10] = record.expired and ',"has_expired":true,"clock":' or ',"has_expired":false,"clock":'
    pieces[n + 11], pieces[n + 12] = record.clock ~= '' and record.clock or '{}', ','
    pieces[n + 13] = record.fixed_json
    return n + 13
  end
  pieces[n + 1], pieces[n + 2] = '{"total_time_ms":null,"time_used_ms":', record.used
  pieces[n + 3], pieces[n + 4] = ',"time_remaining_ms":null,"cycle_count":', record.cycles
  pieces[n + 5] = is_active and ',"is_active":true' or ',"is_active":false'
  pieces[n + 6], pieces[n + 7] = ',"has_expired":false,"clock":null,', record.fixed_json
  return n + 7
end

-- Appends a record as it is at this moment. turn: whose turn it is, nil for none; left: what is left of the
-- clock whose turn it is, as text, nil for a clock without end. Returns the new number of pieces.
local function append(pieces, n, s, record, turn, left)
  local live = turn and rules_clock.is_live(s)
  if not (live and record == turn.owner) then
    left = record.owns and left_text(record, rules_clock.idle(record)) or nil
  end
  local is_active = live and (record == turn.participant or record == turn.group)
  return append_fields(pieces, n, record, left, is_active)
end

return {
  active_ids = active_ids,
  running_left = running_left,
  append = append,
}
