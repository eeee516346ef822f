"""Two servers to move sessions between, and movers that die."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from redis.exceptions import ResponseError

from synckairos.core import connection as connections
from synckairos.core.calls import Sessions
from synckairos.core.keys import SessionKeys
from synckairos.core.wire import Argument
from synckairos.move.record import Heading, Record
from synckairos.move.saga import Mover
from synckairos.move.side import Side
from synckairos.realtime.server_time import ServerClock
from tests.support.live import settings
from tests.support.servers import Server


class KilledError(Exception):
    """The mover is dead."""


class Fatal(Side):
    """A side at which the mover dies: with the sessions in `deaths`, before or after a function's call."""

    deaths: dict[str, tuple[str, bool]]

    async def _step(self, function: str, session_id: str, arguments: Sequence[Argument]) -> Any:
        fatal, before = self.deaths.get(session_id, ("", False))
        if function == fatal and before:
            raise KilledError
        reply = await super()._step(function, session_id, arguments)
        if function == fatal:
            raise KilledError
        return reply


class Place:
    """A deployment, as a mover and as callers see it."""

    def __init__(self, server: Server, side: Fatal) -> None:
        self.server = server
        self.side = side
        self.sessions = Sessions(side.connection, 3600)

    async def has(self, session_id: str) -> bool:
        """Whether the session is here, so that it can be read."""
        key = SessionKeys.of(session_id).session
        client = self.server.client()
        try:  # directly, because a connection waits a while for a session that is on its way
            await client.execute_command("FCALL_RO", "sk_get", 1, key)
        except ResponseError as error:
            if str(error).split()[0] not in ("SESSION_MOVED", "SESSION_MOVING", "SESSION_NOT_FOUND"):
                raise
            return False
        finally:
            await client.aclose()
        return True


@asynccontextmanager
async def place(server: Server, **environ: str) -> AsyncIterator[Place]:
    """A server with the library; the environment may say more of how it is reached."""
    chosen = settings(server.url, **environ)
    async with await connections.connect(chosen) as connection:
        clock = ServerClock(connection)
        side = Fatal(connection, clock, chosen.redis_address)
        side.deaths = {}
        try:
            await clock.start()
            yield Place(server, side)
        finally:
            await clock.stop()


def begin(folder: Path, source: Place, target: Place, sessions: Iterable[str], move: str = "m1") -> Record:
    """A new record of a move."""
    heading = Heading(move, source.side.address, target.side.address)
    return Record.begin(folder / f"{move}.move", heading, sessions)


def mover(source: Place, target: Place, record: Record, **options: Any) -> Mover:
    """A mover that gives up soon."""
    return Mover(source.side, target.side, record, **{"patience_s": 5.0, **options})
