"""API keys, links and revocations: what is kept of them, and the tokens that stand for keys and links.

A token is `<kind>_<where it is found>_<secret>`. Of the secret only the hash is kept, so that nobody
can make a token of what is kept. The secrets are 256 random bits, so a plain SHA-256 cannot be turned around.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from synckairos.auth.caller import Caller

KEY, LINK = "sk", "sl"
"""How tokens begin."""

_KEY_TOKEN = re.compile(r"sk_([0-9a-f]{16})_([0-9a-f]{64})")
_LINK_TOKEN = re.compile(r"sl_([0-9a-f]{32})([0-9a-f]{32})_([0-9a-f]{64})")

LinkRole = Literal["viewer", "player", "moderator"]
"""The roles that a link can give."""
Moment = Annotated[float, Meta(description="Seconds since 1970")]


class Grant(Struct, frozen=True, kw_only=True):
    """What a key and a link have in common.

    digest: the SHA-256 of the secret, in hex
    expires_at: None for what has no end
    """

    digest: str
    made_at: Moment
    made_by: str | None = None
    expires_at: Moment | None = None
    revoked: bool = False

    def is_proved_by(self, secret: str) -> bool:
        """Whether the secret is this one's."""
        return hmac.compare_digest(self.digest, digest(secret))

    def is_over(self, now: float) -> bool:
        """Whether its time is over."""
        return self.expires_at is not None and self.expires_at <= now


class ApiKey(Grant, frozen=True, kw_only=True):
    """A backend's key."""

    key_id: str
    tenant: str
    roles: list[str]
    session: str | None = None
    participant: str | None = None

    @property
    def token_id(self) -> str:
        """How revocations, events and the access log name it."""
        return f"key:{self.key_id}"

    def caller(self) -> KeyCaller:
        """Whoever has the key."""
        return KeyCaller(
            subject=self.token_id,
            tenant=self.tenant,
            roles=frozenset(self.roles),
            session=self.session,
            participant=self.participant,
            token_id=self.token_id,
            ends_at=self.expires_at,
            key_id=self.key_id,
        )


class Link(Grant, frozen=True, kw_only=True):
    """A link to a session for somebody without an account.

    session_made_ms: when the session was created (server time), by which it is told from another session
        that is created under its id later
    """

    link_id: str
    tenant: str | None
    session_id: str
    session_made_ms: int
    role: LinkRole
    participant_id: str | None = None

    @property
    def token_id(self) -> str:
        """How revocations, events and the access log name it."""
        return f"link:{self.link_id}"

    def caller(self) -> LinkCaller:
        """Whoever came by the link."""
        return LinkCaller(
            subject=self.token_id,
            tenant=self.tenant,
            roles=frozenset({self.role}),
            session=self.session_id,
            participant=self.participant_id,
            token_id=self.token_id,
            ends_at=self.expires_at,
            is_link=True,
            session_made_ms=self.session_made_ms,
        )

    def is_for(self, session_made_ms: int) -> bool:
        """Whether it is for the session that was created at this time (server ms).

        A session keeps the time, but for a move to a server whose clock is behind, which takes it back. A
        session that is created under the same id later has a later one.
        """
        return session_made_ms <= self.session_made_ms


@dataclass(frozen=True, slots=True)
class KeyCaller(Caller):
    """Somebody who has an API key."""

    key_id: str = ""


@dataclass(frozen=True, slots=True)
class LinkCaller(Caller):
    """Somebody who came by a link; `session_made_ms` is that of the link."""

    session_made_ms: int = 0


class Revocation(Struct, frozen=True, kw_only=True):
    """That one token of a tenant is revoked, or all of a subject that were made until some time.

    token_id, subject: exactly one of them
    issued_before: with a subject, the newest time of issue that is revoked
    """

    tenant: str | None
    token_id: str | None = None
    subject: str | None = None
    issued_before: Moment | None = None
    made_at: Moment
    made_by: str | None = None


@dataclass(frozen=True, slots=True)
class KeyToken:
    """The parts of an API key."""

    key_id: str
    secret: str


@dataclass(frozen=True, slots=True)
class LinkToken:
    """The parts of a link's token."""

    session_id: str
    link_id: str
    secret: str


def read_token(text: str) -> KeyToken | LinkToken | None:
    """The parts of an API key or of a link's token; None when the text is neither."""
    if (match := _KEY_TOKEN.fullmatch(text)) is not None:
        return KeyToken(match[1], match[2])
    if (match := _LINK_TOKEN.fullmatch(text)) is not None:
        return LinkToken(str(uuid.UUID(match[1])), str(uuid.UUID(match[2])), match[3])
    return None


def new_key(
    tenant: str,
    roles: list[str],
    now: float,
    *,
    session: str | None = None,
    participant: str | None = None,
    expires_at: float | None = None,
    made_by: str | None = None,
) -> tuple[ApiKey, str]:
    """A new API key, and the token that is shown once. Nothing is stored."""
    key_id, secret = secrets.token_hex(8), secrets.token_hex(32)
    key = ApiKey(
        key_id=key_id,
        digest=digest(secret),
        tenant=tenant,
        roles=roles,
        session=session,
        participant=participant,
        made_at=now,
        made_by=made_by,
        expires_at=expires_at,
    )
    return key, f"{KEY}_{key_id}_{secret}"


def new_link(
    session_id: str,
    session_made_ms: int,
    tenant: str | None,
    role: LinkRole,
    *,
    now: float,
    expires_at: float,
    participant_id: str | None = None,
    made_by: str | None = None,
) -> tuple[Link, str]:
    """A new link, and its token. Nothing is stored."""
    link_id, secret = str(uuid.uuid4()), secrets.token_hex(32)
    link = Link(
        link_id=link_id,
        digest=digest(secret),
        tenant=tenant,
        session_id=session_id,
        session_made_ms=session_made_ms,
        role=role,
        participant_id=participant_id,
        made_at=now,
        made_by=made_by,
        expires_at=expires_at,
    )
    return link, f"{LINK}_{uuid.UUID(session_id).hex}{uuid.UUID(link_id).hex}_{secret}"


def digest(secret: str) -> str:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def iso(moment: float) -> str:
    """Seconds since 1970 as ISO 8601 with milliseconds."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
