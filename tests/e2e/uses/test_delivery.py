"""How the pages come: few files, compressed and kept, so that they open again without a network."""

from __future__ import annotations

import asyncio
import json
import re
import time
from typing import Any

import jwt
import pytest
from playwright.async_api import Page, expect

from synckairos.api.delivery import answers, site
from synckairos.api.routes import pages
from tests.e2e import slow_line
from tests.e2e.backend import Api
from tests.e2e.browser import NETWORK_IS_GONE, PATIENCE_S, Visitor
from tests.e2e.console import WITHOUT_A_LIST, Console, half, press
from tests.e2e.slow_line import Counter
from tests.support import live
from tests.support.live import Service
from tests.support.servers import Server

pytestmark = pytest.mark.asyncio(loop_scope="session")

SECRET = "a secret of this test, 32 bytes or more"

MOST_BYTES = 72_000
"""What a first visit of a session's page may take, so that it is there within 2.5 s on a line of 50 KB/s with
round trips of 400 ms: 1.44 s for the bytes, two round trips, and a quarter of a second to work in.
"""


async def kept(page: Page, *paths: str) -> None:
    """Waits until the service worker has everything, and also these files."""
    await page.evaluate(
        """async (paths) => {
          const isKept = async () => {
            const registration = await navigator.serviceWorker.getRegistration();
            if (registration?.active?.state !== "activated") return false;
            const found = await Promise.all(paths.map((path) => caches.match(path, { ignoreVary: true })));
            return found.every(Boolean);
          };
          while (!(await isKept())) await new Promise((resolve) => setTimeout(resolve, 50));
        }""",
        list(paths),
    )


async def texts_of(page: Page) -> str:
    """The path of the texts that the page has loaded."""
    loaded = await page.evaluate("performance.getEntriesByType('resource').map((each) => each.name)")
    (found,) = {each for each in loaded if re.search(r"[.]texts-[a-z]{2}-\w+[.]js$", each)}
    return f"/{str(found).split('/', 3)[3]}"


async def leave_the_network(visitor: Visitor) -> None:
    """Cuts the visitor off, also the visitor's service worker."""
    visitor.forgive(*NETWORK_IS_GONE)
    await visitor.context.set_offline(True)


async def test_a_first_visit_is_four_files_and_few_bytes(api: Api, console: Console) -> None:
    session_id = (await api.game())["session_id"]
    await api.do(session_id, "start")
    for _ in range(5):  # the smallest form of a file is there a moment after somebody has first asked for it
        visitor = await console.visitor()
        page = await visitor.context.new_page()
        counter = Counter()
        await counter.follow(page, slow=False)
        await page.goto(f"{console.service}/s/{session_id}")
        await expect(press(page, "Player 1")).to_be_enabled()
        files = [url.removeprefix(console.service) for url in counter.files.values()]
        if counter.sum(0).bytes_ <= MOST_BYTES:
            break
    assert counter.sum(0).bytes_ <= MOST_BYTES
    built = [each for each in files if not each.endswith(".svg")]
    assert len(built) == 4, files
    assert built[0] == f"/s/{session_id}"
    assert all(each.startswith("/console/built/") for each in built[1:]), "each is kept for a year"
    assert len(visitor.sockets) == 1, "the client takes over the socket that was opened first"
    names = [each.rpartition("/")[2].partition("-")[0] for each in built[1:]]
    assert sorted(names) == ["session", "session", "session.texts"]


async def test_the_first_socket_is_the_only_one_and_its_time_is_used(api: Api, console: Console) -> None:
    """What it heard before the client was there is not lost."""
    session_id = (await api.game(seconds=600))["session_id"]
    await api.do(session_id, "start")
    visitor = await console.visitor()

    async def late(route: Any) -> None:
        await asyncio.sleep(0)  # the state and the time are there first
        await told.wait()
        await route.continue_()

    told = asyncio.Event()
    await visitor.context.route(re.compile("/console/built/session-"), late)
    page = await visitor.context.new_page()
    frames: list[str] = []

    def heard(frame: str | bytes) -> None:
        frames.append(json.loads(frame)["type"])
        if frames[-1] == "PONG":
            told.set()

    page.on("websocket", lambda socket: socket.on("framereceived", heard))
    await page.goto(f"{console.service}/s/{session_id}", wait_until="commit")
    await asyncio.wait_for(told.wait(), PATIENCE_S)
    assert frames[:3] == ["CONNECTED", "STATE_SYNC", "PONG"]
    await expect(half(page, "Player 1").get_by_role("timer")).to_have_text(re.compile(r"^(9:\d\d|10:00)$"))
    await press(page, "Player 1").click()
    await expect(press(page, "Player 2")).to_be_enabled()
    assert (await api.get(session_id))["cycle_count"] == 1
    assert len(visitor.sockets) == 1


