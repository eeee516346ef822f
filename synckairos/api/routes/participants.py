"""Routes with which participants join and leave."""

from __future__ import annotations

import uuid
from http import HTTPStatus
from typing import Any

import msgspec

from synckairos.api import configs, schemas
from synckairos.api.inputs import MAX_PARTICIPANT, Reader
from synckairos.api.replies import Reply
from synckairos.api.request import ApiRequest
from synckairos.api.route import Route
from synckairos.api.routes.common import CHANGE_ERRORS, SESSION, changed
from synckairos.auth.access import Action
from synckairos.core.calls import Sessions
from synckairos.errors import (
    ParticipantNotFound,
    SessionNotFound,
    ValidationError,
)


async def join_session(request: ApiRequest, session_id: str) -> Reply:
    """Add a participant."""
    reader = Reader(request)
    session_id = reader.session_id(session_id)
    reader.query(schemas.NoQuery)
    participant = await reader.object(MAX_PARTICIPANT)
    options = reader.options(_conditions(reader, participant or {}))
    reader.problems += configs.unknown_of_participant(participant or {})
    sessions = request.context.sessions
    if reader.problems and participant is not None:
        reader.problems += await _validate_participant(request.context.redis_sessions, participant)
    reader.check()
    assert participant is not None
    async with request.context.quotas.joining(options.tenant, session_id):
        change = await sessions.join(session_id, configs.encoded(participant), options)
    if change.replayed:  # it was counted the first time
        await request.context.quotas.left(options.tenant, session_id)
    return changed(change, options, HTTPStatus.CREATED)


async def leave_session(request: ApiRequest, session_id: str, participant_id: str) -> Reply:
    """Remove a participant."""
    reader = Reader(request)
    session_id = reader.session_id(session_id)
    participant_id = reader.id("participant_id", participant_id)
    reader.query(schemas.NoQuery)
    options = reader.options(reader.body(schemas.TransitionBody))
    reader.check()
    sessions = request.context.sessions
    change = await sessions.leave(session_id, participant_id, options)
    if not change.replayed:
        await request.context.quotas.left(options.tenant, session_id)
    return changed(change, options)


def _conditions(reader: Reader, participant: dict[str, msgspec.Raw]) -> schemas.TransitionBody:
    """Take `expected_version` out of the body, because it belongs to the call and not to the participant."""
    if "expected_version" not in participant:
        return schemas.TransitionBody()
    return reader.fields(schemas.TransitionBody, {"expected_version": participant.pop("expected_version")})


async def _validate_participant(sessions: Sessions, participant: dict[str, msgspec.Raw]) -> list[Any]:
    """The problems that the library finds in a participant.

    The session of this call does not exist, but the library checks the arguments before it notices that.
    """
    try:
        await sessions.join(str(uuid.uuid4()), configs.encoded(participant))
    except ValidationError as error:
        return error.details
    except SessionNotFound:
        pass
    return []


ROUTES: tuple[Route, ...] = (
    Route(
        "POST",
        f"{SESSION}/participants",
        join_session,
        "Add a participant",
        "participants",
        reply=schemas.ChangeDocument,
        status=HTTPStatus.CREATED,
        body=schemas.JoinBody,
        largest=MAX_PARTICIPANT,
        body_required=True,
        conditional=True,
        idempotent=True,
        errors=(*CHANGE_ERRORS, ParticipantNotFound),
        action=Action.ADD,
    ),
    Route(
        "DELETE",
        f"{SESSION}/participants/{{participant_id}}",
        leave_session,
        "Remove a participant",
        "participants",
        reply=schemas.ChangeDocument,
        body=schemas.TransitionBody,
        conditional=True,
        idempotent=True,
        errors=(*CHANGE_ERRORS, ParticipantNotFound),
        action=Action.REMOVE,
    ),
)
