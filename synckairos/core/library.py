"""The function library as the servers get it: put together from the modules in `lua/`, compared, loaded.

A server's library is never replaced by an older one, and never by other code that goes by the same version:
of two releases that run side by side, the newer wins and stays.
"""

from __future__ import annotations

import enum
import functools
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis.asyncio
from redis.exceptions import MovedError, WatchError

from synckairos.core import keys

NAME = "synckairos"

_TIME, _VIRTUAL_TIME = "storage/time.lua", "storage/time_virtual.lua"
_VERSION_LINE = re.compile(r'^local VERSION = "([^"]*)"$', re.MULTILINE)
_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")


class LibraryChanged(Exception):
    """A server holds a library of this version with other code; nothing was replaced."""

    def __init__(self, version: str) -> None:
        super().__init__(
            f"the server holds a function library {NAME} {version} whose code is not this one's; "
            "if that is meant to be replaced: synckairos functions load --force"
        )


class SourceChanged(Exception):
    """The Lua in the source folder and its version or recorded checksum do not fit together."""


class LibraryStatus(enum.Enum):
    """What a server has, compared with a library. The values are words for people."""

    MISSING = "missing"
    OLDER = "older"
    SAME = "same"
    CHANGED = "same version with other code"
    NEWER = "newer"


@dataclass(frozen=True, slots=True)
class Library:
    """A library to load: its version ("1.2.3") and the payload of `FUNCTION LOAD`."""

    version: str
    payload: str

    @staticmethod
    def assemble(virtual_time: bool = False) -> Library:
        """The library from the modules in `lua/`, in the order of `lua/manifest`.

        Each module becomes one local, named after its path, that later modules see. With `virtual_time` the
        module that reads the server's clock is exchanged for the one that reads a key; nothing else differs.
        """
        return _assemble(virtual_time)


@functools.cache
def _assemble(virtual_time: bool) -> Library:
    folder = _folder()
    version = (folder / "VERSION").read_text(encoding="utf-8").strip()
    if _VERSION.fullmatch(version) is None:
        raise ValueError(f"lua/VERSION must be three numbers such as 1.2.3, not {version!r}")
    parts = [f"#!lua name={NAME}\n", f'local VERSION = "{version}"\n']
    for module in _modules(folder):
        file = _VIRTUAL_TIME if virtual_time and module == _TIME else module
        source = (folder / file).read_text(encoding="utf-8").rstrip("\n")
        name = module.removesuffix(".lua").replace("/", "_")
        parts.append(f"\n-- {file}\nlocal {name} = (function()\n{source}\nend)()\n")
    return Library(version, "".join(parts))


def _modules(folder: Path) -> list[str]:
    """The modules in their order, as paths from `folder`."""
    lines = (folder / "manifest").read_text(encoding="utf-8").splitlines()
    patterns = [pattern for line in lines if (pattern := line.partition("#")[0].strip())]
    return [
        file.relative_to(folder).as_posix() for pattern in patterns for file in sorted(folder.glob(pattern))
    ]


def _folder() -> Path:
    """The Lua modules: inside the installed package, or next to the package in a source folder."""
    package = Path(__file__).resolve().parents[1]
    return next(
        place for place in (package / "lua", package.parent / "lua") if (place / "manifest").is_file()
    )


def _code(source: str) -> str:
    """`source` without what does not matter to what it does: comment lines and empty lines."""
    stripped = (line.strip() for line in source.splitlines())
    return "\n".join(line for line in stripped if line and not line.startswith("--"))


def _ordered(version: str) -> tuple[int, ...] | None:
    """A version in a form that compares; None when it is no version."""
    match = _VERSION.fullmatch(version)
    return tuple(int(number) for number in match.groups()) if match else None


