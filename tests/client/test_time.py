"""The server's time as the client knows it: the filter, the clock that is shown, this machine's own clock."""

from __future__ import annotations

import asyncio
import math

import pytest

from synckairos.client import SyncKairos
from synckairos.client import client as client_module
from synckairos.client.errors import ClockSkew, ClockSkewRefused, SyncKairosError
from synckairos.client.server_time import MAX_SKEW_MS, ServerTime
from synckairos.client.time import ClockFilter, SlewedClock
from tests.support.live import Service, eventually, game

HOUR_MS = 3_600_000.0


class Machine:
    """This machine's clocks, by hand."""

    def __init__(self, wall_ms: float = 1_800_000_000_000.0) -> None:
        self.monotonic_ms = 5_000.0
        self.apart_ms = wall_ms - self.monotonic_ms

    def time(self, max_skew_ms: float = HOUR_MS) -> ServerTime:
        return ServerTime(max_skew_ms, lambda: self.monotonic_ms, lambda: self.monotonic_ms + self.apart_ms)


def test_a_sample_says_the_offset_and_how_wrong_it_can_be() -> None:
    clock = ClockFilter()
    assert clock.estimate(0) is None
    clock.add(100, 1060.5, 1062.5, 122)
    assert clock.estimate(122) == (950.5, 10.5, 20)


def test_the_best_of_the_newest_eight_counts_and_age_makes_worse() -> None:
    clock = ClockFilter()
    clock.add(0, 1001, 1001, 2)
    for at in range(10, 80, 10):
        clock.add(at, 1000 + at + 50, 1000 + at + 50, at + 100)
    best = clock.estimate(100)
    assert best is not None
    assert (best.offset, best.rtt) == (1000, 2)
    assert best.uncertainty == pytest.approx(1 + 0.5 + 98 * 50e-6)
    # After a million ms and 50 ppm the first one is worth 50 ms less, and so are the others.
    clock.add(1_000_000, 1_001_010, 1_001_010, 1_000_020)
    best = clock.estimate(1_000_020)
    assert best is not None
    assert (best.offset, best.rtt) == (1000, 20)


def test_of_equals_the_newer_sample_counts_and_nonsense_does_not() -> None:
    clock = ClockFilter()
    clock.add(0, 1010, 1010, 20, now=5)
    clock.add(0, 1011, 1011, 20, now=5)
    clock.add(10, 5, 5, 9)
    clock.add(0, math.nan, 0, 9)
    best = clock.estimate(5)
    assert best is not None
    assert best.offset == 1001
    clock.reset()
    assert clock.estimate(5) is None


def test_what_is_shown_slews_and_never_goes_back() -> None:
    clock = SlewedClock()
    assert clock.now(0) is None
    assert clock.gap(0) == 0
    clock.set(1000, 0)
    assert clock.now(100) == 1100
    clock.set(1010, 100)
    assert clock.now(200) == pytest.approx(1205)
    assert clock.gap(200) == pytest.approx(5)
    assert clock.now(300) == pytest.approx(1310)
    assert clock.now(1000) == pytest.approx(2010)
    clock.set(900, 1000)
    assert clock.now(1100) == pytest.approx(2105)
    assert clock.now(1100) == pytest.approx(2105)
    assert clock.now(1050) == pytest.approx(2105)


def test_a_step_forward_of_more_than_a_second_is_taken_at_once_and_one_back_at_half_speed() -> None:
    clock = SlewedClock()
    clock.set(0, 0)
    clock.set(60_000, 10)
    assert clock.now(10) == 60_010
    clock.set(0, 10)
    assert clock.now(1010) == pytest.approx(60_510)


def test_a_wrong_clock_of_this_machine_is_reported_once() -> None:
    machine = Machine()
    time = machine.time()
    assert (time.now_ms(), time.skew_ms, time.offset_ms, time.rtt_ms) == (None, None, None, None)
    server = machine.monotonic_ms + machine.apart_ms + 90_000
    error = time.add(4990, server - 5.5, server - 5.5, 5000)
    assert isinstance(error, ClockSkew)
    assert error.context["skew_ms"] == pytest.approx(90_000)
    assert "90 s behind" in error.message
    assert not time.is_refused
    assert time.add(4990, server - 5.5, server - 5.5, 5000) is None
    assert time.now_ms() == pytest.approx(server)
    assert time.skew_ms == pytest.approx(90_000)


