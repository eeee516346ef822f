"""Every test that leaves a key without an end fails, wherever the key is, and no other test does."""

from __future__ import annotations

import re

from tests.support.programs import run_pytest


def test_a_key_without_an_end_fails_its_test() -> None:
    done = run_pytest("tests/support/leaking.py")
    names = r"tests/support/leaking.py::(\w+)"
    passed = set(re.findall(f"^PASSED {names}", done.stdout, re.MULTILINE))
    blamed = set(
        re.findall(
            f"^ERROR {names}.*keys without an end are left: sk:{{ab}}:stays$", done.stdout, re.MULTILINE
        )
    )
    failed = set(re.findall(f"^(?:ERROR|FAILED) {names}", done.stdout, re.MULTILINE))
    assert done.returncode == 1, done.stdout + done.stderr
    assert failed == {name for name in passed if "leaves" in name}, done.stdout
    assert len(failed) == 5, done.stdout
    assert len(passed - failed) == 2, done.stdout
    assert blamed == failed, done.stdout
