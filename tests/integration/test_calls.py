"""What the typed calls make of the replies of the library."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator

import pytest

from synckairos.config import load
from synckairos.core.calls import Sessions
from synckairos.core.connection import connect
from synckairos.core.model import Limit, Options, Throttle
from synckairos.errors import Forbidden, RateLimitExceeded, SessionNotFound
from tests.core.game import P, players
from tests.support.servers import Server


@pytest.fixture
async def sessions(server: Server) -> AsyncIterator[Sessions]:
    async with await connect(load({"REDIS_URL": server.url})) as connection:
        yield Sessions(connection, ttl_s=60)


async def started(sessions: Sessions, tenant: str | None = None) -> str:
    session_id = str(uuid.uuid4())
    options = Options(tenant=tenant)
    await sessions.create(session_id, json.dumps(players(60_000, 60_000)).encode(), options)
    await sessions.start(session_id, options)
    return session_id


async def test_a_switch_with_a_limit_is_a_change_and_what_is_left(sessions: Sessions) -> None:
    session_id, limit = await started(sessions), Limit(2, 1, 3_600_000, cooldown_ms=3_600_000)
    request = Options(request="r1", player=P[0], actor="ann")
    change, throttle = await sessions.switch(session_id, limit=limit, options=request)
    assert change.version == 3
    assert throttle == Throttle(False, 2, 1, 0, throttle.reset_after_ms)
    again, unchanged = await sessions.switch(session_id, limit=limit, options=request)
    assert (again.version, again.replayed, unchanged.remaining) == (3, True, 1)
    with pytest.raises(Forbidden):
        await sessions.switch(session_id, limit=limit, options=Options(player=P[0]))
    for _ in range(2):
        await sessions.switch(session_id, limit=limit)
    with pytest.raises(RateLimitExceeded) as refused:
        await sessions.switch(session_id, limit=limit)
    assert refused.value.context == {"limit": "switch"}
    assert refused.value.retry_after_ms == 3_600_000


async def test_reading_what_is_known_and_a_summary(sessions: Sessions) -> None:
    session_id = await started(sessions, tenant="red")
    state = await sessions.get(session_id, "red")
    seen = f"{state.version}@{state.epoch}"
    assert await sessions.get(session_id, "red", unless=seen) is None
    summary = await sessions.summary(session_id, "red")
    assert (summary.version, summary.tenant_id, b"participants" in summary.raw) == (2, "red", False)
    with pytest.raises(SessionNotFound):
        await sessions.get(session_id, "blue", unless=seen)
    await sessions.pause(session_id)
    newer = await sessions.get(session_id, "red", unless=seen)
    assert newer is not None
    assert newer.status == "paused"
