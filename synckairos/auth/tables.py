"""Keys, links and revocations as rows in PostgreSQL. The tables are made by `synckairos migrate`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Any, Protocol

from synckairos.auth.grants import ApiKey, Link, Revocation

MOST_REVOCATIONS_AT_ONCE = 10_000

_KEY = (
    "key_id, digest, tenant_id AS tenant, roles, session_id::text AS session,"
    " participant_id::text AS participant, made_at, made_by, expires_at, revoked_at"
)
_LINK = (
    "link_id::text, digest, tenant_id AS tenant, session_id::text, session_made_ms, role,"
    " participant_id::text, made_at, made_by, expires_at, revoked_at"
)


_INSERT_KEY = """
INSERT INTO sync_keys (
    key_id, digest, tenant_id, roles, session_id, participant_id, made_at, made_by, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""
_SELECT_KEY = f"SELECT {_KEY} FROM sync_keys WHERE key_id = $1"
_SELECT_KEYS = f"SELECT {_KEY}, used_at FROM sync_keys ORDER BY made_at, key_id"
_REVOKE_KEY = (
    f"UPDATE sync_keys SET revoked_at = coalesce(revoked_at, now()) WHERE key_id = $1 RETURNING {_KEY}"
)
_NOTE_USE = """
UPDATE sync_keys AS k SET used_at = greatest(k.used_at, u.used_at)
FROM unnest($1::text[], $2::timestamptz[]) AS u (key_id, used_at) WHERE k.key_id = u.key_id
"""
_COUNT_LINKS = """
SELECT count(*) FROM sync_links
WHERE session_id = $1 AND session_made_ms >= $2 AND revoked_at IS NULL AND expires_at > $3
"""
_INSERT_LINK = """
INSERT INTO sync_links (
    link_id, digest, tenant_id, session_id, session_made_ms, role, participant_id,
    made_at, made_by, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
"""
_SELECT_LINK = f"SELECT {_LINK} FROM sync_links WHERE link_id = $1 AND session_id = $2"
_SELECT_LINKS = f"""
SELECT {_LINK} FROM sync_links WHERE session_id = $1 AND expires_at > $2 ORDER BY made_at, link_id
"""
_REVOKE_LINKS = """
UPDATE sync_links SET revoked_at = coalesce(revoked_at, now())
WHERE session_id = $1 AND link_id = ANY($2::uuid[])
"""
_INSERT_REVOCATION = """
INSERT INTO sync_revocations (tenant_id, jti, sub, issued_before, made_at, made_by)
VALUES ($1, $2, $3, $4, $5, $6)
"""
_SELECT_REVOCATIONS = """
SELECT id, tenant_id, jti, sub, issued_before, made_at, made_by FROM sync_revocations
WHERE stored_at >= $1 AND id > $2 ORDER BY id LIMIT $3
"""
_SELECT_REVOKED_GRANTS = """
SELECT tenant_id, 'key:' || key_id AS token_id, revoked_at FROM sync_keys WHERE revoked_at >= $1
UNION ALL SELECT tenant_id, 'link:' || link_id::text, revoked_at FROM sync_links WHERE revoked_at >= $1
"""


class Database(Protocol):
    """Where connections to PostgreSQL come from."""

    def connection(self) -> AbstractAsyncContextManager[Any]:
        """A connection of asyncpg. Raises StorageUnavailable when PostgreSQL is away, also in the block."""


class Tables:
    """The tables `sync_keys`, `sync_links` and `sync_revocations`. All calls raise StorageUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add_key(self, key: ApiKey) -> None:
        """Stores a new key."""
        async with self._database.connection() as connection:
            await connection.execute(
                _INSERT_KEY,
                key.key_id,
                key.digest,
                key.tenant,
                key.roles,
                key.session,
                key.participant,
                _moment(key.made_at),
                key.made_by,
                _moment(key.expires_at),
            )

    async def key(self, key_id: str) -> ApiKey | None:
        """A key; None when there is none."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_SELECT_KEY, key_id)
        return None if row is None else _key(row)

    async def keys(self) -> list[tuple[ApiKey, float | None]]:
        """All keys with the time of their last use, the oldest first."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SELECT_KEYS)
        return [(_key(row), _seconds(row["used_at"])) for row in rows]

    async def revoke_key(self, key_id: str) -> ApiKey | None:
        """Marks a key as revoked. Returns it; None when there is none."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(
                _REVOKE_KEY,
                key_id,
            )
        return None if row is None else _key(row)

    async def note_use(self, used: Mapping[str, float]) -> None:
        """Notes when keys were used last (seconds since 1970), by their ids."""
        async with self._database.connection() as connection:
            await connection.execute(
                _NOTE_USE,
                list(used),
                [_moment(moment) for moment in used.values()],
            )

    async def add_link(self, link: Link, most: int, now: float) -> bool:
        """Stores a new link, unless the session has as many as it may have. Returns whether it was stored."""
        async with self._database.connection() as connection, connection.transaction():
            # Two that are made at the same moment would not see each other.
            await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", link.session_id)
            there = await connection.fetchval(
                _COUNT_LINKS,
                link.session_id,
                link.session_made_ms,
                _moment(now),
            )
            if there >= most:
                return False
            await connection.execute(
                _INSERT_LINK,
                link.link_id,
                link.digest,
                link.tenant,
                link.session_id,
                link.session_made_ms,
                link.role,
                link.participant_id,
                _moment(link.made_at),
                link.made_by,
                _moment(link.expires_at),
            )
        return True

    async def link(self, session_id: str, link_id: str) -> Link | None:
        """A link; None when there is none."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_SELECT_LINK, link_id, session_id)
        return None if row is None else _link(row)

    async def links(self, session_id: str, now: float) -> list[Link]:
        """The links to a session whose time is not over, the oldest first."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(
                _SELECT_LINKS,
                session_id,
                _moment(now),
            )
        return [_link(row) for row in rows]

    async def revoke_links(self, session_id: str, link_ids: list[str]) -> None:
        """Marks links as revoked."""
        async with self._database.connection() as connection:
            await connection.execute(
                _REVOKE_LINKS,
                session_id,
                link_ids,
            )

    async def revoke(self, revocation: Revocation) -> None:
        """Stores the revocation of tokens."""
        async with self._database.connection() as connection:
            await connection.execute(
                _INSERT_REVOCATION,
                revocation.tenant,
                revocation.token_id,
                revocation.subject,
                revocation.issued_before,
                _moment(revocation.made_at),
                revocation.made_by,
            )

    async def revocations(self, since: float) -> list[Revocation]:
        """The revocations of tokens that were made since a time (seconds since 1970)."""
        found: list[Revocation] = []
        last = 0
        async with self._database.connection() as connection:
            while True:
                rows = await connection.fetch(
                    _SELECT_REVOCATIONS,
                    _moment(since),
                    last,
                    MOST_REVOCATIONS_AT_ONCE,
                )
                found += [
                    Revocation(
                        tenant=row["tenant_id"],
                        token_id=row["jti"],
                        subject=row["sub"],
                        issued_before=row["issued_before"],
                        made_at=row["made_at"].timestamp(),
                        made_by=row["made_by"],
                    )
                    for row in rows
                ]
                if len(rows) < MOST_REVOCATIONS_AT_ONCE:
                    return found
                last = rows[-1]["id"]

    async def revoked_grants(self, since: float) -> list[Revocation]:
        """The revocations of keys and links since a time (seconds since 1970)."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(
                _SELECT_REVOKED_GRANTS,
                _moment(since),
            )
        return [
            Revocation(
                tenant=row["tenant_id"], token_id=row["token_id"], made_at=row["revoked_at"].timestamp()
            )
            for row in rows
        ]


def _key(row: Mapping[str, Any]) -> ApiKey:
    return ApiKey(**_fields(row))


def _link(row: Mapping[str, Any]) -> Link:
    return Link(**_fields(row))


def _fields(row: Mapping[str, Any]) -> dict[str, Any]:
    fields = dict(row)
    fields.pop("used_at", None)
    fields["revoked"] = fields.pop("revoked_at") is not None
    for name in ("made_at", "expires_at"):
        fields[name] = _seconds(fields[name])
    return fields


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()
