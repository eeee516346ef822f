"""The worker: takes batches from the queue and stores them.

It is rq's SimpleWorker: a batch is stored in this process, with its event loop and its connections. rq's
other worker forks for every job, and each fork has to connect to PostgreSQL anew.

Each worker holds a lease and renews it all the time. One of the workers, the keeper, looks for batches whose
worker has no lease, because that worker was killed. The keeper also queues the batches again that wait for
their next attempt. A scheduler process of rq's own would outlive a worker that is killed.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from types import FrameType
from typing import Any, ClassVar, Protocol

import redis
import structlog
from redis.exceptions import RedisError
from rq import Queue, SimpleWorker, Worker, worker_registration
from rq.exceptions import NoSuchJobError, StopRequested
from rq.executions import Execution
from rq.job import Job
from rq.scheduler import RQScheduler
from rq.timeouts import BaseDeathPenalty
from rq.utils import now, parse_composite_key

from synckairos import metrics, systemd
from synckairos.audit import alerts, jobs, traces
from synckairos.audit.access_log.retention import Retention
from synckairos.audit.jobs import JOB_S, MOST_SAID, REASON, STORE, BatchJob, Jobs, Serializer
from synckairos.audit.revision import BATCH_REVISION, missing
from synckairos.audit.rows import Batch
from synckairos.audit.store import Store, Stored
from synckairos.chain.call import Call, Kind
from synckairos.chain.common import common
from synckairos.chain.middleware import chain
from synckairos.config import Settings
from synckairos.errors import StorageUnavailable, SyncKairosError, error_text
from synckairos.supervision import Backoff, Telling
from synckairos.tracing.spans import Span

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

LEASE_S = 5.0
"""How long a worker may be silent before its batch counts as abandoned."""
ROUND_S = 1.0
"""How often leases are renewed, and abandoned and waiting batches are looked for."""
AWAY_S = 1.0
"""How long a worker leaves PostgreSQL alone after it did not answer."""
WORKER_TTL_S = 30
"""How long rq remembers a worker that is silent."""
AGAIN_S = 0.2
"""How long a step may take once the worker was asked to end, before it is interrupted (again)."""
TWICE_S = 1.0
"""A second signal this soon says nothing new: a terminal and a supervisor may both send one."""

_KEEPER = "synckairos:audit:keeper"
_SILENT, _TELLS = b"1", b"2"
"""What stands in the lease of a worker that does not tell which sessions' events it has stored (those of the
releases before webhooks), and in the lease of one that does."""


class SchemaMissing(Exception):
    """This release cannot store batches in the tables that there are; the text says what to do."""


class Beside(Protocol):
    """What goes on in a worker beside the storing of batches."""

    def start(self) -> None:
        """Begin, without waiting for anything."""

    def stored(self) -> None:
        """A batch was stored."""

    def stop(self) -> None:
        """End within a few seconds."""


class NotABatch(Exception):
    """A job in the queue asks for something else than to store a batch."""


def alive(queue: Jobs) -> int:
    """How many workers are at work. Raises RedisError, OSError.

    rq remembers a worker that was killed for a while; one that is alive holds a lease.
    """
    names = [worker.rpartition(":")[2] for worker in map(_text, Worker.all_keys(queue=queue.queue))]
    return int(queue.client.exists(*map(lease_key, names))) if names else 0


def silent(queue: Jobs) -> int:
    """How many workers are at work that do not tell of what they store. Raises RedisError, OSError."""
    names = [worker.rpartition(":")[2] for worker in map(_text, Worker.all_keys(queue=queue.queue))]
    with queue.client.pipeline(transaction=False) as together:
        for name in names:
            together.get(lease_key(name))
        return sum(lease == _SILENT for lease in together.execute())


def _text(name: str | bytes) -> str:
    return name if isinstance(name, str) else name.decode(errors="replace")


class _Storing:
    """The store, and the event loop it lives in, for the synchronous code around it.

    stored: called after each batch
    """

    def __init__(self, database_url: str, stored: Callable[[], None] | None = None) -> None:
        self._stored = stored
        self._runner = asyncio.Runner()
        self._store = Store(database_url, max_size=1, timeout_s=JOB_S)
        self._step = chain(common(), _store)

    def check(self) -> None:
        """Raises SchemaMissing. When PostgreSQL is away, it logs that and returns."""
        try:
            found = self._runner.run(self._store.tables())
        except StorageUnavailable as error:
            log.warning("PostgreSQL does not answer yet", reason=repr(error.__cause__))
            return
        if (reason := missing(found, BATCH_REVISION)) is not None:
            raise SchemaMissing(reason)
        if (reason := missing(found)) is not None:
            log.warning("batches are stored, but other things miss their tables", reason=reason)

    def store(self, job_id: str, batch: str) -> None:
        """What a job does. Raises StorageUnavailable, and ValueError where it is no batch."""
        try:
            self._runner.run(self._step(BatchCall(self._store, job_id, batch)))
        except StorageUnavailable as error:
            # The last line of the traceback is what `synckairos audit status` shows as the reason.
            error.add_note(f"PostgreSQL: {error_text(error.__cause__ or error)}")
            # The next batch would fail the same way. Without this pause, waiting batches would ask dozens of
            # times a second, and slow down other programs on the machine.
            time.sleep(AWAY_S)
            raise
        if self._stored is not None:
            self._stored()

    def close(self) -> None:
        """Close the store and its loop."""
        self._runner.run(self._store.aclose())
        self._runner.close()


class BatchCall(Call):
    """A job, as it goes through the chain.

    text: the batch, see `jobs.encode_job`
    """

    __slots__ = ("_batch", "_job_id", "_text", "store")

    kind: ClassVar = Kind.JOB

    def __init__(self, store: Store, job_id: str, text: str) -> None:
        self.store = store
        self._text = text
        self._batch: Batch | None = None
        self._job_id = job_id

    @property
    def name(self) -> str:
        """The function that jobs name."""
        return STORE

    @property
    def request_id(self) -> str:
        """The id of the job."""
        return self._job_id

    @property
    def batch(self) -> Batch:
        """What is to be stored. Raises ValueError where it is no batch."""
        if self._batch is None:
            self._batch = jobs.decode_job(self._text)
        return self._batch

    def begin_span(self) -> Span | None:
        """A span of the traces of its events. Raises ValueError as `batch` does."""
        return traces.begin_storing(self.batch)

    async def refuse_if_open(self) -> None:
        """Raise CircuitOpen while PostgreSQL does not answer.

        No attempt of a batch is lost to a breaker that does not know yet that PostgreSQL is back: it tries
        to connect first. And none waits JOB_S for a PostgreSQL that hangs.
        """
        await self.store.breaker.reach()

    def count(self, result: Stored | None, _error: SyncKairosError | None, /) -> None:
        """Count what was stored. Failures are counted with their next step (`handle_job_failure`)."""
        if result is None:
            return
        metrics.audit_stored.labels("new").inc(result.inserted)
        metrics.audit_stored.labels("known").inc(result.known)
        metrics.audit_stored.labels("refused").inc(result.refused)


async def _store(call: BatchCall) -> Stored:
    """What a job does, at the end of its chain."""
    stored: Stored = await call.store.insert_batch(call.batch)
    if stored.refused:
        alerts.alert("PostgreSQL refuses events: synckairos audit status shows them", events=stored.refused)
    return stored


class _BatchJob(BatchJob):
    """A job of the queue. Whatever function it names, only `store` runs, so a forged job cannot run code."""

    storing: _Storing

    @property
    def func(self) -> Callable[..., None]:
        if self.func_name != STORE:
            raise NotABatch(f"the job {self.id} is no batch")
        return partial(self.storing.store, self.id)

    success_callback = failure_callback = stopped_callback = None

    def send_webhooks(self, *_: Any, **__: Any) -> None:
        """None are sent."""


class _NoDeathPenalty(BaseDeathPenalty):
    """The store bounds its calls itself; an alarm in the middle of an event loop would break the loop."""

    def setup_death_penalty(self) -> None:
        """Nothing to set up."""

    def cancel_death_penalty(self) -> None:
        """Nothing to cancel."""


class _Stop:
    """SIGINT and SIGTERM, which end the main thread's wait by StopRequested; a batch is stored to its end.

    A single exception of a signal handler can get lost: redis-py, and the standard library below it, have
    `except Exception: pass` where they look up versions and measure. So it is raised again every AGAIN_S
    until `work` has got it. This also cuts off each step of the end that waits for a server in vain.
    """

    def __init__(self) -> None:
        self.over = False
        """Whether `work` has ended: then nothing is raised any more."""
        self._asked_at: float | None = None
        self._held = False

    @property
    def asked(self) -> bool:
        """Whether the process was asked to end."""
        return self._asked_at is not None

    def listen(self) -> None:
        """Take the signals from here on."""
        signal.signal(signal.SIGALRM, lambda *_: self._interrupt())
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask)

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        if self._asked_at is None:
            self._asked_at = time.monotonic()
            self._interrupt()
        elif time.monotonic() - self._asked_at > TWICE_S:
            signal.setitimer(signal.ITIMER_REAL, AGAIN_S)
            raise SystemExit  # the second time, also in the middle of a batch

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nothing is raised in this block; if a signal came meanwhile, StopRequested is raised after it."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        self._interrupt()

    def _interrupt(self) -> None:
        if self.asked and not self._held and not self.over:
            signal.setitimer(signal.ITIMER_REAL, AGAIN_S)
            raise StopRequested


class _Worker(SimpleWorker):
    """The worker of rq without commands by Pub/Sub, without a scheduler process, and with our signals."""

    death_penalty_class = _NoDeathPenalty
    max_connection_wait_time = LEASE_S
    stop: _Stop

    def subscribe(self) -> None:
        """No commands are taken."""

    def unsubscribe(self) -> None:
        """There is nothing to end."""

    def _install_signal_handlers(self) -> None:
        """`_Stop` has them already."""

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Store a batch to its end, and end after it if a signal came meanwhile."""
        with self.stop.held():
            super().execute_job(job, queue)

    def handle_exception(self, job: Job, *exc_info: Any) -> None:
        """`handle_job_failure` logs failures, because it knows the next step."""

    def handle_job_failure(
        self,
        job: Job,
        queue: Queue,
        started_job_registry: Any = None,
        exc_string: str = "",
        execution: Execution | None = None,
    ) -> None:
        """Have the batch tried again later, or give it up and say so."""
        given_up = not job.should_retry
        wait_s = None if given_up else job.get_retry_interval()
        reason = (exc_string.strip().splitlines() or ["unknown"])[-1]
        job.meta = {REASON: reason[:MOST_SAID]}  # rq keeps the error of the last attempt alone
        job.save_meta()  # type: ignore[no-untyped-call]
        super().handle_job_failure(job, queue, started_job_registry, exc_string, execution)
        metrics.audit_failures.labels("given_up" if given_up else "retry").inc()
        if given_up:
            alerts.alert(
                "a batch of events could not be stored and is kept: synckairos audit retry queues it again",
                job_id=job.id,
                batch=job.description,
                reason=reason,
            )
        else:
            log.warning("a batch is tried again", job_id=job.id, in_s=wait_s, reason=reason)


