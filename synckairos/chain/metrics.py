"""Counts every call, and how long it took."""

from __future__ import annotations

from typing import Any, ClassVar

from synckairos.chain.call import Call
from synckairos.chain.middleware import Middleware, Order
from synckairos.errors import SyncKairosError


class Metrics(Middleware):
    """Counts each call once, as what it was: a request, a command or a job."""

    order: ClassVar = Order.METRICS

    async def after(self, call: Call, result: Any) -> None:
        """Counts a call that has a result."""
        call.count(result, None)

    async def on_error(self, call: Call, error: BaseException) -> BaseException:
        """Counts a call that has none. One that was cancelled has no answer, and is not counted."""
        if isinstance(error, SyncKairosError):
            call.count(None, error)
        return error
