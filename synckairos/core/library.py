"""The function library: assembled from the modules in `lua/`, compared with a server's, and loaded.

A server's library is never replaced by an older one, nor by different code of the same version. So when two
releases run side by side, the library of the newer one stays.
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
from synckairos.core.clients import REDIS_ERRORS

NAME = "synckairos"

_VIRTUAL = {
    "storage/time.lua": "storage/time_virtual.lua",
    "storage/server.lua": "storage/server_virtual.lua",
}
"""The modules that the virtual-time build exchanges."""
_VERSION_LINE = re.compile(r'^local VERSION = "([^"]*)"$', re.MULTILINE)
_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")


class LibraryChanged(Exception):
    """A server has a library of this version with different code. It was not replaced."""

    def __init__(self, version: str) -> None:
        super().__init__(
            f"the server has a function library {NAME} {version} with different code; "
            "to replace it: synckairos functions load --force"
        )


class SourceChanged(Exception):
    """The Lua in the source folder does not match its version or its recorded checksum."""


class LibraryStatus(enum.Enum):
    """How a server's library compares with another one. The values are shown to people."""

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
        modules that read the server's clock and its run id are exchanged for some that read keys; nothing
        else differs.
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
        file = _VIRTUAL.get(module, module) if virtual_time else module
        source = (folder / file).read_text(encoding="utf-8").rstrip("\n")
        name = module.removesuffix(".lua").replace("/", "_")
        parts.append(f"\n-- {file}\nlocal {name} = (function()\n{source}\nend)()\n")
    return Library(version, "".join(parts))


def _modules(folder: Path) -> list[str]:
    """The modules as paths from `folder`, in the order of the manifest."""
    lines = (folder / "manifest").read_text(encoding="utf-8").splitlines()
    patterns = [pattern for line in lines if (pattern := line.partition("#")[0].strip())]
    return [
        file.relative_to(folder).as_posix() for pattern in patterns for file in sorted(folder.glob(pattern))
    ]


def _folder() -> Path:
    """The folder of the Lua modules. It is in the installed package, or next to it in a source folder."""
    package = Path(__file__).resolve().parents[1]
    return next(
        place for place in (package / "lua", package.parent / "lua") if (place / "manifest").is_file()
    )


def _code(source: str) -> str:
    """`source` without comment lines and empty lines, which do not change what it does."""
    stripped = (line.strip() for line in source.splitlines())
    return "\n".join(line for line in stripped if line and not line.startswith("--"))


def _ordered(version: str) -> tuple[int, ...] | None:
    """A version as numbers that can be compared; None when it is no version."""
    match = _VERSION.fullmatch(version)
    return tuple(int(number) for number in match.groups()) if match else None


def check_source(*, record: bool = False) -> None:
    """Compares the Lua in the source folder with `lua/CHECKSUM`, one line `<version> <sha256 of the code>`.

    Raises SourceChanged when the code is not the recorded one. With `record` the file is written. When the
    code changed but the version did not, this raises SourceChanged too, because a server that has loaded that
    version would never get the change.
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
    """How the library on the primary of `client` compares with `library`."""
    return _compare(await client.function_list(NAME, withcode=True), library)


def _loaded(listed: Any) -> Library | None:
    """The library in the reply of `FUNCTION LIST LIBRARYNAME synckairos WITHCODE`."""
    source = next((_text(_field(found, b"library_code")) for found in listed or ()), None)
    if source is None:
        return None
    line = _VERSION_LINE.search(source)
    return Library(line[1] if line else "", source)


def _compare(listed: Any, library: Library) -> LibraryStatus:
    """How the library in that reply compares with `library`."""
    there = _loaded(listed)
    if there is None:
        return LibraryStatus.MISSING
    if _code(there.payload) == _code(library.payload):
        return LibraryStatus.SAME
    found, own = _ordered(there.version), _ordered(library.version)
    if found is None or own is None or found == own:
        return LibraryStatus.CHANGED
    return LibraryStatus.OLDER if found < own else LibraryStatus.NEWER


def _field(library: Any, name: bytes) -> bytes | str:
    """A field of one listed library, which is a flat list of names and values (RESP2) or a map (RESP3)."""
    if isinstance(library, list):
        library = dict(zip(library[::2], library[1::2], strict=True))
    value: bytes | str = library[name] if name in library else library[name.decode()]
    return value


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


async def load(
    clients: redis.asyncio.Redis | Iterable[redis.asyncio.Redis], library: Library, *, force: bool = False
) -> list[LibraryStatus]:
    """Loads `library` on those primaries that need it. Returns how the library of each compared before.

    A missing library is loaded, and an older one is replaced. One that is the same or newer stays. When one
    of the primaries has a newer one, the others get that one, because a session may move between them.
    Different code of the same version raises LibraryChanged, or, with `force`, is replaced.
    """
    clients = [clients] if isinstance(clients, redis.asyncio.Redis) else list(clients)
    newest = library
    troubles: list[Exception] = []
    if len(clients) > 1:
        for client in clients:
            try:
                there = _loaded(await client.function_list(NAME, withcode=True))
            except REDIS_ERRORS:
                continue  # tried again below
            if there is not None and (_ordered(there.version) or ()) > (_ordered(newest.version) or ()):
                newest = there
    found = []
    for client in clients:
        try:
            status = await load_one(client, newest, force=force)
        except (*REDIS_ERRORS, LibraryChanged) as error:
            troubles.append(error)  # the others need it all the same
        else:
            differs = newest is not library and status is LibraryStatus.SAME
            found.append(LibraryStatus.NEWER if differs else status)
    if troubles:
        raise troubles[0]
    return found


async def load_one(client: redis.asyncio.Redis, library: Library, *, force: bool = False) -> LibraryStatus:
    """`load` on one primary.

    Comparing and loading are one step: when another process loads a library in between, this starts over.
    Redis can watch keys but not functions. So each process that loads the library watches a marker key, and
    sets and deletes that key in the transaction that loads. After the transaction the key does not exist.
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
    # A node that is about to get its first slots serves no key that could be watched.
    found = _compare(await client.function_list(NAME, withcode=True), library)
    if found in (LibraryStatus.MISSING, LibraryStatus.OLDER):
        await client.function_load(library.payload, replace=True)
    return found
