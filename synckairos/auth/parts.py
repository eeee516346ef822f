"""The parts that know tokens, as the settings make them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from synckairos.audit.store import Store
from synckairos.auth.api_keys import ApiKeys
from synckairos.auth.bearer import Bearers, Everybody
from synckairos.auth.cache import Cache
from synckairos.auth.claims import Expected
from synckairos.auth.jwks import Jwks
from synckairos.auth.links import Links
from synckairos.auth.revocations import Revocations
from synckairos.auth.signing import Secrets
from synckairos.auth.tables import Tables
from synckairos.auth.tokens import Tokens
from synckairos.breakers.registry import Breakers
from synckairos.config import Settings
from synckairos.core.calls import Sessions
from synckairos.core.connection import Connection


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of one process."""

    api_keys: ApiKeys
    links: Links
    revocations: Revocations


def parts(settings: Settings, connection: Connection, store: Store | None, sessions: Sessions) -> Parts:
    """Where keys, links and revocations are kept.

    store: None without PostgreSQL
    sessions: asks Redis alone
    """
    tables = None if store is None else Tables(store)
    cache = Cache(connection, alone=tables is None)
    revocations = Revocations(connection, tables)
    return Parts(
        ApiKeys(settings.api_keys_file, tables, cache, revocations),
        Links(connection, sessions, tables, cache, revocations, store=store),
        revocations,
    )


@asynccontextmanager
async def bearers(settings: Settings, parts: Parts, breakers: Breakers) -> AsyncIterator[Bearers]:
    """Who tells whose a bearer is, during the block."""
    if settings.auth_mode == "none":
        yield Everybody()
        return
    expected = Expected(settings.jwt_audience, settings.jwt_issuer, settings.jwt_leeway_s)
    signing = Secrets(settings) if settings.jwt_jwks_url is None else Jwks(settings.jwt_jwks_url, breakers)
    tokens = Tokens(expected, signing, parts.api_keys, parts.links, parts.revocations)
    await tokens.start()
    try:
        yield tokens
    finally:
        await tokens.aclose()
