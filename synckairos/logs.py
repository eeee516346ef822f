"""Logging: structlog and the standard library's loggers write to standard error in one format.

In production each line is a JSON object, otherwise a line for people. Standard output is left to the results
of commands. No line has a secret in it, tracebacks show no variables, and control characters are escapes.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

from synckairos.output import printable, redacted
from synckairos.tracing.spans import current

_MANY_LINES = frozenset({"exception", "stack"})
"""What may have several lines."""


class _Formatter(structlog.stdlib.ProcessorFormatter):
    """Takes secrets out of each line, whoever has logged it."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        return redacted(super().format(record))


def _without_control_characters(
    _logger: Any, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Nothing that a stranger has sent moves the cursor of who reads the log, or begins a line of its own."""
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = printable(value, keep="\n\t" if name in _MANY_LINES else "")
    return event


def _with_trace(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """The ids of the span under way, by which a line is found from a trace, and a trace from a line."""
    span = current()
    if span is not None:
        event["trace_id"], event["span_id"] = span.trace_id, span.span_id
    return event


def configure(level: str, *, production: bool = False) -> None:
    """Sets logging up for this process. May be called again.

    level: the lowest that is logged, from "debug" to "critical"
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        _with_trace,
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
    )
    last: list[structlog.typing.Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if production:
        last += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        # The renderer's own way of showing an exception prints the variables of each function.
        last += [
            structlog.processors.format_exc_info,
            _without_control_characters,
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
        ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter(foreign_pre_chain=shared, processors=last))
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
