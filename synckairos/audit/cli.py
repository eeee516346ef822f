"""The commands of the audit: `migrate`, `audit` and `erase`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

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

if TYPE_CHECKING:
    from synckairos.audit.access_log.chain import Checked
    from synckairos.audit.access_log.entries import Stored as Entry
    from synckairos.audit.access_log.erasure import Erased

T = TypeVar("T")

MAX_LISTED = 10
"""How many failed batches, and how many refused events, `status` shows."""
DRAIN_S = 30.0
"""How long `verify` waits for events that are on their way."""
LONGEST_S = 3600.0
"""How long one tenant's access log may take to verify, and a person to forget."""


def _store(settings: Settings, timeout_s: float = 60) -> Store:
    assert settings.database_url is not None
    return Store(settings.database_url, max_size=2, timeout_s=timeout_s)


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
    """Show how many events wait, how many workers run, and which batches failed or events were refused."""
    settings = audit_settings_or_exit(file)
    found = asyncio.run(_status(settings))
    echo(f"outbox: {'Redis does not answer' if found.waiting is None else f'{found.waiting} events'}")
    if found.queue is None:
        echo("queue: its Redis does not answer")
    else:
        _print_queue(found.queue)
    if isinstance(found.store, str):
        echo(f"store: PostgreSQL does not answer, or has no tables: {found.store}")
        return
    echo(f"store: PostgreSQL {found.store.version}, revision {found.store.revision}")
    echo(f"refused: {found.store.refused_count} events")
    for row in found.store.refused:
        echo(f"  {row.source} at {row.refused_at:%Y-%m-%d %H:%M:%S}: {row.reason}")


def _print_queue(queue: _QueueStatus) -> None:
    counts = queue.counts
    echo(f"queue: {counts.queued + counts.started} batches, {counts.scheduled} waiting for another attempt")
    _print_batches(queue.tried_again)
    echo(f"workers: {queue.workers or 'none'}")
    echo(
        f"failed: {counts.failed} batches"
        + (", kept until `synckairos audit retry`" if counts.failed else "")
    )
    _print_batches(queue.failed)


def _print_batches(batches: list[Failed]) -> None:
    for batch in batches:
        since = f" since {batch.since:%Y-%m-%d %H:%M:%S}" if batch.since else ""
        echo(f"  {batch.job_id}: {batch.what}{since}: {batch.reason}")


@dataclass(frozen=True, slots=True)
class _QueueStatus:
    counts: Counts
    workers: int
    tried_again: list[Failed]
    failed: list[Failed]


@dataclass(frozen=True, slots=True)
class _StoreStatus:
    version: str
    revision: str | None
    refused_count: int
    refused: list[Refused]


@dataclass(frozen=True, slots=True)
class _Status:
    """What `status` shows. None: its server does not answer. `store`: why PostgreSQL does not, then."""

    waiting: int | None
    queue: _QueueStatus | None
    store: _StoreStatus | str


async def _status(settings: Settings) -> _Status:
    from synckairos.audit.verify import under_way
    from synckairos.audit.worker import alive

    waiting: int | None = None
    queue: _QueueStatus | None = None
    async with Connection.to(settings) as connection:
        with contextlib.suppress(StorageUnavailable, RedisError, OSError):
            waiting = await under_way(connection)
    with contextlib.closing(Jobs.of(settings)) as jobs, contextlib.suppress(RedisError, OSError):
        queue = _QueueStatus(
            jobs.counts(), alive(jobs), jobs.tried_again(MAX_LISTED), jobs.failed(MAX_LISTED)
        )
    async with _store(settings) as store:
        try:
            found = _StoreStatus(
                await store.ping(),
                None if (tables := await store.tables()) is None else tables.revision,
                await store.count_refused(),
                await store.refused(MAX_LISTED),
            )
        except StorageUnavailable as error:
            return _Status(waiting, queue, error_text(error.__cause__ or error))
    return _Status(waiting, queue, found)


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
@click.argument("job_id", metavar="ID")
@config_option
def discard(file: Path | None, job_id: str) -> None:
    """Forget a batch that failed at all its attempts, and print it.

    Its events are stored nowhere else: keep what is printed. ID: as `synckairos audit status` has it.
    """
    with contextlib.closing(Jobs.of(audit_settings_or_exit(file))) as jobs:
        try:
            text = jobs.discard(job_id)
        except (RedisError, OSError) as error:
            raise click.ClickException(f"the queue's Redis does not answer: {error_text(error)}") from None
    if text is None:
        raise click.ClickException(f"no batch with the ID {job_id} has failed at all its attempts")
    echo(text)


