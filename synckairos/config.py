"""Settings: from the environment, and from a YAML file under the same names in lower case.

The environment wins over the file. All wrong settings are reported at once, each with its name and the values
that it may have. So are names in the file that no setting has.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar, cast
from urllib.parse import parse_qsl, urlsplit

import yaml

Address = tuple[str, int]
"""Host and port of a server."""

AuthMode = Literal["none", "jwt"]
Durability = Literal["async", "replicated", "durable"]
Environment = Literal["development", "test", "staging", "production"]
LogLevel = Literal["debug", "info", "warning", "error", "critical"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class SettingsError(Exception):
    """The settings cannot be used. `problems` has a line for each wrong setting: name and allowed values."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class _Kind(Protocol[T_co]):
    """Converts a setting's value, which is text (environment) or any YAML value. Raises ValueError.

    may_be: the allowed values, in words
    """

    may_be: str

    def __call__(self, value: object) -> T_co: ...


class _Whole:
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


class _Choice:
    def __init__(self, *names: str) -> None:
        self.names = names
        self.may_be = ", ".join(names[:-1]) + " or " + names[-1] if len(names) > 1 else names[0]

    def __call__(self, value: object) -> Any:
        name = value.strip().lower() if isinstance(value, str) else None
        if name not in self.names:
            raise ValueError
        return name


class _Flag:
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


class _Text:
    may_be = "text"

    def __call__(self, value: object) -> str:
        if not isinstance(value, str) or not value.strip():
            raise ValueError
        return value.strip()


class _File:
    may_be = "the path of a file"

    def __call__(self, value: object) -> Path:
        return Path(_Text()(value))


class _RedisUrl:
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


class _DatabaseUrl:
    may_be = "a URL such as postgresql://user:password@host:5432/database"

    def __call__(self, value: object) -> str:
        if not isinstance(value, str):
            raise ValueError
        url = urlsplit(value)
        _ = url.port if "," not in url.netloc else None  # raises ValueError when the port is not a number
        if url.scheme not in ("postgresql", "postgres") or not (url.netloc or url.query):
            raise ValueError
        return value


class _HttpUrl:
    may_be = "a URL such as https://key@host/1"

    def __call__(self, value: object) -> str:
        if not isinstance(value, str):
            raise ValueError
        url = urlsplit(value)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ValueError
        return value


class _PublicUrl:
    may_be = "the address under which browsers reach the service, such as https://play.example.org"

    def __call__(self, value: object) -> str:
        url = urlsplit(_HttpUrl()(value))
        if url.query or url.fragment or "@" in url.netloc:
            raise ValueError
        return url.geturl().rstrip("/")


class _JwksUrl:
    may_be = "an https:// URL of a JSON Web Key Set; http:// only for a loopback address"

    def __call__(self, value: object) -> str:
        url = urlsplit(_HttpUrl()(value))
        if "@" in url.netloc or not (url.scheme == "https" or is_loopback(url.hostname or "")):
            raise ValueError
        return url.geturl()


class _Secret:
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


class _Instant:
    may_be = "a time such as 2030-01-31T12:00:00Z, or seconds since 1970"

    def __call__(self, value: object) -> float:
        if isinstance(value, datetime):  # YAML reads such a text by itself; without a zone it is UTC there
            value = value.isoformat() + ("" if value.tzinfo else "+00:00")
        if isinstance(value, str) and not value.strip().replace(".", "", 1).isdecimal():
            moment = datetime.fromisoformat(value.strip())
            if moment.tzinfo is None:
                raise ValueError
            return moment.timestamp()
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError
        seconds = float(value)
        if not math.isfinite(seconds):
            raise ValueError
        return seconds


class _Addresses:
    may_be = "host:port, several of them separated by commas"

    def __init__(self, default_port: int) -> None:
        self.default_port = default_port

    def __call__(self, value: object) -> tuple[Address, ...]:
        return tuple(self._address(item) for item in _items(value))

    def _address(self, text: str) -> Address:
        url = urlsplit("//" + text)
        if not url.hostname or url.netloc != text or "@" in text:
            raise ValueError
        return url.hostname, url.port or self.default_port


class _Places:
    may_be = "redis:// URLs or files with the settings of a Redis, several of them separated by commas"

    def __call__(self, value: object) -> tuple[str, ...]:
        return tuple(_RedisUrl()(item) if "://" in item else item for item in _items(value))


class _Origins:
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


class _Framing:
    may_be = "* or origins such as https://lms.example.org or https://*.example.org, separated by commas"

    def __call__(self, value: object) -> tuple[str, ...]:
        origins = tuple(_items(value))
        # They stand in a header, so nothing passes that could end its part there.
        own = re.compile(r"\*|https?://(?:\*\.)?[0-9A-Za-z.-]{1,253}(?::[0-9]{1,5})?")
        if not all(own.fullmatch(origin) for origin in origins):
            raise ValueError
        return origins


