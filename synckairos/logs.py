"""Logging: structlog and the standard library's loggers write to standard error in one format.

In production each line is a JSON object, otherwise a line for people. Standard output is left to the results
of commands.
"""

from __future__ import annotations

import logging
import sys

import structlog


def configure(level: str, *, production: bool = False) -> None:
    """Sets logging up for this process. May be called again.

    level: the lowest that is logged, from "debug" to "critical"
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    last: list[structlog.typing.Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if production:
        last += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        # structlog's own way of showing a traceback has the values of local variables, tokens among them.
        plain = structlog.dev.plain_traceback
        last += [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=last))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Sanic's loggers have handlers of their own, and some of those write to standard output.
    for name in ("sanic.root", "sanic.error", "sanic.access", "sanic.server", "sanic.websockets"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.NOTSET)
    # At level info, websockets logs every connection that opens or closes, and alembic each of its plug-ins.
    for name in ("websockets", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Logging a line for each request would cost as much as the request. Metrics count the requests instead.
    logging.getLogger("sanic.access").disabled = True
