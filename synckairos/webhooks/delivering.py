"""Delivering: takes deliveries that are due, makes an attempt, and writes down what came of it.

A delivery is taken by a lease in its row. Whoever dies with one in hand loses the lease, and another process
sends it again. Of a session only the first delivery that waits can be taken, so its events arrive in order.

No receiver costs another one anything. A webhook has a few attempts at a time, one that fails or is slow has
one, and those have places of their own: however many they are, the others find theirs free.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any

import asyncpg
import structlog

from synckairos import metrics
from synckairos.audit import alerts
from synckairos.audit.store import PgConnection, Store
from synckairos.errors import StorageUnavailable
from synckairos.supervision import cancel
from synckairos.webhooks.model import DISABLED_AFTER_S, RETRIES_S
from synckairos.webhooks.planning import interval, release
from synckairos.webhooks.sending import TOTAL_S, Outcome, Sender

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

LEASE_S = 2 * TOTAL_S
"""For how long a delivery is taken. An attempt takes at most half of that."""
AT_ONCE = 4
"""How many attempts a webhook has at a time in a process."""
QUICK = 200
SLOW = 200
"""How many attempts a process makes at a time to webhooks that answer quickly, and to all others."""
SLOW_S = 1.0
"""How long an answer may take before a webhook counts as slow."""
WRITE_AGAIN_S = (0.2, 1.0, 2.0)
"""When it is tried again to write down what came of an attempt. After that the delivery is sent again."""
STOP_S = 1.0
"""How long attempts may go on when the process stops."""
KNOWN_SLOW = 10_000
"""Of how many slow webhooks a process knows."""

# A test has no session, so nothing is before it. `failing_since` says that a webhook is in trouble.
_CLAIM = """
UPDATE sync_webhook_deliveries AS d SET claim = $1, claimed_until = now() + $2::interval, sealed = true
FROM (
    SELECT f.delivery_id, w.url, w.secret, w.tenant_id, w.failing_since
    FROM (
        SELECT * FROM sync_webhooks AS w
        WHERE (w.failing_since IS NOT NULL OR w.webhook_id = ANY($3::uuid[])) = $4
    ) AS w
    LEFT JOIN unnest($5::uuid[], $6::integer[]) AS busy (webhook_id, attempts) USING (webhook_id)
    CROSS JOIN LATERAL (
        SELECT d.delivery_id, d.next_attempt_at FROM sync_webhook_deliveries AS d
        WHERE d.webhook_id = w.webhook_id AND d.status = 'pending' AND d.next_attempt_at <= now()
            AND (d.claimed_until IS NULL OR d.claimed_until < now())
            AND (w.status = 'active' OR d.body IS NOT NULL)
            AND NOT EXISTS (
                SELECT FROM sync_webhook_deliveries AS o
                WHERE o.webhook_id = d.webhook_id AND o.session_id = d.session_id AND o.status = 'pending'
                    AND o.place <> d.place AND (o.place < d.place OR o.claimed_until >= now()))
        ORDER BY d.next_attempt_at, d.place
        LIMIT greatest(0, $7 - coalesce(busy.attempts, 0)) FOR UPDATE OF d SKIP LOCKED
    ) AS f
    ORDER BY f.next_attempt_at LIMIT $8
) AS due
WHERE d.delivery_id = due.delivery_id
RETURNING d.delivery_id::text, d.webhook_id::text, d.session_id::text, d.epochs, d.versions, d.body,
    due.url, due.secret, due.tenant_id, due.failing_since
"""
_BODIES = """
SELECT e.body::text FROM unnest($2::bigint[], $3::bigint[]) WITH ORDINALITY AS p (epoch, version, place)
JOIN sync_events AS e ON e.session_id = $1 AND e.epoch = p.epoch AND e.version = p.version ORDER BY p.place
"""
_DELIVERED = """
UPDATE sync_webhook_deliveries SET status = 'delivered', attempts = attempts + 1, response_status = $3,
    problem = NULL, next_attempt_at = NULL, claim = NULL, claimed_until = NULL, done_at = now()
WHERE delivery_id = $1 AND claim = $2 AND status = 'pending'
"""
# $5: the pauses between attempts. A test has one attempt.
_FAILED = """
UPDATE sync_webhook_deliveries SET attempts = attempts + 1, failures = failures + 1, response_status = $3,
    problem = $4, claim = NULL, claimed_until = NULL,
    status = CASE WHEN over THEN 'failed' ELSE 'pending' END,
    next_attempt_at = CASE WHEN over THEN NULL ELSE now() + ($5::interval[])[failures + 1] END,
    done_at = CASE WHEN over THEN now() END
