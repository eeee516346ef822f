"""Which pages may use a service that asks nobody for a token.

With AUTH_MODE=none everybody who reaches the service may do everything. A developer's browser reaches it, and
so does every page that is open in this browser, whoever wrote it. A page cannot hide where it comes from: the
browser sends `Origin` with all that changes something and with every WebSocket. And a page whose host name
was pointed at this service afterwards (DNS rebinding) sends that name as `Host`.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from urllib.parse import urlsplit

from sanic.compat import Header

from synckairos.config import Settings
from synckairos.errors import Forbidden, ValidationError

ANY = "*"
_PORTS = {"http": 80, "https": 443}


def check_host(headers: Header, settings: Settings) -> None:
    """Raises ValidationError unless `Host` is an IP address, `localhost`, HOST or one of ALLOWED_HOSTS."""
    given = headers.get("host", "")
    if _is_host(given, settings.host, settings.allowed_hosts):
        return
    message = "must be an IP address, localhost, HOST or one of ALLOWED_HOSTS"
    raise ValidationError(
        f"Host {message}, not {given[:300]!r}", details=[{"field": "Host", "message": message}]
    )


def check_origin(headers: Header, settings: Settings) -> None:
    """Raises Forbidden when a page of another origin asks that ALLOWED_ORIGINS does not list."""
    if (page := foreign(headers, settings)) is not None:
        raise Forbidden(
            f"pages of other origins may not do this: {page} is not the service's own; "
            "ALLOWED_ORIGINS may list it, or null, or *"
        )


def foreign(headers: Header, settings: Settings) -> str | None:
    """The origin of a page that is neither the service's own nor listed; None without such a page."""
    listed = settings.allowed_origins
    if ANY in listed:
        return None
    origin = headers.get("origin")
    if origin is None:
        # Browsers leave the origin out of simple requests of some kinds, but say this much.
        return "a page of another site" if headers.get("sec-fetch-site") == "cross-site" else None
    if origin in listed:
        return None
    if headers.get("sec-fetch-site") != "cross-site" and _is_own(origin, headers.get("host", "")):
        return None
    return "the origin null" if origin == "null" else repr(origin[:300])


def _is_own(origin: str, host: str) -> bool:
    """Whether a page is of this service: the same host and port, whatever TLS a proxy takes off."""
    try:
        page = urlsplit(origin)
        asked = urlsplit(f"//{host}")
        default = _PORTS.get(page.scheme)
        return (
            default is not None
            and page.hostname is not None
            and (page.hostname, page.port or default) == (asked.hostname, asked.port or default)
        )
    except ValueError:  # a port that is none
        return False


@lru_cache(256)
def _is_host(given: str, own: str, allowed: tuple[str, ...]) -> bool:
    name = _host(given)
    listed = {"localhost", own.lower(), *(each.lower() for each in allowed)}
    return name.rstrip(".") in listed or _is_address(name)


def _host(given: str) -> str:
    """The host in `Host`, without its port and in lower case."""
    if given.startswith("["):
        address, _, behind = given[1:].partition("]")
        return address if not behind or behind.startswith(":") else given
    return given.partition(":")[0].lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
