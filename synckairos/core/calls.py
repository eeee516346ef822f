"""Sessions: the one place that calls the function library, with typed arguments and typed results.

Every method is one `FCALL`. A refusal of the library is raised as one of the errors of `synckairos.errors`.
A reply that this module does not understand is a bug: it is logged, and raised as `InternalError`. All times
are milliseconds of the Redis primary's clock. No call takes the caller's time as an argument.
"""

import itertools
import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, NoReturn, overload

import msgspec
import structlog

from synckairos import metrics
from synckairos.core.connection import Connection
from synckairos.core.keys import SessionKeys, rate_limit
from synckairos.core.model import (
    NO_OPTIONS,
    Change,
    Info,
    Limit,
    MovedSessions,
    Options,
    Over,
    SchemaChoice,
    SessionRecovery,
    State,
    Throttle,
)
from synckairos.core.shared_reads import SharedReads
from synckairos.core.wire import Argument
from synckairos.errors import (
    ConcurrentModification,
    InternalError,
    InvalidSessionState,
    SessionMoved,
    SessionNotFound,
    SyncKairosError,
)
from synckairos.tracing import process
from synckairos.tracing.spans import Kind, current, under

logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

_SPAN = {"db.system.name": "redis", "db.operation.name": "FCALL"}
"""What the span of every call says."""
_MOST_DUE = 8
"""How many changes that are due a patch of metadata lets come first. More are left to the timekeeper."""
_PATCHED = b'{"event":"metadata.changed"'


