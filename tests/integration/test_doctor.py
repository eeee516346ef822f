"""The doctor and real servers: what it finds, what it says to do about it, and that it changes nothing."""

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from synckairos.audit.jobs import Jobs
from synckairos.audit.schema import migrate
from synckairos.core.library import Library
from synckairos.doctor import archive, servers
from synckairos.doctor.cli import diagnose
from synckairos.doctor.configured import masked
from synckairos.doctor.findings import Finding, Report
from synckairos.run.processes import free_port
from tests.support import live
from tests.support import servers as running
from tests.support.listening import listening
from tests.support.postgres import PostgresServer, query
from tests.support.programs import Program, run
from tests.support.servers import Cluster, Server
from tests.support.terminal import Terminal

OWN = Library.assemble()
LIMITED = ("on", ">secret", "~sk:*", "&*", "+@all")
"""A user of Redis with all rights but those that a test takes away."""


def examined(**environ: str) -> Report:
    """What the doctor finds; the port is one that is free."""
    return diagnose({"PORT": "0", **environ}, None, [])


def found(report: Report, check: str, area: str = "Redis") -> Finding:
    """The one finding of a check."""
    [finding] = [each for each in report.checks if each.check == check and each.area.startswith(area)]
    return finding


def failures(report: Report) -> list[tuple[str, str]]:
    return [(finding.area, finding.check) for finding in report.checks if finding.status == "failure"]


def loaded(server: Server) -> Server:
    with server.sync_client() as client:
        client.function_load(OWN.payload)
    return server


def as_user(server: Server, *rights: str) -> str:
    """The URL of a server for a new user."""
    with server.sync_client() as client:
        client.execute_command("ACL", "SETUSER", "app", "reset", *rights)
    return f"redis://app:secret@127.0.0.1:{server.port}/0"


