"""`AUTH_MODE=jwt`: whose a JWT, an API key or a link's token is.

What was found to be good is remembered, by the hash of the token, until it ends or is revoked. So a request
with a token that is known costs a hash and a look into a dict.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
from dataclasses import dataclass
from time import time

from synckairos.auth.api_keys import ApiKeys
from synckairos.auth.bearer import TokenEnded, TokenRevoked
from synckairos.auth.caller import Caller
from synckairos.auth.claims import LONGEST, Expected, parse
from synckairos.auth.grants import KEY, LINK, ApiKey, KeyToken, Link, LinkCaller, LinkToken, read_token
from synckairos.auth.links import Links
from synckairos.auth.revocations import Revocations
from synckairos.auth.signing import Signing
from synckairos.errors import Unauthenticated
from synckairos.supervision import cancel, supervise, together

MOST_REMEMBERED = 20_000
"""How many tokens are remembered. When there are more, the one that was verified first is forgotten."""
LOOK_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class _Known:
    """A token that was found to be good, and until when it is (seconds since 1970).

    key_id: of an API key
    """

    caller: Caller
    until: float
    key_id: str | None = None


class Tokens:
    """The bearers that the service knows. See `synckairos.auth.bearer.Bearers`."""

    required = True

    def __init__(
        self, expected: Expected, signing: Signing, api_keys: ApiKeys, links: Links, revocations: Revocations
    ) -> None:
        self._expected = expected
        self._signing = signing
        self._api_keys = api_keys
        self._links = links
        self._revocations = revocations
        self._known: dict[bytes, _Known] = {}
        self._looking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Looks at once, and then once a second, for revocations and for keys that have changed."""
        self._looking = asyncio.create_task(supervise("tokens", self._run), name="tokens")

    def remembered(self, bearer: str) -> Caller | None:
        """The caller of a bearer that was found to be good and is not revoked since."""
        if self._revocations.changed:
            self._forget_revoked()
        name = _name(bearer)
        found = self._known.get(name)
        if found is None or not self._revocations.is_known():
            return None
        if found.until <= time():
            del self._known[name]
            return None
        if found.key_id is not None:
            if not self._api_keys.is_current(found.caller):
                del self._known[name]
                return None
            self._api_keys.note_use(found.key_id)
        return found.caller

    async def caller(self, bearer: str) -> Caller:
        """The caller of a bearer. Raises Unauthenticated, StorageUnavailable."""
        if len(bearer) > LONGEST:
            raise Unauthenticated
        await self._revocations.known()
        if bearer.startswith((f"{KEY}_", f"{LINK}_")):
            known = await self._granted(read_token(bearer))
        else:
            known = await self._signed(bearer)
        self._revocations.check(known.caller)
        while len(self._known) >= MOST_REMEMBERED:
            del self._known[next(iter(self._known))]
        self._known[_name(bearer)] = known
        return known.caller

    async def confirm(self, caller: Caller) -> None:
        """Raises TokenEnded when the caller came by a link whose session is gone."""
        if isinstance(caller, LinkCaller) and not await self._links.is_session_there(caller):
            raise TokenEnded

    def check_revoked(self, caller: Caller) -> None:
        """Raises TokenRevoked when the caller's token was revoked, or is not what it was any more."""
        self._revocations.check(caller)
        if not self._api_keys.is_current(caller):
            raise TokenRevoked

    async def aclose(self) -> None:
        """Ends what runs in the background, and stores when keys were used."""
        if self._looking is not None:
            await cancel(self._looking)
        await self._revocations.aclose()
        await self._signing.aclose()
        await self._api_keys.store_use(now=True)

    async def _signed(self, bearer: str) -> _Known:
        """The caller of a JWT."""
        token = parse(bearer)
        good_until = await self._signing.check(token)
        caller = self._expected.caller(token, time())
        assert caller.ends_at is not None
        return _Known(caller, min(good_until, caller.ends_at + self._expected.leeway_s))

    async def _granted(self, token: KeyToken | LinkToken | None) -> _Known:
        """The caller of an API key or of a link's token."""
        found: ApiKey | Link | None
        match token:
            case KeyToken():
                found = await self._api_keys.find(token.key_id)
            case LinkToken():
                found = await self._links.find(token)
            case None:
                raise Unauthenticated
        # A link that was made without tenants is nobody's where there are tenants, as its session is. A
        # caller without a tenant would have those of all.
        if found is None or not found.is_proved_by(token.secret) or not found.tenant:
            raise Unauthenticated
        if found.revoked:
            raise TokenRevoked
        if found.is_over(time()):
            raise TokenEnded
        until = math.inf if found.expires_at is None else found.expires_at
        if isinstance(found, ApiKey):
            self._api_keys.note_use(found.key_id)
            return _Known(found.caller(), until, found.key_id)
        await self.confirm(found.caller())
        return _Known(found.caller(), until)

    async def _run(self) -> None:
        await together(self._look_often(), self._store_often())

    async def _store_often(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await self._api_keys.store_use()

    async def _look_often(self) -> None:
        while True:
            await self._revocations.look()
            if self._signing.refresh():
                self._known.clear()
            self._api_keys.look()
            if self._revocations.changed:
                self._forget_revoked()
            await asyncio.sleep(LOOK_EVERY_S)

    def _forget_revoked(self) -> None:
        self._revocations.changed = False
        self._known = {
            name: known
            for name, known in self._known.items()
            if not self._revocations.is_revoked(known.caller)
        }


def _name(bearer: str) -> bytes:
    """What a token is remembered by."""
    return hashlib.sha256(bearer.encode(errors="surrogatepass")).digest()
