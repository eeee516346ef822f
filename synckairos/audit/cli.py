"""The commands of the audit: `worker`, `migrate` and `audit`."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import click
from redis.exceptions import RedisError

from synckairos.audit.jobs import Counts, Failed, Jobs
from synckairos.audit.settings import audit_settings_or_exit
from synckairos.audit.store import Refused, Store
from synckairos.audit.verify import Finding
from synckairos.config import Settings
from synckairos.core.connection import Connection
from synckairos.errors import StorageUnavailable, error_text
from synckairos.output import echo
from synckairos.settings_option import config_option

T = TypeVar("T")

MAX_LISTED = 10
"""How many failed batches, and how many refused events, `status` shows."""
DRAIN_S = 30.0
"""How long `verify` waits for events that are on their way."""


def _store(settings: Settings) -> Store:
    assert settings.database_url is not None
    return Store(settings.database_url, max_size=2, timeout_s=60)


@click.command()
@config_option
def worker(file: Path | None) -> None:
    """Store the batches of the audit's queue in PostgreSQL until stopped. Run as many as are needed."""
    from synckairos import metrics
    from synckairos.audit import alerts
    from synckairos.audit import worker as audit_worker

    settings = audit_settings_or_exit(file)
    alerts.configure(settings)
    with contextlib.ExitStack() as stack:
        if settings.enable_metrics and settings.metrics_port is not None:
            stack.callback(metrics.serve(settings.host, settings.metrics_port))
        try:
            audit_worker.work(settings)
        except audit_worker.SchemaMissing as error:
            raise click.ClickException(str(error)) from None


@click.command()
@click.option("--to", "revision", help="Revision to bring the tables to; base: none.  [default: the newest]")
@click.option("--yes", is_flag=True, help="Do not ask before going back, which throws data away.")
@config_option
def migrate(revision: str | None, file: Path | None, *, yes: bool) -> None:
    """Bring the tables in PostgreSQL to the revision that this release needs, or to another one."""
    from synckairos.audit import schema

    settings = audit_settings_or_exit(file)
    assert settings.database_url is not None
    known = [schema.NOTHING, *schema.revisions()]
    if revision is not None and revision in known[:-1] and not yes:
        click.confirm(f"Go back to {revision}, and throw away what only later tables hold?", abort=True)
    try:
        before, after = asyncio.run(schema.migrate(settings.database_url, revision))
    except (schema.UnknownRevision, schema.MigrationFailed) as error:
        raise click.ClickException(str(error)) from None
    echo(f"at revision {after}" if before == after else f"from revision {before} to {after}")


@click.group()
def audit() -> None:
    """Show events on their way to PostgreSQL, retry failed batches, and verify that everything arrived."""


@audit.command()
@config_option
def status(file: Path | None) -> None:
    """Show how many events wait, which batches failed, and which events PostgreSQL refused."""
    settings = audit_settings_or_exit(file)
    waiting, counts, failed, found = asyncio.run(_status(settings))
    echo(f"outbox: {'Redis does not answer' if waiting is None else f'{waiting} events'}")
    if counts is None:
        echo("queue: its Redis does not answer")
    else:
        echo(
            f"queue: {counts.queued + counts.started} batches, {counts.scheduled} waiting for another attempt"
        )
        echo(f"failed: {counts.failed} batches" + (", kept until `synckairos audit retry`" if failed else ""))
        for batch in failed:
            since = f" since {batch.since:%Y-%m-%d %H:%M:%S}" if batch.since else ""
            echo(f"  {batch.job_id}: {batch.what}{since}: {batch.reason}")
    if found is None:
        echo("store: PostgreSQL does not answer, or has no tables")
        return
    version, revision, refused_count, refused = found
    echo(f"store: PostgreSQL {version}, revision {revision}")
    echo(f"refused: {refused_count} events")
    for row in refused:
        echo(f"  {row.source} at {row.refused_at:%Y-%m-%d %H:%M:%S}: {row.reason}")


async def _status(
    settings: Settings,
) -> tuple[int | None, Counts | None, list[Failed], tuple[str, str | None, int, list[Refused]] | None]:
    from synckairos.audit.verify import under_way

    waiting: int | None = None
    counts: Counts | None = None
    failed: list[Failed] = []
    found: tuple[str, str | None, int, list[Refused]] | None = None
    async with Connection.to(settings) as connection:
        with contextlib.suppress(StorageUnavailable, RedisError, OSError):
            waiting = await under_way(connection)
    with contextlib.closing(Jobs.of(settings)) as jobs, contextlib.suppress(RedisError, OSError):
        counts, failed = jobs.counts(), jobs.failed(MAX_LISTED)
    async with _store(settings) as store:
        with contextlib.suppress(StorageUnavailable):
            found = (
                await store.ping(),
                await store.schema(),
                await store.count_refused(),
                await store.refused(MAX_LISTED),
            )
    return waiting, counts, failed, found


@audit.command()
@config_option
def retry(file: Path | None) -> None:
    """Queue the batches that failed once more, with all their attempts."""
    with contextlib.closing(Jobs.of(audit_settings_or_exit(file))) as jobs:
        try:
            count = jobs.retry_failed()
        except (RedisError, OSError) as error:
            raise click.ClickException(f"the queue's Redis does not answer: {error_text(error)}") from None
    echo(f"{count} batches are queued again")


@audit.command()
@click.option("--database-only", is_flag=True, help="Do not compare with what Redis still has.")
@config_option
def verify(file: Path | None, *, database_only: bool) -> None:
    """Check that PostgreSQL has every version of every session once, and that it agrees with Redis.

    The exit code is 0 when nothing was found. Events that are on their way have half a minute to arrive.
    """
    settings = audit_settings_or_exit(file)
    sessions, events, compared, findings = _or_exit(lambda: _verify(settings, database_only))
    for finding in findings:
        more = f" and {finding.count - 1} more" if finding.count > 1 else ""
        echo(f"{finding.session_id}: epoch {finding.epoch}, version {finding.version}{more}: {finding.what}")
    compared_text = "" if database_only else f", {compared} of them compared with Redis"
    echo(f"{sessions} sessions, {events} events{compared_text}: {len(findings) or 'no'} findings")
    sys.exit(1 if findings else 0)


def _or_exit(ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
    try:
        return asyncio.run(ask())
    except StorageUnavailable as error:
        raise click.ClickException(f"the storage does not answer: {error.__cause__ or error}") from None
    except (RedisError, OSError) as error:
        raise click.ClickException(f"Redis does not answer: {error_text(error)}") from None


async def _verify(settings: Settings, database_only: bool) -> tuple[int, int, int, list[Finding]]:
    from synckairos.audit import verify

    findings: list[Finding] = []
    sessions = events = compared = 0
    async with _store(settings) as store, Connection.to(settings) as connection:
        async for checked in verify.verify(store, None if database_only else connection):
            sessions, events, compared = checked.sessions, checked.events, checked.compared
            findings += checked.findings
        if not database_only and findings:
            findings = await _settled(settings, store, connection, findings)
    return sessions, events, compared, findings


async def _settled(
    settings: Settings, store: Store, connection: Connection, findings: list[Finding]
) -> list[Finding]:
    """Wait until the events on their way have arrived or time is up, then check these sessions again."""
    from synckairos.audit import verify

    with contextlib.closing(Jobs.of(settings)) as jobs:
        await verify.arrived(connection, jobs, DRAIN_S)
    return await verify.check_again(store, connection, {finding.session_id for finding in findings})
