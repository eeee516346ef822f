"""Settings: from the environment, and from a YAML file under the same names in lower case.

The environment wins over the file. All wrong settings are reported at once, each with its name and the values
that it may have. So are names in the file that no setting has.
"""

from __future__ import annotations

import dataclasses
import difflib
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any, Literal, TypeVar, cast
from urllib.parse import parse_qsl, urlsplit

import yaml

from synckairos import setting_kinds as kinds

Address = tuple[str, int]
"""Host and port of a server."""

AuthMode = Literal["none", "jwt"]
Durability = Literal["async", "replicated", "durable"]
Environment = Literal["development", "test", "staging", "production"]
LogLevel = Literal["debug", "info", "warning", "error", "critical"]

T = TypeVar("T")


class SettingsError(Exception):
    """The settings cannot be used. `problems` has a line for each wrong setting: name and allowed values."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


def _setting(kind: kinds.Kind[T], default: T, *, secret: bool = False) -> T:
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

    redis_url: str = _setting(kinds.RedisUrl(), "redis://127.0.0.1:6379/0", secret=True)
    redis_sentinel_hosts: tuple[Address, ...] = _setting(kinds.Addresses(26379), ())
    redis_sentinel_name: str | None = _setting(kinds.Text(), None)
    redis_sentinel_user: str | None = _setting(kinds.Text(), None)
    redis_sentinel_password: str | None = _setting(kinds.Text(), None, secret=True)
    redis_sentinel_tls: bool | None = _setting(kinds.Flag(), None)
    redis_sentinel_ca: str | None = _setting(kinds.Text(), None)
    redis_cluster_nodes: tuple[Address, ...] = _setting(kinds.Addresses(6379), ())
    moved_to: tuple[str, ...] = _setting(kinds.Places(), (), secret=True)
    rq_redis_url: str | None = _setting(kinds.RedisUrl(), None, secret=True)
    database_url: str | None = _setting(kinds.DatabaseUrl(), None, secret=True)
    access_log_retention_days: int = _setting(kinds.Whole(1, 36_500, "days"), 400)
    session_ttl: int = _setting(kinds.Whole(1, 2_592_000, "seconds"), 3600)
    restore_rate: int = _setting(kinds.Whole(0, 100_000, "sessions a second (0: never)"), 1000)
    long_clocks: bool = _setting(kinds.Flag(), False)
    durability: Durability = _setting(kinds.Choice("async", "replicated", "durable"), "async")
    replicas: int | None = _setting(kinds.Whole(1, 100), None)
    host: str = _setting(kinds.Text(), "127.0.0.1")
    port: int = _setting(kinds.Whole(0, 65535), 8080)
    workers: int = _setting(kinds.Whole(1, 256), 1)
    auth_mode: AuthMode = _setting(kinds.Choice("none", "jwt"), "none")
    jwt_secret: str | None = _setting(kinds.Secret(32), None, secret=True)
    jwt_previous_secret: str | None = _setting(kinds.Secret(32), None, secret=True)
    jwt_previous_until: float | None = _setting(kinds.Instant(), None)
    jwt_jwks_url: str | None = _setting(kinds.JwksUrl(), None)
    jwt_audience: str | None = _setting(kinds.Text(), None)
    jwt_issuer: str | None = _setting(kinds.Text(), None)
    jwt_leeway_s: int = _setting(kinds.Whole(0, 300, "seconds"), 10)
    api_keys_file: str | None = _setting(kinds.Text(), None)
    public_url: str | None = _setting(kinds.PublicUrl(), None)
    environment: Environment = _setting(
        kinds.Choice("development", "test", "staging", "production"), "development"
    )
    enable_cors: bool = _setting(kinds.Flag(), False)
    allowed_origins: tuple[str, ...] = _setting(kinds.Origins(), ())
    allowed_hosts: tuple[str, ...] = _setting(kinds.Hosts(), ())
    frame_ancestors: tuple[str, ...] = _setting(kinds.Framing(), ())
    allow_insecure: bool = _setting(kinds.Flag(), False)
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = _setting(kinds.Networks(), ())
    rate_limit_enabled: bool = _setting(kinds.Flag(), True)
    rate_limit_window_ms: int = _setting(kinds.Whole(1000, 86_400_000, "milliseconds"), 60_000)
    rate_limit_max_requests: int = _setting(kinds.Whole(1, 1_000_000), 100)
    tenants_file: Path | None = _setting(kinds.File(), None)
    features_file: Path | None = _setting(kinds.File(), None)
    max_websockets: int = _setting(kinds.Whole(1, 1_000_000), 10_000)
    max_connections: int = _setting(kinds.Whole(1, 1_000_000), 10_000)
    max_connections_per_address: int = _setting(kinds.Whole(1, 1_000_000), 1000)
    enable_metrics: bool = _setting(kinds.Flag(), True)
    metrics_port: int | None = _setting(kinds.Whole(1, 65535), None)
    otel_exporter_otlp_endpoint: str | None = _setting(kinds.CollectorUrl(), None, secret=True)
    otel_traces_sampler_arg: float = _setting(kinds.Share(), 0.01)
    sentry_dsn: str | None = _setting(kinds.HttpUrl(), None, secret=True)
    sentry_environment: str | None = _setting(kinds.Text(), None)
    log_level: LogLevel = _setting(kinds.Choice("debug", "info", "warning", "error", "critical"), "info")

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
        if isinstance(value, tuple):  # of MOVED_TO, whose files are no secrets
            found.update(*(_secrets_of_url(place) for place in value if "://" in place))
        elif isinstance(
            field.metadata["kind"], kinds.RedisUrl | kinds.DatabaseUrl | kinds.HttpUrl | kinds.CollectorUrl
        ):
            found |= _secrets_of_url(value)
        else:
            found.add(value)
    return found


def _secrets_of_url(text: str) -> set[str]:
    """The passwords in a URL, and the key of a DSN, which stands where other URLs have the user."""
    url = urlsplit(text)
    found = {url.password, *(value for name, value in parse_qsl(url.query) if "password" in name.lower())}
    if url.scheme in ("http", "https"):
        found.add(url.username)
    return {secret for secret in found if secret}


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
    given = read_yaml(file, shown)
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


def read_yaml(file: Path, shown: str) -> Any:
    """The content of a YAML file. Raises SettingsError, in which the file is called `shown`."""
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError([f"{shown} cannot be read: {error.strerror}"]) from error
    except ValueError as error:  # no UTF-8, or no name that a file can have
        raise SettingsError([f"{shown} is not YAML"]) from error
    return parse_yaml(text, shown)


def parse_yaml(text: str, shown: str) -> Any:
    """The content of a text that is YAML. Raises SettingsError, in which it is called `shown`."""
    try:
        return yaml.safe_load(text)
    except Exception as error:
        # Most often YAMLError. But PyYAML also lets through what Python says to a 13th month, a number of
        # thousands of digits or very many brackets, each with a class of its own.
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        raise SettingsError([f"{shown} is not YAML{where}"]) from error


def _open_to_others(file: Path) -> list[str]:
    """The problem of a file of API keys that others can read; none while there is no such file."""
    try:
        found = file.stat()
    except FileNotFoundError:
        return []
    except (OSError, ValueError):  # ValueError: no name that a file can have
        pass  # what cannot be looked at cannot be used either
    else:
        if stat.S_ISREG(found.st_mode) and not found.st_mode & 0o077:
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
            (
                f"RQ_REDIS_URL must be {kinds.RedisUrl.may_be},"
                " as the queue of the audit cannot live in a cluster"
            ),
        ),
        (
            settings.enable_cors and not settings.allowed_origins,
            f"ALLOWED_ORIGINS must be {kinds.Origins.may_be}, as ENABLE_CORS is true",
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
            settings.auth_mode == "none"
            and not settings.allow_insecure
            and not kinds.is_loopback(settings.host),
            "HOST must be of this machine alone (127.0.0.1) when AUTH_MODE is none, or ALLOW_INSECURE true",
        ),
        (
            settings.auth_mode == "jwt" and settings.jwt_secret is None and settings.jwt_jwks_url is None,
            (
                f"JWT_SECRET must be {kinds.Secret(32).may_be}, or JWT_JWKS_URL {kinds.JwksUrl.may_be}:"
                " AUTH_MODE is jwt"
            ),
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
            f"JWT_PREVIOUS_UNTIL must be {kinds.Instant.may_be}: until then JWT_PREVIOUS_SECRET is good, too",
        ),
    )
