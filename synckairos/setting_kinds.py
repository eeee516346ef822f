"""The kinds of values that settings have: what each may be, and what is made of it.

A kind takes text, as the environment has it, or any YAML value. It raises ValueError for what it does not
take, and `may_be` says in words what it takes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

T_co = TypeVar("T_co", covariant=True)


class Kind(Protocol[T_co]):
    """Converts a setting's value, which is text (environment) or any YAML value. Raises ValueError.

    may_be: the allowed values, in words
    """

    may_be: str

    def __call__(self, value: object) -> T_co: ...


class Whole:
    """A whole number from `low` to `high`."""

    def __init__(self, low: int, high: int, unit: str = "") -> None:
        self.low, self.high = low, high
        self.may_be = f"a whole number from {low} to {high}{unit and ' ' + unit}"

    def __call__(self, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise ValueError
        number = int(value)
        if not self.low <= number <= self.high:
            raise ValueError
        return number


class Share:
    """A share of all, from 0 to 1."""

    may_be = "a number from 0 (none) to 1 (all), such as 0.01"

    def __call__(self, value: object) -> float:
        number = _number(value)
        if not 0 <= number <= 1:  # which NaN is not either
            raise ValueError
        return number


class Choice:
    """One of some words, in upper or lower case."""

    def __init__(self, *names: str) -> None:
        self.names = names
        self.may_be = ", ".join(names[:-1]) + " or " + names[-1] if len(names) > 1 else names[0]

    def __call__(self, value: object) -> Any:
        name = value.strip().lower() if isinstance(value, str) else None
        if name not in self.names:
            raise ValueError
        return name


class Flag:
    """Yes or no."""

    may_be = "true or false"

    def __call__(self, value: object) -> bool:
        if isinstance(value, bool):
            return value
        words = {
            "true": True,
            "1": True,
            "yes": True,
            "on": True,
            "false": False,
            "0": False,
            "no": False,
            "off": False,
        }
        if not isinstance(value, str) or value.strip().lower() not in words:
            raise ValueError
        return words[value.strip().lower()]


class Text:
    """Text, which loses the blanks around it."""

    may_be = "text"

    def __call__(self, value: object) -> str:
        if not isinstance(value, str) or not value.strip():
            raise ValueError
        return value.strip()


class File:
    """The path of a file, which need not be there."""

    may_be = "the path of a file"

    def __call__(self, value: object) -> Path:
        return Path(Text()(value))


class RedisUrl:
    """Where a Redis is, and how to log in."""

    may_be = "a URL such as redis://user:password@host:6379/0, rediss:// for TLS, or unix:///path/to/socket"

    def __call__(self, value: object) -> str:
        if not isinstance(value, str):
            raise ValueError
        url = urlsplit(value)
        _ = url.port  # raises ValueError when the port is not a number
        if url.scheme not in ("redis", "rediss", "unix") or not (
            url.hostname or (url.scheme == "unix" and url.path)
        ):
            raise ValueError
        database = url.path.strip("/")
        if url.scheme != "unix" and database and not database.isdecimal():
            raise ValueError
        return value


class DatabaseUrl:
    """Where PostgreSQL is, and how to log in."""

    may_be = "a URL such as postgresql://user:password@host:5432/database"

    def __call__(self, value: object) -> str:
        if not isinstance(value, str):
            raise ValueError
        url = urlsplit(value)
        _ = url.port if "," not in url.netloc else None  # raises ValueError when the port is not a number
        if url.scheme not in ("postgresql", "postgres") or not (url.netloc or url.query):
            raise ValueError
        return value


class HttpUrl:
    """An HTTP URL, such as the DSN of Sentry."""

    may_be = "a URL such as https://key@host/1"

    def __call__(self, value: object) -> str:
        if not isinstance(value, str):
            raise ValueError
        url = urlsplit(value)
        _ = url.port  # raises ValueError when the port is not a number
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ValueError
        return value


class CollectorUrl:
    """The base address of an OpenTelemetry collector that takes OTLP over HTTP."""

    may_be = "the address of a collector for OTLP over HTTP, such as http://127.0.0.1:4318"

    def __call__(self, value: object) -> str:
        url = urlsplit(HttpUrl()(value))
        if url.query or url.fragment:
            raise ValueError
        return url.geturl().rstrip("/")


class PublicUrl:
    """The address of the service itself, without a slash at its end."""

    may_be = "the address under which browsers reach the service, such as https://play.example.org"

    def __call__(self, value: object) -> str:
        url = urlsplit(HttpUrl()(value))
        if url.query or url.fragment or "@" in url.netloc:
            raise ValueError
        return url.geturl().rstrip("/")


class JwksUrl:
    """Where the keys of tokens are. Whoever could change them on their way could let anybody in."""

    may_be = "an https:// URL of a JSON Web Key Set; http:// only for a loopback address"

    def __call__(self, value: object) -> str:
        url = urlsplit(HttpUrl()(value))
        if "@" in url.netloc or not (url.scheme == "https" or is_loopback(url.hostname or "")):
            raise ValueError
        return url.geturl()


class Secret:
    """Text that is taken as it is, because others sign with the very same bytes.

    A public key in its place would let everybody who has it sign.
    """

    def __init__(self, least: int) -> None:
        self.least = least
        self.may_be = f"a secret of at least {least} bytes, and no key of another kind"

    def __call__(self, value: object) -> str:
        if not isinstance(value, str) or len(value.encode()) < self.least:
            raise ValueError
        if "-----BEGIN" in value or value.lstrip().startswith(("ssh-", "{")):
            raise ValueError
        return value


class Instant:
    """A moment, in seconds since 1970."""

    may_be = "a time such as 2030-01-31T12:00:00Z, or seconds since 1970"

    def __call__(self, value: object) -> float:
        if isinstance(value, datetime):  # YAML reads such a text by itself; without a zone it is UTC there
            value = value.isoformat() + ("" if value.tzinfo else "+00:00")
        if isinstance(value, str) and not value.strip().replace(".", "", 1).isdecimal():
            moment = datetime.fromisoformat(value.strip())
            if moment.tzinfo is None:
                raise ValueError
            return moment.timestamp()
        seconds = _number(value)
        if not math.isfinite(seconds):
            raise ValueError
        return seconds


class Addresses:
    """Servers, each with its port, or the default one."""

    may_be = "host:port, several of them separated by commas"

    def __init__(self, default_port: int) -> None:
        self.default_port = default_port

    def __call__(self, value: object) -> tuple[tuple[str, int], ...]:
        return tuple(self._address(item) for item in _items(value))

    def _address(self, text: str) -> tuple[str, int]:
        url = urlsplit("//" + text)
        if not url.hostname or url.netloc != text or "@" in text:
            raise ValueError
        return url.hostname, url.port or self.default_port


class Places:
    """Other deployments of Redis."""

    may_be = "redis:// URLs or files with the settings of a Redis, several of them separated by commas"

    def __call__(self, value: object) -> tuple[str, ...]:
        return tuple(RedisUrl()(item) if "://" in item else item for item in _items(value))


class Origins:
    """Origins as browsers send them."""

    may_be = "*, null, or origins such as https://play.example.org, separated by commas"

    def __call__(self, value: object) -> tuple[str, ...]:
        origins = tuple(_items(value))
        for origin in origins:
            url = urlsplit(origin)
            if origin not in ("*", "null") and (
                url.scheme not in ("http", "https") or origin != f"{url.scheme}://{url.netloc}"
            ):
                raise ValueError
        return origins


class Framing:
    """Origins of pages that may have the service's own in a frame."""

    may_be = "* or origins such as https://lms.example.org or https://*.example.org, separated by commas"

    def __call__(self, value: object) -> tuple[str, ...]:
        origins = tuple(_items(value))
        # They stand in a header, so nothing passes that could end its part there.
        own = re.compile(r"\*|https?://(?:\*\.)?[0-9A-Za-z.-]{1,253}(?::[0-9]{1,5})?")
        if not all(own.fullmatch(origin) for origin in origins):
            raise ValueError
        return origins


class Hosts:
    """Host names."""

    may_be = "host names such as play.example.org, without a port, separated by commas"

    def __call__(self, value: object) -> tuple[str, ...]:
        hosts = tuple(_items(value))
        if not all(re.fullmatch(r"[0-9A-Za-z._-]{1,253}", host) for host in hosts):
            raise ValueError
        return hosts


class Networks:
    """Addresses and networks."""

    may_be = "addresses and networks such as 10.0.0.7 or 10.0.0.0/8, separated by commas"

    def __call__(self, value: object) -> tuple[IPv4Network | IPv6Network, ...]:
        return tuple(ip_network(item) for item in _items(value))


def _number(value: object) -> float:
    """A number; infinity and NaN are some. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError
    try:
        return float(value)
    except OverflowError as error:  # a whole number of hundreds of digits
        raise ValueError from error


def _items(value: object) -> Iterator[str]:
    """The items of a comma-separated text, or of a YAML list of texts. Raises ValueError."""
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list) or not parts:
        raise ValueError
    for part in parts:
        if not isinstance(part, str) or not part.strip():
            raise ValueError
        yield part.strip()


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine reaches what listens on `host`."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"
