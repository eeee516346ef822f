"""API keys in the file of `API_KEYS_FILE`, which do not go with Redis where there is no PostgreSQL.

The commands write it, and each process looks every two seconds whether it has changed. It has the hashes of
keys only, and yet nobody but its owner may read it, because whoever may write it makes keys.
"""

from __future__ import annotations

import fcntl
import math
import os
from collections.abc import Callable
from pathlib import Path
from time import monotonic

import msgspec
import yaml

from synckairos.auth.grants import ApiKey
from synckairos.config import SettingsError, parse_yaml
from synckairos.errors import error_text
from synckairos.watched_files import WatchedFile

LOOK_EVERY_S = 2.0


class _Content(msgspec.Struct, forbid_unknown_fields=True):
    keys: list[ApiKey] = []


class KeysFileError(Exception):
    """The file cannot be used; the text says why, for people."""


class KeysFile:
    """The keys of a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._looked_at = -math.inf
        self._file: WatchedFile[dict[str, ApiKey]] = WatchedFile(
            path, self._by_id, {}, name="the file of API keys"
        )

    def key(self, key_id: str) -> ApiKey | None:
        """A key, as the file was at the last look; None when there is none."""
        if self._looked_at == -math.inf:
            self.look()
        return self._file.value.get(key_id)

    def all(self) -> list[ApiKey]:
        """All keys, the oldest first. Raises KeysFileError."""
        return sorted(self._read(), key=lambda key: (key.made_at, key.key_id))

    def look(self) -> None:
        """Reads the file again when it has changed, at most every two seconds.

        A thousand keys take half a second, so an event loop has this done in a thread. While the file cannot
        be used, what was read before goes on to hold; when it is gone, so are its keys.
        """
        now = monotonic()
        if now - self._looked_at < LOOK_EVERY_S:
            return
        try:
            self._file.read_again()
        finally:
            self._looked_at = now  # from here on `key` relies on what was read

    def change(self, change: Callable[[list[ApiKey]], list[ApiKey]]) -> None:
        """Writes the file anew with what `change` makes of its keys. Raises KeysFileError, OSError."""
        lock = os.open(self._path.with_name(self._path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            content = msgspec.to_builtins(_Content(change(self._read())))
            new = self._path.with_name(self._path.name + ".new")
            new.unlink(missing_ok=True)
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
                yaml.safe_dump(content, opened, sort_keys=False)
                opened.flush()
                os.fsync(opened.fileno())
            new.replace(self._path)
        finally:
            os.close(lock)

    def _by_id(self, _: Path) -> dict[str, ApiKey]:
        """The keys by their ids. Raises SettingsError."""
        try:
            return {key.key_id: key for key in self._read()}
        except KeysFileError as error:
            raise SettingsError([str(error)]) from error

    def _read(self) -> list[ApiKey]:
        """The keys in the file; none when there is no file. Raises KeysFileError."""
        try:
            with self._path.open(encoding="utf-8") as opened:
                if os.fstat(opened.fileno()).st_mode & 0o077:
                    raise KeysFileError(f"{self._path} can be read by others: its mode has to be 0600")
                text = opened.read()
            return msgspec.convert(parse_yaml(text, str(self._path)) or {}, _Content).keys
        except FileNotFoundError:
            return []
        except SettingsError as error:
            raise KeysFileError(str(error)) from error
        except (OSError, ValueError) as error:
            raise KeysFileError(f"{self._path} cannot be read: {error_text(error)}") from error
