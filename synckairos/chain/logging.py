"""Logs the calls that fail inside the service. What callers are refused is theirs to know."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, ClassVar

import structlog

from synckairos.chain.call import Call, Kind
from synckairos.chain.middleware import Middleware, Order
from synckairos.errors import CircuitOpen, InternalError, SyncKairosError

logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


class Logging(Middleware):
    """Logs failures, each with the ids by which the call can be found.

    What a breaker refuses is not logged. There may be thousands a second, and the breaker says so once.
    """

    order: ClassVar = Order.LOGGING

    async def on_error(self, call: Call, error: BaseException) -> BaseException:
        """Logs an error with a status of 500 or more."""
        if (
            isinstance(error, SyncKairosError)
            and error.status >= HTTPStatus.INTERNAL_SERVER_ERROR
            and not isinstance(error, CircuitOpen)
        ):
            log(call.kind, error, call.described())
        return error


def log(
    kind: Kind, error: SyncKairosError, described: Mapping[str, Any], cause: BaseException | None = None
) -> None:
    """Log a failure of the service. An unexpected one has a traceback.

    cause: where the traceback is from; without it, from what the error was made of
    """
    is_bug = isinstance(error, InternalError)
    write = logger.error if is_bug else logger.warning
    write(
        f"{kind} failed",
        code=error.code,
        message=error.message,
        **described,
        exc_info=(cause or error.__cause__ or error) if is_bug else None,
    )
