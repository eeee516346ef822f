"""Routes of links to a session, for people without an account."""

from __future__ import annotations

from http import HTTPStatus

from synckairos.api import replies, schemas
from synckairos.api.inputs import Reader
from synckairos.api.replies import Reply
from synckairos.api.request import ApiRequest
from synckairos.api.route import Route
from synckairos.api.routes.common import READ_ERRORS, SESSION
from synckairos.auth import links
from synckairos.auth.access import Action
from synckairos.auth.grants import Link, iso
from synckairos.core.model import State
from synckairos.errors import NotFound, ParticipantNotFound, QuotaExceeded

LINKS = f"{SESSION}/links"


async def make_link(request: ApiRequest, session_id: str) -> Reply:
    """Make a link. Its token is in this answer alone."""
    reader = Reader(request)
    session = await _session(reader, session_id)
    body = reader.body(schemas.LinkBody)
    reader.check()
    assert body.role is not None
    participant = None if body.participant_id is None else body.participant_id.lower()
    if participant is not None:
        whole = await request.context.sessions.get(session.session_id, request.caller.tenant)
        if not links.takes_part(whole, participant):
            raise ParticipantNotFound(
                "the session has no such participant", context={"participant_id": participant}
            )
    expires_in_s = links.DAY_S if body.expires_in_s is None else body.expires_in_s
    link, token = await request.context.links.make(
        session, request.caller, body.role, participant, expires_in_s
    )
    url = f"{request.context.settings.public_url or ''}/s/{session.session_id}#token={token}"
    made = schemas.MadeLink(
        link_id=link.link_id,
        token=token,
        url=url,
        role=link.role,
        participant_id=link.participant_id,
        expires_at=_ends(link),
    )
    return replies.document(schemas.MadeLinkDocument(made), HTTPStatus.CREATED)


async def list_links(request: ApiRequest, session_id: str) -> Reply:
    """The links that are good, without their tokens, the oldest first."""
    reader = Reader(request)
    session = await _session(reader, session_id)
    found = await request.context.links.of(session)
    return replies.document(schemas.LinksDocument(schemas.Links([_shown(link) for link in found])))


async def revoke_link(request: ApiRequest, session_id: str, link_id: str) -> Reply:
    """Revoke a link. Whoever came by it is out within 5 s."""
    reader = Reader(request)
    link_id = reader.id("link_id", link_id)
    session = await _session(reader, session_id)
    if not await request.context.links.revoke(session, link_id):
        raise NotFound("the session has no such link")
    return Reply(status=HTTPStatus.NO_CONTENT)


async def revoke_links(request: ApiRequest, session_id: str) -> Reply:
    """Revoke all links to a session. It is no error if there are none."""
    reader = Reader(request)
    session = await _session(reader, session_id)
    await request.context.links.revoke(session)
    return Reply(status=HTTPStatus.NO_CONTENT)


async def _session(reader: Reader, session_id: str) -> State:
    """The session of a request, without its participants.

    Another tenant's does not exist, whatever else is wrong with the request.
    """
    session_id = reader.session_id(session_id)
    reader.query(schemas.NoQuery)
    reader.check()
    request = reader.request
    return await request.context.sessions.summary(session_id, request.caller.tenant)


def _shown(link: Link) -> schemas.ShownLink:
    return schemas.ShownLink(
        link_id=link.link_id,
        role=link.role,
        participant_id=link.participant_id,
        created_at=iso(link.made_at),
        expires_at=_ends(link),
    )


def _ends(link: Link) -> str:
    assert link.expires_at is not None
    return iso(link.expires_at)


ROUTES: tuple[Route, ...] = (
    Route(
        "POST",
        LINKS,
        make_link,
        "Make a link for somebody without an account",
        "links",
        reply=schemas.MadeLinkDocument,
        status=HTTPStatus.CREATED,
        body=schemas.LinkBody,
        body_required=True,
        errors=(*READ_ERRORS, ParticipantNotFound, QuotaExceeded),
        action=Action.LINK,
    ),
    Route(
        "GET",
        LINKS,
        list_links,
        "List the links to a session",
        "links",
        reply=schemas.LinksDocument,
        errors=READ_ERRORS,
        action=Action.LINK,
    ),
    Route(
        "DELETE",
        f"{LINKS}/{{link_id}}",
        revoke_link,
        "Revoke a link",
        "links",
        status=HTTPStatus.NO_CONTENT,
        errors=(*READ_ERRORS, NotFound),
        action=Action.LINK,
    ),
    Route(
        "DELETE",
        LINKS,
        revoke_links,
        "Revoke all links to a session",
        "links",
        status=HTTPStatus.NO_CONTENT,
        errors=READ_ERRORS,
        action=Action.LINK,
    ),
)
