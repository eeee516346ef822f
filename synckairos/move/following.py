"""Follows sessions that have moved to another Redis, so that the clients of a service notice nothing of it.

`MOVED_TO` names the deployments to which this service may follow. A connection to one is made when the first
session has moved there. Calls for a moved session are carried out there, and its sockets get its events from
there. The refusal that says where a session went comes from the mark at this service's own Redis.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

import structlog

from synckairos import config
from synckairos.config import Settings
from synckairos.core.calls import Sessions
from synckairos.core.connection import Connection, connect
from synckairos.core.keys import SessionKeys, parse_session_key
from synckairos.core.library import LibraryChanged
from synckairos.core.wire import Argument
from synckairos.errors import InternalError, SessionMoved, SessionMoving
from synckairos.realtime.deployment import Deployment
from synckairos.realtime.server_time import ServerClock
from synckairos.realtime.subscriptions import Subscriptions

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

MOST_MOVES = 8
"""How often a session may have moved since the place where it is looked for first."""


class Following:
    """The deployments to which this service may follow.

    settings: the service's; raises SettingsError when `moved_to` names a file that is no settings file
    home: the service's own deployment, to which sessions may come back
    """

    def __init__(self, settings: Settings, home: Deployment) -> None:
        self._known = {
            each.redis_address: each for each in (config.at(place, settings) for place in settings.moved_to)
        }
        self._home = home
        self._open: dict[str, Deployment] = {settings.redis_address: home}
        self._opening = asyncio.Lock()
        self._closing = AsyncExitStack()

    async def aclose(self) -> None:
        """Close the connections that were made."""
        await self._closing.aclose()

    async def deployment(self, moved: SessionMoved) -> Deployment | None:
        """The deployment that has a session; None when `MOVED_TO` does not name it."""
        address = moved.moved_to
        if address not in self._open and address in self._known:
            async with self._opening:
                if address not in self._open:
                    self._open[address] = await self._connect(self._known[address])
                    log.info("following sessions to another Redis", address=address)
        return self._open.get(address)

    async def _connect(self, settings: Settings) -> Deployment:
        try:
            connection = await connect(settings)
        except LibraryChanged as error:
            log.error("cannot follow sessions to another Redis", reason=str(error))
            raise InternalError from error
        self._closing.push_async_callback(connection.aclose)
        clock, subscriptions = ServerClock(connection), Subscriptions(connection)
        for part in (clock, subscriptions):
            await part.start()
            self._closing.push_async_callback(part.stop)
        return Deployment(Sessions(connection, settings.session_ttl), subscriptions, clock)

    async def call(
        self,
        moved: SessionMoved,
        function: str,
        keys: Sequence[str],
        arguments: Sequence[Argument],
        *,
        read_only: bool,
    ) -> Any:
        """Calls a function where a session went. Raises `moved` when there is no way to that deployment."""
        source = self._home.sessions.connection
        for _ in range(MOST_MOVES):
            there = await self.deployment(moved)
            if there is None:
                break
            target = there.sessions.connection
            if function == "sk_expire":
                # The source still has an alarm, which is after the end of the hold: its mover has died.
                await _activate(source, target, moved.move, parse_session_key(keys[0]) or "")
            try:
                return await target.fcall(function, keys, arguments, read_only=read_only)
            except SessionMoving:
                await _activate(source, target, moved.move, parse_session_key(keys[0]) or "")
                return await target.fcall(function, keys, arguments, read_only=read_only)
            except SessionMoved as again:
                moved, source = again, target
        raise moved


async def _activate(source: Connection, target: Connection, move: str, session_id: str) -> None:
    """Let a session run that its source has given up, and whose mover has died before it let it run."""
    keys = SessionKeys.of(session_id).all
    change = await source.fcall("sk_move_commit", keys, ("MOVE", move))
    if change is not None:
        await target.fcall("sk_move_activate", keys, (change, "MOVE", move))
        await source.fcall("sk_move_finish", keys, ("MOVE", move))
        log.warning("a session was let run whose mover has died", session=session_id, move=move)