async def test_a_page_opens_again_without_a_network_and_says_how_old_it_is(
    api: Api, console: Console
) -> None:
    session_id = (await api.game(seconds=600, metadata={"title": "Final"}))["session_id"]
    await api.do(session_id, "start")
    visitor = await console.visitor()
    page = await visitor.open(f"{console.service}/s/{session_id}")
    await expect(press(page, "Player 1")).to_be_enabled()
    await kept(page, await texts_of(page))
    await leave_the_network(visitor)
    await page.reload()
    told = page.get_by_text("This is how it was just now.")
    await expect(told).to_be_visible()
    await expect(page.get_by_text("Offline.", exact=True)).to_be_visible()
    await expect(page.get_by_role("heading", level=1, name="Final")).to_have_count(1)
    face = half(page, "Player 1").get_by_role("timer")
    await expect(face).to_have_text(re.compile(r"^(9:\d\d|10:00)$"))
    await expect(press(page, "Player 1")).to_have_count(0)
    await expect(page.get_by_role("button", name="Pause")).to_be_hidden()
    # Its clocks stand: nobody here knows whether they run.
    shown = await face.text_content()
    await page.evaluate("new Promise((resolve) => setTimeout(resolve, 1100))")
    assert await face.text_content() == shown
    # Three minutes later, by this device's clock.
    await page.evaluate(
        """() => {
          const seen = JSON.parse(localStorage.getItem("synckairos.last"));
          for (const each of seen) each.at -= 180_000;
          localStorage.setItem("synckairos.last", JSON.stringify(seen));
        }"""
    )
    await page.reload()
    await expect(page.get_by_text(re.compile(r"This is how it was [34] min ago\."))).to_be_visible()
    await page.goto(f"{console.service}/")
    await expect(page.get_by_role("heading", level=1, name="Sessions")).to_be_visible()
    await page.goto(f"{console.service}/s/{session_id}?view=board")
    await expect(page.get_by_text(re.compile(r"This is how it was [34] min ago\."))).to_be_visible()
    await visitor.context.set_offline(False)
    await api.do(session_id, "switch")
    await page.reload()
    await expect(page.get_by_text("This is how it was")).to_be_hidden()
    await page.get_by_role("radio", name="Game clock").check(force=True)
    await expect(press(page, "Player 2")).to_be_enabled()


async def test_only_the_newest_sessions_are_kept_and_what_is_gone_is_forgotten(
    api: Api, console: Console
) -> None:
    visitor = await console.visitor()
    visitor.forgive(WITHOUT_A_LIST)
    page = await visitor.open(f"{console.service}/")
    ids = [(await api.game())["session_id"] for _ in range(6)]

    async def seen() -> list[str]:
        found: list[str] = await page.evaluate(
            'JSON.parse(localStorage.getItem("synckairos.last") ?? "[]").map(({ id }) => id)'
        )
        return found

    for session_id in ids:
        # It is kept when the page is left, if it was live.
        await page.goto(f"{console.service}/s/{session_id}")
        await expect(page.get_by_role("button", name=re.compile("^Connection: live.*±"))).to_be_visible()
    await page.goto(f"{console.service}/")
    assert await seen() == ids[:0:-1]
    await page.goto(f"{console.service}/s/{ids[-1]}")
    await expect(page.get_by_role("button", name="Start", exact=True)).to_be_visible()
    await api.ask("DELETE", f"/v1/sessions/{ids[-1]}")
    await expect(page.get_by_role("heading", level=1)).to_have_text("This session was deleted")
    assert await seen() == ids[-2:0:-1]


async def test_nothing_that_the_service_says_of_sessions_is_kept(api: Api, console: Console) -> None:
    session_id = (await api.game())["session_id"]
    visitor = await console.visitor()
    page = await visitor.open(f"{console.service}/s/{session_id}")
    await kept(page, await texts_of(page))
    await page.reload()
    await page.get_by_role("button", name="Start", exact=True).click()
    await expect(press(page, "Player 1")).to_be_enabled()
    held: list[str] = await page.evaluate(
        """async () => {
          const caches_ = await Promise.all((await caches.keys()).map((name) => caches.open(name)));
          const requests = await Promise.all(caches_.map((each) => each.keys()));
          return requests.flat().map(({ url }) => new URL(url).pathname);
        }"""
    )
    other = [
        each
        for each in held
        if not each.startswith("/console/built/")
        and each not in ("/", "/s/00000000-0000-4000-8000-000000000000", "/room/x")
    ]
    assert other == []
    assert held


