"""The way of events into PostgreSQL: outbox, queue, workers, tables."""

from __future__ import annotations

import asyncio
from contextlib import closing
from time import monotonic
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError

from synckairos.config import Settings
from synckairos.core import rights
from synckairos.doctor.configured import masked
from synckairos.doctor.findings import Area, Finding
from synckairos.doctor.trouble import CONNECT_S, network_trouble, redis_trouble, release, why

if TYPE_CHECKING:
    from synckairos.audit.store import Store

OLDEST = (15, 0)
"""The oldest release of PostgreSQL that the service works with."""
BACKLOG = 10_000
"""With more events or batches than this waiting, the doctor warns."""


async def audit(settings: Settings) -> list[Finding]:
    """PostgreSQL, and all that events pass on their way there."""
    area = Area("Audit")
    if settings.database_url is None:
        area.warn(
            "DATABASE_URL",
            "not set: there is no audit store, no list of sessions, and what Redis loses is lost",
            "DATABASE_URL=postgresql://user:password@host:5432/database, then synckairos migrate and "
            "synckairos worker",
        )
        if settings.auth_mode == "jwt":
            area.warn(
                "AUTH_MODE",
                "jwt without DATABASE_URL: changes by admins have to be put on record, so they are 503; "
                "keys, links and revocations are in Redis alone, and go with it",
                "DATABASE_URL, as above, or tokens with other roles than admin",
            )
        return area.findings
    database, queue, outbox = Area("PostgreSQL"), Area("Audit queue"), Area("Outbox")
    found = await asyncio.gather(
        database.run(_postgresql(database, settings.database_url)),
        queue.run(_queue(queue, settings)),
        outbox.run(_outbox(outbox, settings)),
    )
    return [finding for findings in found for finding in findings]


async def _postgresql(area: Area, database_url: str) -> None:
    from synckairos.audit.revision import REVISION, missing
    from synckairos.audit.store import Store
    from synckairos.errors import StorageUnavailable

    where = masked(database_url).rpartition("@")[2].rpartition("://")[2].partition("?")[0]
    async with Store(database_url, max_size=1, timeout_s=CONNECT_S) as store:
        try:
            version = await store.ping()
            began = monotonic()
            await store.ping()
            took_ms = 1000 * (monotonic() - began)
        except StorageUnavailable as error:
            area.fail("reachable", *_postgresql_trouble(error.__cause__ or error, where))
            return
        area.ok("reachable", f"{where} answers in {took_ms:.1f} ms")
        if release(version) < OLDEST:
            area.fail("version", f"PostgreSQL {version} is too old", "install PostgreSQL 15 or newer")
            return
        area.ok("version", f"PostgreSQL {version}")
        tables = await store.tables()
        if tables is not None and tables.revision == REVISION:
            area.ok("tables", f"at revision {REVISION}, as this release needs them")
            _refused(area, await store.count_refused())
            await _webhooks(area, store)
            return
    if tables is None:
        area.fail("tables", "the database has none: no event can be stored", "synckairos migrate")
    elif int(tables.revision) < int(REVISION):
        area.fail(
            "tables",
            f"at revision {tables.revision}, and this release needs {REVISION}",
            "synckairos migrate",
        )
    else:
        works = missing(tables) is None
        (area.warn if works else area.fail)(
            "tables",
            f"at revision {tables.revision}, which a newer release has made: this one "
            f"{'works' if works else 'does not work'} with them",
            f"use that release here as well, or with it: synckairos migrate --to {REVISION}",
        )


def _refused(area: Area, count: int) -> None:
    if count:
        area.warn(
            "refused",
            f"{count:,} events could not be stored and are kept aside",
            "synckairos audit status shows them, and why",
        )
    else:
        area.ok("refused", "no event")


async def _webhooks(area: Area, store: Store) -> None:
    from synckairos.errors import StorageUnavailable
    from synckairos.webhooks import tables

    try:
        found = await tables.counts(store)
    except StorageUnavailable as error:
        area.fail("webhooks", *_postgresql_trouble(error.__cause__ or error, "the tables of webhooks"))
        return
    if not found.all:
        return
    said = [
        f"{count:,} {what}"
        for count, what in (
            (found.disabled, "disabled, because they failed for three days"),
            (found.failing, "fail for more than an hour"),
        )
        if count
    ]
    if said:
        area.warn(
            "webhooks",
            f"of {found.all:,} webhooks {' and '.join(said)}",
            "synckairos webhooks list, deliveries ID and test ID show which, and why",
        )
    elif not found.is_sent:
        area.warn(
            "webhooks",
            f"there are {found.all:,} webhooks, and no worker sends to them",
            "synckairos worker, with the DATABASE_URL of the service",
        )
    else:
        area.ok("webhooks", f"{found.all:,}, none in trouble")


