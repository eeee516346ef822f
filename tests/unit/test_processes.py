"""Asking a process to end, and passing on what a server says."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time

import pytest

from synckairos.run.processes import Stop, Stopped

ANY_LINE = """
import signal, sys
from synckairos.run.processes import Stop

def line(frame, event, _):
    if event == "line" and not done:
        lines.append(frame.f_lineno)
        if len(lines) == at:
            done.append(True)
            signal.raise_signal(signal.SIGTERM)
    return line

for at in range(1, 100):
    lines, done = [], []
    with Stop() as stop:
        sys.settrace(line)
        asked = stop.wait(0.001)
        sys.settrace(None)
    if not done:
        break
    assert stop, at
print(at)
"""
"""A signal at each line of Python that a wait runs through, one wait after the other."""


def test_a_signal_at_any_line_of_a_wait_is_seen() -> None:
    """A lock that the wait holds, and that the signal's handler wants, would be a wait for ever."""
    ended = subprocess.run(
        [sys.executable, "-P", "-c", ANY_LINE], capture_output=True, text=True, timeout=30, check=True
    )
    assert int(ended.stdout) > 1


def test_a_signal_ends_a_wait_at_once() -> None:
    with Stop() as stop:
        assert not stop.wait(0)
        began = time.monotonic()
        signal.raise_signal(signal.SIGINT)
        assert stop.wait(30)
        assert time.monotonic() - began < 1
        with pytest.raises(Stopped):
            stop.check()


def test_a_stop_cancels_what_runs() -> None:
    cancelled = []

    async def work(seconds: float) -> int:
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            cancelled.append(seconds)
            raise
        return 7

    with Stop() as stop:
        assert stop.run(work(0)) == 7

        async def asked() -> int:
            signal.raise_signal(signal.SIGTERM)
            return await work(30)

        with pytest.raises(Stopped):
            stop.run(asked())
        assert cancelled == [30]
        with pytest.raises(Stopped):
            stop.run(work(0))


def passing(*hidden: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "synckairos.run.pass_on", *hidden],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def test_all_lines_but_the_hidden_ones_are_passed_on() -> None:
    with passing("a warning", "another") as program:
        said, _ = program.communicate(b"one\nthis is a warning!\n\xff two\nanother\n\nlast words")
    assert said == b"one\n\xff two\n\nlast words"
    assert program.returncode == 0


def test_signals_do_not_cut_off_the_last_words() -> None:
    with passing("a warning") as program:
        assert program.stdin is not None
        assert program.stdout is not None
        os.write(program.stdin.fileno(), b"first\n")
        assert program.stdout.readline() == b"first\n"  # as it comes
        for number in (signal.SIGINT, signal.SIGTERM):
            program.send_signal(number)
        said, _ = program.communicate(b"last\n")
    assert said == b"last\n"


def test_a_server_does_not_wait_for_a_reader_that_has_gone() -> None:
    with passing("a warning") as program:
        assert program.stdin is not None
        assert program.stdout is not None
        program.stdout.close()
        for _ in range(10):
            program.stdin.write(b"x" * 65_536 + b"\n")
        program.stdin.close()
        assert program.wait(10) == 0
