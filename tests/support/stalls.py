"""Runs a test again that failed while the machine stood still.

A machine stands still when it is moved to another host, when its processors are taken away for a while, or
when its disk hangs. The time limits of clients, servers and browsers are over then, as they should be, so
that a failure says nothing. Only what was measured counts: a test that failed on a machine that went on has
failed.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time

import pytest
from _pytest.runner import runtestprotocol

ROUND_S = 0.2
LONG_S = 0.5
"""A moment this long can make a test fail. Busy processors and disks alone stay below."""
ATTEMPTS = 3
PROPERTY = "stood still"


class Stalls:
    """A thread that sleeps and writes to the disk, and measures by how much that takes too long."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._longest_s = 0.0
        threading.Thread(target=self._run, name="stalls", daemon=True).start()

    def begin(self) -> None:
        """Forgets what was noticed so far."""
        self._begun = time.monotonic()
        self._longest_s = 0.0

    def longest_s(self) -> float:
        """The longest moment since `begin`. Waits for the one that may be going on."""
        time.sleep(2 * ROUND_S)
        return self._longest_s

    def _run(self) -> None:
        with tempfile.TemporaryFile() as file:
            while True:
                round_began = time.monotonic()
                time.sleep(ROUND_S)
                os.pwrite(file.fileno(), b"x", 0)
                os.fdatasync(file.fileno())
                took_s = time.monotonic() - max(round_began, self._begun)
                self._longest_s = max(self._longest_s, took_s - ROUND_S)


class RunAgain:
    """The plugin: `pytest_configure` in `tests/conftest.py` registers it."""

    def __init__(self) -> None:
        self._stalls: Stalls | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool:
        """Runs one test, and runs it again if it has to be."""
        self._stalls = self._stalls or Stalls()
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        for attempts_left in reversed(range(ATTEMPTS)):
            self._stalls.begin()
            reports = runtestprotocol(item, nextitem=nextitem, log=False)
            failed = next((report for report in reports if report.failed), None)
            if failed is None or not attempts_left:
                break
            stood_still_s = self._stalls.longest_s()
            if stood_still_s < LONG_S:
                break
            crash = getattr(failed.longrepr, "reprcrash", None)
            reason = (failed.longreprtext if crash is None else crash.message).partition("\n")[0]
            item.user_properties.append((PROPERTY, f"{stood_still_s:.1f} s: {item.nodeid} - {reason}"))
        for report in reports:
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Says which tests were run again, and why."""
        found = {
            text
            for reports in terminalreporter.stats.values()
            for report in reports
            for name, text in getattr(report, "user_properties", ())
            if name == PROPERTY
        }
        for text in sorted(found):
            terminalreporter.write_line(f"run again, as the machine stood still for {text}")
