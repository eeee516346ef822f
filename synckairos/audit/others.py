"""The other Redis whose sessions may be in the same audit store, as while sessions move between two of them.

The store does not say which Redis has a session that never moved. So before one is restored here, the others
are asked whether they have it: a session must not run in two places.
"""

from __future__ import annotations

from typing import Self

import structlog

from synckairos import config
from synckairos.config import Settings
from synckairos.core.calls import Sessions
from synckairos.core.connection import Connection
from synckairos.errors import (
    SessionMoved,
    SessionMoving,
    SessionNotFound,
    StorageUnavailable,
    SyncKairosError,
    error_text,
)

logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


class Others:
    """The Redis that `MOVED_TO` names. A connection to one is made when it is first asked.

    settings: the service's; raises SettingsError when `moved_to` names a file that is no settings file
    """

    def __init__(self, settings: Settings) -> None:
        self._own = settings.redis_address
        chosen = [config.at(place, settings) for place in settings.moved_to]
        self._connections = {each.redis_address: Connection.to(each) for each in chosen}
        self._connections.pop(self._own, None)
        self._away: set[str] = set()

    async def aclose(self) -> None:
        """Close the connections that were made."""
        for connection in self._connections.values():
            await connection.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def home_of(self, session_id: str) -> str | None:
        """The address of the Redis that has the session; None when none of the others has it.

        Raises StorageUnavailable when one of them does not say.
        """
        for address, connection in self._connections.items():
            try:
                await Sessions(connection, 0).get(session_id)
            except (SessionNotFound, SessionMoving):  # one that is moving there does not run there yet
                pass
            except SessionMoved as moved:
                if moved.moved_to != self._own:
                    return moved.moved_to
            except SyncKairosError as error:
                self._tell(address, error)
                raise StorageUnavailable(
                    f"the session may be at {address}, which does not answer", retry_after_ms=1000
                ) from error
            else:
                return address
            self._away.discard(address)
        return None

    def _tell(self, address: str, error: SyncKairosError) -> None:
        """Tell of one that is away, once."""
        if address not in self._away:
            self._away.add(address)
            logger.error(
                "sessions are not restored before the Redis in MOVED_TO has said that it does not have them: "
                "take it out of MOVED_TO when it will not come back",
                address=address,
                error=error_text(error.__cause__ or error),
            )
