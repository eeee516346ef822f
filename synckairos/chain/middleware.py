"""One step of the chain, the order of all steps, and what puts them together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import suppress
from enum import IntEnum
from typing import Any, ClassVar, TypeAlias

Step: TypeAlias = Callable[[Any], Coroutine[Any, Any, Any]]
"""Takes a call and gives its result. The innermost one is the handler."""


class Order(IntEnum):
    """Where a middleware stands. The lowest is the outermost: its `before` is first, its `after` last."""

    BREAKER = 0
    TRACING = 1
    LOGGING = 2
    METRICS = 3
    LENGTH = 4
    REFUSALS = 5
    """The access log's refusals. It has to see what the next ones refuse."""
    TOKENS = 6
    LIMITS = 7
    BINDINGS = 8
    BODY = 9
    ACTIONS = 10
    """The access log's actions of admins, which are stored before they are answered."""
    TENANTS = 11
    UNEXPECTED = 12


class Middleware:
    """One step. A subclass has its place in `order`, and those of the three methods that it needs.

    The same object serves all calls of its process at once, so what belongs to one call is kept in the call.
    """

    order: ClassVar[Order]

    async def before(self, call: Any) -> None:
        """Called on the way in. What it raises is the call's error, and nothing further in is called."""

    async def after(self, call: Any, result: Any) -> None:
        """Called on the way out with the result. What it raises is an error to those further out."""

    async def on_error(self, call: Any, error: BaseException) -> BaseException:  # noqa: ARG002
        """Called on the way out when there is no result. Returns the error that those further out see.

        A cancellation stays one, whatever is returned.
        """
        return error


def chain(middlewares: Iterable[Middleware], handle: Step) -> Step:
    """The handler with these around it. It is put together once, at the start, and then only called.

    On the way out `after` or `on_error` is called for those whose `before` has run to its end, the last one
    first. What a middleware does not have costs nothing. Raises ValueError when two have the same place.
    """
    ordered = sorted(middlewares, key=lambda each: each.order, reverse=True)
    if len({each.order for each in ordered}) < len(ordered):
        raise ValueError("two middlewares have the same place in the chain")
    for each in ordered:
        handle = _around(each, handle)
    return handle


def _around(middleware: Middleware, inner: Step) -> Step:
    own = type(middleware)
    before = None if own.before is Middleware.before else middleware.before
    after = None if own.after is Middleware.after else middleware.after
    on_error = None if own.on_error is Middleware.on_error else middleware.on_error
    if after is None and on_error is None:
        return inner if before is None else _before_only(before, inner)

    async def step(call: Any) -> Any:
        if before is not None:
            await before(call)
        try:
            result = await inner(call)
        except Exception as error:
            if on_error is None:
                raise
            seen = await on_error(call, error)
            try:
                if seen is error:
                    raise
                raise seen from error
            finally:
                del seen  # its traceback refers to this frame: else only the garbage collector frees both
        except BaseException as error:
            if on_error is not None:
                with suppress(Exception):  # a cancellation stays one
                    await on_error(call, error)
            raise
        if after is not None:
            await after(call, result)
        return result

    return step


def _before_only(before: Callable[[Any], Awaitable[None]], inner: Step) -> Step:
    async def step(call: Any) -> Any:
        await before(call)
        return await inner(call)

    return step
