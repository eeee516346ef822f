"""Routes of sessions: create, read, list, delete."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import Any

import msgspec

from synckairos import presets
from synckairos.api import configs, limits, named, replies, schemas
from synckairos.api.inputs import MAX_CONFIG, Reader, decoded, refuse
from synckairos.api.replies import Reply
from synckairos.api.request import ApiRequest
from synckairos.api.route import Route
from synckairos.api.routes.common import READ_ERRORS, SESSION, audit_store, cursor
from synckairos.audit import reading, tags
from synckairos.auth.access import Action
from synckairos.auth.caller import Caller
from synckairos.core import keys
from synckairos.core.calls import Sessions
from synckairos.core.model import Options, State
from synckairos.errors import (
    ConcurrentModification,
    SessionExists,
    SessionNotFound,
    StorageUnavailable,
    ValidationError,
)

USED_BEFORE_S = 0.5
"""How long a creation waits for the audit store to say whether its id was used before."""
USED_BY_OTHERS_S = 2.0
"""The same where the id may be another tenant's."""
_ETAG = re.compile(r'(?:W/)?"([0-9]{1,15}@[0-9]{1,20})"')
_NAMESPACE = uuid.UUID("5f0c6c5e-6f0b-5c53-9d0a-3a6f4d7a2b10")
"""The namespace of session ids that are made from an `Idempotency-Key`."""


async def create_session(request: ApiRequest) -> Reply:
    """Create a session."""
    sessions = request.context.sessions
    reader = Reader(request)
    reader.query(schemas.NoQuery)
    key = reader.request_key()
    config = await reader.object(MAX_CONFIG, configs.NAMES)
    given = {} if config is None else dict(config)
    caller = request.caller
    session_id = _id_for(config or {}, caller, key)
    complete = True
    size, ask = configs.Size(0, 0), True
    if config is not None:
        config, complete = _with_preset(reader, config)
        reader.problems += named.with_ids(config, session_id)
        size = configs.size(config)
        # One was taken before the body was read, see the gate. A big config takes the rest of its price now.
        await limits.take(request, limits.CREATE, quantity=size.price - 1, spent=1)
        found, ask = configs.problems(config, size.stages)
        reader.problems += found
    if reader.problems and config is not None and ask:
        async with request.context.heavy_calls.turn(size.weight):
            problems = await _validate_config(sessions, config)
        reader.problems += problems if complete else _about_given_fields(config, problems)
    with _long_preset_named(request, given):
        reader.check()
    assert config is not None
    options = Options(
        tenant=caller.tenant,
        actor=caller.actor,
        trace=request.trace_id,
        traceparent=request.traceparent,
        request=key,
    )
    if key is not None or _given_id(config)[1] is not None:
        await _restore_if_lost(request, session_id)
    async with (
        request.context.quotas.creation(caller.tenant, session_id, size.participants),
        request.context.heavy_calls.turn(size.weight),
    ):
        with _long_preset_named(request, given):
            created = await sessions.create(session_id, configs.encoded(config), options)
    request.created = created.session_id
    # A repeat is answered with the session's current state, which may have changed since it was created.
    reply = replies.state(created, HTTPStatus.CREATED, replayed=key is not None and created.replayed)
    reply.headers["location"] = f"/v1/sessions/{created.session_id}"
    return reply


async def _restore_if_lost(request: ApiRequest, session_id: str) -> None:
    """Restore a session of this id if Redis has lost it, so that the creation does not replace it.

    Another tenant's is not restored, and SessionExists is raised. When the audit store is away, the session
    is created without this check.
    """
    recovery, tenant = request.context.recovery, request.caller.tenant
    if recovery is None:
        return
    with suppress(StorageUnavailable, TimeoutError):
        async with asyncio.timeout(USED_BEFORE_S if tenant is None else USED_BY_OTHERS_S):
            try:
                await recovery.find(session_id, tenant=tenant)
            except SessionNotFound:
                if await recovery.is_anothers(session_id, tenant):
                    raise SessionExists from None


