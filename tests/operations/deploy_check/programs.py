"""Runs the programs that check."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

Problems = Iterator[str]
"""What is wrong, a line for each problem."""


class ProgramMissing(Exception):
    """A program that checks is not installed. The text says which package has it."""


_PACKAGES = {
    "nginx": "nginx-light",
    "haproxy": "haproxy",
    "promtool": "prometheus",
    "amtool": "prometheus-alertmanager",
    "systemd-analyze": "systemd",
    "redis-server": "redis-server",
}


def program(name: str) -> str:
    """Where a program is: one of this environment, or of this machine. Raises ProgramMissing."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin")
    if found is None:
        raise ProgramMissing(f"{name} is not installed: apt-get install {_PACKAGES.get(name, name)}")
    return found


def said(name: str, *arguments: str | Path, cwd: Path | None = None, text: str = "") -> tuple[int, str]:
    """The exit code of a program that is given a text, and all that it says. Raises ProgramMissing."""
    ended = subprocess.run(
        [program(name), *arguments],
        cwd=cwd,
        input=text,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return ended.returncode, ended.stdout.strip()


def refused(name: str, *arguments: str | Path, cwd: Path | None = None) -> Problems:
    """What a program says when its exit code says that something is wrong. Raises ProgramMissing."""
    code, output = said(name, *arguments, cwd=cwd)
    if code:
        yield output or f"{name} ends with {code}"
