"""The users of `deploy/redis`: each may do its work, and nothing that it tried was refused."""

from __future__ import annotations

import asyncio
import hashlib
import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from synckairos.audit.store import Store
from synckairos.config import load
from synckairos.core import keys as names
from synckairos.core import rights
from synckairos.core.calls import Sessions
from synckairos.core.clients import async_client
from synckairos.core.connection import connect
from synckairos.core.keys import SessionKeys
from synckairos.core.model import Options
from synckairos.doctor.cli import diagnose
from synckairos.failover.cluster import hand_over as hand_over_in_cluster
from synckairos.failover.sentinels import hand_over, pairs
from synckairos.run.processes import free_port
from tests.auth.conftest import SECRET, TENANT, asking, token
from tests.support import live, postgres, servers
from tests.support.pages import ROOT
from tests.support.pool import Pool
from tests.support.programs import Program, run
from tests.support.servers import Kind, Server

SHIPPED = ROOT / "deploy" / "redis"
_PLACE = re.compile(r"#SHA256-OF-THE-PASSWORD-OF-([A-Z]+)")
ADMINISTRATOR = f"user administrator on >{'administrator' * 2} ~* &* +@all"
"""Of the test, which looks at the log of refusals and at the sessions."""


def password(user: str) -> str:
    return user * 2


def filled_in(file: str) -> list[str]:
    """The lines of a file, with a password for each user."""
    text = (SHIPPED / file).read_text()
    return _PLACE.sub(
        lambda found: "#" + hashlib.sha256(password(found[1].lower()).encode()).hexdigest(), text
    ).splitlines()


def login(user: str) -> dict[str, str]:
    return {"username": user, "password": password(user)}


def client_of(server: Server, **access: Any) -> redis.Redis:
    """A client that sends nothing but what it is asked to, and once."""
    return redis.Redis(port=server.port, protocol=2, driver_info=None, retry=Retry(NoBackoff(), 0), **access)


def refuses(client: redis.Redis, *commands: tuple[str | int, ...]) -> None:
    """Each of these commands is refused to the user of the client."""
    for command in commands:
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.execute_command(*command)


@dataclass
class Place:
    """A primary, its replica and their Sentinel, all with the users that are shipped."""

    primary: Server
    replica: Server
    sentinel: Server

    def as_(self, user: str, server: Server | None = None) -> dict[str, str]:
        """The settings of a program that is this user, of one server or behind the Sentinel."""
        port = (server or self.primary).port
        given = {"REDIS_URL": f"redis://{user}:{password(user)}@127.0.0.1:{port}/0"}
        if server is None:
            given |= {
                "REDIS_SENTINEL_HOSTS": f"127.0.0.1:{self.sentinel.port}",
                "REDIS_SENTINEL_NAME": "game",
                "REDIS_SENTINEL_USER": user if user == "operator" else "application",
                "REDIS_SENTINEL_PASSWORD": password(user if user == "operator" else "application"),
            }
        return given

    def refused(self) -> list[str]:
        """What any of them has refused since the last look."""
        return [each for server in (self.primary, self.replica, self.sentinel) for each in refused_by(server)]


def refused_by(server: Server) -> list[str]:
    """What a server has refused since the last look."""
    with server.sync_client() as client:
        found = [f"{entry['username']}: {entry['reason']} {entry['object']}" for entry in client.acl_log()]
        client.acl_log_reset()
    return found


def prepared(folder: Path) -> dict[str, Any]:
    """The options of a server with the users; their passwords are in a file there."""
    file = folder / "users.acl"
    file.write_text("\n".join([*filled_in("users.acl"), ADMINISTRATOR, ""]))
    return {
        "aclfile": str(file),
        "masteruser": "replica",
        "masterauth": password("replica"),
        "notify_keyspace_events": "",
    }


def _knows_its_replica(sentinel: redis.Redis) -> bool:
    replicas: Any = sentinel.execute_command("SENTINEL", "REPLICAS", "game")
    known = [pairs(each) for each in replicas]
    return [(each["flags"], each["master-link-status"]) for each in known] == [("slave", "ok")]


