"""A JSON Web Key Set: when it is asked for, which of its keys count, and how a key is changed."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from time import monotonic, time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from synckairos.auth import jwks
from synckairos.auth.claims import parse
from synckairos.auth.jwks import Jwks
from synckairos.breakers.breaker import FAILURES
from synckairos.breakers.registry import Breakers
from synckairos.errors import CircuitOpen, StorageUnavailable, SyncKairosError, Unauthenticated
from synckairos.run.processes import free_port
from tests.auth.conftest import asking, token
from tests.support.lines import answering
from tests.support.servers import Server

RSA_KEY = rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
OTHER_KEY = ec.generate_private_key(ec.SECP256R1())
AnyKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def public(key: AnyKey, kid: str | None, **more: Any) -> dict[str, Any]:
    """A key as a set has it."""
    made: dict[str, Any] = (
        RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
        if isinstance(key, rsa.RSAPrivateKey)
        else ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    )
    made.pop("key_ops", None)
    return {**made, **({} if kid is None else {"kid": kid}), **more}


def signed(key: AnyKey, kid: str | None, **claims: Any) -> str:
    given = {"sub": "ann", "tenant": "club", "roles": ["admin"], "exp": time() + 60, **claims}
    algorithm = "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"
    return jwt.encode(given, key, algorithm, headers={} if kid is None else {"kid": kid})


class Issuer:
    """A server that has a set."""

    def __init__(self) -> None:
        self.keys: list[dict[str, Any]] = []
        self.body: bytes | None = None
        self.status = "200 OK"
        self.headers: list[str] = []
        self.asked = 0
        self.url = ""
        self.holds = False

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked += 1
        await reader.readuntil(b"\r\n\r\n")
        if self.holds:
            await asyncio.Event().wait()
        body = json.dumps({"keys": self.keys}).encode() if self.body is None else self.body
        head = [f"HTTP/1.1 {self.status}", f"Content-Length: {len(body)}", "Connection: close", *self.headers]
        writer.write("\r\n".join([*head, "", ""]).encode() + body)
        with suppress(ConnectionError):  # who asked may have heard enough
            await writer.drain()


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    made = Issuer()
    async with answering(made.answer) as port:
        made.url = f"http://127.0.0.1:{port}/keys"
        yield made


@asynccontextmanager
async def keys_of(issuer: Issuer) -> AsyncIterator[Jwks]:
    made = Jwks(issuer.url)
    try:
        yield made
    finally:
        await made.aclose()


async def judged(keys: Jwks, bearer: str) -> type[SyncKairosError] | None:
    try:
        await keys.check(parse(bearer))
    except SyncKairosError as error:
        return type(error)
    return None


async def test_the_set_is_asked_for_with_the_first_token_and_serves_both_kinds(
    redis: Server, issuer: Issuer
) -> None:
    issuer.keys = [public(RSA_KEY, "r"), public(EC_KEY, "e")]
    async with asking(redis.url, JWT_SECRET="", JWT_JWKS_URL=issuer.url) as api:
        assert issuer.asked == 0
        session = await api.made(signed(RSA_KEY, "r"))
        path = f"/v1/sessions/{session['session_id']}"
        statuses = await asyncio.gather(
            *(api.status(path, signed(EC_KEY, "e", jti=str(turn))) for turn in range(20)),
            *(api.status(path, signed(RSA_KEY, None, jti=str(turn))) for turn in range(5)),
        )
        assert set(statuses) == {200}
        assert issuer.asked == 1
        claims = {"sub": "ann", "tenant": "club", "roles": ["admin"], "exp": time() + 60}
        hostile = (
            token(),
            signed(OTHER_KEY, "e"),
            signed(EC_KEY, "r"),
            jwt.encode(claims, EC_KEY, "ES256", headers={"kid": "e", "jku": issuer.url}),
            jwt.encode(claims, EC_KEY, "ES256", headers={"kid": "e", "x5u": issuer.url}),
            token(secret=json.dumps(public(RSA_KEY, "r"))),
            signed(OTHER_KEY, None).replace(".", f"{base64.urlsafe_b64encode(b' ').decode()}.", 1),
        )
        assert {await api.status(path, bearer) for bearer in hostile} == {401}
        assert issuer.asked == 1


async def test_a_key_is_changed_under_load_without_a_failed_request(redis: Server, issuer: Issuer) -> None:
    issuer.keys = [public(RSA_KEY, "old")]
    async with asking(redis.url, JWT_SECRET="", JWT_JWKS_URL=issuer.url) as api:
        session = await api.made(signed(RSA_KEY, "old"))
        path = f"/v1/sessions/{session['session_id']}"

        async def load() -> set[int]:
            found = set()
            for turn in range(30):
                if turn == 10:
                    issuer.keys.append(public(EC_KEY, "new"))
                key, kid = (RSA_KEY, "old") if turn < 10 or turn % 3 == 0 else (EC_KEY, "new")
                found.add(await api.status(path, signed(key, kid, jti=str(turn))))
            return found

        assert await asyncio.gather(*(load() for _ in range(3))) == [{200}] * 3
        assert issuer.asked == 2


async def test_an_unknown_kid_asks_once_in_thirty_seconds(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    issuer.keys = [public(EC_KEY, "a")]
    async with keys_of(issuer) as keys:
        assert await judged(keys, signed(EC_KEY, "a")) is None
        for turn in range(20):
            assert await judged(keys, signed(OTHER_KEY, f"unknown {turn}")) is Unauthenticated
        assert issuer.asked == 2
        issuer.keys.append(public(OTHER_KEY, "b"))
        assert await judged(keys, signed(OTHER_KEY, "b")) is Unauthenticated
        monkeypatch.setattr(jwks, "monotonic", lambda: monotonic() + 30)
        assert await judged(keys, signed(OTHER_KEY, "b")) is None
        assert issuer.asked == 3
    async with keys_of(issuer) as keys:  # for an unknown one that comes first they are not asked for twice
        assert await judged(keys, signed(OTHER_KEY, "unknown")) is Unauthenticated
        assert issuer.asked == 4


@pytest.mark.parametrize("status", [None, "503 Service Unavailable"])
async def test_an_issuer_that_does_not_answer_is_left_alone_for_longer_and_longer(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch, status: str | None
) -> None:
    now = 1000.0
    monkeypatch.setattr(jwks, "monotonic", lambda: now)
    issuer.status = status or ""
    url = issuer.url if status else f"http://127.0.0.1:{free_port()}/keys"
    keys = Jwks(url, known := Breakers())
    monkeypatch.setattr(known.of("jwks"), "_now", lambda: now)
    bearer = signed(EC_KEY, "a")
    try:
        for _ in range(FAILURES):
            assert await judged(keys, bearer) is StorageUnavailable
            now += jwks.AGAIN_S
        for open_for_s in (2, 4, 8):
            assert await judged(keys, bearer) is StorageUnavailable, "this one has asked"
            now += jwks.AGAIN_S
            with pytest.raises(CircuitOpen) as refused:
                await keys.check(parse(bearer))
            assert refused.value.context == {"dependency": "jwks"}
            assert refused.value.retry_after_ms == 1000 * (open_for_s - 1)
            now += open_for_s - jwks.AGAIN_S
    finally:
        await keys.aclose()


@pytest.mark.parametrize(
    ("status", "is_away"),
    [
        ("500 Internal Server Error", True),
        ("503 Service Unavailable", True),
        ("404 Not Found", False),
        ("429 Too Many Requests", False),
    ],
)
async def test_an_issuer_that_fails_counts_as_away_and_one_that_refuses_does_not(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch, status: str, is_away: bool
) -> None:
    now = 1000.0
    monkeypatch.setattr(jwks, "monotonic", lambda: now)
    keys = Jwks(issuer.url, known := Breakers())
    issuer.status = status
    try:
        for _ in range(FAILURES):
            assert await judged(keys, signed(EC_KEY, "a")) is StorageUnavailable
            now += jwks.AGAIN_S
        assert issuer.asked == FAILURES
        assert known.of("jwks").closed is not is_away
    finally:
        await keys.aclose()


async def test_known_keys_serve_for_a_day_while_the_set_is_away(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    issuer.keys = [public(EC_KEY, "a")]
    issuer.headers = ["Cache-Control: public, max-age=120"]
    async with keys_of(issuer) as keys:
        assert await judged(keys, signed(EC_KEY, "a")) is None
        issuer.status = "500 Internal Server Error"

        async def after(seconds: float) -> type[SyncKairosError] | None:
            monkeypatch.setattr(jwks, "monotonic", lambda: monotonic() + seconds)
            assert not keys.refresh()
            if keys._fetching is not None:
                await asyncio.wait((keys._fetching,))
            return await judged(keys, signed(EC_KEY, "a"))

        assert (await after(110), issuer.asked) == (None, 1)
        assert (await after(130), issuer.asked) == (None, 2)
        assert await after(24 * 3600 - 30) is None
        assert await after(24 * 3600 + 1) is StorageUnavailable
        issuer.status = "200 OK"
        assert await after(24 * 3600 + 3) is None


async def test_a_key_that_is_gone_from_the_set_is_gone(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the service is told, so that it forgets the tokens that it remembers."""
    issuer.keys = [public(EC_KEY, "a"), public(OTHER_KEY, "b")]
    async with keys_of(issuer) as keys:
        assert await judged(keys, signed(EC_KEY, "a")) is None
        issuer.keys = [public(OTHER_KEY, "b")]
        monkeypatch.setattr(jwks, "monotonic", lambda: monotonic() + jwks.USUAL_S)
        assert not keys.refresh()
        assert keys._fetching is not None
        await asyncio.wait((keys._fetching,))
        assert keys.refresh()
        assert not keys.refresh()
        assert await judged(keys, signed(EC_KEY, "a")) is Unauthenticated
        assert await judged(keys, signed(OTHER_KEY, "b")) is None


