"""One attempt: a POST to an address that was checked, with a bound on everything that comes back.

Redirects are not followed, no proxy of the environment is asked, and no connection is used twice, because
each attempt checks where the name leads. Of an answer only the head is read.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpcore
from standardwebhooks import Webhook as Signer

from synckairos import __version__
from synckairos.errors import error_text
from synckairos.webhooks.addresses import MOST_ADDRESSES, Address, Forbidden, Lookup, Place, judge, place_of

TOTAL_S = 10.0
"""How long an attempt may take: look-up, connection, TLS, request and the head of the answer."""
CONNECT_S = 3.0
"""How long one of several addresses of a name may take to answer, before the next one is tried."""
MOST_SAID = 200
"""How many characters of a problem are kept."""
_AGENT = f"SyncKairos/{__version__}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an attempt.

    status: of the answer; None where there was none in time
    problem: why it failed; None when it was answered with 2xx
    """

    status: int | None
    problem: str | None

    @property
    def is_done(self) -> bool:
        """Whether the receiver has taken it."""
        return self.problem is None

    @property
    def is_gone(self) -> bool:
        """Whether the receiver wants nothing any more."""
        return self.status == 410


class Sender:
    """Sends deliveries.

    development: whether receivers on this machine are allowed
    trust: whose certificates are believed; those of this machine unless given
    """

    def __init__(self, *, development: bool, trust: ssl.SSLContext | None = None) -> None:
        self._development = development
        self._trust = trust or ssl.create_default_context()
        self._lookup = Lookup()

    def close(self) -> None:
        """Wait for no look-up."""
        self._lookup.close()

    async def send(self, url: str, secret: str, delivery_id: str, body: str) -> Outcome:
        """Make one attempt. Whatever goes wrong is an outcome."""
        try:
            async with asyncio.timeout(TOTAL_S):
                status = await self._post(url, secret, delivery_id, body)
        except TimeoutError:
            return Outcome(None, f"no answer within {TOTAL_S:g} s")
        except Forbidden as error:
            return Outcome(None, f"the address {error}")
        except (OSError, ssl.SSLError, httpcore.NetworkError, httpcore.TimeoutException) as error:
            return Outcome(None, _said(error.__cause__ or error))
        except (httpcore.ProtocolError, ValueError) as error:
            return Outcome(None, f"what came back is no answer: {_said(error)}")
        if 200 <= status < 300:
            return Outcome(status, None)
        return Outcome(status, f"answered with {status}")

    async def _post(self, url: str, secret: str, delivery_id: str, body: str) -> int:
        place = place_of(url)
        addresses = await self._lookup.addresses(place)
        judge(place, addresses, development=self._development)
        at = datetime.now(UTC)
        content = body.encode()
        headers = [
            ("Host", place.authority),
            ("User-Agent", _AGENT),
            ("Accept", "*/*"),
            ("Connection", "close"),
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(content))),
            ("webhook-id", delivery_id),
            ("webhook-timestamp", str(int(at.timestamp()))),
            ("webhook-signature", Signer(secret).sign(delivery_id, at, body)),
        ]
        connection = httpcore.AsyncHTTPConnection(
            _origin(place), self._trust, network_backend=_Checked(place, addresses)
        )
        target = httpcore.URL(
            scheme=place.scheme, host=place.host, port=place.port, target=place.target.encode()
        )
        try:
            answer = await connection.handle_async_request(
                httpcore.Request("POST", target, headers=headers, content=content)
            )
            return int(answer.status)
        finally:
            # Not `answer.aclose`, which would wait for the end of what may have none.
            await _closed(connection)


def _origin(place: Place) -> httpcore.Origin:
    return httpcore.Origin(place.scheme.encode(), place.host.encode(), place.port)


async def _closed(connection: httpcore.AsyncHTTPConnection) -> None:
    """Close a connection, also where the other side does not take part."""
    closing = asyncio.ensure_future(connection.aclose())
    done, _ = await asyncio.wait((closing,), timeout=1.0)
    if not done:
        closing.cancel()
    elif not closing.cancelled():
        closing.exception()


class _Checked(httpcore.AnyIOBackend):
    """Connects to the addresses that were checked, whatever the name leads to by now."""

    def __init__(self, place: Place, addresses: list[Address]) -> None:
        self._place = place
        self._addresses = addresses[:MOST_ADDRESSES]

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - as httpcore has it
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection to the first of the addresses that answers."""
        assert (host, port) == (self._place.host, self._place.port)
        *others, last = self._addresses
        for address in others:
            try:
                return await super().connect_tcp(str(address), port, CONNECT_S, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await super().connect_tcp(str(last), port, timeout, local_address, socket_options)


def _said(error: BaseException) -> str:
    return error_text(error)[:MOST_SAID].replace("\0", "?")
