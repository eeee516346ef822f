"""Clients of redis-py, and what they have in common."""

from __future__ import annotations

import redis.asyncio
from redis.exceptions import RedisError

CONNECT_S = 1.0
"""How long a connection may take to be made."""
MAX_CLIENT_CONNECTIONS = 64
"""Connections that redis-py may make to a primary for everything but function calls."""
POOL_WAIT_S = 2.0
"""How long a caller waits for one of those connections."""

TROUBLE = (RedisError, OSError)
"""What redis-py raises when a server cannot be reached or does not do as it is told."""


def address(client: redis.asyncio.Redis) -> str:
    """Where a client's server is, for people."""
    where = client.connection_pool.connection_kwargs
    return where.get("path") or f"{where.get('host', 'the primary')}:{where.get('port', 6379)}"