class _Keeper:
    """A thread of each worker: renews the worker's lease, and looks after the queue when it is its turn."""

    def __init__(self, worker: _Worker, client: redis.Redis) -> None:
        self._worker = worker
        self._client = client
        self._queue = Queue(jobs.NAME, connection=client, job_class=_BatchJob, serializer=Serializer)
        self._scheduler = RQScheduler([jobs.NAME], client, serializer=Serializer)
        self._seen: dict[str, float] = {}
        """When each batch that a worker took and has not begun was first seen."""
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)

    def start(self) -> None:
        """Hold the lease from here on."""
        self._renew()
        with self._worker.stop.held():  # an exception in the middle of it breaks the thread
            self._thread.start()

    def stop(self) -> None:
        """Give the lease back."""
        self._end.set()
        self._thread.join()
        with suppress(RedisError, OSError):
            worker_registration.unregister(self._worker)
            self._client.delete(lease_key(self._worker.name))
            if self._client.get(_KEEPER) == self._worker.name.encode():
                self._client.delete(_KEEPER)

    def _run(self) -> None:
        telling = Telling()
        while not self._end.wait(ROUND_S):
            try:
                self._renew()
                if self._is_keeper():
                    self._scheduler.prepare_registries([jobs.NAME])
                    self._scheduler.enqueue_scheduled_jobs()  # type: ignore[no-untyped-call]
                    self._unreadable()
                    self._abandoned()
                    self._not_begun()
            except (RedisError, OSError) as error:
                log.log(
                    telling.level(), "the audit's queue cannot be looked after now", reason=error_text(error)
                )
            except Exception:
                log.exception("looking after the audit's queue failed")

    def _renew(self) -> None:
        with self._client.pipeline(transaction=False) as together:
            together.set(lease_key(self._worker.name), _TELLS, px=int(LEASE_S * 1000))
            # rq does this at its start alone, and Redis may have lost everything since then.
            worker_registration.register(self._worker, together)
            together.execute()

    def _is_keeper(self) -> bool:
        """Whether it is, or could become, the one that looks after the queue."""
        own = self._worker.name
        if self._client.set(_KEEPER, own, nx=True, px=int(LEASE_S * 1000)):
            return True
        if self._client.get(_KEEPER) != own.encode():
            return False
        self._client.pexpire(_KEEPER, int(LEASE_S * 1000))
        return True

    def _unreadable(self) -> None:
        """Takes away ids that are no text, at which rq would stop again and again."""
        taken, begun = self._queue.intermediate_queue_key, self._queue.started_job_registry.key
        ids: Any = self._client.lrange(taken, 0, -1)
        entries: Any = self._client.zrange(begun, 0, -1)
        for each in ids:
            if not jobs.is_text(each):
                self._client.lrem(taken, 1, each)
        for each in entries:
            if not jobs.is_text(each):
                self._client.zrem(begun, each)

    def _abandoned(self) -> None:
        """A batch whose worker has lost its lease counts as a failed attempt."""
        registry = self._queue.started_job_registry
        for entry in self._begun():
            job_id, execution_id = parse_composite_key(entry)
            execution: Execution | None = None
            with suppress(ValueError):
                execution = Execution.fetch(execution_id, job_id, self._client)
            if execution is None and self._client.zscore(registry.key, entry) is None:
                continue  # it has ended since the registry was read; both are removed at once
            if execution is not None and self._client.exists(lease_key(execution.worker_name)):
                continue
            try:
                job = _BatchJob.fetch(job_id, self._client, serializer=Serializer)
            except NoSuchJobError:
                self._client.zrem(registry.key, entry)
                continue
            job.ended_at = now()
            self._worker.handle_job_failure(
                job, self._queue, exc_string="the worker that had it is gone", execution=execution
            )
            self._client.zrem(registry.key, entry)

    def _begun(self) -> list[str]:
        """The jobs that workers have begun: the id of each and that of its execution, as rq writes them."""
        entries: Any = self._client.zrange(self._queue.started_job_registry.key, 0, -1)
        return [entry.decode() for entry in entries]

    def _not_begun(self) -> None:
        """Batches that a worker took, and that no worker has begun, go back to the front of the queue.

        A worker that stood still may have taken a batch a second time that another one has stored meanwhile.
        Its job is gone, rq passes over it, and only its id is still there to be taken away.
        """
        taken = self._queue.intermediate_queue_key
        waiting = set(self._queue.intermediate_queue.get_job_ids())
        waiting -= {parse_composite_key(entry)[0] for entry in self._begun()}
        self._seen = {job_id: self._seen.get(job_id, time.monotonic()) for job_id in waiting}
        for job_id, since in self._seen.items():
            if time.monotonic() - since > LEASE_S:
                exists = _BatchJob.exists(job_id, self._client)
                with self._client.pipeline() as pipeline:
                    pipeline.lrem(taken, 1, job_id)
                    if exists:
                        pipeline.lpush(self._queue.key, job_id)
                    pipeline.execute()


