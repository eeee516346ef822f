"""A game over a real service is recorded, and `check-history` finds nothing; or what was done to it."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from click.testing import CliRunner
from websockets.asyncio.client import connect

from synckairos.core import connection
from synckairos.core.calls import Sessions
from synckairos.core.keys import SessionKeys
from synckairos.core.model import Options
from synckairos.history.cli import check_history
from synckairos.history.record import Recorder
from synckairos.run.processes import free_port
from tests.support.live import eventually, game, settings
from tests.support.pool import Pool
from tests.support.programs import Program, get, run
from tests.support.servers import Cluster, Server

Json = dict[str, Any]
SWITCHES = 12


class Generator:
    """Callers and sockets of a service, and a recorder of what they are told."""

    def __init__(self, port: int, recorder: Recorder) -> None:
        self._port = port
        self._recorder = recorder
        self._http = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}/v1/sessions", timeout=20)
        self.told: dict[str, list[Json]] = {}

    async def call(
        self, session_id: str, path: str, body: Json | None = None, function: str = "sk_switch"
    ) -> None:
        """Ask for a change and record the answer."""
        request = uuid.uuid4().hex
        headers = {"Idempotency-Key": request, "traceparent": f"00-{request}-{'1' * 16}-01"}
        asked = self._recorder.now()
        answer = await self._http.post(path, json=body, headers=headers)
        if answer.is_success:
            change = answer.json()["data"]
            place = {name: change[name] for name in ("version", "epoch")} if function == "sk_switch" else {}
            self._recorder.call(asked, session_id, function, request, "acknowledged", **place)
        else:
            code = answer.json()["error"]["code"]
            self._recorder.call(asked, session_id, function, request, "refused", code=code)

    async def game(self, bank_ms: int) -> str:
        """Create and start a game."""
        session_id = str(uuid.uuid4())
        people = [{"participant_id": str(uuid.uuid4()), "total_time_ms": bank_ms} for _ in range(2)]
        config = {
            "session_id": session_id,
            "sync_mode": "per_participant",
            "increment_ms": 7,
            "participants": people,
        }
        await self.call(session_id, "", config, "sk_create")
        await self.call(session_id, f"/{session_id}/start", function="sk_start")
        return session_id

    @asynccontextmanager
    async def watch(self, session_id: str, name: str) -> AsyncIterator[list[Json]]:
        """A socket for the length of the block, and what it was told so far."""
        told: list[Json] = []
        url = f"ws://127.0.0.1:{self._port}/ws?session_id={session_id}"
        async with connect(url, ping_interval=None) as socket:
            self._recorder.socket(name, session_id, "opened")

            async def listen() -> None:
                while True:
                    message = await socket.recv(decode=False)
                    self._recorder.message(name, session_id, message)
                    told.append(json.loads(message))

            listening = asyncio.create_task(listen())
            await eventually(lambda: [each for each in told if each["type"] == "STATE_SYNC"])
            try:
                yield told
            finally:
                listening.cancel()
                self._recorder.socket(name, session_id, "closed")

    async def close(self) -> None:
        """Close the connections of the callers."""
        await self._http.aclose()


async def play(port: int, file: Path) -> str:
    """Play two games, one of which ends by itself. Returns the id of the other one."""
    with Recorder(file, seed=1) as recorder:
        recorder.fault("none", "begin")
        callers = Generator(port, recorder)
        short, long = await callers.game(1000), await callers.game(600_000)
        async with callers.watch(short, "short") as ending, callers.watch(long, "long") as told:
            for number in range(SWITCHES):
                if number == SWITCHES // 2:
                    async with callers.watch(long, "late"):
                        await callers.call(long, f"/{long}/switch")
                await callers.call(long, f"/{long}/switch")
            await callers.call(long, f"/{long}/switch", {"expected_version": 1})
            await eventually(lambda: told[-1]["version"] == 2 + SWITCHES + 1)
            await eventually(lambda: ending[-1]["type"] == "TIME_EXPIRED")
        await callers.call(long, f"/{long}/pause", function="sk_pause")
        await callers.call(long, f"/{long}/resume", function="sk_resume")
        recorder.fault("none", "end")
        await callers.close()
    return long


def checked(*arguments: str, **environ: str) -> tuple[int, Json]:
    """The exit code of the command, and its report."""
    ended = CliRunner().invoke(check_history, ["--json", *arguments], env=environ)
    assert ended.stderr == ""
    return ended.exit_code, json.loads(ended.stdout)


def found(report: Json) -> set[str]:
    """The kinds of what was found."""
    return {finding["kind"] for finding in report["findings"]}


def test_a_game_that_was_played(redis: Server, tmp_path: Path) -> None:
    port = free_port()
    file, truth = str(tmp_path / "game.jsonl"), str(tmp_path / "truth.jsonl")
    with Program("serve", PORT=str(port), REDIS_URL=redis.url, RATE_LIMIT_ENABLED="false") as program:
        program.until(lambda: _answers(port), "an answer")
        long = asyncio.run(play(port, Path(file)))

    code, report = checked(file, "--dump", truth, REDIS_URL=redis.url)
    figures = report["figures"]
    assert (code, report["findings"]) == (0, [])
    assert (figures["acknowledged"], figures["refused"], figures["unknown"]) == (4 + SWITCHES + 1 + 2, 1, 0)
    assert (figures["sessions"], figures["expiries"], figures["sockets_opened"]) == (2, 1, 3)
    assert figures["clocks_checked"] > 2 * SWITCHES
    assert figures["delay"]["count"] > SWITCHES
    assert figures["not_known"] == figures["sockets_dropped"] == 0

    with redis.sync_client() as client:
        client.xdel(SessionKeys.of(long).log, "5-0")
        entries = client.xrange(SessionKeys.of(long).outbox)
        client.xdel(
            SessionKeys.of(long).outbox,
            *(entry for entry, event in entries if b'"version":5,' in event[b"e"]),
        )
    code, report = checked("--all", REDIS_URL=redis.url)
    assert (code, found(report)) == (1, {"gap"})
    code, report = checked(file, REDIS_URL=redis.url)
    assert (code, found(report)) == (1, {"gap", "lost", "phantom"})
    table = run("check-history", file, REDIS_URL=redis.url)
    assert table.returncode == 1
    assert "a change was acknowledged, and did not happen" in table.stdout
    assert checked(file, "--truth", truth)[0] == 0, "the dump was made before"


def _answers(port: int) -> bool:
    try:
        return get(f"http://127.0.0.1:{port}/ready")[0] == 200
    except OSError:
        return False


async def test_changes_that_another_server_does_not_have(redis: Server, pool: Pool, tmp_path: Path) -> None:
    """As after a failover: the new primary has a copy without the last changes, and goes on with it."""
    other = pool.server("valkey", "the new primary")
    file = tmp_path / "failover.jsonl"
    async with (
        await connection.connect(settings(redis.url)) as before,
        await connection.connect(settings(other.url)) as after,
    ):
        old, new = Sessions(before, 3600), Sessions(after, 3600)
        session_id = await game(old)
        with Recorder(file) as recorder:

            async def switch(at: Sessions, *, is_told: bool = True) -> None:
                request, asked = uuid.uuid4().hex, recorder.now()
                change = await at.switch(session_id, options=Options(request=request, trace=request))
                place: Json = {"version": change.version, "epoch": change.epoch}
                recorder.call(asked, session_id, "sk_switch", request, "acknowledged", **place)
                if is_told:
                    recorder.message("a", session_id, change.raw)

            async def synchronise(at: Sessions) -> None:
                state = json.loads((await at.get(session_id)).raw)
                place = {name: state[name] for name in ("session_id", "version", "epoch", "server_time_ms")}
                message = {"v": 1, "type": "STATE_SYNC", **place, "payload": {"full_state": state}}
                recorder.message("a", session_id, json.dumps(message))

            recorder.socket("a", session_id, "opened")
            await synchronise(old)
            for _ in range(3):
                await switch(old)
            copy(redis, other, session_id)
            recorder.fault("kill", "begin")
            for _ in range(2):
                await switch(old)  # and the new primary never hears of them
            await switch(new, is_told=False)
            await synchronise(new)
            for _ in range(3):
                await switch(new)

    code, report = await asyncio.to_thread(checked, str(file), "--may-lose", "60000", REDIS_URL=other.url)
    assert (code, report["findings"]) == (0, [])
    assert report["figures"]["lost"] == report["figures"]["told_and_lost"] == 2
    assert report["figures"]["clocks_checked"] > 6, "the sums go on over the epochs"
    code, report = await asyncio.to_thread(checked, str(file), REDIS_URL=other.url)
    assert (code, found(report)) == (1, {"lost"})


def copy(source: Server, target: Server, session_id: str) -> None:
    """Copy a session to another server."""
    with source.sync_client() as old, target.sync_client() as new:
        for key in SessionKeys.of(session_id).all:
            value = old.dump(key)
            if value is not None:
                new.restore(key, max(0, old.pttl(key)), value, replace=True)


async def test_every_session_of_a_cluster(cluster: Cluster) -> None:
    environ = {"REDIS_CLUSTER_NODES": cluster.nodes}
    async with await connection.connect(settings("redis://127.0.0.1", **environ)) as connected:
        sessions = Sessions(connected, 3600)
        for _ in range(4):
            session_id = await game(sessions)
            await sessions.switch(session_id)
        await sessions.delete(session_id)
    code, report = await asyncio.to_thread(checked, "--all", **environ)
    assert (code, report["findings"]) == (0, [])
    assert (report["figures"]["sessions"], report["figures"]["events"]) == (4, 4 * 3 + 1)


def test_what_the_command_cannot_read(tmp_path: Path) -> None:
    file = tmp_path / "no.jsonl"
    file.write_text('{"kind":"begin","at_ms":0,"wall_ms":0}\nno line\n')
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    for arguments, problem in (
        ([str(file), "--truth", str(file)], f"{file}:1:"),
        ([str(file)], f"{file}:2:"),
        ([str(empty)], f"{empty} is no recording: it is empty"),
        ([], "--all"),
        ([str(file), "--truth", str(file), "--dump", str(file)], "--dump"),
    ):
        ended = CliRunner().invoke(check_history, arguments, env={"REDIS_URL": "redis://127.0.0.1:1/0"})
        assert ended.exit_code != 0
        assert problem in ended.stderr
        assert ended.stdout == ""
