"""The address of a client."""

from __future__ import annotations

from sanic.compat import Header

from synckairos.config import Settings


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
