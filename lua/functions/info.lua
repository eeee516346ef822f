-- sk_info 0
--
-- Tells which library is loaded.
--
-- KEYS       none
-- ARGV       none
-- Reply      version of the library, the schema that new sessions have unless SCHEMA
--            says another one (integer), server time (ms)
-- Refusals   VALIDATION_ERROR
-- Publishes  nothing
local function info(keys, args)
  if #keys > 0 or #args > 0 then
    return call_refusal.validation({ { 'arguments', 'must be none' } })
  end
  return { VERSION, schemas.OLDEST, storage_time.now() }
end

redis.register_function({
  function_name = 'sk_info',
  callback = info,
  description = 'Replies with the version of the library, the schema of its state and the server time.',
  flags = { 'no-writes' },
})

return {}
