"""What `serve` logs while its Redis is away, or cannot be found because a setting is wrong."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import cast

import pytest
from structlog.testing import capture_logs

from synckairos.audit import outbox
from synckairos.core.connection import Connection
from synckairos.errors import StorageUnavailable
from tests.support import servers
from tests.support.live import eventually
from tests.support.programs import Program
from tests.support.servers import Server

WATCHED_S = 10.0
MOST_LINES = 40
"""Each part says once that it waits, and repeats that after 30 s."""
PASSWORD = "the one that is right"


@pytest.fixture
def sentinel(redis: Server) -> Iterator[Server]:
    """A Sentinel that asks for a password."""
    with servers.start_sentinel(redis, "main") as started, started.sync_client() as client:
        client.execute_command("ACL", "SETUSER", "default", "resetpass", f">{PASSWORD}")
        yield started
        client.execute_command("ACL", "SETUSER", "default", "nopass")


def test_an_outage_is_told_in_a_few_lines_that_name_the_setting(redis: Server, sentinel: Server) -> None:
    """All at the same time, because each is watched for a while."""
    hosts = {"REDIS_SENTINEL_HOSTS": f"127.0.0.1:{sentinel.port}"}
    asked = {
        "REDIS_SENTINEL_NAME": {
            **hosts,
            "REDIS_SENTINEL_NAME": "mian",
            "REDIS_SENTINEL_PASSWORD": PASSWORD,
        },
        "REDIS_SENTINEL_PASSWORD": {
            **hosts,
            "REDIS_SENTINEL_NAME": "main",
            "REDIS_SENTINEL_PASSWORD": "wrong",
        },
        "REDIS_SENTINEL_HOSTS": {"REDIS_SENTINEL_HOSTS": "127.0.0.1:1", "REDIS_SENTINEL_NAME": "main"},
        "127.0.0.1:1": {"REDIS_URL": "redis://127.0.0.1:1/0"},
    }
    with ExitStack() as stack:
        programs = {}
        for says, settings in asked.items():
            programs[says] = program = Program("serve", PORT="0", **settings)
            stack.callback(_end, program)
        killed = stack.enter_context(servers.start(redis.kind))
        programs[str(killed.port)] = running = Program("serve", PORT="0", REDIS_URL=killed.url)
        stack.callback(_end, running)
        running.until(lambda: any("listening" in line for line in running.errors), "its start")
        killed.kill()
        for says, program in programs.items():
            program.until(lambda program=program: bool(program.errors), f"a first line about {says}")  # type: ignore[misc]
        time.sleep(WATCHED_S)
        for says, program in programs.items():
            logged = "".join(program.errors)
            assert says in logged, logged
            assert "Traceback" not in logged, logged
            assert len(program.errors) <= MOST_LINES, logged


def _end(program: Program) -> None:
    with suppress(ProcessLookupError):
        program.end(signal.SIGTERM)


class _Away:
    """A connection to a storage that is away, as during a failover."""

    def __init__(self) -> None:
        self.asked = 0

    async def primary_for(self, _: str) -> None:
        self.asked += 1
        raise StorageUnavailable


async def test_outboxes_that_wait_for_a_failover_are_no_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only when that lasts."""
    monkeypatch.setattr(outbox, "ROUND_S", 0.01)
    for lasting, levels in ((1000.0, {"debug"}), (0.0, {"debug", "warning"})):
        monkeypatch.setattr(outbox, "LASTING_S", lasting)
        away = _Away()
        trimmer = outbox.OutboxTrimmer(cast("Connection", away))
        with capture_logs() as logs:
            await trimmer.start()
            await eventually(lambda away=away: away.asked > 3)  # type: ignore[misc]
            await trimmer.stop()
        assert {entry["log_level"] for entry in logs} == levels
        assert [entry["log_level"] for entry in logs].count("warning") <= 1
