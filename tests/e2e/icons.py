"""Makes the console's icons from `icon.svg`, as pictures of points: `python -m tests.e2e.icons`."""

from __future__ import annotations

import asyncio
from pathlib import Path

from playwright.async_api import async_playwright

from tests.e2e import browser as browsers

FOLDER = Path(__file__).resolve().parents[2] / "synckairos" / "web" / "console" / "shared"

ICONS = {"icon-180.png": (180, 1.0), "icon-192.png": (192, 1.0), "icon-512.png": (512, 1.0)}
"""Each with its size, and how much of it the drawing fills."""
MASKABLE = {"icon-maskable-512.png": (512, 0.8)}
"""Systems cut these to a shape of their own, of which all but the middle four fifths may go."""


async def main() -> None:
    """Draw all of them."""
    drawing = (FOLDER / "icon.svg").read_text(encoding="utf-8")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=browsers.chromium(), args=[*browsers.ARGUMENTS]
        )
        page = await browser.new_page()
        for name, (size, share) in {**ICONS, **MASKABLE}.items():
            ground = "#0b6358" if name in MASKABLE or name == "icon-180.png" else "transparent"
            await page.set_viewport_size({"width": size, "height": size})
            await page.set_content(
                f"<style>body{{margin:0;background:{ground};display:grid;place-items:center;"
                f"height:100vh}}svg{{width:{100 * share}%}}</style>{drawing}"
            )
            await page.screenshot(path=FOLDER / name, omit_background=True)
        await browser.close()


if __name__ == "__main__":
    asyncio.run(main())
