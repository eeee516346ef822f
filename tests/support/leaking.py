"""Tests whose names say whether they leave keys behind. `tests/integration/test_leaks.py` runs them."""

from __future__ import annotations

import fakeredis
import pytest
import redis

from tests.model.driver import CLOCK_KEY, Driver
from tests.support import servers
from tests.support.servers import Server


@pytest.fixture
def driver() -> Driver:
    return Driver(fakeredis.FakeRedis(version=(7, 0)))


def test_leaves_one(server: Server) -> None:
    with server.sync_client() as client:
        client.set("sk:{ab}:stays", 1)


def test_leaves_one_in_another_database(server: Server) -> None:
    with redis.Redis(port=server.port, db=3) as client:
        client.set("sk:{ab}:stays", 1)


def test_leaves_one_on_a_server_of_its_own() -> None:
    with servers.start("valkey") as own, own.sync_client() as client:
        client.set("sk:{ab}:stays", 1)


def test_leaves_one_on_fakeredis(driver: Driver) -> None:
    driver.run("SET", "sk:{ab}:stays", 1)


def test_clean_what_ends_and_what_may_stay(server: Server, driver: Driver) -> None:
    driver.at(1)
    with server.sync_client() as client:
        client.set("sk:{ab}:ends", 1, px=60_000)
        client.set(CLOCK_KEY, 1)
        client.zadd("sk:{ab}:alarms", {"a": 1})
        client.xadd("sk:{ab}:outbox", {"e": 1})
        client.sadd("rq:queues", "audit")


@pytest.mark.own_keys("mine:.")
def test_clean_its_own(server: Server) -> None:
    with server.sync_client() as client:
        client.mset({"mine:a": 1, "mine:b": 2})


@pytest.mark.own_keys("mine:.")
def test_leaves_one_next_to_its_own(server: Server) -> None:
    with server.sync_client() as client:
        client.mset({"mine:a": 1, "sk:{ab}:stays": 2})
