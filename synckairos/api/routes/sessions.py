"""Routes of sessions: read the input, ask the rate limit, make one call, answer with its bytes."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from typing import Any

import msgspec

from synckairos import presets
from synckairos.api import limits, openapi, replies, schemas
from synckairos.api.inputs import MAX_CONFIG, MAX_PARTICIPANT, Reader, decoded
from synckairos.api.replies import Reply
from synckairos.api.request import ApiRequest
from synckairos.api.route import Route
from synckairos.audit import reading, timeline
from synckairos.audit.recovery import Recovery
from synckairos.audit.store import Store
from synckairos.core import keys
from synckairos.core.calls import Sessions
from synckairos.core.model import Change, Envelope, Options
from synckairos.errors import (
    ConcurrentModification,
    InvalidSessionState,
    ParticipantExpired,
    ParticipantNotFound,
    SessionExists,
    SessionNotFound,
    StorageUnavailable,
    SyncKairosError,
    ValidationError,
)

NO_AUDIT_RETRY_AFTER_MS = 60_000
USED_BEFORE_S = 0.5
"""How long a creation waits to hear whether its id was used before."""
_NAMESPACE = uuid.UUID("5f0c6c5e-6f0b-5c53-9d0a-3a6f4d7a2b10")
"""Of the session ids that are made from an `Idempotency-Key`."""

_decode_envelope = msgspec.json.Decoder(Envelope).decode


async def create_session(request: ApiRequest) -> Reply:
    """A new session."""
    await limits.take_per_subject(request, limits.CREATE)
    sessions: Sessions = request.app.ctx.sessions
    reader = Reader(request)
    reader.query(schemas.NoQuery)
    key = reader.request_key()
    config = await reader.object(MAX_CONFIG)
    complete = True
    if config is not None:
        config, complete = _filled_in(reader, config)
    caller = request.caller
    if reader.problems and config is not None:
        problems = await _judge_config(sessions, config)
        reader.problems += problems if complete else _of_what_is_given(config, problems)
    reader.check()
    assert config is not None
    options = Options(tenant=caller.tenant, actor=caller.subject, trace=request.trace_id, request=key)
    session_id = _id_for(config, caller.tenant, key)
    if key is not None or _given_id(config)[1] is not None:
        await _bring_back(request, session_id)
    created = await sessions.create(session_id, _text(config), options)
    # A repeat finds a session that may have gone on since; one that has not is the same answer once more.
    reply = replies.state(created, HTTPStatus.CREATED, replayed=key is not None and created.replayed)
    reply.headers["location"] = f"/v1/sessions/{created.session_id}"
    return reply


async def _bring_back(request: ApiRequest, session_id: str) -> None:
    """Under an id that was used before there may be a session that Redis has lost: it is not to be replaced.

    An audit store that is away keeps nobody from creating sessions.
    """
    recovery: Recovery | None = request.app.ctx.recovery
    if recovery is not None:
        with suppress(SessionNotFound, StorageUnavailable, TimeoutError):
            async with asyncio.timeout(USED_BEFORE_S):
                await recovery.find(session_id)


async def get_session(request: ApiRequest, session_id: str) -> Reply:
    """The session as it stands now."""
    await limits.take_per_subject(request, limits.reading(request.app.ctx.settings))
    reader = Reader(request)
    session_id = reader.session_id(session_id)
    reader.query(schemas.NoQuery)
    reader.check()
    state = await request.app.ctx.sessions.get(session_id, request.caller.tenant)
    if _none_match(request, replies.etag(state)):
        return Reply(status=HTTPStatus.NOT_MODIFIED, headers={"etag": replies.etag(state)})
    reply = replies.state(state)
    reply.headers["cache-control"] = "no-cache"
    return reply


async def list_sessions(request: ApiRequest) -> Reply:
    """The tenant's sessions, newest first. They are listed from the audit store, as they stand in Redis."""
    await limits.take_per_subject(request, limits.reading(request.app.ctx.settings))
    reader = Reader(request)
    query = reader.query(schemas.ListQuery)
    before = None
    if query.cursor is not None:
        try:
            before = reading.read_cursor(query.cursor)
        except ValueError:
            reader.problem("cursor", "must be the next_cursor of a page before")
    reader.check()
    store = _store(request, "sessions are listed from the audit store, and this service has none")
    found = await store.list_sessions(
        request.caller.tenant, status=query.status, limit=query.limit, before=before
    )
    shown = await reading.summaries(request.app.ctx.connection, store, found, query.status)
    cursor = reading.cursor(found[-1]) if len(found) == query.limit else None
    return Reply(
        b'{"data":{"sessions":[%b],"next_cursor":%b}}' % (b",".join(shown), msgspec.json.encode(cursor))
    )


