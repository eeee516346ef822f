"""`synckairos watch` beside a running service: on a terminal, in a pipe, and with nothing there to watch."""

import asyncio
import json
import signal
import subprocess
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from synckairos.run.processes import free_port
from tests.support import live
from tests.support.live import Service
from tests.support.programs import Program, run
from tests.support.proxy import Proxy
from tests.support.servers import Server
from tests.support.terminal import Terminal

ANNA = "aaaaaaaa-0000-4000-8000-000000000001"
BEN = "bbbbbbbb-0000-4000-8000-000000000002"
METADATA = {"title": "Club night", "names": {ANNA: "Anna", BEN: "Ben"}}
LEFT_SCREEN, SHOWN_CURSOR = "\x1b[?1049l", "\x1b[?25h"


@pytest.fixture
async def service(redis: Server) -> AsyncIterator[Service]:
    async with live.service(live.settings(redis.url)) as started:
        yield started


async def game(service: Service, *, start: bool = True, anna_ms: int = 300_000) -> str:
    """A game of Anna and Ben, five minutes each unless told otherwise."""
    session_id = str(uuid.uuid4())
    config = {
        "sync_mode": "per_participant",
        "participants": [
            {"participant_id": ANNA, "total_time_ms": anna_ms},
            {"participant_id": BEN, "total_time_ms": 300_000},
        ],
        "metadata": METADATA,
    }
    await service.sessions.create(session_id, json.dumps(config).encode())
    if start:
        await service.sessions.start(session_id)
    return session_id


@asynccontextmanager
async def watching(
    port: int, session_id: str, *, columns: int = 80, rows: int = 24
) -> AsyncIterator[Terminal]:
    arguments = ("watch", session_id, "--url", f"http://127.0.0.1:{port}")
    with Terminal(*arguments, columns=columns, rows=rows) as terminal:
        yield terminal


async def shows(terminal: Terminal, *words: str) -> None:
    await asyncio.to_thread(terminal.shows, *words)


async def until(terminal: Terminal, condition: Callable[[], bool], what: str) -> None:
    await asyncio.to_thread(terminal.until, condition, what)


async def test_a_game_is_followed_to_its_end(service: Service) -> None:
    session_id = await game(service, start=False)
    async with watching(service.port, session_id) as terminal:
        await shows(terminal, "Club night", "not started", "Anna begins")
        await service.sessions.start(session_id)
        await shows(terminal, "running", ">  Anna", "started: Anna's turn", "█", "live  ±")
        await service.sessions.switch(session_id)
        await shows(terminal, ">  Ben", "Ben's turn")
        await service.sessions.pause(session_id)
        await shows(terminal, "Ben  paused")
        await service.sessions.resume(session_id)
        await shows(terminal, "resumed: Ben's turn")
        await service.sessions.adjust(session_id, participant=BEN, set_ms=1_000)
        assert await asyncio.to_thread(terminal.ended) == 0
        assert "0:00." in terminal.text  # the last second is shown in tenths
        left_behind = terminal.raw.rpartition(LEFT_SCREEN)[2]
        assert "time is up" in left_behind
        assert "Ben ran out of time; Anna wins" in left_behind
        assert SHOWN_CURSOR in terminal.raw
        assert "Traceback" not in terminal.text


@pytest.mark.parametrize("how", ["keys", signal.SIGINT, signal.SIGTERM])
async def test_it_can_be_ended_at_any_time(how: str | signal.Signals, service: Service) -> None:
    session_id = await game(service)
    async with watching(service.port, session_id) as terminal:
        await shows(terminal, "running", "live  ±")
        if isinstance(how, str):
            terminal.press("\x03")
        else:
            terminal.process.send_signal(how)
        assert await asyncio.to_thread(terminal.ended) == 0
        assert "Club night" in terminal.raw.rpartition(LEFT_SCREEN)[2]
        assert "Traceback" not in terminal.text


async def test_keys_leave_no_marks_in_the_picture(service: Service) -> None:
    session_id = await game(service)
    async with watching(service.port, session_id) as terminal:
        await shows(terminal, "running", "live  ±")
        terminal.press("marks\n")
        await service.sessions.switch(session_id)
        await shows(terminal, "Ben's turn")
        terminal.press("\x03")
        assert await asyncio.to_thread(terminal.ended) == 0
        assert "marks" not in terminal.text