class Sessions:
    """Sessions in one Redis deployment.

    ttl_s: how long a session is kept past its end (seconds)
    recovery: asked for a session that Redis does not have, before SessionNotFound is raised
    moved: carries out calls for sessions that have moved to another deployment. Without it they raise
        SessionMoved.
    schema_of: says in which schema a session is to be stored; without it each stays in the one that it has
    long_clocks: whether configs and participants may have all times that the library allows. Else times are
        at most 24 hours, and increments 60 seconds.
    """

    def __init__(
        self,
        connection: Connection,
        ttl_s: int,
        recovery: SessionRecovery | None = None,
        moved: MovedSessions | None = None,
        schema_of: SchemaChoice | None = None,
        *,
        long_clocks: bool = True,
    ) -> None:
        self.connection = connection
        self.ttl_s = ttl_s
        self._recovery = recovery
        self._moved = moved
        self._schema_of = schema_of
        self._short: list[Argument] = [] if long_clocks else ["SHORT"]
        self._reads = SharedReads()
        # Request ids must be unique but not secret. A random prefix with a counter costs less than a UUID.
        self._request_ids = map(f"{secrets.token_hex(8)}-{{:x}}".format, itertools.count())

    async def create(self, session_id: str, config: bytes, options: Options = NO_OPTIONS) -> State:
        """Create a session from its config (JSON). A repeat of the same request returns its current state."""
        arguments = (config, "TTL", self.ttl_s, *self._short, *self._common(session_id, options))
        state = _state("sk_create", await self._fcall("sk_create", session_id, arguments, options))
        if not state.replayed:
            metrics.sessions_created.inc()
        return state

    async def start(self, session_id: str, options: Options = NO_OPTIONS) -> Change:
        """Start a pending session."""
        return await self._transition("sk_start", session_id, options)

    async def pause(self, session_id: str, options: Options = NO_OPTIONS, *, counted: bool = True) -> Change:
        """Pause a running session. When its clock has already run out, the expiry is performed instead.

        counted: False for a pause that takes nothing of `max_pauses` and `max_total_pause_ms`
        """
        arguments = self._common(session_id, options)
        if not counted:
            arguments.append("FREE")
        return _change("sk_pause", await self._change("sk_pause", session_id, arguments, options))

    async def resume(self, session_id: str, options: Options = NO_OPTIONS) -> Change:
        """Resume a paused session, in the same cycle."""
        return await self._transition("sk_resume", session_id, options)

    async def complete(self, session_id: str, options: Options = NO_OPTIONS) -> Change:
        """End a session as completed."""
        return await self._transition("sk_complete", session_id, options)

    async def cancel(self, session_id: str, options: Options = NO_OPTIONS) -> Change:
        """End a session as cancelled."""
        return await self._transition("sk_cancel", session_id, options)

    @overload
    async def switch(
        self,
        session_id: str,
        *,
        next: str | None = None,
        current: str | None = None,
        lag_ms: int | None = None,
        limit: None = None,
        options: Options = NO_OPTIONS,
    ) -> Change: ...

    @overload
    async def switch(
        self,
        session_id: str,
        *,
        next: str | None = None,
        current: str | None = None,
        lag_ms: int | None = None,
        limit: Limit,
        options: Options = NO_OPTIONS,
    ) -> tuple[Change, Throttle]: ...

    async def switch(
        self,
        session_id: str,
        *,
        next: str | None = None,  # noqa: A002 - the library's word for it
        current: str | None = None,
        lag_ms: int | None = None,
        limit: Limit | None = None,
        options: Options = NO_OPTIONS,
    ) -> Change | tuple[Change, Throttle]:
        """End the running cycle and start the next one. When its clock has run out, expire it instead.

        next: participant to activate instead of the next in rotation
        current: refused unless this participant is the active one
        lag_ms: the network lag that the server measured for the player's connection
        limit: take from the session's bucket, or from that of `options.player` in this session, in the same
            call. Returns the change and what is left. When the bucket is empty, it raises RateLimitExceeded.
            Calls that are refused for another reason, and repeated ones, take nothing.
        """
        arguments = self._common(session_id, options)
        if next is not None:
            arguments += ["NEXT", next]
        if current is not None:
            arguments += ["CURRENT", current]
        if lag_ms is not None:
            arguments += ["LAG", lag_ms]
        if limit is None:
            return _switch(await self._change("sk_switch", session_id, arguments, options))
        arguments += ["LIMIT", limit.burst, limit.count, limit.period_ms, limit.cooldown_ms]
        reply = await self._change("sk_switch", session_id, arguments, options)
        try:
            change, *numbers = reply
        except TypeError:
            _unknown("sk_switch", reply)
        return _switch(change), _throttle("sk_switch", numbers)

    async def expire_all(self, session_ids: Sequence[str]) -> list[Change | Exception | None]:
        """Perform what is due in these sessions, in one round trip to each primary. Always safe to call.

        Returns for each session its expiry or warning, `None` when nothing is due, or the error of its call.
        No call waits for a replica: an expiry that a failover loses is due again on the next primary.
        """
        calls = [("sk_expire", SessionKeys.of(session_id).all, ()) for session_id in session_ids]
        replies = await self.connection.fcall_many(calls)
        for position, reply in enumerate(replies):
            if isinstance(reply, SessionMoved) and self._moved is not None:
                try:
                    replies[position] = await self._moved.call(reply, *calls[position], read_only=False)
                except SyncKairosError as error:
                    replies[position] = error
        return [_expiry(reply) for reply in replies]

    async def adjust(
        self,
        session_id: str,
        *,
        participant: str | None = None,
        group: str | None = None,
        clock: str | None = None,
        set_ms: int | None = None,
        add_ms: int | None = None,
        within_ms: int | None = None,
        reason: str | None = None,
        options: Options = NO_OPTIONS,
    ) -> Change | None:
        """Set a clock, or add to it. Without participant and group it is the session's or the cycle's clock.

        clock: `total` for the time of the whole session, where each cycle has a time of its own
        within_ms: the clock changes only when less than this is left. Otherwise `None` is returned.
        """
        arguments = self._common(session_id, options)
        for name, value in (
            ("PARTICIPANT", participant),
            ("GROUP", group),
            ("CLOCK", clock),
            ("SET", set_ms),
            ("ADD", add_ms),
            ("WITHIN", within_ms),
            ("REASON", reason),
        ):
            if value is not None:
                arguments += [name, value]
        reply = await self._change("sk_adjust", session_id, arguments, options)
        return None if reply is None else _change("sk_adjust", reply)

    async def join(self, session_id: str, participant: bytes, options: Options = NO_OPTIONS) -> Change:
        """Add a participant (JSON)."""
        arguments = (participant, *self._short, *self._common(session_id, options))
        return _change("sk_join", await self._change("sk_join", session_id, arguments, options))

    async def leave(self, session_id: str, participant_id: str, options: Options = NO_OPTIONS) -> Change:
        """Remove a participant."""
        arguments = (participant_id, *self._common(session_id, options))
        return _change("sk_leave", await self._change("sk_leave", session_id, arguments, options))

    async def takeback(
        self, session_id: str, turns: int | None = None, options: Options = NO_OPTIONS
    ) -> Change:
        """Undo the last turns, one unless `turns` says how many."""
        arguments = self._common(session_id, options)
        if turns is not None:
            arguments += ["TURNS", turns]
        return _change("sk_takeback", await self._change("sk_takeback", session_id, arguments, options))

    async def turn(self, session_id: str, participant_id: str, options: Options = NO_OPTIONS) -> Change:
        """Say whose turn it is, in a session that is pending or paused."""
        arguments = (participant_id, *self._common(session_id, options))
        return _change("sk_turn", await self._change("sk_turn", session_id, arguments, options))

    async def reopen(self, session_id: str, options: Options = NO_OPTIONS) -> Change:
        """Let a session that is over go on: it is paused, or pending if it had never started.

        One that Redis does not have any more is brought back first.
        """
        return await self._transition("sk_reopen", session_id, options, of_over=True)

    async def reset(self, session_id: str, options: Options = NO_OPTIONS) -> Change:
        """Begin a session again: it is pending, with clocks and counts as its config had them.

        One that is over and that Redis does not have any more is brought back first.
        """
        return await self._transition("sk_reset", session_id, options, of_over=True)

    async def schedule(
        self,
        session_id: str,
        *,
        starts_at_ms: int | Literal["same"] | None = "same",
        ends_at_ms: int | Literal["same"] | None = "same",
        options: Options = NO_OPTIONS,
    ) -> Change:
        """Say when a session starts and ends by itself (server ms). None takes that back.

        What stays `same` is not changed; one of them has to be.
        """
        arguments = self._common(session_id, options)
        for name, value in (("STARTS", starts_at_ms), ("ENDS", ends_at_ms)):
            if value != "same":
                arguments += [name, "none" if value is None else value]
        return _change("sk_schedule", await self._change("sk_schedule", session_id, arguments, options))

    async def patch_metadata(
        self, session_id: str, patch: bytes, options: Options = NO_OPTIONS
    ) -> Change | None:
        """Change the metadata by a JSON merge patch (RFC 7396). Returns `None` when that changes nothing.

        What is due in the session is carried out before, each as a change of its own. A session that is over
        and that Redis does not have any more is brought back first.
        """
        for _ in range(_MOST_DUE):
            arguments = self._common(session_id, options)
            reply = await self._change(
                "sk_metadata", session_id, (patch, *arguments), options, of_over=True, first=(patch,)
            )
            if reply is None:
                return None
            change = _change("sk_metadata", reply)
            if change.payload.startswith(_PATCHED):
                break
            # What was due has come instead. The caller may have asked for the version before it.
            version = None if options.version is None else change.version
            options = replace(options, version=version, epoch=options.epoch and change.epoch)
        return change

    async def delete(self, session_id: str, options: Options = NO_OPTIONS) -> bool:
        """Delete a session. Returns `False` when there is none, or it belongs to another tenant."""
        arguments = self._common(session_id, options)
        reply = await self._fcall("sk_delete", session_id, arguments, options)
        if (
            reply == 0
            and self._recovery is not None
            and await self._recovery.fetch(session_id, options.tenant)
        ):
            reply = await self._fcall("sk_delete", session_id, arguments, options)
        if reply not in (0, 1):
            _unknown("sk_delete", reply)
        return bool(reply)

    async def restore(
        self,
        session_id: str,
        exported: bytes,
        *,
        version: int | None = None,
        epoch: str | None = None,
        tenant: str | None = None,
    ) -> State:
        """Bring back a session that Redis has lost, from an exported state.

        version, epoch: of its newest known event. The restored session continues with later ones.
        tenant: whose it is
        """
        arguments: list[Argument] = [exported]
        if version is not None:
            arguments += ["VERSION", version]
        if epoch is not None:
            arguments += ["EPOCH", epoch]
        arguments += self._schema(session_id, tenant)
        return _state("sk_restore", await self._fcall("sk_restore", session_id, arguments))

    async def import_session(
        self,
        session_id: str,
        config: bytes,
        standing: bytes,
        *,
        tenant: str | None = None,
        dry_run: bool = False,
    ) -> State | None:
        """Create a session that is under way or over, from its config and its standing (JSON).

        dry_run: check everything, write nothing, and return `None`
        """
        arguments: list[Argument] = [config, standing, "TTL", self.ttl_s]
        if tenant is not None:
            arguments += ["TENANT", tenant]
        if dry_run:
            arguments.append("DRYRUN")
        reply = await self._fcall("sk_import", session_id, arguments)
        return None if reply is None and dry_run else _state("sk_import", reply)

    @overload
    async def get(self, session_id: str, tenant: str | None = None, *, unless: None = None) -> State: ...

    @overload
    async def get(self, session_id: str, tenant: str | None = None, *, unless: str) -> State | None: ...

    async def get(
        self, session_id: str, tenant: str | None = None, *, unless: str | None = None
    ) -> State | None:
        """Read the state.

        unless: `<version>@<epoch>`. When the session is still there, `None` is returned, at the cost of
            reading a few fields however many participants there are.
        """
        arguments = () if unless is None else ("UNLESS", unless)
        reply = await self._read(session_id, tenant, arguments)
        if reply is None and unless is not None:
            return None
        return reply if isinstance(reply, Over) else _state("sk_get", reply)

    async def summary(self, session_id: str, tenant: str | None = None) -> State:
        """Read the state without participants. Its cost does not depend on how many there are.

        A session that is over and that Redis does not have any more is given whole.
        """
        reply = await self._read(session_id, tenant, ("SUMMARY",))
        return reply if isinstance(reply, Over) else _state("sk_get", reply)

    async def log(
        self, session_id: str, since: int, epoch: str | None = None, tenant: str | None = None
    ) -> list[bytes] | None:
        """Events (JSON) after version `since`.

        Returns `None` when the log does not reach back that far, when `since` is above the current version,
        or when the epoch differs.
        """
        try:
            return await self._log(session_id, since, epoch, tenant)
        except SessionNotFound:
            if self._recovery is None:
                raise
        over = await self._recovery.find(session_id, tenant=tenant)
        if over is None:
            return await self._log(session_id, since, epoch, tenant)
        return [] if since == over.version and epoch in (None, over.epoch) else None

    async def throttle(
        self, bucket: str, burst: int, count: int, period_ms: int, *, quantity: int = 1, cooldown_ms: int = 0
    ) -> Throttle:
        """Take `quantity` from a bucket of `burst` that refills at `count` per `period_ms`.

        bucket: 1-200 printable ASCII characters without braces
        cooldown_ms: how long a refusal keeps the bucket closed
        """
        # When a reply is lost, the retry may take from the bucket twice. That does less harm than no retry:
        # then a failover would fail every request that has a rate limit.
        reply = await self._call(
            "sk_throttle", (rate_limit(bucket),), (burst, count, period_ms, quantity, cooldown_ms)
        )
        return _throttle("sk_throttle", reply)

    async def forget_throttle(self, bucket: str) -> None:
        """Remove a bucket, as if nothing had been taken from it."""
        await self.connection.unlink(rate_limit(bucket))

    async def info(self) -> Info:
        """The version of the library on the server, and the server's time."""
        reply = await self.connection.fcall("sk_info", (), (), read_only=True)
        try:
            version, schema, server_time_ms = reply
            return Info(version.decode(), int(schema), int(server_time_ms))
        except (TypeError, ValueError, AttributeError):
            _unknown("sk_info", reply)

    async def _transition(
        self, function: str, session_id: str, options: Options, *, of_over: bool = False
    ) -> Change:
        arguments = self._common(session_id, options)
        return _change(
            function, await self._change(function, session_id, arguments, options, of_over=of_over)
        )

    async def _change(
        self,
        function: str,
        session_id: str,
        arguments: Sequence[Argument],
        options: Options,
        *,
        of_over: bool = False,
        first: Sequence[Argument] = (),
    ) -> Any:
        """The reply of a function that changes a session.

        of_over: whether it changes a session that is over, too. Then one that Redis does not have any more is
            brought back for it.
        first: with `of_over`, the arguments before the common options
        """
        try:
            return await self._fcall(function, session_id, arguments, options)
        except SessionNotFound:
            if self._recovery is None:
                raise
        over = await self._recovery.find(session_id, tenant=options.tenant)
        if over is not None and of_over:
            options = await self._revive(over, options)
            arguments = (*first, *self._common(session_id, options))
        elif over is not None:
            context = {"status": over.status}
            if over.expired_by is not None:
                context["expired_participant_id"] = over.expired_by
            raise InvalidSessionState(f"not in a session that is {over.status}", context=context)
        return await self._fcall(function, session_id, arguments, options)

    async def _revive(self, over: Over, options: Options) -> Options:
        """Bring a session that is over back to Redis, for a call that changes it all the same.

        Returns the call's options. The restore is a version of its own, of which the caller cannot know. So
        what the caller expects is judged by the last version before it.
        """
        assert self._recovery is not None
        if options.version not in (None, over.version) or options.epoch not in (None, over.epoch):
            context = {"expected_version": options.version, "actual_version": over.version}
            raise ConcurrentModification("the session has changed since that version", context=context)
        await self._recovery.revive(over.session_id, options.tenant)
        return replace(options, version=None if options.version is None else over.version + 1, epoch=None)

    async def _read(self, session_id: str, tenant: str | None, options: Sequence[Argument]) -> Any:
        """The reply of `sk_get`; or a session that is over and not in Redis any more."""
        arguments = options if tenant is None else ("TENANT", tenant, *options)
        keys = (SessionKeys.of(session_id).session,)

        async def call() -> Any:
            return await self._call("sk_get", keys, arguments, read_only=True)

        try:
            return await self._reads.read((session_id, *arguments), call)
        except SessionNotFound:
            if self._recovery is None:
                raise
        return await self._recovery.find(session_id, tenant=tenant) or await call()

    async def _log(
        self, session_id: str, since: int, epoch: str | None, tenant: str | None
    ) -> list[bytes] | None:
        keys = SessionKeys.of(session_id)
        arguments: list[Argument] = [since]
        if epoch is not None:
            arguments += ["EPOCH", epoch]
        if tenant is not None:
            arguments += ["TENANT", tenant]
        reply = await self._call("sk_log", (keys.session, keys.log), arguments, read_only=True)
        if reply is None or isinstance(reply, list):
            return reply
        return _unknown("sk_log", reply)

    async def _fcall(
        self,
        function: str,
        session_id: str,
        arguments: Sequence[Argument],
        options: Options | None = None,
    ) -> Any:
        """Calls a function that may change a session: see `_call`."""
        return await self._call(function, SessionKeys.of(session_id).all, arguments, options=options)

    async def _call(
        self,
        function: str,
        keys: Sequence[str],
        arguments: Sequence[Argument],
        *,
        read_only: bool = False,
        options: Options | None = None,
    ) -> Any:
        """Calls a function where the session is. A call of a trace is a span, and its event goes on with it.

        options: the common options, for a function that takes them. All but the traceparent are in
            `arguments` already.
        """
        caller = current()
        if caller is None:
            # Where this process makes spans and this call has none, storing its event has none either. Else
            # callers could have a worker trace all that this process has refused to.
            if options is not None and options.traceparent is not None and process.tracer() is None:
                arguments = (*arguments, "TRACEPARENT", options.traceparent)
            return await self._call_there(function, keys, arguments, read_only=read_only)
        attributes = {**_SPAN, "db.stored_procedure.name": function}
        with under(caller.begin(f"FCALL {function}", Kind.CLIENT, attributes)) as span:
            if options is not None:
                arguments = (*arguments, "TRACEPARENT", span.traceparent)
            return await self._call_there(function, keys, arguments, read_only=read_only)

    async def _call_there(
        self, function: str, keys: Sequence[str], arguments: Sequence[Argument], *, read_only: bool
    ) -> Any:
        try:
            return await self.connection.fcall(function, keys, arguments, read_only=read_only)
        except SessionMoved as moved:
            if self._moved is None:
                raise
            return await self._moved.call(moved, function, keys, arguments, read_only=read_only)

    def _schema(self, session_id: str, tenant: str | None) -> list[Argument]:
        """The option that says in which schema a session is stored; empty when nobody says so."""
        schema = None if self._schema_of is None else self._schema_of(session_id, tenant)
        return [] if schema is None else ["SCHEMA", schema]

    def _common(self, session_id: str, options: Options) -> list[Argument]:
        """The common options as `NAME value` pairs."""
        arguments: list[Argument] = ["REQUEST", options.request or next(self._request_ids)]
        if self._schema_of is not None:
            arguments += self._schema(session_id, options.tenant)
        if options.tenant is not None:
            arguments += ["TENANT", options.tenant]
        if options.version is not None:
            arguments += ["VERSION", options.version]
        if options.epoch is not None:
            arguments += ["EPOCH", options.epoch]
        if options.actor is not None:
            arguments += ["ACTOR", options.actor]
        if options.player is not None:
            arguments += ["PLAYER", options.player]
        if options.trace is not None:
            arguments += ["TRACE", options.trace]
        return arguments


