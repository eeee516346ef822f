"""Settings: where they come from, and how a wrong one is refused: by its name, and by what it may be."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields
from ipaddress import ip_network
from pathlib import Path

import pytest

from synckairos import config
from synckairos.config import Settings, SettingsError


@pytest.fixture
def yaml(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        file = tmp_path / "settings.yaml"
        file.write_text(text)
        return file

    return write


def test_nothing_set_is_a_service_for_this_machine() -> None:
    settings = config.load({})
    assert settings == Settings()
    assert settings.redis_url == "redis://127.0.0.1:6379/0"
    assert (settings.host, settings.port, settings.session_ttl) == ("127.0.0.1", 8080, 3600)
    assert settings.rate_limit_enabled


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("PORT", "9000", 9000),
        ("SESSION_TTL", " 60 ", 60),
        ("RATE_LIMIT_ENABLED", "False", False),
        ("ENABLE_METRICS", "0", False),
        ("LOG_LEVEL", "WARNING", "warning"),
        ("REDIS_URL", "rediss://u:p@h:1/2", "rediss://u:p@h:1/2"),
        ("REDIS_URL", "unix:///run/redis.sock", "unix:///run/redis.sock"),
        ("REDIS_CLUSTER_NODES", "a:7000, b ,[::1]:7001", (("a", 7000), ("b", 6379), ("::1", 7001))),
        ("ALLOWED_ORIGINS", "https://a.example,http://b:3000", ("https://a.example", "http://b:3000")),
        ("ALLOWED_ORIGINS", "null, *", ("null", "*")),
        ("ALLOWED_HOSTS", "a.example, b", ("a.example", "b")),
        ("FRAME_ANCESTORS", "https://a.example,http://*.b:3000", ("https://a.example", "http://*.b:3000")),
        ("FRAME_ANCESTORS", "*", ("*",)),
        ("TRUSTED_PROXIES", "10.0.0.7,2001:db8::/32", (ip_network("10.0.0.7"), ip_network("2001:db8::/32"))),
        ("METRICS_PORT", "9100", 9100),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318/", "http://127.0.0.1:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://otel.example/below", "https://otel.example/below"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.5", 0.5),
        ("OTEL_TRACES_SAMPLER_ARG", "1", 1.0),
        ("METRICS_PORT", "", None),
        ("MOVED_TO", "redis://a:1, redis://b:2", ("redis://a:1", "redis://b:2")),
        ("JWT_SECRET", " " * 32, None),
        ("JWT_SECRET", " x" * 16, " x" * 16),
        ("JWT_SECRET", "ü" * 16, "ü" * 16),
        ("JWT_JWKS_URL", "http://127.0.0.1:9/keys", "http://127.0.0.1:9/keys"),
        ("PUBLIC_URL", "https://play.example/", "https://play.example"),
    ],
)
def test_a_setting_from_the_environment(name: str, text: str, value: object) -> None:
    assert getattr(config.load({name: text}), name.lower()) == value


@pytest.mark.parametrize(
    ("name", "text", "may_be"),
    [
        ("PORT", "http", "a whole number from 0 to 65535"),
        ("PORT", "65536", "a whole number from 0 to 65535"),
        ("SESSION_TTL", "0", "a whole number from 1 to 2592000 seconds"),
        ("WORKERS", "1.5", "a whole number"),
        ("RATE_LIMIT_ENABLED", "maybe", "true or false"),
        ("LOG_LEVEL", "loud", "debug, info, warning, error or critical"),
        ("AUTH_MODE", "open", "none or jwt"),
        ("JWT_SECRET", "x" * 31, "a secret of at least 32 bytes"),
        ("JWT_SECRET", "-----BEGIN PUBLIC KEY-----" + "x" * 32, "no key of another kind"),
        ("JWT_SECRET", '{"kty":"RSA","n":"' + "x" * 32 + '"}', "no key of another kind"),
        ("JWT_PREVIOUS_UNTIL", "tomorrow", "a time such as"),
        ("JWT_PREVIOUS_UNTIL", "2030-01-31T12:00:00", "a time such as"),
        ("JWT_PREVIOUS_UNTIL", "inf", "a time such as"),
        ("JWT_JWKS_URL", "http://id.example/keys", "an https:// URL"),
        ("JWT_JWKS_URL", "https://user:pass@id.example/keys", "an https:// URL"),
        ("JWT_JWKS_URL", "file:///keys", "an https:// URL"),
        ("JWT_LEEWAY_S", "-1", "a whole number from 0 to 300 seconds"),
        ("PUBLIC_URL", "play.example", "the address under which browsers reach the service"),
        ("PUBLIC_URL", "https://play.example/?a=b", "the address under which"),
        ("PUBLIC_URL", "https://play.example/#a", "the address under which"),
        ("ENVIRONMENT", "prod", "production"),
        ("REDIS_URL", "http://localhost", "redis://"),
        ("REDIS_URL", "redis://localhost:port", "redis://"),
        ("REDIS_URL", "redis://localhost/first", "redis://"),
        ("DATABASE_URL", "mysql://host/database", "postgresql://"),
        ("DATABASE_URL", "postgresql://host:port/database", "postgresql://"),
        ("RQ_REDIS_URL", "localhost", "redis://"),
        ("SENTRY_DSN", "key@sentry", "https://"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "127.0.0.1:4318", "the address of a collector"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "grpc://127.0.0.1:4317", "the address of a collector"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318/?a=b", "the address of a collector"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:otlp", "the address of a collector"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:99999", "the address of a collector"),
        ("OTEL_TRACES_SAMPLER_ARG", "1.01", "a number from 0 (none) to 1 (all)"),
        ("OTEL_TRACES_SAMPLER_ARG", "-0.1", "a number from 0 (none) to 1 (all)"),
        ("OTEL_TRACES_SAMPLER_ARG", "nan", "a number from 0 (none) to 1 (all)"),
        ("OTEL_TRACES_SAMPLER_ARG", "1 %", "a number from 0 (none) to 1 (all)"),
        ("REDIS_CLUSTER_NODES", "a:1,,b:2", "host:port"),
        ("REDIS_CLUSTER_NODES", "redis://a:1", "host:port"),
        ("REDIS_SENTINEL_HOSTS", "a:99999", "host:port"),
        ("ALLOWED_ORIGINS", "example.org", "https://"),
        ("ALLOWED_ORIGINS", "https://example.org/path", "https://"),
        ("FRAME_ANCESTORS", "null", "https://lms.example.org"),
        ("FRAME_ANCESTORS", "https://a.example; script-src *", "https://lms.example.org"),
        ("FRAME_ANCESTORS", "https://a.example/lms", "https://lms.example.org"),
        ("DURABILITY", "disk", "async"),
        ("ALLOWED_HOSTS", "https://games.example", "without a port"),
        ("ALLOWED_HOSTS", "games.example:80", "without a port"),
        ("TRUSTED_PROXIES", "proxy.internal", "10.0.0.0/8"),
        ("TRUSTED_PROXIES", "10.0.0.1/8", "10.0.0.0/8"),
        ("TRUSTED_PROXIES", "true", "10.0.0.0/8"),
    ],
)
def test_a_wrong_setting_is_refused_by_name_and_by_what_it_may_be(name: str, text: str, may_be: str) -> None:
    with pytest.raises(SettingsError) as refused:
        config.load({name: text})
    (problem,) = refused.value.problems
    assert problem.startswith(f"{name} must be ")
    assert may_be in problem


def test_the_environment_wins_over_the_file(yaml: Callable[[str], Path]) -> None:
    file = yaml("port: 1000\nworkers: 3\nallowed_origins: ['https://a.example', 'https://b.example']\n")
    settings = config.load({"PORT": "2000"}, file)
    assert (settings.port, settings.workers) == (2000, 3)
    assert settings.allowed_origins == ("https://a.example", "https://b.example")


def test_an_empty_file_and_a_null_set_nothing(yaml: Callable[[str], Path]) -> None:
    assert config.load({}, yaml("# nothing\n")) == Settings()
    assert config.load({}, yaml("metrics_port: null\n")) == Settings()


def test_all_that_is_wrong_is_said_at_once(yaml: Callable[[str], Path]) -> None:
    file = yaml("prot: 1\nworkers: many\nenable_cors: 'yes'\n")
    with pytest.raises(SettingsError) as refused:
        config.load({"LOG_LEVEL": "loud"}, file)
    problems = sorted(refused.value.problems)
    assert len(problems) == 3
    assert problems[0].startswith("LOG_LEVEL must be")
    assert problems[1] == f"prot (in {file}) is not a setting; did you mean port?"
    assert problems[2].startswith(f"workers (in {file}) must be a whole number")


NO_YAML = {
    "a bracket": "port: [",
    "a control character": "\x00",
    "a date that there is not": "port: 2026-13-45",
    "a time that there is not": "port: 2026-01-01 25:61:61",
    "a number that is none": "port: !!float x",
    "a number without digits": "port: !!int ''",
    "a number of too many digits": f"port: {'1' * 5000}",
    "too many brackets": "port: " + "[" * 5000,
    "a name of no plain value": "? [a]\n: b",
}
"""Texts that PyYAML refuses, some of them with errors that are none of its own."""


@pytest.mark.parametrize("text", NO_YAML.values(), ids=NO_YAML)
def test_whatever_is_wrong_with_a_yaml_file_is_one_kind_of_error(
    yaml: Callable[[str], Path], text: str
) -> None:
    with pytest.raises(SettingsError, match=r"settings\.yaml is not YAML"):
        config.load({}, yaml(text))


@pytest.mark.parametrize("text", ["- port\n", "just text"])
def test_a_file_that_is_no_list_of_settings(yaml: Callable[[str], Path], text: str) -> None:
    with pytest.raises(SettingsError, match=r"settings\.yaml"):
        config.load({}, yaml(text))


def test_no_value_of_any_setting_is_more_than_wrong(yaml: Callable[[str], Path]) -> None:
    odd = [
        f"1{'0' * 400}",
        ".inf",
        ".nan",
        '"\\0"',
        '"\\ud800"',
        "[[]]",
        "{a: b}",
        "2026-01-01",
        "!!binary YQ==",
    ]
    for field in fields(Settings):
        for value in odd:
            with suppress(SettingsError):
                config.load({}, yaml(f"{field.name}: {value}"))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.yaml cannot be read"):
        config.load({}, tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("environ", "names"),
    [
        ({"REDIS_SENTINEL_HOSTS": "a:1"}, "REDIS_SENTINEL_NAME"),
        ({"REDIS_SENTINEL_NAME": "main"}, "REDIS_SENTINEL_HOSTS"),
        (
            {"REDIS_SENTINEL_HOSTS": "a:1", "REDIS_SENTINEL_NAME": "main", "REDIS_CLUSTER_NODES": "b:2"},
            "REDIS_CLUSTER_NODES",
        ),
        ({"REDIS_CLUSTER_NODES": "b:2", "REDIS_URL": "redis://b/3"}, "REDIS_URL"),
        ({"REDIS_CLUSTER_NODES": "b:2", "DATABASE_URL": "postgresql://b/d"}, "RQ_REDIS_URL"),
        ({"ENABLE_CORS": "true"}, "ALLOWED_ORIGINS"),
        ({"ENVIRONMENT": "production"}, "AUTH_MODE"),
        ({"AUTH_MODE": "jwt"}, "JWT_SECRET"),
        ({"AUTH_MODE": "jwt", "JWT_SECRET": "x" * 32, "JWT_JWKS_URL": "https://id.example"}, "JWT_JWKS_URL"),
        ({"JWT_PREVIOUS_SECRET": "x" * 32, "JWT_PREVIOUS_UNTIL": "1"}, "JWT_PREVIOUS_SECRET"),
        ({"JWT_SECRET": "y" * 32, "JWT_PREVIOUS_SECRET": "x" * 32}, "JWT_PREVIOUS_UNTIL"),
        ({"JWT_SECRET": "y" * 32, "JWT_PREVIOUS_UNTIL": "1"}, "JWT_PREVIOUS_UNTIL"),
        ({"HOST": "0.0.0.0"}, "ALLOW_INSECURE"),
        ({"HOST": "games.example"}, "ALLOW_INSECURE"),
    ],
)
def test_settings_that_do_not_go_together(environ: dict[str, str], names: str) -> None:
    with pytest.raises(SettingsError, match=names):
        config.load(environ)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_what_everybody_may_use_is_for_this_machine_unless_that_is_wanted(host: str) -> None:
    assert config.load({"HOST": host}).host == host
    assert config.load({"HOST": "0.0.0.0", "ALLOW_INSECURE": "true"}).allow_insecure


@pytest.mark.parametrize(
    "environ",
    [{"ENVIRONMENT": "production"}, {"AUTH_MODE": "jwt"}, {"HOST": "0.0.0.0"}],
)
def test_what_lets_nobody_in_needs_no_secret_of_tokens(environ: dict[str, str]) -> None:
    """As the worker, with the settings of the service but for that."""
    assert config.load(environ, serving=False).jwt_secret is None
    with pytest.raises(SettingsError):
        config.load(environ)


@pytest.mark.parametrize("text", ["true", "false"])
def test_a_setting_that_is_gone_says_what_to_write(yaml: Callable[[str], Path], text: str) -> None:
    for environ, file in (({"TRUST_PROXY": text}, None), ({}, yaml(f"trust_proxy: {text}\n"))):
        with pytest.raises(
            SettingsError, match=r"(?i)^trust_proxy .*is gone: .*TRUSTED_PROXIES=10\.0\.0\.0/8"
        ):
            config.load(environ, file)


def test_a_time_as_text_and_as_seconds(yaml: Callable[[str], Path]) -> None:
    environ = {"JWT_SECRET": "x" * 32, "JWT_PREVIOUS_SECRET": "y" * 32}
    for text in ("2030-01-31T12:00:00Z", "2030-01-31T13:00:00+01:00", "1896091200", "1896091200.0"):
        assert config.load({**environ, "JWT_PREVIOUS_UNTIL": text}).jwt_previous_until == 1896091200
    for line in ("2030-01-31T12:00:00Z", "'2030-01-31T12:00:00Z'", "1896091200"):
        assert config.load(environ, yaml(f"jwt_previous_until: {line}\n")).jwt_previous_until == 1896091200


def test_secrets_of_tokens_are_not_shown() -> None:
    environ = {"AUTH_MODE": "jwt", "JWT_SECRET": "secret" * 6}
    assert "secretsecret" not in repr(config.load(environ))
    with pytest.raises(SettingsError) as refused:
        config.load({**environ, "JWT_SECRET": "secret" * 5})
    assert "secretsecret" not in str(refused.value)


def test_passwords_are_not_shown() -> None:
    assert "secret" not in repr(config.load({"REDIS_URL": "redis://user:secret@host"}))
    with pytest.raises(SettingsError) as refused:
        config.load({"REDIS_URL": "http://user:secret@host"})
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("name", ["REDIS_SENTINEL_HOSTS", "REDIS_CLUSTER_NODES"])
@pytest.mark.parametrize(
    "userinfo", ["user:secret", "secret", "user:se,cret", "us@er:secret", "redis://u:secret"]
)
def test_a_password_where_an_address_belongs_is_not_shown(
    name: str, userinfo: str, yaml: Callable[[str], Path]
) -> None:
    value = f"{userinfo}@sentinel-1:26379,sentinel-2"
    for environ, file in (({name: value}, None), ({}, yaml(f'{name.lower()}: ["{value}"]'))):
        with pytest.raises(SettingsError) as refused:
            config.load(environ, file)
        said = str(refused.value)
        assert name in said.upper()
        assert "***@sentinel-1" in said
        assert "cret" not in said


@pytest.mark.parametrize(
    ("environ", "address"),
    [
        ({}, "127.0.0.1:6379"),
        ({"REDIS_URL": "rediss://user:secret@redis.example:7000/0"}, "redis.example:7000"),
        ({"REDIS_URL": "redis://redis.example/3"}, "redis.example:6379/3"),
        ({"REDIS_URL": "unix:///run/redis.sock"}, "/run/redis.sock"),
        ({"REDIS_CLUSTER_NODES": "b:1,a:2"}, "a:2,b:1"),
        ({"REDIS_SENTINEL_HOSTS": "b:1,a:2", "REDIS_SENTINEL_NAME": "mymaster"}, "mymaster@a:2,b:1"),
    ],
)
def test_the_address_of_redis_has_no_password(environ: dict[str, str], address: str) -> None:
    assert config.load(environ).redis_address == address


def test_settings_for_another_redis(yaml: Callable[[str], Path]) -> None:
    """Only what is about Redis comes from there."""
    here = config.load({"PORT": "9000", "REDIS_URL": "redis://here:1"})
    there = yaml(
        "port: 1\nredis_url: redis://:secret@x\nredis_sentinel_hosts: s:1\nredis_sentinel_name: main\n"
        "redis_sentinel_password: hidden\n"
    )
    found = config.at(str(there), here)
    assert (found.port, found.redis_address) == (9000, "main@s:1")
    assert (found.redis_url, found.redis_sentinel_password) == ("redis://:secret@x", "hidden")
    assert config.at("redis://there:2/5", found).redis_address == "there:2/5"
    assert config.load({"MOVED_TO": str(there)}).moved_to == (str(there),)
    with pytest.raises(SettingsError, match="cannot be read"):
        config.at("nothing.yaml", here)
    with pytest.raises(SettingsError, match=r"nothing.yaml \(MOVED_TO\) cannot be read"):
        config.load({"MOVED_TO": "nothing.yaml"})
