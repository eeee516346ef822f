"""The record of a move: a file that says how far each session has come.

Its first line has the names of both deployments and of the move, and each further line a session and the last
step that was taken with it. So a program that was killed leaves a record from which another one goes on. What
the two servers say always counts more than the record, because a step may be taken and not written down.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, Self

import msgspec


class Step(StrEnum):
    """How far a session has come."""

    PLANNED = "planned"
    HELD = "held"
    COPIED = "copied"
    GIVEN_UP = "given up"
    ACTIVATED = "activated"
    FINISHED = "finished"
    UNDONE = "undone"
    """It stays at the source."""
    GONE = "gone"
    """It ended, or somebody else moved it, before this move held it."""


SETTLED = frozenset({Step.FINISHED, Step.UNDONE, Step.GONE})
"""The steps after which there is nothing to do."""


class Heading(msgspec.Struct, frozen=True, rename={"source": "from", "target": "to"}):
    """What a record is about: the name of the move, and the addresses of both deployments."""

    move: str
    source: str
    target: str


class GivenUp(msgspec.Struct, frozen=True):
    """A session was given up. move: by which move. change: what `sk_move_commit` replied (JSON)."""

    move: str
    change: str


class _Line(msgspec.Struct, omit_defaults=True):
    session: str
    step: Step
    given_up: GivenUp | None = None


class RecordError(Exception):
    """A file is no record of a move, or a record cannot be written."""


class Record:
    """A record that is being written.

    steps: by session, the last step
    given_up: what is needed to let a session run at the target, for those that were given up to it
    """

    def __init__(self, path: Path, heading: Heading, file: BinaryIO) -> None:
        self.path = path
        self.heading = heading
        self.steps: dict[str, Step] = {}
        self.given_up: dict[str, GivenUp] = {}
        self._file = file

    @classmethod
    def begin(cls, path: Path, heading: Heading, sessions: Iterable[str]) -> Self:
        """A new record of these sessions. Raises FileExistsError, RecordError."""
        try:
            file = path.open("xb", buffering=0)
        except FileExistsError:
            raise
        except OSError as error:
            raise _unwritten(path, error) from error
        record = cls(path, heading, file)
        record._write(msgspec.json.encode(heading))
        for session_id in sessions:
            record.note(session_id, Step.PLANNED)
        record._sync()
        return record

    @classmethod
    def go_on(cls, path: Path) -> Self:
        """The record in a file. Its last line may be cut off. Raises RecordError."""
        try:
            first, *lines = path.read_bytes().split(b"\n")
            heading = msgspec.json.decode(first, type=Heading)
            # What follows the last line break is nothing, or a line that was cut off.
            noted = [msgspec.json.decode(text, type=_Line) for text in lines[:-1]]
            file = path.open("r+b", buffering=0)
            file.truncate(file.seek(-len(lines[-1]) if lines else 0, os.SEEK_END))
        except msgspec.MsgspecError as error:
            raise RecordError(f"{path} is no record of a move: {error}") from error
        except OSError as error:
            raise RecordError(f"the record {path} cannot be used: {error.strerror}") from error
        record = cls(path, heading, file)
        for line in noted:
            record._take(line)
        return record

    def note(self, session_id: str, step: Step, given_up: GivenUp | None = None) -> None:
        """Write down that a step was taken with a session. Raises RecordError."""
        line = _Line(session_id, step, given_up)
        self._write(msgspec.json.encode(line))
        self._take(line)

    def _take(self, line: _Line) -> None:
        self.steps[line.session] = line.step
        if line.given_up is not None:
            self.given_up[line.session] = line.given_up
        elif line.step is not Step.ACTIVATED:  # the session is settled, or the source has it again
            self.given_up.pop(line.session, None)

    def _write(self, line: bytes) -> None:
        try:
            self._file.write(line + b"\n")
        except OSError as error:
            raise _unwritten(self.path, error) from error

    def _sync(self) -> None:
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise _unwritten(self.path, error) from error

    def open_sessions(self) -> list[str]:
        """The sessions with which something is left to do."""
        return [session_id for session_id, step in self.steps.items() if step not in SETTLED]

    def unmoved(self) -> list[str]:
        """The sessions that could still be moved."""
        done = (Step.FINISHED, Step.GONE)
        return [session_id for session_id, step in self.steps.items() if step not in done]

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def remove(self) -> None:
        """Close the file and remove it."""
        self._file.close()
        self.path.unlink(missing_ok=True)


def _unwritten(path: Path, error: OSError) -> RecordError:
    return RecordError(f"the record {path} cannot be written: {error.strerror}")