async def test_what_is_no_set_is_not_there(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwks, "ANSWER_S", 0.3)
    fields: dict[str, Any] = {"status": "200 OK", "headers": [], "holds": False}
    good = json.dumps({"keys": [public(EC_KEY, "a")]}).encode()
    answers: dict[str, dict[str, Any]] = {
        "no JSON": {"body": b"<html>"},
        "no set": {"body": b"[]"},
        "no list": {"body": b'{"keys":{}}'},
        "as deep as a stack": {"body": b'{"keys":' + b"[" * 100_000},
        "over 1 MiB": {"body": good + b" " * 1024 * 1024},
        "not found": {"status": "404 Not Found"},
        "elsewhere": {"status": "302 Found", "headers": ["Location: http://127.0.0.1:9/keys"]},
        "compressed": {"headers": ["Content-Encoding: gzip"]},
        "slow": {"holds": True},
    }
    for name, answer in answers.items():
        issuer.__dict__.update(fields | {"body": good} | answer)
        async with keys_of(issuer) as keys:
            assert await judged(keys, signed(EC_KEY, "a")) is StorageUnavailable, name
            asked = issuer.asked
            assert await judged(keys, signed(EC_KEY, "a")) is StorageUnavailable, name
            assert issuer.asked == asked, "a failed fetch is not repeated at once"
    async with keys_of(issuer) as keys:
        issuer.__dict__.update(fields | {"body": good})
        assert await judged(keys, signed(EC_KEY, "a")) is None