@pytest.mark.parametrize(
    ("off_ms", "refused"), [(HOUR_MS, False), (HOUR_MS + 900, False), (2 * HOUR_MS, True)]
)
def test_a_clock_that_is_further_off_than_allowed_is_refused(off_ms: float, *, refused: bool) -> None:
    machine = Machine()
    time = machine.time()
    server = machine.monotonic_ms + machine.apart_ms - off_ms
    error = time.add(4990, server - 5.5, server - 5.5, 5000)
    assert type(error) is (ClockSkewRefused if refused else ClockSkew)
    assert time.is_refused is refused


@pytest.mark.parametrize("off_ms", [5 * HOUR_MS, -5 * HOUR_MS, 200_000 * HOUR_MS])
def test_a_clock_that_is_hours_or_years_off_is_reported_and_the_time_is_known(off_ms: float) -> None:
    machine = Machine()
    time = machine.time(MAX_SKEW_MS)
    server = machine.monotonic_ms + machine.apart_ms - off_ms
    assert type(time.add(4990, server - 5.5, server - 5.5, 5000)) is ClockSkew
    assert not time.is_refused
    assert time.now_ms() is not None


def test_samples_of_before_a_sleep_do_not_count() -> None:
    machine = Machine()
    time = machine.time()
    server = machine.monotonic_ms + machine.apart_ms
    time.add(4990, server - 5.5, server - 5.5, 5000)
    assert not time.has_slept()
    machine.apart_ms += 30_000
    assert time.has_slept()
    assert not time.has_slept()
    assert time.uncertainty_ms == math.inf
    assert time.now_ms() == pytest.approx(server)
    machine.monotonic_ms += 200
    time.add(5190, server + 30_194.5, server + 30_194.5, 5200)
    assert time.now_ms() == pytest.approx(server + 30_200)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_session_finds_the_servers_time_by_a_burst(live: Service) -> None:
    session_id = await game(live.sessions)
    async with SyncKairos(f"http://127.0.0.1:{live.port}") as client:
        servers: list[float] = []  # how wrong the server's own clock may have been at each answer
        client.time.on_change(lambda _: servers.append(live.context.clock.uncertainty_ms()))
        async with client.session(session_id):
            await eventually(lambda: len(servers) >= client_module.BURST)
            # An answer during which the server's clock was set right is no sample.
            assert 1 <= len(client.time._filter._samples) <= client_module.BURST
            before = live.context.clock.now_ms()
            now = client.time.now_ms()
            after = live.context.clock.now_ms()
            assert now is not None
            slack = client.time.uncertainty_ms + max(*servers, live.context.clock.uncertainty_ms())
            assert before - slack <= now <= after + slack


@pytest.mark.asyncio(loop_scope="module")
async def test_without_a_socket_the_time_is_found_over_http(live: Service) -> None:
    async with SyncKairos(f"http://127.0.0.1:{live.port}") as client:
        time = await client.sync_time()
        assert time.now_ms() is not None
        assert math.isfinite(time.uncertainty_ms)
        assert abs(time.skew_ms or math.inf) < 60_000


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("off_ms", "max_skew_ms", "kind"),
    [
        (120_000, MAX_SKEW_MS, ClockSkew),
        (-5 * HOUR_MS, MAX_SKEW_MS, ClockSkew),
        (2 * HOUR_MS, HOUR_MS, ClockSkewRefused),
    ],
)
async def test_a_session_goes_by_the_server_whatever_this_machines_clock_says(
    live: Service, off_ms: float, max_skew_ms: float, kind: type[SyncKairosError]
) -> None:
    session_id = await game(live.sessions, seconds=600)
    honest = ServerTime()
    wrong = ServerTime(max_skew_ms, wall=lambda: honest._wall() + off_ms)
    async with SyncKairos(f"http://127.0.0.1:{live.port}", time=wrong) as client:
        told: list[SyncKairosError] = []
        client.on_error(told.append)
        async with client.session(session_id) as session:
            session.on_error(told.append)
            await eventually(lambda: len(told) == 2)
            assert {type(error) for error in told} == {kind}
            left = session.remaining()
            if kind is ClockSkewRefused:
                assert left is None
                assert session.clock() is None
                assert session.elapsed() is None
            else:
                assert left is not None
                assert 500_000 < left <= 600_000


@pytest.mark.asyncio(loop_scope="module")
async def test_until_the_time_was_measured_the_newest_state_says_it(
    live: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never() -> None:
        await asyncio.Event().wait()

    session_id = await game(live.sessions, seconds=600)
    async with SyncKairos(f"http://127.0.0.1:{live.port}") as client:
        monkeypatch.setattr(client, "_keep_time", never)
        async with client.session(session_id) as session:
            assert client.time.now_ms() is None
            left = session.remaining()
            assert left is not None
            assert 500_000 < left <= 600_000