def _postgresql_trouble(error: BaseException, where: str) -> tuple[str, str]:
    """Why PostgreSQL cannot be used, and what to do."""
    import asyncpg

    if isinstance(error, asyncpg.InvalidCatalogNameError):
        return f"{where}: {why(error)}", "make it (createdb <name>), or correct the name in DATABASE_URL"
    if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):
        return (
            f"{where} refuses the user or the password: {why(error)}",
            "put them into DATABASE_URL: postgresql://user:password@host:5432/database",
        )
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return (
            f"{where}: {why(error)}",
            (
                "give the user of DATABASE_URL rights on the database and its tables "
                "(deploy/postgresql/roles.sql, once more after each migrate)"
            ),
        )
    return network_trouble(
        error,
        where,
        "DATABASE_URL",
        "start PostgreSQL there, or set DATABASE_URL to where it is; without DATABASE_URL everything but the "
        "audit works",
    )


async def _queue(area: Area, settings: Settings) -> None:
    url = settings.rq_redis_url or settings.redis_url
    where = masked(url).rpartition("@")[2].rpartition("://")[2]
    setting = "REDIS_URL" if settings.rq_redis_url is None else "RQ_REDIS_URL"
    try:
        user, refused = await asyncio.to_thread(_ask_rights, settings)
        if refused:
            area.ok("reachable", "answers")
            area.fail(
                "rights",
                f"the user {user} may not do what the queue and its workers do: "
                f"{'; '.join(dict.fromkeys(refusal.command for refusal in refused))}",
                f"as an administrator: {rights.remedy(user, refused, keys=rights.QUEUE_KEYS)}",
            )
            return
        counts, workers = await asyncio.to_thread(_ask_queue, settings)
    except (RedisError, OSError) as error:
        text, remedy = redis_trouble(error, where, setting)
        area.fail("reachable", text, remedy)
        return
    area.ok("reachable", "answers")
    area.ok("rights", f"the user {user} may do what the queue and its workers do")
    waiting = counts.queued + counts.started + counts.scheduled
    if workers:
        area.ok("workers", f"{workers} at work")
    else:
        area.warn(
            "workers",
            "none: events wait in the queue until there is one",
            "run one or more of synckairos worker, as services of their own next to synckairos serve",
        )
    if waiting > BACKLOG:
        area.warn(
            "queue",
            f"{waiting:,} batches wait",
            "start more of synckairos worker, or find out why they are slow",
        )
    else:
        area.ok("queue", f"{waiting:,} batches wait")
    if counts.failed:
        area.warn(
            "failed",
            f"{counts.failed:,} batches were given up and are kept",
            "synckairos audit status shows why; when that is solved: synckairos audit retry",
        )
    else:
        area.ok("failed", "no batch")


def _ask_rights(settings: Settings) -> tuple[str, list[rights.Refusal]]:
    """The user of the queue's server, and what it may not do there. Raises RedisError, OSError."""
    from synckairos.audit.jobs import Jobs

    with closing(Jobs.of(settings)) as jobs:
        return rights.user_of(jobs.client), rights.refusals_of_queue(jobs.client)


def _ask_queue(settings: Settings) -> tuple[Any, int]:
    """Where the batches are, and how many workers are alive. Raises RedisError, OSError."""
    from synckairos.audit.jobs import Jobs
    from synckairos.audit.worker import alive

    with closing(Jobs.of(settings)) as jobs:
        return jobs.counts(), alive(jobs)


async def _outbox(area: Area, settings: Settings) -> None:
    from synckairos.audit.verify import under_way
    from synckairos.core.clients import REDIS_ERRORS
    from synckairos.core.connection import Connection
    from synckairos.errors import StorageUnavailable

    async with Connection.to(settings) as connection:
        try:
            waiting = await under_way(connection)
        except (StorageUnavailable, *REDIS_ERRORS):
            area.warn("waiting", "not known: Redis does not answer, see above")
            return
    if waiting > BACKLOG:
        area.warn(
            "waiting",
            f"{waiting:,} events have not left Redis",
            "make sure that synckairos serve runs, with the same DATABASE_URL: it puts them into the queue",
        )
    else:
        area.ok("waiting", f"{waiting:,} events")