@contextmanager
def place(kind: Kind, folder: Path) -> Iterator[Place]:
    options = prepared(folder)
    lines = [
        *filled_in("sentinel-users.acl"),
        ADMINISTRATOR,
        "sentinel sentinel-user sentinel",
        f"sentinel sentinel-pass {password('sentinel')}",
        "sentinel auth-user game sentinel",
        f"sentinel auth-pass game {password('sentinel')}",
    ]
    access = login("administrator")
    with (
        servers.start(kind, access, **options) as primary,
        servers.start_replica(primary, **options) as replica,
        servers.start_sentinel(primary, "game", access, lines) as sentinel,
    ):
        with sentinel.sync_client() as client:  # see tests/failover
            client.execute_command("SENTINEL", "DEBUG", "INFO-PERIOD", 1500)
            servers.wait_for(lambda: _knows_its_replica(client), "the Sentinel to know the replica")
        found = Place(primary, replica, sentinel)
        found.refused()
        yield found


@pytest.fixture(scope="module", params=servers.available())
def deployed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with place(request.param, tmp_path_factory.mktemp("users")) as found:
        yield found


def test_nobody_gets_in_with_the_files_as_they_are(tmp_path: Path) -> None:
    """Without passwords a server does not start, so nobody has one that is in the documentation."""
    for file in ("users.acl", "sentinel-users.acl"):
        lines = (SHIPPED / file).read_text().splitlines()
        assert lines[0] == "user default reset"
        assert all(_PLACE.search(line) for line in lines[1:])
    own = tmp_path / "users.acl"
    own.write_text((SHIPPED / "users.acl").read_text())
    for kind in servers.available():
        command = [servers.binary(kind), "--port", str(free_port()), "--aclfile", str(own)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert ended.returncode != 0
        assert "password hash must be exactly 64 characters" in ended.stdout


def test_without_a_user_nothing_is_answered(deployed: Place) -> None:
    for server in (deployed.primary, deployed.replica, deployed.sentinel):
        with client_of(server) as client, pytest.raises(redis.AuthenticationError):
            client.ping()
    deployed.refused()


@pytest.fixture
def archive(pool: Pool) -> Iterator[str]:
    """The URL of a database with all tables and no rows."""
    with pool.postgres(postgres.available()[-1]).lend_database() as database:
        yield database


async def all_is_well(service: live.Service) -> None:
    """Waits until all checks of its readiness are ok: what is read now and then may be late for a moment."""

    async def ok() -> bool:
        checks = await service.context.readiness.checks()
        return {each.status for each in checks.values()} == {"ok"}

    async with asyncio.timeout(live.PATIENCE_S):
        while not await ok():
            await asyncio.sleep(0.1)


async def test_service_and_worker_work_under_their_users(deployed: Place, archive: str) -> None:
    """Sessions, sockets, alarms, the outbox, the queue and PostgreSQL, and the doctor has nothing to say."""
    given = {**deployed.as_("application"), "DATABASE_URL": archive, "ENABLE_METRICS": "false"}
    worker = {**deployed.as_("queue"), "DATABASE_URL": archive}
    loaded = await asyncio.to_thread(
        run, "functions", "load", **deployed.as_("application", deployed.primary)
    )
    assert loaded.returncode == 0, loaded.stderr
    with Program("worker", **worker) as archiving:
        async with live.service(load({**given, "RATE_LIMIT_ENABLED": "false"})) as service:
            session_id = await live.game(service.sessions, seconds=1)
            async with service.follow(session_id) as watcher:
                await service.sessions.switch(session_id)
                while "session.expired" not in str(await watcher.next()):
                    pass
            await service.sessions.delete(await live.game(service.sessions))
            await all_is_well(service)

            async def archived() -> bool:
                async with Store(archive) as store:
                    return len(await store.events(session_id, 0, 10)) >= 4

            async with asyncio.timeout(live.PATIENCE_S):
                while not await archived():
                    await asyncio.sleep(0.1)
        assert archiving.end() == 0
    report = await asyncio.to_thread(diagnose, {"PORT": "0", **given}, None, [])
    assert [each for each in report.checks if each.status == "failure"] == []
    assert next(each for each in report.checks if each.check == "rights").status == "ok"
    assert deployed.refused() == []


async def test_keys_links_quotas_and_revocations_work_under_the_users(
    deployed: Place, archive: str, tmp_path: Path
) -> None:
    """What tokens and tenants need at Redis, with the copies of what is in PostgreSQL."""
    tenants = tmp_path / "tenants.yaml"
    tenants.write_text(f"tenants: {{{TENANT}: {{quotas: {{sessions: 10, participants: 100}}}}}}\n")
    given = {**deployed.as_("application"), "DATABASE_URL": archive, "TENANTS_FILE": str(tenants)}
    url = given.pop("REDIS_URL")
    environ = {**given, "REDIS_URL": url, "AUTH_MODE": "jwt", "JWT_SECRET": SECRET}
    create = ["keys", "create", "--tenant", TENANT, "--role", "service"]
    made = await asyncio.to_thread(partial(run, *create, **environ))
    assert made.returncode == 0, made.stderr
    key = made.stdout.strip()
    async with asking(url, **given) as api:
        path = f"/v1/sessions/{(await api.made(key))['session_id']}"
        assert await api.status(f"{path}/start", key, "POST") == 200
        assert await api.status(f"{path}/links", key, "POST", json={"role": "viewer"}) == 201
        assert await api.status(f"{path}/links", key) == 200
        assert await api.status("/v1/revocations", token(), "POST", json={"sub": "bob"}) == 201
        assert await api.status(path, token("viewer", sub="bob", iat=1)) == 401
        assert await api.status(path, token(), "DELETE") == 204
        await all_is_well(api.running)
    assert deployed.refused() == []


async def test_a_failover_and_a_planned_one_work_under_the_users(deployed: Place) -> None:
    """What was acknowledged is there after both, as a replica has confirmed it."""
    settings = load({**deployed.as_("application"), "DURABILITY": "replicated"})
    async with await connect(settings) as connection:
        sessions = Sessions(connection, 60)
        session_id = await live.game(sessions)
        await hand_over(load(deployed.as_("operator")), lambda _: None)
        await live.accepted(partial(switched, sessions, session_id))
        before = (await _primary(deployed)).port
        async with asyncio.timeout(3 * live.PATIENCE_S):
            with deployed.sentinel.sync_client() as client:
                while (await _primary(deployed)).port == before:
                    with suppress(redis.ResponseError):  # it is not done with the one before
                        client.execute_command("SENTINEL", "FAILOVER", "game")
                    await asyncio.sleep(0.2)
        await live.accepted(partial(switched, sessions, session_id))
        assert (await sessions.get(session_id)).version >= 4
    assert deployed.refused() == []


@pytest.mark.parametrize("kind", servers.available()[-1:])
async def test_a_cluster_works_under_the_users(kind: Kind, tmp_path: Path) -> None:
    """Also while a replica takes over, as the operator asks for."""
    options = prepared(tmp_path)
    with servers.start_cluster(kind, replicas=True, access=login("administrator"), **options) as cluster:
        nodes = [*cluster.primaries, *cluster.replicas]
        for node in nodes:  # the test itself has set it up
            refused_by(node)
        given = {
            "REDIS_URL": f"redis://application:{password('application')}@127.0.0.1:1/0",
            "REDIS_CLUSTER_NODES": cluster.nodes,
            "RATE_LIMIT_ENABLED": "false",
            "ENABLE_METRICS": "false",
        }
        async with live.service(load(given)) as service:
            played = [await live.game(service.sessions) for _ in range(4)]
            async with service.follow(played[0]) as watcher:
                await service.sessions.switch(played[0])
                assert "cycle.switched" in str(await watcher.next())
            report = await asyncio.to_thread(diagnose, {"PORT": "0", **given}, None, [])
            assert [each for each in report.checks if each.status == "failure"] == []
            operator = {**given, "REDIS_URL": given["REDIS_URL"].replace("application", "operator")}
            await hand_over_in_cluster(load(operator), ("127.0.0.1", cluster.primaries[0].port))
            for session_id in played:
                await live.accepted(partial(switched, service.sessions, session_id))
        assert [refused for node in nodes for refused in refused_by(node)] == []


async def switched(sessions: Sessions, session_id: str, options: Options) -> None:
    await sessions.switch(session_id, options=options)


async def _primary(deployed: Place) -> Server:
    with deployed.sentinel.sync_client() as client:
        _, port = client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "game")
    return next(each for each in (deployed.primary, deployed.replica) if each.port == int(port))


