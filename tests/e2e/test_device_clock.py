"""The clock of the device is wrong, and the clocks on the page are right."""

from __future__ import annotations

import pytest

from tests.e2e.backend import Api
from tests.e2e.clocks import Clocks, goes_on, until
from tests.e2e.readings import agree, deadlines, never_back, right, samples

pytestmark = pytest.mark.asyncio(loop_scope="session")

MINUTE = 60_000
HOUR = 60 * MINUTE


@pytest.mark.parametrize("skew", [7 * HOUR, -7 * HOUR, MINUTE + 1000, -MINUTE - 1000])
async def test_a_device_clock_that_is_wrong_is_reported_and_the_display_is_right(
    api: Api, clocks: Clocks, skew: int
) -> None:
    session_id = (await api.game())["session_id"]
    page = await clocks.open(session_id, skew_ms=skew)
    witness = await clocks.open(session_id)
    assert abs(await page.evaluate("Date.now() - machine()") - skew) <= 2
    await api.do(session_id, "start")
    await until(page, "session.state.version === 2")
    await page.click("#switch")
    for each in (page, witness):
        await until(each, "record.samples.at(-1).version === 3 && record.samples.at(-1).settled")
        await goes_on(each, 30)
    shown, seen = await samples(page), await samples(witness)
    assert right(shown, deadlines(await api.events(session_id))) > 30
    assert agree(shown, seen) >= {3}
    never_back(shown)
    assert await page.evaluate("record.errors") == ["CLOCK_SKEW"], "once"
    assert abs(await page.evaluate("client.time.skewMs") + skew) < 100
    assert await witness.evaluate("record.errors") == []


async def test_a_device_clock_that_is_off_by_less_than_a_minute_is_nothing_to_talk_about(
    api: Api, clocks: Clocks
) -> None:
    session_id = (await api.game())["session_id"]
    page = await clocks.open(session_id, skew_ms=MINUTE - 1000)
    assert abs(await page.evaluate("client.time.skewMs") + MINUTE - 1000) < 100
    assert await page.evaluate("record.errors") == []


async def test_a_device_clock_that_is_set_under_an_open_page_changes_nothing(
    api: Api, clocks: Clocks
) -> None:
    session_id = (await api.game())["session_id"]
    page = await clocks.open(session_id, skew_ms=0)
    await api.do(session_id, "start")
    await until(page, "session.state.version === 2")
    for skew in (HOUR // 2, -HOUR // 2, 0):
        await page.evaluate(f"setDeviceClock({skew})")
        # The client notices that, and measures the server's clock again.
        await until(page, f"Math.abs(client.time.skewMs + {skew}) < 100")
        await goes_on(page, 30)
    shown = await samples(page)
    assert right(shown, deadlines(await api.events(session_id))) > 90
    never_back(shown)
