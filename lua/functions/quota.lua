-- sk_quota: what a tenant has, of what it may have.

local MOST = 1000000
local MOST_LOOKED = 1000 -- bounds the work of one call

-- The words, each with its arguments as {name, least, most}; an id has no bounds.
local ID = { 'id' }
local WORDS = {
  CREATE = { ID, { 'participants', 0, MOST }, { 'sessions', -1, MOST }, { 'most_participants', -1, MOST },
    { 'creates_per_day', -1, MOST } },
  REVIVE = { ID, { 'participants', 0, MOST }, { 'sessions', -1, MOST }, { 'most_participants', -1, MOST } },
  JOIN = { ID, { 'participants', -MOST, MOST }, { 'most_participants', -1, MOST } },
  CREATED = { ID },
  FOUND = { ID, { 'participants', 0, MOST } },
  DROP = { ID },
  UNDO = { ID },
  LOOK = { { 'count', 1, MOST_LOOKED } },
}

local function check_keys(keys, problems)
  local name = keys[1] and keys[1]:match('^sk:quota:{([^{}]*)}$')
  if #keys ~= 2 or not name or #name < 1 or #name > 200 or name:find('[^\32-\126]')
    or keys[2] ~= keys[1] .. ':looked' then
    problems[1] = { 'KEYS', 'must be sk:quota:{<tenant>} and the same with :looked, the tenant 1 to 200 '
      .. 'printable ASCII characters without braces' }
  end
end

-- Reads the arguments of a word. Returns them by name; problems are added to the list.
local function read(args, names, problems)
  local given = {}
  for i = 1, #names do
    local name, text = names[i][1], args[i + 1]
    local least, most = names[i][2], names[i][3]
    if not least then
      given[name] = text and text_formats.uuid(text)
    elseif text then
      local sign, digits = text:match('^(%-?)(%d+)$')
      local number = digits and call_options.integer(digits, 0, MOST)
      number = number and (sign == '-' and -number or number)
      given[name] = number and number >= least and number <= most and number or nil
    end
    if not given[name] then
      problems[#problems + 1] = { name, least and ('must be an integer from %d to %d'):format(least, most)
        or 'must be a UUID' }
    end
  end
  if #args > #names + 1 then
    problems[#problems + 1] = { 'arguments', 'must be ' .. #names + 1 }
  end
  return given
end

-- sk_quota 2 sk:quota:{<tenant>} sk:quota:{<tenant>}:looked <word> <arguments>
--
-- Counts what a tenant has. It counts, and does not know the sessions: the caller counts a session before it
-- creates it, and takes out one that is over.
--
-- KEYS[1-2]  the tenant's count, and its sessions by when they were last looked at
-- ARGV[1]    the word, which says what the others are; -1 for a quota is no quota
--            CREATE <id> <participants> <sessions> <most_participants> <creates_per_day>
--            REVIVE <id> <participants> <sessions> <most_participants>   it was over, and is about to go on
--            CREATED <id>   it was created, or goes on
--            FOUND <id> <participants>   it was created some time ago, whether it was counted or not
--            JOIN <id> <participants> <most_participants>   a negative number of participants has left
--            DROP <id>   the session is over, or is not there
--            UNDO <id>   it was not created after all
--            LOOK <count>   the sessions that were longest not looked at; they count as looked at now
-- Reply      CREATE, REVIVE and JOIN: counted (1; 0 when it was counted before, or for JOIN is not counted;
--            -1 when it is refused), the name of the quota that is used up (else empty), retry_after_ms (of
--            creates_per_day: until the next day). CREATED, FOUND, DROP and UNDO: 1, or 0 when nothing has
--            changed.
--            LOOK: ids
-- Refusals   VALIDATION_ERROR
-- Publishes  nothing
local function quota(keys, args)
  local problems = {}
  check_keys(keys, problems)
  local word = args[1] and args[1]:upper()
  local names = WORDS[word]
  local given
  if names then
    given = read(args, names, problems)
  else
    problems[#problems + 1] = { 'word', 'must be CREATE, REVIVE, CREATED, FOUND, JOIN, DROP, UNDO or LOOK' }
  end
  if #problems > 0 then
    return call_refusal.validation(problems)
  end
  local now = storage_time.now()
  if word == 'CREATE' or word == 'REVIVE' then
    local most = { sessions = given.sessions, participants = given.most_participants,
      creates = given.creates_per_day }
    return storage_quota.add_session(keys, given.id, given.participants, most, word == 'CREATE', now)
  elseif word == 'FOUND' then
    return storage_quota.found(keys, given.id, given.participants, now)
  elseif word == 'JOIN' then
    return storage_quota.join(keys, given.id, given.participants, { participants = given.most_participants })
  elseif word == 'CREATED' then
    return storage_quota.created(keys, given.id, now)
  elseif word == 'LOOK' then
    return storage_quota.look(keys, given.count, now)
  end
  return storage_quota.drop(keys, given.id, word == 'UNDO', now)
end

redis.register_function({
  function_name = 'sk_quota',
  callback = quota,
  description = 'Counts what a tenant has, of what it may have. '
    .. 'Replies with counted, the quota that is used up, retry_after_ms.',
  flags = { 'allow-oom' },
})

return {}
