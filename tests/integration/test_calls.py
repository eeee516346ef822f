"""What the typed calls make of the replies of the library."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator

import pytest

from synckairos.config import load
from synckairos.core.calls import Sessions
from synckairos.core.connection import connect
from synckairos.core.model import Limit, Options, Throttle
from synckairos.errors import ConcurrentModification, Forbidden, RateLimitExceeded, SessionNotFound
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


async def test_metadata_is_changed_though_an_expiry_has_to_come_first(sessions: Sessions) -> None:
    """Nobody has called `sk_expire` yet, and nothing else may happen after the version that was seen."""
    session_id = str(uuid.uuid4())
    config = players(1000, 60_000, action_on_timeout={"type": "skip_cycle"})
    await sessions.create(session_id, json.dumps(config).encode())
    await sessions.start(session_id)
    await asyncio.sleep(1.1)
    epoch = (await sessions.get(session_id)).epoch
    options = Options(request="m1", actor="ann", version=2, epoch=epoch)
    change = await sessions.patch_metadata(session_id, b'{"message":"one minute"}', options)
    assert change is not None
    payload = json.loads(change.payload)
    assert (payload["event"], change.version, payload["active_participant_id"]) == (
        "metadata.changed",
        4,
        P[1],
    )
    assert payload["metadata"] == {"message": "one minute"}
    again = await sessions.patch_metadata(session_id, b'{"message":"one minute"}', options)
    assert again is not None
    assert (again.version, again.replayed) == (4, True)
    assert await sessions.patch_metadata(session_id, b'{"message":"one minute"}') is None
    events = await sessions.log(session_id, 2)
    assert events is not None
    assert [json.loads(event)["payload"]["event"] for event in events] == [
        "participant.expired",
        "metadata.changed",
    ]
    with pytest.raises(ConcurrentModification):
        await sessions.patch_metadata(session_id, b'{"message":null}', Options(version=3))


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