def check_source(*, record: bool = False) -> None:
    """Holds the Lua in the source folder against `lua/CHECKSUM`, one line `<version> <sha256 of the code>`.

    Raises SourceChanged when the code is not the recorded one. `record` writes the file, and raises when the
    code changed and the version did not: a server that has loaded that version would never get the change.
    """
    library = Library.assemble()
    file = _folder() / "CHECKSUM"
    code = _code(_VERSION_LINE.sub("", library.payload))
    checksum = hashlib.sha256(code.encode()).hexdigest()
    recorded = file.read_text(encoding="utf-8").split() if file.is_file() else None
    if recorded == [library.version, checksum]:
        return
    if recorded and recorded[0] == library.version:
        raise SourceChanged(
            f"the Lua differs from the recorded {library.version}: give lua/VERSION a new version"
        )
    if not record:
        raise SourceChanged("lua/CHECKSUM is not up to date: synckairos functions check --source --record")
    file.write_text(f"{library.version} {checksum}\n", encoding="utf-8")


async def library_status(client: redis.asyncio.Redis, library: Library) -> LibraryStatus:
    """What the primary behind `client` has, compared with `library`."""
    return _compare(await client.function_list(NAME, withcode=True), library)


def _compare(listed: Any, library: Library) -> LibraryStatus:
    """`listed` is the reply of `FUNCTION LIST LIBRARYNAME synckairos WITHCODE`."""
    source = next((_text(_field(found, b"library_code")) for found in listed or ()), None)
    if source is None:
        return LibraryStatus.MISSING
    if _code(source) == _code(library.payload):
        return LibraryStatus.SAME
    line = _VERSION_LINE.search(source)
    found, own = _ordered(line[1]) if line else None, _ordered(library.version)
    if found is None or own is None or found == own:
        return LibraryStatus.CHANGED
    return LibraryStatus.OLDER if found < own else LibraryStatus.NEWER


def _field(library: Any, name: bytes) -> bytes | str:
    """A field of one listed library: a flat list of names and values, or a map, as the protocol has it."""
    if isinstance(library, list):
        library = dict(zip(library[::2], library[1::2], strict=True))
    value: bytes | str = library[name] if name in library else library[name.decode()]
    return value


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


async def load(
    clients: redis.asyncio.Redis | Iterable[redis.asyncio.Redis], library: Library, *, force: bool = False
) -> list[LibraryStatus]:
    """Loads `library` on every one of `clients` (primaries) that needs it; what each had before.

    Missing: loaded. Older: replaced. Same or newer: left as it is. Same version with other code:
    LibraryChanged, or, with `force`, replaced.
    """
    clients = [clients] if isinstance(clients, redis.asyncio.Redis) else list(clients)
    return [await load_one(client, library, force=force) for client in clients]


async def load_one(client: redis.asyncio.Redis, library: Library, *, force: bool = False) -> LibraryStatus:
    """`load` on one primary.

    Compares and loads as one step: when another process loads in between, it starts over and compares again.
    Redis can watch keys but not functions. So each process that loads the library watches a marker key, and
    sets and deletes that key in the transaction that loads. The key is gone when the transaction is over.
    """
    async with client.pipeline(transaction=True) as pipeline:
        for partition in keys.PARTITIONS:
            marker = keys.library(partition)
            while True:
                try:
                    await pipeline.watch(marker)
                    found = _compare(await client.function_list(NAME, withcode=True), library)
                    if found is LibraryStatus.CHANGED and not force:
                        raise LibraryChanged(library.version)
                    if found in (LibraryStatus.SAME, LibraryStatus.NEWER):
                        return found
                    pipeline.multi()
                    pipeline.set(marker, library.version)
                    pipeline.delete(marker)
                    pipeline.function_load(library.payload, replace=found is not LibraryStatus.MISSING)
                    await pipeline.execute()
                    return found
                except WatchError:
                    continue
                except MovedError:
                    break  # a cluster's primary that does not serve this partition
    return LibraryStatus.MISSING  # a primary without any partition gets no calls
