"""The data folder of `dev`: its lock, and the file that says where what runs on it can be reached.

The file is valid only while the lock is held. `dev` and its servers hold the lock as long as they live, so a
file that a killed `dev` left behind is ignored. Only the standard library is imported here, because `doctor`
needs this module also where packages are missing.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

DEFAULT = Path(".synckairos")
"""The data folder, unless another one is named."""
SERVERS = (
    "REDIS_URL",
    "REDIS_SENTINEL_HOSTS",
    "REDIS_SENTINEL_NAME",
    "REDIS_CLUSTER_NODES",
    "RQ_REDIS_URL",
    "DATABASE_URL",
)
"""The settings that say where the servers are. `dev` brings its own and takes none of these."""
LOCK = "lock"
ADDRESSES = "addresses.json"

RETRY_S = 0.25
"""How long `dev` tries to get the lock: a `doctor` that looks at the folder holds it for a moment."""
_PAUSE_S = 0.02
_LONGEST = 1 << 16


class DataFolderError(Exception):
    """The data folder cannot be used; the text says why, for people."""


@contextmanager
def locked(place: Path | None) -> Iterator[tuple[Path, int]]:
    """The data folder (without `place` a temporary one, removed at the end) and its lock, as a descriptor.

    Valkey and PostgreSQL inherit the lock: it is held as long as one of them lives. Raises DataFolderError.
    """
    folder = Path(tempfile.mkdtemp(prefix="synckairos-")) if place is None else place.absolute()
    try:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise DataFolderError(f"the data folder {folder} cannot be used: {error.strerror}") from error
        try:
            if not _lock(lock):
                owner = os.read(lock, 32).decode().strip()
                raise DataFolderError(
                    f"the data folder {folder} is in use by another synckairos dev (process {owner}): "
                    "stop it, or choose another folder with --data-dir, or --ephemeral"
                )
            os.ftruncate(lock, 0)
            os.write(lock, f"{os.getpid()}\n".encode())
            yield folder, lock
        finally:
            os.close(lock)
    finally:
        if place is None:
            shutil.rmtree(folder, ignore_errors=True)


def _lock(lock: int) -> bool:
    """Whether the lock could be had within RETRY_S."""
    end = time.monotonic() + RETRY_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                return False
            time.sleep(_PAUSE_S)
        else:
            return True


@contextmanager
def announced(folder: Path, addresses: Mapping[str, str]) -> Iterator[None]:
    """Has the folder say, during the block, where what runs on it can be reached. See `addresses`."""
    file = folder / ADDRESSES
    new = folder / (ADDRESSES + ".new")
    new.unlink(missing_ok=True)
    # With its password in it, PostgreSQL's URL is for this user alone.
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
        json.dump(addresses, opened)
    new.replace(file)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def addresses(folder: Path) -> dict[str, str] | None:
    """Where the `dev` that runs on this folder can be reached; None when none runs there.

    Of `HTTP_URL`, `REDIS_URL`, `RQ_REDIS_URL` and `DATABASE_URL` those that it has. Nothing is changed, and
    only files count that are this user's and closed to all others.
    """
    try:
        lock = _open_own(folder / LOCK)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        pass  # held by a `dev`
    else:
        return None
    finally:
        os.close(lock)
    try:
        with os.fdopen(_open_own(folder / ADDRESSES), encoding="utf-8") as file:
            found = json.loads(file.read(_LONGEST))
    except (OSError, ValueError):
        return None
    if not isinstance(found, dict):
        return None
    return {name: value for name, value in found.items() if isinstance(value, str)}


def _open_own(path: Path) -> int:
    """A descriptor of a regular file of this user that is closed to all others. Raises OSError."""
    # Without O_NONBLOCK, opening a named pipe would wait for a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    found = os.fstat(descriptor)
    if stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077:
        return descriptor
    with suppress(OSError):
        os.close(descriptor)
    raise PermissionError(f"{path} is not a file that only this user can open")
