"""What goes through the chain: requests here, commands in `synckairos.api.websocket.command`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from http import HTTPStatus
from time import perf_counter
from typing import Any, ClassVar

from synckairos import metrics
from synckairos.api import gate, limits
from synckairos.api.limits import RateLimit
from synckairos.api.replies import Reply
from synckairos.api.request import ApiRequest
from synckairos.api.route import Route
from synckairos.auth import access
from synckairos.auth.access import Action
from synckairos.chain.call import Call, Kind
from synckairos.core.keys import SessionKeys
from synckairos.errors import SyncKairosError


class ApiCall(Call):
    """A request, or a command of a socket.

    request: the request; of a command, the one that opened its socket
    action: what it does
    limit: the rate limit that it takes from; None for one that has none
    session_id: the session that it names, as it was given; empty when it names none
    started: when it came (seconds of `perf_counter`), later by as long as its body took to come
    """

    __slots__ = ("action", "limit", "request", "session_id", "started")

    def __init__(self, request: ApiRequest, action: Action, limit: RateLimit | None, session_id: str) -> None:
        self.request = request
        self.action = action
        self.limit = limit
        self.session_id = session_id
        self.started = perf_counter()

    @abstractmethod
    async def permit(self) -> None:
        """Find out who calls, and whether they may. Then the request has its caller, and its `player`.

        Raises Unauthenticated, Forbidden, RateLimitExceeded, StorageUnavailable.
        """

    @property
    @abstractmethod
    def request_id(self) -> str:
        """By which its caller finds it in the logs."""

    @property
    def action_name(self) -> str:
        """What the access log calls it."""
        return str(self.action)

    @property
    def needs_redis(self) -> bool:
        """Whether there is nothing to answer while Redis is away."""
        return True

    async def refuse_if_open(self) -> None:
        """Raise CircuitOpen while the primary that it needs does not answer."""
        if self.needs_redis:
            key = SessionKeys.of(self.session_id.lower()).session if limits.is_id(self.session_id) else None
            await self.request.context.connection.refuse_if_open(key)

    @property
    def traceparent(self) -> str | None:
        """That of the request."""
        return self.request.traceparent

    def attributes(self) -> dict[str, str | int]:
        """The ids by which it is found elsewhere. A trace does not say who called."""
        found: dict[str, str | int] = {"synckairos.request.id": self.request_id}
        if self.session_id:
            found["synckairos.session.id"] = self.session_id
        return found


class RequestCall(ApiCall):
    """A request to a route.

    path: the parameters of the path
    """

    __slots__ = ("path", "route")

    kind: ClassVar = Kind.REQUEST

    def __init__(self, request: ApiRequest, route: Route, path: Mapping[str, str]) -> None:
        super().__init__(request, route.action, route.rate_limit, path.get("session_id", ""))
        self.route = route
        self.path = path

    @property
    def name(self) -> str:
        """The method and the path, with the parameters' names."""
        return f"{self.route.method} {self.route.path}"

    @property
    def request_id(self) -> str:
        """`X-Request-Id`."""
        return self.request.request_id

    @property
    def action_name(self) -> str:
        """What is made and what is taken away are one action to the table of access, and two to a reader."""
        deletes = self.route.method == "DELETE" and self.action in _MADE_AND_DELETED
        return f"delete {self.action}" if deletes else str(self.action)

    @property
    def needs_redis(self) -> bool:
        """As the route says. What is public is answered in any case."""
        return self.route.needs_redis and self.action is not Action.PUBLIC

    async def permit(self) -> None:
        """By the request's `Authorization`."""
        if self.route.path not in gate.EVERYWHERE:
            gate.check_page(self.request)
        if self.action is not Action.PUBLIC:
            self.request.caller = await gate.identify(self.request)
            self.request.player = access.permit(self.request.caller, self.action)

    def attributes(self) -> dict[str, str | int]:
        """As OpenTelemetry's conventions for HTTP have it."""
        return {
            "http.request.method": self.request.method,
            "http.route": self.route.path,
            "url.path": self.request.path,
            **super().attributes(),
        }

    def outcome(self, result: Reply | None, error: BaseException | None) -> dict[str, str | int]:
        """The status."""
        return {"http.response.status_code": _status(result, error)}

    def count(self, result: Reply | None, error: SyncKairosError | None, /) -> None:
        """In the histogram of requests."""
        observe(self.route.path, self.route.method, _status(result, error), perf_counter() - self.started)

    def described(self) -> dict[str, Any]:
        """The ids, the method and the path."""
        return described(self.request)


_MADE_AND_DELETED = frozenset({Action.LINK, Action.WEBHOOK, Action.REVOKE})
_histograms: dict[tuple[str, str, int], Any] = {}


def _status(result: Reply | None, error: BaseException | None) -> int:
    """The status of an answer."""
    if result is not None:
        return int(result.status)
    return error.status if isinstance(error, SyncKairosError) else HTTPStatus.INTERNAL_SERVER_ERROR


def observe(path: str, method: str, status: int, seconds: float) -> None:
    """Count a request. prometheus_client's own look-up by labels is slower."""
    labels = (path, method, int(status))
    histogram = _histograms.get(labels)
    if histogram is None:
        histogram = _histograms[labels] = metrics.http_requests.labels(*labels)
    histogram.observe(seconds)


def described(request: ApiRequest) -> dict[str, Any]:
    """What a line of the log says about a request."""
    return {
        "request_id": request.request_id,
        "trace_id": request.trace_id,
        "method": request.method,
        "path": request.path,
    }
