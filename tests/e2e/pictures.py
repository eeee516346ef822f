"""Pictures of every page and state of the console, at four sizes, dark and light: `make pictures`.

They are for eyes, and are not kept. `--only NAME` takes those whose names begin so, `--language de` another
language.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from playwright.async_api import Browser, async_playwright

from tests.e2e import browser as browsers
from tests.e2e.backend import Api
from tests.e2e.states import STATES, State
from tests.support.audit_service import Audited, Machines, audited, machines
from tests.support.pool import Pool

SIZES = {"desk": (1280, 760), "phone": (390, 844), "phone-wide": (844, 390), "wall": (1920, 1080)}
SETTLED_MS = 700
"""How long a page has for its first frames: a picture is of what stays."""


async def take(browser: Browser, url: str, path: str, state: State, folder: Path, language: str) -> None:
    """The pictures of one state. The state is made once, and looked at in all sizes."""
    for scheme in ("light", "dark"):
        for size, (width, height) in SIZES.items():
            context = await browser.new_context(
                viewport={"width": width, "height": height},
                color_scheme="light" if scheme == "light" else "dark",
                has_touch=size.startswith("phone"),
                locale=language,
                reduced_motion="reduce",
                service_workers="block",
            )
            page = await context.new_page()
            await page.goto(url + path)
            await page.wait_for_timeout(SETTLED_MS)
            try:
                if state.act:
                    await state.act(page)
                    await page.wait_for_timeout(SETTLED_MS // 2)
            finally:
                await page.screenshot(path=folder / f"{state.name}.{size}.{scheme}.png")
                await context.close()


async def run(there: Machines, database: str, options: argparse.Namespace) -> None:
    """Starts a service with a list of sessions, and takes the pictures."""
    async with audited(there.server, there.rq, database, RATE_LIMIT_ENABLED="false") as made:
        await pictures(made, options)


async def pictures(made: Audited, options: argparse.Namespace) -> None:
    """Takes all pictures. A state that cannot be made is said, and the others are taken."""
    url = f"http://127.0.0.1:{made.service.port}"
    options.folder.mkdir(parents=True, exist_ok=True)
    chosen = [each for each in STATES if each.name.startswith(options.only)]
    async with Api(url) as api, async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=browsers.chromium(), args=list(browsers.ARGUMENTS)
        )
        paths = [(state, await state.make(api)) for state in chosen]
        await made.archived()
        failed = 0
        for state, path in paths:
            try:
                await take(browser, url, path, state, options.folder, options.language)
            except Exception as error:  # noqa: BLE001 - whatever it was, it is said
                failed += 1
                print(f"{state.name}: {str(error).splitlines()[0]}")
        await browser.close()
        count = 2 * len(SIZES) * len(chosen)
        print(
            f"{count} pictures of {len(chosen)} states in {options.folder}, {failed} of them not as they should be"
        )


def main() -> None:
    """Reads the options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(".pictures"))
    parser.add_argument("--only", default="", metavar="NAME")
    parser.add_argument("--language", default="en")
    options = parser.parse_args()
    with Pool() as pool:
        started = machines(pool, "valkey", "embedded")
        asyncio.run(run(started, started.postgres.database(), options))


if __name__ == "__main__":
    main()
