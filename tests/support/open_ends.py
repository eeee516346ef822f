"""Finds sockets that a test leaves open when its event loop ends.

Python says so when it collects the garbage, which is while another test runs, and that one would fail.
"""

from __future__ import annotations

import asyncio
from asyncio.selector_events import BaseSelectorEventLoop
from collections.abc import Generator
from typing import Any

import pytest

_left: list[str] = []
"""What was open at the ends of the current test's loops."""

_close = BaseSelectorEventLoop.close


def _close_all(loop: BaseSelectorEventLoop) -> None:
    """Closes an event loop, and before that what is open on it."""
    transports: list[Any] = [] if loop.is_closed() else [*vars(loop)["_transports"].values()]
    for transport in transports:
        if not transport.is_closing():
            _left.append(f"{transport.get_extra_info('socket')} of {transport.get_protocol()}")
        transport.abort()
    if transports:
        loop.run_until_complete(asyncio.sleep(0))  # what is closing is closed in the loop's next round
    _close(loop)


class OpenEnds:
    """The plugin: `pytest_configure` in `tests/conftest.py` registers it."""

    def __init__(self) -> None:
        BaseSelectorEventLoop.close = _close_all  # type: ignore[method-assign, assignment]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Has the end of a test fail that left a socket open."""
        report = yield
        if call.when == "teardown":
            left = [*_left]
            _left.clear()
            if left and report.passed:
                report.outcome = "failed"
                report.longrepr = "sockets are open when the loop ends:\n" + "\n".join(left)
        return report
