"""Routes of webhooks: a tenant's addresses that are sent events, and what was sent to them."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from synckairos.api import replies, schemas
from synckairos.api.inputs import Reader
from synckairos.api.replies import Reply
from synckairos.api.request import ApiRequest
from synckairos.api.route import Route
from synckairos.api.routes.common import NO_AUDIT_RETRY_AFTER_MS, cursor
from synckairos.audit.reading import iso
from synckairos.auth.access import Action
from synckairos.errors import NotFound, QuotaExceeded, StorageUnavailable
from synckairos.webhooks import asking, model
from synckairos.webhooks.model import Delivery, Webhook
from synckairos.webhooks.tables import Webhooks, committed_from, read_cursor, write_cursor

WEBHOOKS = "/v1/webhooks"
WEBHOOK = f"{WEBHOOKS}/{{webhook_id}}"
DELIVERIES = f"{WEBHOOK}/deliveries"


async def make_webhook(request: ApiRequest) -> Reply:
    """Have an address sent what happens from now on. The secret is in this answer alone.

    Every delivery is signed with it, as Standard Webhooks says.
    """
    webhooks = _webhooks(request)
    reader = Reader(request)
    reader.query(schemas.NoQuery)
    body = reader.body(schemas.WebhookBody)
    development = request.context.settings.environment != "production"
    problems = await asking.problems(
        body.url, body.events, body.sessions, body.secret, webhooks.lookup, development=development
    )
    unread = {each["field"] for each in reader.problems}  # what is not in `body`; the empty text: all of it
    for field, message in problems:
        if not unread & {field, ""}:
            reader.problem(field, message)
    reader.check()
    assert body.url is not None
    secret = body.secret or model.new_secret()
    made = await webhooks.add(
        request.caller.tenant,
        body.url,
        events=body.events,
        sessions=body.sessions,
        secret=secret,
        made_by=request.caller.subject,
        since_ms=await committed_from(request.context.connection),
    )
    shown = schemas.MadeWebhook(**_fields(made), secret=secret)
    return replies.document(schemas.MadeWebhookDocument(shown), HTTPStatus.CREATED)


async def list_webhooks(request: ApiRequest) -> Reply:
    """The tenant's webhooks, the oldest first, without their secrets."""
    webhooks = _webhooks(request)
    reader = Reader(request)
    reader.query(schemas.NoQuery)
    reader.check()
    found = await webhooks.of_tenant(request.caller.tenant)
    shown = [schemas.ShownWebhook(**_fields(each)) for each in found]
    return replies.document(schemas.WebhooksDocument(schemas.Webhooks(shown)))


async def remove_webhook(request: ApiRequest, webhook_id: str) -> Reply:
    """Remove a webhook with its deliveries. Nothing is sent to it any more."""
    webhooks, found = await _found(request, webhook_id)
    await webhooks.remove(found.webhook_id)
    return Reply(status=HTTPStatus.NO_CONTENT)


async def test_webhook(request: ApiRequest, webhook_id: str) -> Reply:
    """Send one event, `webhook.test`, and answer with what came of it, or with what is known after 5 s.

    A disabled webhook becomes active again when its receiver answers with 2xx.
    """
    webhooks, found = await _found(request, webhook_id)
    return _delivery(await webhooks.test(found))


async def list_deliveries(request: ApiRequest, webhook_id: str) -> Reply:
    """What was sent to a webhook or waits to be sent, the newest first."""
    webhooks = _webhooks(request)
    reader = Reader(request)
    webhook_id = reader.id("webhook_id", webhook_id)
    query = reader.query(schemas.DeliveriesQuery)
    before = cursor(reader, query.cursor, read_cursor)
    reader.check()
    found = await webhooks.get(webhook_id, request.caller.tenant)
    deliveries = await webhooks.deliveries(found.webhook_id, before=before, limit=query.limit + 1)
    shown = deliveries[: query.limit]
    after = write_cursor(shown[-1]) if len(deliveries) > len(shown) else None
    page = schemas.Deliveries([_shown(each) for each in shown], after)
    return replies.document(schemas.DeliveriesDocument(page))


