"""Routes that read a session's events, as JSON and as a picture."""

from __future__ import annotations

import asyncio

import msgspec

from synckairos.api import schemas
from synckairos.api.inputs import Reader
from synckairos.api.replies import Reply
from synckairos.api.request import ApiRequest
from synckairos.api.route import Route
from synckairos.api.routes.common import READ_ERRORS, SESSION, audit_store
from synckairos.audit import reading, timeline
from synckairos.auth import access
from synckairos.auth.access import Action
from synckairos.core.model import Envelope, Over
from synckairos.realtime.messages import without_actor

_decode_envelope = msgspec.json.Decoder(Envelope).decode

_POLICY_OF_PICTURES = "default-src 'none'; style-src 'unsafe-inline'"


async def get_events(request: ApiRequest, session_id: str) -> Reply:
    """The session's events after a version, oldest first."""
    reader = Reader(request)
    session_id = reader.session_id(session_id)
    since = reader.query(schemas.EventsQuery).since
    reader.check()
    sessions = request.context.sessions
    tenant = request.caller.tenant
    found = await sessions.log(session_id, since, tenant=tenant)
    if found is None:
        state = await sessions.summary(session_id, tenant)
        _check_since(reader, since, state.version)
        if not isinstance(state, Over):
            # The session may have come to `since` only now, and then its log has all that is newer.
            found = await sessions.log(session_id, since, tenant=tenant)
    if found is not None:
        return _events(request, found[: reading.MAX_EVENTS], since)
    store = audit_store(
        request,
        "events so old are in the audit store, and this service has none",
        {"since": since, "version": state.version},
    )
    return _events(request, await reading.events(sessions, store, state, since), since)


async def get_timeline(request: ApiRequest, session_id: str) -> Reply:
    """A picture of the session's events after a version: who had the clock when.

    The events come from Redis and from the audit store. One of the two may be away.
    """
    context = request.context
    # The picture works without Redis, which is not waited for a second time.
    sessions = context.sessions if request.storage_away is None else None
    reader = Reader(request)
    session_id = reader.session_id(session_id)
    since = reader.query(schemas.EventsQuery).since
    reader.check()
    # Thousands of bars take tenths of a second, during which this process would do nothing else. Threads
    # share the interpreter, so one picture is drawn at a time, and the events of one are in memory.
    async with context.drawing:
        history = await reading.history(
            sessions,
            context.store,
            session_id,
            since,
            timeline.MAX_EVENTS,
            tenant=request.caller.tenant,
        )
        _check_since(reader, since, history.version)
        picture = await asyncio.to_thread(
            lambda: timeline.draw(
                timeline.follow(history.events, history.now), session_id, history.version, history.metadata
            )
        )
    reply = Reply(picture, content_type="image/svg+xml")
    reply.headers["content-security-policy"] = _POLICY_OF_PICTURES
    return reply


def _check_since(reader: Reader, since: int, version: int) -> None:
    if since > version:
        reader.problem("since", f"must be at most the session's version, {version}")
    reader.check()


def _events(request: ApiRequest, found: list[bytes], since: int) -> Reply:
    newest = _decode_envelope(found[-1]).version if found else since
    if not access.sees_actors(request.caller):
        found = [without_actor(event) for event in found]
    return Reply(b'{"data":{"events":[%b],"next_since":%d}}' % (b",".join(found), newest))


ROUTES: tuple[Route, ...] = (
    Route(
        "GET",
        f"{SESSION}/events",
        get_events,
        "Read a session's events after a version",
        "sessions",
        reply=schemas.EventsDocument,
        query=schemas.EventsQuery,
        errors=READ_ERRORS,
        action=Action.READ,
    ),
    Route(
        "GET",
        f"{SESSION}/timeline.svg",
        get_timeline,
        f"Draw who had the clock when, from the {timeline.MAX_EVENTS} events after a version",
        "sessions",
        content_type="image/svg+xml",
        query=schemas.EventsQuery,
        errors=READ_ERRORS,
        needs_redis=False,
        action=Action.READ,
    ),
)
