"""The chains of the access log: how a row is hashed, and what verifying a chain finds.

A row's hash covers the hash of the row before it, so nobody changes, removes or puts in a row without
changing the hashes of all rows after it. Who may write to the tables could do even that, or remove the newest
rows; the newest hash of a chain, kept somewhere else, shows it.

The database hashes the rows when they are inserted. Here the same is done once more, so that verifying does
not depend on a function which whoever tampers with rows could also change.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from synckairos.audit.store import PgConnection, Store

ERASE = "erase"
"""The action of a row that says how many rows of its chain forgot a person. They name it in `erased_by`."""
EXPIRE = "expire"
"""The action of a row that says how many rows its chain has lost at its beginning, because they were old."""

PERSON = ("sub", "token_id", "request_id", "address")
"""The columns by which a person can be known, in the order in which they are hashed."""

_AT_ONCE = 1000
_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
_CHAINS = """
SELECT chain FROM sync_access_chains UNION SELECT DISTINCT chain FROM sync_access_log ORDER BY chain
"""
_NEWEST = "SELECT place, hash FROM sync_access_chains WHERE chain = $1"
# Of a chain that is not shortened, the newest row of the kind says nothing, and the chain begins with 1.
_SHORTENED = """
SELECT count FROM sync_access_log WHERE chain = $1 AND action = $2 ORDER BY place DESC LIMIT 1
"""
_ROWS = "SELECT * FROM sync_access_log WHERE chain = $1 ORDER BY place"


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem of a chain, and the place of the row that has it."""

    tenant: str | None
    place: int
    what: str


@dataclass(slots=True)
class Checked:
    """A chain that was looked at.

    tenant: whose log it is; None for what is in no tenant's
    newest: place and hash of its newest row, to be kept elsewhere; None for a chain that has none
    """

    tenant: str | None
    rows: int = 0
    newest: tuple[int, bytes] | None = None
    findings: list[Finding] = field(default_factory=list)


def person(salt: bytes, row: Mapping[str, Any]) -> bytes:
    """The digest of what a person can be known by."""
    return sha256(salt + _texts(row[name] for name in PERSON)).digest()


def row_hash(row: Mapping[str, Any]) -> bytes:
    """The hash of a row, over the hash of the row before it, the digest of the person and all that stays."""
    milliseconds = (row["at"] - _EPOCH) // timedelta(milliseconds=1)
    session_id = row["session_id"]
    return sha256(
        row["previous"]
        + row["person"]
        + _texts(
            (
                row["chain"],
                str(row["place"]),
                str(milliseconds),
                _json(row["roles"]),
                row["action"],
                None if session_id is None else str(session_id),
                row["outcome"],
                row["code"],
                str(row["count"]),
            )
        )
    ).digest()


def _texts(texts: Iterable[str | None]) -> bytes:
    return _json(list(texts)).encode()


def _json(texts: Sequence[str | None]) -> str:
    """A list as PostgreSQL's `array_to_json` writes it. So no two lists have the same bytes."""
    return json.dumps(texts, ensure_ascii=False, separators=(",", ":"))


async def verify(store: Store, kept: Mapping[str | None, tuple[int, bytes]]) -> AsyncIterator[Checked]:
    """Look at every chain, one after the other. Raises StorageUnavailable.

    kept: newest places and hashes of an earlier look, by tenant. A chain has to have them still, unless they
        are too old to be kept.
    """
    async with store.connection() as connection:
        chains = [str(row[0]) for row in await connection.fetch(_CHAINS)]
    for chain in sorted({*chains, *(tenant or "" for tenant in kept)}):
        async with (
            store.connection() as connection,
            # All that it reads is of one moment, although others write and remove meanwhile.
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            checked = await _verify(connection, chain, kept.get(chain or None))
        yield checked


async def _verify(connection: PgConnection, chain: str, kept: tuple[int, bytes] | None) -> Checked:
    shortened: int | None = await connection.fetchval(_SHORTENED, chain, EXPIRE)
    walk = _Walk(Checked(chain or None), shortened or 0, kept)
    async for row in connection.cursor(_ROWS, chain, prefetch=_AT_ONCE):
        walk.step(dict(row))
        if len(walk.checked.findings) > _AT_ONCE:
            break  # what follows is no better
    newest = await connection.fetchrow(_NEWEST, chain)
    walk.end(None if newest is None else dict(newest))
    return walk.checked


class _Walk:
    """Goes along a chain, row by row.

    shortened: how many rows the chain has lost at its beginning because they were old
    """

    def __init__(self, checked: Checked, shortened: int, kept: tuple[int, bytes] | None) -> None:
        self.checked = checked
        self._shortened = shortened
        self._kept = kept
        self._place = shortened
        self._hash: bytes | None = None if shortened else b""
        self._erased: Counter[int] = Counter()
        """How many rows forgot a person, by the place of the row that says so."""
        self._erasures: dict[int, int] = {}
        """How many of them it says there are."""

    def step(self, row: Mapping[str, Any]) -> None:
        """Look at the next row."""
        place = row["place"]
        if place <= self._place:
            self._find(place, f"is here, although the chain says that it begins after {self._place}")
        elif place > self._place + 1:
            more = f" and the rows up to {place - 1}" if place > self._place + 2 else ""
            self._find(self._place + 1, f"was removed{more}")
        elif self._hash is not None and row["previous"] != self._hash:
            self._find(place, "does not follow the row before it: one of the two was changed or put in")
        if not _is_sound(row):
            self._find(place, "was changed")
        if self._kept is not None and place == self._kept[0] and row["hash"] != self._kept[1]:
            self._find(place, "has another hash than the one that was kept")
        if row["erased_by"] is not None:
            self._erased[row["erased_by"]] += 1
        if row["action"] == ERASE:
            self._erasures[place] = row["count"]
        self.checked.rows += 1
        self.checked.newest = self._place, self._hash = place, row["hash"]

    def end(self, newest: Mapping[str, Any] | None) -> None:
        """Look at what only the whole chain tells.

        newest: place and hash of the newest row, as the chain's own row says; None when there is no such row
        """
        for eraser, count in self._erased.items():
            said = self._erasures.get(eraser, 0)
            if count > said or (count < said and not self._shortened):
                self._find(eraser, f"says that {said} rows forgot a person, and {count} have")
        if newest is None:
            self._find(self._place, "ends a chain that is not in sync_access_chains")
        elif newest["place"] > self._place:
            self._find(self._place + 1, f"and all rows up to {newest['place']} were removed")
        elif (newest["place"], newest["hash"]) != (self._place, self._hash):
            self._find(self._place, "is not the row with which the chain ended")
        if self._kept is not None and self._kept[0] > self._place:
            self._find(self._kept[0], "was removed, and its hash was kept")

    def _find(self, place: int, what: str) -> None:
        self.checked.findings.append(Finding(self.checked.tenant, place, what))


def _is_sound(row: Mapping[str, Any]) -> bool:
    """Whether a row by itself is as it was hashed, or has forgotten a person since."""
    if row["erased_by"] is None:
        if row["salt"] is None or person(row["salt"], row) != row["person"]:
            return False
    elif row["salt"] is not None or any(row[name] is not None for name in PERSON):
        return False
    return bool(row_hash(row) == row["hash"])