FROM (
    SELECT delivery_id AS id, body IS NOT NULL OR failures >= cardinality($5::interval[]) AS over
    FROM sync_webhook_deliveries WHERE delivery_id = $1
) AS judged
WHERE delivery_id = id AND claim = $2 AND status = 'pending' RETURNING status
"""
_TROUBLE = "UPDATE sync_webhooks SET failing_since = now() WHERE webhook_id = $1 AND failing_since IS NULL"
_NO_TROUBLE = """
UPDATE sync_webhooks SET failing_since = NULL WHERE webhook_id = $1 AND failing_since IS NOT NULL
"""
_ACTIVE_AGAIN = """
UPDATE sync_webhooks SET status = 'active', failing_since = NULL,
    since_ms = greatest(since_ms, (extract(epoch FROM now()) * 1000)::bigint)
WHERE webhook_id = $1 AND status = 'disabled' RETURNING true
"""
_ENDED = (
    "UPDATE sync_webhooks SET status = 'ended' WHERE webhook_id = $1 AND status <> 'ended' RETURNING true"
)
_DISABLED = """
UPDATE sync_webhooks SET status = 'disabled'
WHERE webhook_id = $1 AND status = 'active' AND failing_since <= now() - $2::interval RETURNING true
"""
_GIVE_UP = """
UPDATE sync_webhook_deliveries SET status = 'failed', next_attempt_at = NULL, done_at = now(), problem = $2
WHERE webhook_id = $1 AND status = 'pending' AND (claimed_until IS NULL OR claimed_until < now())
"""
_LET_GO = """
UPDATE sync_webhook_deliveries SET claim = NULL, claimed_until = NULL WHERE claim = ANY($1::uuid[])
"""


@dataclass(frozen=True, slots=True)
class _Taken:
    """A delivery in hand.

    claim: of those that were taken together, so that a lost lease is noticed
    """

    delivery_id: str
    webhook_id: str
    session_id: str | None
    epochs: Sequence[int]
    versions: Sequence[int]
    body: str | None
    url: str
    secret: str
    tenant: str | None
    is_slow: bool
    claim: uuid.UUID


class Deliverer:
    """Sends what is due.

    wake: set when there may be more to send
    """

    def __init__(self, store: Store, sender: Sender, wake: asyncio.Event) -> None:
        self._store = store
        self._sender = sender
        self._wake = wake
        self._attempts: dict[asyncio.Task[None], _Taken] = {}
        self._slow: dict[str, None] = {}
        """The webhooks whose last answer took long, or did not come; the newest last."""

    async def take(self) -> int:
        """Begin the attempts that are due, as many as there are places for. Raises StorageUnavailable."""
        begun = 0
        for is_slow, places, at_once in ((False, QUICK, AT_ONCE), (True, SLOW, 1)):
            busy = Counter(each.webhook_id for each in self._attempts.values())
            free = places - sum(each.is_slow == is_slow for each in self._attempts.values())
            if free <= 0:
                continue
            claim = uuid.uuid4()
            async with self._store.connection() as connection:
                rows = await connection.fetch(
                    _CLAIM,
                    claim,
                    interval(LEASE_S),
                    list(self._slow),
                    is_slow,
                    list(busy),
                    list(busy.values()),
                    at_once,
                    free,
                )
            for row in rows:
                self._begin(row, claim, is_slow=is_slow)
            begun += len(rows)
        return begun

    def _begin(self, row: asyncpg.Record, claim: uuid.UUID, *, is_slow: bool) -> None:
        taken = _Taken(
            row["delivery_id"],
            row["webhook_id"],
            row["session_id"],
            row["epochs"],
            row["versions"],
            row["body"],
            row["url"],
            row["secret"],
            row["tenant_id"],
            is_slow,
            claim,
        )
        task = asyncio.create_task(self._attempt(taken), name=f"delivery {taken.delivery_id}")
        self._attempts[task] = taken
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._attempts.pop(task, None)
        self._wake.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            level = log.debug if isinstance(error, StorageUnavailable) else log.error
            level("an attempt to deliver ended with an error", error=repr(error))

    async def stop(self) -> None:
        """Wait a moment for attempts that are under way, and let the others go, for another process."""
        if self._attempts:
            await asyncio.wait(self._attempts, timeout=STOP_S)
        left = {each.claim for each in self._attempts.values()}
        await cancel(*self._attempts)
        if left:
            with suppress(StorageUnavailable):
                async with asyncio.timeout(STOP_S), self._store.connection() as connection:
                    await connection.execute(_LET_GO, list(left))

    async def _attempt(self, taken: _Taken) -> None:
        body = await self._body(taken)
        started = monotonic()
        outcome = await self._sender.send(taken.url, taken.secret, taken.delivery_id, body)
        self._note_speed(taken.webhook_id, outcome, monotonic() - started)
        if not outcome.is_done:
            metrics.webhook_failures.labels(taken.tenant or "").inc()
            log.debug(
                "a webhook did not take a delivery",
                webhook_id=taken.webhook_id,
                delivery_id=taken.delivery_id,
                reason=outcome.problem,
            )
        for pause_s in (*WRITE_AGAIN_S, None):
            try:
                await self._write(taken, outcome)
            except StorageUnavailable:
                if pause_s is None:
                    raise
                await asyncio.sleep(pause_s)
            else:
                return

    async def _body(self, taken: _Taken) -> str:
        """What is sent: the events as they were published, in a list."""
        if taken.body is not None:
            return taken.body
        async with self._store.connection() as connection:
            rows = await connection.fetch(_BODIES, taken.session_id, taken.epochs, taken.versions)
        return f"[{','.join(row[0] for row in rows)}]"

    def _note_speed(self, webhook_id: str, outcome: Outcome, took_s: float) -> None:
        self._slow.pop(webhook_id, None)
        if took_s > SLOW_S or outcome.status is None:
            self._slow[webhook_id] = None
            while len(self._slow) > KNOWN_SLOW:
                del self._slow[next(iter(self._slow))]

    async def _write(self, taken: _Taken, outcome: Outcome) -> None:
        """Write down what came of an attempt, and have the session's next delivery sent."""
        async with self._store.connection() as connection:
            async with connection.transaction():
                counts = await self._write_delivery(connection, taken, outcome)
                if counts:
                    await self._write_webhook(connection, taken, outcome)
            if counts and taken.session_id is not None:
                await release(connection, [(taken.webhook_id, taken.session_id)])

    async def _write_delivery(self, connection: PgConnection, taken: _Taken, outcome: Outcome) -> bool:
        """Returns whether the delivery was still in our hands."""
        if outcome.is_done:
            status = await connection.execute(_DELIVERED, taken.delivery_id, taken.claim, outcome.status)
            return status == "UPDATE 1"
        pauses = [interval(each) for each in RETRIES_S]
        found = await connection.fetchval(
            _FAILED, taken.delivery_id, taken.claim, outcome.status, outcome.problem, pauses
        )
        return found is not None

    async def _write_webhook(self, connection: PgConnection, taken: _Taken, outcome: Outcome) -> None:
        """What an attempt says about its webhook: that it ended, is in trouble, or is not any more."""
        is_test = taken.body is not None
        about: dict[str, Any] = {"webhook_id": taken.webhook_id, "tenant": taken.tenant}
        if outcome.is_done:
            if not (is_test and await connection.fetchval(_ACTIVE_AGAIN, taken.webhook_id)):
                await connection.execute(_NO_TROUBLE, taken.webhook_id)
            else:
                log.info("a webhook is active again", **about)
        elif outcome.is_gone:
            if await connection.fetchval(_ENDED, taken.webhook_id):
                log.warning("a webhook has ended: its receiver answered with 410", **about)
            await connection.execute(_GIVE_UP, taken.webhook_id, "the webhook has ended")
        elif not is_test:
            await connection.execute(_TROUBLE, taken.webhook_id)
            if await connection.fetchval(_DISABLED, taken.webhook_id, interval(DISABLED_AFTER_S)):
                metrics.webhooks_disabled.inc()
                alerts.alert(
                    "a webhook has failed for three days and is disabled: synckairos webhooks test makes it "
                    "active again once its receiver answers",
                    **about,
                    reason=outcome.problem,
                )
                await connection.execute(_GIVE_UP, taken.webhook_id, "the webhook is disabled")
