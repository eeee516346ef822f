"""How many connections there may be and how long each may take, with clients that are made up."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from ipaddress import ip_network

import pytest

from synckairos.api.transport import connections
from synckairos.api.transport.connections import ALLOWED_S, Connections, Phase, Room, is_overdue
from synckairos.config import Settings
from tests.support.live import eventually


@dataclass(eq=False)
class Client:
    """A connection that notes its end."""

    phase: Phase = Phase.HEAD
    since: float = 0.0
    received: int = 0
    unread: int = 0
    ended: list[str] = field(default_factory=list)

    def end(self) -> None:
        self.ended.append("told")

    def cut(self) -> None:
        self.ended.append("cut")


@pytest.mark.parametrize("phase", ALLOWED_S)
def test_each_part_of_a_request_has_its_deadline(phase: Phase) -> None:
    limit = ALLOWED_S[phase]
    client = Client(phase, since=100.0, received=10**9)
    assert not is_overdue(client, 100.0 + limit - 0.001)
    assert is_overdue(client, 100.0 + limit)


def test_heads_and_bodies_have_ten_seconds() -> None:
    assert (ALLOWED_S[Phase.HEAD], ALLOWED_S[Phase.BODY]) == (10.0, 10.0)
    assert ALLOWED_S[Phase.DROPPED] == 5.0
    assert not is_overdue(Client(Phase.UPGRADED), 10**6)


@pytest.mark.parametrize(
    ("took", "received", "late"),
    [(5.0, 0, False), (5.001, 0, True), (6.0, 6143, True), (6.0, 6144, False), (9.999, 10_239, False)],
)
def test_a_body_has_a_least_rate(took: float, received: int, *, late: bool) -> None:
    assert is_overdue(Client(Phase.BODY, since=7.0, received=received), 7.0 + took) is late


def test_an_answer_that_nobody_reads_does_not_stay() -> None:
    idle = Client(Phase.IDLE, unread=1)
    assert not is_overdue(idle, connections.UNREAD_S)
    assert is_overdue(idle, connections.UNREAD_S + 0.001)


async def opened(all_: Connections, *clients: Client, peer: str = "203.0.113.7") -> list[bool]:
    return [all_.open(client, peer) for client in clients]


async def test_answers_that_nobody_reads_have_a_bound_for_all_together() -> None:
    all_ = Connections(Settings())
    now = asyncio.get_running_loop().time()
    sizes = (300 * 2**20, 200 * 2**20, 400 * 2**20, 10)
    clients = [Client(Phase.HANDLING, since=now, unread=size) for size in sizes]
    await opened(all_, *clients)
    await eventually(lambda: any(each.ended for each in clients))
    assert [each.ended for each in clients] == [[], [], ["cut"], []]
    for each in clients:
        all_.closed(each)


async def test_an_address_gets_a_new_connection_in_place_of_its_slowest() -> None:
    all_ = Connections(Settings(max_connections_per_address=3))
    idle, sending, handled, body = Client(Phase.IDLE), Client(), Client(Phase.HANDLING), Client(Phase.BODY)
    assert await opened(all_, idle, sending, handled) == [True] * 3
    assert await opened(all_, Client(), peer="203.0.113.8") == [True]
    assert await opened(all_, body) == [True]
    assert (idle.ended, sending.ended, handled.ended) == ([], ["cut"], [])
    assert await opened(all_, Client(Phase.HANDLING)) == [True]
    assert (idle.ended, body.ended) == ([], ["cut"])
    assert await opened(all_, Client(Phase.HANDLING)) == [True]
    assert idle.ended == ["cut"], "who is idle gives way when nobody is sending"
    refused = Client()
    assert await opened(all_, refused) == [False], "what is being answered gives way to nobody"
    all_.closed(handled)
    assert await opened(all_, refused) == [True]


async def test_the_networks_of_one_client_are_one_address_and_those_of_a_proxy_are_many() -> None:
    all_ = Connections(Settings(max_connections_per_address=1, trusted_proxies=(ip_network("10.0.0.0/8"),)))
    first = Client()
    await opened(all_, first, peer="2001:db8:1:2::1")
    await opened(all_, Client(), peer="2001:db8:1:2:ffff::9")
    assert first.ended == ["cut"]
    behind = [Client() for _ in range(20)]
    await opened(all_, *behind, peer="::ffff:10.0.0.1")
    assert not any(client.ended for client in behind)


async def test_there_are_so_many_in_all_and_a_websocket_is_one_of_them() -> None:
    all_ = Connections(Settings(max_connections=2, max_websockets=1))
    first, second, third = Client(), Client(), Client()
    for number, client in enumerate((first, second, third)):
        assert await opened(all_, client, peer=f"203.0.113.{number}") == [True]
    all_.upgraded(first)
    first.phase = Phase.UPGRADED
    assert len(all_) == 3
    assert await opened(all_, Client(), peer="203.0.113.9") == [True]
    assert (first.ended, second.ended) == ([], ["cut"])
    all_.closed(first)
    all_.closed(second)
    assert len(all_) == 2


async def test_a_large_body_gives_way_once_it_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "SETTLED_S", 0.05)
    room = Room(100)
    slow, fast, small = Client(), Client(), Client()
    await room.take(slow, 80)
    await room.take(small, 20)
    waiting = asyncio.ensure_future(room.take(fast, 60))
    await asyncio.sleep(0)
    assert not waiting.done()
    assert slow.ended == []
    await asyncio.wait_for(waiting, 10)
    assert (slow.ended, small.ended) == (["told"], [])
    room.give_back(slow)
    for client in (small, fast):
        room.give_back(client)
    await asyncio.wait_for(room.take(Client(), 100), 10)


async def test_whoever_stops_waiting_for_room_takes_none() -> None:
    room = Room(100)
    holder, waits = Client(), Client()
    await room.take(holder, 100)
    waiting = asyncio.ensure_future(room.take(waits, 50))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    room.give_back(waits)
    room.give_back(holder)
    await asyncio.wait_for(room.take(Client(), 100), 10)
