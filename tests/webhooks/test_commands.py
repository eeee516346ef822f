"""`synckairos webhooks`, as operators use it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result

from synckairos.cli import main
from synckairos.webhooks import model
from tests.support.postgres import query
from tests.support.receivers import receiver
from tests.support.servers import Server
from tests.webhooks.conftest import Hooks

pytestmark = pytest.mark.one_kind

Run = Callable[..., Result]


@pytest.fixture
def run(redis: Server, database: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command with these arguments."""
    for name, value in {"REDIS_URL": redis.url, "DATABASE_URL": database, "WEBHOOK_SECRET": ""}.items():
        monkeypatch.setenv(name, value)

    def of(*arguments: str) -> Result:
        return CliRunner().invoke(main, ["webhooks", *arguments])

    return of


def test_add_list_and_remove(run: Run, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    added = run(
        *("add", "https://8.8.8.8/hook", "--tenant", "chess", "--event", "session.*"),
        *("--sessions", '{"league": "A"}'),
    )
    assert added.exit_code == 0, added.output
    webhook_id, secret = added.stdout.split()
    assert model.is_secret(secret)
    assert query(database, "SELECT secret FROM sync_webhooks")[0][0] == secret
    assert "Redis" not in added.output
    listed = run("list", "--tenant", "chess").stdout
    assert listed.split()[:5] == [webhook_id, "chess", "https://8.8.8.8/hook", "active", "session.*"]
    assert secret not in listed
    assert run("list", "--tenant", "quiz").stdout == ""
    assert run("remove", webhook_id).exit_code == 0
    assert run("list").stdout == ""
    again = run("remove", webhook_id)
    assert (again.exit_code, "there is no such webhook" in again.output) == (1, True)
    # A secret of one's own comes by the environment, and is not shown.
    monkeypatch.setenv("WEBHOOK_SECRET", secret)
    added = run("add", "https://8.8.8.8/hook")
    assert secret not in added.output
    assert query(database, "SELECT secret FROM sync_webhooks")[0][0] == secret
    actions = [row[0] for row in query(database, "SELECT action FROM sync_access_log ORDER BY at, place")]
    assert sorted(actions) == ["create webhook", "create webhook", "remove webhook"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("add", "http://8.8.8.8/"), "https"),
        (("add", "https://10.0.0.1/"), "public network"),
        (("add", "https://8.8.8.8/", "--event", "no"), "events.0"),
        (("add", "https://8.8.8.8/", "--sessions", "[]"), "JSON object"),
        (("test", "x"), "UUID"),
    ],
)
def test_what_is_wrong_is_said(run: Run, arguments: tuple[str, ...], said: str) -> None:
    result = run(*arguments)
    assert result.exit_code != 0
    assert said in result.output


async def test_deliveries_and_retry(hooks: Hooks, session: str, run: Run) -> None:
    with receiver(lambda _: 410) as got:
        webhook = await hooks.add(got.url, tenant="chess")
        await hooks.happen(session, 1, 2, tenant_id="chess")
        await hooks.plan()
        await hooks.rows.execute("UPDATE sync_webhook_deliveries SET status = 'failed', problem = 'because'")
        (delivery,) = await hooks.deliveries(webhook)
        listed = (await asyncio.to_thread(run, "deliveries", webhook.webhook_id)).stdout
        assert listed.split()[:2] == [delivery.delivery_id, "failed"]
        assert "2 events" in listed
        assert "because" in listed
        got.answer = lambda _: 204
        for arguments in ((), (delivery.delivery_id,)):
            again = await asyncio.to_thread(run, "retry", webhook.webhook_id, *arguments)
            assert again.stdout == "1 deliveries are sent again\n"
            await hooks.send()
        assert got.versions(session) == [1, 2, 1, 2]
        tested = await asyncio.to_thread(run, "test", webhook.webhook_id)
        assert (tested.exit_code, "synckairos worker" in tested.output) == (1, True)
