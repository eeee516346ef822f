"""The caller of a request: the one place that determines subject, tenant, roles and address."""

from __future__ import annotations

from dataclasses import dataclass

from sanic.compat import Header

from synckairos.config import Settings

ROLES = frozenset({"viewer", "player", "service", "moderator", "admin"})


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a request.

    subject: the caller's name, for events and rate limits; None when it is not known
    tenant: the tenant whose sessions the caller can use; None without tenants
    roles: they decide what the caller may do
    """

    subject: str | None
    tenant: str | None
    roles: frozenset[str]


ANONYMOUS = Caller(subject=None, tenant=None, roles=frozenset({"admin"}))
"""The caller without authentication. It may do everything, and its rate limits go by its address."""


def identify(headers: Header, settings: Settings) -> Caller:  # noqa: ARG001 - a token will need both
    """The caller who sent these headers. `AUTH_MODE=none`, the only mode so far, allows everything."""
    return ANONYMOUS


def client_address(headers: Header, peer: str, settings: Settings) -> str:
    """The client's address: the peer of the connection or, with TRUST_PROXY, the address that the proxy saw.

    The proxy appends that address to `X-Forwarded-For`, so it is the last entry. The entries before it come
    from the client, which can claim anything.
    """
    if settings.trust_proxy:
        forwarded = ",".join(headers.getall("x-forwarded-for", [])).rpartition(",")[2].strip()
        if forwarded:
            return forwarded
    return peer or "local"
