"""The queue between outbox and PostgreSQL. Each batch is one job of rq, as JSON: data is never run as code.

The queue is in a Redis of its own (`RQ_REDIS_URL`), or in the Redis of the sessions. rq is synchronous, and
so is this module: code with an event loop has to call it in a thread.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate, chain, pairwise
from typing import Any, Self

import msgspec
import redis
import structlog
import zstandard
from redis.sentinel import SentinelConnectionPool
from rq import Queue, Retry
from rq.defaults import RQ_KEY_PREFIX
from rq.exceptions import DeserializationError, DuplicateJobError
from rq.job import Job

from synckairos.audit.rows import Batch, Entry
from synckairos.config import Settings
from synckairos.core.clients import sync_client
from synckairos.tracing.traceparent import kept

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

NAME = "audit"
STORE = "synckairos.audit.worker.store"
"""The only function that a job may call."""
RETRIES_S = (2, 4, 8, 16, 32)
"""After how long a batch that failed is tried again, for each attempt."""
JOB_S = 30
"""How long one attempt may take."""
TIMEOUT_S = 5.0
READS = frozenset({1})
"""The formats of batches that this release understands. It keeps those that the last release writes."""
WRITES = 1
"""The format that it writes, which is one that the last release reads: see `migrations/README.md`."""
COUNTED_AT_MOST = 100
"""Of how many batches of a kind `Jobs.waiting_events` reads how many events they have."""
MOST_WAITING = 1000
"""How many batches `Jobs.waiting` reads. Each may have some MiB."""
READ_AT_ONCE = 20
MOST_BYTES = 32 * 1_048_576
"""How large a batch may be when it is unpacked. The archiver's have some MiB."""
MOST_CONTENTS = 1_048_576
"""How large its table of contents may be. An entry of it takes some hundred bytes of memory."""
REASON = "reason"
"""The field of a job's meta with the last line of its last error."""
MOST_SAID = 65_536
"""How much is read of the error of a batch that failed."""


class UnknownFormat(ValueError):
    """A batch of a release that is newer (or much older) than this one; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How many batches are in each state."""

    queued: int
    started: int
    scheduled: int
    failed: int


@dataclass(frozen=True, slots=True)
class Failed:
    """A batch that failed at its last attempt.

    what: its content, as in "12 events"
    since: when that was
    reason: the last line of the error
    """

    job_id: str
    what: str
    since: datetime | None
    reason: str


class Serializer:
    """JSON, as in rq's own serializer, but several times as fast."""

    @staticmethod
    def dumps(value: Any) -> bytes:
        """JSON text."""
        return msgspec.json.encode(value)

    @staticmethod
    def loads(text: bytes) -> Any:
        """The value of JSON text."""
        return msgspec.json.decode(text)


class BatchJob(Job):
    """A job whose data is not compressed by rq, because a batch is compressed already.

    rq unpacks whatever looks compressed, however large it becomes. Who can write to the queue could fill the
    memory of every worker like that, so it is given nothing to unpack, and errors only to a certain length.
    """

    def restore(self, raw_data: Any) -> None:
        """Takes the fields of the job's hash."""
        fields = dict(raw_data)
        data, _ = fields.get(b"data"), fields.pop(b"exc_info", None)
        super().restore(fields if data is None else {**fields, b"data": b""})
        self.data = _unpacked(data or b"", MOST_BYTES)

    def why(self) -> str:
        """The error of its last attempt, with the traceback: the text that `handle_job_failure` was given."""
        results: Any = self.connection.xrevrange(f"{RQ_KEY_PREFIX}:results:{self.id}", count=1)
        said = results[0][1].get(b"exc_string", b"") if results else b""
        try:
            return _unpacked(b64decode(said), MOST_SAID).decode(errors="replace")
        except ValueError:  # this is no Base64
            return ""

    def said(self) -> str:
        """The last line of the error of its last attempt, also when it is tried again."""
        found = self.meta.get(REASON) if isinstance(self.meta, dict) else None
        return found[:MOST_SAID] if isinstance(found, str) else ""

    def to_dict(self, include_meta: bool = True, include_result: bool = True) -> dict[Any, Any]:
        """The fields of the job's hash."""
        data = self.data
        self._data = b""
        try:
            made: dict[Any, Any] = super().to_dict(include_meta, include_result)
        finally:
            self._data = data
        return {**made, "data": data}


