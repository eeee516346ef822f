"""Logs the calls that fail inside the service. What callers are refused is theirs to know."""

from __future__ import annotations

from http import HTTPStatus
from typing import ClassVar

import structlog

from synckairos.chain.call import Call
from synckairos.chain.middleware import Middleware, Order
from synckairos.errors import InternalError, SyncKairosError

logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


class Logging(Middleware):
    """Logs failures, each with the ids by which the call can be found."""

    order: ClassVar = Order.LOGGING

    async def on_error(self, call: Call, error: BaseException) -> BaseException:
        """Logs an error with a status of 500 or more."""
        if isinstance(error, SyncKairosError) and error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            log(call, error)
        return error


def log(call: Call, error: SyncKairosError) -> None:
    """Log a failure of the service. An unexpected one has the traceback of its cause."""
    is_bug = isinstance(error, InternalError)
    write = logger.error if is_bug else logger.warning
    write(
        f"{call.kind} failed",
        code=error.code,
        message=error.message,
        **call.described(),
        exc_info=(error.__cause__ or error) if is_bug else None,
    )
