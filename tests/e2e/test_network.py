"""What networks do to an open page, and what the page shows meanwhile and afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from playwright.async_api import Page

from tests.e2e.backend import Api
from tests.e2e.clocks import SETTLED, Clocks, goes_on, until
from tests.e2e.readings import agree, deadlines, never_back, right, samples, without_gap
from tests.support.live import Service
from tests.support.proxy import Proxy

pytestmark = pytest.mark.asyncio(loop_scope="session")

OUTAGE_S = 5.0


async def cut(proxy: Proxy, _: Page) -> None:
    """The connection breaks at once, and no other comes about: each is taken and nothing answers."""
    proxy.silent = True
    proxy.cut_all()


async def swallow(proxy: Proxy, _: Page) -> None:
    """Nothing comes through any more, and nobody says so; what was sent meanwhile is lost."""
    proxy.silent = True


async def mend(proxy: Proxy, _: Page) -> None:
    """Whoever still waits for an answer never gets it."""
    proxy.silent = False
    proxy.cut_all()


async def hold(proxy: Proxy, _: Page) -> None:
    """Everything is late, as in a tunnel: it comes in order when the tunnel ends."""
    proxy.delay_s = OUTAGE_S + 1  # the outage ends when it is told to


async def let_go(proxy: Proxy, _: Page) -> None:
    """What follows is not late."""
    proxy.delay_s = 0


async def go_offline(proxy: Proxy, page: Page) -> None:
    """The device knows that it has no network."""
    await page.context.set_offline(True)
    await cut(proxy, page)


async def go_online(proxy: Proxy, page: Page) -> None:
    """And that it has one again."""
    proxy.silent = False
    await page.context.set_offline(False)


Happens = Callable[[Proxy, Page], Awaitable[None]]


@pytest.mark.parametrize(
    "outage",
    [(cut, mend), (swallow, mend), (hold, let_go), (go_offline, go_online)],
    ids=["cut", "silent", "late", "offline"],
)
async def test_a_page_without_network_for_5_s_catches_up_without_a_jump(
    api: Api, service: Service, clocks: Clocks, outage: tuple[Happens, Happens]
) -> None:
    begin, end = outage
    session_id = (await api.game())["session_id"]
    async with Proxy(service.port) as proxy:
        page = await clocks.open(session_id, behind=proxy)
        witness = await clocks.open(session_id)
        await api.do(session_id, "start")
        await api.do(session_id, "switch")
        await until(page, "session.state.version === 3")

        await begin(proxy, page)
        for _ in range(4):
            await api.do(session_id, "switch")
            await asyncio.sleep(OUTAGE_S / 4)
        assert await page.evaluate("session.state.version") == 3, "nothing came through"
        await end(proxy, page)

        await api.do(session_id, "switch")
        for each in (page, witness):
            await until(each, f"session.state.version === 8 && {SETTLED}")
        await goes_on(page, 50)
        shown, seen = await samples(page), await samples(witness)
        without_gap(await page.evaluate("record.changes.map((each) => each.version)"))
        never_back(shown)
        assert right(shown, deadlines(await api.events(session_id))) > 100
        assert agree(shown, seen) >= {3, 8}
        assert await page.evaluate("session.connection") == "live"
