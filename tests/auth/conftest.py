"""A service that asks for tokens, in the test's process, and tokens for it."""

from __future__ import annotations

import base64
import hmac
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import time
from typing import Any

import httpx
import pytest

from tests.support import canaries
from tests.support.live import Service, service, settings
from tests.support.records import Records
from tests.support.servers import Server

SECRET = "a secret for tests, which is long enough"
TENANT = "club"
canaries.hide(SECRET)


def token(*roles: str, secret: str = SECRET, **claims: Any) -> str:
    """A JWT that is good for a minute. Claims that are None are left out.

    It is made by hand, because a library refuses to make some that a test needs.
    """
    given = {"sub": "ann", "tenant": TENANT, "roles": list(roles or ("admin",)), "exp": time() + 60}
    payload = {name: value for name, value in (given | claims).items() if value is not None}
    signed = ".".join(encoded(json.dumps(part).encode()) for part in ({"alg": "HS256"}, payload))
    return f"{signed}.{signature(signed, secret)}"


def encoded(part: bytes) -> str:
    """A part of a JWT."""
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def signature(signed: str, secret: str = SECRET, kind: str = "sha256") -> str:
    """The third part of a JWT, for the first two."""
    return encoded(hmac.new(secret.encode(), signed.encode(), kind).digest())


def bearing(bearer: str) -> dict[str, str]:
    """The headers of whoever has a token."""
    return {"authorization": f"Bearer {bearer}"}


class Api(httpx.AsyncClient):
    """A client of a service. It bears no token unless it is told to."""

    def __init__(self, running: Service) -> None:
        super().__init__(base_url=f"http://127.0.0.1:{running.port}", timeout=20, verify=False)
        self.running = running

    async def made(self, bearer: str, **fields: Any) -> dict[str, Any]:
        """A new session's state."""
        people = [{"participant_id": str(uuid.uuid4()), "total_time_ms": 60_000} for _ in range(2)]
        config = {"sync_mode": "per_participant", "participants": people, **fields}
        answer = await self.post("/v1/sessions", json=config, headers=bearing(bearer))
        assert answer.status_code == 201, answer.text
        state: dict[str, Any] = answer.json()["data"]
        return state

    async def status(self, path: str, bearer: str, method: str = "GET", **options: Any) -> int:
        """The status with which a request is answered."""
        return (await self.request(method, path, headers=bearing(bearer), **options)).status_code


@asynccontextmanager
async def asking(redis_url: str, **environ: str) -> AsyncIterator[Api]:
    """A client of a service that asks for tokens. Without PostgreSQL, admins are on record in memory."""
    chosen = {"AUTH_MODE": "jwt", "JWT_SECRET": SECRET, **environ}
    async with service(settings(redis_url, **chosen)) as running, Api(running) as api:
        running.context.access_log = running.context.access_log or Records()
        yield api


@pytest.fixture
async def api(redis: Server) -> AsyncIterator[Api]:
    """A client of a service with a secret, and without PostgreSQL."""
    async with asking(redis.url) as client:
        yield client
