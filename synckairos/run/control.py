"""Reads time controls that are written as text, with the function library in a Valkey of its own."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import DEVNULL
from typing import Any, NamedTuple

import redis

from synckairos.core.clients import REDIS_ERRORS
from synckairos.core.keys import SessionKeys
from synckairos.core.library import Library
from synckairos.errors import ValidationError, from_refusal
from synckairos.run.processes import Child, end_all
from synckairos.run.valkey import valkey_server

START_S = 10.0
"""How long Valkey may take to answer."""
END_S = 5.0
_SESSION = "00000000-0000-4000-8000-000000000000"
_PLAYERS = [f"00000000-0000-4000-8000-00000000000{number}" for number in (1, 2)]


class CannotRead(Exception):
    """The library cannot be asked; the text says why, for people."""


class Meaning(NamedTuple):
    """What a text means: its normal form, its bank in ms (None without a limit), and the object."""

    normal: str
    bank_ms: int | None
    control: dict[str, Any]


class Reader:
    """Reads texts with the function library of a server that nobody else uses."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def read(self, text: str) -> Meaning:
        """The meaning of a text. Raises ValidationError, whose `carets` show the place."""
        config = {
            "sync_mode": "per_participant",
            "participants": [{"participant_id": each} for each in _PLAYERS],
            "time_control": text,
        }
        self._client.flushall()
        keys = SessionKeys.of(_SESSION).all
        try:
            state = json.loads(self._client.fcall("sk_create", len(keys), *keys, json.dumps(config)))
        except redis.ResponseError as error:
            refusal = from_refusal(str(error))
            if isinstance(refusal, ValidationError):
                raise refusal from None
            raise CannotRead(str(error)) from error
        control: dict[str, Any] = state["time_control"]
        return Meaning(control.pop("notation"), state["participants"][0]["total_time_ms"], control)


@contextmanager
def reader() -> Iterator[Reader]:
    """A reader, with a Valkey that ends with the block. Raises CannotRead."""
    with tempfile.TemporaryDirectory(prefix="synckairos-") as folder:
        place = Path(folder) / "valkey.sock"
        log = Path(folder) / "valkey.log"
        options = {"port": "0", "unixsocket": str(place), "save": "", "dir": folder, "logfile": str(log)}
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        child = Child("Valkey", [str(valkey_server()), *arguments], stdout=DEVNULL, stderr=DEVNULL)
        try:
            with redis.Redis(unix_socket_path=str(place)) as client:
                _start(client, child, log)
                client.function_load(Library.assemble().payload)
                yield Reader(client)
        finally:
            end_all([child], END_S)


def _start(client: redis.Redis, child: Child, log: Path) -> None:
    """Starts Valkey, and waits until it answers."""
    try:
        child.start()
    except OSError as error:
        raise CannotRead(f"Valkey does not start: {error}") from error
    deadline = time.monotonic() + START_S
    while child.running and time.monotonic() < deadline:
        try:
            client.ping()
            return
        except REDIS_ERRORS:
            time.sleep(0.01)
    said = log.read_text(encoding="utf-8", errors="replace").strip() if log.exists() else ""
    raise CannotRead(f"Valkey does not start: {said[-500:] or 'it said nothing about that'}")