async def get_events(request: ApiRequest, session_id: str) -> Reply:
    """The session's events after a version, oldest first."""
    await limits.take_per_subject(request, limits.reading(request.app.ctx.settings))
    reader = Reader(request)
    session_id = reader.session_id(session_id)
    since = reader.query(schemas.EventsQuery).since
    reader.check()
    sessions: Sessions = request.app.ctx.sessions
    found = await sessions.log(session_id, since, tenant=request.caller.tenant)
    if found is not None:
        return _events(found[: reading.MAX_EVENTS], since)
    state = await sessions.get(session_id, request.caller.tenant)
    _check_since(reader, since, state.version)
    store = _store(
        request,
        "events so old are in the audit store, and this service has none",
        {"since": since, "version": state.version},
    )
    return _events(await reading.events(sessions, store, state, since), since)


async def get_timeline(request: ApiRequest, session_id: str) -> Reply:
    """A picture of the session's events after a version: who had the clock when.

    All of it may come from the audit store: Redis is asked for what is newer, and may be away.
    """
    with suppress(StorageUnavailable):  # a limit that cannot be asked is no reason to show nothing
        await limits.take_per_subject(request, limits.reading(request.app.ctx.settings))
    reader = Reader(request)
    session_id = reader.session_id(session_id)
    since = reader.query(schemas.EventsQuery).since
    reader.check()
    context = request.app.ctx
    told = await reading.told(
        context.sessions,
        context.store,
        session_id,
        since,
        timeline.MAX_EVENTS,
        tenant=request.caller.tenant,
    )
    _check_since(reader, since, told.version)
    # Thousands of bars take tenths of a second, in which this process would do nothing else.
    picture = await asyncio.to_thread(
        lambda: timeline.draw(timeline.follow(told.events, told.now), session_id, told.version)
    )
    reply = Reply(picture, content_type="image/svg+xml")
    reply.headers["cache-control"] = "no-cache"
    reply.headers["content-security-policy"] = openapi.CONTENT_SECURITY_POLICY
    return reply


def _check_since(reader: Reader, since: int, version: int) -> None:
    if since > version:
        reader.problem("since", f"must be at most the session's version, {version}")
    reader.check()


def _events(found: list[bytes], since: int) -> Reply:
    newest = _decode_envelope(found[-1]).version if found else since
    return Reply(b'{"data":{"events":[%b],"next_since":%d}}' % (b",".join(found), newest))


def _store(request: ApiRequest, without: str, context: dict[str, int] | None = None) -> Store:
    """The audit store. Raises StorageUnavailable, saying what it is needed for, where there is none."""
    store: Store | None = request.app.ctx.store
    if store is None:
        raise StorageUnavailable(without, context=context, retry_after_ms=NO_AUDIT_RETRY_AFTER_MS)
    return store


async def switch_cycle(request: ApiRequest, session_id: str) -> Reply:
    """End the running cycle and start the next one's."""
    reader = Reader(request)
    session_id = reader.session_id(session_id)
    reader.query(schemas.NoQuery)
    body = reader.body(schemas.SwitchBody)
    options = reader.options(body)
    reader.check()
    # Before the switch and not beside it: a switch that is over the limit must not take effect.
    await limits.take_per_session(request, limits.SWITCH, session_id)
    sessions: Sessions = request.app.ctx.sessions
    change = await sessions.switch(
        session_id, next=body.next_participant_id, current=body.current_participant_id, options=options
    )
    return _changed(change, options)


