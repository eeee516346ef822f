-- The time controls by the name of their kind: how a clock is spent. A new one is one file in controls/ and
-- one line in KINDS.
--
-- A kind is a module with
--   PARAMETERS        list of {name, least, most, required =}: what a config may give, in the state's order
--   DIGITS            for each number that it packs, how many digits it has at most
--   pack(given, session)
--                     all numbers that its rules need, as text, for example `2000 0`: so a control is stored
--   parse(text)       the same as a table, owner.control
--   budget(owner, offset)
--                     all that the owner may use in this cycle without its overtime, in ms; math.huge: no end
--   charged(owner, used, offset)
--                     the bank after `used` ms of a cycle, and the counters; nothing is credited
--   credited(owner, used, offset)
--                     the same after a cycle that ended in time, with what the control gives for it
-- and, where it applies,
--   COUNTERS          names of the numbers that change besides the bank, as periods_left: fields of owner
--                     and of the state's `clock`; charged and credited return them in this order
--   fresh(control)    what the counters begin as
--   now(owner, used)  what a player sees of them after `used` ms of a cycle, as members of a JSON object
--   drawn(owner, used, offset)
--                     what `used` ms of a cycle take out of the bank, where that is not all of it
--   BANK              the bank that comes with it
--   TRANSFERS_TIME    true where the next clock gets what a cycle used
-- All of them are pure. `owner` has bank (ms, at the start of the cycle), control and the counters. `offset`
-- is the running time of the cycle before this clock got time again; it is 0 for nearly all.

local KINDS = {
  fischer = controls_fischer,
  bronstein = controls_bronstein,
  delay = controls_delay,
  byoyomi = controls_byoyomi,
  canadian = controls_canadian,
  hourglass = controls_hourglass,
  none = controls_none,
}

local STAGE = '^{"stage":(%d)'

-- Controls that were read lately, by their text. It only saves the same reading again, so it does no harm
-- that it is not replicated.
local MOST_KNOWN = 256
local known, known_count = {}, 0

