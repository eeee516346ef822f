"""Deliveries to real receivers: again until they are taken, in order, and nobody waits for another one."""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from synckairos import metrics
from synckairos.errors import NotFound, ValidationError
from synckairos.webhooks import delivering, sending, service, tables
from synckairos.webhooks.delivering import Deliverer
from synckairos.webhooks.model import RETRIES_S, Webhook
from tests.support.receivers import Got, raw, receiver
from tests.webhooks.conftest import SECRET, Hooks
from tests.webhooks.test_sending import silence

pytestmark = pytest.mark.one_kind


async def one(hooks: Hooks, url: str, session: str, *versions: int) -> Webhook:
    """A webhook, and a delivery to it."""
    webhook = await hooks.add(url)
    await hooks.happen(session, *(versions or (1,)))
    await hooks.plan()
    return webhook


async def test_events_arrive_as_they_were_published(hooks: Hooks, session: str) -> None:
    with receiver() as got:
        webhook = await one(hooks, got.url, session, 1, 2)
        await hooks.send()
        bodies = [each.body.decode() for each in await hooks.store.events(session)]
        assert got.got[0].body.decode() == f"[{','.join(bodies)}]"
        assert [each["version"] for each in got.got[0].verified(SECRET)] == [1, 2]
    (delivery,) = await hooks.deliveries(webhook)
    assert (delivery.status, delivery.attempts, delivery.response_status) == ("delivered", 1, 204)
    assert delivery.next_attempt_at is None
    assert delivery.delivery_id == got.got[0].delivery_id


async def test_the_schedule_of_attempts_and_its_end(hooks: Hooks, session: str) -> None:
    with receiver(lambda _: 500) as got:
        webhook = await one(hooks, got.url, session)
        pauses = []
        for attempt in range(1, len(RETRIES_S) + 2):
            before = datetime.now(UTC)
            await hooks.send()
            (delivery,) = await hooks.deliveries(webhook)
            assert (delivery.attempts, delivery.response_status) == (attempt, 500)
            if delivery.next_attempt_at is not None:
                pauses.append((delivery.next_attempt_at - before).total_seconds())
                await hooks.send()  # which is too early
                assert len(got.got) == attempt
                await hooks.due()
        assert delivery.status == "failed"
        assert [round(pause / 5) * 5 for pause in pauses] == list(RETRIES_S)
        assert RETRIES_S == (5, 30, 120, 600, 3600, 10800, 28800)
        # All attempts have one id and one body, and a timestamp and a signature of their own.
        assert len({(each.delivery_id, each.body) for each in got.got}) == 1
        # It is kept, and is sent again with all its attempts.
        got.answer = lambda _: 200
        await hooks.tables.retry(webhook, delivery.delivery_id)
        await hooks.send()
        (delivery,) = await hooks.deliveries(webhook)
        assert (delivery.status, delivery.attempts, len(got.got)) == ("delivered", 9, 9)


async def test_what_is_newer_waits_for_what_is_older_and_other_sessions_go_on(
    hooks: Hooks, session: str
) -> None:
    other = str(uuid.uuid4())

    def refuses_one(got: Got) -> int:
        return 500 if got.events[0]["session_id"] == session and ready.is_set() is False else 200

    ready = threading.Event()
    with receiver(refuses_one) as got:
        webhook = await one(hooks, got.url, session, 1)
        await hooks.send()
        for version in (2, 3):
            await hooks.happen(session, version)
            await hooks.happen(other, version - 1)
            await hooks.plan()
            await hooks.send()
        assert got.versions(session) == [1]
        assert got.versions(other) == [1, 2]
        ready.set()
        await hooks.due()
        await hooks.send()
        assert got.versions(session) == [1, 1, 2, 3]
        assert [each.status for each in await hooks.deliveries(webhook)] == ["delivered"] * 4


async def test_what_is_newer_goes_on_once_the_older_has_failed(hooks: Hooks, session: str) -> None:
    def refuses_the_first(got: Got) -> int:
        return 503 if got.events[0]["version"] == 1 else 200

    with receiver(refuses_the_first) as got:
        webhook = await one(hooks, got.url, session, 1)
        await hooks.send()
        await hooks.happen(session, 2)
        await hooks.plan()
        for _ in RETRIES_S:
            assert 2 not in got.versions(session)
            await hooks.due()
            await hooks.send()
        assert got.versions(session) == [1] * 8 + [2]
        assert [each.status for each in await hooks.deliveries(webhook)] == ["failed", "delivered"]
        # What is sent again goes before what is newer and waits.
        got.answer = lambda got: 200 if len(got.events) == 1 and got.events[0]["version"] != 3 else 500
        await hooks.happen(session, 3)
        await hooks.plan()
        await hooks.send()
        failed = (await hooks.deliveries(webhook))[0]
        await hooks.tables.retry(webhook, failed.delivery_id)
        got.answer = lambda _: 200
        await hooks.due()
        await hooks.send()
        assert got.versions(session)[-3:] == [3, 1, 3]


