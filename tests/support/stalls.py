"""Runs a test again that failed while the machine stood still, and in CI a few others.

A machine stands still when it is moved to another host, when its processors are taken away for a while, or
when its disk hangs. The time limits of clients, servers and browsers are over then, as they should be, so
that a failure says nothing. Only what was measured counts.

Shared machines do more that cannot be measured. In CI, where one failure of 4,000 tests holds up a change
that has nothing to do with it, each pytest worker also runs one test again that needs processes, browsers
or real time. The rules are tested under virtual time: a failure there is always a fault.

A test that is run again gets all its fixtures anew, also those that it shares with others: the failure may
have left them in a state in which it cannot pass.

Every test that was run again is named in the last lines of the output, with its first failure. Outside CI
only those are run again during which the machine stood still, so that a fault which shows once in a hundred
runs is found.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time

import pytest
from _pytest.runner import CallInfo, runtestprotocol

ROUND_S = 0.2
LONG_S = 0.5
"""A moment this long can make a test fail. Busy processors and disks alone stay below."""
ATTEMPTS = 3
CHANCES = 1
"""How many tests a pytest worker runs again in CI although the machine went on."""
ALWAYS_A_FAULT = {"core", "model", "presets", "unit"}
"""The folders whose failures do not depend on the machine."""
PROPERTY = "run again"


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
        self._chances = CHANCES if os.environ.get("CI") == "true" else 0

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
            if stood_still_s >= LONG_S:
                why = f"run again, as the machine stood still for {stood_still_s:.1f} s"
            elif self._chances and not ALWAYS_A_FAULT.intersection(item.nodeid.partition("::")[0].split("/")):
                self._chances -= 1
                why = "run again, as this is CI"
            else:
                break
            crash = getattr(failed.longrepr, "reprcrash", None)
            reason = (failed.longreprtext if crash is None else crash.message).partition("\n")[0]
            item.user_properties.append((PROPERTY, f"{why}: {item.nodeid} - {reason}{_anew(item)}"))
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
            terminalreporter.write_line(text)


def _anew(item: pytest.Item) -> str:
    """Ends all fixtures, so that the next attempt makes its own. Returns what went wrong with that."""
    shared = item.session._setupstate  # pytest has no public name for the fixtures that are open
    ended = CallInfo.from_call(lambda: shared.teardown_exact(None), when="teardown")
    return "" if ended.excinfo is None else f"; then its fixtures: {ended.excinfo.exconly()}"
