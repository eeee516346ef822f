"""A JSON Web Key Set that is fetched over HTTP, and checks signatures with RS256 and ES256.

Nothing in a token decides where anything is fetched from: the only address is that of `JWT_JWKS_URL`.
"""

from __future__ import annotations

import asyncio
import math
import re
from dataclasses import dataclass
from time import monotonic, time
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec
import structlog
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import Algorithm, ECAlgorithm, RSAAlgorithm
from jwt.exceptions import InvalidKeyError

from synckairos.auth.claims import Token
from synckairos.breakers.registry import Breakers
from synckairos.errors import CircuitOpen, StorageUnavailable, Unauthenticated, error_text
from synckairos.supervision import Telling, cancel

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

ANSWER_S = 5.0
"""How long an answer may take, its body included."""
LONGEST = 1024 * 1024
"""How many bytes an answer may have."""
SHORTEST_S, USUAL_S, LONGEST_S = 60.0, 300.0, 3600.0
"""How long the keys are not asked for again, whatever `Cache-Control` says; and when it says nothing."""
UNKNOWN_EVERY_S = 30.0
"""How often an unknown `kid` has the keys asked for, at most."""
AWAY_S = 24 * 3600.0
"""How long the keys serve while they cannot be fetched."""
AGAIN_S = 1.0
"""After a failed fetch: how long the keys are not asked for again."""
LEAST_RSA_BITS, MOST_RSA_BITS = 2048, 16384
MOST_KEYS = 100

_FAILURES = (httpx.TransportError, httpx.HTTPStatusError, OSError)
"""What the breaker counts: no answer, and a status of 500 or more."""

_MAX_AGE = re.compile(r'(?:^|,)\s*max-age\s*=\s*"?(\d{1,9})"?\s*(?=,|$)', re.IGNORECASE)
_NO_STORE = re.compile(r"(?:^|,)\s*no-(?:store|cache)\s*(?=,|$)", re.IGNORECASE)


class _Document(msgspec.Struct):
    keys: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class _Key:
    """A key of the set.

    kid: its name; None for a key without one, which checks only tokens that name none either
    name: that of its algorithm
    same: by what two fetches are compared
    """

    kid: str | None
    name: str
    algorithm: Algorithm
    public: Any
    same: tuple[str | None, str, bytes]


