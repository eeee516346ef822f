"""The circuit breaker of one dependency: a server, or a host.

Its states are those of `purgatory`: closed, open, half-open. What is ours around them: one probe at a time,
pauses that double, a clock that nobody sets, and the watch for a reconnection.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from math import ceil
from time import monotonic
from typing import TypeVar

import structlog
from purgatory.domain.messages.events import ContextChanged
from purgatory.domain.model import CLOSED, HALF_OPENED, ClosedState, Context, HalfOpenedState

from synckairos import metrics
from synckairos.errors import CircuitOpen, error_text
from synckairos.supervision import retrieve_error

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

T = TypeVar("T")
Reconnect = Callable[[], Awaitable[object]]
"""Tries to reach the dependency. Raises TimeoutError when it does not answer, and any other Exception when it
is not there."""

FAILURES = 5
"""How many failures in a row open it."""
FIRST_S, LONGEST_S = 1.0, 60.0
"""How long it is open before a call may try again: twice as long after each one that fails."""
REPLACED_S = 30.0
"""A failover takes some seconds. When none has come for so long, none is to be expected."""
PROBE_S = 10.0
"""A probe of which nothing is heard for so long is forgotten, and the next call may try."""
WATCH_EVERY_S = 0.25
"""How often a connection is tried while it is open."""
SOON_S = 0.005
"""How soon it is tried again when a call comes."""
TOLD_S = 0.25
"""How long a call waits for that at most. An attempt at a server that is not there takes a millisecond."""

_GAUGE = {CLOSED: 0, HALF_OPENED: 1}
_OPEN = 2


class Breaker:
    """Counts what fails in a row, and refuses calls while there is no point in them.

    Calls that are under way when it opens are left alone. When one of them succeeds, it closes.

    name: the dependency, for logs and metrics; its first word is what callers are told
    reconnect: how to find out that it can be reached again. While it cannot be, no call is let through
    replaceable: whether another server may take its place any moment. Then one call at a time is let through
        in any case, for REPLACED_S, so that one is there when that happens
    now: monotonic seconds
    """

    def __init__(
        self,
        name: str,
        reconnect: Reconnect | None = None,
        replaceable: Callable[[], bool] = lambda: False,
        now: Callable[[], float] = monotonic,
    ) -> None:
        self.name = name
        self._reconnect = reconnect
        self._replaceable = replaceable
        self._opened_at = 0.0
        self._now = now
        self._circuit = Context(name, FAILURES, FIRST_S)
        self._next_probe_at = 0.0
        self._probing_since = 0.0
        self._unreachable = False
        """Whether the last attempt to connect has failed."""
        self._hangs = False
        """Whether that was because there was no answer in time."""
        self._trusted = True
        """Whether calls have succeeded since an attempt to connect has closed it last."""
        self._trying = False
        """Whether an attempt to connect is under way."""
        self._refused = 0
        """How many calls were refused since it opened."""
        self._watching: asyncio.Task[None] | None = None
        self._wanted = asyncio.Event()
        self._next: asyncio.Future[None] | None = None
        """Has a result after the attempt that begins next."""
        self.closed = True
        """Whether all calls are let through."""
        self.quiet = True
        """Whether it is closed and nothing has failed lately. An attribute, as each call reads it."""
        metrics.breaker_state.labels(name).set(0)

    async def check(self) -> None:
        """Raise CircuitOpen when a call would be refused now. It takes no probe."""
        if not self.closed:
            await self._look()
            if not self.closed and not self._is_probe_due():
                raise self._refusal()

    async def admit(self) -> bool:
        """Let a call through. Returns whether it is the probe.

        What is returned has to go to `succeeded`, `failed` or `ended` after the call. Raises CircuitOpen.
        """
        await self.check()
        if self.closed:
            return False
        self._circuit.set_state(HalfOpenedState())
        self._probing_since = self._now()
        self._tell()
        return True

    def succeeded(self) -> None:
        """Note that the dependency has answered a call, whatever it said."""
        self._trusted = True
        if self.closed:
            self._circuit.handle_end_request()
            self._tell()
            return
        self._close()

    def failed(self, error: BaseException, *, probe: bool) -> None:
        """Note that the dependency did not answer.

        Once it is open, only the probe counts: the other calls began before that.
        """
        if not self.closed and not probe:
            return
        has_probed = probe and self._circuit.state == HALF_OPENED
        self._circuit.handle_exception(error)
        if has_probed:
            self._circuit.ttl = min(2 * self._circuit.ttl, LONGEST_S)
        self._tell(error)

    def ended(self, *, probe: bool) -> None:
        """Note that a call ended without saying anything about the dependency. The next one may try then."""
        if probe and self._circuit.state == HALF_OPENED:
            self._probing_since = float("-inf")

    async def around(self, call: Callable[[], Awaitable[T]], failures: tuple[type[Exception], ...]) -> T:
        """What `call` returns. What it raises is a failure if it is one of `failures`, else an answer.

        Raises CircuitOpen, and what `call` raises.
        """
        probe = await self.admit()
        try:
            result = await call()
        except failures as error:
            self.failed(error, probe=probe)
            raise
        except Exception:
            self.succeeded()
            raise
        except BaseException:
            self.ended(probe=probe)
            raise
        self.succeeded()
        return result

    async def reach(self) -> None:
        """While it is open, try to connect now. Raises CircuitOpen when that fails.

        For jobs: they come seldom, and have to be done as soon as it is possible.
        """
        if self.closed or self._reconnect is None:
            return
        try:
            await self._reconnect()
        except Exception as error:
            self._note_unreachable(error)
            raise self._refusal() from error
        self._close()

    async def aclose(self) -> None:
        """End the watch."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait((self._watching,))

    def _close(self) -> None:
        self._circuit.set_state(ClosedState())
        self._circuit.ttl = FIRST_S
        self._unreachable = False
        self._tell()

    def _is_probe_due(self) -> bool:
        if self._circuit.state == HALF_OPENED:
            return self._now() - self._probing_since > PROBE_S
        if self._replaceable() and self._now() - self._opened_at < REPLACED_S:
            return True
        if self._unreachable or self._trying:  # the watch finds out
            return False
        return self._now() >= self._next_probe_at

    def _refusal(self) -> CircuitOpen:
        """The error of a call that is refused now. It may come again when the next attempt was made."""
        self._refused += 1
        is_watched = self._unreachable or self._trying or self._circuit.state == HALF_OPENED
        after_s = WATCH_EVERY_S if is_watched else self._next_probe_at - self._now()
        kind = self.name.partition(" ")[0]
        return CircuitOpen(context={"dependency": kind}, retry_after_ms=1000 * max(1, ceil(after_s)))

    def _tell(self, error: BaseException | None = None) -> None:
        """Act on a change of the state."""
        changed = any(isinstance(message, ContextChanged) for message in self._circuit.messages)
        self._circuit.messages.clear()
        state = self._circuit.state
        opens = self.closed and state != CLOSED
        if opens:
            self._opened_at, self._refused = self._now(), 0
        self.closed = state == CLOSED
        self.quiet = self.closed and not self._circuit.failure_count
        if not changed:
            return
        metrics.breaker_state.labels(self.name).set(_GAUGE.get(state, _OPEN))
        if self.closed:
            log.info(
                "a dependency answers again",
                dependency=self.name,
                after_s=round(self._now() - self._opened_at, 3),
                refused=self._refused,
            )
        elif state != HALF_OPENED:
            self._next_probe_at = self._now() + self._circuit.ttl
            log.log(
                logging.WARNING if opens else logging.DEBUG,
                "a dependency does not answer, and is not asked for a while",
                dependency=self.name,
                for_s=self._circuit.ttl,
                reason=error_text(error),
            )
            self._watch()

    def _watch(self) -> None:
        if self._reconnect is not None and (self._watching is None or self._watching.done()):
            self._watching = asyncio.create_task(
                self._until_closed(self._reconnect), name=f"breaker {self.name}"
            )
            self._watching.add_done_callback(retrieve_error)

    async def _look(self) -> None:
        """Have a connection tried now, where that is known to take no time, and wait for the outcome.

        So the first call after a restart finds the server again. While a server hangs, nobody waits.
        """
        if self._unreachable and not self._hangs and self._next is not None:
            self._wanted.set()
            await asyncio.wait((self._next,), timeout=TOLD_S)

    async def _until_closed(self, reconnect: Reconnect) -> None:
        """Try to connect again and again, and close when that works.

        When it worked the last time, and then all calls failed again, that says nothing any more: then it has
        to work after it did not, or a call has to find out.
        """
        self._next = asyncio.get_running_loop().create_future()
        try:
            while not self.closed:
                self._wanted.clear()
                told, self._next = self._next, asyncio.get_running_loop().create_future()
                self._trying = True
                try:
                    await reconnect()
                except Exception as error:  # noqa: BLE001 - whatever it is, the dependency was not reached
                    self._note_unreachable(error)
                else:
                    if self._trusted or self._unreachable:
                        self._trusted = False
                        self._close()
                        self.quiet = False  # so that it hears of the next call that succeeds
                finally:
                    self._trying = False
                    told.set_result(None)
                if not self.closed:
                    await asyncio.sleep(SOON_S)
                    with suppress(TimeoutError):
                        async with asyncio.timeout(WATCH_EVERY_S):
                            await self._wanted.wait()
        finally:
            self._next.set_result(None)
            self._next = None

    def _note_unreachable(self, error: Exception) -> None:
        self._unreachable = True
        self._hangs = isinstance(error, TimeoutError)