async def join_session(request: ApiRequest, session_id: str) -> Reply:
    """Add a participant."""
    reader = Reader(request)
    session_id = reader.session_id(session_id)
    reader.query(schemas.NoQuery)
    participant = await reader.object(MAX_PARTICIPANT)
    options = reader.options(_conditions(reader, participant or {}))
    sessions: Sessions = request.app.ctx.sessions
    if reader.problems and participant is not None:
        reader.problems += await _judge_participant(request.app.ctx.kept, participant)
    reader.check()
    assert participant is not None
    return _changed(await sessions.join(session_id, _text(participant), options), options, HTTPStatus.CREATED)


async def leave_session(request: ApiRequest, session_id: str, participant_id: str) -> Reply:
    """Remove a participant."""
    reader = Reader(request)
    session_id = reader.session_id(session_id)
    participant_id = reader.id("participant_id", participant_id)
    reader.query(schemas.NoQuery)
    options = reader.options(reader.body(schemas.TransitionBody))
    reader.check()
    sessions: Sessions = request.app.ctx.sessions
    return _changed(await sessions.leave(session_id, participant_id, options), options)


async def adjust_participant(request: ApiRequest, session_id: str, participant_id: str) -> Reply:
    """Set or move a participant's clock."""
    return await _adjust(request, session_id, participant_id=participant_id)


async def adjust_group(request: ApiRequest, session_id: str, group_id: str) -> Reply:
    """Set or move a group's clock."""
    return await _adjust(request, session_id, group_id=group_id)


async def adjust_clock(request: ApiRequest, session_id: str) -> Reply:
    """Set or move the clock of the session or of the current cycle."""
    return await _adjust(request, session_id)


async def delete_session(request: ApiRequest, session_id: str) -> Reply:
    """Delete a session. Deleting nothing is no error."""
    reader = Reader(request)
    session_id = reader.session_id(session_id)
    reader.query(schemas.NoQuery)
    options = reader.options(reader.body(schemas.TransitionBody))
    reader.check()
    sessions: Sessions = request.app.ctx.sessions
    await sessions.delete(session_id, options)
    return Reply(status=HTTPStatus.NO_CONTENT)


async def _transition(
    request: ApiRequest, session_id: str, *, call: Callable[..., Awaitable[Change]]
) -> Reply:
    """A change that is answered with the state after it."""
    reader = Reader(request)
    session_id = reader.session_id(session_id)
    reader.query(schemas.NoQuery)
    options = reader.options(reader.body(schemas.TransitionBody))
    reader.check()
    sessions: Sessions = request.app.ctx.sessions
    change = await call(sessions, session_id, options)
    state = await sessions.get(session_id, options.tenant)
    return replies.state(state, replayed=options.request is not None and change.replayed)


async def _adjust(
    request: ApiRequest, session_id: str, *, participant_id: str | None = None, group_id: str | None = None
) -> Reply:
    reader = Reader(request)
    session_id = reader.session_id(session_id)
    if participant_id is not None:
        participant_id = reader.id("participant_id", participant_id)
    if group_id is not None:
        group_id = reader.id("group_id", group_id)
    reader.query(schemas.NoQuery)
    body = reader.body(schemas.AdjustBody)
    options = reader.options(body)
    reader.check()
    sessions: Sessions = request.app.ctx.sessions
    change = await sessions.adjust(
        session_id,
        participant=participant_id,
        group=group_id,
        set_ms=body.total_time_ms,
        add_ms=body.add_ms,
        within_ms=body.within_ms,
        reason=body.reason,
        options=options,
    )
    return Reply(b'{"data":null}') if change is None else _changed(change, options)


def _changed(change: Change, options: Options, status: int = HTTPStatus.OK) -> Reply:
    return replies.change(change, status, replayed=options.request is not None and change.replayed)


def _none_match(request: ApiRequest, etag: str) -> bool:
    """Whether `If-None-Match` names this ETag: `*`, or a list compared weakly (RFC 9110, 13.1.2)."""
    given = ",".join(request.headers.getall("if-none-match", []))
    return given.strip() == "*" or any(tag.strip().removeprefix("W/") == etag for tag in given.split(","))


def _text(fields: dict[str, msgspec.Raw]) -> bytes:
    """An object of raw values as JSON: the values as they came, the names in their plainest spelling."""
    return (
        b"{" + b",".join(msgspec.json.encode(name) + b":" + bytes(raw) for name, raw in fields.items()) + b"}"
    )


