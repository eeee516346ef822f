"""`synckairos token` and `synckairos dev --auth`."""

from __future__ import annotations

import re
import stat
import time
from pathlib import Path

import httpx
import jwt
import pytest
from click.testing import CliRunner

from synckairos.cli import main
from tests.auth.conftest import SECRET, bearing
from tests.support.programs import Program


def made(*words: str, environ: dict[str, str], cwd: Path) -> str:
    """A token, as the command prints it."""
    result = CliRunner().invoke(main, ["token", *words, "--data-dir", str(cwd)], env=environ)
    assert result.exit_code == 0, result.output
    return result.stdout.strip()


def test_a_token_for_development(tmp_path: Path) -> None:
    session = "00000000-0000-4000-8000-0000000000ab"
    environ = {"JWT_SECRET": SECRET, "JWT_AUDIENCE": "clock", "JWT_ISSUER": "me"}
    words = ("--sub", "ann", "--tenant", "club", "--role", "player", "--role", "viewer")
    text = made(*words, "--session", session.upper(), "--expires-in", "2h", environ=environ, cwd=tmp_path)
    claims = jwt.decode(text, SECRET, ["HS256"], audience="clock", issuer="me")
    assert claims.pop("exp") - claims["iat"] == 7200
    assert abs(claims.pop("iat") - time.time()) < 60
    assert claims == {
        "sub": "ann",
        "tenant": "club",
        "roles": ["player", "viewer"],
        "session": session,
        "aud": "clock",
        "iss": "me",
    }


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({}, "JWT_SECRET is not set, and"),
        ({"JWT_SECRET": "short"}, "JWT_SECRET must be a secret of at least 32 bytes"),
    ],
)
def test_no_token_without_a_secret(environ: dict[str, str], says: str, tmp_path: Path) -> None:
    words = ["token", "--role", "admin", "--data-dir", str(tmp_path)]
    result = CliRunner().invoke(main, words, env={"JWT_SECRET": "", **environ})
    assert result.exit_code != 0
    assert says in result.stderr
    assert "short" not in result.stderr


def test_dev_with_authentication_prints_an_admins_link(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    words = ("dev", "--auth", "--no-database", "--port", "0", "--data-dir", str(folder))
    with Program(*words) as program:
        http_url, _ = program.ready()
        secret = folder / "jwt-secret"
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
        program.until(lambda: any("#token=" in line for line in program.errors), "no link")
        link = re.search(rf"The console: {re.escape(http_url)}/#token=(\S+)", "".join(program.errors))
        assert link is not None
        path = f"{http_url}/v1/sessions"
        config = {
            "sync_mode": "global",
            "total_time_ms": 60_000,
            "participants": [{"participant_id": "00000000-0000-4000-8000-0000000000ab"}],
        }
        assert httpx.post(path, json=config).status_code == 401
        # What an admin does has to be put on record, and there is no database to do it in.
        assert httpx.post(path, json=config, headers=bearing(link[1])).status_code == 503
        service = made("--role", "service", environ={"JWT_SECRET": ""}, cwd=folder)
        created = httpx.post(path, json=config, headers=bearing(service))
        assert created.json()["data"]["tenant_id"] == "dev"
        session = created.json()["data"]["session_id"]
        assert httpx.get(f"{path}/{session}", headers=bearing(link[1])).status_code == 200
        text = made("--role", "viewer", environ={"JWT_SECRET": ""}, cwd=folder)
        assert httpx.get(f"{path}/{session}", headers=bearing(text)).status_code == 200
        assert httpx.post(f"{path}/{session}/start", headers=bearing(text)).status_code == 403
        assert program.end() == 0
