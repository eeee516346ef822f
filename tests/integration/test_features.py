"""A service and its features file: sessions go to another schema with their next change, and back."""

from __future__ import annotations

import asyncio
import json
import uuid
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from click.testing import CliRunner

from synckairos import metrics
from synckairos.cli import main
from synckairos.core.calls import Sessions
from synckairos.features.flags import SESSION_SCHEMA_2
from synckairos.features.rules import place_of
from tests.support.live import PATIENCE_S, Service, eventually, service, settings
from tests.support.servers import Server

NONE_NEWER = "with what library 0.4 does not know: 0 sessions"
FAILURES = "synckairos_features_reload_failures_total"


def write(file: Path, entry: str) -> None:
    fresh = file.with_suffix(".new")
    fresh.write_text(f"features: {{{SESSION_SCHEMA_2}: {entry}}}")
    fresh.replace(file)


def below(percentage: float, *, inside: bool) -> str:
    """An id of a session that is in, or out, at this percentage."""
    return next(
        session
        for session in iter(lambda: str(uuid.uuid4()), None)
        if (place_of(SESSION_SCHEMA_2, session) < percentage) == inside
    )


async def create(sessions: Sessions, session_id: str) -> None:
    people = [{"participant_id": str(uuid.uuid4()), "total_time_ms": 3_600_000} for _ in range(2)]
    config = {"sync_mode": "per_participant", "participants": people, "increment_ms": 500}
    await sessions.create(session_id, json.dumps(config).encode())
    await sessions.start(session_id)


async def schema_after_switch(running: Service, session_id: str) -> int:
    await running.sessions.switch(session_id)
    state: dict[str, Any] = json.loads((await running.sessions.get(session_id)).raw)
    schema: int = state["schema"]
    return schema


@pytest.mark.one_kind
async def test_a_change_of_the_file_needs_no_restart(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "features.yaml"
    tenth = "{enabled: true, rollout: {strategy: percentage, percentage: 10}}"
    write(file, tenth)
    one, other = below(10, inside=True), below(10, inside=False)
    async with service(settings(server.url, FEATURES_FILE=str(file))) as running:
        for session_id in (one, other):
            await create(running.sessions, session_id)

        async def become(*wanted: int) -> None:
            found = None
            end = monotonic() + PATIENCE_S
            while found != wanted:
                assert monotonic() < end, found
                found = (await schema_after_switch(running, one), await schema_after_switch(running, other))
                await asyncio.sleep(0.05)

        await become(2, 1)
        write(file, "{enabled: true, rollout: {strategy: all}}")
        await become(2, 2)
        failures = metrics.registry.get_sample_value(FAILURES) or 0
        write(file, "{enabled: true, rollout: {strategy: nobody}}")
        await eventually(lambda: metrics.registry.get_sample_value(FAILURES) == failures + 1)
        await become(2, 2)
        write(file, tenth)
        await become(2, 1)
        assert await _counted(server) == ["schema 1: 1 sessions", "schema 2: 1 sessions", NONE_NEWER]
        write(file, "{enabled: false}")
        await become(1, 1)
        for session_id in (one, other):
            state = json.loads((await running.sessions.get(session_id)).raw)
            log = await running.sessions.log(session_id, 0)
            assert log is not None
            assert [json.loads(event)["version"] for event in log] == list(range(1, state["version"] + 1))
    # Without the service, a session that nobody changes goes to another schema and back.
    before = _states(server, one)
    assert (await _counted(server, "--convert", "2"))[0] == "2 sessions were converted to schema 2"
    assert _states(server, one) == before | {"schema": 2}
    assert (await _counted(server, "--convert", "1"))[0] == "2 sessions were converted to schema 1"
    assert await _counted(server, "--convert", "1") == [
        "0 sessions were converted to schema 1",
        "schema 1: 2 sessions",
        NONE_NEWER,
    ]
    assert _states(server, one) == before


def _states(server: Server, session_id: str) -> dict[str, Any]:
    """What of a state does not depend on the moment."""
    with server.sync_client() as client:
        state = json.loads(client.fcall("sk_get", 1, f"sk:{{{session_id[-2:]}}}:{session_id}"))
    moving = {"server_time_ms", "cycle_elapsed_ms", "time_remaining_ms", "participants"}
    return {name: value for name, value in state.items() if name not in moving}


async def _counted(server: Server, *options: str, exit_code: int = 0) -> list[str]:
    """What `synckairos functions schemas` says."""
    command = ["functions", "schemas", *options]
    result = await asyncio.to_thread(CliRunner().invoke, main, command, env={"REDIS_URL": server.url})
    assert result.exit_code == exit_code, result.output
    return result.stdout.splitlines()


@pytest.mark.one_kind
async def test_a_session_that_cannot_be_converted_is_an_error(server: Server) -> None:
    session_id = str(uuid.uuid4())
    async with service(settings(server.url)) as running:
        await create(running.sessions, session_id)
        key = f"sk:{{{session_id[-2:]}}}:{session_id}"
        with server.sync_client() as client:
            keys = [key, f"{key}:log", f"sk:{{{session_id[-2:]}}}:alarms", f"sk:{{{session_id[-2:]}}}:outbox"]
            client.fcall("sk_move_out", 4, *keys, "MOVE", "m", "TARGET", "elsewhere:1", "LEASE", "600000")
        said = await _counted(server, "--convert", "2", exit_code=1)
        assert said == ["0 sessions were converted to schema 2", "schema 1: 1 sessions", NONE_NEWER]
