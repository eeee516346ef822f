"""Reads the head of an HTTP/1.1 request, and refuses what another reader could understand otherwise.

A proxy in front of this service may take the end of a request, or its host, from a line that this service
would read in another way. Then one request becomes two, of which the proxy has seen one. So nothing is
guessed and nothing is mended here: RFC 9112 says how a line has to look, and what looks different is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn

from synckairos.errors import PayloadTooLarge, ValidationError

MAX_FIELDS = 100
"""How many header fields a request may have."""

_WORD = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_REQUEST_LINE = re.compile(rf"({_WORD}{{1,32}}) (/[!\x22$-~]*|\*) HTTP/(1\.[01])")
_FIELD = re.compile(rf"({_WORD}+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")
_NAMED = re.compile(rf"{_WORD}+:")
_LENGTH = re.compile(r"[0-9]{1,15}", re.ASCII)
_HOST = re.compile(r"(?:[0-9A-Za-z._~-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?", re.ASCII)
_ONCE = frozenset({"authorization", "content-length", "content-type", "host", "origin", "transfer-encoding"})
"""Fields that may stand in a head once. Readers differ on which of two counts."""
_SHOWN = 64


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a request.

    target: the path and the query, as they came
    fields: the header fields in order, their names in lower case
    length: how many bytes the body has; None when it comes in chunks, or when there is none
    chunked: whether the body comes in chunks
    keep_alive: whether the connection may carry a further request
    """

    method: str
    target: str
    version: str
    fields: list[tuple[str, str]]
    length: int | None
    chunked: bool
    keep_alive: bool

    @property
    def has_body(self) -> bool:
        """Whether a body follows, which may be empty."""
        return self.chunked or self.length is not None


def read(head: bytes) -> Head:
    """The head of a request, given without the empty line at its end.

    Raises ValidationError, which names the line that is wrong, and PayloadTooLarge.
    """
    # Bytes above 127 are allowed in values. Those that are no UTF-8 are replaced, because a value may come to
    # stand in an answer, which could not be encoded otherwise. Nowhere else may what replaces them stand.
    first, *lines = head.decode(errors="replace").split("\r\n")
    method, target, version = _request_line(first)
    if len(lines) > MAX_FIELDS:
        raise PayloadTooLarge("the request's head is too large")
    fields = [_field(line) for line in lines]
    given: dict[str, str] = {}
    for name, value in fields:
        if name in given and name in _ONCE:
            _refuse(name, "must be given once")
        given[name] = value
    host = given.get("host")
    if host is None:
        if version == "1.1":
            _refuse("host", "must be given")
    elif not _HOST.fullmatch(host):
        _refuse("host", "must be a name or an address, with or without a port")
    length, chunked = _body(given, version)
    upgrades = given.get("upgrade", "").lower() == "websocket"
    if upgrades and (chunked or length):
        _refuse("upgrade", "must not be websocket in a request with a body")
    options = set()
    if "connection" in given:
        all_given = ",".join(value for name, value in fields if name == "connection")
        options = {option.strip().lower() for option in all_given.split(",")}
    keep_alive = "close" not in options and (version == "1.1" or "keep-alive" in options)
    # After a handshake that failed, a client may go on with frames, which must not be read as requests.
    return Head(method, target, version, fields, length, chunked, keep_alive and not upgrades)


def _request_line(line: str) -> tuple[str, str, str]:
    # A whole address as the target is refused too: it has a host of its own, beside the one in `Host`.
    # Nor may a target have a fragment, which readers cut off, or not.
    match = _REQUEST_LINE.fullmatch(line)
    if match is None or (match[2] == "*" and match[1] != "OPTIONS"):
        _refuse(
            "", "the first line must be a method, a path in visible ASCII characters and HTTP/1.1 or HTTP/1.0"
        )
    return match[1], match[2], match[3]


def _field(line: str) -> tuple[str, str]:
    match = _FIELD.fullmatch(line)
    if match is None:
        name = line.partition(":")[0]
        if _NAMED.match(line):
            _refuse(name, "must not have control characters")
        # A line that begins with a blank would continue the one before it, for readers who still allow that.
        _refuse(name, "must be a field name, a colon right behind it, and a value")
    return match[1].lower(), match[2].rstrip(" \t")


def _body(given: dict[str, str], version: str) -> tuple[int | None, bool]:
    length, coding = given.get("content-length"), given.get("transfer-encoding")
    if coding is not None:
        if length is not None:
            _refuse("content-length", "must not stand beside Transfer-Encoding")
        if version != "1.1" or coding.lower() != "chunked":
            _refuse("transfer-encoding", "must be chunked, in HTTP/1.1")
        return None, True
    if length is None:
        return None, False
    if not _LENGTH.fullmatch(length):
        _refuse("content-length", "must be a whole number")
    return int(length), False


def _refuse(name: str, message: str) -> NoReturn:
    shown = "".join(each if " " <= each <= "~" else "?" for each in name.strip().title()[:_SHOWN])
    sentence = f"{shown} {message}" if shown else message
    raise ValidationError(
        f"the request is not well-formed HTTP: {sentence}", details=[{"field": shown, "message": message}]
    )
