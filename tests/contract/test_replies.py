"""Replies that this service does not know are its own failure, and nothing of them gets out."""

from __future__ import annotations

from typing import Any, cast

import pytest
import sanic.exceptions

from synckairos.api import replies
from synckairos.api.http import translated
from synckairos.api.limits import bucket
from synckairos.core.calls import Sessions
from synckairos.core.connection import Connection
from synckairos.core.model import Change
from synckairos.errors import InternalError, StorageUnavailable

SESSION = "00000000-0000-4000-8000-0000000000ab"
EVENT = (
    b'{"v":1,"type":"STATE_UPDATE","session_id":"%b","version":47,"epoch":"1795","server_time_ms":12,'
    b'"payload":{"event":"cycle.switched","adjust_reason":"a } b"}}' % SESSION.encode()
)


class Library:
    """A connection whose every call is answered with the same."""

    def __init__(self, reply: Any) -> None:
        self.reply = reply
        self.calls: list[tuple[str, tuple[Any, ...]]] = []

    async def fcall(self, function: str, keys: Any, args: Any = (), **_: Any) -> Any:
        self.calls.append((function, tuple(args)))
        return self.reply


def sessions_over(reply: Any) -> tuple[Sessions, Library]:
    library = Library(reply)
    return Sessions(cast(Connection, library), 60), library


@pytest.mark.parametrize(
    "reply", [None, 5, b"", b"{}", b"[]", b"secret", [b"secret"], b'{"version":"secret"}']
)
async def test_unknown_replies(reply: Any) -> None:
    sessions, _ = sessions_over(reply)
    for call in (
        sessions.get(SESSION),
        sessions.switch(SESSION),
        sessions.create(SESSION, b"{}"),
        sessions.throttle("b", 1, 1, 1),
        sessions.info(),
        sessions.delete(SESSION),
    ):
        with pytest.raises(InternalError) as caught:
            await call
        assert "secret" not in str(caught.value.body())


async def test_a_call_that_has_no_request_id_gets_one_of_its_own() -> None:
    sessions, library = sessions_over(EVENT)
    for _ in range(3):
        await sessions.pause(SESSION)
    ids = [arguments[arguments.index("REQUEST") + 1] for _, arguments in library.calls]
    assert len(set(ids)) == 3


async def test_no_none_and_no_boolean_reaches_redis() -> None:
    sessions, library = sessions_over(EVENT)
    await sessions.switch(SESSION)
    await sessions.adjust(SESSION, add_ms=0)
    await sessions.leave(SESSION, "p")
    for _, arguments in library.calls:
        assert {type(argument) for argument in arguments} <= {str, bytes, int}
    assert "ADD" in library.calls[1][1]


def test_a_change_is_answered_with_the_event_s_own_bytes() -> None:
    reply = replies.change(Change(EVENT))
    assert reply.body == (
        b'{"data":{"event":"cycle.switched","adjust_reason":"a } b",'
        b'"session_id":"%b","version":47,"epoch":"1795","server_time_ms":12}}' % SESSION.encode()
    )


@pytest.mark.parametrize(("milliseconds", "seconds"), [(0, 0), (1, 1), (1000, 1), (1001, 2), (59_001, 60)])
def test_seconds_are_rounded_up(milliseconds: int, seconds: int) -> None:
    assert replies.seconds(milliseconds) == seconds


def test_an_unavailable_storage_says_when_to_come_again() -> None:
    assert replies.failure(StorageUnavailable()).headers["retry-after"] == "1"
    assert replies.failure(StorageUnavailable(retry_after_ms=2500)).headers["retry-after"] == "3"


@pytest.mark.parametrize(
    "who", ["127.0.0.1", "fe80::1%eth0", "a b", "{tag}", "é", "x" * 5000, "", "\ud800", "\n"]
)
def test_every_caller_makes_a_name_that_the_library_takes(who: str) -> None:
    name = bucket("read", who)
    assert 1 <= len(name) <= 200
    assert name.isascii()
    assert name.isprintable()
    assert "{" not in name
    assert "}" not in name


@pytest.mark.parametrize(
    "exception",
    [ValueError("secret"), KeyError("secret"), OSError("secret"), sanic.exceptions.ServerError("secret")],
)
def test_the_text_of_an_exception_stays_inside(exception: Exception) -> None:
    error = translated(exception)
    assert type(error) is InternalError
    assert "secret" not in str(error.body())


@pytest.mark.parametrize(
    "exception", [sanic.exceptions.RequestTimeout("slow"), sanic.exceptions.ServiceUnavailable("slow")]
)
def test_what_took_too_long_may_be_tried_again(exception: Exception) -> None:
    error = translated(exception)
    assert (error.code, error.status, error.retryable) == ("NETWORK_TIMEOUT", 504, True)
