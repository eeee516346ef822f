"""The client without asyncio: threads, Ctrl-C, and the same answers."""

from __future__ import annotations

import asyncio
import math
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from synckairos.client import Change
from synckairos.client.blocking import Session, SyncKairos
from synckairos.client.errors import (
    ClientClosed,
    ClockSkewRefused,
    ConcurrentModification,
    SessionNotFound,
    StorageUnavailable,
    SyncKairosError,
)
from synckairos.run.processes import free_port
from tests.support import servers
from tests.support.live import PATIENCE_S, service, settings

ANNA, BEN = str(uuid.uuid4()), str(uuid.uuid4())
PEOPLE = [{"participant_id": ANNA}, {"participant_id": BEN}]


@pytest.fixture(scope="module")
def url(redis: servers.Server) -> Iterator[str]:
    """A service in a thread of its own."""
    running = threading.Event()
    found: list[tuple[asyncio.AbstractEventLoop, asyncio.Event, int]] = []

    async def run() -> None:
        async with service(settings(redis.url)) as live:
            found.append((asyncio.get_running_loop(), stop := asyncio.Event(), live.port))
            running.set()
            await stop.wait()

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    assert running.wait(PATIENCE_S)
    loop, stop, port = found[0]
    yield f"http://127.0.0.1:{port}"
    loop.call_soon_threadsafe(stop.set)
    thread.join()


@pytest.fixture
def client(url: str) -> Iterator[SyncKairos]:
    with SyncKairos(url) as client:
        yield client


@pytest.fixture
def session(client: SyncKairos) -> Iterator[Session]:
    state = client.create(preset="blitz", participants=PEOPLE)
    with client.session(state.session_id) as session:
        session.start()
        yield session


def eventually(condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "what had to happen did not happen"
        time.sleep(0.01)


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "synckairos client"]


def test_everything_is_there_without_await(client: SyncKairos) -> None:
    state = client.create(preset="blitz", participants=PEOPLE)
    assert client.get(state.session_id).version == 1
    assert "blitz" in [preset["name"] for preset in client.presets()]
    with pytest.raises(StorageUnavailable):
        client.list()
    assert client.request("GET", f"/v1/sessions/{state.session_id}")["version"] == 1
    assert client.sync_time().now_ms() is not None
    with client.session(state.session_id) as session:
        assert session.ready(PATIENCE_S) == session.state == session.confirmed
        assert (session.id, session.connection, session.pending) == (state.session_id, "live", False)
        changes = [session.start(), session.switch(), session.pause(), session.resume()]
        assert [change.version for change in changes] == [2, 3, 4, 5]
        added = session.add(ANNA, 1000, reason="x")
        assert added is not None
        assert (added.version, added.payload.adjusted_ms) == (6, 1000)
        assert session.set(ANNA, 60_000, within_ms=1) is None
        changed = session.set(ANNA, 60_000)
        assert changed is not None
        assert changed.version == 7
        assert session.remaining(ANNA) == 60_000
        face = session.clock()
        assert face is not None
        assert face.owner_id == BEN
        assert (session.elapsed() or 0) >= 0
        cleo = str(uuid.uuid4())
        assert session.join(participant_id=cleo).version == 8
        assert session.leave(cleo).version == 9
        assert [change.version for change in session.events(7)] == [8, 9]
        assert session.complete().version == 10
        session.delete()
        eventually(lambda: session.connection == "closed")
        assert isinstance(session.close_reason, SessionNotFound)
    assert client.time.uncertainty_ms < math.inf
    assert client.time.offset_ms is not None
    assert client.time.rtt_ms is not None
    assert client.time.skew_ms is not None
    assert not client.time.is_refused


def test_refusals_are_raised_where_the_call_was_made(session: Session, client: SyncKairos) -> None:
    with pytest.raises(ConcurrentModification):
        session.switch(expected_version=1)
    with pytest.raises(SessionNotFound):
        client.session(str(uuid.uuid4())).ready()
    with pytest.raises(ConcurrentModification):
        session.pause(expected_version=1)
    session.pause()
    with pytest.raises(ConcurrentModification):
        session.resume(expected_version=1)
    assert session.cancel().version == 4


def test_changes_are_iterated_and_a_wait_may_end_by_time(session: Session) -> None:
    hasty, changes = session.changes(timeout=0.05), session.changes(timeout=PATIENCE_S)
    with pytest.raises(TimeoutError):
        next(hasty)
    session.switch()
    assert next(hasty).version == next(changes).version == 3
    others = session.changes(since=0)
    session.delete()
    assert [change.event for change in changes] == ["session.deleted"]
    with pytest.raises(SessionNotFound):
        next(others)


