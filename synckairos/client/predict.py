"""Predicts the effect of this client's commands, so that it can be shown before the service confirms it.

None: there is no prediction, and the confirmed state is shown until the service answers. A prediction is
exact except for the credit of lag compensation, and for the moment at which the service gets the command.
"""

from __future__ import annotations

from msgspec.structs import replace

from synckairos.client.model import (
    Change,
    ClockDetails,
    Owner,
    Participant,
    Payload,
    State,
    TimeControl,
    timestamp,
)
from synckairos.client.view import (
    NO_DETAILS,
    View,
    beyond,
    charge,
    control_of,
    extra_budget,
    merged,
    owned_by,
    rule_of,
    running_owner,
    view_at,
    with_entries,
)


def paused(view: View, now: float, *, counted: bool = True) -> View | None:
    """The view after a pause at this server time. counted: whether it is one of those that are bounded."""
    was = _at(view, now)
    state = was.state
    if state.status != "running" or _is_due(state):
        return None
    pauses, left = state.pauses_left, state.pause_remaining_ms
    bounds = [state.max_pause_ms]
    if counted:
        if pauses == 0 or left == 0:
            return None  # the service refuses it
        bounds.append(left)
    longest = min((bound for bound in bounds if bound is not None), default=None)
    payload = _payload(
        state,
        "session.paused",
        status="paused",
        resumes_at_ms=None if longest is None else state.server_time_ms + longest,
        counted=None if counted else False,
    )
    return _predicted(was, payload)


def resumed(view: View, now: float) -> View | None:
    """The view after a resume at this server time."""
    was = _at(view, now)
    state = was.state
    now = state.server_time_ms
    if state.status != "paused" or _is_due(state):
        return None
    if was.cycle.flagged and state.action_on_timeout.get("type") != "notify":
        return None  # after a reopen, onto a clock that is out of time: the service refuses it
    ends = None
    if was.cycle.flagged:
        ends = state.total_remaining_ms
    elif state.time_remaining_ms is not None:
        ends = state.time_remaining_ms + control_of(state, running_owner(state)).overtime_ms
    payload = _payload(
        state,
        "session.resumed",
        cycle_started_at=timestamp(now - (state.cycle_elapsed_ms or 0)),
        deadline_ms=None if ends is None else now + ends,
    )
    return _predicted(was, payload)


def switched(view: View, now: float, next_id: str | None = None) -> View | None:
    """The view after a switch at this server time, to `next_id` or to the next in rotation."""
    was = _at(view, now)
    state = was.state
    active = state.active
    if state.status != "running" or active is None or _is_due(state):
        return None
    following = _next_in_turn(was, active) if next_id is None else state.participant(next_id)
    if following is None or (next_id is not None and _is_out(state, following)):
        return None
    if state.max_cycles is not None and state.cycle_count + 1 >= state.max_cycles:
        return _completed(was, active)
    entries = _ended(was, active)
    left, ends = _begun(was, following, entries)
    for entry in _accounts(state, following):
        entries[entry.id] = replace(entries.get(entry.id, entry), is_active=True)
    shown = with_entries(state, entries)
    payload = _payload(
        state,
        "cycle.switched",
        active_participant_id=following.participant_id,
        active_group_id=following.group_id,
        cycle_started_at=timestamp(state.server_time_ms),
        deadline_ms=ends,
        time_remaining_ms=left,
        cycle_count=state.cycle_count + 1,
        participants=tuple(entry for entry in shown.participants if entry.id in entries),
        groups=tuple(entry for entry in shown.groups if entry.id in entries),
    )
    return _predicted(was, payload)


def _completed(was: View, active: Participant) -> View:
    """The view after the switch that ends the last cycle of a session with `max_cycles`."""
    state = was.state
    entries = _ended(was, active, credited=False)
    shown = with_entries(state, entries)
    payload = _payload(
        state,
        "session.completed",
        status="completed",
        reason="auto",
        active_participant_id=None,
        active_group_id=None,
        time_remaining_ms=None,
        cycle_count=state.cycle_count + 1,
        participants=tuple(entry for entry in shown.participants if entry.id in entries),
        groups=tuple(entry for entry in shown.groups if entry.id in entries),
    )
    return _predicted(was, payload)


