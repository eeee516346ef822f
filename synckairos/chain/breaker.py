"""Refuses what cannot be answered now, before it costs anything."""

from __future__ import annotations

from typing import ClassVar

from synckairos.chain.call import Call
from synckairos.chain.middleware import Middleware, Order


class Breaker(Middleware):
    """Refuses a call without a dependency that is known to be away: see `synckairos.breakers`."""

    order: ClassVar = Order.BREAKER

    async def before(self, call: Call) -> None:
        """Raises CircuitOpen."""
        await call.refuse_if_open()
