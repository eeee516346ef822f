"""The page of the load test: it opens without a network, and can be read on a phone and in the dark."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from playwright.async_api import Browser

from synckairos.bench.loadtest import page
from tests.bench.test_load import result

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
async def test_a_report_opens_without_a_network(
    browser: Browser, tmp_path: Path, width: int, scheme: Literal["dark", "light"]
) -> None:
    file = tmp_path / "report.html"
    file.write_text(page.page(result()), encoding="utf-8")
    context = await browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, offline=True
    )
    tab = await context.new_page()
    asked, said = list[str](), list[str]()
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("console", lambda message: said.append(message.text))
    await tab.goto(file.as_uri())
    assert (asked, said) == ([file.as_uri()], [])
    assert await tab.evaluate("document.documentElement.scrollWidth") <= width
    assert await tab.locator("svg .line").count() == 20
    sizes = await tab.evaluate(
        "[...document.querySelectorAll('svg text')].map(each => each.getBoundingClientRect().height)"
    )
    assert min(sizes) > 9, "labels of the charts are too small to read"
    background = await tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, background[4:-1].split(","))) < 200) == (scheme == "dark")
    await context.close()