@contextmanager
def silent() -> Iterator[int]:
    """The port of somebody who takes connections and says nothing."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield listener.getsockname()[1]


def test_nothing_that_is_configured_answers() -> None:
    """Whether nobody listens or somebody who is silent does: there is a report, and it says what to do."""
    nobody = free_port()
    with silent() as port:
        report = run(
            "doctor",
            "--json",
            REDIS_URL=f"redis://:hidden@127.0.0.1:{port}/0",
            RQ_REDIS_URL=f"redis://:hidden@127.0.0.1:{nobody}/0",
            DATABASE_URL=f"postgresql://u:hidden@127.0.0.1:{port}/db",
            PORT=str(port),
        )
    assert report.returncode == 1
    assert report.stderr == ""
    assert "hidden" not in report.stdout
    checks = json.loads(report.stdout)["checks"]
    failed = {check["area"]: check for check in checks if check["status"] == "failure"}
    assert set(failed) == {"Redis", "PostgreSQL", "Audit queue", "Port"}
    assert all(check["remedy"] for check in failed.values())
    assert "does not answer" in failed["Redis"]["message"]
    assert f"nothing listens at 127.0.0.1:{nobody}" in failed["Audit queue"]["message"]


@pytest.mark.parametrize("terminal", [False, True])
def test_the_report_is_for_people(terminal: bool, server: Server) -> None:
    """Plain in a pipe, in colours on a terminal; a Redis without a function library is no failure."""
    environ = {"REDIS_URL": server.url, "PORT": "0"}
    if terminal:
        with Terminal("doctor", environ=environ) as shown:
            code, said = shown.ended(), shown.text
            assert "\x1b[1m" in shown.raw
    else:
        result = run("doctor", **environ)
        code, said = result.returncode, result.stdout
        assert "\x1b" not in said
    assert code == 0, said
    lines, words = said.splitlines(), " ".join(said.split())
    assert any(line.split() == ["REDIS_URL", server.url, "environment"] for line in lines)
    assert "the function library is not loaded yet" in words
    assert "synckairos functions load" in words
    assert "warnings: the service works" in lines[-1]


@pytest.mark.own_keys("somebody's")
def test_nothing_is_changed_by_looking(server: Server, shared_postgres: PostgresServer) -> None:
    database = shared_postgres.empty_database()
    with server.sync_client() as client:
        client.set("somebody's", "key")
        client.config_set("notify-keyspace-events", "")

        def all_of_it() -> tuple[Any, ...]:
            settings = client.config_get("*")
            return client.keys(), client.function_list(), client.execute_command("ACL LIST"), settings

        before = all_of_it()
        report = examined(REDIS_URL=server.url, DATABASE_URL=database)
        assert found(report, "notify-keyspace-events").status == "ok"
        assert all_of_it() == before
        client.config_set("notify-keyspace-events", "Kgxe$E")
    assert query(database, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")[0][0] == 0


# --- the library and the server


@pytest.mark.parametrize(
    ("payload", "status", "words"),
    [
        (None, "warning", "not loaded yet"),
        (OWN.payload, "ok", "is loaded"),
        (OWN.payload.replace(f'"{OWN.version}"', '"0.0.1"', 1), "warning", "an older one"),
        (OWN.payload.replace(f'"{OWN.version}"', '"99.0.0"', 1), "ok", "a newer one"),
        (OWN.payload + "\nlocal other = 1\n", "failure", "with other code"),
    ],
)
def test_the_function_library_is_compared(
    payload: str | None, status: str, words: str, server: Server
) -> None:
    if payload is not None:
        with server.sync_client() as client:
            client.function_load(payload)
    finding = found(examined(REDIS_URL=server.url), "library")
    assert finding.status == status
    assert words in finding.message
    assert (finding.remedy is None) == (status == "ok")


def test_a_server_that_is_too_old_is_told_and_asked_nothing_more(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "OLDEST", {"Redis": (99, 0), "Valkey": (99, 1)})
    report = examined(REDIS_URL=server.url)
    assert failures(report) == [("Redis", "version")]
    assert "or newer" in (found(report, "version").remedy or "")


def test_a_wrong_password_is_told_from_a_server_that_is_away(server: Server) -> None:
    finding = found(examined(REDIS_URL=f"redis://nobody:wrong@127.0.0.1:{server.port}/0"), "reachable")
    assert finding.status == "failure"
    assert "refuses the user or the password" in finding.message
    assert "wrong" not in finding.message.replace("WRONGPASS", "")


@pytest.mark.parametrize(
    ("rights", "missing"),
    [
        (("-function|load",), "FUNCTION LOAD"),
        (("-fcall",), "FCALL"),
        (("resetchannels",), "SPUBLISH"),
        (("resetkeys", "~other:*"), "HSET"),
        (("-function|load", "-acl"), "FUNCTION LOAD"),
        (("-@scripting", "-@admin"), "FUNCTION LIST"),
    ],
)
def test_a_user_with_too_few_rights_is_told_and_the_remedy_helps(
    rights: tuple[str, ...], missing: str, server: Server
) -> None:
    """Also where the user may not ask which rights it has."""
    url = as_user(server, *LIMITED, *rights)
    finding = found(examined(REDIS_URL=url), "rights")
    assert finding.status == "failure"
    assert missing in finding.message
    command = (finding.remedy or "").partition(": ")[2].split()
    assert command[:3] == ["ACL", "SETUSER", "app"]
    with server.sync_client() as client:
        client.execute_command(*command)
    mended = examined(REDIS_URL=url)
    assert failures(mended) == []
    assert found(mended, "rights").status == "ok"


@pytest.mark.parametrize(
    ("rights", "missing"),
    [(("-@hash",), "HSET"), (("resetkeys", "~sk:*"), "BLMOVE"), (("-multi",), "MULTI")],
)
def test_a_user_of_the_queue_with_too_few_rights_is_told_and_the_remedy_helps(
    rights: tuple[str, ...], missing: str, server: Server
) -> None:
    url = as_user(server, "on", ">secret", "~rq:*", "~synckairos:audit:*", "+@all", *rights)
    environ = {
        "REDIS_URL": server.url,
        "RQ_REDIS_URL": url,
        "DATABASE_URL": f"postgresql://nobody@127.0.0.1:{free_port()}/none",
    }
    finding = found(examined(**environ), "rights", "Audit queue")
    assert finding.status == "failure"
    assert missing in finding.message
    with server.sync_client() as client:
        assert client.exists("rq:rights", "synckairos:audit:rights") == 0, "nothing is carried out"
        client.execute_command(*(finding.remedy or "").partition(": ")[2].split())
    assert found(examined(**environ), "rights", "Audit queue").status == "ok"


def test_a_server_that_does_not_show_itself_is_no_failure(server: Server) -> None:
    report = examined(REDIS_URL=as_user(loaded(server), *LIMITED, "-info", "-config", "-acl"))
    assert failures(report) == []
    assert found(report, "version").status == found(report, "server settings").status == "warning"


def test_keyspace_events_that_nobody_may_set_are_worth_a_word(server: Server) -> None:
    with server.sync_client() as client:
        client.config_set("notify-keyspace-events", "Kg$")
    finding = found(examined(REDIS_URL=as_user(server, *LIMITED, "-config|set")), "notify-keyspace-events")
    assert finding.status == "warning"
    assert "CONFIG SET notify-keyspace-events" in (finding.remedy or "")
    with server.sync_client() as client:
        client.config_set("notify-keyspace-events", "Kgxe$E")


def test_what_a_server_may_lose_is_told() -> None:
    with running.start(
        "valkey", appendonly="no", maxmemory="100mb", maxmemory_policy="allkeys-lru"
    ) as server:
        loaded(server)
        report = examined(REDIS_URL=server.url)
        assert [found(report, name).status for name in ("appendonly", "maxmemory-policy")] == ["warning"] * 2
        with server.sync_client() as client:
            client.config_set("appendonly", "yes")
            client.config_set("appendfsync", "no")
            client.config_set("maxmemory-policy", "noeviction")
            client.config_set("maxmemory", client.info("memory")["used_memory"] + 50_000)
            report = examined(REDIS_URL=server.url)
            assert [found(report, name).status for name in ("appendfsync", "memory")] == ["warning"] * 2
            assert found(report, "maxmemory-policy").status == "ok"
            client.config_set("appendfsync", "everysec")
            client.config_set("maxmemory", 0)
        report = examined(REDIS_URL=server.url)
        assert "there is no limit" in found(report, "maxmemory-policy").message
        assert found(report, "appendonly").status == "ok"
        assert failures(report) == []


@pytest.mark.parametrize(("ahead_s", "status"), [(0.0, "ok"), (-5.0, "warning"), (5.0, "warning")])
def test_a_server_with_another_time_is_told(
    ahead_s: float, status: str, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "time", lambda: time.time() - ahead_s)
    finding = found(examined(REDIS_URL=server.url), "clock")
    assert finding.status == status
    if ahead_s:
        assert ("ahead of" if ahead_s > 0 else "behind") in finding.message


# --- replicas, Sentinel, cluster


def test_replicated_changes_need_a_replica_and_a_replica_takes_no_changes() -> None:
    with running.start("valkey") as primary:
        alone = examined(REDIS_URL=primary.url, DURABILITY="replicated")
        assert failures(alone) == [("Redis", "replicas")]
        with running.start_replica(primary) as replica:
            assert failures(examined(REDIS_URL=primary.url, DURABILITY="replicated")) == []
            more = examined(REDIS_URL=primary.url, DURABILITY="replicated", REPLICAS="5")
            assert failures(more) == [("Redis", "replicas")]
            assert "1 in step" in found(more, "replicas").message
            assert "NOT_REPLICATED" in found(more, "replicas").message
            assert "REPLICAS=1 at most" in (found(more, "replicas").remedy or "")
            durable = {"REDIS_URL": primary.url, "DURABILITY": "durable"}
            assert failures(examined(**durable)) == [("Redis", "disk")]
            with primary.sync_client() as client:
                client.config_set("appendonly", "yes")
            assert failures(examined(**durable)) == []
            with primary.sync_client() as client:
                client.config_set("min-replicas-to-write", 2)
            fenced = examined(REDIS_URL=primary.url)
            assert failures(fenced) == [("Redis", "min-replicas-to-write")]
            assert "1 replica in step" in found(fenced, "min-replicas-to-write").message
            assert "start 1 more replica " in (found(fenced, "min-replicas-to-write").remedy or "")
            with primary.sync_client() as client:
                client.config_set("min-replicas-max-lag", 0)
            assert failures(examined(REDIS_URL=primary.url)) == []
            finding = found(examined(REDIS_URL=replica.url), "kind")
            assert finding.status == "failure"
            assert f"a replica of 127.0.0.1:{primary.port}" in finding.message


def test_sentinels_are_asked_one_by_one_and_then_the_primary_that_they_name() -> None:
    with running.start("valkey") as primary, running.start_sentinel(primary, "game") as sentinel:
        nobody = free_port()
        hosts = f"127.0.0.1:{sentinel.port},127.0.0.1:{nobody}"
        report = examined(REDIS_SENTINEL_HOSTS=hosts, REDIS_SENTINEL_NAME="game")
        assert failures(report) == []
        assert found(report, f"127.0.0.1:{sentinel.port}", "Sentinel").status == "ok"
        assert found(report, f"127.0.0.1:{nobody}", "Sentinel").status == "warning"
        assert found(report, "reachable", f"Redis 127.0.0.1:{primary.port}").status == "ok"
        assert found(report, "replicas").status == "warning"
        stranger = examined(REDIS_SENTINEL_HOSTS=hosts, REDIS_SENTINEL_NAME="other")
        assert ("Sentinel", f"127.0.0.1:{sentinel.port}") in failures(stranger)
        assert ("Sentinel", "primary") in failures(stranger)
        away = found(report, f"127.0.0.1:{nobody}", "Sentinel").remedy or ""
        assert "start the Sentinel" in away
        assert "6379:6379" not in away
        locked = examined(
            REDIS_SENTINEL_HOSTS=hosts, REDIS_SENTINEL_NAME="game", REDIS_SENTINEL_PASSWORD="wrong"
        )
        login = found(locked, f"127.0.0.1:{sentinel.port}", "Sentinel").remedy or ""
        assert "REDIS_SENTINEL_PASSWORD" in login
        assert "REDIS_SENTINEL_USER" in login
        assert "REDIS_URL" not in login
        mistaken = found(examined(REDIS_URL=sentinel.url), "kind")
        assert mistaken.status == "failure"
        assert "REDIS_SENTINEL_HOSTS" in (mistaken.remedy or "")


def test_the_places_of_moved_sessions_are_others_that_answer(
    server: Server, cluster: Cluster, tmp_path: Path
) -> None:
    nobody = free_port()
    sentinels, nodes = tmp_path / "sentinels.yaml", tmp_path / "nodes.yaml"
    sentinels.write_text(f"redis_sentinel_hosts: 127.0.0.1:{nobody}\nredis_sentinel_name: game\n")
    nodes.write_text(f"redis_cluster_nodes: 127.0.0.1:{nobody},{cluster.nodes}\n")
    own = f"localhost:{server.port}"
    places = [f"redis://:hidden@127.0.0.1:{nobody}", server.url, f"redis://{own}", str(sentinels), str(nodes)]
    report = examined(REDIS_URL=server.url, MOVED_TO=",".join(places))
    assert failures(report) == []
    findings = {each.check: each for each in report.checks if each.area == "MOVED_TO"}
    assert len(findings) == len(places)
    [answers] = [each for each in findings.values() if each.status == "ok"]
    assert cluster.nodes.split(",")[0] in answers.check
    for where in (own, f"127.0.0.1:{server.port}"):
        assert "own Redis" in findings[where].message
    for where in (f"127.0.0.1:{nobody}", f"game@127.0.0.1:{nobody}"):
        assert "nothing listens" in findings[where].message
    assert str(sentinels) in (findings[f"game@127.0.0.1:{nobody}"].remedy or "")
    assert "hidden" not in str(findings)
    sentinels.write_text("port: none\n")
    assert failures(examined(REDIS_URL=server.url, MOVED_TO=str(sentinels))) == [("MOVED_TO", "settings")]


def test_every_primary_of_a_cluster_is_examined(cluster: Cluster) -> None:
    loaded(cluster.primaries[0])
    nobody = free_port()
    report = examined(REDIS_CLUSTER_NODES=f"{cluster.nodes},127.0.0.1:{nobody}")
    assert failures(report) == []
    assert found(report, "slots", "Cluster").status == "ok"
    assert found(report, f"127.0.0.1:{nobody}", "Cluster").status == "warning"
    libraries = sorted(finding.status for finding in report.checks if finding.check == "library")
    assert libraries == ["ok", "warning", "warning"]
    mistaken = found(examined(REDIS_URL=cluster.primaries[0].url), "kind")
    assert mistaken.status == "failure"
    assert "REDIS_CLUSTER_NODES" in (mistaken.remedy or "")


def test_a_server_of_its_own_is_told_from_a_cluster(server: Server) -> None:
    report = examined(REDIS_CLUSTER_NODES=f"127.0.0.1:{server.port}")
    finding = found(report, f"127.0.0.1:{server.port}", "Cluster")
    assert finding.status == "failure"
    assert "REDIS_URL" in (finding.remedy or "")


# --- the audit


def test_without_a_database_it_is_told_what_is_missing(server: Server) -> None:
    finding = found(examined(REDIS_URL=server.url), "DATABASE_URL", "Audit")
    assert finding.status == "warning"
    assert "synckairos migrate" in (finding.remedy or "")


def test_tables_are_compared_with_what_this_release_needs(
    server: Server, database: str, shared_postgres: PostgresServer
) -> None:
    empty = shared_postgres.empty_database()
    newer = shared_postgres.empty_database()
    asyncio.run(migrate(newer))
    query(newer, "UPDATE sync_schema SET version_num = '999'")
    too_new = shared_postgres.empty_database()
    asyncio.run(migrate(too_new))
    query(too_new, "UPDATE sync_schema SET version_num = '999', oldest = '999'")
    expected = {
        database: ("ok", ""),
        empty: ("failure", "synckairos migrate"),
        newer: ("warning", "use that release here as well"),
        too_new: ("failure", "use that release here as well"),
    }
    for url, (status, remedy) in expected.items():
        finding = found(examined(REDIS_URL=server.url, DATABASE_URL=url), "tables", "PostgreSQL")
        assert finding.status == status
        assert (finding.remedy or "").startswith(remedy)


@pytest.mark.one_kind
def test_webhooks_in_trouble_are_told(server: Server, database: str) -> None:
    def told() -> list[tuple[str, str]]:
        report = examined(REDIS_URL=server.url, DATABASE_URL=database)
        return [(each.status, each.message) for each in report.checks if each.check == "webhooks"]

    assert told() == []
    query(
        database,
        "INSERT INTO sync_webhooks (webhook_id, url, secret, since_ms, status, failing_since) VALUES "
        "(gen_random_uuid(), '', '', 0, 'active', NULL), "
        "(gen_random_uuid(), '', '', 0, 'active', now() - interval '59 minutes')",
    )
    assert told() == [("warning", "there are 2 webhooks, and no worker sends to them")]
    query(database, "UPDATE sync_webhook_state SET beat_at = now() + interval '1 minute'")
    assert told() == [("ok", "2, none in trouble")]
    query(
        database,
        "INSERT INTO sync_webhooks (webhook_id, url, secret, since_ms, status, failing_since) VALUES "
        "(gen_random_uuid(), '', '', 0, 'disabled', now() - interval '3 days'), "
        "(gen_random_uuid(), '', '', 0, 'active', now() - interval '61 minutes')",
    )
    assert told() == [
        (
            "warning",
            "of 4 webhooks 1 disabled, because they failed for three days and 1 fail for more than an hour",
        )
    ]


def test_a_database_that_cannot_be_used_is_told_why(server: Server, database: str) -> None:
    wrong = {
        database.replace("synckairos:", "synckairos:not", 1): "refuses the user or the password",
        database.rpartition("/")[0] + "/nowhere": "does not exist",
        f"postgresql://u:p@127.0.0.1:{free_port()}/db": "nothing listens",
    }
    for url, words in wrong.items():
        finding = found(examined(REDIS_URL=server.url, DATABASE_URL=url), "reachable", "PostgreSQL")
        assert finding.status == "failure"
        assert words in finding.message
        assert finding.remedy


def test_events_on_their_way_are_counted(
    server: Server, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "BACKLOG", 1)
    environ = {"REDIS_URL": server.url, "DATABASE_URL": database}
    with server.sync_client() as client:
        for number in range(2):
            client.xadd("sk:{ff}:outbox", {"id": "x", "e": str(number)})
    with closing(Jobs.of(live.settings(server.url, DATABASE_URL=database))) as jobs:
        for _ in range(2):
            jobs.queue.enqueue_call("nothing", args=([], []))
        given_up = jobs.queue.enqueue_call("nothing", args=([], []))
        jobs.queue.failed_job_registry.add(given_up, ttl=-1)
    report = examined(**environ)
    assert failures(report) == []
    assert {
        (finding.area, finding.check)
        for finding in report.checks
        if finding.area in ("Audit queue", "Outbox") and finding.status == "warning"
    } == {
        ("Audit queue", "workers"),
        ("Audit queue", "queue"),
        ("Audit queue", "failed"),
        ("Outbox", "waiting"),
    }
    assert "audit retry" in (found(report, "failed", "Audit queue").remedy or "")


def test_a_worker_that_is_alive_is_seen_and_one_that_was_killed_is_not(server: Server, database: str) -> None:
    environ = {"REDIS_URL": server.url, "DATABASE_URL": database}

    def workers() -> Finding:
        return found(examined(**environ), "workers", "Audit queue")

    assert workers().status == "warning"
    with Program("worker", **environ) as worker:
        worker.until(lambda: workers().message == "1 at work", "the worker")
        worker.process.kill()
        worker.until(lambda: workers().status == "warning", "its end to be noticed")


# --- beside `synckairos dev`


def test_the_servers_of_a_dev_are_found_in_its_data_folder(tmp_path: Path) -> None:
    folder = str(tmp_path / "data")

    def report(*options: str, **environ: str) -> dict[str, Any]:
        said: dict[str, Any] = json.loads(run("doctor", "--json", *options, **environ).stdout)
        return said

    with Program("dev", "--auth", "--port", "0", "--data-dir", folder) as program:
        http_url, redis_url = program.ready()
        found = report("--data-dir", folder)
        wrong = [each for each in found["checks"] if each["status"] != "ok"]
        # How busy this machine is, and so how slow, no test can say beforehand.
        assert [each for each in wrong if each["check"] not in ("processors", "slow commands")] == []
        from_folder = {
            setting["name"]: setting["value"]
            for setting in found["settings"]
            if setting["source"] == "data folder"
        }
        assert from_folder.keys() == {"REDIS_URL", "RQ_REDIS_URL", "DATABASE_URL", "HOST", "PORT"}
        assert from_folder["REDIS_URL"] == masked(redis_url) != redis_url
        assert from_folder["PORT"] == http_url.rpartition(":")[2]
        said = {(check["area"], check["check"]): check["message"] for check in found["checks"]}
        assert folder in said["Settings", "servers"]
        assert said["Audit queue", "workers"] == "1 at work"
        assert "SyncKairos runs there and is ready" in said["Port", "PORT"]
        # A setting that says where the servers are goes before it.
        found = report("--data-dir", folder, REDIS_URL=redis_url)
        assert "data folder" not in {setting["source"] for setting in found["settings"]}
        program.process.kill()
        program.gone()
    found = report("--data-dir", folder, PORT="0")
    assert "data folder" not in {setting["source"] for setting in found["settings"]}


# --- the port


async def test_a_service_that_runs_says_how_it_is(server: Server) -> None:
    async with live.service(live.settings(server.url)) as service:
        report = await asyncio.to_thread(examined, REDIS_URL=server.url, PORT=str(service.port))
    finding = found(report, "PORT", "Port")
    assert finding.status == "warning"
    assert "SyncKairos runs there" in finding.message
    assert "audit: there is no audit store" in finding.message


class _Stranger(BaseHTTPRequestHandler):
    body = b"hello"

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the parent's name for it
        pass


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"hello", "failure"), (b'{"checks": 1}', "failure"), (b"[]", "failure"), (b"\xff", "failure")],
)
def test_a_stranger_at_the_port_is_told(body: bytes, status: str, server: Server) -> None:
    with listening(HTTPServer(("127.0.0.1", 0), type("Stranger", (_Stranger,), {"body": body}))) as port:
        report = examined(REDIS_URL=server.url, PORT=str(port))
    finding = found(report, "PORT", "Port")
    assert finding.status == status
    assert "another PORT" in (finding.remedy or "")


def test_metrics_have_a_port_of_their_own_and_an_address_may_be_none_of_ours(server: Server) -> None:
    with silent() as port:
        report = examined(REDIS_URL=server.url, METRICS_PORT=str(port), PORT=str(free_port()))
        assert failures(report) == [("Port", "METRICS_PORT")]
    assert found(report, "PORT", "Port").message.endswith("is free")
    elsewhere = found(examined(REDIS_URL=server.url, HOST="192.0.2.1", ALLOW_INSECURE="true"), "PORT", "Port")
    assert elsewhere.status == "failure"
    assert "an address of this machine" in (elsewhere.remedy or "")
