"""From stored events to deliveries: each event once, in order for a session, whatever is stored when."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from synckairos.audit.rows import Batch, Entry
from synckairos.audit.store import Store
from synckairos.webhooks.planning import Planner, ranges
from tests.support.audit_rows import EPOCH, event
from tests.support.postgres import query
from tests.webhooks.conftest import Hooks

pytestmark = pytest.mark.one_kind


async def test_what_is_stored_becomes_a_delivery(hooks: Hooks, session: str) -> None:
    webhook = await hooks.add()
    await hooks.happen(session, 1, 2, 3)
    await hooks.plan()
    assert await hooks.planned(webhook) == [[(0, 1), (0, 2), (0, 3)]]
    (delivery,) = await hooks.deliveries(webhook)
    assert (delivery.status, delivery.attempts, delivery.session_id) == ("pending", 0, session)
    assert delivery.next_attempt_at is not None


async def test_a_batch_that_comes_twice_is_sent_once(hooks: Hooks, session: str) -> None:
    webhook = await hooks.add()
    for _ in range(2):
        await hooks.happen(session, 1, 2)
        await hooks.plan()
    await hooks.happen(session, 1, 2)
    await hooks.happen(session, 1, 2, 3)
    await hooks.plan()
    assert await hooks.versions(webhook) == [1, 2, 3]


async def test_what_nobody_has_tried_to_send_becomes_longer(hooks: Hooks, session: str) -> None:
    webhook = await hooks.add()
    await hooks.happen(session, *range(1, 99))
    await hooks.plan()
    await hooks.happen(session, *range(99, 252))
    await hooks.plan()
    assert list(map(len, await hooks.planned(webhook))) == [100, 100, 51]
    assert await hooks.versions(webhook) == [*range(1, 252)]
    first, *others = await hooks.deliveries(webhook)
    assert first.next_attempt_at is not None
    assert [each.next_attempt_at for each in others] == [None, None]


async def test_what_was_tried_stays_as_it_is(hooks: Hooks, session: str) -> None:
    webhook = await hooks.add()
    await hooks.happen(session, 1)
    await hooks.plan()
    await hooks.send()
    await hooks.happen(session, 2)
    await hooks.plan()
    assert await hooks.planned(webhook) == [[(0, 1)], [(0, 2)]]


async def test_batches_are_stored_in_any_order_and_sent_in_the_sessions(hooks: Hooks, session: str) -> None:
    webhook = await hooks.add()
    await hooks.happen(session, 4, 5)
    await hooks.happen(session, 2)
    await hooks.plan()
    assert await hooks.versions(webhook) == []
    await hooks.happen(session, 1)
    await hooks.plan()
    assert await hooks.versions(webhook) == [1, 2]
    await hooks.happen(session, 3)
    await hooks.plan()
    assert await hooks.versions(webhook) == [1, 2, 3, 4, 5]


async def test_what_is_lost_is_waited_for_for_a_while_and_sent_when_it_comes_after_all(
    hooks: Hooks, session: str
) -> None:
    webhook = await hooks.add()
    await hooks.happen(session, 1, 3)
    planner = Planner(hooks.store, gap_s=0.5)
    await planner.plan()
    assert await hooks.versions(webhook) == [1]
    await asyncio.sleep(0.8)
    await planner.plan()
    assert await hooks.versions(webhook) == [1, 3]
    await hooks.happen(session, 2)
    await planner.plan()
    assert await hooks.versions(webhook) == [1, 3, 2]


async def test_a_restored_session_goes_on_after_the_epoch_before(hooks: Hooks, session: str) -> None:
    webhook = await hooks.add()
    await hooks.happen(session, 1, 2)
    await hooks.happen(session, 3, 4, name="session.recovered", epoch=EPOCH + 9)
    # Of a line that a failover has cut off, both ends were told to clients.
    await hooks.happen(session, 4, 5, epoch=EPOCH + 10)
    await hooks.plan()
    assert await hooks.planned(webhook) == [[(0, 1), (0, 2), (9, 3), (9, 4), (10, 4), (10, 5)]]


async def test_what_was_committed_before_the_webhook_was_made_is_not_sent(hooks: Hooks, session: str) -> None:
    early = await hooks.add()
    late = await hooks.add(since_ms=EPOCH + 3)
    await hooks.happen(session, 1, 2, 3, 4)
    await hooks.plan()
    assert await hooks.versions(early) == [1, 2, 3, 4]
    assert await hooks.versions(late) == [3, 4]
    # It is made in the middle of a session whose earlier events nobody looked through.
    other = str(uuid.uuid4())
    await hooks.rows.execute("UPDATE sync_webhooks SET status = 'ended'")
    await hooks.happen(other, 1, 2)
    await hooks.rows.execute(
        "UPDATE sync_webhooks SET status = 'active' WHERE webhook_id = $1", late.webhook_id
    )
    await hooks.happen(other, 3)
    await hooks.plan()
    assert await hooks.versions(late) == [3, 4, 3]


async def test_events_and_sessions_that_are_not_wanted(hooks: Hooks, session: str) -> None:
    expiries = await hooks.add(events=["session.expired"])
    league = await hooks.add(sessions={"league": "A"})
    other = await hooks.add(sessions={"league": "B"})
    await hooks.happen(session, 1, 2, metadata={"league": "A", "more": []})
    await hooks.happen(session, 3, name="session.expired", metadata={"league": "A", "more": []})
    await hooks.plan()
    assert await hooks.versions(expiries) == [3]
    assert await hooks.versions(league) == [1, 2, 3]
    assert await hooks.versions(other) == []


async def test_sessions_are_wanted_by_the_metadata_that_they_have_now(hooks: Hooks, session: str) -> None:
    league, cup = await hooks.add(sessions={"league": "A"}), await hooks.add(sessions={"cup": 1})
    await hooks.happen(session, 1, 2, metadata={"league": "A"})
    await hooks.plan()
    await hooks.happen(session, 3, name="metadata.changed", metadata={"cup": 1})
    await hooks.happen(session, 4, metadata={"cup": 1})
    await hooks.plan()
    assert await hooks.versions(league) == [1, 2]
    assert await hooks.versions(cup) == [3, 4]


async def test_a_tenants_events_are_sent_to_its_own_webhooks(hooks: Hooks, session: str) -> None:
    chess, quiz, nobody = [await hooks.add(tenant=each) for each in ("chess", "quiz", None)]
    free = str(uuid.uuid4())
    await hooks.happen(session, 1, tenant_id="chess")
    await hooks.happen(free, 1)
    await hooks.plan()
    assert [len(await hooks.planned(each)) for each in (chess, quiz, nobody)] == [1, 0, 1]
    assert [each.session_id for each in await hooks.deliveries(nobody)] == [free]


async def test_an_event_waits_until_somebody_knows_whose_session_it_is(hooks: Hooks, session: str) -> None:
    """Its snapshot may be in a later batch. Until then it looks like a session without a tenant."""
    nobody, chess = await hooks.add(), await hooks.add(tenant="chess")
    await hooks.happen(session, 1, 2, known=False)
    await hooks.plan()
    assert await hooks.versions(nobody) == await hooks.versions(chess) == []
    await hooks.happen(session, 3, tenant_id="chess")
    await hooks.plan()
    assert await hooks.versions(nobody) == []
    assert await hooks.versions(chess) == [1, 2, 3]


async def test_a_long_session_before_the_first_webhook_is_not_looked_through(
    hooks: Hooks, session: str
) -> None:
    await hooks.happen(session, *range(1, 101))
    webhook = await hooks.add(since_ms=EPOCH + 101)
    await hooks.happen(session, 101)
    await hooks.plan()
    assert await hooks.versions(webhook) == [101]
    assert await hooks.rows.fetchval("SELECT seen::text FROM sync_webhook_sessions") == "{[101,102)}"


async def test_a_session_that_was_deleted_at_once(hooks: Hooks, session: str) -> None:
    """It never had a snapshot, and its tombstone says whose it was."""
    chess = await hooks.add(tenant="chess")
    entries = [
        Entry(f"{session}/{n}", session, event(session, n, name))
        for n, name in enumerate(("session.created", "session.deleted"), 1)
    ]
    await hooks.store.insert_batch(Batch(entries, (), {session: "chess"}))
    await hooks.plan()
    assert await hooks.versions(chess) == [1, 2]


async def test_without_webhooks_nothing_is_noted(hooks: Hooks, session: str) -> None:
    await hooks.happen(session, 1)
    ended = await hooks.add()
    await hooks.rows.execute("UPDATE sync_webhooks SET status = 'disabled'")
    await hooks.happen(session, 2)
    await hooks.rows.execute("UPDATE sync_webhooks SET status = 'active'")
    await hooks.add(tenant="another")
    await hooks.happen(session, 3, tenant_id="a third")
    assert await hooks.rows.fetchval("SELECT count(*) FROM sync_webhook_changes") == 0
    assert await hooks.versions(ended) == []


async def test_several_look_through_at_the_same_time(hooks: Hooks, database: str) -> None:
    webhook = await hooks.add()
    sessions = [str(uuid.uuid4()) for _ in range(30)]
    async with Store(database, max_size=8) as store:
        planners = [Planner(store) for _ in range(4)]

        async def store_them() -> None:
            for version in range(1, 6):
                for each in sessions:
                    await hooks.happen(each, version)

        storing = asyncio.create_task(store_them())
        while not storing.done():
            await asyncio.gather(*(planner.plan() for planner in planners))
        await storing
        await planners[0].plan()
    of_session: dict[str, list[int]] = {each: [] for each in sessions}
    for row in await hooks.rows.fetch(
        "SELECT session_id::text, versions FROM sync_webhook_deliveries WHERE webhook_id = $1 ORDER BY place",
        webhook.webhook_id,
    ):
        of_session[row["session_id"]] += row["versions"]
    assert set(map(tuple, of_session.values())) == {(1, 2, 3, 4, 5)}


async def test_events_of_workers_that_tell_nothing_are_found(hooks: Hooks, session: str) -> None:
    """As those of a release before webhooks do. What they store in between is not missed either."""
    webhook, chess = await hooks.add(since_ms=EPOCH + 2), await hooks.add(tenant="chess")
    other, foreign = str(uuid.uuid4()), str(uuid.uuid4())
    await hooks.happen(session, 1, 2)
    await hooks.happen(other, 1, 2)
    await hooks.happen(foreign, 1, tenant_id="chess")
    await hooks.rows.execute("DELETE FROM sync_webhook_changes")
    assert await hooks.planner.sweep() == 3
    assert await hooks.planner.sweep() == 0  # they are noted already
    await hooks.plan()
    assert await hooks.of_session(webhook, session) == await hooks.of_session(webhook, other) == [2]
    assert await hooks.versions(chess) == [1]
    assert await hooks.planner.sweep() == 0
    await hooks.happen(session, 4)  # told
    await hooks.plan()
    await hooks.happen(session, 3)  # not told
    await hooks.rows.execute("DELETE FROM sync_webhook_changes WHERE first_version = 3")
    await hooks.happen(session, 5)
    await hooks.plan()
    assert await hooks.of_session(webhook, session) == [2, 3, 4, 5]
    await hooks.happen(session, 6)  # not told, and nothing comes after it
    await hooks.rows.execute("DELETE FROM sync_webhook_changes")
    await hooks.planner.sweep()
    await hooks.plan()
    assert await hooks.of_session(webhook, session) == [2, 3, 4, 5, 6]
    assert await hooks.of_session(webhook, other) == [2]


async def test_batches_are_stored_also_without_the_tables_and_without_the_right(
    hooks: Hooks, session: str, database: str
) -> None:
    """During an update, tables may be older than workers, and rights may not have been given again yet."""
    await hooks.add()
    await asyncio.to_thread(query, database, "ALTER TABLE sync_webhook_changes RENAME TO elsewhere")
    try:
        await hooks.happen(session, 1)
    finally:
        await asyncio.to_thread(query, database, "ALTER TABLE elsewhere RENAME TO sync_webhook_changes")
    assert len(await hooks.store.events(session)) == 1
    await hooks.happen(session, 2)
    assert len(await hooks.store.events(session)) == 2


async def test_what_waits_for_nothing_is_sent(hooks: Hooks, session: str) -> None:
    """As after a process that died between ending a delivery and having the next one sent."""
    webhook = await hooks.add()
    await hooks.happen(session, *range(1, 102))
    await hooks.plan()
    await hooks.rows.execute("UPDATE sync_webhook_deliveries SET next_attempt_at = NULL")
    await hooks.planner.free_stuck()
    first, second = await hooks.deliveries(webhook)
    assert first.next_attempt_at is not None
    assert second.next_attempt_at is None


async def test_a_webhook_that_is_removed_takes_its_deliveries_with_it(hooks: Hooks, session: str) -> None:
    webhook = await hooks.add()
    await hooks.happen(session, 1)
    await hooks.plan()
    await hooks.happen(session, 2)
    await hooks.tables.remove(webhook.webhook_id)
    await hooks.plan()
    assert await hooks.rows.fetchval("SELECT count(*) FROM sync_webhook_deliveries") == 0


@pytest.mark.parametrize(
    ("versions", "written"), [([], "{}"), ([3], "{[3,4)}"), ([1, 2, 3, 7, 9, 10], "{[1,4),[7,8),[9,11)}")]
)
def test_ranges(versions: list[int], written: str) -> None:
    assert ranges(versions) == written
