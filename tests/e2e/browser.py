"""A browser for tests: pages that report their errors, and tabs that are really hidden."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
import shutil
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlsplit

import httpx
from playwright.async_api import BrowserContext, ConsoleMessage, Page, WebSocket
from websockets.asyncio.client import ClientConnection, connect

PATIENCE_S = 15.0
"""How long a test waits for something before it fails."""

ARGUMENTS = (
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-gpu",
    "--disable-quic",
)
"""Only the pages of a test use the network. Containers run tests as root, where Chromium needs no sandbox."""


SHELL = "chromium-headless-shell"
"""Chromium without windows: the same engine, in which a page costs half as much time."""
WITH_WINDOWS = ("chromium", "chromium-browser", "google-chrome")


def chromium(*, with_windows: bool = False) -> str | None:
    """The path of Chromium, or None. In CI a missing Chromium is an error, because all tests have to run.

    with_windows: the whole browser, in which a tab hides the others
    """
    names = WITH_WINDOWS if with_windows else (SHELL, *WITH_WINDOWS)
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if found is None and os.environ.get("CI") == "true":
        raise FileNotFoundError(f"{names[0]} is not installed, and in CI all tests have to run")
    return found


_OF_THE_WORKER = ("An unknown error occurred when fetching the script", "Service Worker registration blocked")
"""What the browser says of its own accord when it looks for another release of the service worker, and the
service has gone, or when the test wants none."""


@dataclass
class Visitor:
    """A browser context with pages, and everything that went wrong in them."""

    context: BrowserContext
    hosts: frozenset[str]
    """The hosts that the pages may ask, such as `127.0.0.1:8080`."""
    troubles: list[str] = field(default_factory=list)
    forgiven: list[str] = field(default_factory=list)
    """Patterns of the troubles that the test causes itself."""
    sockets: list[WebSocket] = field(default_factory=list)
    """All sockets that the pages opened."""

    def __post_init__(self) -> None:
        self.context.on("weberror", lambda error: self.troubles.append(f"uncaught: {error.error}"))
        self.context.on("console", self._said)
        self.context.on("request", lambda request: self._asked(request.url))
        self.context.on("page", lambda page: page.on("websocket", self._connected))

    def _said(self, message: ConsoleMessage) -> None:
        if message.text.startswith(_OF_THE_WORKER):
            return
        if message.type in ("error", "warning", "assert"):
            place = message.location.get("url", "")
            self.troubles.append(f"console {message.type}: {message.text} ({place})")

    def _asked(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("data", "blob", "about") and parts.netloc not in self.hosts:
            self.troubles.append(f"a request to another host: {url}")

    def _connected(self, socket: WebSocket) -> None:
        self.sockets.append(socket)
        self._asked(socket.url)

    def forgive(self, *patterns: str) -> None:
        """Ignores troubles with these patterns (regular expressions), because the test causes them."""
        self.forgiven += patterns

    async def open(self, url: str) -> Page:
        """Opens a page and waits until it is loaded."""
        page = await self.context.new_page()
        page.set_default_timeout(1000 * PATIENCE_S)
        await page.goto(url)
        return page

    async def leave(self) -> None:
        """Closes all pages, so that they do not miss a service that ends before the test does."""
        for page in self.context.pages:
            await page.close()

    def check(self) -> None:
        """Fails when something went wrong that the test did not forgive."""
        left = [
            trouble
            for trouble in self.troubles
            if not any(re.search(pattern, trouble) for pattern in self.forgiven)
        ]
        assert not left, "\n".join(left)


class Invite(Protocol):
    """Makes a visitor whose pages may ask only these hosts. The options are those of browser contexts."""

    def __call__(self, *hosts: str, **options: Any) -> Awaitable[Visitor]: ...


NETWORK_IS_GONE = (
    r"WebSocket connection to .* failed",
    r"Failed to load resource: net::ERR_",
)
"""The messages that Chromium itself writes into the console when a server cannot be reached."""


class Tab:
    """A tab without emulation.

    Playwright keeps all its pages visible, focused and awake, whatever is in front of them. A tab that is
    opened over the DevTools protocol alone is hidden when another one is in front of it: its timers are
    throttled, it gets no frames, and it can be frozen, all as for a user.
    """

    def __init__(self, devtools: DevTools, target: str, session: str) -> None:
        self._devtools = devtools
        self._target = target
        self._session = session

    async def evaluate(self, expression: str) -> Any:
        """The value of an expression, or of its promise, as JSON."""
        reply = await self._ask(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in reply, reply["exceptionDetails"]
        return reply["result"].get("value")

    async def until(self, expression: str) -> Any:
        """Waits until an expression is true, without setting timers in the page."""
        async with asyncio.timeout(PATIENCE_S):
            while not (value := await self.evaluate(expression)):
                await asyncio.sleep(0.02)
        return value

    async def to_front(self) -> None:
        """Shows this tab, which hides the one that was shown."""
        await self._devtools.ask("Target.activateTarget", targetId=self._target)
        await self.until("document.visibilityState === 'visible'")

    async def freeze(self) -> None:
        """Stops everything in a hidden tab, as browsers do to save power."""
        await self._ask("Page.setWebLifecycleState", state="frozen")

    async def thaw(self) -> None:
        """Lets a frozen tab go on."""
        await self._ask("Page.setWebLifecycleState", state="active")

    async def _ask(self, method: str, **parameters: Any) -> Any:
        return await self._devtools.ask(method, self._session, **parameters)


class DevTools:
    """The DevTools protocol of a running browser, in its own browser context."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._context = ""

    async def ask(self, method: str, session: str | None = None, **parameters: Any) -> Any:
        """The result of a command."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        await self._socket.send(json.dumps(message if session is None else {**message, "sessionId": session}))
        async with asyncio.timeout(PATIENCE_S):
            while (reply := json.loads(await self._socket.recv())).get("id") != number:
                pass  # an event, or the answer to another command
        assert "error" not in reply, reply
        return reply["result"]

    async def tab(self, url: str = "about:blank") -> Tab:
        """Opens a tab in front of the others."""
        opened = await self.ask("Target.createTarget", url=url, browserContextId=self._context)
        target = opened["targetId"]
        attached = await self.ask("Target.attachToTarget", targetId=target, flatten=True)
        return Tab(self, target, attached["sessionId"])

    async def _enter(self) -> None:
        self._context = (await self.ask("Target.createBrowserContext"))["browserContextId"]

    async def _leave(self) -> None:
        await self.ask("Target.disposeBrowserContext", browserContextId=self._context)


@asynccontextmanager
async def devtools(port: int) -> AsyncIterator[DevTools]:
    """The protocol of the browser with this debugging port. Its tabs are closed at the end."""
    async with httpx.AsyncClient(verify=False) as client:  # no TLS here, so the CAs need not be read
        version = (await client.get(f"http://127.0.0.1:{port}/json/version")).json()
    async with connect(version["webSocketDebuggerUrl"], max_size=None, ping_interval=None) as socket:
        opened = DevTools(socket)
        await opened._enter()
        try:
            yield opened
        finally:
            await opened._leave()