async def test_410_ends_a_webhook(hooks: Hooks, session: str) -> None:
    with receiver(lambda _: 410) as got:
        webhook = await one(hooks, got.url, session, 1)
        await hooks.happen(str(uuid.uuid4()), 1)
        await hooks.send()
        await hooks.plan()
        await hooks.happen(session, 2)
        await hooks.plan()
        await hooks.send()
        assert len(got.got) == 1
    assert await hooks.status(webhook) == "ended"
    (delivery, *_) = await hooks.deliveries(webhook)
    assert (delivery.status, delivery.response_status) == ("failed", 410)
    ended = await hooks.tables.find(webhook.webhook_id)
    for refused in (hooks.tables.test(ended), hooks.tables.retry(ended, delivery.delivery_id)):
        with pytest.raises(ValidationError, match="ended"):
            await refused


async def test_three_days_of_failures_disable_it_and_a_test_makes_it_active_again(
    hooks: Hooks, session: str
) -> None:
    with receiver(lambda _: 500) as got:
        webhook = await one(hooks, got.url, session, 1)
        await hooks.send()
        since = (await hooks.tables.find(webhook.webhook_id)).failing_since
        assert since is not None
        await fail_for(hooks, webhook, days=2.99)
        assert await hooks.status(webhook) == "active"
        with capture_logs() as logs:
            await fail_for(hooks, webhook, days=3.01)
        assert await hooks.status(webhook) == "disabled"
        assert [each["webhook_id"] for each in logs if "is disabled" in each["event"]] == [webhook.webhook_id]
        assert metrics.registry.get_sample_value("synckairos_webhooks_disabled_total")
        assert [each.status for each in await hooks.deliveries(webhook)] == ["failed"]
        attempts = len(got.got)
        await hooks.happen(session, 2)
        await hooks.plan()
        await hooks.send()
        assert len(got.got) == attempts
        disabled = await hooks.tables.find(webhook.webhook_id)
        with pytest.raises(ValidationError, match="disabled"):
            await hooks.tables.retry(disabled, (await hooks.deliveries(webhook))[0].delivery_id)
        await hooks.tables.test(disabled)
        await hooks.send()
        assert await hooks.status(webhook) == "disabled"
        got.answer = lambda _: 200
        await hooks.tables.test(disabled)
        await hooks.send()
        found = await hooks.tables.find(webhook.webhook_id)
        assert (found.status, found.failing_since) == ("active", None)
        assert await hooks.tables.retry_failed(found) == 1
        await hooks.send()
        assert got.versions(session)[-1] == 1


async def fail_for(hooks: Hooks, webhook: Webhook, days: float) -> None:
    await hooks.rows.execute(
        "UPDATE sync_webhooks SET failing_since = now() - $2::interval WHERE webhook_id = $1",
        webhook.webhook_id,
        timedelta(days=days),
    )
    await hooks.due()
    await hooks.send()


async def test_one_success_ends_the_trouble(hooks: Hooks, session: str) -> None:
    with receiver(lambda _: 500) as got:
        webhook = await one(hooks, got.url, session)
        await hooks.send()
        got.answer = lambda _: 200
        await hooks.due()
        await hooks.send()
    assert (await hooks.tables.find(webhook.webhook_id)).failing_since is None


async def test_a_test_is_sent_once_and_says_nothing_about_the_webhook(hooks: Hooks) -> None:
    with receiver(lambda _: 500) as got:
        webhook = await hooks.add(got.url, events=["session.expired"], sessions={"no": "session"})
        shown = await hooks.tables.test(webhook)  # nobody sends, so it does not wait
        assert (shown.status, shown.events) == ("pending", 1)
        await hooks.send()
        (event,) = got.got[0].verified(SECRET)
        assert (event["type"], event["payload"]["event"]) == ("WEBHOOK_TEST", "webhook.test")
    (delivery,) = await hooks.deliveries(webhook)
    assert (delivery.status, delivery.attempts, delivery.next_attempt_at) == ("failed", 1, None)
    assert (await hooks.tables.find(webhook.webhook_id)).failing_since is None