async def get_session(request: ApiRequest, session_id: str) -> Reply:
    """The current state of a session.

    While there is no primary, the state comes from a replica, if there is one. Then `stale` says how old it
    may be, and so does the header `Age`. Such a read is not counted against a rate limit.
    """
    reader = Reader(request)
    session_id = reader.session_id(session_id)
    reader.query(schemas.NoQuery)
    reader.check()
    if request.storage_away is not None:
        return await _stale(request, session_id, request.storage_away)
    sessions, tenant = request.context.sessions, request.caller.tenant
    state: State | None
    try:
        known = _known_position(request)
        if known is None:
            state = await sessions.get(session_id, tenant)
        else:
            state = await sessions.get(session_id, tenant, unless=known)
    except StorageUnavailable as error:
        return await _stale(request, session_id, error)
    etag = f'"{known}"' if state is None else replies.etag(state)
    if state is None or _none_match(request, etag):
        return Reply(status=HTTPStatus.NOT_MODIFIED, headers={"etag": etag})
    reply = replies.state(state)
    reply.headers["cache-control"] = "no-cache"
    return reply


async def _stale(request: ApiRequest, session_id: str, away: StorageUnavailable) -> Reply:
    """The state that a replica has. Without one, raises what the primary's absence raised.

    A replica that does not have the session proves nothing, because the session may be too new.
    """
    replicas = request.context.replicas
    if replicas.may_have(session_id):
        with suppress(StorageUnavailable, SessionNotFound):
            return replies.stale(await replicas.get(session_id, request.caller.tenant))
    raise away


async def list_sessions(request: ApiRequest) -> Reply:
    """The tenant's sessions, newest first. The audit store has the list, and Redis their current states."""
    reader = Reader(request)
    query = reader.query(schemas.ListQuery)
    before = cursor(reader, query.cursor, reading.read_cursor)
    tag = None if query.tag is None else tags.folded(query.tag)
    if query.tag is not None and tag is None:
        reader.problem("tag", tags.MUST)
    reader.check()
    store = audit_store(request, "sessions are listed from the audit store, and this service has none")
    found = await store.list_sessions(
        request.caller.tenant,
        status=query.status,
        limit=query.limit,
        before=before,
        session_id=request.caller.session,
        tag=tag,
    )
    listed = await reading.summaries(
        request.context.connection,
        store,
        found,
        query.status,
        request.caller.tenant,
        tag=tag,
        participants=query.participants,
    )
    after = reading.cursor(found[-1]) if len(found) == query.limit else None
    return Reply(
        b'{"data":{"sessions":[%b],"next_cursor":%b}}' % (b",".join(listed), msgspec.json.encode(after))
    )


async def delete_session(request: ApiRequest, session_id: str) -> Reply:
    """Delete a session. It is no error if there is none."""
    reader = Reader(request)
    session_id = reader.session_id(session_id)
    reader.query(schemas.NoQuery)
    options = reader.options(reader.body(schemas.TransitionBody))
    reader.check()
    sessions = request.context.sessions
    if not await sessions.delete(session_id, options):
        await limits.missed(request)
    return Reply(status=HTTPStatus.NO_CONTENT)


def _known_position(request: ApiRequest) -> str | None:
    """The `<version>@<epoch>` of the one ETag in `If-None-Match`; None for anything else."""
    given = request.headers.getall("if-none-match", [])
    match = _ETAG.fullmatch(given[0].strip()) if len(given) == 1 else None
    return None if match is None else match[1]


def _none_match(request: ApiRequest, etag: str) -> bool:
    """Whether `If-None-Match` names this ETag: `*`, or a list compared weakly (RFC 9110, 13.1.2)."""
    given = ",".join(request.headers.getall("if-none-match", []))
    return given.strip() == "*" or any(tag.strip().removeprefix("W/") == etag for tag in given.split(","))


