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


class _Line(msgspec.Struct):
    session: str
    step: Step


class RecordError(Exception):
    """A file is no record of a move."""


class Record:
    """A record that is being written. steps: by session, the last step."""

    def __init__(self, path: Path, heading: Heading, file: BinaryIO, steps: dict[str, Step]) -> None:
        self.path = path
        self.heading = heading
        self.steps = steps
        self._file = file

    @classmethod
    def begin(cls, path: Path, heading: Heading, sessions: Iterable[str]) -> Self:
        """A new record of these sessions. Raises FileExistsError."""
        file = path.open("xb", buffering=0)
        record = cls(path, heading, file, {})
        file.write(msgspec.json.encode(heading) + b"\n")
        for session_id in sessions:
            record.note(session_id, Step.PLANNED)
        os.fsync(file.fileno())
        return record

    @classmethod
    def go_on(cls, path: Path) -> Self:
        """The record in a file. Its last line may be cut off. Raises RecordError, OSError."""
        first, *lines = path.read_bytes().split(b"\n")
        steps: dict[str, Step] = {}
        try:
            heading = msgspec.json.decode(first, type=Heading)
            for text in lines[:-1]:  # what follows the last line break is nothing, or a line that was cut off
                line = msgspec.json.decode(text, type=_Line)
                steps[line.session] = line.step
        except msgspec.MsgspecError as error:
            raise RecordError(f"{path} is no record of a move: {error}") from error
        file = path.open("r+b", buffering=0)
        file.truncate(file.seek(-len(lines[-1]) if lines else 0, os.SEEK_END))
        return cls(path, heading, file, steps)

    def note(self, session_id: str, step: Step) -> None:
        """Write down that a step was taken with a session."""
        self._file.write(msgspec.json.encode(_Line(session_id, step)) + b"\n")
        self.steps[session_id] = step

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
