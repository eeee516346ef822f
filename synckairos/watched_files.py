"""Files that a process reads again whenever they change, and what several of them have in common as YAML.

A file that cannot be used changes nothing: what it said before goes on to hold. That is logged and counted
once for each change of the file, however often a process looks.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Generic, TypeVar

import structlog

from synckairos.config import SettingsError

logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

LOOK_EVERY_S = 1.0
"""How often a process looks whether a file has changed, so a change holds within 2 s."""

T = TypeVar("T")

_NEVER = object()
"""Stands for the look of a file that nobody has looked at yet."""


class WatchedFile(Generic[T]):
    """What a file says, as it was when it could last be used.

    path: the file; None is a file that never says anything
    read: makes the value of the file. Raises SettingsError for a file that cannot be used.
    value: the value until the file was first read
    name: what log lines call the file, such as "the tenants file"
    failed: called for each change that could not be used
    """

    def __init__(
        self,
        path: Path | None,
        read: Callable[[Path], T],
        value: T,
        *,
        name: str,
        failed: Callable[[], None] = lambda: None,
    ) -> None:
        self.path = path
        self.value = value
        self._read = read
        self._name = name
        self._failed = failed
        self._seen: object = _NEVER
        self._reading = threading.Lock()
        """A thread that looks while another one reads has to wait for what that one finds."""

    def load(self) -> None:
        """Reads the file, as at a start. Raises SettingsError."""
        if self.path is not None:
            self._seen = _look(self.path)
            self.value = self._read(self.path)

    def read_again(self) -> None:
        """Reads the file if it has changed."""
        if self.path is not None:
            with self._reading:
                self._read_changed(self.path)

    def _read_changed(self, path: Path) -> None:
        seen = _look(path)
        if seen == self._seen:
            return
        first = self._seen is _NEVER
        self._seen = seen
        try:
            self.value = self._read(path)
        except SettingsError as error:
            self._failed()
            logger.error(
                "a file cannot be used: what it said before goes on to hold",
                which=self._name,
                file=str(path),
                problems=error.problems,
            )
        else:
            if not first:
                logger.info("a file was read again", which=self._name, file=str(path))

    async def watch(self) -> None:
        """Reads the file again whenever it has changed. Ends only by cancellation."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await asyncio.to_thread(self.read_again)  # a file of a thousand entries takes half a second


def _look(path: Path) -> object:
    """What changes with the file, its mode included; None when it is not there."""
    try:
        found = path.stat()
    except (OSError, ValueError):  # ValueError: no name that a file can have
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


def part(given: Any, names: Iterable[str], path: str, problems: list[str]) -> dict[str, Any]:
    """The entries of a map that may have these names only. Null is an empty map, and a null entry is none.

    path: where the map stands, such as "tenants.club"; "" is the file itself
    problems: what is wrong is added here
    """
    names = list(names)
    if given is None:
        return {}
    if not isinstance(given, dict):
        problems.append(f"{path or 'the file'} must be a map of {', '.join(names)}")
        return {}
    problems += [
        f"{path and path + '.'}{name} is unknown; there are {', '.join(names)}"
        for name in given
        if name not in names
    ]
    return {name: value for name, value in given.items() if name in names and value is not None}
