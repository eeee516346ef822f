"""Calls the library on a real server under virtual time, for the tests that compare it with the model.

The virtual-time build reads the server's clock from a string key. It does not differ in anything else.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import redis

from synckairos.core.keys import SessionKeys
from synckairos.core.library import Library

CLOCK_KEY = "sk:{vt}:now"
SERVER_KEY = "sk:{vt}:server"

Snapshot = dict[bytes, tuple[Any, int]]
Command = tuple[str | bytes | int, ...]


def _contents(key: bytes) -> Command:
    """The command that reads all of a key. The end of its name says of which type it is."""
    match key.rpartition(b":")[2]:
        case b"log" | b"outbox":
            return ("XRANGE", key, "-", "+")
        case b"alarms":
            return ("ZRANGE", key, 0, -1, "WITHSCORES")
        case _:
            return ("HGETALL", key)


@dataclass(slots=True)
class Answer:
    """A reply of the library: the raw value, or the code and the whole text of a refusal."""

    value: Any = None
    code: str | None = None
    text: str = ""

    @classmethod
    def of(cls, reply: Any) -> Answer:
        """The answer in a reply, which may be an error of the server."""
        if isinstance(reply, Exception):
            text = str(reply)
            return cls(code=text.split(" ", 1)[0], text=text)
        return cls(reply)

    @property
    def context(self) -> dict[str, Any]:
        """The JSON object at the end of a refusal; empty when there is none."""
        start = self.text.find(" {") + 1
        parsed: dict[str, Any] = json.loads(self.text[start:]) if start and self.text.endswith("}") else {}
        return parsed

    @property
    def fields(self) -> list[str]:
        """The dotted paths in the details of a validation error."""
        return sorted({detail["field"] for detail in self.context.get("details", [])})


class Driver:
    """A connection to a server with the virtual-time library. Replies are bytes."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client

    def load(self) -> None:
        """Load the virtual-time build, replacing what is there."""
        self.run("FUNCTION", "LOAD", "REPLACE", Library.assemble(virtual_time=True).payload)

    def run(self, *command: str | bytes | int) -> Any:
        """Run any command."""
        return self.client.execute_command(*command)

    def at(self, ms: int) -> None:
        """Set the server's clock."""
        self.run("SET", CLOCK_KEY, str(ms))

    def server(self, run_id: str) -> None:
        """Let the next changes be those of another server."""
        self.run("SET", SERVER_KEY, run_id)

    def fcall(self, function: str, keys: Sequence[str], args: Sequence[str | bytes] = ()) -> Answer:
        """Call a function with these keys and arguments."""
        try:
            return Answer(self.run("FCALL", function, len(keys), *keys, *args))
        except redis.ResponseError as error:
            return Answer.of(error)

    def call(
        self, function: str, session_id: str, args: Sequence[str | bytes] = (), ms: int | None = None
    ) -> Answer:
        """Call `sk_<function>` for a session, at the server time `ms` if it is given."""
        if ms is not None:
            self.at(ms)
        keys = SessionKeys.of(session_id).all
        wanted = {"get": keys[:1], "log": keys[:2]}.get(function, keys)
        return self.fcall(f"sk_{function}", wanted, args)

    def snapshot(self) -> Snapshot:
        """The value of every key and the time (ms) at which it expires; not of those of the virtual build."""
        own = {CLOCK_KEY.encode(), SERVER_KEY.encode()}
        names = [name for name in self.run("KEYS", "*") if name not in own]
        pipe = self.client.pipeline(transaction=True)
        for name in names:
            pipe.execute_command(*_contents(name))
            pipe.execute_command("PEXPIRETIME", name)
        found = pipe.execute() if names else []
        return {name: (found[2 * i], found[2 * i + 1]) for i, name in enumerate(names)}
