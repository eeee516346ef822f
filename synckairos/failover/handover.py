"""What a planned change of primary came to, and what stops one."""

from __future__ import annotations

from dataclasses import dataclass

from synckairos.config import Address


class NotHandedOver(Exception):
    """The primary was not changed. The text says why; the old primary has gone on."""


@dataclass(frozen=True, slots=True)
class Handover:
    """A primary that was replaced.

    old, new: host and port of both
    paused_ms: for how long no write was accepted anywhere, in milliseconds
    """

    old: Address
    new: Address
    paused_ms: int


def shown(address: Address) -> str:
    """An address, for people."""
    return f"{address[0]}:{address[1]}"