async def test_a_new_release_is_there_when_the_page_is_opened_once_more(
    api: Api, service: Service, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitor = await console.visitor()
    visitor.forgive(WITHOUT_A_LIST)
    page = await visitor.open(f"{console.service}/")
    foot = page.locator(".foot p")
    await expect(foot).to_have_text("Shared clocks that show the same time on every device.")
    await kept(page, await texts_of(page))

    files, modules = site.sources()
    for path in ("/console/texts/en.js", "/console/list/index.html"):
        files[path] = files[path].replace(b"Shared clocks that", b"Newer clocks that")
    other = site.of(files, modules)
    for module in (answers, pages):
        monkeypatch.setattr(module, "site", lambda: other)
    # The page that was kept is shown at once. Meanwhile the browser looks for another service worker.
    await page.reload()
    await expect(foot).to_have_text("Shared clocks that show the same time on every device.")
    release = re.compile(rb'RELEASE="(\w+)"')
    found = release.search(other.service_worker(site.NOBODY_FRAMES).body)
    assert found is not None
    newest = f"synckairos-{found[1].decode()}"
    await page.evaluate(
        """async (name) => {
          const isThere = async () => {
            const registration = await navigator.serviceWorker.getRegistration();
            return (await caches.keys()).includes(name) && !registration.installing && !registration.waiting;
          };
          while (!(await isThere())) await new Promise((resolve) => setTimeout(resolve, 50));
        }""",
        newest,
    )
    await page.reload()
    await expect(foot).to_have_text("Newer clocks that show the same time on every device.")
    # The files of the release before are there for pages that are open.
    assert len(await page.evaluate("caches.keys()")) == 2


@pytest.mark.parametrize("address", ["/nothing", "/rooms/x"])
async def test_an_address_that_leads_nowhere_has_a_way_home(console: Console, address: str) -> None:
    visitor = await console.visitor()
    visitor.forgive("status of 404", WITHOUT_A_LIST)
    page = await visitor.open(console.service + address)
    await expect(page.get_by_role("heading", level=1)).to_have_text("There is nothing at this address")
    await page.get_by_role("link", name="All sessions").click()
    await expect(page.get_by_role("heading", level=1, name="Sessions")).to_be_visible()


async def test_the_slow_line_is_measured(console: Console, service: Service, api: Api) -> None:
    """The command's parts, on a line that is not slow."""
    assert slow_line.BYTES_PER_S == 50_000
    async with slow_line.SlowLine(service.port, handshake=True) as line:
        line.bytes_per_s, line.round_trip_s = 1e9, 0.0
        session_id = (await api.game())["session_id"]
        visitor = await console.invite(f"127.0.0.1:{line.port}")
        seen = await slow_line.visit(
            visitor.context, f"http://127.0.0.1:{line.port}/s/{session_id}", slow=False
        )
        assert seen.files >= 4
        assert seen.seconds > 0
        assert line.received > seen.bytes_ / 2


async def test_what_was_seen_with_a_token_is_the_tabs_alone(valkey: Server, console: Console) -> None:
    settings = live.settings(valkey.url, AUTH_MODE="jwt", JWT_SECRET=SECRET)
    claims = {"sub": "teacher", "tenant": "club", "roles": ["service"], "exp": time.time() + 3600}
    async with (
        live.service(settings) as guarded,
        Api(f"http://127.0.0.1:{guarded.port}", jwt.encode(claims, SECRET, "HS256")) as club,
    ):
        session_id = (await club.game(seconds=600))["session_id"]
        made = await club.ask("POST", f"/v1/sessions/{session_id}/links", {"role": "viewer"})
        visitor = await console.invite(club.url)
        page = await visitor.open(club.url + made["url"])
        timer = half(page, "Player 1").get_by_role("timer")
        await expect(timer).to_have_text("10:00")
        assert len(visitor.sockets) == 1, "the socket that was opened first has sent the token"
        assert "token" not in page.url
        keys = "(storage) => Object.keys(window[storage])"
        await page.wait_for_function("() => 'synckairos.last' in sessionStorage")
        assert "synckairos.last" not in await page.evaluate(keys, "localStorage")
        await kept(page, await texts_of(page))
        await leave_the_network(visitor)
        await page.reload()
        await expect(page.get_by_text("This is how it was")).to_be_visible()
        await expect(timer).to_have_text("10:00")
        # Another tab has no token, and has seen nothing.
        other = await visitor.open(f"{club.url}/s/{session_id}")
        await expect(other.get_by_role("heading", level=1)).to_have_text("The service does not answer")
        await expect(other.get_by_role("timer")).to_have_count(0)
        await visitor.leave()