def _ended(was: View, active: Participant, *, credited: bool = True) -> dict[str, Owner]:
    """The entries (by id) of the active participant and its group after the cycle, charged and credited.

    credited: False for the cycle with which the session ends: then it is only charged
    """
    state, cycle = was
    used, holder = charge(was), running_owner(state)
    entries: dict[str, Owner] = {}
    for entry in _accounts(state, active):
        after = entry
        if holder is not None and entry.id == holder.id and not cycle.flagged:
            after = _after_cycle(state, entry, used, cycle.offset, credited=credited)
        after = replace(after, time_used_ms=entry.time_used_ms + used, cycle_count=entry.cycle_count + 1)
        entries[entry.id] = _waiting(state, after)
    return entries


def _begun(was: View, following: Participant, entries: dict[str, Owner]) -> tuple[int | None, int | None]:
    """The time left at the beginning of the next cycle, and its deadline. Puts the owner into `entries`."""
    state, cycle = was
    now, by = state.server_time_ms, owned_by(state)
    if by == "session":
        return state.time_remaining_ms, state.deadline_ms
    if by == "cycle":
        left = state.time_per_cycle_ms or 0
        if state.total_remaining_ms is not None:
            left = min(left, state.total_remaining_ms)
        return left, now + left
    begins = _accounts(state, following)[0 if by == "participant" else -1]
    begins = entries.get(begins.id, begins)
    holder = running_owner(state)
    is_hourglass = holder is not None and rule_of(control_of(state, holder), holder.clock).kind == "hourglass"
    if is_hourglass and begins.total_time_ms is not None:
        transferred_ms = cycle.spent + charge(was)
        bank = begins.total_time_ms + transferred_ms
        begins = replace(begins, total_time_ms=bank, has_expired=begins.has_expired and not transferred_ms)
    begins = entries[begins.id] = _waiting(state, begins)
    left_of_it = begins.time_remaining_ms
    if left_of_it is None or begins.has_expired:
        return left_of_it, None
    return left_of_it, now + left_of_it + control_of(state, begins).overtime_ms


def _at(view: View, now: float) -> View:
    return view_at(view, round(now))


def _payload(state: State, event: str, **fields: object) -> Payload:
    """A payload with the current values of the cycle, except for these fields."""
    payload = Payload(
        event=event,
        status="running",
        active_participant_id=state.active_participant_id,
        active_group_id=state.active_group_id,
        time_remaining_ms=state.time_remaining_ms,
        total_remaining_ms=state.total_remaining_ms,
        cycle_count=state.cycle_count,
    )
    return replace(payload, **fields)


def _predicted(view: View, payload: Payload) -> View:
    """The view after a predicted payload. Its version is still the confirmed one."""
    state = view.state
    change = Change(
        type="STATE_UPDATE",
        session_id=state.session_id,
        version=state.version,
        epoch=state.epoch,
        server_time_ms=state.server_time_ms,
        payload=payload,
    )
    return merged(view, change)


def _is_due(state: State) -> bool:
    """Whether something is due that the service will do instead of the command: an expiry, or an end."""
    due = (state.deadline_ms, state.resumes_at_ms, state.ends_at_ms)
    return any(instant is not None and state.server_time_ms >= instant for instant in due)


def _is_out(state: State, participant: Participant) -> bool:
    if state.action_on_timeout.get("type") == "notify":
        return False
    match owned_by(state):
        case "participant":
            return participant.has_expired
        case "group":
            group = state.group(participant.group_id or "")
            return group is not None and group.has_expired
    return False


def _next_in_turn(view: View, active: Participant) -> Participant | None:
    """The participant who is next in rotation; None if all others are out of time."""
    state, cycle = view
    if owned_by(state) != "group":
        return _after([p for p in state.participants if not _is_out(state, p)], active.participant_index)
    # A group has its turn at the lowest index of its members.
    firsts: dict[str | None, Participant] = {}
    for member in state.participants:
        firsts.setdefault(member.group_id, member)
    place = firsts[active.group_id].participant_index
    first = _after([f for f in firsts.values() if not _is_out(state, f)], place)
    if first is None:
        return None
    members = [member for member in state.participants if member.group_id == first.group_id]
    last = cycle.last.get(first.group_id or "")
    if last is not None:
        return _after(members, last)
    # The member who was active last is not known, because that was before this client came. If the members
    # took turns, it is the turn of the one with the fewest cycles.
    return min(members, key=lambda member: member.cycle_count)


