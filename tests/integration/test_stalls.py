"""A test that fails while the machine stands still is run again, and no other test is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.support.stalls import ATTEMPTS

ROOT = Path(__file__).resolve().parents[2]


def test_only_what_stood_still_is_run_again() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-rA", "-p", "no:cacheprovider", "tests/support/stalling.py"],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "300"},  # so that no name is cut off
        capture_output=True,
        text=True,
        check=False,
    )
    output = done.stdout + done.stderr
    test = r"tests/support/stalling.py::(\w+)"
    passed = set(re.findall(f"^PASSED {test}", done.stdout, re.MULTILINE))
    failed = dict(re.findall(f"^FAILED {test} - Failed: (.*)$", done.stdout, re.MULTILINE))
    again = re.findall(
        rf"^run again, as the machine stood still for \d+\.\d s: {test} - (.*)$", done.stdout, re.MULTILINE
    )
    assert done.returncode == 1, output
    assert passed == {
        "test_that_stood_still_once",
        "test_whose_setup_stood_still",
        "test_that_stood_still_and_held",
    }, output
    assert failed == {
        "test_that_always_stands_still": f"attempt {ATTEMPTS} of {ATTEMPTS}",
        "test_that_fails_without_a_reason": f"attempt 1 of {ATTEMPTS}",
    }, output
    assert sorted(again) == [
        *(
            ("test_that_always_stands_still", f"Failed: attempt {attempt} of {ATTEMPTS}")
            for attempt in range(1, ATTEMPTS)
        ),
        ("test_that_stood_still_once", "assert 1 > 1"),
        ("test_whose_setup_stood_still", "TimeoutError"),
    ], output
