"""What leaves the process as text: no secret, and nothing that a terminal would carry out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from synckairos import output
from synckairos.cli import main
from synckairos.config import load, secrets

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm5hIn0.c2lnbmF0dXJl"
KEY = "sk_4f9a1c_" + 24 * "x"
LINK = f"sl_{64 * 'a'}_{64 * 'b'}"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cannot connect to redis://me:hush@host:6379/0", "cannot connect to redis://me:***@host:6379/0"),
        ("rediss://:p%40ss@[::1]:1/0?ssl_ca_certs=/a", "rediss://:***@[::1]:1/0?ssl_ca_certs=/a"),
        ("postgresql://a:b@c/d?sslpassword=e&x=1", "postgresql://a:***@c/d?sslpassword=***&x=1"),
        ("https://publickey@sentry.example/1", "https://***@sentry.example/1"),
        (f"GET /ws?token={JWT}&session_id=7", "GET /ws?token=***&session_id=7"),
        (f"Authorization: Bearer {KEY}", "Authorization: Bearer ***"),
        (f"synckairos.v1, bearer.{JWT}", "synckairos.v1, bearer.***"),
        (f"/s/7#token={JWT}", "/s/7#token=***"),
        (f"it was {JWT}.", "it was ***."),
        (f"and {KEY}", "and ***"),
        (f"and {LINK}", "and ***"),
        ("whsec_" + 32 * "A", "***"),
        ("the bearer of this", "the bearer of this"),
        ("http://127.0.0.1:8080/v1/sessions", "http://127.0.0.1:8080/v1/sessions"),
        ("FCALL sk_adjust_something 4", "FCALL sk_adjust_something 4"),
    ],
)
def test_secrets_are_known_by_what_they_look_like(text: str, shown: str) -> None:
    assert output.redacted(text) == shown


@pytest.mark.parametrize(
    "text", ["://a:", "http://a", "-eyJabcdef", "eyJabcdef=", "sk_aaaa-", "-sl_aaaa", "token="]
)
def test_no_text_of_a_stranger_takes_long_to_be_looked_at(text: str) -> None:
    """Looked at from each place to its end, a text of 1 MB would take minutes."""
    assert output.redacted(text * (1_000_000 // len(text)))


def test_the_secrets_of_the_settings_are_hidden_wherever_they_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "_known", set())
    given = {
        "REDIS_URL": "redis://me:p%40ssword@host/0",
        "DATABASE_URL": "postgresql://u@h/d?password=another%20one",
        "REDIS_SENTINEL_HOSTS": "host:1",
        "REDIS_SENTINEL_NAME": "game",
        "REDIS_SENTINEL_PASSWORD": "a third one",
        "SENTRY_DSN": "https://the-key@host/1",
        "MOVED_TO": "redis://:the-fifth@there:1",
    }
    output.keep_secret(secrets(load(given)))
    said = output.redacted("p@ssword p%40ssword another one, a third one: the-key (the-fifth) me u game")
    assert said == "*** *** ***, ***: *** (***) me u game"


def test_control_characters_are_shown_as_escapes() -> None:
    text = "a\x1b[2J\r\nb\x07\x9b\u202e\ud800\0 ok é 👨‍👩‍👧"
    assert output.printable(text) == r"a\x1b[2J\r\nb\x07\x9b\u202e\ud800\x00 ok é 👨‍👩‍👧"
    assert output.printable("a\nb\x1b", keep="\n") == "a\nb\\x1b"


def test_an_error_of_a_command_is_only_text(tmp_path: Path) -> None:
    """As where a name in it comes from a file or a server."""
    ended = CliRunner().invoke(main, ["doctor", "--config", "nothing\x1b[31m redis://me:hush@host"])
    assert ended.exit_code != 0
    assert "\x1b" not in ended.output
    assert "hush" not in ended.output
    file = tmp_path / "settings.yaml"
    file.write_text('"evil\\e[31m": 1\n')
    ended = CliRunner().invoke(main, ["serve", "--config", str(file)])
    assert "evil\\x1b[31m" in ended.output
    assert "\x1b" not in ended.output


FAILS = """
import structlog
from synckairos import logs
logs.configure("info", production={production})
log = structlog.get_logger("ours")
def fails(password):
    try:
        raise ValueError("redis://me:" + password + "@host is no address\\n\\x1b[31mfor me")
    except ValueError:
        log.exception("it failed", name="anna\\n\\x1b[2J2026-11-29 [info] all is well")
fails("hu" + "sh" * 4)
"""


@pytest.mark.parametrize("production", [False, True])
def test_a_traceback_has_no_variables_no_secrets_and_no_control_characters(production: bool) -> None:
    said = subprocess.run(
        [sys.executable, "-c", FAILS.format(production=production)],
        capture_output=True,
        text=True,
        check=True,
    ).stderr
    assert "ValueError" in said
    assert "hush" not in said
    assert "redis://me:***@host" in said
    assert "\x1b" not in said
    assert not any(line.startswith("2026-11-29 [info]") for line in said.splitlines())