def _after(candidates: list[Participant], index: int) -> Participant | None:
    later = [one for one in candidates if one.participant_index > index]
    return next(iter(later or candidates), None)


def _accounts(state: State, participant: Participant) -> list[Owner]:
    """The participant, followed by its group if it has one."""
    group = state.group(participant.group_id or "")
    return [participant] if group is None else [participant, group]


def _waiting(state: State, owner: Owner) -> Owner:
    """An entry while it waits for its next cycle."""
    details = None if owner.clock is None else replace(owner.clock, now=None)
    bank, left = owner.total_time_ms, owner.time_remaining_ms
    if bank is not None and details is not None:
        more = extra_budget(rule_of(control_of(state, owner), details), details)
        left = min(bank, 0) if owner.has_expired else bank + more
        if details.overtime_used_ms is not None:
            details = replace(details, overtime_used_ms=max(0, -bank))
    return replace(owner, is_active=False, time_remaining_ms=left, clock=details)


def _after_cycle(state: State, owner: Owner, used: int, offset: int, *, credited: bool) -> Owner:
    """An owner after a cycle that ended in time and used `used` ms, with credits and the count of moves."""
    if owner.total_time_ms is None:
        return owner
    control = control_of(state, owner)
    details = replace(owner.clock or NO_DETAILS, now=None)
    rule = rule_of(control, details)
    bank, details = _charged(rule, (owner.total_time_ms, details), used, offset)
    if not credited:
        return replace(owner, total_time_ms=bank, clock=details)
    bank, details = _credited(state, rule, (bank, details), used)
    if control.stages and rule.moves is not None and rule.kind != "canadian":
        left = (details.moves_left or 1) - 1
        details = replace(details, moves_left=left)
        if left == 0:
            # The last stage has a number of moves only where it repeats.
            stage = min((details.stage or 0) + 1, len(control.stages) - 1)
            following = control.stages[stage]
            bank += following.time_ms or 0
            details = _fresh(following, replace(details, stage=stage))
    return replace(owner, total_time_ms=bank, clock=details)


def _credited(
    state: State, rule: TimeControl, charged: tuple[int, ClockDetails], used: int
) -> tuple[int, ClockDetails]:
    """The bank and the details of a clock that was charged, with what this rule gives at a cycle's end."""
    rest, details = charged
    match rule.kind:
        case "fischer":
            increment = state.increment_ms if rule.increment_ms is None else rule.increment_ms
            most = state.max_time_ms
            return rest + increment if most is None else min(rest + increment, max(rest, most)), details
        case "bronstein":
            return rest + min(used, rule.delay_ms or 0), details
        case "byoyomi" if rest > 0:
            return rest + (rule.increment_ms or 0), details
        case "canadian" if rest <= 0:
            moves = details.moves_left or 1
            if moves > 1:
                return rest, replace(details, moves_left=moves - 1)
            return rest, replace(details, moves_left=rule.moves, block_remaining_ms=rule.period_ms)
    return rest, details


def _charged(
    rule: TimeControl, before: tuple[int, ClockDetails], used: int, offset: int
) -> tuple[int, ClockDetails]:
    """The bank and the details of a clock that was charged for a cycle by this rule."""
    bank, details = before
    rest = bank - used
    match rule.kind:
        case "delay":
            return bank - max(0, used - extra_budget(rule, details, offset)), details
        case "byoyomi":
            over, periods, length = beyond(bank, used), details.periods_left or 0, rule.period_ms or 1
            rest = max(rest, min(bank, 0)) if not over else min(bank, 0) - max(0, over - periods * length)
            return rest, replace(details, periods_left=max(0, periods - over // length))
        case "canadian":
            over = beyond(bank, used)
            block = (details.block_remaining_ms or 0) - over
            rest = max(rest, min(bank, 0)) if not over else min(bank, 0) + min(block, 0)
            return rest, replace(details, block_remaining_ms=max(0, block))
    return rest, details


def _fresh(rule: TimeControl, details: ClockDetails) -> ClockDetails:
    """The details of a clock at the beginning of a stage."""
    canadian = rule.kind == "canadian"
    return replace(
        details,
        moves_left=rule.moves,
        periods_left=rule.periods if rule.kind == "byoyomi" else None,
        block_remaining_ms=rule.period_ms if canadian else None,
    )
