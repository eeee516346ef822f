"""TLS to each server, with certificates of an authority that only the settings know, and of a wrong one."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from synckairos.audit.jobs import Jobs
from synckairos.audit.schema import MigrationFailed, migrate
from synckairos.config import load
from synckairos.core.calls import Sessions
from synckairos.core.connection import connect
from synckairos.doctor.cli import diagnose
from synckairos.doctor.findings import Finding
from tests.support import live, postgres, servers
from tests.support.certificates import Authority
from tests.support.pool import Pool
from tests.support.servers import Kind, Server


@dataclass
class Authorities:
    """ours: the one of the servers; theirs: another one, which the Sentinels have; wrong: nobody's"""

    ours: Authority
    theirs: Authority
    wrong: Authority


@pytest.fixture(scope="module")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> Authorities:
    folder = tmp_path_factory.mktemp("authorities")
    return Authorities(*(Authority(folder / name) for name in ("ours", "theirs", "wrong")))


def kinds() -> list[Kind]:
    """The kinds of servers that do TLS: Debian's Redis does, the Valkey that comes along may not."""
    return [kind for kind in servers.available() if does_tls(kind)]


def does_tls(kind: Kind) -> bool:
    said = subprocess.run(
        [servers.binary(kind), "--port", "0", "--tls-port", "1", "--tls-cert-file", "/nowhere"],
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    ).stdout
    return "Failed to configure TLS" in said or "/nowhere" in said


@pytest.fixture(scope="module", params=kinds())
def encrypted(request: pytest.FixtureRequest, authorities: Authorities) -> Iterator[Server]:
    """A server that is reached by TLS only, at two addresses, of which its certificate has one."""
    ours = authorities.ours
    with servers.start(request.param, ours.access, bind="127.0.0.1 127.0.0.2", **ours.options) as server:
        yield server


def url(server: Server, authority: Authority, host: str = "127.0.0.1") -> str:
    return f"rediss://{host}:{server.port}/0?ssl_ca_certs={authority.ca}"


def finding(area: str, **environ: str) -> Finding:
    """What the doctor says about whether a server is reachable."""
    report = diagnose({"PORT": "0", **environ}, None, [])
    return next(each for each in report.checks if each.area.startswith(area) and each.check != "primary")


def test_at_least_one_kind_of_server_does_tls() -> None:
    """Else none of these tests would run; only a machine without `redis-server` has an excuse."""
    assert kinds() or shutil.which("redis-server") is None


async def test_the_service_works_over_tls(encrypted: Server, authorities: Authorities) -> None:
    async with live.service(live.settings(url(encrypted, authorities.ours))) as service:
        session_id = await live.game(service.sessions, start=False)
        async with service.follow(session_id) as watcher:
            await service.sessions.start(session_id)
            assert "session.started" in str(await watcher.next())


async def test_a_server_that_hangs_does_not_hold_up_the_end(
    encrypted: Server, authorities: Authorities
) -> None:
    """TLS ends with an answer of the server, which nobody waits for."""
    connection = await connect(load({"REDIS_URL": url(encrypted, authorities.ours)}))
    (client,) = await connection.primaries()
    await client.ping()
    encrypted.pause()
    try:
        await connection.aclose()
    finally:
        encrypted.resume()


@pytest.mark.parametrize("setting", ["REDIS_URL", "RQ_REDIS_URL"])
def test_a_redis_with_a_certificate_that_is_not_trusted(
    setting: str, encrypted: Server, authorities: Authorities
) -> None:
    """Nothing is sent to it, and the doctor says why, and what to do."""
    given = {setting: url(encrypted, authorities.wrong)}
    area = "Redis" if setting == "REDIS_URL" else "Audit queue"
    found = finding(area, DATABASE_URL="postgresql://nobody@127.0.0.1:1/none", **given)
    assert found.status == "failure"
    assert "certificate" in found.message
    assert "not trusted" in found.message
    assert "ssl_ca_certs" in (found.remedy or "")


def test_a_certificate_for_another_host_is_not_trusted(encrypted: Server, authorities: Authorities) -> None:
    found = finding("Redis", REDIS_URL=url(encrypted, authorities.ours, host="127.0.0.2"))
    assert found.status == "failure"
    assert "mismatch" in found.message


def test_the_queue_works_over_tls(encrypted: Server, authorities: Authorities) -> None:
    given = {"REDIS_URL": "redis://127.0.0.1:1", "RQ_REDIS_URL": url(encrypted, authorities.ours)}
    with closing(Jobs.of(load(given))) as jobs:
        assert jobs.counts().queued == 0


