"""Starts servers that end with the tests, also when the tests are killed.

The kernel ends such a process when the thread that started it ends (PR_SET_PDEATHSIG), and that of
`asyncio.to_thread` ends with the test. So one thread, which stays to the end, starts them all.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import IO, cast

from synckairos.run.processes import die_with_parent

_launcher = ThreadPoolExecutor(1, "launcher")


def launch(command: Sequence[str], log: Path, end_signal: int = signal.SIGTERM) -> subprocess.Popen[bytes]:
    """Starts a program that appends what it says to `log`, and gets `end_signal` when the tests end."""
    return _launcher.submit(_launch, command, log, end_signal).result()


def _launch(command: Sequence[str], log: Path, end_signal: int) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=cast(IO[bytes], output),
            stderr=subprocess.STDOUT,
            preexec_fn=partial(die_with_parent, os.getpid(), end_signal),  # noqa: PLW1509 - it calls prctl and nothing else
        )
