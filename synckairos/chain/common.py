"""What stands around calls of every kind: breaker, tracing, logging, metrics."""

from __future__ import annotations

from synckairos.chain.breaker import Breaker
from synckairos.chain.logging import Logging
from synckairos.chain.metrics import Metrics
from synckairos.chain.middleware import Middleware


def common() -> tuple[Middleware, ...]:
    """The outermost middlewares of every chain of this process. Tracing joins them where it is on."""
    return Breaker(), Logging(), Metrics()