async def test_a_backend_calls_functions_and_a_watcher_only_reads(deployed: Place) -> None:
    primary = await _primary(deployed)
    async with await connect(load(deployed.as_("application", primary))) as connection:
        session_id = await live.game(Sessions(connection, 60))
    deployed.refused()
    backend = load(deployed.as_("backend", primary))
    async with async_client(backend) as client:
        assert await rights.refusals(client, rights.OF_FUNCTIONS) == []
    keys = SessionKeys.of(session_id)
    with client_of(primary, **login("backend")) as client:
        assert b"cycle.switched" in client.fcall("sk_switch", 4, *keys.all)
        for forged in (names.api_key("00"), names.links(session_id), names.REVOKED_TOKENS):
            refuses(client, ("HSET", forged, "a", "b"), ("UNLINK", forged), ("XADD", forged, "*", "a", "b"))
            refuses(client, ("FCALL", "sk_delete", 4, forged, keys.log, keys.alarms, keys.outbox))
        refuses(
            client, ("GET", "x"), ("FUNCTION", "LOAD", ""), ("CONFIG", "GET", "*"), ("SCAN", 0), ("FLUSHALL",)
        )
    deployed.refused()
    with client_of(primary, **login("watcher")) as client:
        assert session_id.encode() in client.fcall_ro("sk_get", 1, keys.session)
        with client.pubsub() as pubsub:
            pubsub.ssubscribe(keys.session)
            assert pubsub.get_sharded_message(timeout=live.PATIENCE_S) is not None
        assert deployed.refused() == []
        refuses(
            client,
            ("FCALL", "sk_switch", 4, *keys.all),
            ("HSET", keys.session, "status", "over"),
            ("UNLINK", keys.session),
            ("HGETALL", "rq:queue:audit"),
            ("HGETALL", names.api_key("00")),
        )
    with client_of(primary, **login("queue")) as client:
        refuses(client, ("HGETALL", keys.session), ("FCALL", "sk_get", 1, keys.session), ("FLUSHALL",))
        assert rights.refusals_of_queue(client) == []
    deployed.refused()


