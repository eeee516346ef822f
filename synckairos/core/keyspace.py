"""Keyspace events: the server setting with which a server publishes that a key is gone."""

from __future__ import annotations

FLAGS = "Egxe"
"""The flags of `notify-keyspace-events`: by event (E), deleted (g), expired (x) and evicted (e)."""
GONE_EVENTS = ("del", "expired", "evicted")
"""The events of a key that is gone; each has a channel, `__keyevent@<database>__:<event>`."""


def missing_flags(flags: str) -> str:
    """The flags of FLAGS that are not among `flags`. There `A` stands for all classes of events."""
    if "A" in flags:
        flags += "gxe"
    return "".join(flag for flag in FLAGS if flag not in flags)
