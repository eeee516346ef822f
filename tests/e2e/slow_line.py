"""How long the console takes on a slow line until its clocks are live: `python -m tests.e2e.slow_line`.

Prints a table: files, bytes and seconds of a first visit of a session's page and of a further one, on three
lines of 400 ms a round trip and 50 KB/s: as Chromium's DevTools make it, through a proxy on loopback, and
through the same proxy where each new connection costs a round trip more, as the handshake of TCP does.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, Self

from playwright.async_api import Browser, BrowserContext, Page, async_playwright
from rich.console import Console
from rich.table import Table

from tests.e2e import browser as browsers
from tests.e2e.backend import Api
from tests.e2e.served import Served
from tests.support import servers

ROUND_TRIP_S = 0.4
BYTES_PER_S = 50_000
CHUNK = 2048

LIVE = """(() => {
  const look = () => {
    const shown = document.querySelector("[role=timer]")?.textContent ?? "";
    const live = document.querySelector("#app")?.dataset.connection === "live";
    if (live && /[0-9]/.test(shown)) window.liveAt = performance.now();
    else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
})()"""
"""Notes when the clocks are live: the page is connected, and shows digits."""


class SlowLine:
    """A proxy on loopback whose line is slow: all its connections share a bandwidth, and each way takes time.

    handshake: whether a new connection costs a round trip before its first byte goes out
    """

    def __init__(self, target: int, *, handshake: bool) -> None:
        self._target = target
        self._handshake = handshake
        self.round_trip_s = ROUND_TRIP_S
        self.bytes_per_s = float(BYTES_PER_S)
        self._free_at = {"up": 0.0, "down": 0.0}
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0
        self.received = 0
        """How many bytes came down."""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        open_at = monotonic() + (self.round_trip_s if self._handshake else 0)
        with suppress(OSError, asyncio.CancelledError):
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target)
            ways = [
                asyncio.create_task(self._pass_on("up", reader, there_writer, open_at)),
                asyncio.create_task(self._pass_on("down", there_reader, writer, 0)),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
                there_writer.transport.abort()
                writer.transport.abort()

    async def _pass_on(
        self, way: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, open_at: float
    ) -> None:
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        deliver = asyncio.create_task(self._deliver(waiting, writer))
        try:
            while data := await reader.read(CHUNK):
                free_at = max(self._free_at[way], open_at, monotonic()) + len(data) / self.bytes_per_s
                self._free_at[way] = free_at
                self.received += len(data) if way == "down" else 0
                waiting.put_nowait((free_at + self.round_trip_s / 2, data))
                await asyncio.sleep(max(0, free_at - monotonic()))  # the line takes no more than it carries
            await waiting.join()
        finally:
            deliver.cancel()

    @staticmethod
    async def _deliver(waiting: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        while True:
            due, data = await waiting.get()
            await asyncio.sleep(max(0, due - monotonic()))
            writer.write(data)
            waiting.task_done()


@dataclass
class Visit:
    """What a visit of a page took."""

    seconds: float
    files: int
    bytes_: int


@dataclass
class Counter:
    """What comes over the network to a page: files, and their bytes with the heads."""

    files: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, float] = field(default_factory=dict)

    async def follow(self, page: Page, *, slow: bool) -> None:
        """Count what the page loads. slow: have DevTools make its line slow."""
        tools = await page.context.new_cdp_session(page)
        tools.on("Network.responseReceived", self._answered)
        tools.on("Network.loadingFinished", self._finished)
        await tools.send("Network.enable")
        if slow:
            rate = {"downloadThroughput": BYTES_PER_S, "uploadThroughput": BYTES_PER_S}
            await tools.send(
                "Network.emulateNetworkConditions", {"offline": False, "latency": 1000 * ROUND_TRIP_S, **rate}
            )

    def _answered(self, event: dict[str, Any]) -> None:
        reply = event["response"]
        if not (reply.get("fromServiceWorker") or reply.get("fromDiskCache") or reply["url"][:5] == "data:"):
            self.files[event["requestId"]] = reply["url"]

    def _finished(self, event: dict[str, Any]) -> None:
        self.sizes[event["requestId"]] = event["encodedDataLength"]

    def sum(self, seconds: float) -> Visit:
        """What was counted."""
        return Visit(seconds, len(self.files), int(sum(self.sizes.get(each, 0) for each in self.files)))


async def visit(context: BrowserContext, url: str, *, slow: bool) -> Visit:
    """Opens a page in a new tab, and waits until its clocks are live."""
    page = await context.new_page()
    await page.add_init_script(LIVE)
    counter = Counter()
    await counter.follow(page, slow=slow)
    await page.goto(url, wait_until="commit")
    await page.wait_for_function("() => window.liveAt > 0", timeout=60_000)
    seconds = await page.evaluate("liveAt") / 1000
    await page.wait_for_load_state("load")
    counted = counter.sum(seconds)
    # What the page keeps for the next visit is kept when its service worker has taken over.
    await page.evaluate(
        """async () => {
          if (await navigator.serviceWorker?.getRegistration()) await navigator.serviceWorker.ready;
        }"""
    )
    await page.close()
    return counted


@asynccontextmanager
async def line(kind: str, port: int) -> AsyncIterator[tuple[str, bool]]:
    """The address by which the service is reached, and whether DevTools make the line slow."""
    if kind == "DevTools":
        yield f"http://127.0.0.1:{port}", True
    else:
        async with SlowLine(port, handshake="handshake" in kind) as slow:
            yield f"http://127.0.0.1:{slow.port}", False


async def measure(browser: Browser, port: int, session_id: str, times: int) -> Table:
    """The table: a row for each line and visit."""
    table = Table("line", "visit", "files", "bytes", "seconds until live")
    async with line("proxy", port) as (url, _), AsyncExitStack() as stack:
        # The service makes the smallest form of its files when somebody has asked for them.
        context = await browser.new_context()
        stack.push_async_callback(context.close)
        await visit(context, f"{url}/s/{session_id}", slow=False)
    for kind in ("DevTools", "proxy", "proxy with handshakes"):
        first, again = list[Visit](), list[Visit]()
        for _ in range(times):
            async with line(kind, port) as (url, slow), AsyncExitStack() as stack:
                context = await browser.new_context()
                stack.push_async_callback(context.close)
                first.append(await visit(context, f"{url}/s/{session_id}", slow=slow))
                again.append(await visit(context, f"{url}/s/{session_id}", slow=slow))
        for name, visits in (("first", first), ("further", again)):
            middle = statistics.median(each.seconds for each in visits)
            table.add_row(kind, name, str(visits[0].files), f"{visits[0].bytes_:,}", f"{middle:.2f}")
    return table


async def main(times: int) -> None:
    """Start a service with a game that runs, and measure."""
    with servers.start("valkey") as valkey, tempfile.TemporaryDirectory() as folder:
        async with Served(valkey, Path(folder) / "log") as served, Api(served.url) as api:
            session_id = (await api.game(seconds=600))["session_id"]
            await api.do(session_id, "start")
            async with async_playwright() as playwright:
                browser = await playwright.chromium.launch(
                    executable_path=browsers.chromium(), args=[*browsers.ARGUMENTS]
                )
                Console().print(await measure(browser, served.port, session_id, times))
                await browser.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--times", type=int, default=3, help="how often each visit is made; the median counts"
    )
    asyncio.run(main(parser.parse_args().times))
