"""The command `synckairos move`: what it takes, what it prints, and how it goes on after it was killed."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from synckairos.core import connection as connections
from synckairos.core.calls import Sessions
from synckairos.move.cli import move
from synckairos.move.find import live_sessions
from tests.support import servers
from tests.support.live import game, settings
from tests.support.pool import Pool
from tests.support.programs import Program, run
from tests.support.servers import Cluster, Server

MANY = 120


async def games(server: Server, count: int) -> None:
    """Sessions that run."""
    async with await connections.connect(settings(server.url)) as connection:
        sessions = Sessions(connection, 3600)
        await asyncio.gather(*(game(sessions) for _ in range(count)))


async def live(**environ: str) -> int:
    """How many live sessions a deployment has."""
    async with await connections.connect(settings("redis://127.0.0.1:1", **environ)) as connection:
        found = await live_sessions(connection)
        held = [each for each in found if not await _runs(connection, each)]
        return len(found) - len(held)


async def _runs(connection: connections.Connection, session_id: str) -> bool:
    key = f"sk:{{{session_id[-2:]}}}:{session_id}"
    return bool(await (await connection.primary_for(key)).hexists(key, "rotation"))


def rows(result: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """The table that it prints."""
    lines = [line.split("  ", 1) for line in result.stdout.splitlines() if "  " in line]
    return {name.strip(): value.strip() for name, value in lines}


@pytest.fixture
def ends(pool: Pool) -> tuple[Server, Cluster]:
    """A server, and a cluster of another kind where there are two."""
    kinds = servers.available()
    server, cluster = pool.server(kinds[-1], "moves"), pool.cluster(kinds[0])
    for each in (server, *cluster.primaries):
        with each.sync_client() as client:
            client.flushall()
    return server, cluster


async def test_a_move_that_was_killed_is_resumed_and_taken_back(
    ends: tuple[Server, Cluster], tmp_path: Path
) -> None:
    """From one server to a cluster, which a settings file names; and back again."""
    server, cluster = ends
    await games(server, MANY)
    there = tmp_path / "there.yaml"
    there.write_text(f"redis_cluster_nodes: {cluster.nodes}\n")
    record = tmp_path / "record"
    forth = ("move", "--from", server.url, "--to", str(there), "--record", str(record))
    with Program(*forth, "--all", "--at-once", "1") as program:
        program.until(lambda: record.exists() and b"finished" in record.read_bytes(), "the first one")
        program.process.send_signal(signal.SIGKILL)
        program.process.wait()
    assert 0 < await live(REDIS_CLUSTER_NODES=cluster.nodes) < MANY
    result = await asyncio.to_thread(run, *forth, "--resume")
    assert result.returncode == 0, result.stderr
    assert rows(result)["failed, and stay at the source"] == "0"
    assert "p99" in rows(result)["no changes for"]
    assert not record.exists()
    assert await live(REDIS_CLUSTER_NODES=cluster.nodes) == MANY
    assert await live(REDIS_URL=server.url) == 0

    back = ("move", "--from", str(there), "--to", server.url, "--record", str(record))
    with Program(*back, "--all", "--at-once", "1") as program:
        program.until(lambda: record.exists() and b"finished" in record.read_bytes(), "the first one")
        program.process.send_signal(signal.SIGKILL)
        program.process.wait()
    other = await asyncio.to_thread(run, *forth, "--abort")
    assert (other.returncode, "that move goes from" in other.stderr) == (2, True), other.stderr
    result = await asyncio.to_thread(run, *back, "--abort")
    assert result.returncode == 0, result.stderr
    assert int(rows(result)["taken back"]) > 0
    assert int(rows(result).get("had moved before, and stay at the target", 0)) > 0, result.stdout
    assert not record.exists()
    here, away = await live(REDIS_URL=server.url), await live(REDIS_CLUSTER_NODES=cluster.nodes)
    assert here + away == MANY
    assert 0 < here < MANY


async def test_a_check_of_the_source_counts_what_has_moved(
    ends: tuple[Server, Cluster], tmp_path: Path
) -> None:
    server, cluster = ends
    await games(server, 2)
    there = tmp_path / "there.yaml"
    there.write_text(f"redis_cluster_nodes: {cluster.nodes}\n")
    forth = ("move", "--from", server.url, "--to", str(there), "--record", str(tmp_path / "record"))
    moved = await asyncio.to_thread(run, *forth, "--all")
    assert moved.returncode == 0, moved.stderr
    await games(server, 1)
    for environ, figures in (
        ({"REDIS_URL": server.url}, (1, 2)),
        ({"REDIS_CLUSTER_NODES": cluster.nodes}, (2, 0)),
    ):
        checked = await asyncio.to_thread(run, "check-history", "--all", "--json", **environ)
        assert checked.returncode == 0, checked.stderr
        found = json.loads(checked.stdout)["figures"]
        assert (found["sessions"], found["moved"]) == figures


def test_it_says_what_it_needs(tmp_path: Path) -> None:
    ends = ("--from", "redis://127.0.0.1:1", "--to", "redis://user:secret@127.0.0.1:2/3")
    for arguments, words in (
        ((*ends,), "one of --session, --tenant, --all, --resume and --abort"),
        ((*ends, "--all", "--tenant", "club"), "one of --session"),
        ((*ends, "--abort"), "need --record"),
        ((*ends, "--session", "7"), "must be a UUID"),
        (("--from", ends[1], "--to", "redis://127.0.0.1:1/0", "--all"), "are the same Redis"),
        (("--from", ends[1], "--to", "http://secret@127.0.0.1:2", "--all"), "REDIS_URL must be a URL"),
        (("--from", ends[1], "--to", str(tmp_path / "nothing"), "--all"), "cannot be read"),
    ):
        refused = CliRunner().invoke(move, arguments)
        assert refused.exit_code == 2, refused.output
        assert words in " ".join(refused.output.split()), refused.output
        assert "secret" not in refused.output
    result = run("move", *ends, "--all")
    assert (result.returncode, "Redis does not answer" in result.stderr) == (1, True), result.stderr
    assert "secret" not in result.stderr


def test_it_says_why_it_does_not_begin(pool: Pool, tmp_path: Path) -> None:
    """The record cannot be written, or is there; or a session runs at both ends."""
    source, target = pool.server("valkey", "source"), pool.server("valkey", "target")
    for server in (source, target):
        with server.sync_client() as client:
            client.flushall()
    asyncio.run(games(source, 2))
    there = tmp_path / "there"
    there.write_text("")
    with source.sync_client() as client, target.sync_client() as other:
        twice = next(iter(client.scan_iter("sk:{??}:????????-*", _type="hash")))
        for arguments, words in (
            (("--all", "--record", str(tmp_path / "nothing" / "record")), "cannot be written: No such file"),
            (("--all", "--record", str(there)), "exists"),
            (("--resume", "--record", str(tmp_path / "none")), "cannot be used: No such file"),
            (("--tenant", "nobody"), "the tenant nobody has no live session at 127.0.0.1:"),
            (("--session", "7c9e6679-7425-40de-944b-e07fc1f90ae9"), "there is no live session 7c9e6679"),
            (("--all",), "1 of 2 sessions"),
        ):
            if words == "1 of 2 sessions":
                other.restore(twice, 60_000, client.dump(twice))
            result = run("move", *arguments, MOVE_FROM=source.url, MOVE_TO=target.url)
            assert (result.returncode, words in result.stderr) == (1, True), result.stderr
        assert other.dbsize() == 1
