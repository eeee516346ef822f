"""The console's pages. Tests find elements by role and label, as people and screen readers do."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from playwright.async_api import Locator, Page, expect

from tests.e2e.browser import Invite, Visitor
from tests.e2e.device import set_clock
from tests.e2e.readings import RESOLUTION_MS, TOLERANCE_MS
from tests.support.qr import Modules

BOUNCE_MS = 300
"""A press that comes sooner after the one before is taken for a key that bounces."""
WITHOUT_A_LIST = r"status of 503 .*/v1/sessions\?"
"""Chromium's message when a service without an audit store answers 503 to a request for the list."""

_SCRIPT = """(() => {
  window.machineNow ??= () => Date.now();
  // What a screen reader would have announced: every text that was put into a live region.
  window.announced = [];
  const LIVE = "[aria-live]:not([aria-live=off]), [role=alert], [role=status], [role=log], output";
  new MutationObserver((mutations) => {
    const changed = mutations.map(({ target }) => (target.nodeType === 1 ? target : target.parentElement));
    const regions = new Set(changed.map((each) => each?.closest(LIVE)));
    for (const region of regions) {
      const text = region?.textContent.trim();
      if (text) announced.push(text);
    }
  }).observe(document, { subtree: true, childList: true, characterData: true });
  // What every frame showed: the faces of all clocks, and the owner whose button says "on the move".
  window.frames_ = [];
  window.recordFaces = () => {
    let last = machineNow();
    const frame = () => {
      const faces = {};
      let active = null;
      for (const timer of document.querySelectorAll("[role=timer]")) {
        const owner = timer.closest("[aria-label]:not([role=timer])")?.getAttribute("aria-label") ?? "";
        faces[owner] = timer.textContent;
        const label = timer.closest("section")?.querySelector("button")?.getAttribute("aria-label") ?? "";
        if (label.includes("on the move")) active = owner;
      }
      const at = machineNow();
      frames_.push({ since: last, at, faces, active });
      last = at;
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  };
})()"""


def zone_where_it_is(hour: int) -> str:
    """A time zone in which it is this hour now, so that a test is the same at night.

    The signs of these zones are turned round.
    """
    ahead = (hour - datetime.now(UTC).hour + 12) % 24 - 12
    return f"Etc/GMT{-ahead:+d}" if ahead else "Etc/GMT"


@dataclass
class Console:
    """Opens pages of the console, each in its own browser context."""

    invite: Invite
    service: str

    async def visitor(self, *, skew_ms: int | None = None, **options: Any) -> Visitor:
        """Makes a visitor whose pages may ask only the service."""
        visitor = await self.invite(self.service, **options)
        if skew_ms is not None:
            await set_clock(visitor, skew_ms)
        await visitor.context.add_init_script(_SCRIPT)
        return visitor

    async def open(self, path: str = "/", **options: Any) -> Page:
        """Opens a page. The options are those of `visitor`."""
        return await (await self.visitor(**options)).open(self.service + path)


def half(page: Page, name: str) -> Locator:
    """A player's half of the game clock."""
    return page.get_by_role("region", name=name, exact=True)


def press(page: Page, name: str) -> Locator:
    """The button that ends a player's turn."""
    return half(page, name).get_by_role("button")


async def their_turn(page: Page, name: str) -> None:
    """Waits until the page says that a player is on the move. (A half can also be pressed to start.)"""
    await expect(press(page, name)).to_have_accessible_name(f"{name}, on the move: press to end the turn")


async def drawn_code(picture: Locator) -> Modules:
    """The modules of a QR code as they are painted: one path with a rectangle for each run of dark ones."""
    path = await picture.locator("path").get_attribute("d")
    assert path is not None
    runs = [(int(x), int(y), int(n)) for x, y, n in re.findall(r"M(\d+) (\d+)h(\d+)v1h-\3z", path)]
    assert "".join(f"M{x} {y}h{n}v1h-{n}z" for x, y, n in runs) == path
    margin = 4
    size = max(y for _, y, _ in runs) + 1 - margin
    rows = [[0] * size for _ in range(size)]
    for x, y, n in runs:
        rows[y - margin][x - margin : x - margin + n] = [1] * n
    return rows


async def announced(page: Page) -> list[str]:
    """The texts that a screen reader would have announced so far by itself."""
    texts: list[str] = await page.evaluate("announced")
    return texts


@dataclass(frozen=True)
class Frame:
    """The clocks that a frame showed. They were drawn at a moment between `since` and `at`."""

    since: float
    at: float
    faces: dict[str, str]
    active: str | None


async def frames(page: Page) -> list[Frame]:
    """All frames that were recorded since `recordFaces()` was called."""
    return [Frame(**each) for each in await page.evaluate("frames_")]


async def ten_frames(page: Page) -> None:
    """Waits until `recordFaces()` has recorded ten more frames."""
    seen = await page.evaluate("frames_.length")
    await page.wait_for_function(f"() => frames_.length > {seen + 10}")


def read_face(text: str) -> tuple[float, float]:
    """The range of the time left, in ms, for a countdown's text: above the first value, up to the second.

    The countdown is rounded up, to tenths in the last ten seconds.
    """
    match = re.fullmatch(r"(\u2212?)(?:(\d+):)?(\d+):(\d\d)(?:\.(\d))?", text.strip())
    assert match, text
    sign, hours, minutes, seconds, tenths = match.groups()
    whole = 3600 * int(hours or 0) + 60 * int(minutes) + int(seconds)
    most = (-1 if sign else 1) * (1000 * whole + 100 * int(tenths or 0))
    return most - (100 if tenths is not None else 1000), most


def fits(frame: Frame, name: str, payload: dict[str, Any]) -> bool:
    """Whether a frame shows what the named player has left until the deadline, within the tolerance."""
    least, most = read_face(frame.faces[name])
    slack = TOLERANCE_MS + RESOLUTION_MS
    deadline: int = payload["deadline_ms"]
    return deadline - frame.at - slack <= most and least <= deadline - frame.since + slack


def right(shown: list[Frame], events: list[dict[str, Any]], names: dict[str, str], own: set[int]) -> set[int]:
    """Asserts that each frame showed the time left of the running turn, within the tolerance.

    When a frame shows another turn than the server's log, a message was on its way, and the frame is skipped.
    Versions that the page made itself (`own`) are skipped too: the page could not know how long its tap would
    take to the server, and corrects its clock little by little. Returns the versions that were compared.
    """
    compared = set()
    turns = [
        (event["version"], event["server_time_ms"], event["payload"])
        for event in events
        if event["payload"]["status"] == "running"
    ]
    ends = [start for _, start, _ in turns[1:]] + [events[-1]["server_time_ms"]]
    for frame in shown:
        before: dict[str, Any] | None = None
        for (version, start, payload), end in zip(turns, ends, strict=True):
            name, previous, before = names[payload["active_participant_id"]], before, payload
            if version in own or not (start <= frame.since and frame.at <= end and frame.active == name):
                continue
            if not fits(frame, name, payload) and previous is not None and fits(frame, name, previous):
                continue  # time was given or taken, and that message is on its way
            assert fits(frame, name, payload), (frame, version)
            compared.add(version)
    return compared


def never_up(shown: list[Frame], name: str) -> None:
    """Asserts that the clock of the player on the move never shows more than before."""
    for last, frame in pairwise(shown):
        if last.active == frame.active == name:
            assert read_face(frame.faces[name])[1] <= read_face(last.faces[name])[1], (last, frame)
