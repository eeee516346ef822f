"""The command `synckairos restore`: restores all sessions that were live, before they are asked for.

It is safe to run it twice, because a session that Redis has is not touched. So it may be stopped at any time,
and then continued or run again from the start.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import click
from redis.exceptions import RedisError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from synckairos.audit.jobs import Jobs
from synckairos.audit.others import Others
from synckairos.audit.recovery import Recovery
from synckairos.audit.settings import audit_settings_or_exit
from synckairos.audit.store import Store, StoredSession
from synckairos.config import Settings
from synckairos.core.connection import connect
from synckairos.core.library import LibraryChanged
from synckairos.errors import InternalError, StorageUnavailable, error_text
from synckairos.output import echo
from synckairos.recover import recover
from synckairos.settings_option import config_option

T = TypeVar("T")

PAGE = 100
"""How many sessions are read from the store at once."""
AT_ONCE = 20
"""How many sessions are restored at once."""
PATIENCE_S = 60.0
"""How long Redis or PostgreSQL may be away before the command gives up."""
MAX_LISTED = 10
"""How many of the sessions that could not be restored are named."""


class _Retry:
    """Repeats calls while Redis or PostgreSQL is away, for at most PATIENCE_S.

    waiting: called with True when one of them is away, and with False when it is back
    """

    def __init__(self, waiting: Callable[[bool], None]) -> None:
        self._waiting = waiting

    async def call(self, what: Callable[[], Awaitable[T]]) -> T:
        """The result of `what()`. Raises StorageUnavailable."""
        waited = False

        def wait(_error: Exception) -> None:
            nonlocal waited
            waited = True
            self._waiting(True)

        repeat = recover(timeout=PATIENCE_S, again=_is_away, before_pause=wait)
        found = await repeat(what)
        if waited:
            self._waiting(False)
        return found


def _is_away(error: Exception) -> bool:
    return isinstance(error, StorageUnavailable)


@dataclass(slots=True)
class Outcome:
    """The result of a restore so far.

    there: how many sessions Redis had already
    older: how many were left out by `--changed-after`
    failed: the ids of sessions that could not be restored
    last: all sessions up to this id are done
    """

    restored: int = 0
    there: int = 0
    older: int = 0
    failed: list[str] = field(default_factory=list)
    last: str | None = None


async def restore_all(
    store: Store,
    recovery: Recovery,
    outcome: Outcome,
    *,
    rate: float,
    changed_after: datetime | None = None,
    advance: Callable[[int], None] = lambda _: None,
    waiting: Callable[[bool], None] = lambda _: None,
) -> None:
    """Restore every session that was live, in the order of their ids, after `outcome.last`.

    outcome: kept up to date, so that a caller that stops this knows how far it came
    rate: how many sessions a second, at most
    advance: called with the number of sessions that were just done
    waiting: called with True when Redis or PostgreSQL is away, and with False when it is back

    Raises StorageUnavailable when one of them is away for longer than PATIENCE_S.
    """
    started, begun = time.monotonic(), 0
    at_once = max(1, min(AT_ONCE, int(rate)))
    retry = _Retry(waiting)
    while page := await retry.call(lambda: store.live_sessions(outcome.last, PAGE)):
        for start in range(0, len(page), at_once):
            some = page[start : start + at_once]
            await asyncio.gather(
                *(
                    _restore_one(retry, recovery, session, outcome)
                    for session in some
                    if _is_wanted(session, changed_after, outcome)
                )
            )
            outcome.last = some[-1].session_id
            advance(len(some))
            begun += len(some)
            await asyncio.sleep(started + begun / rate - time.monotonic())


def _is_wanted(session: StoredSession, changed_after: datetime | None, outcome: Outcome) -> bool:
    if changed_after is not None and session.updated_at < changed_after:
        outcome.older += 1
        return False
    return True


async def _restore_one(retry: _Retry, recovery: Recovery, session: StoredSession, outcome: Outcome) -> None:
    try:
        if await retry.call(lambda: recovery.bring_back(session)):
            outcome.restored += 1
        else:
            outcome.there += 1
    except InternalError:  # recovery has logged it
        outcome.failed.append(session.session_id)


@click.command()
@click.option(
    "--rate",
    type=click.FloatRange(1, 100_000),
    default=500,
    show_default=True,
    help="How many sessions a second, at most.",
)
@click.option("--after", type=click.UUID, help="Continue after this session, where an earlier run stopped.")
@click.option(
    "--changed-after",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S"]),
    help="Only restore sessions that changed after this moment (UTC).",
)
@click.option(
    "--despite-queue",
    is_flag=True,
    help="Restore although batches are in the audit's queue. Changes that are only in those are lost.",
)
@config_option
def restore(
    rate: float,
    after: uuid.UUID | None,
    changed_after: datetime | None,
    file: Path | None,
    *,
    despite_queue: bool,
) -> None:
    """Restore every session that was live from PostgreSQL to Redis.

    A session is restored by itself when it is first asked for. This command restores all of them, with their
    clocks, before that. Sessions that Redis has are not touched, so it is safe to run it at any time, and
    again. The time of the outage is charged to no clock.
    """
    settings = audit_settings_or_exit(file)
    if not despite_queue:
        _check_queue(settings)
    outcome = Outcome(last=None if after is None else str(after))
    if changed_after is not None:
        changed_after = changed_after.replace(tzinfo=UTC)
    try:
        asyncio.run(_run(settings, outcome, rate, changed_after))
    except (StorageUnavailable, LibraryChanged) as error:
        _report(outcome)
        raise click.ClickException(f"{error}; {_go_on(outcome)}") from None
    except KeyboardInterrupt:
        _report(outcome)
        raise click.ClickException(f"stopped; {_go_on(outcome)}") from None
    _report(outcome)
    if outcome.failed:
        shown = ", ".join(outcome.failed[:MAX_LISTED]) + (", …" if len(outcome.failed) > MAX_LISTED else "")
        raise click.ClickException(f"{len(outcome.failed)} could not be restored: {shown}")


def _check_queue(settings: Settings) -> None:
    """End the program when batches wait in the queue, as they may be newer than what PostgreSQL has."""
    jobs = Jobs.of(settings)
    try:
        counts = jobs.counts()
    except (RedisError, OSError) as error:
        raise click.ClickException(
            f"the Redis of the audit's queue does not answer: {error_text(error)}"
        ) from None
    finally:
        jobs.close()
    waiting = counts.queued + counts.started + counts.scheduled + counts.failed
    if waiting:
        raise click.ClickException(
            f"{waiting} batches are not in PostgreSQL yet, and may have newer versions of the sessions: let"
            " the workers store them first (synckairos audit status), or use --despite-queue"
        )


async def _run(settings: Settings, outcome: Outcome, rate: float, changed_after: datetime | None) -> None:
    assert settings.database_url is not None
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
    async with Store(settings.database_url) as store, Others(settings) as others:
        total = await store.count_live()
        connection = await connect(settings)
        try:
            with progress:
                task = progress.add_task("restoring", total=total)
                await restore_all(
                    store,
                    Recovery(connection, store, settings.redis_address, others),
                    outcome,
                    rate=rate,
                    changed_after=changed_after,
                    advance=lambda count: progress.advance(task, count),
                    waiting=lambda away: progress.update(
                        task, description="waiting for Redis or PostgreSQL" if away else "restoring"
                    ),
                )
        finally:
            await connection.aclose()


def _report(outcome: Outcome) -> None:
    parts = [f"{outcome.restored} sessions restored", f"{outcome.there} were there"]  # already in Redis
    if outcome.older:
        parts.append(f"{outcome.older} were too old")
    echo(", ".join(parts))


def _go_on(outcome: Outcome) -> str:
    return "nothing was done" if outcome.last is None else f"continue with --after {outcome.last}"
