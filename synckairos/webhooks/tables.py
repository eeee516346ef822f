"""Webhooks and deliveries as rows in PostgreSQL: made, listed, sent again.

The tables are made by `synckairos migrate`. Nothing here reads a secret: the role of a service may not, and
only the worker signs.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, timedelta
from time import time
from typing import Any

import asyncpg

from synckairos.audit import cursors
from synckairos.audit.store import Store
from synckairos.core.connection import Connection
from synckairos.errors import NotFound, QuotaExceeded, StorageUnavailable, ValidationError
from synckairos.webhooks import model
from synckairos.webhooks.addresses import Lookup
from synckairos.webhooks.model import Delivery, Webhook

BEAT_S = 10.0
"""For how long after a sign of life a worker is expected to send."""
TEST_S = 5.0
"""How long whoever asks for a test waits for what comes of it. It goes on after that."""
_LOOK_S = 0.05
NOBODY = "00000000-0000-0000-0000-000000000000"
"""The session of a test's event."""

WEBHOOK = "webhook_id::text, tenant_id, url, events, sessions, status, created_at, since_ms, failing_since"
_DELIVERY = """
    delivery_id::text, webhook_id::text, session_id::text,
    CASE WHEN body IS NULL THEN cardinality(versions) ELSE 1 END AS events,
    status, attempts, response_status, created_at, next_attempt_at, problem, place
"""
_COUNT = "SELECT count(*) FROM sync_webhooks WHERE owner = coalesce($1, '')"
_INSERT = f"""
INSERT INTO sync_webhooks (webhook_id, tenant_id, url, events, sessions, secret, made_by, since_ms)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING {WEBHOOK}
"""
_OF_TENANT = (
    f"SELECT {WEBHOOK} FROM sync_webhooks WHERE owner = coalesce($1, '') ORDER BY created_at, webhook_id"
)
_ALL = f"SELECT {WEBHOOK} FROM sync_webhooks ORDER BY owner, created_at, webhook_id"
_ONE = f"SELECT {WEBHOOK} FROM sync_webhooks WHERE webhook_id = $1"
_DELETE = "DELETE FROM sync_webhooks WHERE webhook_id = $1"
_DELIVERIES = f"""
SELECT {_DELIVERY} FROM sync_webhook_deliveries
WHERE webhook_id = $1 AND ($2::bigint IS NULL OR place < $2) ORDER BY place DESC LIMIT $3
"""
_ONE_DELIVERY = f"SELECT {_DELIVERY} FROM sync_webhook_deliveries WHERE webhook_id = $1 AND delivery_id = $2"
_INSERT_TEST = f"""
INSERT INTO sync_webhook_deliveries (delivery_id, webhook_id, body, next_attempt_at, sealed)
VALUES ($1, $2, $3, now(), true) RETURNING {_DELIVERY}
"""
# One that is under way is left to whoever has it.
_AGAIN = """
UPDATE sync_webhook_deliveries SET status = 'pending', failures = 0, next_attempt_at = now(), done_at = NULL
WHERE webhook_id = $1 AND {which} AND (claimed_until IS NULL OR claimed_until < now())
"""
_AGAIN_ONE = _AGAIN.format(which="delivery_id = $2")
_AGAIN_FAILED = _AGAIN.format(which="status = 'failed' AND body IS NULL")
_IS_SENT = "SELECT coalesce((SELECT beat_at > now() - $1::interval FROM sync_webhook_state), false)"
_COUNTS = """
SELECT count(*) AS all, count(*) FILTER (WHERE status = 'disabled') AS disabled,
    count(*) FILTER (WHERE status = 'active' AND failing_since < now() - interval '1 hour') AS failing
FROM sync_webhooks
"""
_THERE = "SELECT to_regclass('sync_webhook_deliveries') IS NOT NULL"
_WAITING = "SELECT count(*) FROM sync_webhook_deliveries WHERE status = 'pending'"


