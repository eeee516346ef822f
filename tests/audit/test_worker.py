"""The worker as a program: it stores what is queued, tries again, gives up loudly, and goes on."""

from __future__ import annotations

import asyncio
import gzip
import json
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

import brotli
import pytest
from rq import Callback

from synckairos.audit import jobs
from synckairos.audit import worker as audit_worker
from synckairos.audit.jobs import Jobs
from synckairos.audit.revision import BATCH_REVISION, REVISION
from synckairos.audit.rows import Batch, Entry
from synckairos.audit.schema import migrate
from synckairos.run.processes import free_port
from tests.support import programs, servers
from tests.support.audit_rows import event
from tests.support.live import settings
from tests.support.postgres import PostgresServer, query
from tests.support.programs import Program, get
from tests.support.servers import Server

pytestmark = pytest.mark.one_kind


RECORD = "INSERT INTO sync_access_log (at, action, outcome)"
RECORDED = "SELECT action FROM sync_access_log ORDER BY place"


@pytest.fixture
def rq() -> Iterator[Server]:
    """The Redis of the queue, which may be stopped."""
    with servers.start("valkey", appendonly="yes", appendfsync="always") as started:
        yield started


@pytest.fixture
def queue(rq: Server) -> Iterator[Jobs]:
    made = Jobs.of(settings(rq.url))
    yield made
    made.close()


def batch(count: int = 3) -> Batch:
    """A batch of a session of its own."""
    session_id = str(uuid.uuid4())
    return Batch(
        [
            Entry(f"{session_id}/{version}-0", session_id, event(session_id, version))
            for version in range(1, count + 1)
        ]
    )


def worker(rq: Server, database: str, **environ: str) -> Program:
    return Program("worker", REDIS_URL=rq.url, DATABASE_URL=database, **environ)


def stored(database: str) -> int:
    """How many events are stored."""
    return int(query(database, "SELECT count(*) FROM sync_events")[0][0])


def said(program: Program) -> str:
    return "".join(program.errors)


def test_batches_are_stored_and_their_jobs_gone(rq: Server, queue: Jobs, database: str) -> None:
    for _ in range(5):
        queue.put(batch())
    for days in (401, 399):
        query(database, f"{RECORD} SELECT now() - interval '{days} days', 'read', 'refused'")
    with worker(rq, database) as program:
        # What the access log keeps no longer goes as well, and the log says so.
        program.until(
            lambda: [row[0] for row in query(database, RECORDED)] == ["read", "expire"], "retention"
        )
        program.until(lambda: stored(database) == 15, "the first batches")
        queue.put(batch())
        program.until(lambda: stored(database) == 18, "the last batch")
        program.until(lambda: queue.counts() == jobs.Counts(0, 0, 0, 0), "an empty queue")
        assert list(queue.client.scan_iter("rq:job:*")) == []
        assert program.end() == 0
        assert program.lines == []
    leases = set(queue.client.scan_iter("synckairos:*"))
    assert leases == set()


def test_a_worker_is_known_again_after_the_queue_was_lost(rq: Server, queue: Jobs, database: str) -> None:
    with worker(rq, database) as program:
        program.until(lambda: audit_worker.alive(queue) == 1, "the worker")
        queue.client.flushall()
        program.until(lambda: audit_worker.alive(queue) == 1, "the worker again")
        queue.put(batch())
        program.until(lambda: stored(database) == 3, "the batch")
        assert program.end() == 0
    assert audit_worker.alive(queue) == 0
    assert list(queue.client.scan_iter("rq:workers*")) == []


def test_without_tables_it_says_what_to_do(rq: Server, shared_postgres: PostgresServer) -> None:
    database = shared_postgres.empty_database()
    run = programs.run("worker", REDIS_URL=rq.url, DATABASE_URL=database)
    assert (run.returncode, run.stdout) == (1, "")
    assert "run `synckairos migrate`" in run.stderr
    assert "Traceback" not in run.stderr


