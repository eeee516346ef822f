"""The lines of a recording. README.md explains them; `record` writes them, and `check` judges them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

Outcome = Literal["acknowledged", "refused", "unknown"]
"""`unknown`: there was no answer, or one that leaves open whether the change took place."""


class Begin(msgspec.Struct, frozen=True, tag_field="kind", tag="begin"):
    """The first line of a recording. wall_ms: UTC in ms when the recorder's clock showed at_ms."""

    at_ms: float
    wall_ms: float
    seed: int | None = None


class Call(msgspec.Struct, frozen=True, tag_field="kind", tag="call"):
    """A change that was asked for at at_ms. version, epoch: those of the change, if the answer had them."""

    at_ms: float
    answered_ms: float
    session_id: str
    function: str
    request_id: str
    outcome: Outcome
    code: str | None = None
    version: int | None = None
    epoch: str | None = None


class Socket(msgspec.Struct, frozen=True, tag_field="kind", tag="socket"):
    """A socket was opened or closed. code: why the server closed it, or 1006; null: the caller closed it."""

    at_ms: float
    socket: str
    session_id: str
    what: Literal["opened", "closed"]
    code: int | None = None


class Message(msgspec.Struct, frozen=True, tag_field="kind", tag="message"):
    """A socket got a message; `message` has its exact bytes."""

    at_ms: float
    socket: str
    session_id: str
    message: msgspec.Raw


class Fault(msgspec.Struct, frozen=True, tag_field="kind", tag="fault"):
    """A fault began or ended, or another primary was named."""

    at_ms: float
    name: str
    what: Literal["begin", "named", "end"]


Line = Begin | Call | Socket | Message | Fault

encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Line).decode


class NoLine(Exception):
    """A line is none of a recording, or there is no line. The message names the line."""


def read(lines: Iterable[bytes], name: str = "") -> Iterator[Line]:
    """The lines of a recording. Raises NoLine; name: where they come from, for its message."""
    empty = True
    for number, line in enumerate(lines, 1):
        if line.strip():
            empty = False
            try:
                yield _decode(line)
            except msgspec.MsgspecError as error:
                raise NoLine(f"{name}:{number}: {error}") from None
    if empty:
        raise NoLine(f"{name} is no recording: it is empty")
