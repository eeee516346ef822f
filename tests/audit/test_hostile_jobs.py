"""Jobs that somebody else has put into the queue: they take no memory, run nothing, and are only text."""

from __future__ import annotations

import base64
import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pytest
import zstandard
from rq import Queue
from rq.registry import FailedJobRegistry

from synckairos.audit import jobs
from synckairos.audit.jobs import BatchJob, Jobs, Serializer, decode_job
from synckairos.output import printable

pytestmark = pytest.mark.own_keys("rq:.*")
MIB = 1_048_576
LARGE = 256 * MIB


@contextmanager
def within(most: int) -> Iterator[None]:
    """The block takes at most so much memory (bytes) of Python's, which has its bytes objects."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()


def zstd_bomb(*, says_its_size: bool) -> bytes:
    """Some kilobytes that unpack to LARGE."""
    compressor = zstandard.ZstdCompressor(level=1).compressobj(LARGE if says_its_size else -1)
    packed = [compressor.compress(bytes(MIB)) for _ in range(LARGE // MIB)]
    return b"".join([*packed, compressor.flush()])


def zlib_bomb() -> bytes:
    compressor = zlib.compressobj(9)
    packed = [compressor.compress(bytes(MIB)) for _ in range(LARGE // MIB)]
    return b"".join([*packed, compressor.flush()])


@pytest.mark.parametrize("says_its_size", [True, False])
def test_a_batch_that_unpacks_to_too_much_is_refused_before_it_does(says_its_size: bool) -> None:
    text = base64.b64encode(zstd_bomb(says_its_size=says_its_size)).decode()
    assert len(text) < MIB
    with within(8 * MIB), pytest.raises(ValueError, match="this is no batch"):
        decode_job(text)


def test_a_batch_with_millions_of_empty_entries_is_refused() -> None:
    entries = ",".join(['["","",0]'] * 500_000)
    contents = f'{{"entries":[{entries}],"snapshots":[]}}\n'.encode()
    text = base64.b64encode(zstandard.compress(contents)).decode()
    with within(64 * MIB), pytest.raises(ValueError, match="table of contents"):
        decode_job(text)


@pytest.mark.parametrize(
    "contents", [b"", b"\n", b"[]\n", b'{"entries":[["a","b",-7]],"snapshots":[-1]}\nxyz']
)
def test_what_is_no_batch_is_an_error_or_has_no_more_than_it_says(contents: bytes) -> None:
    text = base64.b64encode(zstandard.compress(contents)).decode()
    try:
        batch = decode_job(text)
    except ValueError:
        return
    assert sum(len(entry.body) for entry in batch.entries) <= len(contents)


@pytest.mark.parametrize("field", ["data", "exc_info"])
def test_rq_unpacks_nothing_that_becomes_too_large(field: str, queue: Jobs) -> None:
    job = queue.queue.enqueue_call(jobs.STORE, args=["x"], failure_ttl=-1)
    queue.client.hset(job.key, field, zlib_bomb())
    with within(2 * jobs.MOST_BYTES + 8 * MIB):
        assert list(queue.waiting()) == []


def test_the_error_of_a_batch_is_read_to_a_certain_length_and_only_text(queue: Jobs) -> None:
    job = queue.queue.enqueue_call(jobs.STORE, args=["x"], description="\x1b]0;owned\x07 events")
    FailedJobRegistry(queue=queue.queue).add(job, -1)
    said = base64.b64encode(zlib_bomb())
    queue.client.xadd(f"rq:results:{job.id}", {"type": 2, "exc_string": said})
    with within(16 * MIB):
        [failed] = queue.failed()
    assert len(failed.reason) <= jobs.MOST_SAID
    assert failed.what == "\x1b]0;owned\x07 events"
    assert printable(failed.what) == r"\x1b]0;owned\x07 events"  # how `audit status` shows it
    queue.client.delete(f"rq:results:{job.id}")


def test_a_batch_that_rq_has_packed_itself_is_read_all_the_same(queue: Jobs) -> None:
    """As a queue of another program would write it."""
    other = Queue(jobs.NAME, connection=queue.client, serializer=Serializer)
    made = other.enqueue_call(jobs.STORE, args=["x"])
    kept = queue.client.hget(made.key, "data")
    assert isinstance(kept, bytes)
    assert b"worker.store" in zlib.decompress(kept)
    found = BatchJob.fetch(made.id, connection=queue.client, serializer=Serializer)
    assert found.args == ("x",) or list(found.args) == ["x"]
    assert msgspec.json.decode(found.data)[0] == jobs.STORE
