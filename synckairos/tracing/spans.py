"""Spans as the rest of the code uses them: the one that is under way in this task, and those below it.

Most calls are not sampled. They have no span, and all that they pay here is one look at a variable of the
task. What makes spans (OpenTelemetry) is behind `Tracer`, and `synckairos.tracing.process` puts it there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, Token
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
    ended: bool

    @property
    def traceparent(self) -> str:
        """By which another process goes on with its trace."""

    def begin(self, name: str, kind: Kind, attributes: Attributes | None = None) -> Span:
        """Begin a span below this one."""

    def set(self, attributes: Attributes) -> None:
        """Add attributes."""

    def end(self, error: str | None = None) -> None:
        """End it, with the code or the class of the error by which it failed."""


_current: ContextVar[Span | None] = ContextVar("span", default=None)


def current() -> Span | None:
    """The span that is under way in this task; None for a call that is not sampled.

    A task that was started by a request and outlives it no longer belongs to its span.
    """
    span = _current.get()
    return None if span is None or span.ended else span


def enter(span: Span) -> Token[Span | None]:
    """Make a span the current one of this task, until `leave` gets what this returns."""
    return _current.set(span)


def leave(token: Token[Span | None]) -> None:
    """Make the span current again that was so before `enter`."""
    _current.reset(token)


@contextmanager
def under(span: Span) -> Iterator[Span]:
    """The block is what the span stands for: it ends with it, and an error of the block is its error."""
    token = enter(span)
    try:
        yield span
    except (Exception, asyncio.CancelledError) as error:
        span.end(error_type(error))
        raise
    finally:
        leave(token)
        if not span.ended:
            span.end()


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
    """What a span says about its error: the code of the contract, else the class. Never its text."""
    code = getattr(error, "code", None)
    return code if isinstance(code, str) else type(error).__name__