def test_it_stores_with_older_and_with_newer_tables_but_not_with_those_it_cannot_work_with(
    rq: Server, queue: Jobs, shared_postgres: PostgresServer
) -> None:
    database = shared_postgres.empty_database()
    asyncio.run(migrate(database, BATCH_REVISION))
    queue.put(batch())
    with worker(rq, database) as program:
        program.until(lambda: stored(database) == 3, "the batch")
        assert "other things miss their tables" in said(program)
        assert program.end() == 0
    asyncio.run(migrate(database))
    query(database, f"UPDATE sync_schema SET version_num = '999', oldest = '{REVISION}'")
    queue.put(batch())
    with worker(rq, database) as program:
        program.until(lambda: stored(database) == 6, "the next batch")
        assert program.end() == 0
    query(database, "UPDATE sync_schema SET oldest = '999'")
    run = programs.run("worker", REDIS_URL=rq.url, DATABASE_URL=database)
    assert (run.returncode, "run a newer release here" in run.stderr) == (1, True)


def test_a_batch_of_a_newer_release_is_kept_until_that_runs(
    rq: Server, queue: Jobs, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "RETRIES_S", (0,))
    with monkeypatch.context() as newer:
        newer.setattr(jobs, "WRITES", 999)
        queue.put(batch())
    queue.put(batch())
    assert [len(each.entries) for each in queue.waiting()] == [3]
    with worker(rq, database) as program:
        program.until(lambda: stored(database) == 3, "the batch of this release")
        program.until(lambda: queue.counts().failed == 1, "the failure of the other one")
        assert program.end() == 0
    assert "the format 999" in queue.failed()[0].reason
    assert "synckairos audit retry" in queue.failed()[0].reason


def test_without_a_database_it_says_so() -> None:
    for command in (("worker",), ("migrate",), ("audit", "status"), ("audit", "retry"), ("audit", "verify")):
        run = programs.run(*command)
        assert run.returncode == 1
        assert "DATABASE_URL" in run.stderr


def test_no_other_function_is_called(rq: Server, queue: Jobs, database: str, tmp_path: Path) -> None:
    made = tmp_path / "made"
    queue.queue.enqueue_call("os.mkdir", args=[str(made)])
    queue.queue.enqueue_call(jobs.STORE, args=[jobs.encode_job(batch())], on_success=Callback("os.mkdir"))
    with worker(rq, database) as program:
        program.until(lambda: stored(database) == 3, "the batch behind it")
        program.until(lambda: queue.counts().failed == 1, "its failure")
        assert program.end() == 0
    assert not made.exists()
    assert "is no batch" in said(program)


def test_a_job_that_cannot_be_read_stands_in_nobodys_way(rq: Server, queue: Jobs, database: str) -> None:
    job = queue.queue.enqueue_call(jobs.STORE, args=[])
    queue.client.hset(job.key, "data", b"\x80\x04no JSON")
    for id_of_none in (b"\xff", b"a:b:c"):
        queue.client.rpush(queue.queue.key, id_of_none)
    queue.put(batch())
    assert [len(each.entries) for each in queue.waiting()] == [3]
    with worker(rq, database) as program:
        program.until(lambda: stored(database) == 3, "the batch behind it")
        assert queue.counts().failed == 1
        taken = queue.queue.intermediate_queue_key
        program.until(lambda: b"\xff" not in queue.client.lrange(taken, 0, -1), "what is no id is gone")
        assert program.end() == 0


def test_with_postgresql_away_it_tries_again(rq: Server, queue: Jobs, own_postgres: PostgresServer) -> None:
    database = own_postgres.database()
    own_postgres.kill()
    queue.put(batch())
    with worker(rq, database) as program:
        program.until(lambda: "a batch is tried again" in said(program), "the first failure")
        assert queue.counts().scheduled == 1
        own_postgres.start()
        program.until(lambda: stored(database) == 3, "the second attempt")
        assert program.end() == 0


