"""What stands around calls of every kind: breaker, tracing, logging, metrics."""

from __future__ import annotations

from typing import ClassVar

from synckairos.chain.breaker import Breaker
from synckairos.chain.call import Call
from synckairos.chain.logging import Logging
from synckairos.chain.metrics import Metrics
from synckairos.chain.middleware import Middleware, Order
from synckairos.chain.tracing import Tracing
from synckairos.errors import InternalError, SyncKairosError
from synckairos.tracing import process


def common() -> tuple[Middleware, ...]:
    """The outermost middlewares of every chain of this process."""
    tracing = () if process.tracer() is None else (Tracing(),)
    return Breaker(), *tracing, Logging(), Metrics()


class Unexpected(Middleware):
    """Makes an InternalError of an exception that nobody expected, so that every error has a code."""

    order: ClassVar = Order.UNEXPECTED

    async def on_error(self, call: Call, error: BaseException) -> BaseException:  # noqa: ARG002
        """The error itself, or an InternalError in its place."""
        return InternalError() if not isinstance(error, SyncKairosError) else error
