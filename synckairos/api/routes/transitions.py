"""Routes that change what a session does: start, pause, resume, complete, cancel, and the switch."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from synckairos.api import limits, replies, schemas
from synckairos.api.inputs import Reader
from synckairos.api.replies import Reply
from synckairos.api.request import ApiRequest
from synckairos.api.route import Route
from synckairos.api.routes.common import CHANGE_ERRORS, SESSION, changed
from synckairos.auth.access import Action
from synckairos.core.calls import Sessions
from synckairos.core.model import Change
from synckairos.errors import (
    ParticipantExpired,
    ParticipantNotFound,
)


async def switch_cycle(request: ApiRequest, session_id: str) -> Reply:
    """End the running cycle and start the next one."""
    reader = Reader(request)
    session_id = reader.session_id(session_id)
    reader.query(schemas.NoQuery)
    body = reader.body(schemas.SwitchBody)
    options = reader.options(body)
    reader.check()
    change = await limits.switch(
        request,
        session_id,
        next=body.next_participant_id,
        current=body.current_participant_id,
        options=options,
    )
    return changed(change, options)


async def _transition(
    request: ApiRequest, session_id: str, *, call: Callable[..., Awaitable[Change]]
) -> Reply:
    """Make a change and answer with the state after it."""
    reader = Reader(request)
    session_id = reader.session_id(session_id)
    reader.query(schemas.NoQuery)
    options = reader.options(reader.body(schemas.TransitionBody))
    reader.check()
    sessions = request.context.sessions
    change = await call(sessions, session_id, options)
    state = await sessions.get(session_id, options.tenant)
    return replies.state(state, replayed=options.request is not None and change.replayed)


def _named(name: str, call: Callable[..., Awaitable[Change]]) -> Callable[..., Awaitable[Reply]]:
    handler = partial(_transition, call=call)
    handler.__name__ = name  # type: ignore[attr-defined]
    return handler


_TRANSITIONS = (
    ("start", Sessions.start, "Start: pending to running"),
    ("pause", Sessions.pause, "Pause: running to paused"),
    ("resume", Sessions.resume, "Resume: paused to running"),
    ("complete", Sessions.complete, "Complete"),
    ("cancel", Sessions.cancel, "Cancel"),
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
)
