-- What a participant may do itself: a call with PLAYER is its own. The functions below return a refusal, nil
-- when the call is allowed. options: those of the call; without PLAYER everything is.

local function is_active(s, player)
  local active = s.active >= 0 and storage_record.load(s, storage_record.participant_field(s.active))
  return active and storage_record.participant_id(active) == player
end

local function not_your_turn(player)
  return call_refusal.forbidden(player .. ' is not active')
end

-- A player ends its own turn. The rotation says whose turn is next, unless the config lets players name
-- somebody; nobody may name itself, because a switch to oneself would earn the increment again and again.
local function may_switch(s, options)
  local player, named = options.PLAYER, options.NEXT
  if not player then
    return nil
  elseif not is_active(s, player) then
    return not_your_turn(player)
  elseif not named then
    return nil
  elseif named == player then
    return call_refusal.forbidden('players may not name themselves as the next one')
  elseif storage_session.configured(s).players_may_choose_next ~= true then
    return call_refusal.forbidden('players may not name the next one in this session')
  end
end

-- A player pauses and resumes its own turn, where the config lets players do so.
local function may_pause(s, options)
  local player = options.PLAYER
  if not player then
    return nil
  elseif not is_active(s, player) then
    return not_your_turn(player)
  elseif storage_session.configured(s).players_may_pause ~= true then
    return call_refusal.forbidden('players may not pause in this session')
  end
end

return {
  may_switch = may_switch,
  may_pause = may_pause,
}
