"""What a doctor finds: settings, findings by area, and the report of them all."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any, Literal

import msgspec

from synckairos.doctor.trouble import why

Status = Literal["ok", "warning", "failure"]
Source = Literal["environment", "file", "data folder", "default"]

CHECK_S = 5.0
"""How long all that is asked of one server may take."""
WORST: Mapping[Status, int] = {"ok": 0, "warning": 1, "failure": 2}
"""The rank of each status: the higher, the worse."""


class Setting(msgspec.Struct, frozen=True):
    """A setting: its value for people, without secrets (None: not set), and where it comes from."""

    name: str
    value: str | None
    source: Source


class Finding(msgspec.Struct, frozen=True):
    """What came of one check. `remedy` is what to do, where there is something to do."""

    area: str
    check: str
    status: Status
    message: str
    remedy: str | None = None


class Report(msgspec.Struct, frozen=True):
    """All of it; `status` is that of the worst finding."""

    version: str
    status: Status
    settings: list[Setting]
    checks: list[Finding]


class Area:
    """What was found in one area, in the order in which it was found."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.findings: list[Finding] = []

    def ok(self, check: str, message: str) -> None:
        """All is well, as the message says."""
        self.findings.append(Finding(self.name, check, "ok", message))

    def warn(self, check: str, message: str, remedy: str | None = None) -> None:
        """The service works, and something is not as it should be."""
        self.findings.append(Finding(self.name, check, "warning", message, remedy))

    def fail(self, check: str, message: str, remedy: str | None = None) -> None:
        """The service, or a part that the settings ask for, does not work."""
        self.findings.append(Finding(self.name, check, "failure", message, remedy))

    async def run(self, *checks: Coroutine[Any, Any, None]) -> list[Finding]:
        """Carries the checks out, one after the other, in bounded time."""
        try:
            async with asyncio.timeout(CHECK_S):
                for check in checks:
                    await check
        except TimeoutError:
            self.fail(
                "answer",
                f"not all of it was answered within {CHECK_S:g} s",
                "the server, or the network on the way to it, is overloaded or stands still: look there",
            )
        except Exception as error:  # noqa: BLE001 - a doctor says what it met, whatever that is
            self.fail("answer", f"this could not be checked to its end: {why(error)}")
        finally:
            for check in checks:
                check.close()
        return self.findings
