-- A participant or a group as the state and the events show it.

-- Puts what is shown of a record, whose numbers are written down, behind the first `n` pieces of a text; returns how many pieces there are then.
-- left: ms as text (nil: a clock without end). In pieces, because Lua keeps every text that it makes once: each long one is looked for among all
-- there are, and those of one session differ in so few places that they are hard to tell apart.
local function append_fields(pieces, n, owner, left, active)
  if owner.owns then
    pieces[n + 1], pieces[n + 2], pieces[n + 3], pieces[n + 4] = '{"total_time_ms":', left and owner.bank_text or 'null', ',"time_used_ms":', owner.used
    pieces[n + 5], pieces[n + 6], pieces[n + 7], pieces[n + 8] = ',"time_remaining_ms":', left or 'null', ',"cycle_count":', owner.cycles
    pieces[n + 9] = active and ',"is_active":true' or ',"is_active":false'
    pieces[n + 10] = owner.expired and ',"has_expired":true,"clock":' or ',"has_expired":false,"clock":'
    pieces[n + 11], pieces[n + 12], pieces[n + 13] = owner.clock ~= '' and owner.clock or '{}', ',', owner.shown
    return n + 13
  end
  pieces[n + 1], pieces[n + 2], pieces[n + 3] = '{"total_time_ms":null,"time_used_ms":', owner.used, ',"time_remaining_ms":null,"cycle_count":'
  pieces[n + 4], pieces[n + 5] = owner.cycles, active and ',"is_active":true' or ',"is_active":false'
  pieces[n + 6], pieces[n + 7] = ',"has_expired":false,"clock":null,', owner.shown
  return n + 7
end

-- The ids of whose turn it is, as JSON.
local function active_ids(turn)
  if not turn then
    return 'null', 'null'
  end
  return '"' .. storage_record.participant_id(turn.participant) .. '"', turn.group and '"' .. turn.group.shown:sub(13, 48) .. '"' or 'null'
end

-- What is left of a clock, as text; nil for one without end. Mostly it is the bank, which is text already.
local function left_text(record, left)
  if left == record.bank then
    return record.bank_text
  end
  return left and text_formats.integer(left) or nil
end

-- Puts a record as it is shown now behind the first `n` pieces of a text; returns how many pieces there are then. turn: whose turn it is, nil for
-- nobody's; left: what is left of its clock, as text or nil.
local function append(pieces, n, s, record, turn, left)
  local live = turn and rules_clock.is_live(s)
  if not (live and record == turn.owner) then
    left = record.owns and left_text(record, rules_clock.idle(record)) or nil
  end
  return append_fields(pieces, n, record, left, live and (record == turn.participant or record == turn.group))
end

-- What is left of the clock whose turn it is, as text; nil for none.
local function running_left(s, turn)
  local left = turn and rules_clock.is_live(s) and rules_clock.remaining(s, turn.owner)
  return left and left_text(turn.owner, left) or nil
end

return {
  active_ids = active_ids,
  append = append,
  running_left = running_left,
}
