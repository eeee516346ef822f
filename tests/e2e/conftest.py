"""The fixtures of the browser tests: one browser, services, and pages that must not report errors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright, expect

from synckairos.run.processes import free_port
from tests.e2e import browser as browsers
from tests.e2e.backend import Api
from tests.e2e.browser import DevTools, Invite, Visitor
from tests.e2e.clocks import Clocks
from tests.e2e.console import Console
from tests.support import live, servers
from tests.support.listening import listening
from tests.support.servers import Server

expect.set_options(timeout=1000 * browsers.PATIENCE_S)

PAGES = Path(__file__).parent / "pages"


def pytest_report_header() -> str:
    """Says which browser is used."""
    return f"browser: {browsers.chromium() or 'chromium is not installed: no browser tests'}"


@asynccontextmanager
async def _launched(path: str | None, *arguments: str) -> AsyncIterator[Browser]:
    if path is None:
        pytest.skip("chromium is not installed")
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(
            executable_path=path, args=[*browsers.ARGUMENTS, *arguments]
        )
        yield running
        await running.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """One browser for the whole run."""
    async with _launched(browsers.chromium()) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def devtools() -> AsyncIterator[DevTools]:
    """Opens tabs without emulation, in the whole browser."""
    port, path = free_port(), browsers.chromium(with_windows=True)
    async with _launched(path, f"--remote-debugging-port={port}"), browsers.devtools(port) as opened:
        yield opened


class _Files(SimpleHTTPRequestHandler):
    """The test pages, and below /nodejs/ Debian's packages for Node."""

    def translate_path(self, path: str) -> str:
        if path.startswith("/nodejs/"):
            return str(Path("/usr/share/nodejs") / path.removeprefix("/nodejs/"))
        return super().translate_path(path)

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def log_message(self, *_: Any) -> None:
        """Writes no log."""


@pytest.fixture(scope="session")
def elsewhere() -> Iterator[str]:
    """The origin of the test pages, which is not the service's."""
    with listening(ThreadingHTTPServer(("127.0.0.1", 0), partial(_Files, directory=PAGES))) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="session")
def valkey() -> Iterator[Server]:
    """A server for these tests alone, because the one of the other tests is emptied before each test."""
    with servers.start("valkey") as server:
        yield server


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def service(valkey: Server, elsewhere: str) -> AsyncIterator[live.Service]:
    """A service whose API the test pages of another origin may use."""
    settings = live.settings(valkey.url, ENABLE_CORS="true", ALLOWED_ORIGINS=elsewhere)
    async with live.service(settings) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def api(service: live.Service) -> AsyncIterator[Api]:
    """A backend of the service."""
    async with Api(f"http://127.0.0.1:{service.port}") as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def invite(browser: Browser) -> AsyncIterator[Invite]:
    """Makes visitors. At the end of the test it fails if something went wrong in their pages."""
    visitors: list[Visitor] = []
    async with AsyncExitStack() as stack:

        async def one(*hosts: str, **options: Any) -> Visitor:
            context = await browser.new_context(**options)
            stack.push_async_callback(context.close)
            visitors.append(Visitor(context, frozenset(host.removeprefix("http://") for host in hosts)))
            return visitors[-1]

        yield one
    for visitor in visitors:
        visitor.check()


@pytest.fixture
def clocks(invite: Invite, elsewhere: str, service: live.Service) -> Clocks:
    """Opens test pages."""
    return Clocks(invite, elsewhere, f"http://127.0.0.1:{service.port}")


@pytest.fixture
def console(invite: Invite, service: live.Service) -> Console:
    """Opens pages of the console."""
    return Console(invite, f"http://127.0.0.1:{service.port}")
