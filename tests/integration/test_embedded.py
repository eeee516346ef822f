"""`synckairos dev`: one line when it is ready, everything gone when it ends, however it ends."""

import json
import random
import signal
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import psutil
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from synckairos.audit.revision import REVISION
from tests.support.postgres import query
from tests.support.programs import Program, get


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_line_when_ready_and_nothing_left_at_the_end(number: int, tmp_path: Path) -> None:
    with Program("dev", "--port", "0", "--ephemeral", "--workers", "2", TMPDIR=str(tmp_path)) as program:
        http_url, redis_url = program.ready()
        assert get(f"{http_url}/ready")[0] == 200
        _is_locked_up(program, redis_url, next(tmp_path.glob("synckairos-*/lock")).parent)
        with redis.Redis.from_url(redis_url) as client:
            assert client.ping()
            assert set(client.config_get("notify-keyspace-events")["notify-keyspace-events"]) >= set("Egxe")
            assert client.config_get("appendonly")["appendonly"] == "yes"
        assert len(program.workers()) == 2
        assert len(program.databases()) == len(program.audit_workers()) == 1
        assert query(program.database_url, "SELECT version_num FROM sync_schema")[0][0] == REVISION
        assert len(list(tmp_path.glob("synckairos-*/lock"))) == 1
        assert program.end(number) == 0
        assert len(program.lines) == 1
        said = "".join(program.errors)
        for started in ("Valkey", "PostgreSQL", "the audit worker", "the service, 2 workers"):
            assert f"starting {started}" in said
        assert "did not end in time" not in said
        assert "overcommit" not in said  # Valkey's warning, where the machine gives it a reason
        assert list(tmp_path.iterdir()) == []


def _is_locked_up(program: Program, redis_url: str, folder: Path) -> None:
    """Another user of the machine, who sees its ports and its processes, can do nothing with its servers."""
    with redis.Redis(port=urlsplit(redis_url).port or 0, retry=Retry(NoBackoff(), 0)) as stranger:
        for command in (("PING",), ("GET", "x"), ("FLUSHALL",), ("SHUTDOWN", "NOSAVE")):
            with pytest.raises(redis.AuthenticationError):
                stranger.execute_command(*command)
    passwords = [urlsplit(url).password or "" for url in (redis_url, program.database_url)]
    assert all(len(password) >= 32 for password in passwords)
    for process in program.processes():
        assert not [each for each in passwords if each in " ".join(process.cmdline())]
    said = "".join(program.errors)
    assert not [each for each in passwords if each in said]
    for name in ("valkey.conf", "postgres.password", "addresses.json"):
        assert (folder / name).stat().st_mode & 0o077 == 0


def test_only_this_machine_can_reach_it() -> None:
    with Program("dev", "--port", "0", "--ephemeral") as program:
        program.ready()
        addresses = {
            connection.laddr.ip
            for process in program.processes()
            for connection in process.net_connections()
            if connection.status == "LISTEN"
        }
        assert addresses == {"127.0.0.1"}


def test_sessions_outlive_a_restart(tmp_path: Path) -> None:
    for run in range(2):
        with Program("dev", "--port", "0", "--data-dir", str(tmp_path / "data")) as program:
            _, redis_url = program.ready()
            query(program.database_url, f"CREATE TABLE run_{run} ()")  # each name once
            assert (
                len(query(program.database_url, "SELECT FROM pg_tables WHERE tablename ~ '^run_'")) == run + 1
            )
            with redis.Redis.from_url(redis_url) as client:
                assert client.get("left") == (b"here" if run else None)
                client.set("left", "here")
            assert program.end() == 0
    assert (tmp_path / "data").stat().st_mode & 0o077 == 0


