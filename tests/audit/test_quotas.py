"""Sessions that a tenant has and that are not counted are found in the audit store."""

from __future__ import annotations

import asyncio
import json
import uuid
from pathlib import Path

import pytest

from synckairos.core import keys
from synckairos.core.model import Options
from synckairos.errors import QuotaExceeded
from synckairos.supervision import cancel
from tests.contract.conftest import chess
from tests.support.audit_service import Audited, Machines, audited
from tests.support.live import eventually

pytestmark = pytest.mark.one_kind


async def _create(running: Audited, players: int) -> str:
    """A session of the tenant that nobody counts."""
    session_id = str(uuid.uuid4())
    config = json.dumps(chess(players)).encode()
    await running.sessions.create(session_id, config, Options(tenant="club"))
    return session_id


async def test_what_is_not_counted_is_found(there: Machines, database: str, tmp_path: Path) -> None:
    file = tmp_path / "tenants.yaml"
    file.write_text("tenants: {club: {quotas: {sessions: 2, participants: 8}}}")
    async with audited(there.server, there.rq, database, TENANTS_FILE=str(file)) as running:
        live, lost, over = [await _create(running, players) for players in (3, 3, 2)]
        await running.sessions.cancel(over)
        await running.archived()
        running.lose(lost)
        quotas = running.service.context.quotas
        counting = asyncio.create_task(quotas.recount())
        with running.redis() as client:
            await eventually(lambda: client.zcard(keys.quota("club")[1]))
            # What was lost is not counted, and is when it is back.
            assert client.zrange(keys.quota("club")[1], 0, -1) == [live.encode()]
            assert client.hget(keys.quota("club")[0], "participants") == b"3"
        await cancel(counting)
        assert (await running.state(lost))["status"] == "pending"
        counting = asyncio.create_task(quotas.recount())
        with running.redis() as client:
            await eventually(lambda: client.zcard(keys.quota("club")[1]) == 2)
        await cancel(counting)
        with pytest.raises(QuotaExceeded):
            async with quotas.creation("club", str(uuid.uuid4()), 1):
                pass
