-- The time controls by the name of their kind. A time control says how a clock is spent. A new kind is one
-- file in controls/ and one line in KINDS.
--
-- Each kind is a module with
--   PARAMETERS        what a config may set, in the order of the state: a list of
--                     {name, least, most, required =}
--   DIGITS            the most digits of each number that `pack` gives, one to three
--   OPTIONAL          how many of them, at the end, it leaves out where they would be 0; nil for none
--   pack(given, session)
--                     the numbers that its rules need and that the hash stores behind the name of the kind,
--                     for example `fischer 2000 0`. given: the parameters of the config; session: the
--                     session's {increment_ms, max_time_ms}
--   NUMBERS           the names of these numbers in owner.control; none where the number means nothing
--   budget(owner, offset)
--                     the time in ms that the owner may use in this cycle, without overtime; math.huge for a
--                     clock without end
--   charged(owner, used, offset)
--                     the bank and the counters after a cycle that used so many ms, without any credit
--   credited(owner, used, offset)
--                     the same after a cycle that ended in time, with the credit of this kind
--
-- Some kinds also have
--   COUNTERS          the names of the numbers that change besides the bank, such as periods_left. They are
--                     fields of owner and of the state's `clock`. charged and credited return them in this
--                     order after the bank
--   fresh(control)    the counters at the beginning
--   now(owner, used)  what the counters would show if the cycle ended after so many ms: JSON members
--   drawn(owner, used, offset)
--                     how many of the used ms come out of the bank; without it all of them do
--   BANK              the bank that this kind supplies
--   ENDLESS           true: the clock has no end
--   TRANSFERS_TIME    true: the next clock gets the time that a cycle used
--
-- All functions are pure. `owner` has bank (ms at the start of the cycle), control and the counters. `used`
-- is in ms. `offset` is how many ms the cycle had run when this clock got time again after its end; it is 0
-- in nearly all cycles.

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

-- Recently decoded controls by their text. They only save work; a replica begins without them. There is room
-- for those of two large sessions whose participants all have controls of their own, which each call about
-- them would else decode anew.
local MOST_KNOWN = 2000
local known, known_count = {}, 0

-- The names of the members that the state's `clock` has for an owner with this control, in their order. There
-- are five at most.
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

-- What controls of a kind show in `clock`, by the kind's module and a number for the parts that a control
-- has: see view_of.
local views = {}

-- The view of a control: names, form and pattern, see decode; false when its `clock` is empty. Controls with
-- the same parts share it.
local function view_of(control)
  local of_kind = views[control.rule]
  if not of_kind then
    of_kind = {}
    views[control.rule] = of_kind
  end
  local parts = (control.moves and 2 or control.stage and 1 or 0) + (control.overtime > 0 and 3 or 0)
    + (control.gain > 0 and 6 or 0)
  local view = of_kind[parts]
  if view == nil then
    local names = list_view_names(control)
    view = #names > 0 and { names = names, form = '{"' .. table.concat(names, '":%d,"') .. '":%d}',
      pattern = '^{"' .. table.concat(names, '":(%d+),"') .. '":(%d+)}$' } or false
    of_kind[parts] = view
  end
  return view
end

-- A control without stages, or one stage, whose moves and time are given. first, second, third: its numbers
-- as text, '' for one that is left out.
-- The table is made with room for all that a control has: to let it grow would cost more than all else here.
local function new_control(kind, first, second, third, overtime, gain, stage, moves, time)
  local rule = KINDS[kind]
  local control = { rule = rule, overtime = overtime, gain = gain, endless = rule.ENDLESS, stage = stage,
    moves = moves, time = time, view_names = nil, form = nil, pattern = nil, following = nil, stages = nil }
  local names = rule.NUMBERS
  if names[1] then
    control[names[1]] = first + 0
    if names[2] then
      control[names[2]] = second + 0
      if names[3] then
        control[names[3]] = tonumber(third) or 0
      end
    end
  end
  local view = view_of(control)
  if view then
    control.view_names, control.form, control.pattern = view.names, view.form, view.pattern
  end
  return control
end

-- Decodes the text of a control, `<kind> <numbers> [+<overtime ms>] [~<lag gain ms>]`, for example
-- `fischer 2000 0 +5000`. A control has
--
--   <name>            each of its numbers
--   rule endless      the module of its kind; true for a clock without end
--   overtime gain     ms, 0 for none
--   view_names        the names of the members of `clock`; nil when that is empty
--   form pattern      to write and to read the JSON of `clock`
--
-- For a control with stages the result is the first stage, and its `stages` is the list of all. Owners share
-- the result: do not change it.
local function decode(text)
  local control = known[text]
  if control then
    return control
  end
  -- To look for a character costs far less than to look for a pattern.
  local overtime = text:find('+', 1, true) and tonumber(text:match('%+(%d+)')) or 0
  local gain = text:find('~', 1, true) and tonumber(text:match('~(%d+)')) or 0
  if text:sub(1, 7) == 'stages ' then
    local stages = controls_stages.parse(text, overtime, gain, new_control)
    control = stages[1]
    control.stages = stages
  else
    local kind, first, second, third = text:match('^(%l+) (%d+) ?(%d*) ?(%d*)')
    control = new_control(kind, first, second, third, overtime, gain)
  end
  if known_count >= MOST_KNOWN then
    known, known_count = {}, 0
  end
  known[text], known_count = control, known_count + 1
  return control
