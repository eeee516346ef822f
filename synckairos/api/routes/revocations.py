"""The route that revokes tokens before they end."""

from __future__ import annotations

from http import HTTPStatus
from time import time

from synckairos.api import replies, schemas
from synckairos.api.inputs import Reader
from synckairos.api.replies import Reply
from synckairos.api.request import ApiRequest
from synckairos.api.route import Route
from synckairos.auth.access import Action
from synckairos.auth.grants import Revocation
from synckairos.errors import StorageUnavailable


async def revoke_tokens(request: ApiRequest) -> Reply:
    """Revoke one token of the caller's tenant, or all of a subject that were issued until some time."""
    reader = Reader(request)
    reader.query(schemas.NoQuery)
    body = reader.body(schemas.RevocationBody)
    reader.check()
    now = time()
    issued_before = body.issued_before
    if body.sub is not None and issued_before is None:
        issued_before = now
    await request.context.revocations.revoke(
        Revocation(
            tenant=request.caller.tenant,
            token_id=body.jti,
            subject=body.sub,
            issued_before=issued_before,
            made_at=now,
            made_by=request.caller.subject,
        )
    )
    made = schemas.Revoked(jti=body.jti, sub=body.sub, issued_before=issued_before)
    return replies.document(schemas.RevokedDocument(made), HTTPStatus.CREATED)


ROUTES: tuple[Route, ...] = (
    Route(
        "POST",
        "/v1/revocations",
        revoke_tokens,
        "Revoke tokens of the tenant",
        "revocations",
        reply=schemas.RevokedDocument,
        status=HTTPStatus.CREATED,
        body=schemas.RevocationBody,
        body_required=True,
        errors=(StorageUnavailable,),
        action=Action.REVOKE,
    ),
)
