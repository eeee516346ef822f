"""A test that fails while the machine stands still is run again; and in CI also a few that fail otherwise."""

from __future__ import annotations

import re

import pytest

from tests.support.programs import run_pytest
from tests.support.stalls import ATTEMPTS, CHANCES


@pytest.mark.parametrize("ci", [False, True])
def test_only_what_stood_still_is_run_again_and_in_ci_a_few_more(ci: bool) -> None:
    done = run_pytest("tests/support/stalling.py", CI=str(ci).lower())
    output = done.stdout + done.stderr
    test = r"tests/support/stalling.py::(\w+)"
    passed = set(re.findall(f"^PASSED {test}", done.stdout, re.MULTILINE))
    failed = re.findall(f"^FAILED {test} - Failed: (.*)$", done.stdout, re.MULTILINE)
    again = re.findall(
        rf"^run again, as (?:the machine stood still for \d+\.\d s|this is (CI)): {test} - (.*)$",
        done.stdout,
        re.MULTILINE,
    )
    assert done.returncode == 1, output
    assert passed == {
        "test_that_stood_still_once",
        "test_whose_setup_stood_still",
        "test_that_stood_still_and_held",
        "test_that_spoiled_what_it_shares",
    }, output
    with_a_chance = sum(1 for why, *_ in again if why)
    assert with_a_chance == (CHANCES if ci else 0), output
    assert sorted(failed) == sorted(
        [
            ("test_that_always_stands_still", f"attempt {ATTEMPTS} of {ATTEMPTS}"),
            *(
                (name, f"attempt {1 + sum(1 for why, who, _ in again if why and who == name)} of {ATTEMPTS}")
                for name in ("test_that_fails_without_a_reason", "test_that_fails_too")
            ),
        ]
    ), output
    assert sorted(entry for entry in again if not entry[0]) == [
        *(
            ("", "test_that_always_stands_still", f"Failed: attempt {attempt} of {ATTEMPTS}")
            for attempt in range(1, ATTEMPTS)
        ),
        ("", "test_that_spoiled_what_it_shares", "Failed: spoiled"),
        ("", "test_that_stood_still_once", "assert 1 > 1"),
        ("", "test_whose_setup_stood_still", "TimeoutError"),
    ], output
