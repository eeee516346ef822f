"""One attempt, to receivers of every kind: what counts as taken, and what hostile ones can do."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import WebhookVerificationError

from synckairos.webhooks import model, sending
from synckairos.webhooks.sending import Outcome, Sender
from tests.support.certificates import Authority
from tests.support.receivers import raw, receiver
from tests.webhooks.test_addresses import names_lead_to

SECRET = model.new_secret()
BODY = json.dumps([{"session_id": "x", "text": "\u00e9\u2028\U0001f600"}], ensure_ascii=False)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture
async def sender() -> AsyncIterator[Sender]:
    """One with all the time that an attempt has."""
    made = Sender(development=True)
    yield made
    made.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch, sender: Sender) -> Sender:
    """One that gives up soon, for receivers that never answer."""
    monkeypatch.setattr(sending, "TOTAL_S", 0.6)
    return sender


def posted(connection: socket.socket) -> bytes:
    """A request, read to its end."""
    got = b""
    while b"\r\n\r\n" not in got:
        got += connection.recv(65536)
    head, _, body = got.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


async def send(sender: Sender, url: str) -> Outcome:
    return await sender.send(url, SECRET, "d1", BODY)


async def test_a_request_is_signed_and_its_body_is_what_was_given(sender: Sender) -> None:
    with receiver() as got:
        assert await send(sender, f"{got.url}?a=b") == Outcome(204, None)
    (request,) = got.got
    assert request.body.decode() == BODY
    assert request.path == "/hook?a=b"
    assert request.verified(SECRET) == json.loads(BODY)
    assert request.headers["webhook-id"] == "d1"
    assert abs(int(request.headers["webhook-timestamp"]) - time.time()) < 5
    assert request.headers["content-type"] == "application/json"
    with pytest.raises(WebhookVerificationError):
        request.verified(model.new_secret())


@pytest.mark.parametrize("status", [200, 201, 204, 299])
async def test_any_2xx_is_taken(sender: Sender, status: int) -> None:
    with receiver(lambda _: status) as got:
        assert (await send(sender, got.url)).is_done


@pytest.mark.parametrize("status", [400, 404, 410, 429, 500, 503])
async def test_nothing_else_is(sender: Sender, status: int) -> None:
    with receiver(lambda _: status) as got:
        assert await send(sender, got.url) == Outcome(status, f"answered with {status}")


async def test_a_redirect_is_not_followed(sender: Sender) -> None:
    with receiver() as private, receiver(lambda _: 307) as got:
        got.headers["location"] = private.url
        outcome = await send(sender, got.url)
        assert (outcome.status, outcome.is_done) == (307, False)
        assert private.got == []


def drip(connection: socket.socket) -> None:
    posted(connection)
    for byte in b"HTTP/1.1 200 OK\r\nX: " + b"x" * 10_000:
        connection.sendall(bytes([byte]))
        time.sleep(0.05)


def endless_head(connection: socket.socket) -> None:
    posted(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.sendall(b"X-More: " + b"x" * 1000 + b"\r\n")


def endless_line(connection: socket.socket) -> None:
    posted(connection)
    connection.sendall(b"HTTP/1.1 200 ")
    while True:
        connection.sendall(b"O" * 10_000)


def go_on_for_ever(connection: socket.socket) -> None:
    posted(connection)
    while True:
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)


def silence(connection: socket.socket) -> None:
    posted(connection)
    connection.recv(1)


def does_not_read(connection: socket.socket) -> None:
    time.sleep(2)


def hang_up(connection: socket.socket) -> None:
    posted(connection)


def no_http(connection: socket.socket) -> None:
    posted(connection)
    connection.sendall(b"SSH-2.0-OpenSSH_9.9\r\n\r\n")


@pytest.mark.parametrize(
    "talk", [drip, endless_head, endless_line, go_on_for_ever, silence, does_not_read, hang_up, no_http]
)
async def test_a_hostile_receiver_fails_within_the_time_of_an_attempt(
    impatient: Sender, talk: Callable[[socket.socket], None]
) -> None:
    with raw(talk) as url:
        async with asyncio.timeout(60):
            outcome = await send(impatient, url)
    assert (outcome.status, outcome.is_done) == (None, False)
    assert outcome.problem


async def test_of_an_endless_answer_only_the_head_counts(sender: Sender) -> None:
    sent = 0

    def talk(connection: socket.socket) -> None:
        nonlocal sent
        posted(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        with suppress(OSError):
            while sent < 1_000_000_000:
                sent += connection.send(b"x" * 65536)

    with raw(talk) as url:
        assert (await send(sender, url)).is_done
        await asyncio.sleep(0.2)
    assert sent < 1_000_000_000


async def test_a_receiver_that_is_away(sender: Sender) -> None:
    with raw(hang_up) as url:
        pass
    outcome = await send(sender, url)
    assert (outcome.status, outcome.is_done) == (None, False)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ours", None)


def server_side(authority: Authority) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(authority.certificate, authority.key)
    return made


async def test_tls_is_that_of_the_name_and_of_nobody_else(authority: Authority) -> None:
    trusting = Sender(development=True, trust=ssl.create_default_context(cafile=authority.ca))
    others = Sender(development=True)
    try:
        with receiver(tls=server_side(authority)) as got:
            by_name = got.url.replace("127.0.0.1", "localhost")
            assert await send(trusting, by_name) == Outcome(204, None)
            assert got.got[0].headers["host"].startswith("localhost:")
            # The address is not in the certificate, and others do not know who signed it.
            for sender, url in ((trusting, got.url), (others, by_name)):
                outcome = await send(sender, url)
                assert (outcome.status, outcome.is_done) == (None, False)
                assert "certificate" in (outcome.problem or "").lower()
            assert len(got.got) == 1
    finally:
        trusting.close()
        others.close()


async def test_the_connection_goes_to_the_address_that_was_judged(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that leads elsewhere when it is looked up once more leads nowhere else: it is looked up once."""
    looked_up = []
    real = socket.getaddrinfo

    def rebinding(host: Any, port: Any, *arguments: Any, **options: Any) -> Any:
        if host != "rebinding.example":
            return real(host, port, *arguments, **options)
        looked_up.append(host)
        first = "127.0.0.1" if len(looked_up) == 1 else "169.254.169.254"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (first, port))]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    with receiver() as got:
        url = got.url.replace("127.0.0.1", "rebinding.example")
        assert (await send(sender, url)).is_done
        assert len(looked_up) == 1
        assert got.got[0].headers["host"].startswith("rebinding.example:")
        # The next attempt looks it up again, and goes nowhere.
        outcome = await send(sender, url)
        assert (outcome.status, len(got.got)) == (None, 1)
        assert "address" in (outcome.problem or "")


async def test_the_other_addresses_of_a_name_are_tried(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    with receiver() as got:
        names_lead_to(monkeypatch, "127.0.0.2", "127.0.0.1")
        assert (await send(sender, got.url.replace("127.0.0.1", "two.example"))).is_done


async def test_in_production_nothing_on_this_machine_is_asked() -> None:
    sender = Sender(development=False)
    try:
        with receiver() as got:
            for url in (
                got.url,
                got.url.replace("http:", "https:"),
                got.url.replace("127.0.0.1", "[::ffff:7f00:1]"),
            ):
                outcome = await send(sender, url)
                assert outcome.status is None
                assert "the address" in (outcome.problem or "")
            assert got.got == []
    finally:
        sender.close()


async def test_no_proxy_of_the_environment_is_asked(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver() as proxy, receiver() as got:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        assert (await send(sender, got.url)).is_done
        assert proxy.got == []
