"""Routes that change what a session does: start, pause, resume, complete, cancel, the switch, corrections."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import msgspec

from synckairos.api import limits, replies, schemas
from synckairos.api.inputs import MAX_PATCH, Reader
from synckairos.api.replies import Reply
from synckairos.api.request import ApiRequest
from synckairos.api.route import Route
from synckairos.api.routes.common import CHANGE_ERRORS, SESSION, changed
from synckairos.auth.access import Action
from synckairos.core.calls import Sessions
from synckairos.core.model import Change, Options
from synckairos.errors import (
    Forbidden,
    ParticipantExpired,
    ParticipantNotFound,
    QuotaExceeded,
    SyncKairosError,
)

B = TypeVar("B", bound=schemas.Body)


async def switch_cycle(request: ApiRequest, session_id: str) -> Reply:
    """End the running cycle and start the next one."""
    session_id, body, options = _read(request, session_id, schemas.SwitchBody)
    change = await limits.switch(
        request,
        session_id,
        next=body.next_participant_id,
        current=body.current_participant_id,
        options=options,
    )
    return changed(change, options)


async def pause_session(request: ApiRequest, session_id: str) -> Reply:
    """Pause. A pause that does not count is for those who may pause whoever's turn it is."""
    session_id, body, options = _read(request, session_id, schemas.PauseBody)
    if body.counted is False and options.player is not None:
        raise Forbidden("a player may not make a pause that does not count")
    change = await request.context.sessions.pause(session_id, options, counted=body.counted is not False)
    return await _state_after(request, session_id, change, options)


async def takeback_turns(request: ApiRequest, session_id: str) -> Reply:
    """Undo the last turns."""
    session_id, body, options = _read(request, session_id, schemas.TakebackBody)
    return changed(await request.context.sessions.takeback(session_id, body.turns, options), options)


async def set_turn(request: ApiRequest, session_id: str) -> Reply:
    """Say whose turn it is."""
    session_id, body, options = _read(request, session_id, schemas.TurnBody)
    assert body.active_participant_id is not None
    change = await request.context.sessions.turn(session_id, body.active_participant_id, options)
    return changed(change, options)


async def reopen_session(request: ApiRequest, session_id: str) -> Reply:
    """Let a session that is over go on."""
    return await _begin_again(request, session_id, Sessions.reopen)


async def reset_session(request: ApiRequest, session_id: str) -> Reply:
    """Begin a session again, as its config has it."""
    return await _begin_again(request, session_id, Sessions.reset)


async def _begin_again(request: ApiRequest, session_id: str, call: Callable[..., Awaitable[Change]]) -> Reply:
    """Make a change after which a session that was over is live, and counts as such."""
    session_id, _, options = _read(request, session_id, schemas.TransitionBody)
    sessions = request.context.sessions
    async with request.context.quotas.revival(options.tenant, session_id, sessions):
        change = await call(sessions, session_id, options)
    return changed(change, options)


async def schedule_session(request: ApiRequest, session_id: str) -> Reply:
    """Say when a session starts and ends by itself."""
    session_id, body, options = _read(request, session_id, schemas.ScheduleBody)
    starts, ends = body.starts_at_ms, body.ends_at_ms
    change = await request.context.sessions.schedule(
        session_id,
        starts_at_ms="same" if isinstance(starts, msgspec.UnsetType) else starts,
        ends_at_ms="same" if isinstance(ends, msgspec.UnsetType) else ends,
        options=options,
    )
    return changed(change, options)


async def patch_metadata(request: ApiRequest, session_id: str) -> Reply:
    """Change the metadata. The library judges the patch, which reaches it as the text that came."""
    reader = Reader(request)
    session_id = reader.session_id(session_id)
    reader.query(schemas.NoQuery)
    fields = await reader.object(MAX_PATCH)
    given = dict(fields or {})
    patch = given.pop("metadata", None)
    options = reader.options(reader.fields(schemas.TransitionBody, given))
    if fields is not None and patch is None:
        reader.problem("metadata", "is required")
    reader.check()
    assert patch is not None
    change = await request.context.sessions.patch_metadata(session_id, bytes(patch), options)
    return replies.nothing() if change is None else changed(change, options)


async def _transition(
    request: ApiRequest, session_id: str, *, call: Callable[..., Awaitable[Change]]
) -> Reply:
    """Make a change and answer with the state after it."""
    session_id, _, options = _read(request, session_id, schemas.TransitionBody)
    change = await call(request.context.sessions, session_id, options)
    return await _state_after(request, session_id, change, options)


