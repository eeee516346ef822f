"""The secret that `synckairos dev --auth` makes, in its data folder, for tokens of development."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

NAME = "jwt-secret"


def made(folder: Path) -> str:
    """The secret of a data folder. It is made when there is none, for its owner alone. Raises OSError."""
    file = folder / NAME
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return read(folder)
    secret = secrets.token_hex(32)
    with os.fdopen(descriptor, "w", encoding="ascii") as opened:
        opened.write(secret)
    return secret


def read(folder: Path) -> str:
    """The secret of a data folder. Raises OSError, also when others can read it."""
    file = folder / NAME
    with file.open(encoding="ascii") as opened:
        if os.fstat(opened.fileno()).st_mode & 0o077:
            raise PermissionError(f"{file} can be read by others: its mode has to be 0600")
        return opened.read()
