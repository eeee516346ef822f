"""Refuses what cannot be answered now, before it costs anything."""

from __future__ import annotations

from typing import ClassVar

from synckairos.chain.call import Call
from synckairos.chain.middleware import Middleware, Order
from synckairos.errors import CircuitOpen


class Breaker(Middleware):
    """Refuses a call without a dependency that is known to be away: see `synckairos.breakers`."""

    order: ClassVar = Order.BREAKER

    async def before(self, call: Call) -> None:
        """Raises CircuitOpen. Such a call gets no further, so it is counted here."""
        try:
            await call.refuse_if_open()
        except CircuitOpen as error:
            call.count(None, error)
            raise