async def test_a_terminal_may_change_its_size(service: Service) -> None:
    session_id = await game(service, start=False)
    async with watching(service.port, session_id) as terminal:
        await shows(terminal, "Club night", "live  ±")

        def width() -> int:
            return max(map(len, terminal.picture.splitlines()[:2]), default=0)

        await until(terminal, lambda: width() == 80, "80 columns")
        terminal.resize(60, 12)
        await until(terminal, lambda: width() == 60, "60 columns")
        terminal.resize(120, 40)
        await until(terminal, lambda: width() == 120, "120 columns")


async def test_a_connection_that_is_lost_is_told_and_caught_up_with(service: Service) -> None:
    session_id = await game(service)
    async with Proxy(service.port) as proxy, watching(proxy.port, session_id) as terminal:
        await shows(terminal, "running", "live  ±")
        proxy.target, there = free_port(), proxy.target
        proxy.cut_all()
        await service.sessions.switch(session_id)
        await until(terminal, lambda: "reconnecting  ±" in terminal.text, "the loss to be told")
        assert "the clocks go on by themselves" in terminal.text
        proxy.target = there
        await shows(terminal, "live  ±", "Ben's turn", ">  Ben")


async def test_a_session_that_is_deleted_ends_it(service: Service) -> None:
    session_id = await game(service)
    async with watching(service.port, session_id) as terminal:
        await shows(terminal, "running", "live  ±")
        await service.sessions.delete(session_id)
        assert await asyncio.to_thread(terminal.ended) == 0
        assert "deleted" in terminal.raw.rpartition(LEFT_SCREEN)[2]


async def test_a_session_that_is_over_is_shown_as_it_ended(service: Service) -> None:
    session_id = await game(service)
    await service.sessions.switch(session_id)
    await service.sessions.complete(session_id)
    async with watching(service.port, session_id) as terminal:
        assert await asyncio.to_thread(terminal.ended) == 0
        assert LEFT_SCREEN not in terminal.raw
        assert "completed" in terminal.text
        assert "Anna" in terminal.text


async def test_a_terminal_that_cannot_draw_gets_lines(service: Service) -> None:
    session_id = await game(service)
    arguments = ("watch", session_id, "--url", f"http://127.0.0.1:{service.port}")
    with Terminal(*arguments, environ={"TERM": "dumb"}) as terminal:
        await until(terminal, lambda: "Club night: running" in terminal.text, "the first line")
        await service.sessions.complete(session_id)
        assert await asyncio.to_thread(terminal.ended) == 0
        assert "session.completed" in terminal.text
        assert "\x1b" not in terminal.raw


async def test_a_pipe_gets_a_line_for_each_change(service: Service) -> None:
    session_id = await game(service, start=False)
    with Program("watch", session_id, SYNCKAIROS_URL=f"http://127.0.0.1:{service.port}") as program:

        async def lines(count: int) -> None:
            await asyncio.to_thread(program.until, lambda: len(program.lines) >= count, f"{count} lines")

        await lines(1)
        await service.sessions.start(session_id)
        await service.sessions.switch(session_id)
        await lines(3)  # each as it happens, not in blocks
        await service.sessions.adjust(session_id, participant=BEN, set_ms=1_000)
        assert await asyncio.to_thread(program.process.wait, 30) == 0
        await lines(5)
        said = [line.rstrip("\n").split("  ", 1)[1].split(None, 1) for line in program.lines]
        assert [int(version) for version, _ in said] == [1, 2, 3, 4, 5]
        texts = [text for _, text in said]
        assert texts[0] == "Club night: not started"
        assert texts[1].startswith("session.started: started: Anna's turn [5:00 left]")
        assert texts[2].startswith("cycle.switched: Ben's turn [5:00 left]")
        assert texts[4].startswith("session.expired: Ben ran out of time; Anna wins")
        assert "".join(program.errors) == ""


@pytest.mark.parametrize("query", ["", "?view=board", "#top"])
async def test_the_address_of_a_session_s_page_says_where_it_is(service: Service, query: str) -> None:
    session_id = await game(service)
    await service.sessions.complete(session_id)
    page = f"http://127.0.0.1:{service.port}/s/{session_id}{query}"
    result = await asyncio.to_thread(run, "watch", page)
    assert result.returncode == 0, result.stderr
    assert "Club night: completed" in result.stdout


async def test_a_pipe_that_is_stopped_is_no_failure(service: Service) -> None:
    session_id = await game(service)
    with Program("watch", session_id, "--url", f"http://127.0.0.1:{service.port}") as program:
        await asyncio.to_thread(program.until, lambda: bool(program.lines), "the first line")
        assert await asyncio.to_thread(program.end, signal.SIGINT) == 0
        assert "".join(program.errors) == ""


