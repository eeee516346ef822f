"""The true history in a file, so that a recording can be checked when its servers are gone.

The first line says whether the audit store was read. Each other line is a session, as JSON.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, TypeVar

import msgspec

from synckairos.history.truth import SessionTruth

T = TypeVar("T")


class Head(msgspec.Struct, frozen=True):
    """The first line. complete: each session has to be there from version 1 on."""

    complete: bool


class NoTruth(Exception):
    """A file holds no true history. The message names the line."""


def write_head(file: BinaryIO, head: Head) -> None:
    """Write the first line."""
    file.write(msgspec.json.encode(head) + b"\n")


def write_session(file: BinaryIO, session: SessionTruth) -> None:
    """Write a session."""
    file.write(msgspec.json.encode(session) + b"\n")


def read_head(path: Path) -> Head:
    """The first line. Raises NoTruth."""
    with path.open("rb") as file:
        return _decode(file.readline(), Head, path, 1)


def read_sessions(path: Path) -> Iterator[SessionTruth]:
    """The sessions, one after the other. Raises NoTruth."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if number > 1:
                yield _decode(line, SessionTruth, path, number)


def _decode(line: bytes, kind: type[T], path: Path, number: int) -> T:
    try:
        return msgspec.json.decode(line, type=kind)
    except msgspec.MsgspecError as error:
        raise NoTruth(f"{path}:{number}: {error}") from None
