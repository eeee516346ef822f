"""Circuit breakers, by a clock that the test sets: when they open, for how long, and what closes them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import pytest
import structlog
from redis.asyncio import Redis
from structlog.testing import capture_logs

from synckairos import metrics
from synckairos.breakers import breaker as breakers
from synckairos.breakers.breaker import FAILURES, Breaker
from synckairos.breakers.registry import Breakers
from synckairos.core.routes import Cluster
from synckairos.errors import CircuitOpen, StorageUnavailable


class Clock:
    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker("webhook example.com", now=clock)


async def fail(breaker: Breaker, times: int = 1) -> None:
    for _ in range(times):
        breaker.failed(ConnectionError("refused"), probe=await breaker.admit())


async def retry_after_ms(breaker: Breaker) -> int | None:
    with pytest.raises(CircuitOpen) as raised:
        await breaker.admit()
    return raised.value.retry_after_ms


def state(breaker: Breaker) -> float | None:
    return metrics.registry.get_sample_value("synckairos_breaker_state", {"dependency": breaker.name})


async def test_it_opens_after_five_failures_in_a_row(breaker: Breaker) -> None:
    await fail(breaker, FAILURES - 1)
    assert breaker.closed
    breaker.succeeded()
    await fail(breaker, FAILURES - 1)
    assert (breaker.closed, breaker.quiet) == (True, False)
    await fail(breaker)
    assert (breaker.closed, breaker.quiet) == (False, False)
    with pytest.raises(CircuitOpen) as raised:
        await breaker.check()
    error = raised.value
    assert (error.code, error.status, error.retryable) == ("CIRCUIT_OPEN", 503, True)
    assert error.context == {"dependency": "webhook"}, "an address is nothing for callers"
    assert isinstance(error, StorageUnavailable), "what copes with a storage that is away copes with this"


async def test_it_tells_once_why_it_opens_and_once_how_many_it_has_refused(
    breaker: Breaker, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each refusal has no line of its own: there may be thousands a second."""
    with capture_logs() as lines:
        monkeypatch.setattr(breakers, "log", structlog.get_logger())
        for refused in (1000, 1):
            await fail(breaker, FAILURES)
            for _ in range(refused):
                with pytest.raises(CircuitOpen):
                    await breaker.check()
            clock.time += 1.5
            assert await breaker.admit()
            breaker.succeeded()
    opened = {"log_level": "warning", "event": "a dependency does not answer, and is not asked for a while"}
    closed = {"log_level": "info", "event": "a dependency answers again"}
    of = {"dependency": "webhook example.com"}
    assert lines == [
        {**opened, **of, "for_s": 1.0, "reason": "refused"},
        {**closed, **of, "after_s": 1.5, "refused": 1000},
        {**opened, **of, "for_s": 1.0, "reason": "refused"},
        {**closed, **of, "after_s": 1.5, "refused": 1},
    ]


async def test_it_is_open_for_one_second_and_then_twice_as_long_each_time(
    breaker: Breaker, clock: Clock
) -> None:
    await fail(breaker, FAILURES)
    for open_for_s in (1, 2, 4, 8, 16, 32, 60, 60):
        assert await retry_after_ms(breaker) == 1000 * open_for_s
        clock.time += open_for_s - 0.001
        assert await retry_after_ms(breaker) == 1000
        clock.time += 0.001
        assert await breaker.admit(), "this is the probe"
        breaker.failed(TimeoutError(), probe=True)
    clock.time += 60
    assert await breaker.admit()
    breaker.succeeded()
    await fail(breaker, FAILURES)
    assert await retry_after_ms(breaker) == 1000, "after it was closed it begins anew"


async def test_there_is_one_probe_at_a_time(breaker: Breaker, clock: Clock) -> None:
    await fail(breaker, FAILURES)
    clock.time += 1
    await breaker.check()
    assert await breaker.admit()
    assert state(breaker) == 1
    for _ in range(3):
        assert await retry_after_ms(breaker) == 1000
    breaker.ended(probe=True)  # its caller went away
    assert await breaker.admit()
    clock.time += breakers.PROBE_S + 0.001
    assert await breaker.admit(), "nothing was heard of the last one"
    breaker.succeeded()
    assert (breaker.closed, state(breaker)) == (True, 0)


async def test_calls_that_began_before_it_opened_neither_keep_it_open_nor_count(
    breaker: Breaker, clock: Clock
) -> None:
    under_way = [await breaker.admit() for _ in range(10)]
    for probe in under_way[:8]:
        breaker.failed(TimeoutError(), probe=probe)
    assert await retry_after_ms(breaker) == 1000
    clock.time += 1
    probe = await breaker.admit()
    breaker.failed(TimeoutError(), probe=under_way[8])
    assert state(breaker) == 1, "it still waits for its probe"
    breaker.failed(TimeoutError(), probe=probe)
    assert await retry_after_ms(breaker) == 2000
    breaker.succeeded()  # the tenth
    assert breaker.closed, "the dependency has answered"
    assert await breaker.admit() is False


