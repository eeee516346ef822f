"""The command `webhooks`."""

from __future__ import annotations

import asyncio
import json
import os
import uuid
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from synckairos.audit.access_log.entries import record_command
from synckairos.audit.reading import iso
from synckairos.audit.settings import audit_settings_or_exit
from synckairos.audit.store import Store
from synckairos.auth.claims import is_name
from synckairos.config import Settings
from synckairos.core.clients import REDIS_ERRORS
from synckairos.core.connection import Connection
from synckairos.errors import StorageUnavailable, SyncKairosError, error_text
from synckairos.output import echo
from synckairos.settings_option import config_option
from synckairos.webhooks import asking, model
from synckairos.webhooks.model import Delivery, Webhook
from synckairos.webhooks.tables import Webhooks, committed_from

T = TypeVar("T")

SHOWN = 50
"""How many deliveries are shown unless told."""

if TYPE_CHECKING:
    _ParamType = click.ParamType[Any]
else:
    _ParamType = click.ParamType


class _Tenant(_ParamType):
    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """A tenant."""
        if not isinstance(value, str) or not is_name(value):
            self.fail("must be 1 to 255 characters, and no control characters", param, ctx)
        return value


class _Id(_ParamType):
    name = "uuid"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """A webhook or a delivery."""
        try:
            return str(uuid.UUID(value))
        except (ValueError, AttributeError, TypeError):
            self.fail("must be a UUID", param, ctx)


class _Filter(_ParamType):
    name = "json"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Mapping[str, Any]:
        """A filter of sessions."""
        if isinstance(value, Mapping):
            return value
        try:
            found = json.loads(value)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            self.fail('must be a JSON object, such as {"game": "chess"}', param, ctx)
        return found


_webhook = click.argument("webhook_id", type=_Id(), metavar="ID")


@click.group()
def webhooks() -> None:
    """Make, list and remove webhooks, look at what was sent to them, and send it again.

    A webhook is an address that is sent a tenant's events. `synckairos worker` sends them.
    """


@webhooks.command("list")
@click.option("--tenant", type=_Tenant(), help="Whose webhooks.  [default: all]")
@config_option
def list_(tenant: str | None, file: Path | None) -> None:
    """List webhooks: id, tenant, address, status, and what they are sent."""

    async def listed() -> list[Webhook]:
        async with _webhooks(audit_settings_or_exit(file)) as (found, _):
            return await (found.all() if tenant is None else found.of_tenant(tenant))

    for each in _run(listed()):
        echo("  ".join(_described(each)))


@webhooks.command()
@click.argument("url")
@click.option("--tenant", type=_Tenant(), help="Whose events it is sent.  [default: sessions without one]")
@click.option(
    "--event", "events", multiple=True, help="An event, or participant.*; may be given several times."
)
@click.option("--sessions", type=_Filter(), help="What has to stand in the metadata of a session, as JSON.")
@config_option
def add(
    url: str,
    tenant: str | None,
    events: tuple[str, ...],
    sessions: Mapping[str, Any] | None,
    file: Path | None,
) -> None:
    """Have URL sent what happens from now on, and print the webhook's id and its secret.

    The secret is not shown again. With WEBHOOK_SECRET in the environment that one is taken, and not printed.
    """
    settings = audit_settings_or_exit(file)
    given = os.environ.get("WEBHOOK_SECRET") or None

    async def added() -> tuple[Webhook, str]:
        async with _webhooks(settings) as (found, store), Connection.to(settings) as connection:
            problems = await asking.problems(
                url,
                events or None,
                sessions,
                given,
                found.lookup,
                development=settings.environment != "production",
            )
            if problems:
                raise click.ClickException("; ".join(" ".join(problem) for problem in problems))
            secret = given or model.new_secret()
            since_ms = await committed_from(connection)
            await record_command(store, "create webhook", tenant=tenant)
            made = await found.add(
                tenant,
                url,
                events=events or None,
                sessions=sessions,
                secret=secret,
                made_by=None,
                since_ms=since_ms,
            )
            return made, secret

    made, secret = _run(added())
    click.echo(made.webhook_id if given else f"{made.webhook_id}  {secret}")