end

-- The JSON of the state's `clock` of an owner, as it was when the cycle began.
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

-- The same with the member `now`: what `clock` would be if the cycle ended at this moment, after `used` ms.
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

-- Reads the counters of an owner from its `clock`. With stages this also sets its control to its present
-- stage. Returns false when the clock is not that of its control.
local function decode_counters(owner)
  local control, text = owner.control, owner.clock
  if control.stages then
    control = control.stages[text:match(STAGE) + 1]
    owner.control = control
  end
  local names = control.view_names
  local first, second, third, fourth, fifth = text:match(control.pattern)
  if not first then
    return false
  end
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
  return true
end

-- Sets the bank and up to two counters of an owner.
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

-- Puts an owner into a stage, or under a control without stages, with fresh counters.
local function enter(owner, control)
  owner.control = control
  owner.stage, owner.moves_left = control.stage, control.moves
  if control.rule.COUNTERS then
    set_bank(owner, owner.bank, control.rule.fresh(control))
  end
end

-- Gives a new owner its bank (ms) and its control, which is text.
local function begin(owner, text, bank)
  owner.bank = bank
  enter(owner, decode(text))
end

-- Whether a clock that begins with so many ms in its bank has any time in its first cycle. text: its control.
local function has_time(text, bank)
  local owner = {}
  begin(owner, text, bank)
  return owner.control.rule.budget(owner, 0) + owner.control.overtime > 0
end

-- Charges a cycle without a credit.
local function charge(owner, used, offset)
  set_bank(owner, owner.control.rule.charged(owner, used, offset))
end

-- Charges a cycle that ended in time, adds the credit of the control, and counts the move. After the last
-- move of a stage the next one begins.
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

-- How many of the used ms came out of an owner's bank. They may be more than the bank had: the rest came out
-- of periods, the block or the overtime.
local function drawn(owner, used, offset)
  local own = owner.control.rule.drawn
  return own and own(owner, used, offset) or used
end

local ZERO = 48 -- the byte 0

-- Whether decimal digits, or none, are a number without leading zeros, with so many digits at most.
local function is_number(digits, most)
  return #digits <= most and (digits:byte() ~= ZERO or #digits == 1)
end

-- Whether a text has the numbers that `pack` of this kind gives.
local function are_numbers(kind, text)
  local rule = KINDS[kind]
  if not rule then
    return false
  end
  local most, count = rule.DIGITS, 0
  local least = #most - (rule.OPTIONAL or 0)
  if text:find('[^%d ]') then
    return false
  end
  for digits in (text .. ' '):gmatch('(%d*) ') do
    count = count + 1
    if digits == '' or count > #most or not is_number(digits, most[count])
      or (count > least and digits == '0') then
      return false
    end
  end
  return count >= least
end

-- Whether a text is a list of stages, see controls/stages.lua.
local function are_stages(text)
  local count, last, from = 0, false, 1
  while not last do
    local moves, time, kind, numbers, stop = text:match('^(%d+)/(%d+)/(%l+) ([%d ]*)()', from)
    if not moves or not (is_number(moves, 4) and is_number(time, bounds.MOST_DIGITS)
      and are_numbers(kind, numbers)) or KINDS[kind].BANK or (kind == 'canadian' and moves ~= '0') then
      return false
    end
    count, last = count + 1, stop > #text
    if not last and (moves == '0' or text:sub(stop, stop) ~= '|') then
      return false
    end
    from = stop + 1
  end
  return count <= controls_stages.MOST_STAGES
end

-- Whether a text is a control as the hash stores it, see decode.
local function is_packed(text)
  local body, overtime, gain = text, '', ''
  if text:find('~', 1, true) then
    body, gain = text:match('^(.*) ~(%d+)$')
  end
  if body and body:find('+', 1, true) then
    body, overtime = body:match('^(.*) %+(%d+)$')
  end
  local kind, numbers = (body or ''):match('^(%l+) (.*)$')
  if not kind or not (is_number(overtime, bounds.MOST_DIGITS) and is_number(gain, 4)) then
    return false
  elseif kind == 'stages' then
    return are_stages(numbers)
  end
  return are_numbers(kind, numbers) and not (KINDS[kind].BANK and (gain ~= '' or overtime ~= ''))
end

-- Whether the counters of an owner are within their bounds.
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

-- Whether a text can be the `clock` of an owner with this control and this bank.
local function is_view(text, control, bank)
  local owner = { bank = bank, clock = text, control = control }
  if control.stages then
    local stage = text:match(STAGE)
    control = stage and control.stages[stage + 1]
  end
  return control ~= nil and decode_counters(owner) and view(owner) == text and is_within(owner, control)
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
  has_time = has_time,
  charge = charge,
  charge_and_credit = charge_and_credit,
  drawn = drawn,
}
