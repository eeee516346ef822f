-- sk_metadata: the client's own data changes. That concerns no clock, so a session may have any status.

-- patch: an object, see text/patch.lua
local function patch_metadata(s, options, patch)
  local shown = text_patch.read('{' .. storage_session.shown(s) .. '}')
  local before = text_patch.read(shown.values.metadata or '{}', true)
  local after, changed = text_patch.apply(before, patch)
  local text = text_patch.write(after)
  local problems = changed and config_metadata.problems_of(after, text)
  if problems then
    return nil, nil, call_refusal.validation(problems)
  end
  local turn, event, extra = transitions_expiry.due(s)
  if event then
    options.REQUEST = nil -- so that the same request is carried out when it is repeated
    return turn, event, extra
  elseif not changed then
    return nil
  end
  text_patch.apply(shown, { names = { 'metadata' }, values = { metadata = text }, written = {} })
  storage_session.set_shown(s, text_patch.write(shown):sub(2, -2))
  return transitions_cycle.current_turn(s), 'metadata.changed', ',"metadata":' .. text
end

return {
  patch_metadata = patch_metadata,
}
