"""The types that the calls of the function library take and return.

All times are milliseconds of the Redis primary's clock.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import msgspec

from synckairos.core.wire import Argument
from synckairos.errors import SessionMoved


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Options that every call may have in addition to its own arguments. `None` leaves an option out.

    tenant: the tenant to whom the session must belong; with `create`, will belong
    version: the call is refused unless nothing but warnings happened since this version
    epoch: the call is refused unless the session's versions are of this epoch
    player: the participant whose own call it is, for switch, pause and resume: refused unless it is active
    actor, trace: who makes the call and its trace id, both written into the event
    traceparent: the W3C traceparent of the call, kept beside the event until that is stored. The span under
        way, if there is one, is passed on instead.
    request: the idempotency key. Without one, a new key is made for each call, so that its retries change
        nothing twice.
    """

    tenant: str | None = None
    version: int | None = None
    actor: str | None = None
    trace: str | None = None
    traceparent: str | None = None
    request: str | None = None
    player: str | None = None
    epoch: str | None = None


NO_OPTIONS = Options()


class Envelope(msgspec.Struct, frozen=True):
    """An event whose `payload` is not decoded but is the JSON text that came."""

    type: str
    session_id: str
    version: int
    epoch: str
    server_time_ms: int
    payload: msgspec.Raw
    replayed: bool = False


class Summary(msgspec.Struct, frozen=True):
    """The fields of a state that the service itself reads."""

    session_id: str
    status: str
    version: int
    epoch: str
    server_time_ms: int
    tenant_id: str | None = None
    replayed: bool = False


class Change:
    """One state change. `raw` is the event's exact JSON, the same bytes as in log, outbox and channel."""

    __slots__ = ("epoch", "payload", "raw", "replayed", "server_time_ms", "session_id", "type", "version")

    def __init__(self, raw: bytes) -> None:
        envelope = _decode_envelope(raw)
        self.raw = raw
        self.type = envelope.type
        self.session_id = envelope.session_id
        self.version = envelope.version
        self.epoch = envelope.epoch
        self.server_time_ms = envelope.server_time_ms
        self.payload = bytes(envelope.payload)
        self.replayed = envelope.replayed


class State:
    """A session's state. `raw` is its exact JSON; the attributes are the fields that the service reads."""

    __slots__ = ("epoch", "raw", "replayed", "server_time_ms", "session_id", "status", "tenant_id", "version")

    def __init__(self, raw: bytes) -> None:
        summary = decode_summary(raw)
        self.raw = raw
        self.session_id = summary.session_id
        self.status = summary.status
        self.version = summary.version
        self.epoch = summary.epoch
        self.server_time_ms = summary.server_time_ms
        self.tenant_id = summary.tenant_id
        self.replayed = summary.replayed


@dataclass(frozen=True, slots=True)
class Limit:
    """A rate limit: a bucket of `burst` that refills at `count` per `period_ms`.

    cooldown_ms: how long a refusal keeps the bucket closed
    """

    burst: int
    count: int
    period_ms: int
    cooldown_ms: int = 0


class Throttle(NamedTuple):
    """The answer of a rate limit. `retry_after_ms` is 0 unless limited.

    reset_after_ms: how long it takes until the bucket is full again
    """

    limited: bool
    limit: int
    remaining: int
    retry_after_ms: int
    reset_after_ms: int


class Info(NamedTuple):
    """Library version, state schema and the server's time."""

    version: str
    schema: int
    server_time_ms: int


class Over(State):
    """The last state of a session that is over and that Redis does not have any more.

    expired_by: the participant whose clock ended it
    """

    __slots__ = ("expired_by",)

    def __init__(self, raw: bytes, expired_by: str | None = None) -> None:
        super().__init__(raw)
        self.expired_by = expired_by


class SessionRecovery(Protocol):
    """A place from which sessions that Redis does not have any more can be brought back."""

    async def find(self, session_id: str, *, tenant: str | None = None) -> Over | None:
        """Look for a session that Redis does not have.

        One that was live is brought back to Redis: then this returns None, and Redis has to be asked again.
        One that was over is not brought back, but returned. Raises SessionNotFound, and StorageUnavailable
        when it is not known whether there is such a session.

        tenant: for whom it is looked for. Another tenant's session is not found, and not brought back.
        """

    async def fetch(self, session_id: str, tenant: str | None) -> bool:
        """Bring a session back to Redis, even one that was over. Returns whether Redis may have it now.

        Raises StorageUnavailable when it is not known whether there is such a session.
        """

    async def revive(self, session_id: str, tenant: str | None) -> None:
        """Bring a session that is over back to Redis, so that it can go on. Redis may have it already.

        Raises SessionNotFound, also for another tenant's and for one that was deleted, SessionMoved,
        InvalidSessionState when its end is not stored whole, and StorageUnavailable.
        """


SchemaChoice = Callable[[str, str | None], int | None]
"""Says in which schema the session of this id and tenant is to be stored; None: in the one that it has."""


class MovedSessions(Protocol):
    """A way to the deployments to which sessions have moved."""

    async def call(
        self,
        moved: SessionMoved,
        function: str,
        keys: Sequence[str],
        arguments: Sequence[Argument],
        *,
        read_only: bool,
    ) -> Any:
        """Calls a function where a session went. Returns its reply, or raises as `Connection.fcall` does.

        Raises `moved` when there is no way to that deployment.
        """


_decode_envelope = msgspec.json.Decoder(Envelope).decode
decode_summary = msgspec.json.Decoder(Summary).decode