class Webhooks:
    """The webhooks of a deployment. All calls raise StorageUnavailable."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.lookup = Lookup()
        """Where names of receivers are looked up before a webhook is made."""

    def close(self) -> None:
        """Wait for no look-up."""
        self.lookup.close()

    async def add(
        self,
        tenant: str | None,
        url: str,
        *,
        events: Sequence[str] | None,
        sessions: Mapping[str, Any] | None,
        secret: str,
        made_by: str | None,
        since_ms: int,
    ) -> Webhook:
        """Store a new webhook. since_ms: see `committed_from`. Raises QuotaExceeded."""
        async with self._store.connection() as connection, connection.transaction():
            # Two that are made at the same moment would not see each other.
            lock = f"webhooks of {tenant or ''}"
            await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", lock)
            if await connection.fetchval(_COUNT, tenant) >= model.MOST:
                raise QuotaExceeded(
                    f"a tenant may have {model.MOST} webhooks",
                    context={"quota": "webhooks", "limit": model.MOST},
                )
            row = await connection.fetchrow(
                _INSERT,
                uuid.uuid4(),
                tenant,
                url,
                None if events is None else list(dict.fromkeys(events)),
                None if sessions is None else json.dumps(sessions),
                secret,
                made_by,
                since_ms,
            )
        assert row is not None
        return webhook(row)

    async def of_tenant(self, tenant: str | None) -> list[Webhook]:
        """A tenant's webhooks, the oldest first."""
        async with self._store.connection() as connection:
            return [webhook(row) for row in await connection.fetch(_OF_TENANT, tenant)]

    async def all(self) -> list[Webhook]:
        """All webhooks, by tenant."""
        async with self._store.connection() as connection:
            return [webhook(row) for row in await connection.fetch(_ALL)]

    async def get(self, webhook_id: str, tenant: str | None) -> Webhook:
        """A tenant's webhook. Raises NotFound; another tenant's is not there."""
        found = await self.find(webhook_id)
        if found.tenant != tenant:
            raise _no_webhook()
        return found

    async def find(self, webhook_id: str) -> Webhook:
        """A webhook, whosever it is. Raises NotFound."""
        async with self._store.connection() as connection:
            row = await connection.fetchrow(_ONE, webhook_id)
        if row is None:
            raise _no_webhook()
        return webhook(row)

    async def remove(self, webhook_id: str) -> None:
        """Remove a webhook with its deliveries: nothing is sent to it any more."""
        async with self._store.connection() as connection:
            await connection.execute(_DELETE, webhook_id)

    async def deliveries(
        self, webhook_id: str, *, before: int | None = None, limit: int = 100
    ) -> list[Delivery]:
        """A webhook's deliveries, the newest first.

        before: the `place` of the last one seen
        """
        async with self._store.connection() as connection:
            return [_delivery(row) for row in await connection.fetch(_DELIVERIES, webhook_id, before, limit)]

    async def delivery(self, webhook_id: str, delivery_id: str) -> Delivery:
        """A delivery. Raises NotFound."""
        async with self._store.connection() as connection:
            row = await connection.fetchrow(_ONE_DELIVERY, webhook_id, delivery_id)
        if row is None:
            raise NotFound("the webhook has no such delivery")
        return _delivery(row)

    async def retry(self, given: Webhook, delivery_id: str) -> Delivery:
        """Have a delivery sent again now, with all its attempts. Raises NotFound, ValidationError."""
        refuse_unless_active(given)
        await self.delivery(given.webhook_id, delivery_id)
        async with self._store.connection() as connection:
            await connection.execute(_AGAIN_ONE, given.webhook_id, delivery_id)
        return await self.delivery(given.webhook_id, delivery_id)

    async def retry_failed(self, given: Webhook) -> int:
        """Have all deliveries that failed sent again. Returns how many. Raises ValidationError."""
        refuse_unless_active(given)
        async with self._store.connection() as connection:
            status = await connection.execute(_AGAIN_FAILED, given.webhook_id)
        return int(status.rpartition(" ")[2])

    async def test(self, given: Webhook) -> Delivery:
        """Send a test, and return what came of it, or what is known after TEST_S. Raises ValidationError.

        Where no worker sends, it returns at once, and the test waits for one.
        """
        if given.status == "ended":
            raise _ended()
        delivery_id = uuid.uuid4()
        async with self._store.connection() as connection:
            row = await connection.fetchrow(_INSERT_TEST, delivery_id, given.webhook_id, test_body(time()))
            is_sent = await connection.fetchval(_IS_SENT, timedelta(seconds=BEAT_S))
        assert row is not None
        found = _delivery(row)
        end = asyncio.get_running_loop().time() + TEST_S
        while is_sent and found.status == "pending" and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(_LOOK_S)
            found = await self.delivery(given.webhook_id, found.delivery_id)
        return found