@audit.command()
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="How many.")
@click.option("--tenant", help="Show the access log of this tenant instead.")
@config_option
def refusals(file: Path | None, limit: int, tenant: str | None) -> None:
    """Show the newest refused requests without a good token, which are in no tenant's access log.

    With --tenant, show that tenant's log: who was refused and what admins did, from which addresses and with
    which tokens. GET /v1/access-log says the same to the tenant's admins.
    """
    settings = audit_settings_or_exit(file)
    for entry in _or_exit(lambda: _refusals(settings, tenant, limit)):
        times = f" {entry.count} times" if entry.count > 1 else ""
        session = f" session {entry.session_id}" if entry.session_id else ""
        who = (
            "" if tenant is None else f" {entry.sub or '-'} with {entry.token_id or 'a token without an id'}"
        )
        echo(
            f"{entry.at:%Y-%m-%d %H:%M:%S} {entry.address or '-'}{who} {entry.code or entry.outcome}{times}: "
            f"{entry.action}{session}, request {entry.request_id or '-'}"
        )


async def _refusals(settings: Settings, tenant: str | None, limit: int) -> list[Entry]:
    from synckairos.audit.access_log import entries

    async with _store(settings) as store:
        return await entries.read(store, tenant, limit=limit)


@audit.command()
@click.option(
    "--kept",
    type=click.File(),
    help="What this command printed earlier: the access log has to have these hashes still.",
)
@click.option("--database-only", is_flag=True, help="Do not compare with what Redis still has.")
@config_option
def verify(file: Path | None, kept: TextIO | None, *, database_only: bool) -> None:
    """Check the events of every session, and the chain of hashes of every tenant's access log.

    PostgreSQL has to have every version of every session once, and to agree with Redis. Events that are on
    their way have half a minute to arrive. The newest hash of each chain is printed, to be kept elsewhere.
    The exit code is 0 when nothing was found.
    """
    settings = audit_settings_or_exit(file)
    chains = _or_exit(lambda: _verify_chains(settings, {} if kept is None else _hashes(kept)))
    for chain in chains:
        for problem in chain.findings:
            click.echo(f"access log of {_whose(chain.tenant)}: row {problem.place} {problem.what}")
    for chain in chains:
        if chain.newest is not None:
            place, digest = chain.newest
            click.echo(f"access log of {_whose(chain.tenant)}: newest row {place}, hash {digest.hex()}")
    sessions, events, compared, findings = _or_exit(lambda: _verify(settings, database_only))
    for finding in findings:
        more = f" and {finding.count - 1} more" if finding.count > 1 else ""
        echo(f"{finding.session_id}: epoch {finding.epoch}, version {finding.version}{more}: {finding.what}")
    compared_text = "" if database_only else f", {compared} of them compared with Redis"
    echo(f"{sessions} sessions, {events} events{compared_text}: {len(findings) or 'no'} findings")
    sys.exit(1 if findings or any(chain.findings for chain in chains) else 0)


_NEWEST = re.compile(r"access log of (\".*\"|nobody): newest row (\d+), hash ([0-9a-f]{64})")


def _whose(tenant: str | None) -> str:
    return "nobody" if tenant is None else json.dumps(tenant)


def _hashes(kept: TextIO) -> dict[str | None, tuple[int, bytes]]:
    """The newest rows and hashes that `verify` printed, by tenant."""
    found = {}
    for line in kept:
        if (match := _NEWEST.fullmatch(line.strip())) is not None:
            tenant = None if match[1] == "nobody" else json.loads(match[1])
            found[tenant] = int(match[2]), bytes.fromhex(match[3])
    if not found:
        raise click.ClickException(f"{kept.name} has no line that `synckairos audit verify` prints")
    return found


async def _verify_chains(settings: Settings, kept: dict[str | None, tuple[int, bytes]]) -> list[Checked]:
    from synckairos.audit.access_log import chain

    async with _store(settings, timeout_s=LONGEST_S) as store:
        return [checked async for checked in chain.verify(store, kept)]


@click.command()
@click.option("--subject", required=True, help="The `sub` of the person's tokens, or link:ID.")
@click.option("--tenant", help="Only in this tenant's log and sessions.  [default: all tenants]")
@config_option
def erase(file: Path | None, subject: str, tenant: str | None) -> None:
    """Make the access log and the stored events forget a person.

    What was done stays, and the access log can still be verified. It needs the owner of the tables.
    """
    settings = audit_settings_or_exit(file)
    erased = _or_exit(lambda: _erase(settings, subject, tenant))
    echo(
        f"forgotten in {erased.entries} rows of the access log, {erased.events} events, "
        f"{erased.snapshots} snapshots, {erased.refused} refused events, {erased.made} links, keys and "
        "revocations"
    )


async def _erase(settings: Settings, subject: str, tenant: str | None) -> Erased:
    from synckairos.audit.access_log import erasure

    async with _store(settings, timeout_s=LONGEST_S) as store:
        return await erasure.erase(store, subject, tenant)


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
