"""What each tenant may use: its own rate limits and its quotas, from the YAML file of `TENANTS_FILE`.

    tenants:
      chess-club:
        quotas: {sessions: 500, participants: 5000, sockets: 2000, creates_per_day: 10000}
        limits: {switch: 20/s, read: 600/min, create: 30/min, change: 120/min, sockets: 100/min}
      left-us:
        suspended: true

A tenant that the file does not name has the limits of everybody and no quotas. Each process looks at the file
once a second, so a change holds within 2 s. A file that cannot be used stops the start. While the service
runs, such a file is logged, and what was read before goes on to hold.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import structlog
import yaml

from synckairos.config import SettingsError

logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

LOOK_EVERY_S = 1.0
"""How often a process looks whether the file has changed."""
LIMITS = ("switch", "read", "create", "change", "sockets")
"""The rate limits that a tenant may have of its own."""
_PERIODS_MS = {"s": 1000, "min": 60_000, "h": 3_600_000}
_RATE = re.compile(r"([0-9]{1,7})/(s|min|h)")
_MOST = 1_000_000
"""The highest rate and the highest quota, as in `sk_throttle`."""


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` in `period_ms`."""

    count: int
    period_ms: int


@dataclass(frozen=True, slots=True)
class Quotas:
    """How much of each a tenant may have. None is as much as it likes.

    sessions: sessions that are not over
    participants: participants of these sessions, all together
    sockets: open WebSockets
    creates_per_day: sessions created in a day (UTC)
    """

    sessions: int | None = None
    participants: int | None = None
    sockets: int | None = None
    creates_per_day: int | None = None

    @property
    def of_sessions(self) -> bool:
        """Whether the tenant's sessions have to be counted."""
        return not (self.sessions is None and self.participants is None and self.creates_per_day is None)


@dataclass(frozen=True, slots=True)
class Tenant:
    """What one tenant may use.

    suspended: it gets nothing new (sessions, participants, links, webhooks, sockets); what runs goes on
    limits: the rate limits that it has in place of those of everybody, by their names
    """

    suspended: bool = False
    quotas: Quotas = Quotas()
    limits: Mapping[str, Rate] = field(default_factory=dict)


_ANY = Tenant()


class Tenants:
    """All tenants of the file, as it was when it was last read. Without a file everybody has the defaults."""

    def __init__(self, file: Path | None = None) -> None:
        """Reads the file. Raises SettingsError."""
        self._file = file
        self._seen: object = None
        self._tenants: dict[str, Tenant] = {}
        if file is not None:
            self._seen = _look(file)
            self._tenants = _read(file)

    def of(self, name: str | None) -> Tenant:
        """What the tenant of this name may use; None is the service without tenants."""
        return _ANY if name is None else self._tenants.get(name, _ANY)

    def counted(self) -> list[str]:
        """The tenants whose sessions have to be counted."""
        return [name for name, tenant in self._tenants.items() if tenant.quotas.of_sessions]

    async def watch(self) -> None:
        """Reads the file again whenever it has changed. Ends only by cancellation."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await asyncio.to_thread(self.read_again)  # a thousand tenants take half a second

    def read_again(self) -> None:
        """Reads the file if it has changed. A file that cannot be used is logged, and changes nothing."""
        if self._file is None:
            return
        seen = _look(self._file)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._tenants = _read(self._file)
        except SettingsError as error:
            logger.error(
                "the tenants file cannot be used: what it said before goes on to hold",
                file=str(self._file),
                problems=error.problems,
            )
        else:
            logger.info("the tenants file was read again", file=str(self._file), tenants=len(self._tenants))


def _look(file: Path) -> object:
    """What changes with the file. None when it is not there."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _read(file: Path) -> dict[str, Tenant]:
    shown = f"TENANTS_FILE ({file})"
    try:
        given = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError([f"{shown} cannot be read: {error.strerror}"]) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        raise SettingsError([f"{shown} is not YAML{f' (line {mark.line + 1})' if mark else ''}"]) from error
    problems: list[str] = []
    listed = _part(given, ("tenants",), "", problems).get("tenants")
    tenants: dict[str, Tenant] = {}
    if listed is not None and not isinstance(listed, dict):
        problems.append("tenants must be a map of names")
    elif listed:
        for name, entry in listed.items():
            if not isinstance(name, str) or not 1 <= len(name) <= 255:
                problems.append(f"tenants.{name} must have a name that is text of 1 to 255 characters")
            else:
                tenants[name] = _tenant(entry, f"tenants.{name}", problems)
    if problems:
        raise SettingsError([f"{shown}: {problem}" for problem in problems])
    return tenants


def _tenant(given: Any, path: str, problems: list[str]) -> Tenant:
    entry = _part(given, ("suspended", "quotas", "limits"), path, problems)
    suspended = entry.get("suspended", False)
    if not isinstance(suspended, bool):
        problems.append(f"{path}.suspended must be true or false")
    quotas = _part(entry.get("quotas"), [each.name for each in fields(Quotas)], f"{path}.quotas", problems)
    for name, value in quotas.items():
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST:
            problems.append(f"{path}.quotas.{name} must be a whole number from 0 to {_MOST}")
    limits = {}
    for name, value in _part(entry.get("limits"), LIMITS, f"{path}.limits", problems).items():
        match = _RATE.fullmatch(value) if isinstance(value, str) else None
        if match is None or not 1 <= int(match[1]) <= _MOST:
            problems.append(f"{path}.limits.{name} must be a rate such as 20/s, 600/min or 5000/h")
        else:
            limits[name] = Rate(int(match[1]), _PERIODS_MS[match[2]])
    return _ANY if problems else Tenant(suspended, Quotas(**quotas), limits)


def _part(given: Any, names: Any, path: str, problems: list[str]) -> dict[str, Any]:
    """The entries of a map that may have these names only. Null is an empty map, and a null entry is none."""
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
