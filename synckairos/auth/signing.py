"""Whose signature on a JWT is good: that of the secrets in the settings, or of a JSON Web Key Set."""

from __future__ import annotations

import math
from collections.abc import Mapping
from time import time
from typing import Protocol

import jwt
from jwt.algorithms import HMACAlgorithm

from synckairos.auth.claims import Token
from synckairos.config import Settings
from synckairos.errors import Unauthenticated


class Signing(Protocol):
    """Checks signatures."""

    async def check(self, token: Token) -> float:
        """Checks a token's signature. Returns until when it is good, in seconds since 1970.

        Raises Unauthenticated, and StorageUnavailable when the keys are not known.
        """

    def refresh(self) -> bool:
        """Asks for the keys in the background when it is time. It is called once a second.

        Returns whether keys are gone since the last call, so that what they signed has to be checked again.
        """

    async def aclose(self) -> None:
        """Ends what runs in the background."""


class Secrets:
    """HS256 by `JWT_SECRET`, and by `JWT_PREVIOUS_SECRET` for a while, so that a secret can be changed."""

    def __init__(self, settings: Settings) -> None:
        assert settings.jwt_secret is not None
        self._algorithm = HMACAlgorithm(HMACAlgorithm.SHA256)
        self._good = [(settings.jwt_secret.encode(), math.inf)]
        if settings.jwt_previous_secret is not None and settings.jwt_previous_until is not None:
            self._good.append((settings.jwt_previous_secret.encode(), settings.jwt_previous_until))

    async def check(self, token: Token) -> float:
        """Checks a signature by each secret that is good now."""
        if token.algorithm == "HS256":
            now = time()
            for secret, until in self._good:
                if now < until and self._algorithm.verify(token.signed, secret, token.signature):
                    return until
        raise Unauthenticated

    def refresh(self) -> bool:
        """The secrets change with the settings only, at a start."""
        return False

    async def aclose(self) -> None:
        """Nothing runs."""


def sign(secret: str, claims: Mapping[str, object]) -> str:
    """A JWT by a secret. Claims that are None are left out."""
    return jwt.encode({name: value for name, value in claims.items() if value is not None}, secret, "HS256")


def development_token(
    settings: Settings, *, sub: str, tenant: str, roles: list[str], lasts_s: int, **more: str | None
) -> str:
    """A JWT by `JWT_SECRET` which this service takes, such as `synckairos token` prints.

    more: further claims; None for what the token has not
    """
    assert settings.jwt_secret is not None
    now = int(time())
    claims = {
        "sub": sub,
        "tenant": tenant,
        "roles": roles,
        **more,
        "aud": settings.jwt_audience,
        "iss": settings.jwt_issuer,
        "iat": now,
        "exp": now + lasts_s,
    }
    return sign(settings.jwt_secret, claims)
