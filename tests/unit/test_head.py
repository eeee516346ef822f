"""Heads of requests that another reader could understand otherwise are refused, and the line is named."""

from __future__ import annotations

import pytest

from synckairos.api.transport import head as heads
from synckairos.errors import PayloadTooLarge, ValidationError

START = b"POST /v1/sessions HTTP/1.1\r\nHost: a.example:8080"


def test_what_a_head_says() -> None:
    head = heads.read(START + b"\r\nContent-Length: 12 \r\nX-Note:\t\xc3\xa4 b: c\t")
    assert (head.method, head.target, head.version) == ("POST", "/v1/sessions", "1.1")
    assert head.fields[1:] == [("content-length", "12"), ("x-note", "ä b: c")]
    assert (head.length, head.chunked, head.has_body, head.keep_alive) == (12, False, True, True)
    assert (
        heads.read(START + b"\r\nX-Note: \xff\xed\xa0\x80").fields[-1][1].encode().decode().strip("\ufffd")
        == ""
    )
    assert heads.read(START + b"\r\nTransfer-Encoding: Chunked").chunked
    assert not heads.read(START).has_body
    assert heads.read(b"GET /x?a=b HTTP/1.0").target == "/x?a=b"
    assert heads.read(b"OPTIONS * HTTP/1.1\r\nHost: [::1]:80").target == "*"


@pytest.mark.parametrize(
    ("version", "connection", "kept"),
    [
        ("1.1", b"", True),
        ("1.1", b"\r\nConnection: keep-alive, Foo", True),
        ("1.1", b"\r\nConnection: foo, Close", False),
        ("1.1", b"\r\nConnection: foo\r\nConnection: close", False),
        ("1.0", b"", False),
        ("1.0", b"\r\nConnection: Keep-Alive", True),
        ("1.1", b"\r\nConnection: Upgrade\r\nUpgrade: websocket", False),
    ],
)
def test_whether_a_connection_carries_a_further_request(
    version: str, connection: bytes, *, kept: bool
) -> None:
    head = f"GET / HTTP/{version}\r\nHost: a".encode() + connection
    assert heads.read(head).keep_alive is kept


SMUGGLED = {
    "a blank before the colon": (b"Content-Length : 5", "Content-Length"),
    "a tab before the colon": (b"Transfer-Encoding\t: chunked", "Transfer-Encoding"),
    "a line that continues the one before": (b"X-A: b\r\n chunked", "Chunked"),
    "a bare line feed": (b"X-A: b\nContent-Length: 5", "X-A"),
    "a bare carriage return": (b"X-A: b\rContent-Length: 5", "X-A"),
    "a NUL in a value": (b"X-A: b\x00c", "X-A"),
    "a NUL in a name": (b"X-A\x00: b", "X-A?"),
    "a NUL in an authorization": (b"Authorization: Bearer a\x00b", "Authorization"),
    "an escape in a value": (b"X-A: \x1b[31m", "X-A"),
    "no name": (b": b", ""),
    "no colon": (b"X-A", "X-A"),
    "a name that is no word": (b"X(A): b", "X(A)"),
    "a name that is no UTF-8": (b"Content-\xe9: 5", "Content-?"),
    "a name beyond ASCII": (b"Content-L\xc3\xa9ngth: 5", "Content-L?ngth"),
    "two lengths": (b"Content-Length: 5\r\nContent-Length: 6", "Content-Length"),
    "the same length twice": (b"Content-Length: 5\r\ncontent-length: 5", "Content-Length"),
    "a list of lengths": (b"Content-Length: 5, 5", "Content-Length"),
    "a length with a sign": (b"Content-Length: +5", "Content-Length"),
    "a length in hex": (b"Content-Length: 0x5", "Content-Length"),
    "a length with an underscore": (b"Content-Length: 1_0", "Content-Length"),
    "a length in other digits": (b"Content-Length: \xd9\xa5", "Content-Length"),
    "an endless length": (b"Content-Length: " + b"9" * 16, "Content-Length"),
    "an empty length": (b"Content-Length:", "Content-Length"),
    "a length beside chunks": (b"Content-Length: 5\r\nTransfer-Encoding: chunked", "Content-Length"),
    "chunks twice": (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "Transfer-Encoding"),
    "chunks of something": (b"Transfer-Encoding: gzip, chunked", "Transfer-Encoding"),
    "chunks that are none": (b"Transfer-Encoding: chunked, identity", "Transfer-Encoding"),
    "chunks with a parameter": (b"Transfer-Encoding: chunked;q=1", "Transfer-Encoding"),
    "chunks with a control character": (b"Transfer-Encoding: \x0bchunked", "Transfer-Encoding"),
    "two hosts": (b"Host: b.example", "Host"),
    "two bearers": (b"Authorization: Bearer a\r\nAuthorization: Bearer b", "Authorization"),
    "two origins": (b"Origin: null\r\nOrigin: http://a.example", "Origin"),
    "a handshake with a body": (b"Upgrade: websocket\r\nContent-Length: 5", "Upgrade"),
    "a handshake with chunks": (b"Upgrade: WebSocket\r\nTransfer-Encoding: chunked", "Upgrade"),
}


@pytest.mark.parametrize(("lines", "field"), SMUGGLED.values(), ids=SMUGGLED)
def test_no_second_request_hides_behind(lines: bytes, field: str) -> None:
    with pytest.raises(ValidationError) as refused:
        heads.read(START + b"\r\n" + lines)
    assert [detail["field"] for detail in refused.value.details] == [field]
    assert field in refused.value.message


@pytest.mark.parametrize(
    "host",
    [
        "",
        " ",
        "a b",
        "a,b",
        "user@a",
        "a:",
        "a:b",
        "a:123456",
        "a/b",
        "[::1",
        "::1",
        "[::1]x",
        "a\\b",
        "\xe4",
        "#",
        "a?",
    ],
)
def test_no_odd_host_passes(host: str) -> None:
    with pytest.raises(ValidationError) as refused:
        heads.read(f"GET / HTTP/1.1\r\nHost: {host}".encode())
    assert [detail["field"] for detail in refused.value.details] == ["Host"]


def test_no_missing_host_passes() -> None:
    with pytest.raises(ValidationError, match="Host must be given"):
        heads.read(b"GET / HTTP/1.1\r\nX-Host: a")


@pytest.mark.parametrize(
    "line",
    [
        b"GET / HTTP/2.0",
        b"GET / HTTP/1.2",
        b"GET / http/1.1",
        b"GET /",
        b"GET  / HTTP/1.1",
        b"GET / HTTP/1.1 ",
        b"GET\t/ HTTP/1.1",
        b" GET / HTTP/1.1",
        b"G(T / HTTP/1.1",
        b"GET http://b.example/ HTTP/1.1",
        b"GET a.example HTTP/1.1",
        b"GET /\x00 HTTP/1.1",
        b"GET /\xc3\xa4 HTTP/1.1",
        b"GET /\xff HTTP/1.1",
        b"GET /health#/debug HTTP/1.1",
        b"GET * HTTP/1.1",
        b"PRI * HTTP/2.0",
        b"",
    ],
)
def test_no_odd_request_line_passes(line: bytes) -> None:
    with pytest.raises(ValidationError, match="not well-formed HTTP"):
        heads.read(line + b"\r\nHost: a")


def test_no_head_has_fields_without_end() -> None:
    heads.read(START + b"\r\nA: b" * (heads.MAX_FIELDS - 1))
    with pytest.raises(PayloadTooLarge):
        heads.read(START + b"\r\nA: b" * heads.MAX_FIELDS)
