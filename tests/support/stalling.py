"""Tests of which some stand still and some fail. `tests/integration/test_stalls.py` runs them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from tests.support.stalls import ATTEMPTS, LONG_S

attempts: dict[str, int] = {}


@pytest.fixture(autouse=True)
def attempt(request: pytest.FixtureRequest) -> int:
    """Counts how often this test was run."""
    attempts[request.node.name] = attempts.get(request.node.name, 0) + 1
    return attempts[request.node.name]


WAKES = """
import psutil, sys, time
process = psutil.Process(int(sys.argv[1]))
while process.status() != psutil.STATUS_STOPPED:
    time.sleep(0.01)
time.sleep(float(sys.argv[2]))
process.resume()
"""


def stand_still() -> None:
    """Stops this process and has another one wake it."""
    with subprocess.Popen([sys.executable, "-c", WAKES, str(os.getpid()), str(2 * LONG_S)]):
        os.kill(os.getpid(), signal.SIGSTOP)


def test_that_stood_still_once(attempt: int) -> None:
    if attempt == 1:
        stand_still()
    assert attempt > 1


@pytest.fixture
def slow_once(attempt: int) -> None:
    if attempt == 1:
        stand_still()
        raise TimeoutError


@pytest.mark.usefixtures("slow_once")
def test_whose_setup_stood_still() -> None:
    pass


@pytest.fixture(scope="module")
def shared() -> list[str]:
    return []


def test_that_spoiled_what_it_shares(shared: list[str]) -> None:
    if shared:
        pytest.fail("what it shares is still spoiled")
    shared.append("spoiled")
    if attempts["test_that_spoiled_what_it_shares"] == 1:
        stand_still()
        pytest.fail("spoiled")


def test_that_always_stands_still(attempt: int) -> None:
    stand_still()
    pytest.fail(f"attempt {attempt} of {ATTEMPTS}")


def test_that_stood_still_and_held(attempt: int) -> None:
    stand_still()
    assert attempt == 1


def test_that_fails_without_a_reason(attempt: int) -> None:
    pytest.fail(f"attempt {attempt} of {ATTEMPTS}")


def test_that_fails_too(attempt: int) -> None:
    pytest.fail(f"attempt {attempt} of {ATTEMPTS}")
