"""Tokens that a test makes up, and who they are for."""

from __future__ import annotations

import itertools
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from synckairos.auth import parts
from synckairos.auth.bearer import TokenEnded, TokenRevoked
from synckairos.auth.caller import Caller
from synckairos.config import Settings
from synckairos.errors import Unauthenticated
from tests.support.live import Service, service

_numbers = itertools.count(1)


class Tokens:
    """Bearers that are good because the test says so. They look like JWTs.

    asked: the bearers that were asked for
    """

    required = True

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._callers: dict[str, Caller] = {}
        self._revoked: set[str | None] = set()

    def make(
        self,
        sub: str = "anna",
        *roles: str,
        tenant: str = "club",
        for_s: float | None = 600.0,
        leeway_s: float = 0.0,
        session: str | None = None,
        participant: str | None = None,
        is_link: bool = False,
    ) -> str:
        """A token that is good for so many seconds from now."""
        number = next(_numbers)
        token = f"head.{sub}-{number}.signature"
        self._callers[token] = Caller(
            subject=sub,
            tenant=tenant,
            roles=frozenset(roles or ("service",)),
            session=session,
            participant=participant,
            token_id=str(number),
            ends_at=None if for_s is None else time.time() + for_s,
            leeway_s=leeway_s,
            is_link=is_link,
        )
        return token

    def revoke(self, token: str) -> None:
        """From now on the token is not good."""
        self._revoked.add(self._callers[token].token_id)

    def remembered(self, _bearer: str, /) -> Caller | None:
        """Nothing is remembered."""
        return None

    async def caller(self, bearer: str, /) -> Caller:
        """The caller for whom the test made this token."""
        self.asked.append(bearer)
        caller = self._callers.get(bearer)
        if caller is None:
            raise Unauthenticated
        if caller.ends_at is not None and time.time() >= caller.ends_at + caller.leeway_s:
            raise TokenEnded
        self.check_revoked(caller)
        return caller

    @asynccontextmanager
    async def service(self, chosen: Settings) -> AsyncIterator[Service]:
        """A service that asks for these tokens."""

        @asynccontextmanager
        async def bearers(*_: object) -> AsyncIterator[Tokens]:
            yield self

        async with AsyncExitStack() as running:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(parts, "bearers", bearers)
                started = await running.enter_async_context(service(chosen))
            yield started

    async def confirm(self, _caller: Caller, /) -> None:
        """Nothing that is remembered changes."""

    def check_revoked(self, caller: Caller, /) -> None:
        """Raises TokenRevoked for a token that the test has revoked."""
        if caller.token_id in self._revoked:
            raise TokenRevoked

    async def aclose(self) -> None:
        """Nothing runs."""