async def test_only_failures_of_the_infrastructure_count(breaker: Breaker) -> None:
    async def raising(error: BaseException) -> None:
        raise error

    async def through(error: BaseException) -> None:
        with suppress(type(error)):
            await breaker.around(lambda: raising(error), (ConnectionError, TimeoutError))

    for _ in range(3 * FAILURES):
        await through(ValueError("404"))
        await through(asyncio.CancelledError())
    assert breaker.quiet
    for _ in range(FAILURES - 1):
        await through(TimeoutError())
    await through(ValueError("an answer, even if it is a refusal"))
    for _ in range(FAILURES):
        assert breaker.closed
        await through(ConnectionRefusedError())
    assert not breaker.closed
    with pytest.raises(CircuitOpen):
        await breaker.around(lambda: pytest.fail("it is not asked"), (TimeoutError,))


class Server:
    """Something to connect to."""

    def __init__(self) -> None:
        self.is_there = False
        self.tries = 0

    async def reconnect(self) -> None:
        self.tries += 1
        if not self.is_there:
            raise ConnectionRefusedError


@pytest.fixture
async def watched(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Breaker, Server]]:
    monkeypatch.setattr(breakers, "WATCH_EVERY_S", 0.01)
    server = Server()
    made = Breaker("redis 10.0.0.1:6379", server.reconnect, now=clock)
    yield made, server
    await made.aclose()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


async def test_a_reconnection_closes_it_at_once(watched: tuple[Breaker, Server], clock: Clock) -> None:
    breaker, server = watched
    await fail(breaker, FAILURES)
    await until(lambda: server.tries >= 3)
    clock.time += 3600
    assert await retry_after_ms(breaker) == 1000, "no call is spent on what cannot be reached"
    server.is_there = True
    await until(lambda: breaker.closed)
    await fail(breaker, FAILURES - 1)
    assert breaker.closed


async def test_one_call_at_a_time_waits_for_a_server_that_may_be_replaced(clock: Clock) -> None:
    replaceable = [True]
    breaker = Breaker("redis 10.0.0.2:6379", replaceable=lambda: replaceable[0], now=clock)
    await fail(breaker, FAILURES)
    for _ in range(5):
        clock.time += 2
        assert await breaker.admit(), "a failover may end any moment"
        assert await retry_after_ms(breaker) == 1000
        breaker.failed(TimeoutError(), probe=True)
    clock.time += breakers.REPLACED_S - 10
    assert await retry_after_ms(breaker), "none has come: from now on it is as with any other"
    breaker.succeeded()
    await fail(breaker, FAILURES)
    replaceable.clear()
    replaceable.append(False)
    assert await retry_after_ms(breaker) == 1000


async def test_a_server_that_takes_connections_and_no_calls_is_believed_once(
    watched: tuple[Breaker, Server], clock: Clock
) -> None:
    breaker, server = watched
    server.is_there = True
    await fail(breaker, FAILURES)
    await until(lambda: breaker.closed)
    await fail(breaker, FAILURES)
    tries = server.tries
    await until(lambda: server.tries >= tries + 3)
    assert not breaker.closed, "it has just been closed, and nothing was answered since"
    await until(lambda: not breaker._trying)
    clock.time += 1
    assert await breaker.admit()
    breaker.succeeded()
    await fail(breaker, FAILURES)
    await until(lambda: breaker.closed)


async def test_jobs_try_to_reach_it_first(watched: tuple[Breaker, Server]) -> None:
    breaker, server = watched
    await breaker.reach()
    assert server.tries == 0
    await fail(breaker, FAILURES)
    with pytest.raises(CircuitOpen):
        await breaker.reach()
    server.is_there = True
    await breaker.reach()
    assert breaker.closed


async def test_the_registry_has_one_breaker_for_each_name() -> None:
    known = Breakers()
    first = known.of("postgresql")
    assert known.of("postgresql") is first
    assert known.of("webhook example.com") is not first
    await fail(first, FAILURES)
    assert state(first) == 2
    newer = known.renewed("postgresql", Server().reconnect)
    assert newer.closed
    assert (known.of("postgresql"), state(newer)) == (newer, 0)
    await fail(newer, FAILURES)
    await known.forget(first)  # its connection was closed late
    assert (known.of("postgresql"), state(newer)) == (newer, 2)
    await known.aclose()
    assert state(newer) == 0


async def test_what_any_primary_of_a_cluster_can_do_goes_to_one_whose_breaker_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registry = Breakers()
    route = Cluster([], lambda at: Redis(host=at[0], port=at[1]), None, registry)
    first, second = (route.link_at(("127.0.0.1", port), None) for port in (1, 2))
    for link in (first, second):
        monkeypatch.setattr(link.calls, "ready", lambda: "a wire that works")
    assert route.link(None) is first
    await fail(first.breaker, FAILURES)
    assert route.link(None) is second
    await fail(second.breaker, FAILURES)
    assert route.link(None) is first
    await registry.aclose()
    await route.aclose()
