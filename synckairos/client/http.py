"""Calls over HTTP: JSON in and out, errors as exceptions, and repeats where they are safe.

Each call that changes something has an `Idempotency-Key`, so that a repeat does not change it twice. A call
is repeated when the network failed, or when the service could not carry it out at the moment, but not when
the service refused it.
"""

from __future__ import annotations

import asyncio
import inspect
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlsplit

import httpx
import msgspec

from synckairos.client.errors import (
    ConcurrentModification,
    ConnectionLost,
    NetworkTimeout,
    SyncKairosError,
    UnexpectedAnswer,
    from_answer,
)
from synckairos.recover import is_retryable, recover

Token = str | Callable[[], str | Awaitable[str]] | None

TRIES = 4
FIRST_PAUSE_S = 0.3
LONGEST_PAUSE_S = 10.0
"""The longest pause before a repeat. With a longer `Retry-After` the error is raised at once."""
ANSWER_S = 10.0
"""How long one answer may take."""


class _NoToken(NetworkTimeout):
    """The function that gives tokens has not given one. It is not asked again for the same call."""


async def token_of(token: Token) -> str | None:
    """The token to send now. Raises the errors of its function, and NetworkTimeout when it takes too long."""
    if token is None or isinstance(token, str):
        return token
    given = token()
    if not inspect.isawaitable(given):
        return given
    try:
        return await asyncio.wait_for(given, ANSWER_S)
    except TimeoutError as error:
        raise _NoToken("no token in time") from error


def is_loopback(url: str) -> bool:
    """Whether a service is on this machine. Then no proxy is used, because a proxy could not reach it."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call was answered.

    data: the answer's `data`; an answer without it as a whole, and None for one without a body
    change_version: the version that the call made, where the answer is a state, which may be newer
    replayed: whether the call is a repeat, which has changed nothing
    """

    data: Any
    change_version: int | None = None
    replayed: bool = False


class Http:
    """One service, by its URL. `token` is sent as `Authorization: Bearer`; a function may return it."""

    def __init__(self, url: str, token: Token = None) -> None:
        self._token = token
        self._client = httpx.AsyncClient(
            base_url=url.rstrip("/") + "/",
            timeout=ANSWER_S,
            trust_env=not is_loopback(url),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        params: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        if_match: str | None = None,
        tries: int = TRIES,
    ) -> Any:
        """`call`, of which only the answer's `data` is returned."""
        answer = await self.call(
            method,
            path,
            body,
            params=params,
            idempotency_key=idempotency_key,
            if_match=if_match,
            tries=tries,
        )
        return answer.data

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        params: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        if_match: str | None = None,
        tries: int = TRIES,
    ) -> Answer:
        """Make a call, and repeat it if that may help.

        idempotency_key: without one, a call that changes something gets a new key
        if_match: an ETag, at which the session has to be
        tries: how often the call is made at most
        """
        headers = {}
        if method not in ("GET", "HEAD"):
            headers["Idempotency-Key"] = idempotency_key or str(uuid.uuid4())
        if if_match is not None:
            headers["If-Match"] = if_match
        content = None
        if body is not None:
            content = msgspec.json.encode(body)
            headers["Content-Type"] = "application/json"
        given = {name: value for name, value in (params or {}).items() if value is not None}
        repeat = recover(
            attempts=tries,
            first_s=FIRST_PAUSE_S,
            again=may_try_again,
            asked_for_s=LONGEST_PAUSE_S,
            sleep=asyncio.sleep,
        )
        found: Answer = await repeat(partial(self._try, method, path, content, params=given, headers=headers))
        return found

    async def _try(
        self,
        method: str,
        path: str,
        content: bytes | None,
        *,
        params: Mapping[str, Any],
        headers: dict[str, str],
    ) -> Answer:
        """Make the call once. Returns the answer, or raises the error."""
        token = await token_of(self._token)
        if token is not None:
            headers = {**headers, "Authorization": f"Bearer {token}"}
        try:
            answer = await self._client.request(
                method,
                path.lstrip("/"),
                content=content,
                params=params,
                headers=headers,
            )
        except httpx.TimeoutException as error:
            raise NetworkTimeout(f"no answer in time: {error!r}") from error
        except httpx.HTTPError as error:
            raise ConnectionLost(f"the service cannot be reached: {error!r}") from error
        return _read(answer)


def may_try_again(error: Exception) -> bool:
    """Whether the same call may succeed a moment later. A call that expects an old version cannot."""
    return is_retryable(error) and not isinstance(error, ConcurrentModification | _NoToken)


def retry_after_ms(value: str | None) -> int | None:
    """A `Retry-After` in seconds as ms; None when there is none, or when it is a date."""
    return 1000 * int(value) if value is not None and value.isdecimal() and len(value) < 16 else None


def _read(answer: httpx.Response) -> Answer:
    try:
        body = msgspec.json.decode(answer.content) if answer.content else None
    except msgspec.DecodeError:
        body = ...
    if answer.is_success:
        if body is ...:
            raise UnexpectedAnswer("the answer is not JSON: this is no SyncKairos service")
        version = answer.headers.get("change-version", "")
        return Answer(
            body["data"] if isinstance(body, dict) and "data" in body else body,
            int(version) if version.isdecimal() and len(version) < 16 else None,
            answer.headers.get("idempotent-replayed") == "true",
        )
    raise failure(body, answer.status_code, answer.headers.get("retry-after"))


def failure(body: Any, status: int, retry_after: str | None) -> SyncKairosError:
    """The error of an answer that is not a success. body: decoded JSON, or anything else."""
    found = body.get("error") if isinstance(body, dict) else None
    return from_answer(found if isinstance(found, dict) else None, status, retry_after_ms(retry_after))


def part(value: str) -> str:
    """A value as one part of a path."""
    return quote(value, safe="")
