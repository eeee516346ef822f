"""Callers with names in place of tokens, for services in the test's own process."""

from __future__ import annotations

from typing import Any

from synckairos.auth.bearer import TokenEnded
from synckairos.auth.caller import Caller
from synckairos.errors import Unauthenticated


class Callers:
    """Tells whose a bearer is. The bearer `ended` was good once, and unknown ones never were."""

    required = True

    def __init__(self, *callers: Caller) -> None:
        self._callers = {str(caller.subject): caller for caller in callers}

    def remembered(self, bearer: str) -> Caller | None:
        return self._callers.get(bearer)

    async def caller(self, bearer: str) -> Caller:
        raise TokenEnded if bearer == "ended" else Unauthenticated

    async def confirm(self, caller: Caller) -> None:
        """Nothing changes."""

    def check_revoked(self, caller: Caller) -> None:
        """Nobody is."""

    async def aclose(self) -> None:
        """Nothing runs."""


def caller(subject: str, tenant: str, *roles: str, **fields: Any) -> Caller:
    """A caller whose bearer is its subject."""
    return Caller(subject, tenant, frozenset(roles), token_id=f"token of {subject}", **fields)


def bearer(subject: str, **headers: str) -> dict[str, str]:
    """The headers with which this caller comes."""
    return {"authorization": f"Bearer {subject}", **headers}