async def retry_delivery(request: ApiRequest, webhook_id: str, delivery_id: str) -> Reply:
    """Send a delivery again, now and with all its attempts. It has the same id and the same body."""
    webhooks, found = await _found(request, webhook_id, delivery_id=delivery_id)
    return _delivery(await webhooks.retry(found, delivery_id.lower()))


def _webhooks(request: ApiRequest) -> Webhooks:
    found = request.context.webhooks
    if found is None:
        raise StorageUnavailable(
            "webhooks are kept in PostgreSQL, and this service has none",
            retry_after_ms=NO_AUDIT_RETRY_AFTER_MS,
        )
    return found


async def _found(
    request: ApiRequest, webhook_id: str, *, delivery_id: str | None = None
) -> tuple[Webhooks, Webhook]:
    """The webhook of a request that has neither a body nor a query. Another tenant's does not exist."""
    webhooks = _webhooks(request)
    reader = Reader(request)
    webhook_id = reader.id("webhook_id", webhook_id)
    if delivery_id is not None:
        reader.id("delivery_id", delivery_id)
    reader.query(schemas.NoQuery)
    reader.body(schemas.NoBody)
    reader.check()
    return webhooks, await webhooks.get(webhook_id, request.caller.tenant)


def _fields(found: Webhook) -> dict[str, Any]:
    return {
        "webhook_id": found.webhook_id,
        "url": found.url,
        "events": None if found.events is None else list(found.events),
        "sessions": None if found.sessions is None else dict(found.sessions),
        "status": found.status,
        "created_at": iso(found.created_at),
    }


def _shown(found: Delivery) -> schemas.Delivery:
    return schemas.Delivery(
        delivery_id=found.delivery_id,
        status=found.status,
        attempts=found.attempts,
        response_status=found.response_status,
        created_at=iso(found.created_at),
        next_attempt_at=None if found.next_attempt_at is None else iso(found.next_attempt_at),
    )


def _delivery(found: Delivery) -> Reply:
    return replies.document(schemas.DeliveryDocument(_shown(found)))


ROUTES: tuple[Route, ...] = (
    Route(
        "POST",
        WEBHOOKS,
        make_webhook,
        "Have an address sent events",
        "webhooks",
        reply=schemas.MadeWebhookDocument,
        status=HTTPStatus.CREATED,
        body=schemas.WebhookBody,
        body_required=True,
        errors=(QuotaExceeded, StorageUnavailable),
        action=Action.WEBHOOK,
    ),
    Route(
        "GET",
        WEBHOOKS,
        list_webhooks,
        "List the tenant's webhooks",
        "webhooks",
        reply=schemas.WebhooksDocument,
        needs_redis=False,
        errors=(StorageUnavailable,),
        action=Action.WEBHOOK,
    ),
    Route(
        "DELETE",
        WEBHOOK,
        remove_webhook,
        "Remove a webhook",
        "webhooks",
        status=HTTPStatus.NO_CONTENT,
        needs_redis=False,
        errors=(NotFound, StorageUnavailable),
        action=Action.WEBHOOK,
    ),
    Route(
        "POST",
        f"{WEBHOOK}/test",
        test_webhook,
        "Send a test to a webhook",
        "webhooks",
        reply=schemas.DeliveryDocument,
        needs_redis=False,
        errors=(NotFound, QuotaExceeded, StorageUnavailable),
        action=Action.WEBHOOK,
    ),
    Route(
        "GET",
        DELIVERIES,
        list_deliveries,
        "List what was sent to a webhook",
        "webhooks",
        reply=schemas.DeliveriesDocument,
        query=schemas.DeliveriesQuery,
        needs_redis=False,
        errors=(NotFound, StorageUnavailable),
        action=Action.WEBHOOK,
    ),
    Route(
        "POST",
        f"{DELIVERIES}/{{delivery_id}}/retry",
        retry_delivery,
        "Send a delivery again",
        "webhooks",
        reply=schemas.DeliveryDocument,
        needs_redis=False,
        errors=(NotFound, QuotaExceeded, StorageUnavailable),
        action=Action.WEBHOOK,
    ),
)