async def test_keys_that_are_not_used(issuer: Issuer) -> None:
    short = rsa.generate_private_key(65537, 1024)
    issuer.keys = [
        {"kty": "oct", "k": base64.urlsafe_b64encode(b"x" * 32).decode(), "kid": "oct"},
        public(EC_KEY, "use", use="enc"),
        public(EC_KEY, "alg", alg="ES384"),
        public(RSA_KEY, "rsa alg", alg="PS256"),
        public(EC_KEY, "ops", key_ops=["encrypt"]),
        public(short, "short"),
        {**public(EC_KEY, "curve"), "crv": "P-384"},
        {**public(EC_KEY, "point"), "y": "AAAA"},
        {"kty": "RSA", "kid": "no numbers"},
        {**public(EC_KEY, None), "kid": 7},
        public(EC_KEY, "good", use="sig", alg="ES256", key_ops=["verify"]),
    ]
    async with keys_of(issuer) as keys:
        assert await judged(keys, signed(EC_KEY, "good")) is None
        for kid, key in (("use", EC_KEY), ("alg", EC_KEY), ("rsa alg", RSA_KEY), ("ops", EC_KEY)):
            assert await judged(keys, signed(key, kid)) is Unauthenticated, kid
        for kid in ("curve", "point", "no numbers", "oct", "7"):
            assert await judged(keys, signed(EC_KEY, kid)) is Unauthenticated, kid
        assert await judged(keys, signed(RSA_KEY, None)) is Unauthenticated


@pytest.mark.parametrize(
    ("header", "fresh_s"),
    [
        ("", 300),
        ("max-age=1", 60),
        ("public, MAX-AGE=600, must-revalidate", 600),
        ("s-maxage=1,max-age=99999", 3600),
        ('max-age="90"', 90),
        ("max-age=x", 300),
        ("no-store, max-age=3000", 60),
        ("private, no-cache", 60),
    ],
)
def test_cache_control_counts_between_a_minute_and_an_hour(header: str, fresh_s: float) -> None:
    assert jwks._fresh_s(header) == fresh_s