def _change(function: str, reply: Any) -> Change:
    try:
        return Change(reply)
    except (msgspec.MsgspecError, TypeError):
        _unknown(function, reply)


def _switch(reply: Any) -> Change:
    """The change that `sk_switch` has made, which is counted unless it is a repeat or an expiry."""
    change = _change("sk_switch", reply)
    if not change.replayed and change.type == "STATE_UPDATE":
        metrics.switches.inc()
    return change


def _throttle(function: str, reply: Any) -> Throttle:
    try:
        limited, limit, remaining, retry_after_ms, reset_after_ms = reply
        return Throttle(limited == 1, limit, remaining, retry_after_ms, reset_after_ms)
    except (TypeError, ValueError):
        _unknown(function, reply)


def _expiry(reply: Any) -> Change | Exception | None:
    if reply is None or isinstance(reply, Exception):
        return reply
    try:
        return _change("sk_expire", reply)
    except InternalError as error:
        return error


def _state(function: str, reply: Any) -> State:
    try:
        return State(reply)
    except (msgspec.MsgspecError, TypeError):
        _unknown(function, reply)


def _unknown(function: str, reply: Any) -> NoReturn:
    logger.error(
        "the function library replied something unknown", function=function, reply=repr(reply)[:1000]
    )
    raise InternalError(f"{function} replied something this service does not know")
