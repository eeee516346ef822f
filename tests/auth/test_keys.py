"""API keys: made, listed, used and revoked, in PostgreSQL, in Redis alone and in a file."""

from __future__ import annotations

import asyncio
import re
import uuid
from pathlib import Path
from time import monotonic, time

import msgspec
import pytest
import yaml
from click.testing import CliRunner

from synckairos.auth import revocations
from synckairos.auth.grants import ApiKey, new_key
from synckairos.cli import main
from synckairos.core import keys as names
from tests.auth.conftest import SECRET, TENANT, Api, asking, bearing, token
from tests.support.servers import Server

PROMISED_S = 5.0


@pytest.fixture(params=["postgresql", "redis", "file"])
def environ(request: pytest.FixtureRequest, redis: Server, database: str, tmp_path: Path) -> dict[str, str]:
    """The settings of a service and of its commands, for each place where keys can be."""
    made = {"AUTH_MODE": "jwt", "JWT_SECRET": SECRET, "REDIS_URL": redis.url, "RATE_LIMIT_ENABLED": "false"}
    if request.param == "postgresql":
        return made | {"DATABASE_URL": database}
    return made if request.param == "redis" else made | {"API_KEYS_FILE": str(tmp_path / "keys.yaml")}


def command(*words: str) -> str:
    """What `synckairos …` prints, with the settings of the environment."""
    result = CliRunner().invoke(main, [*words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


async def until(api: Api, path: str, bearer: str, status: int) -> float:
    """How long it takes until a request is answered with a status."""
    began = monotonic()
    while await api.status(path, bearer) != status:
        assert monotonic() - began < 2 * PROMISED_S
        await asyncio.sleep(0.05)
    return monotonic() - began


@pytest.mark.one_kind
async def test_a_key_is_made_used_listed_and_revoked(
    redis: Server, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    async with asking(redis.url, **environ) as api, asking(redis.url, **environ) as other:
        session = await api.made(token())
        path = f"/v1/sessions/{session['session_id']}"
        made = await asyncio.to_thread(
            command, "keys", "create", "--tenant", TENANT, "--role", "service", "--role", "viewer"
        )
        key = made.strip()
        assert re.fullmatch(r"sk_[0-9a-f]{16}_[0-9a-f]{64}", key)
        key_id = key.split("_")[1]
        # In a file it is found when the file is read again.
        await until(api, path, key, 200)
        await until(other, path, key, 200)
        events = await api.get(f"{path}/events", headers=bearing(key))
        assert events.json()["data"]["events"][0]["payload"]["actor"] == "ann"
        started = await api.post(f"{path}/start", headers=bearing(key))
        assert started.status_code == 200
        events = await api.get(f"{path}/events?since=1", headers=bearing(key))
        assert events.json()["data"]["events"][0]["payload"]["actor"] == f"key:{key_id}"
        assert await api.status(path, key, "DELETE") == 403
        assert await api.status(path, key[:-1] + ("0" if key[-1] != "0" else "1")) == 401

        async def listed() -> str:
            lines = (await asyncio.to_thread(command, "keys", "list")).splitlines()
            return next(line for line in lines if line.startswith(key_id))

        async with asyncio.timeout(10):
            while "not used" in await listed():
                await asyncio.sleep(0.2)
        line = await listed()
        assert line.startswith(f"{key_id}  {TENANT}  service,viewer  made ")
        assert line.rstrip().endswith("no end")
        assert key.split("_")[2] not in line

        await asyncio.to_thread(command, "keys", "revoke", key_id)
        assert max(await until(api, path, key, 401), await until(other, path, key, 401)) < PROMISED_S + 2
        assert (await listed()).rstrip().endswith("revoked")
        async with asking(redis.url, **environ) as started_later:
            assert await started_later.status(path, key) == 401
        nobodys = await asyncio.to_thread(CliRunner().invoke, main, ["keys", "revoke", "0" * 16])
        assert (nobodys.exit_code, nobodys.stderr) == (1, f"Error: there is no key {'0' * 16}\n")
    stored = await asyncio.to_thread(redis.sync_client().keys, "*")
    assert not [name for name in stored if key.split("_")[2].encode() in name]


async def test_a_key_for_one_session_and_for_a_while(
    redis: Server, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", redis.url)
    mine, other = await api.made(token()), await api.made(token())
    path = f"/v1/sessions/{mine['session_id']}"
    words = ("keys", "create", "--tenant", TENANT, "--role", "player", "--expires-in", "4s")
    bound = ("--session", mine["session_id"], "--participant", mine["participants"][0]["participant_id"])
    began = time()
    key = (await asyncio.to_thread(command, *words, *bound)).strip()
    assert await api.status(path, key) == 200
    assert await api.status(f"/v1/sessions/{other['session_id']}", key) == 404
    assert await api.status(f"{path}/start", key, "POST") == 403
    await until(api, path, key, 401)
    assert time() >= began + 4
    listed = await asyncio.to_thread(command, "keys", "list")
    assert f"session {mine['session_id']}" in listed
    assert "  ended " in listed


@pytest.mark.parametrize(
    "words",
    [
        ("--role", "admin"),
        ("--tenant", TENANT),
        ("--tenant", TENANT, "--role", "emperor"),
        ("--tenant", "", "--role", "admin"),
        ("--tenant", "a\nb", "--role", "admin"),
        ("--tenant", TENANT, "--role", "admin", "--session", "mine"),
        ("--tenant", TENANT, "--role", "admin", "--expires-in", "90"),
        ("--tenant", TENANT, "--role", "admin", "--expires-in", "0d"),
        ("--tenant", TENANT, "--role", "admin", "--expires-in", "999999999d"),
    ],
)
def test_a_key_that_cannot_be_made(words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(main, ["keys", "create", *words])
    assert result.exit_code == 2, result.output


async def test_a_file_that_others_can_read_is_refused(
    redis: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the start, and while the service runs, when what was read before goes on to hold."""
    file = tmp_path / "keys.yaml"
    environ = {"AUTH_MODE": "jwt", "JWT_SECRET": SECRET, "API_KEYS_FILE": str(file), "REDIS_URL": redis.url}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    words = ["keys", "create", "--tenant", TENANT, "--role", "admin"]
    key = (await asyncio.to_thread(CliRunner().invoke, main, words)).stdout.strip()
    assert file.stat().st_mode & 0o777 == 0o600
    assert key.split("_")[2] not in file.read_text()
    path = f"/v1/sessions/{uuid.uuid4()}"
    async with asking(redis.url, **environ) as api:
        assert await api.status(path, key) == 404
        file.write_text("keys: [")
        file.chmod(0o644)
        await asyncio.sleep(2.5)
        assert await api.status(path, key) == 404
        file.unlink()
        await until(api, path, key, 401)
    file.write_text("keys: []")
    file.chmod(0o640)
    refused = await asyncio.to_thread(CliRunner().invoke, main, words)
    assert refused.exit_code == 2
    assert "API_KEYS_FILE must be a file that only its owner can read" in refused.stderr


async def test_a_key_in_a_file_is_what_the_file_says_now(redis: Server, tmp_path: Path) -> None:
    """Also for a process that remembers what it was. One that comes back is good again at once."""
    file = tmp_path / "keys.yaml"
    key, bearer = new_key(TENANT, ["admin"], time())

    def write(*keys: ApiKey) -> None:
        file.touch(0o600)
        file.write_text(yaml.safe_dump({"keys": [msgspec.to_builtins(each) for each in keys]}))

    write(key)
    async with asking(redis.url, API_KEYS_FILE=str(file)) as api:
        path = f"/v1/sessions/{(await api.made(bearer))['session_id']}"
        session_id = path.rpartition("/")[2]
        async with api.running.follow(session_id, additional_headers=bearing(bearer)) as watcher:
            write(msgspec.structs.replace(key, roles=["viewer"]))
            assert await watcher.closed() == 4403
        assert await api.status(f"{path}/links", bearer) == 403
        write(msgspec.structs.replace(key, tenant="other"))
        await until(api, path, bearer, 404)
        write()
        await until(api, path, bearer, 401)
        write(key)
        await until(api, path, bearer, 200)


async def test_where_keys_cannot_be_asked_for_it_is_503_and_not_yes(
    own_redis: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that has not heard for 4 s what was revoked does not let in whom it remembers, either."""
    monkeypatch.setattr(revocations, "FRESH_S", 1.5)
    async with asking(own_redis.url) as api:
        good = token()
        other = f"/v1/sessions/{uuid.uuid4()}"
        assert await api.status(other, good) == 404
        own_redis.stop()
        assert await api.status(other, "sk_" + "0" * 16 + "_" + "0" * 64) == 503
        await asyncio.sleep(1.6)
        assert await api.status(other, good) == 503
        assert await api.status(other, "no token") == 503


def test_names_of_keys_in_redis() -> None:
    assert names.api_key("ab") == "sk:auth:key:ab"
    assert names.links("x") == "sk:auth:links:x"