def _conditions(reader: Reader, participant: dict[str, msgspec.Raw]) -> schemas.TransitionBody:
    """`expected_version` belongs to the call, not to the participant it stands beside: take it out."""
    if "expected_version" not in participant:
        return schemas.TransitionBody()
    return reader.fields(schemas.TransitionBody, {"expected_version": participant.pop("expected_version")})


def _filled_in(reader: Reader, config: dict[str, msgspec.Raw]) -> tuple[dict[str, msgspec.Raw], bool]:
    """The config with what its preset fills in, and whether that is known: there may be no such preset."""
    if "preset" not in config:
        return config, True
    name = decoded(config.pop("preset"))
    if name is None:
        return config, True
    if isinstance(name, str) and name in presets.PRESETS:
        return presets.filled_in(name, config), True
    reader.problem("preset", "must be one of " + ", ".join(presets.PRESETS))
    return config, False


def _of_what_is_given(config: dict[str, msgspec.Raw], problems: list[Any]) -> list[Any]:
    """Problems that no preset can help: what is not there, it might have had, but for who takes part."""
    given = decoded(_text(config))

    def is_given(path: str) -> bool:
        if path in given or path == "participants" or path.endswith(".participant_id"):
            return True
        value = given
        try:
            for part in path.split("."):
                value = value[int(part) if isinstance(value, list) else part]
        except (LookupError, TypeError, ValueError):
            return False
        return True

    return [problem for problem in problems if is_given(problem["field"])]


def _given_id(config: dict[str, msgspec.Raw]) -> tuple[bool, str | None]:
    """Whether the config names a session id at all, and the id if it is one."""
    value = decoded(config["session_id"]) if "session_id" in config else None
    if value is None:
        return False, None
    try:
        return True, keys.session_id(value) if isinstance(value, str) else None
    except ValidationError:
        return True, None


def _id_for(config: dict[str, msgspec.Raw], tenant: str | None, key: str | None) -> str:
    """The id to create the session under.

    Without one in the config: a new one, or with an `Idempotency-Key` the one that a repeat comes to as well.
    Where the config has one that is no UUID: any, as the library then refuses the config, with all that is
    wrong in it.
    """
    given, session_id = _given_id(config)
    if session_id is not None:
        return session_id
    if not given and key is not None:
        return str(uuid.uuid5(_NAMESPACE, f"{tenant or ''}\n{key}"))
    return str(uuid.uuid4())


async def _judge_config(sessions: Sessions, config: dict[str, msgspec.Raw]) -> list[Any]:
    """What the library finds wrong with a config, without a session coming of it.

    A config that names another session than the key is refused, with the list of all that is wrong in it.
    """
    given, session_id = _given_id(config)
    misnamed = given and session_id is None
    if not misnamed:
        config = config | {"session_id": msgspec.Raw(b'"%b"' % str(uuid.uuid4()).encode())}
    try:
        await sessions.create(str(uuid.uuid4()), _text(config))
    except ValidationError as error:
        return [detail for detail in error.details if misnamed or detail["field"] != "session_id"]
    return []


async def _judge_participant(sessions: Sessions, participant: dict[str, msgspec.Raw]) -> list[Any]:
    """What the library finds wrong with a participant: it looks at arguments before it misses the session."""
    try:
        await sessions.join(str(uuid.uuid4()), _text(participant))
    except ValidationError as error:
        return error.details
    except SessionNotFound:
        pass
    return []


def _named(name: str, call: Callable[..., Awaitable[Change]]) -> Callable[..., Awaitable[Reply]]:
    handler = partial(_transition, call=call)
    handler.__name__ = name  # type: ignore[attr-defined]
    return handler


_ANY: tuple[type[SyncKairosError], ...] = (SessionNotFound, StorageUnavailable)
_CHANGE: tuple[type[SyncKairosError], ...] = (*_ANY, ConcurrentModification, InvalidSessionState)
_SESSION = "/v1/sessions/{session_id}"

_TRANSITIONS = (
    ("start", Sessions.start, "Start: pending to running"),
    ("pause", Sessions.pause, "Pause: running to paused"),
    ("resume", Sessions.resume, "Resume: paused to running"),
    ("complete", Sessions.complete, "Complete"),
    ("cancel", Sessions.cancel, "Cancel"),
)