class Jobs:
    """The queue, its retries and its failed batches."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        self.queue = Queue(NAME, connection=client, job_class=BatchJob, serializer=Serializer)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The queue that the settings name."""
        return cls(sync_client(settings, settings.rq_redis_url, timeout_s=TIMEOUT_S))

    def close(self) -> None:
        """Close all connections."""
        self.client.close()

    def renew(self) -> None:
        """Forget the primary. The next call asks the Sentinels for it.

        A connection that a call uses now is closed after that call, because its primary is forgotten.
        """
        pool = self.client.connection_pool
        if isinstance(pool, SentinelConnectionPool):
            pool.proxy.reset()
        pool.disconnect(inuse_connections=False)

    def put(self, batch: Batch) -> str:
        """Queue a batch. Returns the id of its job, which depends only on the entries.

        When a job with the same entries is queued already, nothing is added. After a RedisError or OSError
        the batch may or may not be in the queue.
        """
        job_id = job_id_of(batch)
        with suppress(DuplicateJobError):
            self.queue.enqueue_call(
                STORE,
                args=[encode_job(batch)],
                job_id=job_id,
                unique=True,
                timeout=JOB_S,
                result_ttl=0,
                failure_ttl=-1,
                retry=Retry(max=len(RETRIES_S), interval=RETRIES_S),
                description=f"{len(batch.entries)} events",
            )
        return job_id

    def counts(self) -> Counts:
        """How many batches are in each state."""
        queue = self.queue
        with self.client.pipeline(transaction=False) as pipeline:
            pipeline.llen(queue.key)
            pipeline.llen(queue.intermediate_queue_key)
            pipeline.zcard(queue.started_job_registry.key)
            pipeline.zcard(queue.scheduled_job_registry.key)
            pipeline.zcard(queue.failed_job_registry.key)
            queued, taken, started, scheduled, failed = pipeline.execute()
        return Counts(queued, max(taken, started), scheduled, failed)

    def waiting_events(self) -> int:
        """About how many events the batches have that are queued, under way or wait for another attempt.

        What each has stands in its description. Of each kind no more than COUNTED_AT_MOST are read; the rest
        is taken to be like them.
        """
        queue, last = self.queue, COUNTED_AT_MOST - 1
        started, scheduled = queue.started_job_registry.key, queue.scheduled_job_registry.key
        with self.client.pipeline(transaction=False) as pipeline:
            pipeline.llen(queue.key)
            pipeline.zcard(started)
            pipeline.zcard(scheduled)
            pipeline.lrange(queue.key, 0, last)
            pipeline.zrange(started, 0, last)
            pipeline.zrange(scheduled, 0, last)
            *sizes, queued, under_way, waiting = pipeline.execute()
            kinds = (queued, [entry.partition(b":")[0] for entry in under_way], waiting)
            for job_id in chain(*kinds):
                pipeline.hget(b"%b:job:%b" % (RQ_KEY_PREFIX.encode(), job_id), "description")
            said = iter(pipeline.execute(raise_on_error=False))
        return sum(
            round(size * sum(_events(next(said)) for _ in job_ids) / len(job_ids))
            for size, job_ids in zip(sizes, kinds, strict=True)
            if job_ids
        )

    def waiting(self) -> Iterator[Batch]:
        """The batches that are not stored yet, failed ones too.

        Of more than MOST_WAITING only those are read that were queued last, and the log says so. A job that
        is no batch is passed over, and so is one in a format of another release, of which the log tells.
        """
        queue = self.queue
        job_ids = list(
            dict.fromkeys(
                chain(
                    reversed(self._listed(queue.key)),
                    self._listed(queue.intermediate_queue_key),
                    queue.started_job_registry.get_job_ids(),
                    queue.scheduled_job_registry.get_job_ids(),
                    reversed(queue.failed_job_registry.get_job_ids()),
                )
            )
        )
        if len(job_ids) > MOST_WAITING:
            log.error("too many batches wait in the audit's queue to be read", batches=len(job_ids))
        for start in range(0, min(len(job_ids), MOST_WAITING), READ_AT_ONCE):
            for job in self._jobs(job_ids[start : min(start + READ_AT_ONCE, MOST_WAITING)]):
                try:
                    yield decode_job(*job.args)
                except UnknownFormat as error:
                    # `log.error`, as there is no bug whose traceback would help.
                    log.error("a batch in the queue cannot be read", job_id=job.id, reason=str(error))
                except (ValueError, TypeError, DeserializationError):
                    continue

    def failed(self, limit: int = 20) -> list[Failed]:
        """The batches that failed at all their attempts."""
        return self._failed(self.queue.failed_job_registry.get_job_ids(0, limit - 1))

    def tried_again(self, limit: int = 20) -> list[Failed]:
        """The batches that failed and wait for another attempt."""
        return self._failed(self.queue.scheduled_job_registry.get_job_ids(0, limit - 1))

    def _failed(self, job_ids: list[str]) -> list[Failed]:
        found = []
        for job in self._jobs(job_ids):
            lines = (job.why() or job.said()).strip().splitlines() or ["unknown"]
            found.append(Failed(job.id, job.description or "unknown", job.ended_at, lines[-1]))
        return found

    def retry_failed(self) -> int:
        """Queue all failed batches once more, with all their attempts. Returns how many there were."""
        registry = self.queue.failed_job_registry
        job_ids = registry.get_job_ids()
        jobs = self._jobs(job_ids)
        for job_id in set(job_ids) - {job.id for job in jobs}:
            registry.remove(job_id)
        for job in jobs:
            job.retries_left = len(RETRIES_S)
            job.started_at = job.ended_at = None
            # In this order, so that a job is in both places, and not lost, if the process ends in between.
            self.queue.enqueue_job(job)
            registry.remove(job)
        return len(jobs)

    def discard(self, job_id: str) -> str | None:
        """Forget a batch that failed at all its attempts. Returns its text; None when there is none."""
        if job_id not in self.queue.failed_job_registry.get_job_ids():
            return None
        (job,) = self._jobs([job_id]) or (None,)
        self.queue.failed_job_registry.remove(job_id)
        if job is None:
            return ""
        text = job.data.decode(errors="replace")
        job.delete()
        return text

    def _listed(self, key: str) -> list[str]:
        """The ids in a list of the queue. One that is no text is nobody's, and rq could not read it."""
        entries: Any = self.client.lrange(key, 0, -1)
        return [entry.decode() for entry in entries if is_text(entry)]

    def _jobs(self, job_ids: list[str]) -> list[BatchJob]:
        found: Any = (
            BatchJob.fetch_many(job_ids, connection=self.client, serializer=Serializer) if job_ids else []
        )
        return [job for job in found if job is not None]


