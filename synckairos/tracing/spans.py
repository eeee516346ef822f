"""Spans as the rest of the code uses them: the one that is under way in this task, and those below it.

Most calls are not sampled. They have no span, and all that they pay here is one look at a variable of the
task. What makes spans (OpenTelemetry) is behind `Tracer`, and `synckairos.tracing.process` puts it there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from enum import StrEnum
from typing import Protocol, TypeAlias

Attributes: TypeAlias = Mapping[str, str | int]


class Kind(StrEnum):
    """What a span stands for, in OpenTelemetry's words."""

    SERVER = "server"
    CLIENT = "client"
    PRODUCER = "producer"
    CONSUMER = "consumer"


class Span(Protocol):
    """A span that was begun. Both ids are hexadecimal digits."""

    trace_id: str
    span_id: str

    @property
    def ended(self) -> bool:
        """Whether it is over."""

    @property
    def traceparent(self) -> str:
        """By which another process goes on with its trace."""

    def begin(self, name: str, kind: Kind, attributes: Attributes | None = None) -> Span:
        """Begin a span below this one."""

    def set(self, attributes: Attributes) -> None:
        """Add attributes."""

    def end(self, error: BaseException | None = None) -> None:
        """End it, with the error that it ended by."""


_current: ContextVar[Span | None] = ContextVar("span", default=None)


def current() -> Span | None:
    """The span that is under way in this task; None for a call that is not sampled.

    A task that was started by a request and outlives it no longer belongs to its span.
    """
    span = _current.get()
    return None if span is None or span.ended else span


def enter(span: Span) -> None:
    """Make a span the current one of this task, until it ends."""
    _current.set(span)


@contextmanager
def under(span: Span) -> Iterator[Span]:
    """The block is what the span stands for: it ends with the block, and with the block's error."""
    token = _current.set(span)
    try:
        yield span
    except BaseException as error:
        span.end(error)
        raise
    else:
        span.end()
    finally:
        _current.reset(token)


@contextmanager
def below(name: str, kind: Kind, attributes: Attributes | None = None) -> Iterator[Span | None]:
    """The block is a span below the current one. Without a current one it is only the block."""
    parent = current()
    if parent is None:
        yield None
        return
    with under(parent.begin(name, kind, attributes)) as span:
        yield span


def error_type(error: BaseException) -> str:
    """What a span says about an error: its code in the contract, else its class. Never its text."""
    code = getattr(error, "code", None)
    return code if isinstance(code, str) else type(error).__name__


def is_failure(error: BaseException) -> bool:
    """Whether something failed: not where a caller was refused, or has gone away."""
    return isinstance(error, Exception) and getattr(error, "status", _FAILED) >= _FAILED


_FAILED = 500
