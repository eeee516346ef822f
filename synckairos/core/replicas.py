"""Reads from a replica while there is no primary: the newest state that is left, and how old it may be.

Nothing is written there, and nothing is restored. Which replicas there are is known from the Sentinels or
from the map of a cluster; without either there are none.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from time import monotonic
from typing import Any

import redis.asyncio
import structlog
from redis.exceptions import ResponseError

from synckairos.config import Address, Settings
from synckairos.core.clients import REDIS_ERRORS, async_client
from synckairos.core.connection import Connection
from synckairos.core.keys import SessionKeys
from synckairos.core.model import State
from synckairos.errors import StorageUnavailable, error_text, from_refusal

log = structlog.get_logger(__name__)

ANSWER_S = 0.4
"""How long the replicas may take to answer, all at once."""
CHOSEN_S = 1.0
"""How long the choice of a replica holds."""


@dataclass(frozen=True, slots=True)
class Stale:
    """A state that a replica has.

    age_ms: how long ago the replica heard from its primary; servers count this in whole seconds
    """

    state: State
    age_ms: int


class Replicas:
    """The replicas, as one process reads from them."""

    def __init__(self, connection: Connection, settings: Settings) -> None:
        self._connection = connection
        self._settings = settings
        self._clients: dict[Address, redis.asyncio.Redis] = {}
        self._chosen: dict[tuple[Address, ...], tuple[float, Address]] = {}

    async def aclose(self) -> None:
        """Close all connections."""
        for client in self._clients.values():
            await client.aclose()
        self._clients.clear()

    def may_have(self, session_id: str) -> bool:
        """Whether there are replicas of the server that has this session, as far as is known."""
        return bool(self._connection.replicas(SessionKeys.of(session_id).session))

    async def get(self, session_id: str, tenant: str | None = None) -> Stale:
        """The state on the replica that has heard most from the primary.

        Raises StorageUnavailable when no replica answers, and the refusals of `sk_get`.
        """
        key = SessionKeys.of(session_id).session
        replicas = tuple(self._connection.replicas(key))
        arguments = () if tenant is None else ("TENANT", tenant)
        try:
            async with asyncio.timeout(ANSWER_S):
                client = self._client(await self._choice(replicas))
                async with client.pipeline(transaction=False) as pipeline:
                    pipeline.execute_command(
                        "READONLY"
                    )  # an error outside of a cluster, which does not matter
                    pipeline.execute_command("FCALL_RO", "sk_get", 1, key, *arguments)
                    pipeline.info("replication")
                    _, reply, about = await pipeline.execute(raise_on_error=False)
            if isinstance(reply, Exception):
                raise reply
            return Stale(State(reply), _age_ms(about))
        except REDIS_ERRORS as error:  # a timeout is an OSError
            refusal = _refusal(error)
            if refusal is not None:
                raise refusal from None
            self._chosen.pop(replicas, None)
            log.debug("no replica can be read", error=error_text(error))
            raise StorageUnavailable(retry_after_ms=1000) from error

    async def _choice(self, replicas: tuple[Address, ...]) -> Address:
        """The replica that has heard most. Raises redis.ConnectionError when none answers."""
        at, address = self._chosen.get(replicas, (float("-inf"), ("", 0)))
        if monotonic() - at < CHOSEN_S:
            return address
        answers = await asyncio.gather(*map(self._offset, replicas))
        heard = {
            offset: replica for offset, replica in zip(answers, replicas, strict=True) if offset is not None
        }
        if not heard:
            raise redis.ConnectionError("no replica answers")
        self._chosen = {replicas: (monotonic(), heard[max(heard)])}
        return heard[max(heard)]

    async def _offset(self, address: Address) -> int | None:
        """How much of the primary's stream of changes a replica has; None when it does not answer."""
        try:
            async with asyncio.timeout(ANSWER_S / 2):
                about: dict[str, Any] = await self._client(address).info("replication")
        except REDIS_ERRORS:
            return None
        return int(about.get("slave_repl_offset", about.get("master_repl_offset", 0)))

    def _client(self, address: Address) -> redis.asyncio.Redis:
        if address not in self._clients:
            self._clients[address] = async_client(self._settings, address)
        return self._clients[address]


def _age_ms(about: Any) -> int:
    """How long ago the replica heard from its primary, by its `INFO replication`; 0 when it does not say."""
    if isinstance(about, Exception) or about.get("role") == "master":  # it has just become the primary
        return 0
    name = "master_last_io_seconds_ago"
    if about.get("master_link_status") != "up":
        name = "master_link_down_since_seconds"  # -1 when it never had a connection
    return 1000 * max(0, int(about.get(name, 0)))


def _refusal(error: Exception) -> Exception | None:
    """The refusal of the library behind an error reply; None for any other error."""
    if not isinstance(error, ResponseError):
        return None
    return from_refusal(f"{error.status_code or ''} {error}".lstrip())
