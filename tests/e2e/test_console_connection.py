"""The console when something is wrong with the network, the server, the device's clock or the session."""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import WebSocketRoute, expect

from tests.e2e.backend import Api
from tests.e2e.browser import NETWORK_IS_GONE, Invite
from tests.e2e.console import Console, half, press, their_turn
from tests.e2e.served import Served
from tests.support.live import Service
from tests.support.proxy import Proxy
from tests.support.servers import Server

pytestmark = pytest.mark.asyncio(loop_scope="session")

HOUR = 3_600_000


async def test_a_lost_connection_is_said_and_a_regained_one_is_caught_up(
    api: Api, service: Service, invite: Invite
) -> None:
    game = await api.game()
    session_id = game["session_id"]
    await api.do(session_id, "start")
    async with Proxy(service.port) as proxy:
        console = Console(invite, f"http://127.0.0.1:{proxy.port}")
        visitor = await console.visitor()
        visitor.forgive(*NETWORK_IS_GONE)
        page = await visitor.open(f"{console.service}/s/{session_id}")
        await expect(press(page, "Player 1")).to_be_enabled()
        proxy.silent = True
        proxy.cut_all()
        await expect(page.get_by_text("Connection lost.")).to_be_visible()
        await api.do(session_id, "switch")
        await expect(press(page, "Player 2")).to_be_disabled()
        proxy.silent = False
        proxy.cut_all()
        await expect(press(page, "Player 2")).to_be_enabled()
        await expect(page.get_by_text("Connection lost.")).to_be_hidden()


async def test_a_state_of_a_replica_is_said_to_be_old(api: Api, console: Console) -> None:
    session_id = (await api.game())["session_id"]
    await api.do(session_id, "start")
    visitor = await console.visitor()

    async def as_from_a_replica(socket: WebSocketRoute) -> None:
        """The first state is marked as one of a replica; the events after it are the primary's."""
        server = socket.connect_to_server()
        replica = {"stale": {"age_ms": 12_300}}

        def pass_on(message: str | bytes) -> None:
            told = json.loads(message)
            if told["type"] == "STATE_SYNC" and replica:
                states.append(told)
                message = json.dumps({**told, **replica})
                replica.clear()
            socket.send(message)

        server.on_message(pass_on)
        opened.append(socket)

    opened: list[WebSocketRoute] = []
    states: list[dict[str, Any]] = []
    await visitor.context.route_web_socket(re.compile("/ws"), as_from_a_replica)
    page = await visitor.open(f"{api.url}/s/{session_id}")
    said = page.get_by_text(
        "The server that keeps the clocks is away. A copy knows what happened up to 12 s ago."
    )
    await expect(said).to_be_visible()
    await their_turn(page, "Player 1")
    opened[0].send(json.dumps(states[0]))  # there is a primary again
    await expect(said).to_be_hidden()


async def test_a_tap_under_way_when_the_server_is_killed_counts_once(
    invite: Invite, valkey: Server, tmp_path: Path
) -> None:
    async with Served(valkey, tmp_path / "log") as served, Api(served.url) as api:
        console = Console(invite, served.url)
        session_id = (await api.game())["session_id"]
        visitor = await console.visitor()
        visitor.forgive(*NETWORK_IS_GONE)
        page = await visitor.open(f"{served.url}/s/{session_id}")
        await page.get_by_role("button", name="Start", exact=True).click()
        await their_turn(page, "Player 1")
        await served.kill()
        await expect(page.get_by_text("Connection lost.")).to_be_visible()
        await press(page, "Player 1").click()
        await expect(press(page, "Player 2")).to_be_enabled()
        await served.start()
        await expect(page.get_by_text("Connection lost.")).to_be_hidden()
        await api.reaches(session_id, 3)
        await expect(press(page, "Player 2")).to_be_enabled()
        await press(page, "Player 2").click()
        await api.reaches(session_id, 4)
        state = await api.get(session_id)
        assert (state["version"], state["cycle_count"]) == (4, 2)


@pytest.mark.parametrize("skew", [HOUR, -5 * HOUR])
async def test_on_a_device_hours_off_the_clocks_are_right_and_it_is_said(
    api: Api, console: Console, skew: int
) -> None:
    session_id = (await api.game(seconds=600))["session_id"]
    await api.do(session_id, "start")
    page = await console.open(f"/s/{session_id}", skew_ms=skew)
    await expect(page.get_by_role("status").filter(has_text="clock is wrong")).to_be_visible()
    await expect(half(page, "Player 1").get_by_role("timer")).to_have_text(re.compile(r"^9:5\d$"))
    await page.get_by_role("button", name=re.compile("^Connection: live")).click()
    facts = page.get_by_role("dialog", name="Connection and clock")
    await expect(facts).to_contain_text("1 h fast" if skew > 0 else "5 h slow")


async def test_a_session_that_is_deleted_says_so_and_leaves(api: Api, console: Console) -> None:
    session_id = (await api.game())["session_id"]
    await api.do(session_id, "start")
    page = await console.open(f"/s/{session_id}")
    await expect(press(page, "Player 1")).to_be_enabled()
    await api.ask("DELETE", f"/v1/sessions/{session_id}")
    await expect(page.get_by_role("heading", level=1)).to_have_text("This session was deleted")
    await expect(page.get_by_role("link", name="All sessions")).to_be_visible()
    await expect(page.get_by_role("timer")).to_have_count(0)


async def test_a_session_that_never_was_is_not_found(console: Console) -> None:
    page = await console.open(f"/s/{uuid.uuid4()}")
    await expect(page.get_by_role("heading", level=1)).to_have_text("There is no such session")
    await expect(page.get_by_role("link", name="All sessions")).to_be_visible()


async def test_a_link_that_lost_its_end_is_explained(console: Console) -> None:
    visitor = await console.visitor()
    visitor.forgive("status of 404")
    page = await visitor.open(f"{console.service}/s/{str(uuid.uuid4())[:20]}")
    await expect(page.get_by_role("heading", level=1)).to_have_text("This link is not complete")
    await expect(page.get_by_role("link", name="All sessions")).to_be_visible()
