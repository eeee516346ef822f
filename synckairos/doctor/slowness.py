"""What has lately kept a server from answering: commands that took long, and its disk and forks.

A server does one thing after another, so a command that takes long holds back all others.
"""

from __future__ import annotations

from collections.abc import Mapping
from time import time
from typing import Any

import redis.asyncio
from redis.exceptions import ResponseError

from synckairos.doctor.findings import Area
from synckairos.doctor.trouble import decoded

LATELY_S = 600
"""How long ago something may have been to be named."""
SLOW_MS = 50.0
"""From here on something is slow. A change of a session takes less than 1 ms."""
READ = 128
"""How many entries of the slow log are read."""

_EVENTS: Mapping[str, str] = {
    "fork": "making a process for a snapshot or a rewrite of its file",
    "aof": "writing its file of changes, so look at its disk",
    "rdb": "writing a snapshot, so look at its disk",
    "expire": "removing keys that ended",
    "eviction": "evicting keys, because its memory is full",
}
"""What the server was doing, by what the name of an event begins with. Commands are in the slow log."""


async def slowness(area: Area, client: redis.asyncio.Redis) -> None:
    """The slowest commands of the last LATELY_S, by their name, and other waits that the server noted."""
    try:
        entries: list[dict[str, Any]] = await client.slowlog_get(READ)
        events = await client.execute_command("LATENCY LATEST")
        threshold = int((await client.config_get("latency-monitor-threshold")).popitem()[1] or 0)
    except (ResponseError, KeyError):
        area.ok(
            "slow commands",
            "not known: the user may not call SLOWLOG GET, LATENCY LATEST and CONFIG GET",
        )
        return
    _commands(area, entries)
    _waits(area, events, watched=threshold > 0)


def _commands(area: Area, entries: list[dict[str, Any]]) -> None:
    now = time()
    slow: dict[str, dict[str, Any]] = {}
    counts: dict[str, int] = {}
    for entry in entries:
        if now - entry["start_time"] > LATELY_S or entry["duration"] < 1000 * SLOW_MS:
            continue
        words = decoded(entry["command"]).split()
        name = " ".join(words[:2] if words[0].upper().startswith("FCALL") else words[:1])
        counts[name] = counts.get(name, 0) + 1
        if name not in slow or entry["duration"] > slow[name]["duration"]:
            slow[name] = entry
    if not slow:
        area.ok("slow commands", f"none took more than {SLOW_MS:g} ms in the last {LATELY_S // 60} minutes")
        return
    worst = sorted(slow.items(), key=lambda item: -item[1]["duration"])[:3]
    said = "; ".join(
        f"{name} took {entry['duration'] / 1000:,.0f} ms, {now - entry['start_time']:.0f} s ago, "
        f"from {decoded(entry.get('client_address', b'')) or 'a client that is not named'}"
        + (f" ({client})" if (client := decoded(entry.get("client_name", b""))) else "")
        + (f", {counts[name]} times" if counts[name] > 1 else "")
        for name, entry in worst
    )
    area.warn(
        "slow commands",
        f"{said}: all other commands waited meanwhile",
        "stop whoever sends them: redis-cli CLIENT KILL ADDR <address>, and ACL SETUSER <user> -<command>",
    )


def _waits(area: Area, events: list[list[Any]], *, watched: bool) -> None:
    now = time()
    for event, at, latest_ms, *_ in events:
        doing = next((text for start, text in _EVENTS.items() if decoded(event).startswith(start)), None)
        if doing is not None and now - at <= LATELY_S and latest_ms >= SLOW_MS:
            area.warn(
                "waits",
                f"{decoded(event)}: {latest_ms:,} ms, {now - at:.0f} s ago, {doing}",
                "redis-cli LATENCY DOCTOR says more",
            )
    if not watched:
        area.ok(
            "waits",
            "the server does not note waits for disk and forks; redis-cli CONFIG SET "
            f"latency-monitor-threshold {SLOW_MS:g} makes it",
        )