def job_id_of(batch: Batch) -> str:
    """The id of a batch's job. A batch of the same entries has the same one."""
    sources = "\n".join(entry.source for entry in batch.entries)
    return hashlib.sha256(sources.encode()).hexdigest()[:32]


def encode_job(batch: Batch) -> str:
    """A batch as text, for the argument of a job.

    The text is Base64 of a Zstandard frame. The frame has one line of JSON (`_Contents`), then the events and
    snapshots, byte for byte. As JSON strings they would have to be escaped, which takes several times as
    long.
    """
    contents = _Contents(
        [(entry.source, entry.session_id, len(entry.body)) for entry in batch.entries],
        [len(snapshot) for snapshot in batch.snapshots],
        dict(batch.tenants),
        [
            (place, each.traceparent)
            for place, each in enumerate(batch.entries)
            if each.traceparent is not None
        ],
        WRITES,
    )
    bodies = (entry.body for entry in batch.entries)
    plain = b"".join((msgspec.json.encode(contents), b"\n", *bodies, *batch.snapshots))
    return b64encode(zstandard.compress(plain, level=1)).decode()


def decode_job(text: str) -> Batch:
    """The batch that `encode_job` made text of, in this release or in one beside it.

    Raises UnknownFormat, and ValueError when `text` is no batch.

    A few bytes can unpack to any size. So the frame has to say how large it is, and is refused before it is
    unpacked when that is too much.
    """
    try:
        packed = b64decode(text)
        size = zstandard.frame_content_size(packed)
        if not 0 <= size <= MOST_BYTES:
            raise ValueError(f"this is no batch: it does not say that it has at most {MOST_BYTES:,} bytes")
        plain = zstandard.decompress(packed)
        end = plain.find(b"\n", 0, MOST_CONTENTS)
        if end < 0:
            raise ValueError("this is no batch: it has no table of contents")
        first, rest = plain[:end], memoryview(plain)[end + 1 :]
        made_in = msgspec.json.decode(first, type=_Format).format
        if made_in not in READS:
            raise UnknownFormat(
                f"this batch has the format {made_in}, and this release reads {', '.join(map(str, READS))}: "
                "run a worker of the release that made it, then `synckairos audit retry`"
            )
        contents = msgspec.json.decode(first, type=_Contents)
    except (TypeError, zstandard.ZstdError, msgspec.MsgspecError) as error:
        raise ValueError(f"this is no batch: {error}") from error
    ends = accumulate([*(size for _, _, size in contents.entries), *contents.snapshots])
    bodies = [bytes(rest[start:end]) for start, end in pairwise((0, *ends))]
    traceparents = {place: kept(text) for place, text in contents.traceparents}
    entries = [
        Entry(source, session_id, body, traceparents.get(place))
        for place, ((source, session_id, _), body) in enumerate(zip(contents.entries, bodies, strict=False))
    ]
    return Batch(entries, bodies[len(entries) :], contents.tenants)