async def test_slow_and_dead_receivers_delay_nobody_else(
    hooks: Hooks, session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even when there are more of them than places: they take a few places once, and then lose them."""
    monkeypatch.setattr(sending, "TOTAL_S", 1.5)
    monkeypatch.setattr(delivering, "QUICK", 3 * delivering.AT_ONCE)
    monkeypatch.setattr(delivering, "SLOW", 3)
    with raw(silence) as dead, receiver() as got:
        bad = [await hooks.add(dead, tenant="bad") for _ in range(8)]
        good = await hooks.add(got.url, tenant="good")
        for _ in range(12):
            await hooks.happen(str(uuid.uuid4()), 1, tenant_id="bad")
        await hooks.plan()
        async with asyncio.timeout(120):
            for version in range(1, 9):
                await hooks.happen(session, version, tenant_id="good")
                await hooks.plan()
                while version not in got.versions(session):
                    await hooks.deliverer.take()
                    await asyncio.sleep(0.01)
        assert got.versions(session) == [*range(1, 9)]
        assert [each.status for each in await hooks.deliveries(good)][:7] == ["delivered"] * 7
        in_hand = list(hooks.deliverer._attempts.values())
        assert len(in_hand) <= delivering.QUICK + delivering.SLOW
        await hooks.deliverer.stop()
        tried = [each for webhook in bad for each in await hooks.deliveries(webhook) if each.attempts]
        assert len(tried) > delivering.QUICK  # so that they did not just wait behind each other


async def test_a_webhook_in_trouble_has_one_attempt_at_a_time(
    hooks: Hooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivering, "SLOW_S", 60.0)  # a machine that stands still does not make it slow
    most, now, lock = 0, 0, threading.Lock()

    def slow(_: Got) -> int:
        nonlocal most, now
        with lock:
            now += 1
            most = max(most, now)
        ends = time.monotonic() + (0.02 if fails else 5)
        while time.monotonic() < ends and most < delivering.AT_ONCE:
            time.sleep(0.005)  # until all that are sent at once are here
        with lock:
            now -= 1
        return 500 if fails else 200

    fails = False
    with receiver(slow) as got:
        webhook = await hooks.add(got.url)
        sessions = [str(uuid.uuid4()) for _ in range(12)]
        for version in (1, 2):
            for each in sessions:
                await hooks.happen(each, version)
            await hooks.plan()
            await hooks.send()
            if version == 1:
                assert most == delivering.AT_ONCE
                fails, most = True, 0
                await hooks.rows.execute(
                    "UPDATE sync_webhooks SET failing_since = now() WHERE webhook_id = $1", webhook.webhook_id
                )
        assert most == 1
        assert len(got.got) == 24


async def test_who_dies_with_a_delivery_in_hand_loses_it_to_another(
    hooks: Hooks, session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()

    def waits(_: Got) -> int:
        if not go_on.is_set():
            go_on.wait(5)
        return 200

    with receiver(waits) as got:
        webhook = await one(hooks, got.url, session, 1)
        monkeypatch.setattr(delivering, "LEASE_S", 0.3)
        assert await hooks.deliverer.take() == 1
        another = Deliverer(hooks.store, hooks.sender, asyncio.Event())
        assert await another.take() == 0  # it is in hand
        await asyncio.sleep(0.4)
        monkeypatch.setattr(delivering, "LEASE_S", 20.0)
        assert await another.take() == 1
        in_hand = [*hooks.deliverer._attempts, *another._attempts]
        go_on.set()
        await asyncio.wait(in_hand)
        assert got.versions(session) == [1, 1]
    (delivery,) = await hooks.deliveries(webhook)
    assert (delivery.status, delivery.attempts) == ("delivered", 1)


async def test_who_stops_leaves_what_it_has_in_hand_to_others_at_once(hooks: Hooks, session: str) -> None:
    go_on = threading.Event()
    with receiver(lambda _: 200 if go_on.wait(5) else 500) as got:
        await one(hooks, got.url, session, 1)
        assert await hooks.deliverer.take() == 1
        await asyncio.sleep(0.1)
        await hooks.deliverer.stop()
        another = Deliverer(hooks.store, hooks.sender, asyncio.Event())
        assert await another.take() == 1
        go_on.set()
        await asyncio.wait(another._attempts)
        assert got.versions(session) == [1, 1]


async def test_what_is_not_there_and_whose_it_is(hooks: Hooks, session: str) -> None:
    webhook = await hooks.add(tenant="chess")
    for tenant in ("quiz", None):
        with pytest.raises(NotFound):
            await hooks.tables.get(webhook.webhook_id, tenant)
    with pytest.raises(NotFound):
        await hooks.tables.retry(webhook, session)
    assert (await hooks.tables.get(webhook.webhook_id, "chess")) == webhook


async def test_pages_of_deliveries(hooks: Hooks, session: str) -> None:
    webhook = await hooks.add()
    for version in range(1, 6):
        await hooks.happen(session, version)
        await hooks.plan()
        await hooks.rows.execute("UPDATE sync_webhook_deliveries SET sealed = true")
    found = await hooks.tables.deliveries(webhook.webhook_id, limit=2)
    assert [each.place for each in found] == sorted((each.place for each in found), reverse=True)
    cursor = tables.write_cursor(found[-1])
    others = await hooks.tables.deliveries(webhook.webhook_id, before=tables.read_cursor(cursor))
    assert len(others) == 3
    assert {each.delivery_id for each in found} & {each.delivery_id for each in others} == set()


async def test_how_long_deliveries_are_kept(hooks: Hooks) -> None:
    webhook = await hooks.add()
    for status, days in (
        ("delivered", 6),
        ("delivered", 8),
        ("failed", 29),
        ("failed", 31),
        ("pending", None),
    ):
        await hooks.rows.execute(
            "INSERT INTO sync_webhook_deliveries (delivery_id, webhook_id, status, done_at)"
            " VALUES (gen_random_uuid(), $1, $2, now() - $3::interval)",
            webhook.webhook_id,
            status,
            None if days is None else timedelta(days=days),
        )
    await service.tidy(hooks.store)
    assert [each.status for each in await hooks.deliveries(webhook)] == ["delivered", "failed", "pending"]