class Sentry:
    """What Sentry is told, at a URL of this machine."""

    def __init__(self) -> None:
        self.told: list[dict[str, object]] = []
        sentry = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                match self.headers.get("content-encoding"):
                    case "gzip":
                        body = gzip.decompress(body)
                    case "br":
                        body = brotli.decompress(body)
                sentry.told += [json.loads(line) for line in body.splitlines() if b'"level"' in line]
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing is worth a line."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)

    @property
    def dsn(self) -> str:
        return f"http://key@127.0.0.1:{self._server.server_port}/1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def test_a_batch_that_is_given_up_is_kept_told_of_and_queued_again(
    rq: Server, queue: Jobs, own_postgres: PostgresServer
) -> None:
    database = own_postgres.database()
    own_postgres.kill()
    made = batch()
    job_id = queue.put(made)
    job = queue.queue.fetch_job(job_id)
    assert job is not None
    job.retries_left = 0
    job.save()
    port = free_port()
    with (
        Sentry() as sentry,
        worker(
            rq, database, SENTRY_DSN=sentry.dsn, SENTRY_ENVIRONMENT="here", METRICS_PORT=str(port)
        ) as program,
    ):
        program.until(lambda: queue.counts().failed == 1, "the end of its attempts")
        program.until(lambda: bool(sentry.told), "the event in Sentry")
        (told,) = sentry.told
        assert (told["level"], told["environment"]) == ("error", "here")
        assert "could not be stored" in str(told["message"])
        assert "error" in next(line for line in program.errors if "could not be stored" in line)
        counted = b'synckairos_audit_failures_total{next="given_up"} 1.0'
        program.until(lambda: counted in get(f"http://127.0.0.1:{port}/")[1], "its metric")

        status = programs.run("audit", "status", REDIS_URL=rq.url, DATABASE_URL=database)
        assert status.returncode == 0
        assert "failed: 1 batches, kept until" in status.stdout
        assert f"{job_id}: 3 events" in status.stdout
        assert "PostgreSQL does not answer" in status.stdout
        assert queue.put(made) == job_id  # it is where it is
        assert queue.counts().failed == 1

        own_postgres.start()
        retry = programs.run("audit", "retry", REDIS_URL=rq.url, DATABASE_URL=database)
        assert (retry.returncode, retry.stdout) == (0, "1 batches are queued again\n"), retry.stderr
        program.until(lambda: stored(database) == 3, "the batch at last")
        program.until(lambda: queue.counts() == jobs.Counts(0, 0, 0, 0), "an empty queue")
        assert program.end() == 0


def begin_batch(program: Program, queue: Jobs) -> None:
    """Gives the worker a batch, and waits until it is in the middle of it: PostgreSQL stands still."""
    queue.put(batch())
    program.until(lambda: queue.counts().started == 1, "the begin of the batch")
    time.sleep(0.5)


def test_it_ends_after_the_batch_that_is_under_way(
    rq: Server, queue: Jobs, own_postgres: PostgresServer
) -> None:
    database = own_postgres.database()
    with worker(rq, database) as program:
        program.until(lambda: "waiting for batches" in said(program), "the start")
        with own_postgres.standing_still():
            begin_batch(program, queue)
            program.process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            assert program.process.poll() is None
        assert program.process.wait(20) == 0
    assert stored(database) == 3
    assert queue.counts() == jobs.Counts(0, 0, 0, 0)


def test_asked_a_second_time_it_gives_the_batch_up(
    rq: Server, queue: Jobs, own_postgres: PostgresServer
) -> None:
    with worker(rq, own_postgres.database()) as program:
        program.until(lambda: "waiting for batches" in said(program), "the start")
        with own_postgres.standing_still():
            begin_batch(program, queue)
            program.process.send_signal(signal.SIGTERM)
            time.sleep(0.2)
            program.process.send_signal(signal.SIGINT)  # another program says the same: not a second time
            time.sleep(1.2)
            assert program.process.poll() is None
            program.process.send_signal(signal.SIGTERM)
            assert program.process.wait(3) == 0
    assert queue.counts().scheduled == 1  # for another attempt


LOSING = """
import os, signal, sys
from contextlib import suppress
from synckairos.audit import worker
from synckairos.cli import main

place, name = sys.argv.pop(1).split(".")
original = getattr(getattr(worker, place), name)
sent = []

def losing(*arguments, **options):
    if not sent:
        sent.append(True)
        with suppress(Exception):
            signal.raise_signal(signal.SIGTERM)
    return original(*arguments, **options)

setattr(getattr(worker, place), name, losing)
main()
"""
"""The worker, to which a signal comes where other code passes over every exception."""


