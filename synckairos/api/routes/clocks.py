"""Routes that set or move a clock: a participant's, a group's, the session's or the cycle's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from synckairos.api import replies, schemas
from synckairos.api.inputs import Reader
from synckairos.api.replies import Reply
from synckairos.api.request import ApiRequest
from synckairos.api.route import Route
from synckairos.api.routes.common import CHANGE_ERRORS, SESSION, changed
from synckairos.auth.access import Action
from synckairos.errors import (
    ParticipantNotFound,
)


async def adjust_participant(request: ApiRequest, session_id: str, participant_id: str) -> Reply:
    """Set or move a participant's clock."""
    return await _adjust(request, session_id, participant_id=participant_id)


async def adjust_group(request: ApiRequest, session_id: str, group_id: str) -> Reply:
    """Set or move a group's clock."""
    return await _adjust(request, session_id, group_id=group_id)


async def adjust_clock(request: ApiRequest, session_id: str) -> Reply:
    """Set or move the clock of the session or of the current cycle, or the total beside the cycles."""
    return await _adjust(
        request, session_id, kind=schemas.AdjustClockBody, short=schemas.ShortAdjustClockBody
    )


async def _adjust(
    request: ApiRequest,
    session_id: str,
    *,
    participant_id: str | None = None,
    group_id: str | None = None,
    kind: type[schemas.AdjustBody] = schemas.AdjustBody,
    short: type[schemas.AdjustBody] = schemas.ShortAdjustBody,
) -> Reply:
    reader = Reader(request)
    session_id = reader.session_id(session_id)
    if participant_id is not None:
        participant_id = reader.id("participant_id", participant_id)
    if group_id is not None:
        group_id = reader.id("group_id", group_id)
    reader.query(schemas.NoQuery)
    long = request.context.settings.long_clocks
    body = reader.body(kind if long else short)
    _say_bounds(reader, schemas.LONGEST_MS if long else schemas.DAY_MS)
    options = reader.options(body)
    reader.check()
    sessions = request.context.sessions
    change = await sessions.adjust(
        session_id,
        participant=participant_id,
        group=group_id,
        clock=body.clock if isinstance(body, schemas.AdjustClockBody) else None,
        set_ms=body.total_time_ms,
        add_ms=body.add_ms,
        within_ms=body.within_ms,
        reason=body.reason,
        options=options,
    )
    return replies.nothing() if change is None else changed(change, options)


def _say_bounds(reader: Reader, most: int) -> None:
    """Say with all problems of times what may be, which LONG_CLOCKS changes."""
    least = {"total_time_ms": 0, "add_ms": -most, "within_ms": 1}
    for problem in reader.problems:
        if problem["message"] == schemas.WHOLE_MS:
            problem["message"] += f" from {least[problem['field']]} to {most}"


def _adjustment(
    path: str,
    handler: Callable[..., Awaitable[Reply]],
    summary: str,
    body: type[schemas.AdjustBody] = schemas.AdjustBody,
) -> Route:
    return Route(
        "PATCH",
        f"{SESSION}/{path}",
        handler,
        summary,
        "clocks",
        reply=schemas.AdjustDocument,
        body=body,
        body_required=True,
        conditional=True,
        idempotent=True,
        errors=(*CHANGE_ERRORS, ParticipantNotFound),
        action=Action.ADJUST,
    )


ROUTES: tuple[Route, ...] = (
    _adjustment("participants/{participant_id}", adjust_participant, "Set or move a participant's clock"),
    _adjustment("groups/{group_id}", adjust_group, "Set or move a group's clock"),
    _adjustment(
        "clock",
        adjust_clock,
        "Set or move the clock of the session or the cycle, or the total beside the cycles",
        schemas.AdjustClockBody,
    ),
)