async def waiting(store: Store) -> int:
    """How many deliveries wait for an attempt, or for an older one; 0 while there are no tables of them."""
    async with store.connection() as connection:
        if not await connection.fetchval(_THERE):
            return 0
        return int(await connection.fetchval(_WAITING))


@dataclass(frozen=True, slots=True)
class Counts:
    """How many webhooks there are.

    failing: of the active ones, how many have had no success for an hour after an attempt failed
    is_sent: whether there is a worker that sends
    """

    all: int
    disabled: int
    failing: int
    is_sent: bool


async def counts(store: Store) -> Counts:
    """How many webhooks there are, and how they are."""
    async with store.connection() as connection:
        row = await connection.fetchrow(_COUNTS)
        is_sent = await connection.fetchval(_IS_SENT, timedelta(seconds=BEAT_S))
    assert row is not None
    return Counts(row["all"], row["disabled"], row["failing"], is_sent)


async def committed_from(connection: Connection) -> int:
    """The time (ms) from which on events count as committed after now. Raises StorageUnavailable.

    The clocks of primaries differ a little, so it is the time of the one that is most behind.
    """
    times = [await client.time() for client in await connection.primaries()]
    if not times:
        raise StorageUnavailable
    return min(seconds * 1000 + micros // 1000 for seconds, micros in times)


def refuse_unless_active(given: Webhook) -> None:
    """Raise ValidationError where nothing would be sent."""
    if given.status == "ended":
        raise _ended()
    if given.status == "disabled":
        raise ValidationError(
            "the webhook is disabled, because it has failed for three days: a test that is answered with 2xx "
            "makes it active again"
        )


def _ended() -> ValidationError:
    return ValidationError("the webhook has ended: its receiver has answered with 410")


def test_body(now: float) -> str:
    """What a test sends: a list of one event, of a session that nobody has."""
    ms = int(now * 1000)
    event = {
        "v": 1,
        "type": "WEBHOOK_TEST",
        "session_id": NOBODY,
        "version": 1,
        "epoch": str(ms),
        "server_time_ms": ms,
        "payload": {"event": model.TEST},
    }
    return json.dumps([event], separators=(",", ":"))


def write_cursor(last: Delivery) -> str:
    """The cursor of the page after this delivery."""
    return cursors.write(last.created_at.astimezone(UTC), str(last.place))


def read_cursor(text: str) -> int:
    """The place of the delivery of which a cursor was made. Raises ValueError."""
    _, place = cursors.read(text)
    found = int(place)
    if not 0 <= found < 2**63:
        raise ValueError("there is no such place")
    return found


def webhook(row: asyncpg.Record) -> Webhook:
    """A row of `sync_webhooks`."""
    events, sessions = row["events"], row["sessions"]
    return Webhook(
        row["webhook_id"],
        row["tenant_id"],
        row["url"],
        None if events is None else tuple(events),
        None if sessions is None else json.loads(sessions),
        row["status"],
        row["created_at"],
        row["since_ms"],
        row["failing_since"],
    )


def _delivery(row: asyncpg.Record) -> Delivery:
    return Delivery(**dict(row))


def _no_webhook() -> NotFound:
    return NotFound("there is no such webhook")
