"""The span of a call: what is done for it in this process is below that."""

from __future__ import annotations

from typing import Any, ClassVar

from synckairos.chain.call import Call
from synckairos.chain.middleware import Middleware, Order
from synckairos.tracing.spans import current, enter


class Tracing(Middleware):
    """Begins a span for a call that is sampled, and ends it with the call's result or its error.

    Only the chains of a process that makes spans have it.
    """

    order: ClassVar = Order.TRACING

    async def before(self, call: Call) -> None:
        """Makes the call's span the current one of this task; most calls have none."""
        span = call.begin_span()
        if span is not None:
            enter(span)

    async def after(self, call: Call, result: Any) -> None:
        """Ends the span. From then on it is no longer the current one."""
        span = current()
        if span is not None:
            span.set(call.outcome(result, None))
            span.end()

    async def on_error(self, call: Call, error: BaseException) -> BaseException:
        """Ends the span with the error."""
        span = current()
        if span is not None:
            span.set(call.outcome(None, error))
            span.end(error)
        return error
