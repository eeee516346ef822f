"""What the restorer takes for the newest of a session: of what is stored, and of the batches that wait."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from synckairos.audit.restorer import _add, _newest, _Waiting
from synckairos.audit.rows import Session
from synckairos.audit.store import StoredSession

AT = datetime(2026, 1, 1, tzinfo=UTC)


def stored(
    epoch: int, version: int, snapshot: tuple[int, int] | None, status: str = "running"
) -> StoredSession:
    made = StoredSession("s", "t", "global", status, str(epoch), version, AT, AT, None, None, None)
    if snapshot is None:
        return made
    text = b"stored %d %d" % snapshot
    return replace(made, snapshot=text, snapshot_epoch=str(snapshot[0]), snapshot_version=snapshot[1])


def waiting(
    epoch: int,
    version: int,
    snapshot: tuple[int, int] | None = None,
    status: str = "running",
    created: int | None = None,
) -> Session:
    made = Session(
        "s", epoch, version, status, AT, AT + timedelta(seconds=version), "t", created_epoch=created
    )
    if snapshot is not None:
        made.snapshot, (made.snapshot_epoch, made.snapshot_version) = (
            "waiting {} {}".format(*snapshot),
            snapshot,
        )
    return made


@pytest.mark.parametrize(
    ("known", "batches", "expected"),
    [
        (stored(1, 5, (1, 5)), [], ("1", 5, "running", b"stored 1 5")),
        # newer, with a snapshot or without
        (stored(1, 5, (1, 5)), [waiting(1, 7, (1, 7))], ("1", 7, "running", b"waiting 1 7")),
        (stored(1, 5, (1, 5)), [waiting(1, 7, status="expired")], ("1", 7, "expired", b"stored 1 5")),
        # older: a batch that failed before later ones were stored
        (stored(1, 9, (1, 9)), [waiting(1, 7, (1, 7), "paused")], ("1", 9, "running", b"stored 1 9")),
        # several, in any order
        (None, [waiting(1, 3, (1, 3)), waiting(1, 2, (1, 2))], ("1", 3, "running", b"waiting 1 3")),
        (None, [waiting(1, 2, (1, 2)), waiting(1, 3, status="paused")], ("1", 3, "paused", b"waiting 1 2")),
        # an epoch counts before a version
        (stored(1, 9, (1, 9)), [waiting(2, 3, (2, 3))], ("2", 3, "running", b"waiting 2 3")),
        # created again under an old id: the old session's snapshot is not this one's
        (stored(1, 9, (1, 9)), [waiting(2, 1, created=2)], ("2", 1, "running", None)),
        (
            stored(1, 9, (1, 9)),
            [waiting(2, 1, created=2), waiting(2, 2, (2, 2))],
            ("2", 2, "running", b"waiting 2 2"),
        ),
    ],
)
def test_the_newest_counts(
    known: StoredSession | None, batches: list[Session], expected: tuple[str, int, str, bytes | None]
) -> None:
    told = batches[0] if batches else None
    for other in batches[1:]:
        assert told is not None
        _add(told, other)
    found = _newest(known, None if told is None else _Waiting(told))
    assert found is not None
    assert (found.epoch, found.version, found.status, found.snapshot) == expected


def test_nothing_is_known_of_a_session_in_neither() -> None:
    assert _newest(None, None) is None


@pytest.mark.parametrize(
    ("moved_at", "moved_to"),
    [((1, 4), "before"), ((1, 6), "after"), ((2, 1), "after")],
)
def test_the_last_move_counts(moved_at: tuple[int, int], moved_to: str) -> None:
    """A batch may be older than what is stored."""
    known = replace(stored(1, 5, (1, 5)), moved_to="before")
    found = _newest(known, _Waiting(waiting(*moved_at), "after", moved_at))
    assert found is not None
    assert found.moved_to == moved_to
