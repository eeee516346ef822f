"""`synckairos import` from one real server to another."""

from __future__ import annotations

import asyncio
import json
import signal
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any
from unittest.mock import ANY

import pytest
import redis as client_library
import redis.asyncio

from synckairos.core.calls import Sessions
from synckairos.core.connection import connect
from synckairos.core.keys import SessionKeys, parse_session_key
from synckairos.importing.importer import Choice, Outcome, import_all
from tests.importing.olders import Json, P, live, over, person, session
from tests.support import programs
from tests.support.live import eventually, service, settings
from tests.support.pool import Pool
from tests.support.programs import Program
from tests.support.servers import Server

TTL_S = 3000


@pytest.fixture
def source(pool: Pool) -> Iterator[client_library.Redis]:
    """The server of the older service, with nothing in it."""
    with pool.server("valkey", "the older service").sync_client() as client:
        client.flushall()
        yield client


def url(client: client_library.Redis) -> str:
    return f"redis://127.0.0.1:{client.connection_pool.connection_kwargs['port']}/0"


def now(client: client_library.Redis) -> int:
    seconds, microseconds = client.time()
    return int(seconds) * 1000 + int(microseconds) // 1000


def put(client: client_library.Redis, old: Json | bytes, session_id: str | None = None) -> str:
    """Writes a session as that service does. Returns its id."""
    session_id = session_id or str(uuid.uuid4())
    text = old if isinstance(old, bytes) else json.dumps({**old, "session_id": session_id}).encode()
    client.set(f"session:{session_id}", text, ex=TTL_S)
    return session_id


def game(**more: Any) -> Json:
    return session("per_participant", person(0, 600_000), person(1, 500_000), **more)


def keys(client: client_library.Redis) -> list[str]:
    return [key.decode() for key in client.scan_iter() if isinstance(key, bytes)]


def contents(client: client_library.Redis) -> dict[str, tuple[Any, Any]]:
    """Every key with its bytes and the time at which it ends."""
    return {key: (client.dump(key), client.pexpiretime(key)) for key in keys(client)}


def stored(client: client_library.Redis) -> set[str]:
    """The ids of the sessions here."""
    found = (parse_session_key(key) for key in keys(client))
    return {session_id for session_id in found if session_id is not None}


def state(client: client_library.Redis, session_id: str) -> Json:
    found: Json = json.loads(client.fcall_ro("sk_get", 1, SessionKeys.of(session_id).session))
    return found


def test_everything_is_imported_and_the_source_stays_as_it_is(
    redis: Server, source: client_library.Redis
) -> None:
    """The second run finds nothing to do; what cannot be imported is listed by both."""
    ids = [put(source, live(game(), 1, 4000, now(source))) for _ in range(30)]
    ids += [put(source, game()), put(source, over(game(), "completed", now(source)))]
    broken = put(source, b"{")
    unknown = put(source, {**game(), "sync_mode": "chess"})
    elsewhere = put(source, json.dumps(game()).encode())
    source.set("session:no-id", "{}", ex=TTL_S)
    capital = put(source, game(), ids[0].upper())
    source.rpush("session:" + (listed := str(uuid.uuid4())), "x")
    source.expire(f"session:{listed}", TTL_S)
    source.set("sessions", "not of that service", ex=TTL_S)
    before = contents(source)

    with redis.sync_client() as client:
        client.flushall()
    dry = programs.run("import", "--from", url(source), "--dry-run", REDIS_URL=redis.url)
    assert "32 sessions could be imported, 0 were there\n" in dry.stdout, dry.stdout + dry.stderr
    with redis.sync_client() as client:
        assert stored(client) == set()

        first = programs.run("import", "--from", url(source), "--tenant", "club", REDIS_URL=redis.url)
        assert first.returncode == 1
        assert "Traceback" not in first.stderr
        *bad, summary = first.stdout.splitlines()
        assert summary == "32 sessions imported, 0 were there"
        reasons = dict(line.removeprefix("session:").split(": ", 1) for line in bad)
        # One of two keys that differ in capital letters comes first, and the other one is the bad one.
        (twice,) = reasons.keys() & {capital, ids[0]}
        assert reasons.pop(twice).startswith("the same id as session:")
        assert reasons.keys() == {broken, unknown, elsewhere, listed, "no-id"}
        assert reasons["no-id"] == "the key ends with no UUID"
        assert reasons[listed] == "the key holds no text"
        assert reasons[elsewhere] == "session_id is another one than the key's"
        assert "6 could not be imported" in first.stderr
        assert stored(client) == set(ids)
        found = state(client, ids[1])
        assert (found["status"], found["tenant_id"]) == ("running", "club")
        imported = {key: client.dump(key) for key in keys(client)}

        second = programs.run("import", "--from", url(source), "--tenant", "club", REDIS_URL=redis.url)
        assert second.stdout.splitlines()[-1] == "0 sessions imported, 32 were there"
        assert {key: client.dump(key) for key in keys(client)} == imported
    assert contents(source) == before


