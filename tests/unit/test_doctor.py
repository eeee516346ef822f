"""The doctor without servers: what it says of settings and this machine, and how its checks are bounded."""

import asyncio
import dataclasses
import importlib.metadata
import re
import resource
import socket
import ssl
import sys
import threading
from pathlib import Path

import pytest
from redis.exceptions import AuthenticationError
from redis.exceptions import ConnectionError as RedisConnectionError
from structlog.testing import capture_logs

from synckairos.config import Settings
from synckairos.doctor import archive, cli, configured, findings, machine
from synckairos.doctor.configured import masked
from synckairos.doctor.findings import Area, Finding, Report
from synckairos.doctor.trouble import network_trouble, redis_trouble, release, why
from synckairos.run import data_folder, serve
from synckairos.run.processes import free_port


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        ("redis://:hidden@h:6379/0", "redis://:***@h:6379/0"),
        ("rediss://app:hidden@h/1", "rediss://app:***@h/1"),
        ("unix://:hidden@/run/redis.sock", "unix://:***@/run/redis.sock"),
        ("redis://h/0?password=hidden", "redis://h/0?***"),
        ("postgresql://u:hidden@a:1,b:2/db", "postgresql://u:***@a:1,b:2/db"),
        ("postgresql://u@h/db", "postgresql://u@h/db"),
        ("postgresql://u:12/hidden@h/db", "***"),
        ("postgresql://u:12?hidden@h/db", "***"),
        ("https://hidden@sentry.example/1", "https://***@sentry.example/1"),
        ("hidden", "***"),
        ("redis://[hidden", "***"),
    ],
)
def test_a_secret_is_never_shown(text: str, shown: str) -> None:
    assert masked(text) == shown
    assert "hidden" not in shown


