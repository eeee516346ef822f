"""What goes through the chain: a request, a command of a socket, or a job."""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import StrEnum
from typing import Any, ClassVar

from synckairos.errors import SyncKairosError
from synckairos.tracing import process
from synckairos.tracing import spans as tracing
from synckairos.tracing.spans import Span


class Kind(StrEnum):
    """Where a call came from."""

    REQUEST = "request"
    COMMAND = "command"
    JOB = "job"


class Call(ABC):
    """One call, from its first middleware to its last."""

    __slots__ = ()

    kind: ClassVar[Kind]

    @property
    @abstractmethod
    def name(self) -> str:
        """What is called, one of a short list: a route, the type of a message, the function of a job."""

    @property
    def request_id(self) -> str | None:
        """By which its caller finds it in the logs."""
        return None

    @property
    def traceparent(self) -> str | None:
        """The W3C `traceparent` that came with it, well-formed."""
        return None

    def attributes(self) -> dict[str, str | int]:
        """What its span says about it from the beginning."""
        return {}

    def outcome(self, result: Any, error: BaseException | None) -> dict[str, str | int]:  # noqa: ARG002
        """What its span says about its result or, when that is None, about its error."""
        return {}

    def begin_span(self) -> Span | None:
        """Begin its span; None when it is not sampled."""
        return process.begin(self.name, tracing.Kind.SERVER, self.traceparent, self.attributes)

    async def refuse_if_open(self) -> None:  # noqa: B027 - most calls need nothing
        """Raise CircuitOpen when something is away without which this call cannot be answered."""

    @abstractmethod
    def count(self, result: Any, error: SyncKairosError | None, /) -> None:
        """Count it in the metrics, with its result or, when that is None, with its error."""

    def described(self) -> dict[str, Any]:
        """What a line of the log says about it."""
        return {"request_id": self.request_id, "name": self.name}