def test_waits_may_last_for_days(session: Session) -> None:
    """A program that watches a game by correspondence has such a timeout, and no wait ends early by it."""
    month = 40 * 86_400.0
    assert session.ready(month).session_id == session.id
    changes, unlimited = session.changes(timeout=month), session.changes(timeout=math.inf)
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(next, changes), pool.submit(next, unlimited)]
        over = pool.submit(session.over, timeout=month)
        time.sleep(0.05)
        assert not any(each.done() for each in waiting)
        assert not over.done()
        session.switch()
        assert [each.result(PATIENCE_S).event for each in waiting] == ["cycle.switched"] * 2
        session.cancel()
        assert over.result(PATIENCE_S).status == "cancelled"


def test_callbacks_are_called_in_the_background_and_may_not_wait(
    session: Session, client: SyncKairos
) -> None:
    told: list[object] = []

    def changed(_: object, change: Change | None) -> None:
        told.append(threading.current_thread().name)
        told.append(session.remaining() is not None)
        try:
            session.switch()
        except RuntimeError as error:
            told.append(str(error))

    ends = [
        session.on_change(changed),
        session.on_expire(told.append),
        session.on_warning(told.append),
        session.on_connection(told.append),
        session.on_error(told.append),
        client.on_error(told.append),
        client.time.on_change(lambda _: None),
    ]
    session.pause()
    for end in ends:
        end()
    assert told[:3] == [
        "synckairos client",
        True,
        "a callback cannot wait for a call: let another thread make it",
    ]
    count = len(told)
    session.resume()
    assert len(told) == count


def test_many_threads_may_use_one_session(session: Session) -> None:
    with ThreadPoolExecutor(8) as pool:
        for number in range(20):
            reading = [pool.submit(session.remaining, ANNA) for _ in range(20)]
            (session.resume if number % 2 else session.pause)()
            assert all((left.result() or 0) > 0 for left in reading)
    assert session.state.version == 22


def test_closing_while_another_thread_waits_ends_its_call(url: str) -> None:
    client = SyncKairos(url)
    state = client.create(preset="blitz", participants=PEOPLE)
    session = client.session(state.session_id)
    changes = session.changes()
    session.ready()
    with ThreadPoolExecutor(2) as pool:
        reading = pool.submit(list, changes)
        lost = SyncKairos(f"http://127.0.0.1:{free_port()}", reconnect_attempts=math.inf)
        waiting = pool.submit(lost.session(str(uuid.uuid4())).ready)
        client.close()
        lost.close()
        assert reading.result(PATIENCE_S) == []
        with pytest.raises(ClientClosed):
            waiting.result(PATIENCE_S)
    client.close()
    with pytest.raises(ClientClosed):
        client.get("x")
    eventually(lambda: threads() == [])


def test_ctrl_c_ends_a_call_and_the_client_goes_on(session: Session) -> None:
    main = threading.main_thread().ident
    assert main is not None
    changes = session.changes()

    def press(_: object, change: Change | None) -> None:
        # In the client's thread, and before anybody who waits for a change gets this one.
        if change is not None:
            signal.pthread_kill(main, signal.SIGINT)

    def play() -> None:
        session.switch()
        eventually(lambda: taken == [3])
        end = session.on_change(press)
        session.pause()
        end()

    taken: list[int] = []
    thread = threading.Thread(target=play)
    thread.start()
    try:
        for change in changes:
            taken.append(change.version)  # noqa: PERF401 - the other thread reads it
    except KeyboardInterrupt:
        taken.append(0)
    thread.join()
    assert taken == [3, 0]
    assert session.resume().version == 5


def test_a_url_that_is_none_leaves_no_thread() -> None:
    before = len(threads())
    with pytest.raises(ValueError, match="URL"):
        SyncKairos("nonsense")
    eventually(lambda: len(threads()) == before)


def test_the_time_may_be_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with SyncKairos(url, max_skew_ms=-10_000) as client:
        errors: list[SyncKairosError] = []
        client.on_error(errors.append)
        client.sync_time()
        assert [type(error) for error in errors] == [ClockSkewRefused]
        assert client.time.is_refused


def test_a_program_that_forgets_to_close_ends_all_the_same(url: str) -> None:
    program = (
        "from synckairos.client.blocking import SyncKairos\n"
        f"client = SyncKairos({url!r})\n"
        "print(client.sync_time().now_ms() is not None)\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert told.stdout == "True\n"
    assert told.stderr == ""
