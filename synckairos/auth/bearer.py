"""From a bearer to its caller. Who can tell is made at the start, by the settings: see `AUTH_MODE`."""

from __future__ import annotations

from typing import Protocol

from synckairos.auth.caller import ANONYMOUS, Caller
from synckairos.errors import Unauthenticated


class TokenEnded(Unauthenticated):
    """The token is well signed and its time is over. Over HTTP it looks like every other bad one."""


class TokenRevoked(Unauthenticated):
    """The token was good and is revoked. Over HTTP it looks like every other bad one."""


class Bearers(Protocol):
    """Tells whose a bearer is."""

    required: bool
    """Whether a request needs a bearer. Without that everybody is `ANONYMOUS`, and bearers are not read."""

    def remembered(self, bearer: str) -> Caller | None:
        """The caller of a bearer that was found to be good a moment ago and is not revoked since.

        It costs nothing, so it is asked first. None says nothing about the bearer.
        """

    async def caller(self, bearer: str) -> Caller:
        """The caller of a bearer: a JWT, an API key or a link token.

        Raises Unauthenticated with one sentence for all that is wrong (TokenEnded and TokenRevoked are told
        apart on sockets only), and StorageUnavailable when nobody can be asked.
        """

    async def confirm(self, caller: Caller) -> None:
        """Checks what can change about a caller that is `remembered`: a link ends with its session.

        Raises TokenEnded, StorageUnavailable. For whoever did not come by a link it costs nothing.
        """

    def check_revoked(self, caller: Caller) -> None:
        """Raises TokenRevoked when the caller's token was revoked. It costs nothing, and sockets ask often.

        A process knows of a revocation at most 5 s after it was made.
        """

    async def aclose(self) -> None:
        """Ends what runs in the background."""


class Everybody:
    """`AUTH_MODE=none`."""

    required = False

    def remembered(self, _bearer: str, /) -> Caller | None:
        """Everybody is the same caller."""
        return ANONYMOUS

    async def caller(self, _bearer: str, /) -> Caller:
        """Everybody is the same caller."""
        return ANONYMOUS

    async def confirm(self, _caller: Caller, /) -> None:
        """Nothing changes."""

    def check_revoked(self, _caller: Caller, /) -> None:
        """Nothing can be revoked."""

    async def aclose(self) -> None:
        """Nothing runs."""