async def test_sentinels_have_a_login_and_an_authority_of_their_own(
    encrypted: Server, authorities: Authorities, tmp_path: Path
) -> None:
    ours, theirs = authorities.ours, authorities.theirs
    both = tmp_path / "both.pem"
    both.write_bytes(ours.ca.read_bytes() + theirs.ca.read_bytes())
    options = {**theirs.options, "tls_ca_cert_file": str(both)}
    lines = [f"{name.replace('_', '-')} {value}" for name, value in options.items()]
    lines.append("user service on >hush allchannels +@all")
    access = {**theirs.access, "username": "service", "password": "hush"}
    with servers.start_sentinel(encrypted, "game", access, lines) as sentinel:
        given = {
            "REDIS_URL": url(encrypted, ours),
            "REDIS_SENTINEL_HOSTS": f"127.0.0.1:{sentinel.port}",
            "REDIS_SENTINEL_NAME": "game",
            "REDIS_SENTINEL_USER": "service",
            "REDIS_SENTINEL_PASSWORD": "hush",
            "REDIS_SENTINEL_CA": str(theirs.ca),
        }
        async with await connect(load(given)) as connection:
            assert (await Sessions(connection, 60).info()).version == connection.library.version
        with closing(Jobs.of(load(given))) as jobs:
            assert jobs.counts().queued == 0
        for wrong, words in (
            ({"REDIS_SENTINEL_CA": str(authorities.wrong.ca)}, "REDIS_SENTINEL_CA"),
            ({"REDIS_SENTINEL_CA": ""}, "REDIS_SENTINEL_CA"),
            ({"REDIS_SENTINEL_PASSWORD": "wrong"}, "REDIS_SENTINEL_PASSWORD"),
        ):
            found = await asyncio.to_thread(finding, "Sentinel", **{**given, **wrong})
            assert found.status == "failure"
            assert words in (found.remedy or "")


@pytest.mark.parametrize("kind", kinds())
async def test_a_cluster_works_over_tls(kind: Kind, authorities: Authorities) -> None:
    ours = authorities.ours
    with servers.start_cluster(kind, access=ours.access, tls_cluster="yes", **ours.options) as cluster:
        first = cluster.primaries[0]
        given = {"REDIS_URL": url(first, ours), "REDIS_CLUSTER_NODES": cluster.nodes}
        async with await connect(load(given)) as connection:
            assert len(await connection.primaries()) == 3
            session_id = await live.game(Sessions(connection, 60))
            assert (await Sessions(connection, 60).get(session_id)).version == 2
        found = await asyncio.to_thread(
            finding, "Cluster", **{**given, "REDIS_URL": url(first, authorities.wrong)}
        )
        assert "not trusted" in found.message
        assert "ssl_ca_certs" in (found.remedy or "")


@contextmanager
def encrypting(url: str, authority: Authority) -> Iterator[None]:
    """Has a PostgreSQL that runs do TLS, too, for the length of the block."""
    options = authority.options_of_postgresql
    for name, value in options.items():
        postgres.query(url, f"ALTER SYSTEM SET {name} = '{value}'")
    postgres.query(url, "SELECT pg_reload_conf()")
    try:
        yield
    finally:
        for name in options:
            postgres.query(url, f"ALTER SYSTEM RESET {name}")
        postgres.query(url, "SELECT pg_reload_conf()")


@pytest.mark.parametrize("kind", postgres.available())
def test_postgresql_is_verified(
    pool: Pool, authorities: Authorities, tmp_path: Path, kind: postgres.Kind
) -> None:
    """Its certificate is for a name, and not for an address. The embedded one does no TLS, and is refused."""
    ours = Authority(tmp_path / "of-postgresql", address=None)
    server = pool.postgres(kind)
    if kind == "embedded":
        url = f"{server.empty_database()}?sslmode=verify-full&sslrootcert={ours.ca}"
        found = finding("PostgreSQL", DATABASE_URL=url)
        assert found.status == "failure"
        assert "SSL" in found.message
        return
    with encrypting(server.made.url(server.port, "postgres"), ours):
        plain = server.empty_database().replace("127.0.0.1", "localhost")
        verified = f"{plain}?sslmode=verify-full&sslrootcert={ours.ca}"
        wrong = f"{plain}?sslmode=verify-full&sslrootcert={authorities.wrong.ca}"
        with pytest.raises(MigrationFailed, match="certificate verify failed"):
            asyncio.run(migrate(wrong))
        asyncio.run(migrate(verified))
        [encrypted] = postgres.query(verified, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        assert encrypted["ssl"]
        assert finding("PostgreSQL", DATABASE_URL=verified).status == "ok"
        for given in (wrong, verified.replace("localhost", "127.0.0.1")):
            found = finding("PostgreSQL", DATABASE_URL=given)
            assert found.status == "failure"
            assert "not trusted" in found.message
            assert "sslrootcert" in (found.remedy or "")


def test_a_connection_is_not_made_without_tls_by_itself(encrypted: Server) -> None:
    """A server that only does TLS is not spoken to in clear text, and the doctor says what it may be."""
    found = finding("Redis", REDIS_URL=f"redis://127.0.0.1:{encrypted.port}/0")
    assert found.status == "failure"