def _adjustment(path: str, handler: Callable[..., Awaitable[Reply]], summary: str) -> Route:
    return Route(
        "PATCH",
        f"{_SESSION}/{path}",
        handler,
        summary,
        "clocks",
        reply=schemas.AdjustDocument,
        body=schemas.AdjustBody,
        body_required=True,
        conditional=True,
        idempotent=True,
        errors=(*_CHANGE, ParticipantNotFound),
    )


ROUTES: tuple[Route, ...] = (
    Route(
        "POST",
        "/v1/sessions",
        create_session,
        "Create a session",
        "sessions",
        reply=schemas.StateDocument,
        status=HTTPStatus.CREATED,
        body=schemas.SessionConfig,
        body_required=True,
        idempotent=True,
        limit=limits.CREATE,
        errors=(SessionExists, StorageUnavailable),
    ),
    Route(
        "GET",
        "/v1/sessions",
        list_sessions,
        "List sessions, newest first",
        "sessions",
        reply=schemas.SessionPageDocument,
        query=schemas.ListQuery,
        limit=limits.reading,
        errors=(StorageUnavailable,),
    ),
    Route(
        "GET",
        _SESSION,
        get_session,
        "Read a session",
        "sessions",
        reply=schemas.StateDocument,
        limit=limits.reading,
        errors=_ANY,
        headers={"If-None-Match": "ETags: 304 when the session is still at one of them"},
    ),
    Route(
        "DELETE",
        _SESSION,
        delete_session,
        "Delete a session",
        "sessions",
        status=HTTPStatus.NO_CONTENT,
        body=schemas.TransitionBody,
        conditional=True,
        idempotent=True,
        errors=(ConcurrentModification, StorageUnavailable),
    ),
    *(
        Route(
            "POST",
            f"{_SESSION}/{name}",
            _named(f"{name}_session", call),
            summary,
            "transitions",
            reply=schemas.StateDocument,
            body=schemas.TransitionBody,
            conditional=True,
            idempotent=True,
            errors=_CHANGE,
        )
        for name, call, summary in _TRANSITIONS
    ),
    Route(
        "POST",
        f"{_SESSION}/switch",
        switch_cycle,
        "Switch to the next participant",
        "transitions",
        reply=schemas.ChangeDocument,
        body=schemas.SwitchBody,
        conditional=True,
        idempotent=True,
        limit=limits.SWITCH,
        errors=(*_CHANGE, ParticipantExpired, ParticipantNotFound),
    ),
    Route(
        "POST",
        f"{_SESSION}/participants",
        join_session,
        "Add a participant",
        "participants",
        reply=schemas.ChangeDocument,
        status=HTTPStatus.CREATED,
        body=schemas.JoinBody,
        body_required=True,
        conditional=True,
        idempotent=True,
        errors=(*_CHANGE, ParticipantNotFound),
    ),
    Route(
        "DELETE",
        f"{_SESSION}/participants/{{participant_id}}",
        leave_session,
        "Remove a participant",
        "participants",
        reply=schemas.ChangeDocument,
        body=schemas.TransitionBody,
        conditional=True,
        idempotent=True,
        errors=(*_CHANGE, ParticipantNotFound),
    ),
    _adjustment("participants/{participant_id}", adjust_participant, "Set or move a participant's clock"),
    _adjustment("groups/{group_id}", adjust_group, "Set or move a group's clock"),
    _adjustment("clock", adjust_clock, "Set or move the clock of the session or the cycle"),
    Route(
        "GET",
        f"{_SESSION}/events",
        get_events,
        "Read a session's events after a version",
        "sessions",
        reply=schemas.EventsDocument,
        query=schemas.EventsQuery,
        limit=limits.reading,
        errors=_ANY,
    ),
    Route(
        "GET",
        f"{_SESSION}/timeline.svg",
        get_timeline,
        f"Draw who had the clock when, from the {timeline.MAX_EVENTS} events after a version",
        "sessions",
        content_type="image/svg+xml",
        query=schemas.EventsQuery,
        limit=limits.reading,
        errors=_ANY,
    ),
)
