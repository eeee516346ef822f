"""Writes down what a load generator asked for and was told, one line of JSON for each."""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import msgspec

from synckairos.history.lines import Begin, Call, Fault, Line, Message, Outcome, Socket, encode

BUFFER = 1 << 18
"""How many bytes wait in memory until they are written: a second of 500 lines/s."""


class Recorder:
    """A recording in a file, which is written anew.

    Its clock is the machine's monotonic one, so the recordings of several processes can be judged together.
    The end is written when it is closed; a process that is killed loses its last lines.
    """

    def __init__(self, path: Path, seed: int | None = None) -> None:
        self._file = path.open("wb", buffering=BUFFER)
        self._write(Begin(self.now(), time.time() * 1000, seed))

    @staticmethod
    def now() -> float:
        """The recorder's clock in ms. Ask it before a call is sent."""
        return time.monotonic() * 1000

    def call(
        self,
        asked_ms: float,
        session_id: str,
        function: str,
        request_id: str,
        outcome: Outcome,
        *,
        code: str | None = None,
        version: int | None = None,
        epoch: str | None = None,
    ) -> None:
        """Record a call that has just been answered, or given up.

        asked_ms: `now()` from before it was sent
        function: `sk_switch` or the like, or the route; for the report only
        outcome: `acknowledged`: there was a success; `refused`: an answer that says that nothing changed;
            `unknown`: no answer, a timeout, 503 or 504
        code: of the error, such as `STORAGE_UNAVAILABLE`
        version, epoch: of the change that was acknowledged, None when the answer does not say
        """
        self._write(
            Call(asked_ms, self.now(), session_id, function, request_id, outcome, code, version, epoch)
        )

    def socket(
        self, socket: str, session_id: str, what: Literal["opened", "closed"], code: int | None = None
    ) -> None:
        """Record that a socket was opened or closed.

        code: the close code that the server sent, or 1006 when the connection was lost; None when the load
            generator closed the socket itself
        """
        self._write(Socket(self.now(), socket, session_id, what, code))

    def message(self, socket: str, session_id: str, message: bytes | str) -> None:
        """Record a message (JSON) as the socket received it."""
        self._write(Message(self.now(), socket, session_id, msgspec.Raw(message)))

    def fault(self, name: str, what: Literal["begin", "named", "end"]) -> None:
        """Record that a fault begins or has ended, or that another primary was named because of it.

        name: `kill`, `hang`, `partition` and so on, the same for all lines of one fault
        """
        self._write(Fault(self.now(), name, what))

    def close(self) -> None:
        """Write the rest, and close the file."""
        self._file.close()

    def _write(self, line: Line) -> None:
        self._file.write(encode(line) + b"\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