async def _state_after(request: ApiRequest, session_id: str, change: Change, options: Options) -> Reply:
    state = await request.context.sessions.get(session_id, options.tenant)
    replayed = options.request is not None and change.replayed
    return replies.state(state, after=change.version, replayed=replayed)


def _read(request: ApiRequest, session_id: str, kind: type[B]) -> tuple[str, B, Options]:
    """The session's id, the body, and the options of a change. Raises ValidationError."""
    reader = Reader(request)
    session_id = reader.session_id(session_id)
    reader.query(schemas.NoQuery)
    body = reader.body(kind)
    options = reader.options(body)
    reader.check()
    return session_id, body, options


def _named(name: str, call: Callable[..., Awaitable[Change]]) -> Callable[..., Awaitable[Reply]]:
    handler = partial(_transition, call=call)
    handler.__name__ = name  # type: ignore[attr-defined]
    return handler


_TRANSITIONS = (
    ("start", Sessions.start, "Start: pending to running"),
    ("resume", Sessions.resume, "Resume: paused to running"),
    ("complete", Sessions.complete, "Complete"),
    ("cancel", Sessions.cancel, "Cancel"),
)


def _correction(
    method: str,
    path: str,
    handler: Callable[..., Awaitable[Reply]],
    summary: str,
    action: Action,
    *,
    body: type[schemas.Body] = schemas.TransitionBody,
    body_required: bool = False,
    errors: tuple[type[SyncKairosError], ...] = (),
) -> Route:
    """A route that is answered with the change."""
    return Route(
        method,
        f"{SESSION}/{path}",
        handler,
        summary,
        "transitions",
        reply=schemas.ChangeDocument,
        body=body,
        body_required=body_required,
        conditional=True,
        idempotent=True,
        errors=(*CHANGE_ERRORS, *errors),
        action=action,
    )


ROUTES: tuple[Route, ...] = (
    *(
        Route(
            "POST",
            f"{SESSION}/{name}",
            _named(f"{name}_session", call),
            summary,
            "transitions",
            reply=schemas.StateDocument,
            body=schemas.TransitionBody,
            conditional=True,
            idempotent=True,
            errors=CHANGE_ERRORS,
            action=Action(name),
        )
        for name, call, summary in _TRANSITIONS
    ),
    Route(
        "POST",
        f"{SESSION}/switch",
        switch_cycle,
        "Switch to the next participant",
        "transitions",
        reply=schemas.ChangeDocument,
        body=schemas.SwitchBody,
        conditional=True,
        idempotent=True,
        errors=(*CHANGE_ERRORS, ParticipantExpired, ParticipantNotFound),
        action=Action.SWITCH,
    ),
    Route(
        "POST",
        f"{SESSION}/pause",
        pause_session,
        "Pause: running to paused",
        "transitions",
        reply=schemas.StateDocument,
        body=schemas.PauseBody,
        conditional=True,
        idempotent=True,
        errors=CHANGE_ERRORS,
        action=Action.PAUSE,
    ),
    _correction(
        "POST",
        "takeback",
        takeback_turns,
        "Undo the last turns",
        Action.TAKEBACK,
        body=schemas.TakebackBody,
    ),
    _correction(
        "PATCH",
        "turn",
        set_turn,
        "Say whose turn it is: pending or paused",
        Action.TURN,
        body=schemas.TurnBody,
        body_required=True,
        errors=(ParticipantExpired, ParticipantNotFound),
    ),
    _correction(
        "POST",
        "reopen",
        reopen_session,
        "Reopen: a session that is over is paused again",
        Action.REOPEN,
        errors=(QuotaExceeded,),
    ),
    _correction(
        "POST",
        "reset",
        reset_session,
        "Reset: pending again, as the config has it",
        Action.RESET,
        errors=(QuotaExceeded,),
    ),
    _correction(
        "PATCH",
        "schedule",
        schedule_session,
        "Say when the session starts and ends by itself",
        Action.SCHEDULE,
        body=schemas.ScheduleBody,
        body_required=True,
    ),
    Route(
        "PATCH",
        f"{SESSION}/metadata",
        patch_metadata,
        "Change the metadata by a merge patch, in any status",
        "transitions",
        reply=schemas.MetadataDocument,
        body=schemas.MetadataBody,
        largest=MAX_PATCH,
        body_required=True,
        conditional=True,
        idempotent=True,
        errors=CHANGE_ERRORS,
        action=Action.METADATA,
    ),
)