def test_a_run_that_is_stopped_is_run_again(redis: Server, source: client_library.Redis) -> None:
    ids = {put(source, live(game(), 1, 4000, now(source))) for _ in range(60)}
    with redis.sync_client() as client:
        client.flushall()
        with Program("import", "--from", url(source), "--rate", "20", REDIS_URL=redis.url) as program:
            program.until(lambda: len(stored(client)) >= 10, "the first ones")
            assert program.end(signal.SIGINT) == 1
            assert "stopped; run it again" in "".join(program.errors)
            assert "Traceback" not in "".join(program.errors)
        before = stored(client)
        assert len(before) < 60
        rest = programs.run("import", IMPORT_FROM=url(source), REDIS_URL=redis.url)
        assert rest.stdout == f"{60 - len(before)} sessions imported, {len(before)} were there\n"
        assert stored(client) == ids


def test_servers_that_do_not_answer_and_wrong_urls(source: client_library.Redis, redis: Server) -> None:
    away = "redis://127.0.0.1:1/0"
    for arguments, to, said in (
        ((away,), redis.url, "the Redis of the older service does not answer"),
        ((url(source),), away, "the Redis of this service (127.0.0.1:1) does not answer"),
        (("http://127.0.0.1/",), redis.url, "--from"),
    ):
        put(source, b"{")
        run = programs.run("import", "--from", *arguments, REDIS_URL=to)
        assert run.returncode in (1, 2)
        assert said in run.stderr
        assert "Traceback" not in run.stderr, run.stderr
        assert run.stdout == ""


def test_an_import_that_finds_nothing_fails_and_what_was_not_asked_for_is_not_bad(
    redis: Server, source: client_library.Redis
) -> None:
    def brought(*arguments: str, origin: str) -> tuple[int, str]:
        run = programs.run("import", "--from", origin, *arguments, REDIS_URL=redis.url)
        return run.returncode, run.stdout + run.stderr

    with redis.sync_client() as client:
        client.flushall()
    source.set("sessions", "not of that service", ex=TTL_S)
    for origin in (url(source), redis.url):
        code, said = brought(origin=origin)
        assert code == 1
        assert "there is no key session:* there" in said
    for of_range in ("--percent", "--rate"):
        assert brought(of_range, "nan", origin=url(source)) == (2, ANY)
    put(source, b"{")
    put(source, {**game(), "tenant_id": "club", "sync_mode": "chess"})
    source.set("session:no-id", json.dumps({"tenant_id": "club"}), ex=TTL_S)
    code, said = brought("--percent", "0", origin=url(source))
    assert (code, said.splitlines()[0]) == (0, "0 sessions imported, 0 were there, 3 were not asked for")
    code, said = brought("--only-tenants", "acme", origin=url(source))
    assert code == 1, "whose a text is that is no JSON is not known"
    assert "1 could not be imported" in said
    assert "2 were not asked for" in said
    _, said = brought("--only-tenants", "club", origin=url(source))
    assert "3 could not be imported" in said