@pytest.mark.parametrize(
    "place", ["Jobs.__init__", "_Keeper._renew", "_Worker.register_birth", "_Worker.heartbeat"]
)
def test_a_stop_that_other_code_passes_over_is_not_lost(place: str, rq: Server, database: str) -> None:
    """As redis-py does while it connects: it looks up its version and measures, and swallows any error.

    A worker that had lost the stop would go on until it is killed.
    """
    ended = subprocess.run(
        [sys.executable, "-P", "-c", LOSING, place, "worker"],
        env={**programs.ENVIRON, "REDIS_URL": rq.url, "DATABASE_URL": database},
        capture_output=True,
        text=True,
        timeout=programs.START_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_it_ends_although_its_queue_does_not_answer(number: int, rq: Server, database: str) -> None:
    with worker(rq, database) as program:
        program.until(lambda: "waiting for batches" in said(program), "the start")
        time.sleep(0.5)
        assert rq.process is not None
        rq.process.send_signal(number)
        try:
            began = time.monotonic()
            program.process.send_signal(signal.SIGTERM)
            assert program.process.wait(20) == 0
            assert time.monotonic() - began < 2
        finally:
            rq.process.send_signal(signal.SIGCONT)


def test_a_queue_that_restarts_is_found_again(rq: Server, queue: Jobs, database: str) -> None:
    with worker(rq, database) as program:
        program.until(lambda: "waiting for batches" in said(program), "the start")
        rq.kill()
        time.sleep(1)
        rq.start()
        queue.put(batch())
        program.until(lambda: stored(database) == 3, "the batch", 30)
        assert program.end() == 0


def test_a_batch_that_somebody_took_and_did_not_begin_is_stored(
    rq: Server, queue: Jobs, database: str
) -> None:
    queue.put(batch())
    queue.client.lmove(queue.queue.key, queue.queue.intermediate_queue_key)
    with worker(rq, database) as program:
        program.until(lambda: stored(database) == 3, "the batch", 20)
        program.until(lambda: queue.counts() == jobs.Counts(0, 0, 0, 0), "an empty queue")
        assert program.end() == 0


def test_a_batch_that_was_taken_twice_leaves_nothing_behind(rq: Server, queue: Jobs, database: str) -> None:
    """The second worker finds its id in the queue and no job, because the first one has stored it."""
    queue.client.rpush(queue.queue.key, queue.put(batch()))
    with worker(rq, database) as program:
        program.until(lambda: stored(database) == 3, "the batch", 20)
        program.until(lambda: queue.counts() == jobs.Counts(0, 0, 0, 0), "an empty queue", 20)
        assert program.end() == 0


def test_a_batch_that_ends_while_the_keeper_looks_is_not_abandoned(
    queue: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = queue.put(batch())
    idle = audit_worker._Worker([jobs.NAME], connection=queue.client, serializer=jobs.Serializer)
    keeper = audit_worker._Keeper(idle, queue.client)
    monkeypatch.setattr(keeper, "_begun", lambda: [f"{job_id}:{uuid.uuid4().hex}"])  # as read before it ended
    keeper._abandoned()
    assert queue.counts() == jobs.Counts(1, 0, 0, 0)


def test_status_shows_what_is_refused(rq: Server, queue: Jobs, database: str) -> None:
    good = batch()
    queue.put(Batch([*good.entries, Entry("0a/7-0\x1b[2J", "nobody", b"nonsense")]))
    with worker(rq, database) as program:
        program.until(lambda: stored(database) == 3, "the others")
        assert program.end() == 0
    assert "PostgreSQL refuses events" in said(program)
    status = programs.run("audit", "status", REDIS_URL=rq.url, DATABASE_URL=database)
    assert "refused: 1 events\n  0a/7-0\\x1b[2J at " in status.stdout
    assert "outbox: 0 events\nqueue: 0 batches" in status.stdout


def test_status_says_what_does_not_answer() -> None:
    away = {"REDIS_URL": "redis://127.0.0.1:1", "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}
    status = programs.run("audit", "status", **away)
    assert status.returncode == 0
    assert "outbox: Redis does not answer" in status.stdout
    assert "queue: its Redis does not answer" in status.stdout
    assert "store: PostgreSQL does not answer" in status.stdout
    assert "Traceback" not in status.stderr
    for command in ("retry", "verify"):
        run = programs.run("audit", command, **away)
        assert run.returncode == 1
        assert "does not answer" in run.stderr
        assert "Traceback" not in run.stderr


@pytest.mark.parametrize("body", [b"{}", b"\xff\0\xed\xa0\x80 \xc3\xa9", "é \u2028".encode()])
def test_jobs_hold_any_bytes(queue: Jobs, body: bytes) -> None:
    made = Batch([Entry("0a/1-0", "x", body)], [b'{"a":"\\ud800"}'])
    job = queue.queue.fetch_job(queue.put(made))
    assert job is not None
    assert jobs.decode_job(*job.args) == made
    assert json.loads(job.data)[0] == jobs.STORE