# --- rights that are missing are found (without ACL DRYRUN)


@pytest.mark.parametrize("missing", ["-hset", "-spublish", "-xadd", "resetkeys ~sk:{*"])
async def test_a_user_who_may_call_functions_and_not_what_they_call_is_found(
    missing: str, server: Server
) -> None:
    """By /ready, by the doctor and in the answer to a call; the remedy that the doctor gives helps."""
    granted = "on >secret ~sk:* &sk:* &__keyevent@* +@all -acl -@dangerous +info"
    with server.sync_client() as client:
        client.execute_command("ACL", "SETUSER", "limited", "reset", *granted.split(), *missing.split())
    url = f"redis://limited:secret@127.0.0.1:{server.port}/0"
    async with live.service(live.settings(url)) as service:
        check = (await service.context.readiness.checks())["library"]
        assert check.status == "unready"
        assert "synckairos doctor" in (check.message or "")
        report = await asyncio.to_thread(diagnose, {"PORT": "0", "REDIS_URL": url}, None, [])
        found = next(each for each in report.checks if each.check == "rights")
        assert found.status == "failure"
        command = (found.remedy or "").partition(": ")[2].split()
        with server.sync_client() as client:
            client.execute_command(*command)
        assert (await service.context.readiness.checks())["library"].status == "ok"
        await live.game(service.sessions)


def test_the_rights_that_are_tried_are_those_of_the_functions() -> None:
    """Every command in `lua/` but `INFO`, which the library can do without, and what only tests call."""
    called: set[str] = set()
    for file in (ROOT / "lua").rglob("*.lua"):
        if file.stem.endswith("_virtual"):
            continue
        text = file.read_text()
        called |= set(re.findall(r"redis\.p?call\(\s*'([A-Z]+)'", text))
        called |= set(re.findall(r"\{ ?'([A-Z]{3,})', (?:key|s\.key)", text))
    assert "HSET" in called
    assert called - {"INFO"} == {str(command[0]) for command in rights.OF_FUNCTIONS}


def test_the_shipped_users_have_the_rights_that_are_tried() -> None:
    """And the page has the same lines for a user of one's own."""
    line = next(
        line
        for line in (SHIPPED / "users.acl").read_text().splitlines()
        if line.startswith("user application")
    )
    names = {
        "+"
        + str(command[0]).lower()
        + (f"|{str(command[1]).lower()}" if command[0] in ("FUNCTION", "XGROUP", "XINFO") else "")
        for command in (*rights.OF_FUNCTIONS, *rights.OF_SERVICE)
    }
    assert names - set(line.split()) == set()


def test_the_operator_may_do_what_the_runbooks_say(tmp_path: Path) -> None:
    pages = "".join(page.read_text() for page in (ROOT / "deploy" / "runbooks").glob("*.md"))
    commands = re.findall(r'redis-cli -u "\$REDIS_URL" ([A-Z]+ .+)', pages)
    assert len(commands) >= 5
    with (
        servers.start("valkey", login("administrator"), **prepared(tmp_path)) as server,
        server.sync_client() as client,
    ):
        for command in commands:
            answer = client.execute_command("ACL", "DRYRUN", "operator", *shlex.split(command))
            assert answer in (b"OK", "OK"), (command, answer)