def test_rate_limits_are_off_unless_asked_for() -> None:
    with Program("dev", "--port", "0", "--ephemeral", "--no-database", RATE_LIMIT_ENABLED="true") as program:
        http_url, _ = program.ready()
        assert json.loads(get(f"{http_url}/health")[1]) == {"status": "ok"}
        (worker,) = program.workers()
        assert worker.environ()["RATE_LIMIT_ENABLED"] == "true"
    with Program("dev", "--port", "0", "--ephemeral", "--no-database") as program:
        program.ready()
        assert program.database_url == "-"
        assert program.databases() == []
        (worker,) = program.workers()
        assert worker.environ()["RATE_LIMIT_ENABLED"] == "false"


def test_a_busy_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with Program("dev", "--port", str(port), "--ephemeral") as program:
            assert program.process.wait(30) == 1
            program.gone()
        assert program.lines == []
        assert f"port {port}" in "".join(program.errors)
        assert "--port" in "".join(program.errors)
        assert "Traceback" not in "".join(program.errors)


def test_a_data_folder_in_use_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with Program("dev", "--port", "0", "--data-dir", str(folder), "--no-database") as first:
        first.ready()
        with Program("dev", "--port", "0", "--data-dir", str(folder), "--no-database") as second:
            assert second.process.wait(30) == 1
            second.gone()
        assert second.lines == []
        said = "".join(second.errors)
        assert f"{folder} is in use by another synckairos dev (process {first.process.pid})" in said
        assert "Traceback" not in said


def test_a_data_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with Program("dev", "--port", "0", "--data-dir", str(tmp_path / "file" / "data")) as program:
        assert program.process.wait(30) == 1
    assert f"{tmp_path}/file/data cannot be used" in "".join(program.errors)


def test_children_do_not_outlive_a_parent_that_is_killed(tmp_path: Path) -> None:
    with Program("dev", "--port", "0", "--data-dir", str(tmp_path)) as program:
        program.ready()
        assert len(program.processes()) > 5
        program.process.kill()
        program.process.wait()
        program.gone()


def test_a_process_that_dies_is_started_again(tmp_path: Path) -> None:
    kinds: list[Callable[[Program], list[psutil.Process]]] = [
        Program.valkeys,
        Program.workers,
        Program.databases,
        Program.audit_workers,
    ]
    with Program("dev", "--port", "0", "--data-dir", str(tmp_path)) as program:
        http_url, redis_url = program.ready()
        with redis.Redis.from_url(redis_url) as client:

            def answers() -> bool:
                try:
                    assert query(program.database_url, "SELECT 1")
                    return get(f"{http_url}/ready")[0] == 200 and client.get("left") == b"here"
                except (OSError, redis.RedisError, asyncpg.PostgresError):
                    return False

            client.set("left", "here")
            client.execute_command("WAITAOF", 1, 0, 10_000)  # ms, until it is written down
            for kind in random.sample(kinds, len(kinds)):
                (process,) = kind(program)
                process.kill()
                process.wait()
                program.until(partial(_is_replaced, program, kind, process), "its successor")
                program.until(answers, "an answer")
        assert program.end() == 0
        assert len(program.lines) == 1


def _is_replaced(
    program: Program, kind: Callable[[Program], list[psutil.Process]], process: psutil.Process
) -> bool:
    return len(found := kind(program)) == 1 and process not in found


def test_what_valkey_says_when_it_cannot_start_is_passed_on(tmp_path: Path) -> None:
    (tmp_path / "appendonlydir").mkdir()
    (tmp_path / "appendonlydir" / "appendonly.aof.manifest").write_text("nonsense\n")
    with Program("dev", "--port", "0", "--data-dir", str(tmp_path)) as program:
        assert program.process.wait(60) == 1
        program.gone()
    said = "".join(program.errors)
    assert said.index("AOF manifest file") < said.index("what it said about that is above")
    assert "Traceback" not in said


def test_a_folder_of_another_postgresql_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    (folder / "postgres").mkdir(parents=True)
    folder.chmod(0o700)
    (folder / "postgres" / "PG_VERSION").write_text("9\n")
    with Program("dev", "--port", "0", "--data-dir", str(folder)) as program:
        assert program.process.wait(30) == 1
        program.gone()
    said = "".join(program.errors)
    assert f"{folder}/postgres was made by PostgreSQL 9" in said
    assert "Traceback" not in said
