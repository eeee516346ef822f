"""A network fails in several ways under an open page, which has to be right meanwhile and afterwards."""

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
    """Breaks the connection. New ones are accepted, but nothing answers."""
    proxy.silent = True
    proxy.cut_all()


async def swallow(proxy: Proxy, _: Page) -> None:
    """Loses everything that is sent from now on, without closing the connection."""
    proxy.silent = True


async def mend(proxy: Proxy, _: Page) -> None:
    """Lets new connections work. Everything that was sent before stays lost."""
    proxy.silent = False
    proxy.cut_all()


async def hold(proxy: Proxy, _: Page) -> None:
    """Delays everything, as in a tunnel. It arrives in order when the tunnel ends."""
    proxy.delay_s = OUTAGE_S + 1  # longer than the test: let_go() ends the outage


async def let_go(proxy: Proxy, _: Page) -> None:
    """Delays nothing from now on."""
    proxy.delay_s = 0


async def go_offline(proxy: Proxy, page: Page) -> None:
    """Cuts the network and tells the device so."""
    await page.context.set_offline(True)
    await cut(proxy, page)


async def go_online(proxy: Proxy, page: Page) -> None:
    """Restores the network and tells the device so."""
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
