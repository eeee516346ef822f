"""Firefox for tests, driven by the protocol that it speaks itself: WebDriver BiDi over a websocket.

https://www.w3.org/TR/webdriver-bidi/
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from synckairos.run.processes import die_with_parent, free_port
from tests.e2e.browser import PATIENCE_S

START_S = 60.0
"""How long Firefox may take to start with a new profile."""

_PREFERENCES: dict[str, bool | int | str] = {
    "app.normandy.enabled": False,
    "app.update.disabledForTesting": True,
    "browser.region.network.url": "",
    "browser.safebrowsing.update.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.update.enabled": False,
    "intl.accept_languages": "en-US, en",
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,#remote-settings-dummy/v1",
    "toolkit.telemetry.reportingpolicy.firstRun": False,
}
"""Only the pages of a test use the network."""

KEYS = {"Tab": "\ue004", "Enter": "\ue007", "Escape": "\ue00c", "Space": " ", "Shift": "\ue008"}


def firefox() -> str | None:
    """The path of Firefox, or None. In CI a missing Firefox is an error, because all tests have to run."""
    names = ("firefox-esr", "firefox")
    found = os.environ.get("FIREFOX") or next(filter(None, map(shutil.which, names)), None)
    if found is None and os.environ.get("CI") == "true":
        raise FileNotFoundError("firefox is not installed, and in CI all tests have to run")
    return found


class FirefoxPage:
    """One tab."""

    def __init__(self, firefox: Firefox, context: str) -> None:
        self._firefox = firefox
        self._context = context

    async def _ask(self, method: str, **parameters: Any) -> Any:
        return await self._firefox.ask(method, context=self._context, **parameters)

    async def goto(self, url: str) -> None:
        """Opens an address and waits until it is loaded."""
        await self._ask("browsingContext.navigate", url=url, wait="complete")

    async def size(self, width: int, height: int) -> None:
        """Sets the size of what the page is shown in, in CSS pixels."""
        await self._ask("browsingContext.setViewport", viewport={"width": width, "height": height})

    async def evaluate(self, expression: str) -> Any:
        """The value of an expression, or of its promise, as JSON."""
        reply = await self._firefox.ask(
            "script.evaluate",
            expression=f"Promise.resolve({expression}).then((value) => JSON.stringify(value ?? null))",
            target={"context": self._context},
            awaitPromise=True,
            userActivation=False,
        )
        assert reply["type"] == "success", (expression, reply["exceptionDetails"]["text"])
        return json.loads(reply["result"]["value"])

    async def until(self, expression: str) -> Any:
        """Waits until an expression is true, also while another page is loaded."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    try:
                        if value := await self.evaluate(expression):
                            return value
                    except GoneError:
                        pass
                    await asyncio.sleep(0.02)
        except TimeoutError:
            shown = await self.evaluate("[location.href, document.body.innerText]")
            raise AssertionError(f"never true: {expression}, at {shown}") from None

    async def press(self, *keys: str) -> None:
        """Presses keys one after another: names of `KEYS`, or characters. `Shift+Tab` holds the first one."""
        actions = []
        for each in keys:
            chord = [KEYS.get(key, key) for key in (each.split("+") if len(each) > 1 else [each])]
            actions += [{"type": "keyDown", "value": key} for key in chord]
            actions += [{"type": "keyUp", "value": key} for key in reversed(chord)]
        await self._ask(
            "input.performActions", actions=[{"type": "key", "id": "keyboard", "actions": actions}]
        )

    async def type(self, text: str) -> None:
        """Types a text into what has the focus."""
        await self.press(*text)

    async def click(self, expression: str) -> None:
        """Presses the middle of an element with the mouse, once it is there: an expression that gives it."""
        await self.until(f"Boolean({expression})")
        at = await self.evaluate(
            f"((each) => {{ each.scrollIntoView({{ block: 'nearest', behavior: 'instant' }});"
            " const box = each.getBoundingClientRect();"
            f" return [box.x + box.width / 2, box.y + box.height / 2].map(Math.round); }})({expression})"
        )
        actions = [
            {"type": "pointerMove", "x": at[0], "y": at[1]},
            {"type": "pointerDown", "button": 0},
            {"type": "pointerUp", "button": 0},
        ]
        await self._ask(
            "input.performActions", actions=[{"type": "pointer", "id": "mouse", "actions": actions}]
        )

    async def screenshot(self, path: Path) -> None:
        """Writes what is shown as a PNG."""
        picture = await self._ask("browsingContext.captureScreenshot")
        await asyncio.to_thread(path.write_bytes, base64.b64decode(picture["data"]))


class GoneError(Exception):
    """What was asked for was answered by no page: another one is being loaded."""


class Firefox:
    """A running Firefox, and everything that went wrong in its pages."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self.troubles: list[str] = []

    async def ask(self, method: str, *, within_s: float = PATIENCE_S, **parameters: Any) -> Any:
        """The result of a command."""
        number = next(self._numbers)
        await self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        async with asyncio.timeout(within_s):
            while (reply := json.loads(await self._socket.recv())).get("id") != number:
                self._heard(reply)
        if reply["type"] == "error":
            if reply["error"] in {"no such frame", "unknown error"} and method == "script.evaluate":
                raise GoneError(reply["message"])
            raise AssertionError(f"{method}: {reply['error']}: {reply['message']}")
        return reply["result"]

    def _heard(self, event: dict[str, Any]) -> None:
        entry = event.get("params", {})
        if event.get("method") == "log.entryAdded" and entry["level"] in ("error", "warn"):
            self.troubles.append(f"{entry['type']} {entry['level']}: {entry['text']}")

    async def page(self) -> FirefoxPage:
        """Opens a tab."""
        opened = await self.ask("browsingContext.create", type="tab")
        return FirefoxPage(self, opened["context"])


async def _connected(port: int, process: subprocess.Popen[bytes]) -> ClientConnection:
    address = f"ws://127.0.0.1:{port}/session"
    async with asyncio.timeout(START_S):
        while True:
            try:
                return await connect(address, max_size=None, ping_interval=None, proxy=None)
            except OSError:
                assert process.poll() is None, "firefox has ended"
                await asyncio.sleep(0.1)


@asynccontextmanager
async def running(path: str) -> AsyncIterator[Firefox]:
    """Firefox with a profile of its own. At the end both are gone."""
    with tempfile.TemporaryDirectory(prefix="firefox-", ignore_cleanup_errors=True) as profile:
        lines = [
            f"user_pref({json.dumps(each)}, {json.dumps(value)});" for each, value in _PREFERENCES.items()
        ]
        await asyncio.to_thread((Path(profile) / "user.js").write_text, "\n".join(lines), encoding="utf-8")
        port = free_port()
        process = subprocess.Popen(
            [path, "--headless", "--no-remote", "--profile", profile, "--remote-debugging-port", str(port)],
            env={**os.environ, "HOME": profile, "MOZ_DISABLE_AUTO_SAFE_MODE": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=partial(die_with_parent, os.getpid(), signal.SIGKILL),  # noqa: PLW1509 - it calls prctl and nothing else
        )
        try:
            async with await _connected(port, process) as socket:
                opened = Firefox(socket)
                # It answers once its window is there.
                await opened.ask("session.new", within_s=START_S, capabilities={})
                await opened.ask("session.subscribe", events=["log.entryAdded"])
                yield opened
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            await asyncio.to_thread(process.wait)
