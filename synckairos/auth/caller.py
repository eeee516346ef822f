"""The caller of a request or of a WebSocket."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a request.

    subject: the caller's name, for events, limits and the access log; None when it is not known
    tenant: the tenant whose sessions the caller can use; None without tenants (AUTH_MODE=none)
    roles: they decide what the caller may do, see `synckairos.auth.access`
    session: the only session that the token is good for; None for all of the tenant
    participant: the participant as whom a player plays; None for nobody
    token_id: how revocations and the access log name the token: a JWT's `jti`, `key:<id>`, `link:<id>`. It is
        never the token itself.
    issued_at: when a JWT was made (seconds since 1970), as revocations by subject compare it; None if unknown
    ends_at: when the token ends (seconds since 1970, leeway not included); None for what has no end
    leeway_s: how long after its end the token is still taken (seconds)
    is_link: whether it is a person who came by a link, who has no account
    """

    subject: str | None
    tenant: str | None
    roles: frozenset[str]
    session: str | None = None
    participant: str | None = None
    token_id: str | None = None
    issued_at: float | None = None
    ends_at: float | None = None
    leeway_s: float = 0.0
    is_link: bool = False

    @property
    def is_bound(self) -> bool:
        """Whether the token is for one session or one participant only."""
        return self.session is not None or self.participant is not None

    @property
    def actor(self) -> str | None:
        """The name that events show."""
        return self.subject


ANONYMOUS = Caller(subject=None, tenant=None, roles=frozenset({"admin"}))
"""The caller without authentication. It may do everything, and its limits go by its address."""