class _Hosts:
    may_be = "host names such as play.example.org, without a port, separated by commas"

    def __call__(self, value: object) -> tuple[str, ...]:
        hosts = tuple(_items(value))
        if not all(re.fullmatch(r"[0-9A-Za-z._-]{1,253}", host) for host in hosts):
            raise ValueError
        return hosts


class _Networks:
    may_be = "addresses and networks such as 10.0.0.7 or 10.0.0.0/8, separated by commas"

    def __call__(self, value: object) -> tuple[IPv4Network | IPv6Network, ...]:
        return tuple(ip_network(item) for item in _items(value))


def _items(value: object) -> Iterator[str]:
    """The items of a comma-separated text, or of a YAML list of texts. Raises ValueError."""
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list) or not parts:
        raise ValueError
    for part in parts:
        if not isinstance(part, str) or not part.strip():
            raise ValueError
        yield part.strip()


def _setting(kind: _Kind[T], default: T, *, secret: bool = False) -> T:
    """A field of `Settings`. A secret one is left out of the repr."""
    # mypy checks the default against the overloads of dataclasses.field; as a plain Callable it does not.
    field = cast(Callable[..., T], dataclasses.field)
    return field(default=default, repr=not secret, metadata={"kind": kind})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings, checked.

    Redis is one server (`redis_url`), a primary that Sentinels name, or a cluster. With Sentinels and with a
    cluster, `redis_url` still says how to connect: user, password, TLS and database number.
    """

    redis_url: str = _setting(_RedisUrl(), "redis://127.0.0.1:6379/0", secret=True)
    redis_sentinel_hosts: tuple[Address, ...] = _setting(_Addresses(26379), ())
    redis_sentinel_name: str | None = _setting(_Text(), None)
    redis_sentinel_user: str | None = _setting(_Text(), None)
    redis_sentinel_password: str | None = _setting(_Text(), None, secret=True)
    redis_sentinel_tls: bool | None = _setting(_Flag(), None)
    redis_sentinel_ca: str | None = _setting(_Text(), None)
    redis_cluster_nodes: tuple[Address, ...] = _setting(_Addresses(6379), ())
    moved_to: tuple[str, ...] = _setting(_Places(), (), secret=True)
    rq_redis_url: str | None = _setting(_RedisUrl(), None, secret=True)
    database_url: str | None = _setting(_DatabaseUrl(), None, secret=True)
    access_log_retention_days: int = _setting(_Whole(1, 36_500, "days"), 400)
    session_ttl: int = _setting(_Whole(1, 2_592_000, "seconds"), 3600)
    restore_rate: int = _setting(_Whole(0, 100_000, "sessions a second (0: never)"), 1000)
    durability: Durability = _setting(_Choice("async", "replicated", "durable"), "async")
    replicas: int | None = _setting(_Whole(1, 100), None)
    host: str = _setting(_Text(), "127.0.0.1")
    port: int = _setting(_Whole(0, 65535), 8080)
    workers: int = _setting(_Whole(1, 256), 1)
    auth_mode: AuthMode = _setting(_Choice("none", "jwt"), "none")
    jwt_secret: str | None = _setting(_Secret(32), None, secret=True)
    jwt_previous_secret: str | None = _setting(_Secret(32), None, secret=True)
    jwt_previous_until: float | None = _setting(_Instant(), None)
    jwt_jwks_url: str | None = _setting(_JwksUrl(), None)
    jwt_audience: str | None = _setting(_Text(), None)
    jwt_issuer: str | None = _setting(_Text(), None)
    jwt_leeway_s: int = _setting(_Whole(0, 300, "seconds"), 10)
    api_keys_file: str | None = _setting(_Text(), None)
    public_url: str | None = _setting(_PublicUrl(), None)
    environment: Environment = _setting(
        _Choice("development", "test", "staging", "production"), "development"
    )
    enable_cors: bool = _setting(_Flag(), False)
    allowed_origins: tuple[str, ...] = _setting(_Origins(), ())
    allowed_hosts: tuple[str, ...] = _setting(_Hosts(), ())
    frame_ancestors: tuple[str, ...] = _setting(_Framing(), ())
    allow_insecure: bool = _setting(_Flag(), False)
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = _setting(_Networks(), ())
    rate_limit_enabled: bool = _setting(_Flag(), True)
    rate_limit_window_ms: int = _setting(_Whole(1000, 86_400_000, "milliseconds"), 60_000)
    rate_limit_max_requests: int = _setting(_Whole(1, 1_000_000), 100)
    tenants_file: Path | None = _setting(_File(), None)
    max_websockets: int = _setting(_Whole(1, 1_000_000), 10_000)
    max_connections: int = _setting(_Whole(1, 1_000_000), 10_000)
    max_connections_per_address: int = _setting(_Whole(1, 1_000_000), 1000)
    enable_metrics: bool = _setting(_Flag(), True)
    metrics_port: int | None = _setting(_Whole(1, 65535), None)
    sentry_dsn: str | None = _setting(_HttpUrl(), None, secret=True)
    sentry_environment: str | None = _setting(_Text(), None)
    log_level: LogLevel = _setting(_Choice("debug", "info", "warning", "error", "critical"), "info")

    @property
    def redis_address(self) -> str:
        """Where Redis is, without user and password: the name that moves of sessions have for it.

        It is "host:port" or "host:port/database", a socket's path, "name@host:port,..." of Sentinels, or the
        nodes of a cluster, "host:port,...".
        """
        if self.redis_cluster_nodes:
            return _joined(self.redis_cluster_nodes)
        if self.redis_sentinel_hosts:
            return f"{self.redis_sentinel_name}@{_joined(self.redis_sentinel_hosts)}"
        url = urlsplit(self.redis_url)
        if url.scheme == "unix":
            return url.path
        database = url.path.strip("/")
        return f"{url.hostname}:{url.port or 6379}{f'/{database}' if database not in ('', '0') else ''}"


def secrets(settings: Settings) -> set[str]:
    """The secrets in the settings: passwords of URLs, keys of DSNs, settings that are secret themselves."""
    found: set[str] = set()
    for name, field in _FIELDS.items():
        value = getattr(settings, name)
        if field.repr or not value:
            continue
        for text in value if isinstance(value, tuple) else (value,):
            if not isinstance(text, str):
                continue
            url = urlsplit(text)
            if not url.scheme or not url.netloc:
                found |= (
                    set() if isinstance(value, tuple) else {text}
                )  # a file that has the settings of a Redis
                continue
            found |= {value for key, value in parse_qsl(url.query) if "password" in key.lower()}
            # The key of a DSN stands where others have the user.
            found |= {part for part in (url.password, url.scheme[:4] == "http" and url.username) if part}
    return found


def _joined(addresses: tuple[Address, ...]) -> str:
    return ",".join(sorted(f"{host}:{port}" for host, port in addresses))


def at(place: str, settings: Settings) -> Settings:
    """These settings, but with the Redis at `place`: a URL, or a YAML file with settings that name it.

    Raises SettingsError.
    """
    there = load({"REDIS_URL": place}) if "://" in place else load({}, Path(place))
    of_redis = {name: getattr(there, name) for name in _FIELDS if name.startswith("redis_")}
    return dataclasses.replace(settings, **of_redis)


_FIELDS = {field.name: field for field in dataclasses.fields(Settings)}

_GONE = {
    "trust_proxy": (
        "is gone: write TRUSTED_PROXIES with the addresses and networks of your proxies instead, such as "
        "TRUSTED_PROXIES=10.0.0.0/8, or nothing where there are none"
    )
}
"""Settings of earlier releases, and what to write instead."""


def load(environ: Mapping[str, str], file: Path | None = None, *, serving: bool = True) -> Settings:
    """The settings of `environ` and of the YAML `file`. Raises SettingsError.

    An empty variable, and null in the file, count as not set. Programs that let nobody in (not `serving`)
    need no secret of tokens, and none is better kept.
    """
    problems: list[str] = []
    values: dict[str, Any] = {}
    given = _read(file, problems) if file else {}
    problems += [
        f"{name.upper()} {instead}"
        for name, instead in _GONE.items()
        if environ.get(name.upper(), "").strip()
    ]
    for name, field in _FIELDS.items():
        variable = environ.get(name.upper(), "")
        value, shown = (
            (variable, name.upper()) if variable.strip() else (given.get(name), f"{name} (in {file})")
        )
        if value is None:
            continue
        kind = field.metadata["kind"]
        try:
            values[name] = kind(value)
        except ValueError:
            said = "" if not field.repr else f", not {_without_user(repr(value))}"
            problems.append(f"{shown} must be {kind.may_be}{said}")
    if not problems:
        settings = Settings(**values)
        problems = _disagreements(settings) + (_of_admission(settings) if serving else [])
        if settings.api_keys_file is not None:
            problems += _open_to_others(Path(settings.api_keys_file))
        for place in settings.moved_to:
            if "://" not in place:
                _read(Path(place), problems, f"the settings file {place} (MOVED_TO)")
        if not problems:
            return settings
    raise SettingsError(problems)


def _without_user(text: str) -> str:
    """Text without the part before an @: it has a password when a URL was given in place of an address."""
    return text if "@" not in text else f"'***@{text.rpartition('@')[2]}"


def _read(file: Path, problems: list[str], shown: str = "") -> dict[str, Any]:
    """The values of the YAML file by name. Unknown names are added to `problems`. Raises SettingsError.

    shown: what messages call the file
    """
    shown = shown or f"the settings file {file}"
    try:
        given = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError([f"{shown} cannot be read: {error.strerror}"]) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        raise SettingsError([f"{shown} is not YAML{where}"]) from error
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise SettingsError([f"{shown} must have lines of `name: value`"])
    for name in given:
        if name in _GONE:
            problems.append(f"{name} (in {file}) {_GONE[name]}")
        elif name not in _FIELDS:
            near = difflib.get_close_matches(str(name), _FIELDS, n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; the settings are {', '.join(_FIELDS)}"
            problems.append(f"{name} (in {file}) is not a setting{hint}")
    return given


def _open_to_others(file: Path) -> list[str]:
    """The problem of a file of API keys that others can read; none while there is no such file."""
    try:
        closed = file.is_file() and not file.stat().st_mode & 0o077
    except OSError:
        closed = False
    if closed or not file.exists():
        return []
    return [f"API_KEYS_FILE must be a file that only its owner can read (mode 0600), not {str(file)!r}"]


def _disagreements(settings: Settings) -> list[str]:
    """The problems of settings that are right each by itself but do not go together."""
    hosts, name, nodes = (
        settings.redis_sentinel_hosts,
        settings.redis_sentinel_name,
        settings.redis_cluster_nodes,
    )
    database = urlsplit(settings.redis_url).path.strip("/")
    table: tuple[tuple[object, str], ...] = (
        (
            hosts and nodes,
            "REDIS_SENTINEL_HOSTS and REDIS_CLUSTER_NODES cannot both be set: Redis is one or the other",
        ),
        (
            hosts and name is None,
            "REDIS_SENTINEL_NAME must be the name of the primary that REDIS_SENTINEL_HOSTS watch",
        ),
        (
            name is not None and not hosts,
            "REDIS_SENTINEL_HOSTS must be host:port of the Sentinels, as REDIS_SENTINEL_NAME is set",
        ),
        (
            nodes and database not in ("", "0"),
            "REDIS_URL must name database 0 (or none) with REDIS_CLUSTER_NODES: a cluster has no other",
        ),
        (
            nodes and settings.database_url is not None and settings.rq_redis_url is None,
            f"RQ_REDIS_URL must be {_RedisUrl.may_be}, as the queue of the audit cannot live in a cluster",
        ),
        (
            settings.enable_cors and not settings.allowed_origins,
            f"ALLOWED_ORIGINS must be {_Origins.may_be}, as ENABLE_CORS is true",
        ),
        *_of_tokens(settings),
    )
    return [problem for is_wrong, problem in table if is_wrong]


def _of_admission(settings: Settings) -> list[str]:
    """The problems of settings by which the service would let in everybody, or nobody."""
    everybody = "everybody could do everything"
    table = (
        (
            settings.auth_mode == "none" and settings.environment == "production",
            f"AUTH_MODE must not be none when ENVIRONMENT is production: {everybody}",
        ),
        (
            settings.auth_mode == "none" and not settings.allow_insecure and not is_loopback(settings.host),
            "HOST must be of this machine alone (127.0.0.1) when AUTH_MODE is none, or ALLOW_INSECURE true",
        ),
        (
            settings.auth_mode == "jwt" and settings.jwt_secret is None and settings.jwt_jwks_url is None,
            f"JWT_SECRET must be {_Secret(32).may_be}, or JWT_JWKS_URL {_JwksUrl.may_be}: AUTH_MODE is jwt",
        ),
    )
    return [problem for is_wrong, problem in table if is_wrong]


def _of_tokens(settings: Settings) -> tuple[tuple[object, str], ...]:
    """What may disagree among the settings of tokens, as in `_disagreements`."""
    secret, previous = settings.jwt_secret, settings.jwt_previous_secret
    return (
        (
            secret is not None and settings.jwt_jwks_url is not None,
            "JWT_SECRET and JWT_JWKS_URL cannot both be set: tokens are signed with the one or the other",
        ),
        (
            previous is not None and secret is None,
            "JWT_PREVIOUS_SECRET must not be set without JWT_SECRET, which took its place",
        ),
        (
            (previous is None) != (settings.jwt_previous_until is None),
            f"JWT_PREVIOUS_UNTIL must be {_Instant.may_be}: until then JWT_PREVIOUS_SECRET is good, too",
        ),
    )


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine reaches what listens on `host`."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"
