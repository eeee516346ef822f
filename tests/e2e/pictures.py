"""Pictures of every page and state of the console, at four sizes, dark and light: `make pictures`.

They are for eyes, and are not kept. `--only NAME…` takes those whose names begin so,
`--sizes` and `--schemes` some of the sizes and colours, `--language de` another language.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Literal

from playwright.async_api import Browser, async_playwright

from tests.e2e import browser as browsers
from tests.e2e.backend import Api
from tests.e2e.states import LISTED, STATES, State, show, still
from tests.support.audit_service import Audited, Machines, audited, machines
from tests.support.pool import Pool

Scheme = Literal["light", "dark"]

SIZES = {"desk": (1280, 760), "phone": (390, 844), "phone-wide": (844, 390), "wall": (1920, 1080)}
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
SETTLED_MS = 600
"""How long a page has for its first frames: a picture is of what stays."""
RESIZED_MS = 250
"""How long it has for another size, and for other colours."""
PATIENCE_MS = 60_000
"""How long anything may take, on a busy machine."""
AT_ONCE = 2
"""How many states are drawn at a time."""


async def take(
    browser: Browser,
    api: Api,
    state: State,
    options: argparse.Namespace,
    store: Callable[[], Awaitable[None]],
) -> None:
    """The pictures of one state. It is made once for the sizes of a desk, and once for those of phones."""
    for touch in (False, True):
        sizes = {each: SIZES[each] for each in options.sizes if each.startswith("phone") == touch}
        if not sizes:
            continue
        path = await state.make(api)
        if path.startswith("/room/"):
            await store()  # what the room's list shows
        width, height = next(iter(sizes.values()))
        context = await browser.new_context(
            viewport={"width": width, "height": height},
            has_touch=touch,
            locale=state.language or options.language,
            reduced_motion="reduce",
            service_workers="allow" if state.offline else "block",
        )
        context.set_default_timeout(PATIENCE_MS)
        page = await context.new_page()
        try:
            await show(page, api.url + path, state, SETTLED_MS)
        finally:
            for size, (width, height) in sizes.items():
                await page.set_viewport_size({"width": width, "height": height})
                for scheme in options.schemes:
                    await page.emulate_media(color_scheme=scheme)
                    await page.wait_for_timeout(RESIZED_MS)
                    await still(page)
                    await page.screenshot(path=options.folder / f"{state.name}.{size}.{scheme}.png")
            await context.close()


async def run(there: Machines, database: str, options: argparse.Namespace) -> None:
    """Starts a service with a list of sessions, and takes the pictures."""
    async with audited(there.server, there.rq, database, RATE_LIMIT_ENABLED="false") as made:
        await pictures(made, options)


async def pictures(made: Audited, options: argparse.Namespace) -> None:
    """Takes all pictures. A state that cannot be made is said, and the others are taken."""
    url = f"http://127.0.0.1:{made.service.port}"
    options.folder.mkdir(parents=True, exist_ok=True)
    chosen = [each for each in STATES if any(each.name.startswith(only) for only in options.only)]
    failed = list[str]()
    turn, storing = asyncio.Semaphore(AT_ONCE), asyncio.Lock()
    async with Api(url) as api, async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=browsers.chromium(), args=list(browsers.ARGUMENTS)
        )
        for make in LISTED:
            await make(api)
        await made.archived()

        async def store() -> None:
            async with storing:
                await made.archived()

        async def one(state: State) -> None:
            async with turn:
                try:
                    await take(browser, api, state, options, store)
                except Exception as error:  # noqa: BLE001 - whatever it was, it is said
                    failed.append(state.name)
                    sys.stdout.write(f"{state.name}: {str(error)[:300]}\n")

        # What has the list of sessions comes first: the others make more of them.
        for state in [each for each in chosen if each.name.startswith("list")]:
            await one(state)
        await asyncio.gather(*(one(each) for each in chosen if not each.name.startswith("list")))
        await browser.close()
    count = len(options.schemes) * len(options.sizes) * len(chosen)
    sys.stdout.write(
        f"{count} pictures of {len(chosen)} states in {options.folder}; "
        f"not as they should be: {failed or 'none'}\n"
    )


def main() -> None:
    """Reads the options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(".pictures"))
    parser.add_argument("--only", nargs="*", default=[""], metavar="NAME")
    parser.add_argument("--sizes", nargs="*", default=list(SIZES), choices=SIZES)
    parser.add_argument("--schemes", nargs="*", default=list(SCHEMES), choices=SCHEMES)
    parser.add_argument("--language", default="en")
    options = parser.parse_args()
    with Pool() as pool:
        started = machines(pool, "valkey", "embedded")
        asyncio.run(run(started, started.postgres.database(), options))


if __name__ == "__main__":
    main()