-- The names of what the state's `clock` shows of an owner with this control, in their order; five at most.
local function list_view_names(control)
  local names = {}
  if control.stage then
    names[1] = 'stage'
    if control.moves then
      names[2] = 'moves_left'
    end
  end
  local own = control.rule.COUNTERS
  for i = 1, own and #own or 0 do
    names[#names + 1] = own[i]
  end
  if control.overtime > 0 then
    names[#names + 1] = 'overtime_used_ms'
  end
  if control.gain > 0 then
    names[#names + 1] = 'quota_ms'
  end
  return names
end

local function decode_kind(text)
  local kind, numbers = text:match('^(%l+) (.*)$')
  local rule = KINDS[kind]
  local control = rule.parse(numbers)
  control.rule = rule
  return control
end

-- What comes after the kind and its numbers, for a control and each of its stages.
local function complete(control, overtime, gain)
  control.overtime, control.gain = overtime, gain
  local names = list_view_names(control)
  if #names > 0 then
    control.view_names = names
    control.form = '{"' .. table.concat(names, '":%d,"') .. '":%d}'
    control.pattern = '^{"' .. table.concat(names, '":(%d+),"') .. '":(%d+)}$'
  end
end

-- A control from its text, `<kind> <numbers> [+<overtime ms>] [~<lag gain ms>]`: its numbers by name, `rule`
-- (the functions of its kind), overtime and gain (ms, 0 for none), and where the state's `clock` shows
-- something of it `shows`, the names, with the form and the pattern of its JSON. Of one with stages the first
-- stage; its `stages` are all. Shared: not to be changed.
local function decode(text)
  local control = known[text]
  if control then
    return control
  end
  local overtime, gain = tonumber(text:match(' %+(%d+)')) or 0, tonumber(text:match(' ~(%d+)')) or 0
  local staged = text:match('^stages (.*)$')
  if staged then
    local stages = controls_stages.parse(staged, decode_kind)
    for i = 1, #stages do
      complete(stages[i], overtime, gain)
    end
    control = stages[1]
    control.stages = stages
  else
    control = decode_kind(text)
    complete(control, overtime, gain)
  end
  if known_count >= MOST_KNOWN then
    known, known_count = {}, 0
  end
  known[text], known_count = control, known_count + 1
  return control
end

-- What the state's `clock` shows of an owner, as of the start of its cycle.
local function view(owner)
  local control = owner.control
  local names = control.view_names
  if not names then
    return '{}'
  end
  owner.overtime_used_ms = owner.bank < 0 and -owner.bank or 0
  return control.form:format(owner[names[1]], owner[names[2]], owner[names[3]], owner[names[4]],
    owner[names[5]])
end

-- The same with `now`: what it would show if the cycle, which has used `used` ms of this clock, were charged
-- at this moment.
local function view_now(owner, used, offset)
  local control = owner.control
  local rule = control.rule
  local now = rule.now and rule.now(owner, used)
  if control.overtime > 0 then
    local bank = rule.charged(owner, used, offset)
    local overtime = ('"overtime_used_ms":%d'):format(bank < 0 and -bank or 0)
    now = now and now .. ',' .. overtime or overtime
  end
  return now and owner.clock:sub(1, -2) .. ',"now":{' .. now .. '}}' or owner.clock
end

-- Reads what an owner keeps out of its `clock`, and its control is the one of its stage from then on.
local function decode_counters(owner)
  local control, text = owner.control, owner.clock
  if control.stages then
    control = control.stages[text:match(STAGE) + 1]
    owner.control = control
  end
  local names = control.view_names
  local first, second, third, fourth, fifth = text:match(control.pattern)
  owner[names[1]] = first + 0
  if second then
    owner[names[2]] = second + 0
    if third then
      owner[names[3]] = third + 0
      if fourth then
        owner[names[4]] = fourth + 0
        if fifth then
          owner[names[5]] = fifth + 0
        end
      end
    end
  end
end

local function set_bank(owner, bank, first, second)
  owner.bank = bank
  if first then
    local names = owner.control.rule.COUNTERS
    owner[names[1]] = first
    if second then
      owner[names[2]] = second
    end
  end
end

-- An owner enters a stage, or begins with a control that has none.
local function enter(owner, control)
  owner.control = control
  owner.stage, owner.moves_left = control.stage, control.moves
  if control.rule.COUNTERS then
    set_bank(owner, owner.bank, control.rule.fresh(control))
  end
end

-- An owner begins with `bank` ms under the control of this text.
local function begin(owner, text, bank)
  owner.bank = bank
  enter(owner, decode(text))
end

-- Charges a cycle, and credits nothing.
local function charge(owner, used, offset)
  set_bank(owner, owner.control.rule.charged(owner, used, offset))
end

-- Charges a cycle that ended in time, credits what its control gives, and counts the move: at the end of a
-- stage the next one begins.
local function charge_and_credit(owner, used, offset)
  local control = owner.control
  set_bank(owner, control.rule.credited(owner, used, offset))
  if control.moves then
    owner.moves_left = owner.moves_left - 1
    if owner.moves_left == 0 then
      local following = control.following
      owner.bank = owner.bank + following.time
      enter(owner, following)
    end
  end
end

-- What `used` ms of a cycle have taken out of an owner's bank so far; below zero the bank stands in periods,
-- block or overtime.
local function drawn(owner, used, offset)
  local own = owner.control.rule.drawn
  return own and own(owner, used, offset) or used
end

-- Whether a text is a number as it is written here, of so many digits at most.
local function is_number(text, digits)
  return text ~= nil and #text <= digits and (text == '0' or text:find('^[1-9]%d*$') ~= nil)
end

-- Whether numbers are those of a kind as they are kept.
local function are_numbers(kind, numbers)
  local rule = KINDS[kind]
  if not rule then
    return false
  end
  local found = {}
  for text in (numbers .. ' '):gmatch('([^ ]*) ') do
    found[#found + 1] = text
    if not (rule.DIGITS[#found] and is_number(text, rule.DIGITS[#found])) then
      return false
    end
  end
  return #found == #rule.DIGITS
end

local function are_stages(text)
  local count, last = 0, false
  for part in (text .. '|'):gmatch('([^|]*)|') do
    local moves, time, kind, numbers = part:match('^(%d+)/(%d+)/(%l+) (.*)$')
    if last or not (is_number(moves, 4) and is_number(time, 8) and are_numbers(kind, numbers))
      or KINDS[kind].BANK then
      return false
    end
    count, last = count + 1, moves == '0'
    if kind == 'canadian' and not last then
      return false
    end
  end
  return last and count <= controls_stages.MOST_STAGES
end

-- Whether a text is a control as it is kept.
local function is_packed(text)
  local body, gain = text:match('^(.*) ~(%d+)$')
  body = body or text
  local kept, overtime = body:match('^(.*) %+(%d+)$')
  local kind, numbers = (kept or body):match('^(%l+) (.*)$')
  if not kind or (gain and not is_number(gain, 4)) or (overtime and not is_number(overtime, 8)) then
    return false
  elseif kind == 'stages' then
    return are_stages(numbers)
  end
  return are_numbers(kind, numbers) and not (KINDS[kind].BANK and (gain or overtime))
end

-- Whether what an owner keeps is within what it began with.
local function is_within(owner, control)
  local first, second
  if control.rule.COUNTERS then
    first, second = control.rule.fresh(control)
  end
  local names = control.rule.COUNTERS or {}
  return (not first or owner[names[1]] <= first) and (not second or owner[names[2]] <= second)
    and (not control.moves or owner.moves_left <= control.moves)
    and (not owner.moves_left or owner.moves_left >= 1)
    and (not owner.quota_ms or owner.quota_ms <= 7 * control.gain)
end

-- Whether a text is what the `clock` of an owner with a control and this bank shows.
local function is_view(text, control, bank)
  local owner = { bank = bank, clock = text, control = control }
  if control.stages then
    local stage = text:match(STAGE)
    control = stage and control.stages[stage + 1]
  end
  if not control or not text:match(control.pattern) or text:find(('%d'):rep(10)) then
    return false
  end
  decode_counters(owner)
  return view(owner) == text and is_within(owner, control)
end

return {
  KINDS = KINDS,
  decode = decode,
  is_packed = is_packed,
  is_view = is_view,
  view = view,
  view_now = view_now,
  decode_counters = decode_counters,
  begin = begin,
  charge = charge,
  charge_and_credit = charge_and_credit,
  drawn = drawn,
}