async def test_where_there_is_nothing_to_watch_it_says_so(service: Service) -> None:
    def refused(session_id: str, url: str) -> subprocess.CompletedProcess[str]:
        return run("watch", session_id, "--url", url)

    there = f"http://127.0.0.1:{service.port}"
    stranger = str(uuid.uuid4())
    cases = (
        (stranger, there, f"there is no session {stranger}"),
        ("7", there, "a session id is a UUID"),
        (stranger, "nonsense", "no address of a service"),
        (stranger, f"http://127.0.0.1:{free_port()}", "no service answers at"),
    )
    results = await asyncio.gather(
        *(asyncio.to_thread(refused, session_id, url) for session_id, url, _ in cases)
    )
    for (_, url, words), result in zip(cases, results, strict=True):
        assert result.returncode == 1, url
        assert words in result.stderr
        assert result.stderr.count("\n") == 1
        assert result.stdout == ""


async def test_with_json_each_line_is_a_message_as_a_socket_gets_it(service: Service) -> None:
    session_id = await game(service, start=False)
    url = f"http://127.0.0.1:{service.port}"
    with Program("watch", "--json", session_id, SYNCKAIROS_URL=url) as program:

        async def messages(count: int) -> list[dict[str, Any]]:
            await asyncio.to_thread(program.until, lambda: len(program.lines) >= count, f"{count} lines")
            return [json.loads(line) for line in program.lines]

        await messages(1)
        await service.sessions.start(session_id)
        await messages(2)  # each as it happens, not in blocks
        await service.sessions.switch(session_id)
        await service.sessions.complete(session_id)
        assert await asyncio.to_thread(program.process.wait, 30) == 0
        first, *changes = await messages(4)
        assert "".join(program.errors) == ""
    assert (first["v"], first["type"], first["version"]) == (1, "STATE_SYNC", 1)
    state = await service.sessions.get(session_id)
    assert first["payload"]["full_state"].keys() >= json.loads(state.raw).keys() - {"schema"}
    assert first["payload"]["full_state"]["metadata"] == METADATA
    assert [change["version"] for change in changes] == [2, 3, 4]
    assert {(change["v"], change["type"], change["session_id"]) for change in changes} == {
        (1, "STATE_UPDATE", session_id)
    }
    events = [change["payload"]["event"] for change in changes]
    assert events == ["session.started", "cycle.switched", "session.completed"]
    log = await service.sessions.log(session_id, 1)
    assert log is not None
    for event, change in zip(map(json.loads, log), changes, strict=True):
        told, shown = event.pop("payload"), change.pop("payload")
        assert change.items() >= event.items()
        assert [each["participant_id"] for each in told.pop("participants")] == [
            each["participant_id"] for each in shown["participants"]
        ]
        assert {name: shown[name] for name in told} == told


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
async def test_with_json_it_ends_at_once_and_without_a_word(how: signal.Signals, service: Service) -> None:
    session_id = await game(service)
    url = f"http://127.0.0.1:{service.port}"
    with Program("watch", "--json", session_id, "--url", url) as program:
        await asyncio.to_thread(program.until, lambda: bool(program.lines), "the state")
        assert await asyncio.to_thread(program.end, how) == 0
        assert len(program.lines) == 1
        assert "".join(program.errors) == ""


async def test_with_json_what_is_over_is_one_line_and_what_is_not_there_is_none(service: Service) -> None:
    session_id = await game(service)
    await service.sessions.complete(session_id)
    url = f"http://127.0.0.1:{service.port}"
    over = await asyncio.to_thread(run, "watch", "--json", session_id, "--url", url)
    assert (over.returncode, over.stdout.count("\n")) == (0, 1)
    assert json.loads(over.stdout)["payload"]["full_state"]["status"] == "completed"
    missing = await asyncio.to_thread(run, "watch", "--json", str(uuid.uuid4()), "--url", url)
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "there is no session" in missing.stderr


async def test_json_of_strangers_does_not_move_the_cursor(service: Service) -> None:
    session_id = str(uuid.uuid4())
    title = "\x1b[2J\u202e\u2028\x9b"
    config = {"sync_mode": "global", "time_per_cycle_ms": 60_000, "metadata": {"title": title}}
    config["participants"] = [{"participant_id": ANNA}]
    await service.sessions.create(session_id, json.dumps(config).encode())
    await service.sessions.cancel(session_id)
    url = f"http://127.0.0.1:{service.port}"
    shown = await asyncio.to_thread(run, "watch", "--json", session_id, "--url", url)
    assert shown.stdout.isascii()
    assert json.loads(shown.stdout)["payload"]["full_state"]["metadata"]["title"] == title