def test_every_setting_is_shown_with_where_it_comes_from(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(
        "port: 9000\nworkers: 2\nhost: null\nallowed_origins: [https://a.example, https://b.example]\n"
    )
    environ = {
        "PORT": "9001",
        "SESSION_TTL": " ",
        "TRUSTED_PROXIES": "10.0.0.0/8, ::1",
        "REDIS_CLUSTER_NODES": "a:1,[::1]:2",
        "WORKERS": "",
    }
    shown = {setting.name: setting for setting in configured.configured(environ, file)}
    assert list(shown) == [field.name.upper() for field in dataclasses.fields(Settings)]
    expected = {
        "PORT": ("9001", "environment"),
        "WORKERS": ("2", "file"),
        "ALLOWED_ORIGINS": ("https://a.example,https://b.example", "file"),
        "REDIS_CLUSTER_NODES": ("a:1,[::1]:2", "environment"),
        "TRUSTED_PROXIES": ("10.0.0.0/8,::1/128", "environment"),
        "HOST": ("127.0.0.1", "default"),
        "SESSION_TTL": ("3600", "default"),
        "ENABLE_CORS": ("false", "default"),
        "DATABASE_URL": (None, "default"),
    }
    assert {name: (shown[name].value, shown[name].source) for name in expected} == expected


ADDRESSES = {
    "HTTP_URL": "http://[::1]:8081",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "RQ_REDIS_URL": "redis://127.0.0.1:1/1",
    "DATABASE_URL": "postgresql://127.0.0.1:2/db",
}


@pytest.mark.parametrize("name", data_folder.SERVERS)
def test_a_data_folder_counts_when_no_setting_says_where_the_servers_are(name: str, tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    with data_folder.locked(tmp_path), data_folder.announced(tmp_path, ADDRESSES):
        servers = {key: value for key, value in ADDRESSES.items() if key != "HTTP_URL"}
        assert configured.of_dev({}, None, tmp_path) == {**servers, "HOST": "::1", "PORT": "8081"}
        assert configured.of_dev({"PORT": "9", name: " "}, None, tmp_path) == {**servers, "HOST": "::1"}
        assert configured.of_dev({name: "given"}, None, tmp_path) == {}
        file.write_text(f"{name.lower()}: given\n")
        assert configured.of_dev({}, file, tmp_path) == {}
        file.write_text("host: 0.0.0.0\nallow_insecure: true\n")
        assert configured.of_dev({}, file, tmp_path) == {**servers, "PORT": "8081"}
    assert configured.of_dev({}, None, tmp_path) == {}


def test_a_wrong_setting_is_shown_as_it_was_given_and_a_wrong_secret_is_not() -> None:
    shown = {
        setting.name: setting.value
        for setting in configured.configured(
            {"PORT": "http", "REDIS_URL": "hidden", "SENTRY_DSN": "hidden"}, None
        )
    }
    assert (shown["PORT"], shown["REDIS_URL"], shown["SENTRY_DSN"]) == ("http", "***", "***")


@pytest.mark.parametrize("text", ["- a", "a: [", "\x00"])
def test_a_file_that_cannot_be_used_sets_nothing(text: str, tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(text)
    assert {setting.source for setting in configured.configured({}, file)} == {"default"}


def test_all_wrong_settings_are_found_at_once_and_no_server_is_asked() -> None:
    report = cli.diagnose({"PORT": "http", "WORKERS": "0", "LOG_LEVEL": "loud"}, None, [])
    wrong = [finding for finding in report.checks if finding.status == "failure"]
    assert [finding.message.split()[0] for finding in wrong] == ["PORT", "WORKERS", "LOG_LEVEL"]
    assert {finding.area for finding in report.checks} == {"This machine", "Settings", "Servers"}
    assert report.status == "failure"


def test_production_without_asking_who_somebody_is_fails() -> None:
    report = cli.diagnose({"ENVIRONMENT": "production"}, None, [])
    assert any("AUTH_MODE" in finding.message for finding in report.checks if finding.status == "failure")


@pytest.mark.parametrize(("host", "status"), [("127.0.0.1", "ok"), ("::1", "ok"), ("0.0.0.0", "warning")])
async def test_without_authentication_it_matters_who_can_reach_the_service(host: str, status: str) -> None:
    area = Area("Settings")
    await area.run(configured.check(area, Settings(host=host), []))
    assert area.findings[-1].status == status


@pytest.mark.parametrize(
    ("version", "wanted", "fits"),
    [
        ("1.16", ">=1.16", True),
        ("1.16.1", ">=1.16", True),
        ("1.9", ">=1.16", False),
        ("8.1.0", "<9,>=8.1", True),
        ("9.0", "<9,>=8.1", False),
        ("9.1.2.post2", ">=9.1", True),
        ("2.0b1", ">=2.0", True),
        ("3.11.7", ">=3.11", True),
        ("1.0", "", True),
    ],
)
def test_a_version_fits_a_requirement(version: str, wanted: str, fits: bool) -> None:
    assert machine._satisfies(version, wanted) is fits


def test_a_release_is_what_a_version_begins_with() -> None:
    assert release("18.6 (Debian 18.6-1)") == (18, 6)
    assert release("unknown") == ()


async def test_a_package_that_is_missing_and_one_that_is_too_old_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    installed = {"asyncpg": None, "rq": "2.9", "redis": "8.1.0", "zstandard": None}

    def version(name: str) -> str:
        found = installed[name]
        if found is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return found

    required = ["asyncpg>=0.30", "rq<4,>=3.0", "redis[x]<9,>=8.1", "pytest>=8; extra == 'dev'"]
    required += ['zstandard>=0.25; extra == "server"', "synckairos[server]; extra == 'dev-servers'"]
    monkeypatch.setattr(importlib.metadata, "requires", lambda _: required)
    monkeypatch.setattr(importlib.metadata, "version", version)
    area = Area("This machine")
    await area.run(machine.packages(area))
    [finding] = area.findings
    assert finding.status == "failure"
    assert finding.message == "asyncpg is missing; rq is 2.9, and <4,>=3.0 is needed; zstandard is missing"


@pytest.mark.parametrize(
    ("limit", "status"),
    [(1024, "warning"), (10_255, "warning"), (10_256, "ok"), (resource.RLIM_INFINITY, "ok")],
)
async def test_open_files_have_to_suffice_for_the_websockets(
    limit: int, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    area = Area("This machine")
    await area.run(machine.open_files(area, Settings(max_websockets=10_000)))
    [finding] = area.findings
    assert finding.status == status
    if status == "warning":
        assert "LimitNOFILE=10256" in (finding.remedy or "")


async def test_a_check_that_does_not_end_is_cut_off_and_keeps_what_it_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(findings, "CHECK_S", 0.05)
    area = Area("Redis")

    async def check() -> None:
        area.ok("reachable", "answers")
        await asyncio.Event().wait()

    async def never() -> None:
        raise AssertionError

    found = await area.run(check(), never())
    assert [(finding.check, finding.status) for finding in found] == [
        ("reachable", "ok"),
        ("answer", "failure"),
    ]


async def test_a_check_that_fails_says_why_in_one_line() -> None:
    area = Area("Redis")

    async def check() -> None:
        raise RuntimeError("first\nsecond")

    [finding] = await area.run(check())
    assert finding.status == "failure"
    assert "first second" in finding.message


def test_the_end_does_not_wait_for_a_thread_that_stands_still() -> None:
    held = threading.Event()

    async def ask() -> str:
        asyncio.get_running_loop().set_default_executor(cli._Abandoned())
        assert await asyncio.to_thread(lambda: 7) == 7
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 // 0)
        try:
            async with asyncio.timeout(0.05):
                await asyncio.to_thread(held.wait)
        except TimeoutError:
            return "gave up"
        return "waited"

    try:
        assert asyncio.run(ask()) == "gave up"  # would never end if it waited
    finally:
        held.set()


def areas_of(**environ: str) -> dict[str, str]:
    """What the doctor says about servers that are not there, by area."""
    away = {"PORT": "0", "REDIS_URL": f"redis://127.0.0.1:{free_port()}/0", **environ}
    found: dict[str, str] = {}
    for finding in cli.diagnose(away, None, []).checks:
        found[finding.area] = found.get(finding.area, "") + finding.message
    return found


def test_where_a_package_is_missing_all_else_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    import synckairos.audit

    monkeypatch.delitem(sys.modules, "synckairos.audit.jobs", raising=False)
    monkeypatch.delattr(synckairos.audit, "jobs", raising=False)
    monkeypatch.setitem(sys.modules, "rq", None)
    found = areas_of(DATABASE_URL=f"postgresql://127.0.0.1:{free_port()}/synckairos")
    assert {"Redis", "PostgreSQL", "Audit queue", "Outbox"} <= found.keys()
    assert "rq" in found["Audit queue"]
    assert "rq" not in found["PostgreSQL"]


def test_where_a_part_cannot_be_imported_the_others_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    import synckairos.doctor

    monkeypatch.delattr(synckairos.doctor, "archive", raising=False)
    monkeypatch.setitem(sys.modules, "synckairos.doctor.archive", None)
    found = areas_of()
    assert "Redis" in found
    assert "archive" in found["Doctor"]


def caused(by: BaseException) -> BaseException:
    error = RedisConnectionError("Error connecting")
    error.__cause__ = by
    return error


@pytest.mark.parametrize(
    ("error", "message", "remedy"),
    [
        (caused(ConnectionRefusedError(111, "refused")), "nothing listens at h:1", "start Redis or Valkey"),
        (
            caused(socket.gaierror(-2, "Name or service not known")),
            "the name in h:1 is not known",
            "REDIS_URL",
        ),
        (caused(TimeoutError()), "does not answer within", "firewall"),
        (RedisConnectionError("Timeout connecting to server"), "does not answer within", "firewall"),
        (caused(ssl.SSLError("WRONG_VERSION_NUMBER")), "does not do TLS", "certificate"),
        (
            AuthenticationError("invalid username-password pair"),
            "refuses the user or the password",
            "user:password@",
        ),
        (
            RedisConnectionError("NOAUTH Authentication required."),
            "refuses the user or the password",
            "user:password@",
        ),
        (RedisConnectionError("LOADING Redis is loading"), "still reading its data", "wait"),
        (RedisConnectionError("Protocol error"), "cannot be used: Protocol error", "REDIS_URL"),
    ],
)
def test_what_keeps_redis_away_has_a_remedy(error: BaseException, message: str, remedy: str) -> None:
    said, advice = redis_trouble(error, "h:1", "REDIS_URL")
    assert message in said
    assert remedy in advice


def test_an_error_without_words_is_called_by_its_kind() -> None:
    assert why(TimeoutError()) == "TimeoutError"
    assert network_trouble(OSError(), "h:1", "X", "start it")[0] == "h:1 cannot be used: OSError"


def report(*statuses: findings.Status) -> Report:
    checks = [
        Finding("Redis", f"check {status}", status, f"it is {status}", "mend it") for status in statuses
    ]
    return Report(
        "1.2.3",
        "ok",
        [findings.Setting("PORT", "1", "file"), findings.Setting("HOST", None, "default")],
        checks,
    )


@pytest.mark.parametrize(
    ("statuses", "last"),
    [
        (["ok"], "Nothing: all is well."),
        (["ok", "warning"], "1 warning: the service works"),
        (["warning", "failure", "failure"], "2 failures and 1 warning"),
    ],
)
def test_what_to_do_stands_at_the_end_the_worst_first(
    statuses: list[findings.Status], last: str, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = cli._Terminal()
    made = report(*statuses)
    terminal.settings(made.settings, None)
    terminal.checks(made)
    lines = capsys.readouterr().out.splitlines()
    assert "  HOST  -  default" in lines
    assert lines[-1] == last
    to_do = lines[lines.index("What to do") + 1 : -1]
    assert sum("mend it" in line for line in to_do) == len([status for status in statuses if status != "ok"])
    words = [line.split()[0] for line in to_do if line.split()[0] in ("failure", "warning")]
    assert words == sorted(words)


def test_a_password_where_an_address_belongs_is_not_shown() -> None:
    shown = configured.configured({"REDIS_SENTINEL_HOSTS": "user:secret@sentinel-1:26379"}, None)
    assert {setting.value for setting in shown if setting.name == "REDIS_SENTINEL_HOSTS"} == {"***"}


async def test_admins_who_can_change_nothing_are_told_of_at_the_start_and_by_the_doctor() -> None:
    """What admins change has to be on record first, which takes a database."""
    settings = Settings(auth_mode="jwt", jwt_secret="x" * 32)
    for given, told in (
        (settings, True),
        (Settings(), False),
        (dataclasses.replace(settings, database_url="postgresql://127.0.0.1:1/none"), False),
    ):
        with capture_logs() as logs:
            serve.warn(given)
        assert bool(logs) is told
    warned = {finding.check: finding for finding in await archive.audit(settings)}
    assert warned["AUTH_MODE"].status == "warning"
    assert "503" in warned["AUTH_MODE"].message
    assert "AUTH_MODE" not in {finding.check for finding in await archive.audit(Settings())}


@pytest.mark.parametrize(
    ("used_s", "named"),
    [
        ({1: 0.05, 2: 0.2}, []),
        ({1: 0.05, 2: 0.3}, [2]),
        # All cores are busy, so that each of many has little of one.
        ({1: 0.2, 2: 0.22, 3: 0.24, 4: 0.24, 5: 0.02}, [3, 4, 2, 1]),
    ],
)
async def test_who_keeps_the_processors_busy_is_named(
    used_s: dict[int, float], named: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter((dict.fromkeys(used_s, 0.0), used_s))
    moments = iter((0.0, machine.WATCHED_S))
    monkeypatch.setattr(machine, "_used", lambda: next(looks))
    monkeypatch.setattr(machine, "monotonic", lambda: next(moments))
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    area = Area("This machine")
    await machine.processors(area)
    (found,) = area.findings
    assert found.status == ("warning" if named else "ok")
    assert [int(word) for word in re.findall(r"process (\d+) ", found.message)] == named
