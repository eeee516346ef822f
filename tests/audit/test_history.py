"""`check-history --all` reads Redis and the audit store, and checks every session by itself."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from click.testing import CliRunner

from synckairos.history.cli import check_history
from tests.support.audit_service import Audited, Machines


async def checked(there: Machines, database: str) -> tuple[int, dict[str, Any]]:
    """The exit code of the command, and its report."""
    environ = {"REDIS_URL": there.server.url, "RQ_REDIS_URL": there.rq.url, "DATABASE_URL": database}
    ended = await asyncio.to_thread(CliRunner().invoke, check_history, ["--all", "--json"], env=environ)
    assert ended.stderr == ""
    return ended.exit_code, json.loads(ended.stdout)


@pytest.mark.one_kind
async def test_every_session_by_itself(running: Audited, there: Machines, database: str) -> None:
    gone, restored, kept = [(await running.play(5))["session_id"] for _ in range(3)]
    await running.sessions.complete(gone)
    await running.archived()
    running.lose(gone)  # it is over, and only the audit has it
    running.lose(restored)
    assert (await running.state(restored))["recovered"]
    for _ in range(3):
        await running.sessions.switch(restored)
    await running.archived()

    code, report = await checked(there, database)
    figures = report["figures"]
    assert (code, report["findings"]) == (0, [])
    assert (figures["sessions"], figures["events"]) == (3, 8 + (7 + 1 + 3) + 7)
    assert figures["clocks_checked"] > 20

    async with running.store.connection() as store:
        await store.execute("DELETE FROM sync_events WHERE session_id = $1 AND version = 4", restored)
        await store.execute(
            'UPDATE sync_events SET body = replace(body::text, \'"epoch"\', \'"actor":1,"epoch"\')::json '
            "WHERE session_id = $1 AND version = 7",
            kept,
        )
    code, report = await checked(there, database)
    assert code == 1
    found = {(finding["session_id"], finding["kind"], finding["version"]) for finding in report["findings"]}
    assert found == {(restored, "gap", 5), (kept, "rewritten", 7)}