def is_text(entry: bytes) -> bool:
    """Whether an id of the queue can be one of a job. Who can write to the queue can write any bytes."""
    try:
        entry.decode()
    except UnicodeDecodeError:
        return False
    return True


def _events(description: Any) -> int:
    """How many events a batch has, by what its job says of it; 0 when it says nothing, as any job may."""
    match = re.match(rb"(\d{1,9}) events", description) if isinstance(description, bytes) else None
    return int(match[1]) if match else 0


def _unpacked(data: bytes, most: int) -> bytes:
    """The first `most` bytes of what rq has packed; the data itself where it is not packed."""
    try:
        return zlib.decompressobj().decompress(data, most)
    except zlib.error:
        return data


class _Format(msgspec.Struct):
    """The one field that stands in the table of contents whatever its format is.

    The first format was written before there were others, and did not say so.
    """

    format: int = 1


class _Contents(msgspec.Struct):
    """The table of contents of a batch. Sizes are bytes.

    entries: of each entry the source, the session id and the size of its event
    snapshots: the size of each snapshot
    tenants: as in `Batch`
    format: one of READS. What a release does not know of its own formats it passes over.
    traceparents: those of entries that have one, each after the place of its entry. Workers of earlier
        releases do not know them, and store the batch all the same.
    """

    entries: list[tuple[str, str, int]]
    snapshots: list[int]
    tenants: dict[str, str] = {}
    traceparents: list[tuple[int, str]] = []
    format: int = 1
