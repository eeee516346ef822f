"""Pauses that do not count are not for players; and long clocks, where a service has them."""

from __future__ import annotations

import uuid

import pytest

from synckairos.api.websocket.messages import parse
from synckairos.errors import ValidationError
from tests.auth.conftest import Api, asking, bearing, token
from tests.contract.conftest import fields_of
from tests.support.servers import Server

DAY_MS = 86_400_000


async def test_a_player_cannot_leave_its_pause_uncounted(api: Api) -> None:
    session = await api.made(token("service"), players_may_pause=True, max_pauses=1)
    path = f"/v1/sessions/{session['session_id']}"
    await api.status(f"{path}/start", token("service"), "POST")
    me = token("player", participant=session["participants"][0]["participant_id"])
    refused = await api.post(f"{path}/pause", json={"counted": False}, headers=bearing(me))
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "FORBIDDEN")
    assert await api.status(f"{path}/pause", me, "POST", json={"counted": True}) == 200
    assert await api.status(f"{path}/resume", me, "POST") == 200
    assert await api.status(f"{path}/pause", me, "POST") == 400
    for role in ("moderator", "service", "admin"):
        assert await api.status(f"{path}/pause", token(role), "POST", json={"counted": False}) == 200
        assert await api.status(f"{path}/resume", token(role), "POST") == 200
    both = token("player", "moderator", participant=session["participants"][0]["participant_id"])
    assert await api.status(f"{path}/pause", both, "POST", json={"counted": False}) == 200


async def test_a_service_with_long_clocks_takes_a_year(redis: Server) -> None:
    async with asking(redis.url, LONG_CLOCKS="true") as api:
        people = [{"participant_id": str(uuid.uuid4()), "total_time_ms": 3 * DAY_MS} for _ in range(2)]
        config = {"participants": people, "increment_ms": DAY_MS, "max_time_ms": 6 * DAY_MS}
        session = await api.made(token("service"), **config)
        assert session["participants"][0]["total_time_ms"] == 3 * DAY_MS
        path = f"/v1/sessions/{session['session_id']}"
        joined = {"participant_id": str(uuid.uuid4()), "total_time_ms": 3 * DAY_MS}
        assert await api.status(f"{path}/participants", token("service"), "POST", json=joined) == 201
        clock = f"{path}/participants/{people[0]['participant_id']}"
        longest = 366 * DAY_MS
        assert await api.status(clock, token("service"), "PATCH", json={"add_ms": 2 * DAY_MS}) == 200
        refused = await api.patch(clock, json={"add_ms": longest + 1}, headers=bearing(token("service")))
        assert fields_of(refused) == ["add_ms"]
        assert refused.json()["error"]["message"].endswith(f"from -{longest} to {longest}")
        schemas = (await api.get("/openapi.json")).json()["components"]["schemas"]
        assert schemas["AdjustBody"]["properties"]["add_ms"]["anyOf"][0]["maximum"] == longest


def test_a_pause_over_a_socket_always_counts() -> None:
    for message in ({"counted": False}, {"counted": True}):
        with pytest.raises(ValidationError, match="counted"):
            parse({"type": "PAUSE", "request_id": "1", **message})
    assert parse({"type": "PAUSE", "request_id": "1"})
