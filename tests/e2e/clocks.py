"""The test page pages/clock.html: the clocks of a game in a page of another origin."""

from __future__ import annotations

from dataclasses import dataclass

from playwright.async_api import Page

from tests.e2e.browser import NETWORK_IS_GONE, Invite
from tests.e2e.device import set_clock
from tests.support.proxy import Proxy

SETTLED = "session.state !== null && client.time.uncertaintyMs <= 20"
"""True when the page knows the session, and the server's time well enough for these tests."""


@dataclass
class Clocks:
    """Opens test pages, each in its own browser context."""

    invite: Invite
    elsewhere: str
    """The origin of the test pages."""
    service: str

    def address(self, session_id: str, service: str | None = None) -> str:
        """The address of a session's test page."""
        return f"{self.elsewhere}/clock.html?service={service or self.service}&session={session_id}"

    async def load(self, session_id: str, *, behind: Proxy | None = None, skew_ms: int | None = None) -> Page:
        """Opens a page, behind a proxy that can break or on a device whose clock is so much ahead."""
        service = self.service if behind is None else f"http://127.0.0.1:{behind.port}"
        visitor = await self.invite(service, self.elsewhere)
        if behind is not None:
            visitor.forgive(*NETWORK_IS_GONE)
        if skew_ms is not None:
            await set_clock(visitor, skew_ms)
        return await visitor.open(self.address(session_id, service))

    async def open(self, session_id: str, *, behind: Proxy | None = None, skew_ms: int | None = None) -> Page:
        """Opens a page and waits until it is settled. From then on it records what it shows."""
        page = await self.load(session_id, behind=behind, skew_ms=skew_ms)
        await until(page, f"window.record && {SETTLED}")
        await page.evaluate("record.samples.length = 0")
        return page


async def until(page: Page, condition: str) -> None:
    """Waits until a condition is true in a page."""
    await page.wait_for_function(f"() => {condition}")


async def goes_on(page: Page, samples: int) -> None:
    """Waits until a page has recorded so many more samples."""
    since = await page.evaluate("record.samples.length")
    await until(page, f"record.samples.length >= {since + samples}")
