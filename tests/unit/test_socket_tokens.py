"""The token of one socket, second by second; sockets that wait for theirs; and events without names."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from synckairos.api.websocket import strangers as rooms
from synckairos.api.websocket.grant import Grant
from synckairos.api.websocket.messages import instant
from synckairos.api.websocket.strangers import Strangers
from synckairos.auth import access
from synckairos.auth.access import Action
from synckairos.auth.bearer import Everybody, TokenEnded, TokenRevoked
from synckairos.auth.caller import ANONYMOUS, Caller
from synckairos.errors import Forbidden, RateLimitExceeded
from synckairos.realtime.messages import EventFrames, text_frame, without_actor
from tests.support.tokens import Tokens

ANNA = Caller("anna", "club", frozenset({"service"}), ends_at=1000.0, leeway_s=10.0, token_id="one")


class Clock:
    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def happens(grant: Grant, clock: Clock, at: float) -> str:
    """What a look at this moment leads to, and whether a command is carried out."""
    clock.now = at
    try:
        told = "told" if grant.check() else "nothing"
    except TokenEnded:
        told = "closed"
    try:
        grant.permit(Action.SWITCH)
    except TokenEnded:
        return f"{told}, no commands"
    return f"{told}, commands"


def test_a_token_that_ends_is_told_then_takes_no_commands_then_closes() -> None:
    clock = Clock(900.0)
    grant = Grant(ANNA, Everybody(), clock)
    assert [
        happens(grant, clock, at) for at in (900, 969.999, 970, 970.5, 1009.999, 1010, 1034.999, 1035)
    ] == [
        "nothing, commands",
        "nothing, commands",
        "told, commands",
        "nothing, commands",
        "nothing, commands",  # the leeway
        "nothing, no commands",
        "nothing, no commands",
        "closed, no commands",
    ]


def test_a_newer_token_in_time_or_just_too_late_goes_on_and_is_told_in_its_turn() -> None:
    clock = Clock(900.0)
    grant = Grant(ANNA, Everybody(), clock)
    assert happens(grant, clock, 980) == "told, commands"
    grant.renew(replace(ANNA, ends_at=2000.0))
    assert [happens(grant, clock, at) for at in (980, 1500, 1970, 1971, 2020)] == [
        "nothing, commands",
        "nothing, commands",
        "told, commands",
        "nothing, commands",
        "nothing, no commands",
    ]
    grant.renew(replace(ANNA, ends_at=2040.0))
    assert happens(grant, clock, 2020) == "told, commands"


def test_what_has_no_end_is_never_told() -> None:
    clock = Clock(0.0)
    for caller in (ANONYMOUS, replace(ANNA, ends_at=None)):
        assert happens(Grant(caller, Everybody(), clock), clock, 1e12) == "nothing, commands"


@pytest.mark.parametrize(
    "other",
    [
        {"subject": "ben"},
        {"tenant": "another"},
        {"session": "7c9e6679-7425-40de-944b-e07fc1f90ae7"},
        {"participant": "aaaaaaaa-0000-4000-8000-000000000001"},
        {"is_link": True},
        {"roles": frozenset({"king"})},
    ],
    ids=lambda other: next(iter(other)),
)
def test_a_token_of_somebody_else_or_for_nothing_does_not_take_the_place_of_the_old_one(
    other: dict[str, object],
) -> None:
    grant = Grant(ANNA, Everybody(), Clock(990.0))
    with pytest.raises(Forbidden):
        grant.renew(replace(ANNA, ends_at=5000.0, **other))  # type: ignore[arg-type]
    assert grant.caller is ANNA


def test_what_a_newer_token_allows_is_found_anew() -> None:
    grant = Grant(ANNA, Everybody(), Clock(0.0))
    assert grant.permit(Action.SWITCH) is None
    grant.renew(replace(ANNA, roles=frozenset({"viewer"})))
    with pytest.raises(Forbidden):
        grant.permit(Action.SWITCH)
    player = replace(ANNA, roles=frozenset({"player"}), participant="p")
    assert Grant(player, Everybody(), Clock(0.0)).permit(Action.SWITCH) == "p"


async def test_a_revoked_token_closes_and_takes_no_commands() -> None:
    tokens = Tokens()
    token = tokens.make()
    grant = Grant(await tokens.caller(token), tokens)
    assert not grant.check()
    tokens.revoke(token)
    with pytest.raises(TokenRevoked):
        grant.check()
    with pytest.raises(TokenRevoked):
        grant.permit(Action.SWITCH)


def test_instants_are_iso_8601_whatever_a_token_says() -> None:
    assert instant(1795306409.736) == "2026-11-22T00:13:29.736Z"
    assert instant(1e300) == "9999-12-31T23:59:59.000Z"


# Sockets without a good token


def test_an_address_opens_five_without_a_good_token_in_a_minute() -> None:
    clock = Clock(0.0)
    strangers = Strangers(clock)
    for _ in range(5):
        strangers.open("one")
        clock.now += 1
    with pytest.raises(RateLimitExceeded) as refused:
        strangers.open("one")
    assert refused.value.retry_after_ms == 55_000
    strangers.open("other")
    strangers.known("one")
    strangers.open("one")
    with pytest.raises(RateLimitExceeded):
        strangers.open("one")
    clock.now = 60.0
    strangers.open("one")
    clock.now = 1000.0
    strangers.open("a third")
    assert len(strangers) == 1, "addresses that opened none for a minute are forgotten"


def test_so_many_wait_for_their_tokens_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "MAX_WAITING", 25)
    strangers = Strangers()
    places = [strangers.waiting("one") for _ in range(20)]
    for place in places:
        place.__enter__()
    with pytest.raises(RateLimitExceeded), strangers.waiting("one"):
        pass
    others = [strangers.waiting(f"address {number}") for number in range(5)]
    for place in others:
        place.__enter__()
    with pytest.raises(RateLimitExceeded), strangers.waiting("another"):
        pass
    places[0].__exit__(None, None, None)
    with strangers.waiting("one"):
        pass


# Events without names


def event(**payload: object) -> bytes:
    whole = {"v": 1, "type": "STATE_UPDATE", "version": 7, "payload": payload}
    return json.dumps(whole, separators=(",", ":"), ensure_ascii=False).encode()


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"adjust_reason": 'for "actor":"anna","trace":"1" of the club'},
        {"adjust_reason": "pause \u00bd \\ \u2028 \U0001f600"},
        {"participants": [{"participant_id": "x", "clock": {"actor": "no", "n": 1.50}}]},
    ],
)
def test_an_event_without_its_actor_is_otherwise_byte_for_byte_the_same(more: dict[str, object]) -> None:
    named = event(event="time.adjusted", actor="anna", trace="a" * 32, **more, deadline_ms=1795306700000)
    nameless = event(event="time.adjusted", actor=None, trace=None, **more, deadline_ms=1795306700000)
    assert without_actor(named) == without_actor(nameless) == nameless
    assert without_actor(event(event="time.warning")) == event(event="time.warning")


def test_both_frames_of_an_event_are_made_once() -> None:
    frames = EventFrames(event(actor="anna"))
    assert frames.whole == text_frame(event(actor="anna"))
    assert frames.without_actor == text_frame(event(actor=None))
    assert frames.without_actor is frames.without_actor


@pytest.mark.parametrize(
    ("roles", "is_link", "sees"),
    [
        ({"viewer"}, True, False),
        ({"viewer", "unknown"}, True, False),
        ({"player"}, True, True),
        ({"moderator", "viewer"}, True, True),
        ({"viewer"}, False, True),
    ],
)
def test_who_sees_the_names_in_events(roles: set[str], *, is_link: bool, sees: bool) -> None:
    assert access.sees_actors(replace(ANNA, roles=frozenset(roles), is_link=is_link)) is sees
