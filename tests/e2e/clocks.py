"""The test page: the clocks of a game in a page of another origin, see pages/clock.html."""

from __future__ import annotations

from dataclasses import dataclass

from playwright.async_api import Page

from tests.e2e.browser import NETWORK_IS_GONE, Invite
from tests.e2e.device import set_clock
from tests.support.proxy import Proxy

SETTLED = "session.state !== null && client.time.uncertaintyMs <= 20"
"""The page knows the session, and the server's time well enough for all that is measured here."""


@dataclass
class Clocks:
    """Opens test pages, each in a browser context of its own."""

    invite: Invite
    elsewhere: str
    """Where the pages are."""
    service: str

    def address(self, session_id: str, service: str | None = None) -> str:
        """Of the page of a session."""
        return f"{self.elsewhere}/clock.html?service={service or self.service}&session={session_id}"

    async def load(self, session_id: str, *, behind: Proxy | None = None, skew_ms: int | None = None) -> Page:
        """A page behind a proxy that may break, or on a device whose clock is so much ahead."""
        service = self.service if behind is None else f"http://127.0.0.1:{behind.port}"
        visitor = await self.invite(service, self.elsewhere)
        if behind is not None:
            visitor.forgive(*NETWORK_IS_GONE)
        if skew_ms is not None:
            await set_clock(visitor, skew_ms)
        return await visitor.open(self.address(session_id, service))

    async def open(self, session_id: str, *, behind: Proxy | None = None, skew_ms: int | None = None) -> Page:
        """A page that is settled; from then on it writes down what it shows."""
        page = await self.load(session_id, behind=behind, skew_ms=skew_ms)
        await until(page, f"window.record && {SETTLED}")
        await page.evaluate("record.samples.length = 0")
        return page


async def until(page: Page, condition: str) -> None:
    """Waits until something is so in a page."""
    await page.wait_for_function(f"() => {condition}")


async def goes_on(page: Page, samples: int) -> None:
    """Waits until a page has shown so much more."""
    since = await page.evaluate("record.samples.length")
    await until(page, f"record.samples.length >= {since + samples}")
