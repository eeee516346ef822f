"""The servers of one pytest worker: each starts when a test first asks for it, and stays to the end."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager, ExitStack
from typing import Any, Self, cast

from tests.support import postgres, servers
from tests.support.postgres import PostgresServer
from tests.support.servers import Cluster, Server


def pairs() -> list[tuple[servers.Kind, postgres.Kind]]:
    """Pairs in which each kind of Redis and each kind of PostgreSQL of this machine has its turn.

    All combinations would prove no more: the two servers never speak to each other.
    """
    redis_kinds, postgres_kinds = servers.available(), postgres.available()
    most = max(len(redis_kinds), len(postgres_kinds))
    return [(redis_kinds[n % len(redis_kinds)], postgres_kinds[n % len(postgres_kinds)]) for n in range(most)]


class Pool:
    """Gives the same server for the same request."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._started: dict[Hashable, Any] = {}

    def server(self, kind: servers.Kind, use: str = "") -> Server:
        """A Redis or Valkey, not to be stopped. Servers of different uses are different ones."""
        return cast(Server, self._get((kind, use), lambda: servers.start(kind)))

    def cluster(self, kind: servers.Kind) -> Cluster:
        """Three primaries, not to be stopped."""
        return cast(Cluster, self._get((kind, Cluster), lambda: servers.start_cluster(kind)))

    def postgres(self, kind: postgres.Kind, use: str = "") -> PostgresServer:
        """A PostgreSQL that answers. One that a test has stopped is started again."""
        found = cast(
            PostgresServer, self._get((kind, use), lambda: postgres.start_postgres(kind, fsync="off"))
        )
        if not found.runs():
            found.start()
        return found

    def _get(self, key: Hashable, start: Callable[[], AbstractContextManager[Any]]) -> Any:
        if key not in self._started:
            self._started[key] = self._stack.enter_context(start())
        return self._started[key]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
