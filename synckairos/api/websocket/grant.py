"""What the token of one socket allows, and until when.

Over HTTP a token is judged with every request. A socket lives longer than that, so its token is looked at
again and again: it may end, be revoked, or be renewed by the client. Nothing here communicates or waits.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from synckairos.auth import access
from synckairos.auth.access import Action
from synckairos.auth.bearer import Bearers, TokenEnded
from synckairos.auth.caller import Caller
from synckairos.errors import Forbidden

TOLD_BEFORE_S = 30.0
"""How long before its end the client is told that its token ends."""
OPEN_AFTER_S = 25.0
"""How long events go on after the end, so that a client whose new token comes late misses nothing."""


class Grant:
    """The caller of a socket, as long as its token is good.

    now: the time, in seconds since 1970
    """

    def __init__(self, caller: Caller, bearers: Bearers, now: Callable[[], float] = time.time) -> None:
        self.caller = caller
        self._bearers = bearers
        self._now = now
        self._told = False
        """Whether the client was told that this token ends."""

    def permit(self, action: Action) -> str | None:
        """Checks that the caller may do something now. Returns what `access.permit` does.

        Raises TokenEnded, TokenRevoked and Forbidden.
        """
        self._bearers.check_revoked(self.caller)
        if self._after_end() >= 0.0:
            raise TokenEnded("the token has ended; get a new one")
        return access.permit(self.caller, action)

    def check(self) -> bool:
        """Returns whether the client has to be told now that its token ends, which is once for each token.

        Raises TokenEnded and TokenRevoked when the socket has to be closed.
        """
        self._bearers.check_revoked(self.caller)
        if self._after_end() >= OPEN_AFTER_S:
            raise TokenEnded("the token has ended; get a new one")
        ends_at = self.caller.ends_at
        if self._told or ends_at is None or self._now() < ends_at - TOLD_BEFORE_S:
            return False
        self._told = True
        return True

    def renew(self, caller: Caller) -> None:
        """Go on with another token of the same caller. What it may do is found anew.

        Raises Forbidden when the token is for somebody else, or for nothing. Then the old one stays.
        """
        access.permit(caller, Action.READ)
        if _identity(caller) != _identity(self.caller):
            raise Forbidden("the token is for another subject, tenant, session or participant")
        self.caller = caller
        self._told = False

    def _after_end(self) -> float:
        """How long ago the token ended, its leeway included (seconds); negative while it is good."""
        ends_at = self.caller.ends_at
        return float("-inf") if ends_at is None else self._now() - ends_at - self.caller.leeway_s


def _identity(caller: Caller) -> tuple[object, ...]:
    """What has to stay the same."""
    return caller.subject, caller.tenant, caller.session, caller.participant, caller.is_link
