"""What the recipes' tests share: the page, a service, and its blocks as modules."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import pytest_asyncio

from synckairos.client import SyncKairos
from tests.support import live
from tests.support.live import Service
from tests.support.pages import ROOT, Page
from tests.support.servers import Server

PAGE = Page(ROOT / "synckairos" / "client" / "recipes.md")
SERVICE = "http://127.0.0.1:8080"
"""Where the service is, as the page has it."""


def block(title: str, language: str = "python") -> str:
    """The block of a recipe in that language."""
    (found,) = (each.text for each in PAGE.section(title).blocks if each.language == language)
    return found


def printed(pattern: str) -> str:
    """The one place of the page's text that is like this, as it is printed."""
    (found,) = set(re.findall(pattern, PAGE.text))
    return str(found)


def recipe(title: str, **constants: Any) -> ModuleType:
    """A recipe as a module, with other values for the constants at its top."""
    text = block(title)
    for name, value in constants.items():
        text, count = re.subn(rf"^{name} = .*$", f"{name} = {value!r}", text, flags=re.MULTILINE)
        assert count == 1, f"{title} has no constant {name}"
    module = ModuleType(f"recipe_{title.lower().replace(' ', '_')}")
    exec(compile(text, f"recipes.md, {title}", "exec"), vars(module))
    return module


async def server_now(client: SyncKairos) -> int:
    """The server's time (ms)."""
    await client.sync_time()
    now = client.time.now_ms()
    assert now is not None
    return int(now)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(redis: Server) -> AsyncIterator[Service]:
    """One that pages of every origin may use: those of the tests are files, and on servers of their own.

    It takes more than 24 hours on a clock.
    """
    async with live.service(live.settings(redis.url, ALLOWED_ORIGINS="*", LONG_CLOCKS="true")) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def client(service: Service) -> AsyncIterator[SyncKairos]:
    """What a backend has."""
    async with SyncKairos(f"http://127.0.0.1:{service.port}") as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def unattended(redis: Server) -> AsyncIterator[SyncKairos]:
    """A client of a service that does not look at the clocks: whoever comes next notices that one ran out."""
    url = urlsplit(redis.url)._replace(path="/1").geturl()  # no timekeeper looks there
    async with live.service(live.settings(url)) as running:
        await running.context.timekeeper.stop()
        async with SyncKairos(f"http://127.0.0.1:{running.port}") as opened:
            yield opened
