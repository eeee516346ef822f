"""Who is calling: the one place where subject, tenant and roles of a request are determined."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from synckairos.api.request import ApiRequest

ROLES = frozenset({"viewer", "player", "service", "moderator", "admin"})


@dataclass(frozen=True, slots=True)
class Caller:
    """subject: who, for events and limits; tenant: whose sessions; roles: what may be done. None: unknown."""

    subject: str | None
    tenant: str | None
    roles: frozenset[str]


ANYBODY = Caller(subject=None, tenant=None, roles=frozenset({"admin"}))
"""Without authentication: nobody in particular, of no tenant; may do everything, is limited by address."""


def identify(request: ApiRequest) -> Caller:  # noqa: ARG001 - what a token says will come from it
    """The caller of this request. `AUTH_MODE=none`, the only mode so far, lets everybody do everything."""
    return ANYBODY