def lease_key(worker_name: str) -> str:
    """The key that is there as long as this worker lives."""
    return f"synckairos:audit:worker:{worker_name}"


def work(settings: Settings, beside: Beside | None = None) -> None:
    """Store batches until SIGINT or SIGTERM. Raises SchemaMissing.

    beside: what this worker does besides
    """
    assert settings.database_url is not None
    # Until there is something to end in order, a signal ends the process: SIGINT without a traceback, too.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    for name in ("rq.worker", "rq.job", "rq.scheduler", "rq.registry", "rq.queue"):
        logging.getLogger(name).setLevel(logging.WARNING)
    storing = _Storing(settings.database_url, None if beside is None else beside.stored)
    retention = Retention(settings.database_url, settings.access_log_retention_days)
    stop = _Stop()
    try:
        storing.check()
        _BatchJob.storing = storing
        retention.start()
        if beside is not None:
            beside.start()
        log.info("waiting for batches")
        systemd.ready("stores batches")
        stop.listen()
        _work_on(settings, stop)
    except StopRequested:
        pass
    finally:
        # Not by a call: Python looks for signals at each call, and one could raise once more there.
        stop.over = True
        signal.setitimer(signal.ITIMER_REAL, 0)
        systemd.stopping()
        retention.stop()
        if beside is not None:
            beside.stop()
        storing.close()
        alerts.close()


def _work_on(settings: Settings, stop: _Stop) -> None:
    """Go on with another worker whenever one ends because of trouble with Redis."""
    backoff, telling = Backoff(), Telling()
    while not stop.asked:
        own, keeper_jobs = Jobs.of(settings), Jobs.of(settings)
        started = time.monotonic()
        try:
            _work_once(own, keeper_jobs, stop)
        except (RedisError, OSError) as error:
            if not stop.asked:
                log.log(telling.level(), "the queue of the audit is away", reason=error_text(error))
        finally:
            own.close()
            keeper_jobs.close()
        if time.monotonic() - started > LEASE_S:
            backoff.reset()
        if not stop.asked:
            time.sleep(backoff.pause())


def _work_once(own: Jobs, keeper_jobs: Jobs, stop: _Stop) -> None:
    """Store batches until the worker of rq ends, by a signal or by trouble with Redis."""
    worker = _Worker(
        [jobs.NAME],
        connection=own.client,
        job_class=_BatchJob,
        serializer=Serializer,
        worker_ttl=WORKER_TTL_S,
        log_job_description=False,
    )
    worker.stop = stop
    keeper = _Keeper(worker, keeper_jobs.client)
    keeper.start()
    try:
        worker.work()
    finally:
        keeper.stop()