@webhooks.command()
@_webhook
@config_option
def remove(webhook_id: str, file: Path | None) -> None:
    """Remove a webhook with its deliveries. Nothing is sent to it any more."""

    async def removed() -> None:
        async with _webhooks(audit_settings_or_exit(file)) as (found, store):
            each = await found.find(webhook_id)
            await record_command(store, "remove webhook", tenant=each.tenant)
            await found.remove(webhook_id)

    _run(removed())
    click.echo(f"the webhook {webhook_id} is removed")


@webhooks.command()
@_webhook
@click.option("--limit", type=click.IntRange(1, 10_000), default=SHOWN, show_default=True, help="How many.")
@config_option
def deliveries(webhook_id: str, limit: int, file: Path | None) -> None:
    """List what was sent to a webhook, the newest first."""

    async def listed() -> list[Delivery]:
        async with _webhooks(audit_settings_or_exit(file)) as (found, _):
            await found.find(webhook_id)
            return await found.deliveries(webhook_id, limit=limit)

    for each in _run(listed()):
        echo("  ".join(_said(each)))


@webhooks.command()
@_webhook
@click.argument("delivery_id", type=_Id(), required=False, metavar="[DELIVERY]")
@config_option
def retry(webhook_id: str, delivery_id: str | None, file: Path | None) -> None:
    """Have a DELIVERY sent again, or all that failed."""

    async def queued() -> int:
        async with _webhooks(audit_settings_or_exit(file)) as (found, store):
            each = await found.find(webhook_id)
            await record_command(store, "retry deliveries", tenant=each.tenant)
            if delivery_id is None:
                return await found.retry_failed(each)
            await found.retry(each, delivery_id)
            return 1

    click.echo(f"{_run(queued())} deliveries are sent again")


@webhooks.command()
@_webhook
@config_option
def test(webhook_id: str, file: Path | None) -> None:
    """Send a test, and print what comes of it. The exit code is 0 when it was answered with 2xx.

    A disabled webhook becomes active again by that.
    """

    async def tested() -> Delivery:
        async with _webhooks(audit_settings_or_exit(file)) as (found, store):
            each = await found.find(webhook_id)
            await record_command(store, "test webhook", tenant=each.tenant)
            return await found.test(each)

    found = _run(tested())
    echo("  ".join(_said(found)))
    if found.status == "pending":
        raise click.ClickException("it was not sent yet: `synckairos worker` sends it")
    if found.status != "delivered":
        raise click.ClickException(f"the receiver did not take it: {found.problem}")


def _described(found: Webhook) -> list[str]:
    status: str = found.status
    if status == "active" and found.failing_since is not None:
        status = f"active, fails since {iso(found.failing_since)}"
    events = "all events" if found.events is None else ",".join(found.events)
    sessions = [] if not found.sessions else [f"sessions {json.dumps(found.sessions)}"]
    tenant = "no tenant" if found.tenant is None else found.tenant
    return [found.webhook_id, tenant, found.url, status, events, *sessions, f"made {iso(found.created_at)}"]


def _said(found: Delivery) -> list[str]:
    about = "test" if found.session_id is None else f"session {found.session_id}"
    answered = [] if found.response_status is None else [f"answered {found.response_status}"]
    again = [] if found.next_attempt_at is None else [f"next {iso(found.next_attempt_at)}"]
    problem = [] if found.problem is None else [found.problem]
    return [
        found.delivery_id,
        found.status,
        f"{found.attempts} attempts",
        about,
        f"{found.events} events",
        f"made {iso(found.created_at)}",
        *answered,
        *again,
        *problem,
    ]


@asynccontextmanager
async def _webhooks(settings: Settings) -> AsyncIterator[tuple[Webhooks, Store]]:
    assert settings.database_url is not None
    async with Store(settings.database_url, max_size=2) as store:
        found = Webhooks(store)
        try:
            yield found, store
        finally:
            found.close()


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Does it, and tells of a failure in a sentence."""
    try:
        return asyncio.run(work)
    except StorageUnavailable as error:
        reason = error_text(error.__cause__ or error)
        raise click.ClickException(
            f"the storage does not answer: {reason}. "
            "REDIS_URL and DATABASE_URL have to be those of the service"
        ) from None
    except (SyncKairosError, *REDIS_ERRORS) as error:
        raise click.ClickException(error_text(error)) from None
