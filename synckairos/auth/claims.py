"""What a JWT has to look like, and the caller that its claims make.

PyJWT checks signatures. What comes before and after that is checked here, because a token that two readers
could read differently, or whose claims are of another type than they should be, has to be refused, and
PyJWT lets most of these pass.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
import unicodedata
from dataclasses import dataclass
from typing import Any

from synckairos.auth.bearer import TokenEnded
from synckairos.auth.caller import Caller
from synckairos.errors import Unauthenticated

LONGEST = 8192
"""How many characters a token may have."""
LONGEST_NAME = 255
"""How many characters `sub`, `tenant` and `jti` may have."""

_FORM = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_NOT_UNDERSTOOD = frozenset({"crit", "zip", "b64", "jku", "jwk", "x5u", "x5c"})
"""Header fields that change how a token is read, or bring a key along. No token may have them."""


class _Bad(ValueError):
    """A token is not as it has to be. Nobody is told what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Token:
    """The parts of a JWT whose form is right. None of it is to be believed before the signature is checked.

    signed: the bytes that the signature is about
    """

    header: dict[str, Any]
    payload: dict[str, Any]
    signed: bytes
    signature: bytes

    @property
    def algorithm(self) -> object:
        """The algorithm that the token claims to be signed with."""
        return self.header.get("alg")


def parse(text: str) -> Token:
    """The parts of a JWT. Raises Unauthenticated."""
    try:
        if len(text) > LONGEST or (match := _FORM.fullmatch(text)) is None:
            raise _Bad
        header, payload, signature = map(_decoded, match.groups())
        token = Token(_object(header), _object(payload), text[: match.end(2)].encode(), signature)
    except (ValueError, RecursionError):
        raise Unauthenticated from None
    if _NOT_UNDERSTOOD & token.header.keys():
        raise Unauthenticated
    return token


def _decoded(part: str) -> bytes:
    """The bytes of a part. The same bytes in another spelling are refused."""
    try:
        found = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except binascii.Error:
        raise _Bad from None
    if base64.urlsafe_b64encode(found).rstrip(b"=") != part.encode():
        raise _Bad
    return found


def _object(text: bytes) -> dict[str, Any]:
    """A JSON object. Raises ValueError, RecursionError."""
    found = json.loads(text.decode(), object_pairs_hook=_unique, parse_constant=_refuse)
    if not isinstance(found, dict):
        raise _Bad
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Bad
    return found


def _refuse(_: str) -> None:
    """NaN and Infinity are no JSON."""
    raise _Bad


@dataclass(frozen=True, slots=True)
class Expected:
    """What all tokens of a service have to say.

    audience, issuer: None where it does not matter
    leeway_s: how far the clocks of who made a token and of this machine may differ (seconds)
    """

    audience: str | None
    issuer: str | None
    leeway_s: float

    def caller(self, token: Token, now: float) -> Caller:
        """The caller of a token whose signature is right.

        now: seconds since 1970

        Raises Unauthenticated; TokenEnded when nothing is wrong but that its time is over.
        """
        claims = token.payload
        try:
            ends_at = _moment(claims["exp"])
            issued_at = _moment(claims["iat"]) if "iat" in claims else None
            begins_at = _moment(claims["nbf"]) if "nbf" in claims else -math.inf
            caller = Caller(
                subject=_name(claims["sub"]),
                tenant=_name(claims["tenant"]),
                roles=frozenset(_roles(claims["roles"])),
                session=_uuid(claims["session"]) if "session" in claims else None,
                participant=_uuid(claims["participant"]) if "participant" in claims else None,
                token_id=_token_id(claims["jti"]) if "jti" in claims else None,
                issued_at=issued_at,
                ends_at=ends_at,
                leeway_s=self.leeway_s,
            )
            if max(begins_at, issued_at or -math.inf) > now + self.leeway_s:
                raise _Bad
            if self.audience is not None and self.audience not in _audiences(claims["aud"]):
                raise _Bad
            if self.issuer is not None and claims["iss"] != self.issuer:
                raise _Bad
        except (KeyError, ValueError):
            raise Unauthenticated from None
        if ends_at + self.leeway_s <= now:
            raise TokenEnded
        return caller


def _moment(value: object) -> float:
    """Seconds since 1970."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Bad
    try:
        moment = float(value)
    except OverflowError:
        raise _Bad from None
    if not math.isfinite(moment):
        raise _Bad
    return moment


def _name(value: object) -> str:
    if not isinstance(value, str) or not is_name(value):
        raise _Bad
    return value


def is_name(text: str) -> bool:
    """Whether text can name a subject or a tenant: 1-255 characters, and no control characters."""
    return 1 <= len(text) <= LONGEST_NAME and not any(
        unicodedata.category(character) in ("Cc", "Cs") for character in text
    )


def _token_id(value: object) -> str:
    if not isinstance(value, str) or not is_token_id(value):
        raise _Bad
    return value


def is_token_id(text: str) -> bool:
    """Whether text can be a `jti`: at most 255 characters, none of which PostgreSQL cannot store."""
    return len(text) <= LONGEST_NAME and "\0" not in text and _is_text(text)


def _is_text(text: str) -> bool:
    """Whether text has no half of a surrogate pair, which is no character."""
    return not any(unicodedata.category(character) == "Cs" for character in text)


def _roles(value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(role, str) and _is_text(role) for role in value):
        raise _Bad
    return value


def _uuid(value: object) -> str:
    if not isinstance(value, str) or _UUID.fullmatch(value.lower()) is None:
        raise _Bad
    return value.lower()


def _audiences(value: object) -> list[object]:
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise _Bad
    return value
