"""JWTs: which are let in, which are not, and how a secret is changed."""

from __future__ import annotations

import asyncio
import hashlib
import json
import uuid
from pathlib import Path
from time import time
from typing import Any

import pytest
import yaml

from synckairos.auth import tokens
from synckairos.auth.bearer import TokenEnded
from synckairos.auth.claims import Expected, parse
from synckairos.errors import Unauthenticated
from tests.auth.conftest import SECRET, Api, asking, bearing, encoded, signature, token
from tests.support.lines import answering
from tests.support.servers import Server

HOSTILE: dict[str, dict[str, str]] = yaml.safe_load(
    (Path(__file__).parent / "hostile_tokens.yaml").read_text(encoding="utf-8")
)
GOOD = HOSTILE.pop("GOOD")
SENTENCE = {
    "error": {
        "code": "UNAUTHENTICATED",
        "message": "the caller is not known",
        "retryable": False,
        "context": {},
    }
}


def respelled(text: str) -> str:
    """The same bytes with other last bits: 32 bytes are 42 characters and four of the six bits of one."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return text[:-1] + alphabet[alphabet.index(text[-1]) ^ 1]


def built(case: dict[str, str], trap: str) -> str:
    """The token of a case of `hostile_tokens.yaml`."""
    case = GOOD | case
    payload = case["payload"]
    if payload == "deep":
        payload = "[" * 2000 + "]" * 2000
    signed = f"{encoded(case['header'].replace('TRAP', trap).encode())}.{encoded(payload.encode())}"
    made = {
        None: signature(signed),
        "other secret": signature(signed, "another secret, which is long enough"),
        "empty secret": signature(signed, ""),
        "HS512": signature(signed, kind="sha512"),
        "nobody": "",
    }[case.get("signed")]
    header, payload = signed.split(".")
    match case.get("token"):
        case None:
            return f"{signed}.{made}"
        case "respelled":
            return f"{signed}.{respelled(made)}"
        case text:
            return text.format(header=header, payload=payload, signature=made)


async def test_hostile_tokens_are_all_refused_with_one_sentence(api: Api) -> None:
    """And nothing listens to what a token says: a trap behind the addresses in them hears nothing."""
    heard: list[str] = []

    async def hear(*_: object) -> None:
        heard.append("a connection")

    path = f"/v1/sessions/{uuid.uuid4()}"
    async with answering(hear) as trap:
        address = f"http://127.0.0.1:{trap}/keys"
        assert await api.status(path, built({}, address)) == 404
        assert len(HOSTILE) >= 40
        for name, case in HOSTILE.items():
            answer = await api.get(path, headers=bearing(built(case, address)))
            assert (answer.status_code, answer.json()) == (401, SENTENCE), name
            assert answer.headers["www-authenticate"] == "Bearer", name
        for scheme in ("Basic", "Bearer", "bearer  "):
            answer = await api.get(path, headers={"authorization": f"{scheme} {built({}, address)}x"})
            assert (answer.status_code, answer.json()) == (401, SENTENCE), scheme
        twice = [("authorization", f"Bearer {built({}, address)}")] * 2
        assert (await api.get(path, headers=twice)).status_code == 400
        answer = await api.get(path)
        assert (answer.status_code, answer.json()) == (401, SENTENCE)
        assert answer.headers["www-authenticate"] == "Bearer"
    assert heard == []


ODD_AND_GOOD: tuple[dict[str, Any], ...] = (
    {"exp": 4102444800.5},
    {"aud": "anybody", "iss": 7},
    {"jti": "", "nbf": 0, "iat": 0.5},
    {"jti": "x" * 255, "sub": "ü" * 255, "tenant": "a b"},
    {"roles": ["admin", "emperor"]},
    {"session": "00000000-0000-4000-8000-0000000000AB"},
    {"participant": "00000000-0000-4000-8000-0000000000AB"},
    {"more": {"a": [1, {"b": None}]}},
)


async def test_tokens_that_look_odd_and_are_good(api: Api) -> None:
    path = f"/v1/sessions/{uuid.uuid4()}"
    assert [await api.status(path, token(**claims)) for claims in ODD_AND_GOOD] == [404] * len(ODD_AND_GOOD)


def test_kid_and_typ_do_not_matter_with_a_secret() -> None:
    for header in ('{"alg":"HS256","kid":7,"typ":null}', '{"alg":"HS256","kid":"a","typ":"at+jwt"}'):
        signed = f"{encoded(header.encode())}.{encoded(GOOD['payload'].encode())}"
        found = parse(f"{signed}.{signature(signed)}")
        assert found.header["alg"] == "HS256"


def expected(leeway_s: float = 10, **what: str) -> Expected:
    return Expected(what.get("audience"), what.get("issuer"), leeway_s)


def judged(by: Expected, now: float, **claims: Any) -> type[Exception] | None:
    try:
        by.caller(parse(token(**claims)), now)
    except Unauthenticated as error:
        return type(error)
    return None


def test_the_leeway_to_the_millisecond() -> None:
    by = expected(leeway_s=10)
    ends = {now: judged(by, now, exp=1000) for now in (1009.999, 1010.0, 1010.001)}
    assert ends == {1009.999: None, 1010.0: TokenEnded, 1010.001: TokenEnded}
    for name in ("nbf", "iat"):
        begins = {now: judged(by, now, exp=2000, **{name: 1000}) for now in (989.999, 990.0, 990.001)}
        assert begins == {989.999: Unauthenticated, 990.0: None, 990.001: None}
    # What is wrong with a token comes before its end, and only a token that is right otherwise has ended.
    assert judged(by, 5000, exp=1000, tenant=None) is Unauthenticated


def test_audience_and_issuer_where_they_are_set() -> None:
    by = expected(audience="clock", issuer="https://id.example")
    good = {"aud": "clock", "iss": "https://id.example"}
    assert judged(by, 0, **good) is None
    assert judged(by, 0, **good | {"aud": ["other", "clock"]}) is None
    wrong: tuple[dict[str, Any], ...] = (
        {"aud": None},
        {"iss": None},
        {"aud": "Clock"},
        {"aud": ["other"]},
        {"aud": []},
        {"aud": ["clock", 1]},
        {"aud": {"clock": 1}},
        {"iss": "https://id.example/"},
        {"iss": ["https://id.example"]},
    )
    for claims in wrong:
        assert judged(by, 0, **good | claims) is Unauthenticated, claims


async def test_a_secret_is_changed_under_load_without_a_failed_request(redis: Server) -> None:
    """The old service signs with the old secret and the new one with the new; each knows both, or will."""
    new = "the next secret, which is long enough"
    async with (
        asking(redis.url) as before,
        asking(
            redis.url,
            JWT_SECRET=new,
            JWT_PREVIOUS_SECRET=SECRET,
            JWT_PREVIOUS_UNTIL=str(time() + 3600),
        ) as after,
        asking(redis.url, JWT_SECRET=new, JWT_PREVIOUS_SECRET=SECRET, JWT_PREVIOUS_UNTIL="1") as later,
    ):
        session = await before.made(token())
        path = f"/v1/sessions/{session['session_id']}"

        async def load(api: Api, secret: str) -> set[int]:
            return {await api.status(path, token(secret=secret, jti=str(turn % 5))) for turn in range(25)}

        found = tuple(await asyncio.gather(load(before, SECRET), load(after, SECRET), load(after, new)))
        assert found == ({200}, {200}, {200})
        assert await later.status(path, token(secret=SECRET)) == 401
        assert await before.status(path, token(secret=new)) == 401


async def test_a_previous_secret_ends_also_for_tokens_that_are_remembered(redis: Server) -> None:
    until = time() + 1.5
    async with asking(
        redis.url,
        JWT_SECRET="the next secret, which is long enough",
        JWT_PREVIOUS_SECRET=SECRET,
        JWT_PREVIOUS_UNTIL=str(until),
    ) as api:
        bearer, path = token(), f"/v1/sessions/{uuid.uuid4()}"
        while time() < until:
            assert await api.status(path, bearer) == 404 or time() >= until
            await asyncio.sleep(0.1)
        assert await api.status(path, bearer) == 401


async def test_what_is_remembered_is_bounded_and_ends(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "MOST_REMEMBERED", 3)
    bearers = api.running.context.bearers
    assert isinstance(bearers, tokens.Tokens)
    path, given = f"/v1/sessions/{uuid.uuid4()}", [token(jti=str(each)) for each in range(5)]
    for bearer in given:
        assert await api.status(path, bearer) == 404
    assert [bearers.remembered(bearer) is not None for bearer in given] == [False] * 2 + [True] * 3
    assert given[4] not in repr(bearers._known)
    ended = token(exp=time() - 9.5)
    assert await api.status(path, ended) == 404
    await asyncio.sleep(0.6)
    assert bearers.remembered(ended) is None
    assert await api.status(path, ended) == 401


def test_a_token_is_not_looked_at_when_it_is_longer_than_any() -> None:
    assert parse(token(more="x" * 5000)).payload["sub"] == "ann"
    with pytest.raises(Unauthenticated):
        parse(token(more="x" * 9000))


def test_the_names_of_remembered_tokens_are_hashes() -> None:
    assert tokens._name("abc") == hashlib.sha256(b"abc").digest()
    assert tokens._name("\udcff\ud800")  # what a header may have


def test_the_data_says_what_is_tried() -> None:
    """No case is one by its spelling alone: what is made of each differs from all others and from GOOD."""
    made = [built(case, "http://127.0.0.1:1/") for case in ({}, *HOSTILE.values())]
    assert len(set(made)) == len(made)
    assert json.loads(GOOD["payload"])["roles"] == ["admin"]