class Jwks:
    """The keys at an address.

    The first token has them fetched, and later a token with a `kid` that is not known. Callers that come
    meanwhile wait for the same answer.
    """

    def __init__(self, url: str, breakers: Breakers | None = None) -> None:
        self._url = url
        self._breaker = (breakers or Breakers()).of("jwks")
        self._client: httpx.AsyncClient | None = None
        self._keys: list[_Key] = []
        self._fetched_at = -math.inf
        self._again_at = -math.inf
        """When the keys are asked for again (monotonic seconds)."""
        self._asked_for_unknown_at = -math.inf
        self._failed = False
        self._lost = False
        self._fetching: asyncio.Task[None] | None = None
        self._telling = Telling()

    async def check(self, token: Token) -> float:
        """Checks a signature by the keys that the token's `kid` names, or by all when it names none."""
        kid = token.header.get("kid")
        if token.algorithm not in ("RS256", "ES256") or not (kid is None or isinstance(kid, str)):
            raise Unauthenticated
        await self._learn(kid)
        for key in self._keys:
            if (
                key.name == token.algorithm
                and kid in (None, key.kid)
                and key.algorithm.verify(token.signed, key.public, token.signature)
            ):
                return time() + self._fetched_at + AWAY_S - monotonic()
        raise Unauthenticated

    def refresh(self) -> bool:
        """Asks for the keys again when their time is over, once there are some."""
        if self._keys and monotonic() >= self._again_at and not self._is_fetching():
            self._start()
        lost, self._lost = self._lost, False
        return lost

    async def aclose(self) -> None:
        """Ends a fetch that is under way."""
        if self._fetching is not None:
            await cancel(self._fetching)
        if self._client is not None:
            await self._client.aclose()

    async def _learn(self, kid: str | None) -> None:
        """Has the keys fetched when none are known, or none of this name. Raises StorageUnavailable."""
        if not self._known():
            if self._again_at <= monotonic() or self._is_fetching():
                await self._fetch()
            if not self._known():
                raise StorageUnavailable("the keys of tokens cannot be asked for", retry_after_ms=1000)
            if not self._has(kid):  # the keys have just been asked for
                self._asked_for_unknown_at = monotonic()
        if not self._has(kid) and (
            self._is_fetching() or monotonic() - self._asked_for_unknown_at >= UNKNOWN_EVERY_S
        ):
            if not self._is_fetching():
                self._asked_for_unknown_at = monotonic()
            await self._fetch()
        if not self._has(kid) and self._failed:
            raise StorageUnavailable("the keys of tokens cannot be asked for", retry_after_ms=1000)

    def _known(self) -> bool:
        return bool(self._keys) and monotonic() - self._fetched_at < AWAY_S

    def _has(self, kid: str | None) -> bool:
        """Whether the set has a key of this name, as far as is known; True for a token that names none."""
        return kid is None or any(key.kid == kid for key in self._keys)

    def _is_fetching(self) -> bool:
        return self._fetching is not None and not self._fetching.done()

    def _start(self) -> asyncio.Task[None]:
        if self._fetching is None or self._fetching.done():
            self._fetching = asyncio.create_task(self._renew(), name="JWKS")
        return self._fetching

    async def _fetch(self) -> None:
        """Fetches the keys, or waits for a fetch that is under way. A failure leaves the known keys.

        Raises CircuitOpen after several failures in a row.
        """
        if not self._is_fetching():
            await self._breaker.check()
        await asyncio.wait((self._start(),))

    async def _renew(self) -> None:
        try:
            body, fresh_s = await self._breaker.around(self._get_in_time, _FAILURES)
            keys = _usable(body)
        except CircuitOpen:
            return
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, RecursionError) as error:
            self._failed = True
            self._again_at = monotonic() + AGAIN_S
            log.log(self._telling.level(), "the keys of tokens cannot be fetched", error=error_text(error))
            return
        self._failed = False
        self._fetched_at = monotonic()
        self._again_at = self._fetched_at + fresh_s
        self._lost = self._lost or not {key.same for key in self._keys} <= {key.same for key in keys}
        self._keys = keys

    async def _get_in_time(self) -> tuple[bytes, float]:
        async with asyncio.timeout(ANSWER_S):
            return await self._get()

    async def _get(self) -> tuple[bytes, float]:
        """The answer's body, and for how long it is fresh. Raises httpx.HTTPError, ValueError."""
        if self._client is None:
            # Reading the certificates of authorities takes 20 ms, so it is done once, and only when needed.
            https = urlsplit(self._url).scheme == "https"
            self._client = httpx.AsyncClient(
                verify=https, follow_redirects=False, trust_env=False, timeout=ANSWER_S
            )
        headers = {"accept": "application/json", "accept-encoding": "identity"}
        async with self._client.stream("GET", self._url, headers=headers) as response:
            status = f"the answer has the status {response.status_code}"
            if response.is_server_error:
                raise httpx.HTTPStatusError(status, request=response.request, response=response)
            if response.status_code != httpx.codes.OK:
                raise ValueError(status)
            if response.headers.get("content-encoding", "identity") != "identity":
                raise ValueError("the answer is compressed")
            body = bytearray()
            async for part in response.aiter_raw():
                body += part
                if len(body) > LONGEST:
                    raise ValueError(f"the answer has more than {LONGEST} bytes")
            return bytes(body), _fresh_s(response.headers.get("cache-control", ""))


def _fresh_s(cache_control: str) -> float:
    """For how many seconds an answer is fresh."""
    if _NO_STORE.search(cache_control):
        return SHORTEST_S
    match = _MAX_AGE.search(cache_control)
    return USUAL_S if match is None else min(max(float(match[1]), SHORTEST_S), LONGEST_S)


def _usable(body: bytes) -> list[_Key]:
    """The keys of a set that may check signatures; others are left out. Raises ValueError when it is none."""
    given = msgspec.json.decode(body, type=_Document).keys
    return [key for each in given[:MOST_KEYS] if (key := _usable_key(each)) is not None]


def _usable_key(given: dict[str, Any]) -> _Key | None:
    kid, operations = given.get("kid"), given.get("key_ops")
    if not (kid is None or isinstance(kid, str)) or given.get("use", "sig") != "sig":
        return None
    if operations is not None and not (isinstance(operations, list) and "verify" in operations):
        return None
    public: Any
    algorithm: Algorithm
    try:
        match given.get("kty"), given.get("crv"):
            case "RSA", _:
                name, algorithm = "RS256", RSAAlgorithm(RSAAlgorithm.SHA256)
                public = algorithm.from_jwk({part: given[part] for part in ("kty", "n", "e")})
                if not LEAST_RSA_BITS <= public.key_size <= MOST_RSA_BITS:
                    return None
            case "EC", "P-256":
                name, algorithm = "ES256", ECAlgorithm(ECAlgorithm.SHA256)
                public = algorithm.from_jwk({part: given[part] for part in ("kty", "crv", "x", "y")})
            case _:
                return None
    except (InvalidKeyError, KeyError, TypeError, ValueError):
        return None
    if given.get("alg", name) != name:
        return None
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return _Key(kid, name, algorithm, public, (kid, name, der))
