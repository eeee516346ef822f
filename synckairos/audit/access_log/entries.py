"""Entries of the access log, and how they are written to PostgreSQL and read from there.

The service only inserts. The database gives each row its place in the chain of its tenant and hashes it, in a
trigger that the service cannot pass by: see `synckairos.audit.migrations`.
"""

from __future__ import annotations

import base64
import getpass
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from time import time
from typing import Any, Literal, TypeAlias

import asyncpg

from synckairos.audit.reading import moment
from synckairos.audit.store import Store
from synckairos.errors import error_text

Outcome: TypeAlias = Literal["allowed", "refused"]
Cursor: TypeAlias = tuple[datetime, int]
"""Time and place of the last entry that was read."""

MOST_TEXT = 255
"""How many characters of a text are stored. Tokens and headers have texts of any length."""
MOST_ROLES = 16
NUL = "\0"

_INSERT = """
INSERT INTO sync_access_log (
    at, tenant_id, sub, roles, token_id, action, session_id, outcome, code, request_id, address, count)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
"""
_READ = """
SELECT
    place, at, tenant_id, sub, roles, token_id, action, session_id, outcome, code, request_id, address, count
FROM sync_access_log_read($1, $2, $3, $4)
"""


class Refused(Exception):
    """PostgreSQL, or its driver, takes a row for wrong. The text says why."""


@dataclass(slots=True, kw_only=True)
class Entry:
    """An entry before it is stored.

    tenant, sub, roles, token_id: of the caller; None and no roles when nobody could be made out
    action: one of `synckairos.auth.access.Action`, or what a command does
    session_id: a UUID in lower case
    code: of the error with which it was refused; None when it was allowed
    count: how many equal ones it stands for
    at: seconds since 1970, of the first of these
    """

    tenant: str | None = None
    sub: str | None = None
    roles: Collection[str] = ()
    token_id: str | None = None
    action: str
    session_id: str | None = None
    outcome: Outcome
    code: str | None = None
    request_id: str | None = None
    address: str | None = None
    count: int = 1
    at: float

    def row(self) -> tuple[Any, ...]:
        """The values of `_INSERT`, of which PostgreSQL takes every one."""
        return (
            datetime.fromtimestamp(self.at, UTC),
            _text(self.tenant),
            _text(self.sub),
            [_text(role) or "" for role in sorted(self.roles)[:MOST_ROLES]],
            _text(self.token_id),
            self.action,
            self.session_id,
            self.outcome,
            self.code,
            _text(self.request_id),
            _text(self.address),
            self.count,
        )


@dataclass(frozen=True, slots=True)
class Stored:
    """A row, as it is read. Its fields are those of `Entry`."""

    place: int
    at: datetime
    tenant_id: str | None
    sub: str | None
    roles: list[str]
    token_id: str | None
    action: str
    session_id: str | None
    outcome: Outcome
    code: str | None
    request_id: str | None
    address: str | None
    count: int


def _text(text: str | None) -> str | None:
    """A text that PostgreSQL accepts: without NUL and without half surrogate pairs; None when it is empty."""
    if not text:
        return None
    return text[:MOST_TEXT].encode(errors="replace").decode().replace(NUL, "?")


def by_command(action: str, *, tenant: str | None, token_id: str | None = None) -> Entry:
    """The entry for what somebody does with a command of `synckairos`. Its `sub` is `cli:<user>`."""
    return Entry(
        tenant=tenant,
        sub=f"cli:{_user()}",
        token_id=token_id,
        action=action,
        outcome="allowed",
        at=time(),
    )


def _user() -> str:
    """The user of the machine; in a container that may be a number that has no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


async def record_command(
    store: Store | None, action: str, *, tenant: str | None, token_id: str | None = None
) -> None:
    """Store what a command does. Raises StorageUnavailable.

    store: None without PostgreSQL, and so without an access log
    action: what is done, as a verb and its object: "create key"
    token_id: of the key that it is done to: a command has no token itself
    """
    if store is not None:
        await insert(store, [by_command(action, tenant=tenant, token_id=token_id)])


async def insert(store: Store, entries: Sequence[Entry]) -> None:
    """Store entries, all or none. Raises StorageUnavailable, Refused.

    Who writes a batch locks the chains of its tenants, one after the other, up to its end. All of them do it
    in the same order, so that nobody waits for somebody who waits for them.
    """
    rows = [entry.row() for entry in sorted(entries, key=lambda entry: (entry.tenant or "", entry.at))]
    try:
        async with store.connection() as connection:
            await connection.executemany(_INSERT, rows)
    except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, ValueError, OverflowError) as error:
        raise Refused(error_text(error)) from error


async def read(
    store: Store, tenant: str | None, *, before: Cursor | None = None, limit: int = 100
) -> list[Stored]:
    """Entries of a tenant's log, the newest first. Raises StorageUnavailable.

    tenant: None for what is in no tenant's log
    """
    at, place = before or (None, None)
    async with store.connection() as connection:
        return [_stored(row) for row in await connection.fetch(_READ, tenant, at, place, limit)]


def cursor(entry: Stored) -> str:
    """The cursor with which reading goes on after this entry."""
    text = f"{entry.at.isoformat()} {entry.place}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_cursor(text: str) -> Cursor:
    """What a cursor was made of. Raises ValueError."""
    decoded = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode("ascii")
    at, _, place = decoded.partition(" ")
    if not 0 < int(place) < 2**63:
        raise ValueError("no cursor")
    return moment(at), int(place)


def _stored(row: asyncpg.Record) -> Stored:
    values = dict(row)
    if values["session_id"] is not None:
        values["session_id"] = str(values["session_id"])
    return Stored(**values)
