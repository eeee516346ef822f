"""A wire for changes: what callers get when their changes are confirmed, refused, not confirmed, or lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from synckairos.core.wire import NOT_REPLICATED, Command, ConfirmedWire, Failure

LOST = Failure("the connection was lost", lost=True)
REFUSED = Failure("INVALID_SESSION_STATE no")


class Answering:
    """A wire that answers each command by what `reply` says of it."""

    broken = full = False

    def __init__(self, reply: Callable[[Command], Any]) -> None:
        self.reply = reply
        self.sent: list[Command] = []

    def send(self, command: Command, *, asking: bool = False) -> asyncio.Future[Any]:
        del asking
        self.sent.append(command)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.set_result, self.reply(command))
        return future

    async def room(self) -> None:
        """There is room."""

    def retire(self) -> None:
        """Nothing to close."""

    def fail(self, text: str) -> None:
        """Nothing to close."""


def change(name: str) -> Command:
    return ("FCALL", name, 4, "sk:{aa}:1", "sk:{aa}:1:log", "sk:{aa}:alarms", "sk:{aa}:outbox")


async def outcome(
    replies: dict[str, Any], *names: str, within_s: float = 0.0
) -> tuple[list[Any], list[Command]]:
    """What the callers of these functions get, and all that was sent."""
    inner = Answering(lambda command: replies.get(str(command[1]), replies.get(str(command[0]))))
    wire = ConfirmedWire(
        inner,  # type: ignore[arg-type]  # it has all that is used
        lambda: ("WAIT", 2, 100),
        lambda reply: not isinstance(reply, Failure) and reply >= 2,
        lambda: within_s,
        lambda _: None,
    )
    return await asyncio.gather(*(wire.send(change(name)) for name in names)), inner.sent


async def test_all_changes_of_a_batch_share_one_wait() -> None:
    got, sent = await outcome({"a": b"1", "b": b"2", "c": REFUSED, "SPUBLISH": 0, "WAIT": 2}, "a", "b", "c")
    assert got == [b"1", b"2", REFUSED]
    assert [command[0] for command in sent] == ["FCALL", "FCALL", "FCALL", "SPUBLISH", "WAIT"]


async def test_what_is_not_confirmed_is_said_to_be_so_and_a_refusal_stays_one() -> None:
    got, _ = await outcome({"a": b"1", "c": REFUSED, "SPUBLISH": 0, "WAIT": 1}, "a", "c")
    assert got == [NOT_REPLICATED, REFUSED]


async def test_a_confirmation_that_is_lost_is_a_lost_call() -> None:
    """So it is repeated, at the primary that is named by then."""
    got, _ = await outcome({"a": b"1", "SPUBLISH": 0, "WAIT": LOST}, "a")
    assert got == [LOST]


async def test_a_publication_that_is_redirected_matters_to_repeats_only() -> None:
    moved = Failure("MOVED 1 127.0.0.1:1")
    replayed = b'{"replayed":true}'
    replies: dict[str, Any] = {"a": b"1", "b": replayed, "c": [replayed, 0, 10, 9, 0, 100], "d": 1}
    got, _ = await outcome(replies | {"SPUBLISH": moved, "WAIT": 2}, "a", "b", "c", "d")
    assert got == [b"1", NOT_REPLICATED, NOT_REPLICATED, 1]


async def test_short_waits_follow_one_another_until_the_time_is_over() -> None:
    _, sent = await outcome({"a": b"1", "SPUBLISH": 0, "WAIT": 0}, "a", within_s=0.05)
    assert [command[0] for command in sent].count("WAIT") > 1