def _with_preset(reader: Reader, config: dict[str, msgspec.Raw]) -> tuple[dict[str, msgspec.Raw], bool]:
    """The config with its preset's fields filled in, and whether there is such a preset."""
    if "preset" not in config:
        return config, True
    name = decoded(config.pop("preset"))
    if name is None:
        return config, True
    if isinstance(name, str) and name in presets.PRESETS:
        return presets.filled_in(name, config), True
    reader.problem("preset", "must be one of " + ", ".join(presets.PRESETS))
    return config, False


@contextmanager
def _long_preset_named(request: ApiRequest, given: dict[str, msgspec.Raw]) -> Iterator[None]:
    """Within it, a refusal of a time that came with a preset of long clocks says what the service lacks."""
    try:
        yield
    except ValidationError as error:
        name = decoded(given["preset"]) if "preset" in given else None
        fields = {each["field"].partition(".")[0] for each in error.details}
        is_long = isinstance(name, str) and name in presets.LONG
        if request.context.settings.long_clocks or not is_long or fields <= given.keys():
            raise
        refuse(
            [*error.details, {"field": "preset", "message": f"{name} needs a service with LONG_CLOCKS=true"}]
        )


def _about_given_fields(config: dict[str, msgspec.Raw], problems: list[Any]) -> list[Any]:
    """The problems of given fields and of participants. All other fields could come from a preset."""
    given = decoded(configs.encoded(config))

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
    """Whether the config has a session id, and the id if it is a valid one."""
    value = decoded(config["session_id"]) if "session_id" in config else None
    if value is None:
        return False, None
    try:
        return True, keys.session_id(value) if isinstance(value, str) else None
    except ValidationError:
        return True, None


def _id_for(config: dict[str, msgspec.Raw], caller: Caller, key: str | None) -> str:
    """The id to create the session under.

    If the config has none, it is a new id, or with an `Idempotency-Key` an id made from the caller and the
    key, so that a repeat gets the same one, and another caller's same key another one. If the config has one
    that is no UUID, it is any id, because the library then refuses the config with all its problems.
    """
    given, session_id = _given_id(config)
    if session_id is not None:
        return session_id
    if not given and key is not None:
        # Tenants and subjects have no line breaks.
        who = "" if caller.subject is None else f"\n{caller.subject}"
        return str(uuid.uuid5(_NAMESPACE, f"{caller.tenant or ''}{who}\n{key}"))
    return str(uuid.uuid4())


async def _validate_config(sessions: Sessions, config: dict[str, msgspec.Raw]) -> list[Any]:
    """The problems that the library finds in a config, without creating a session.

    The config gets a session id that is not the one in the keys, for which the library refuses it with the
    list of all its problems.
    """
    given, session_id = _given_id(config)
    misnamed = given and session_id is None
    if not misnamed:
        config = config | {"session_id": msgspec.Raw(b'"%b"' % str(uuid.uuid4()).encode())}
    try:
        await sessions.create(str(uuid.uuid4()), configs.encoded(config))
    except ValidationError as error:
        return [detail for detail in error.details if misnamed or detail["field"] != "session_id"]
    return []


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
        largest=MAX_CONFIG,
        body_required=True,
        idempotent=True,
        errors=(SessionExists, StorageUnavailable),
        action=Action.CREATE,
    ),
    Route(
        "GET",
        "/v1/sessions",
        list_sessions,
        "List sessions, newest first",
        "sessions",
        reply=schemas.SessionPageDocument,
        query=schemas.ListQuery,
        errors=(StorageUnavailable,),
        action=Action.READ,
    ),
    Route(
        "GET",
        SESSION,
        get_session,
        "Read a session",
        "sessions",
        reply=schemas.StateDocument,
        errors=READ_ERRORS,
        headers={"If-None-Match": "ETags: 304 when the session is still at one of them"},
        needs_redis=False,
        action=Action.READ,
    ),
    Route(
        "DELETE",
        SESSION,
        delete_session,
        "Delete a session",
        "sessions",
        status=HTTPStatus.NO_CONTENT,
        body=schemas.TransitionBody,
        conditional=True,
        idempotent=True,
        errors=(ConcurrentModification, StorageUnavailable),
        action=Action.DELETE,
    ),
)
