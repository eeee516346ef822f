"""How many events wait in the queue, as the metrics tell."""

from __future__ import annotations

import pytest

from synckairos.audit.jobs import COUNTED_AT_MOST, Jobs
from synckairos.audit.rows import Batch, Entry

pytestmark = pytest.mark.own_keys("rq:.*")


def put(queue: Jobs, *sizes: int) -> None:
    """Queues a batch of each size."""
    for number, size in enumerate(sizes):
        queue.put(Batch([Entry(f"00/{number + 1}-{place}", "an id", b"{}") for place in range(size)]))


def test_the_events_of_all_batches_are_counted(queue: Jobs) -> None:
    assert queue.waiting_events() == 0
    put(queue, 1, 20, 300)
    assert queue.waiting_events() == 321


def test_of_many_batches_the_rest_is_taken_to_be_like_the_first_ones(queue: Jobs) -> None:
    put(queue, *[2] * COUNTED_AT_MOST, *[4] * 50)
    assert queue.waiting_events() == 2 * (COUNTED_AT_MOST + 50)
