"""An access log in memory, for services without PostgreSQL whose admins have to be able to act."""

from __future__ import annotations

from synckairos.audit.access_log.entries import Entry
from synckairos.audit.access_log.queue import AccessLog
from synckairos.audit.store import Store


class Records(AccessLog):
    """What admins did is in `stored`, and what was refused and is still being counted in `refused`."""

    def __init__(self) -> None:
        super().__init__(Store("postgresql://nobody@127.0.0.1:1/none"))
        self.stored: list[Entry] = []

    @property
    def refused(self) -> list[Entry]:
        return [entry for _, entry in self._counted.values()]

    async def check(self) -> None:
        """There is always room."""

    async def store_now(self, entry: Entry) -> None:
        self.stored.append(entry)
