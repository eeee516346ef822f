"""The search for secrets in what tests print finds them, or no test of secrets would mean anything."""

from __future__ import annotations

from typing import Literal

import pytest

from tests.support import canaries
from tests.support.canaries import CANARY, Canaries

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm5hIn0.c2lnbmF0dXJl"


def report_of(printed: str, when: Literal["call", "teardown"] = "teardown") -> pytest.TestReport:
    """What becomes of the report of a test that has passed and printed this."""
    call = pytest.CallInfo.from_call(lambda: None, when)
    made = pytest.TestReport(
        "a test",
        ("file", 1, "a test"),
        {},
        "passed",
        None,
        when,
        [("Captured stderr call", printed)],
    )
    hook = Canaries().pytest_runtest_makereport(call)
    next(hook)
    with pytest.raises(StopIteration) as ended:
        hook.send(made)
    found: pytest.TestReport = ended.value.value
    return found


@pytest.mark.parametrize("secret", [CANARY, JWT, "sk_4f9a1c_" + 24 * "x", "a registered one"])
def test_a_test_that_prints_a_secret_fails_and_does_not_print_it_again(
    secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(canaries, "_secrets", {CANARY})
    canaries.hide_those_of({"REDIS_URL": "redis://:a registered one@host:1", "PORT": "8080", "HOST": "host"})
    report = report_of(f"2026-11-29 [error] it has {secret}")
    assert report.failed
    assert secret not in str(report.longrepr)
    assert "it has" in str(report.longrepr)
    with pytest.raises(AssertionError, match="secrets in what a program said"):
        canaries.search(["well\n", f"{secret}\n"])


def test_other_tests_pass() -> None:
    assert report_of("redis://me:***@host, ?token=***, FCALL sk_adjust_something").passed
    assert report_of(CANARY, when="call").passed  # it is looked at once, at the end
