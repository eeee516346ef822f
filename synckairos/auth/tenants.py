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

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from synckairos.config import SettingsError, read_yaml
from synckairos.watched_files import WatchedFile, part

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
        self._file: WatchedFile[dict[str, Tenant]] = WatchedFile(file, _read, {}, name="the tenants file")
        self._file.load()

    def of(self, name: str | None) -> Tenant:
        """What the tenant of this name may use; None is the service without tenants."""
        return _ANY if name is None else self._file.value.get(name, _ANY)

    def counted(self) -> list[str]:
        """The tenants whose sessions have to be counted."""
        return [name for name, tenant in self._file.value.items() if tenant.quotas.of_sessions]

    def read_again(self) -> None:
        """Reads the file if it has changed. A file that cannot be used is logged, and changes nothing."""
        self._file.read_again()

    async def watch(self) -> None:
        """Reads the file again whenever it has changed. Ends only by cancellation."""
        await self._file.watch()


def _read(file: Path) -> dict[str, Tenant]:
    shown = f"TENANTS_FILE ({file})"
    problems: list[str] = []
    listed = part(read_yaml(file, shown), ("tenants",), "", problems).get("tenants")
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
    entry = part(given, ("suspended", "quotas", "limits"), path, problems)
    suspended = entry.get("suspended", False)
    if not isinstance(suspended, bool):
        problems.append(f"{path}.suspended must be true or false")
    quotas = part(entry.get("quotas"), [each.name for each in fields(Quotas)], f"{path}.quotas", problems)
    for name, value in quotas.items():
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST:
            problems.append(f"{path}.quotas.{name} must be a whole number from 0 to {_MOST}")
    limits = {}
    for name, value in part(entry.get("limits"), LIMITS, f"{path}.limits", problems).items():
        match = _RATE.fullmatch(value) if isinstance(value, str) else None
        if match is None or not 1 <= int(match[1]) <= _MOST:
            problems.append(f"{path}.limits.{name} must be a rate such as 20/s, 600/min or 5000/h")
        else:
            limits[name] = Rate(int(match[1]), _PERIODS_MS[match[2]])
    return _ANY if problems else Tenant(suspended, Quotas(**quotas), limits)