class Skewed(client_library.asyncio.Redis):
    """The older service's server, with a clock that is 3 s ahead."""

    async def time(self, **_: Any) -> Any:
        seconds, microseconds = await super().time()
        return seconds + 3, microseconds


@pytest.fixture
async def sessions(redis: Server) -> AsyncIterator[Sessions]:
    connection = await connect(settings(redis.url))
    try:
        yield Sessions(connection, 600)
    finally:
        await connection.aclose()


async def test_a_part_of_all_and_some_tenants(
    source: client_library.Redis, redis: Server, sessions: Sessions
) -> None:
    """Who is among a few percent is also among more."""
    ids = {put(source, game(metadata={"tenant_id": "club"})) for _ in range(60)}
    league = {put(source, {**game(), "tenant_id": "league"}) for _ in range(20)}
    none = {put(source, game()) for _ in range(20)}
    parts: list[set[str]] = []
    with redis.sync_client() as client:
        client.flushall()

        async def brought(choice: Choice) -> Outcome:
            outcome = Outcome()
            async with client_library.asyncio.Redis.from_url(url(source), protocol=2) as older:
                await import_all(older, sessions, choice, outcome, rate=10_000)
            parts.append(stored(client))
            return outcome

        for percent in (10, 50, 50, 100):
            await brought(Choice(percent, {"club", "league"}))
        assert parts[0] <= parts[1] == parts[2] < parts[3] == ids | league
        assert parts[1] == {each for each in ids | league if Choice(percent=50).has(each)}
        assert parts[1]
        assert {state(client, each)["tenant_id"] for each in ids} == {"club"}
        assert await brought(Choice(tenants={"x"})) == Outcome(left_out=100)
        assert await brought(Choice(tenant="x")) == Outcome(imported=20, there=80)
        assert {state(client, each)["tenant_id"] for each in none} == {"x"}
        client.flushall()
        flags = ("--only-tenants", "club, x", "--tenant", "x", "--percent", "50")
        run = await asyncio.to_thread(
            programs.run, "import", "--from", url(source), *flags, REDIS_URL=redis.url
        )
        assert run.returncode == 0, run.stderr
        assert stored(client) == {each for each in ids | none if Choice(percent=50).has(each)}


async def test_deadlines_between_servers_whose_clocks_differ(
    source: client_library.Redis, redis: Server, sessions: Sessions
) -> None:
    """The error is at most that of the two measurements, which is half of a round trip each."""
    start = now(source)
    ids = [put(source, live(game(), 1, 4000, start + 3000)) for _ in range(20)]
    outcome = Outcome()
    async with Skewed.from_url(url(source), protocol=2) as older:
        await import_all(older, sessions, Choice(), outcome, rate=1000)
    assert (outcome.imported, outcome.bad) == (20, {})
    with redis.sync_client() as client:
        ahead = now(client) - now(source)  # both run on this machine
        for session_id in ids:
            error = state(client, session_id)["deadline_ms"] - (start - 4000 + 500_000)
            assert abs(error - ahead) <= 30, error


async def test_a_service_here_goes_on_with_what_comes(source: client_library.Redis, redis: Server) -> None:
    """The clock runs out in time, although the service has never seen the session before."""
    async with service(settings(redis.url)) as here:
        old = live(session("per_participant", person(0, 5000), person(1, 60_000)), 0, 3500, now(source))
        session_id = put(source, old)
        run = await asyncio.to_thread(programs.run, "import", "--from", url(source), REDIS_URL=redis.url)
        assert run.returncode == 0, run.stderr
        async with here.watch(session_id) as watcher:
            await watcher.next("CONNECTED")
            first = await watcher.next("STATE_SYNC")
            assert first["payload"]["full_state"]["active_participant_id"] == P[0]
            with redis.sync_client() as client:
                await eventually(lambda: state(client, session_id)["participants"][0]["has_expired"])
