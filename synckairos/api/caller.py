"""Who is calling: the one place that determines subject, tenant, roles and address of a request."""

from __future__ import annotations

from dataclasses import dataclass

from sanic.compat import Header

from synckairos.config import Settings

ROLES = frozenset({"viewer", "player", "service", "moderator", "admin"})


@dataclass(frozen=True, slots=True)
class Caller:
    """subject: who, for events and limits; tenant: whose sessions; roles: what may be done. None: unknown."""

    subject: str | None
    tenant: str | None
    roles: frozenset[str]


ANONYMOUS = Caller(subject=None, tenant=None, roles=frozenset({"admin"}))
"""The caller without authentication: has no name and no tenant, may do everything, is limited by address."""


def identify(headers: Header, settings: Settings) -> Caller:  # noqa: ARG001 - a token will need both
    """The caller who sent these headers. `AUTH_MODE=none`, the only mode so far, allows everything."""
    return ANONYMOUS


def client_address(headers: Header, peer: str, settings: Settings) -> str:
    """The client's address: the peer's, or with TRUST_PROXY what the proxy in front saw as its own peer.

    That is the last entry of `X-Forwarded-For`. Those before it are what the client claims.
    """
    if settings.trust_proxy:
        forwarded = ",".join(headers.getall("x-forwarded-for", [])).rpartition(",")[2].strip()
        if forwarded:
            return forwarded
    return peer or "local"
