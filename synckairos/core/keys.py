"""The one place that builds and reads the names of keys.

A session's partition is the last two hex digits of its id, for example "3f"; there are 256 partitions. A
partition is the hash tag of all keys of its sessions, so the keys of a session and the keys that its
partition shares are in one cluster slot. Channels have the names of keys: a session's channel is its session
key, and a partition's alarm channel is its alarms key.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from urllib.parse import quote

from synckairos.errors import ValidationError

PARTITIONS: tuple[str, ...] = tuple(f"{n:02x}" for n in range(256))
"""All partitions, "00" to "ff"."""

TIMEKEEPERS = "sk:timekeepers"
"""The channel on which the processes of the service announce themselves. There is no key of this name."""

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_SESSION_KEY = re.compile(rf"sk:\{{([0-9a-f]{{2}})\}}:({_UUID.pattern})")


def session_id(text: str) -> str:
    """`text` as a session id: a hyphenated UUID in lower case. Raises ValidationError when it is no UUID."""
    folded = text.lower()
    if _UUID.fullmatch(folded) is None:
        raise ValidationError(
            "the session id must be a UUID", details=[{"field": "session_id", "message": "must be a UUID"}]
        )
    return folded


def partition(session_id: str) -> str:
    """The partition of a session: the last two hex digits of its (lower-case) id."""
    return session_id[-2:]


@dataclass(frozen=True, slots=True)
class SessionKeys:
    """The keys of a session, in the order in which the functions take them."""

    session: str
    log: str
    alarms: str
    outbox: str

    @classmethod
    def of(cls, session_id: str) -> SessionKeys:
        """The keys of the session with this (lower-case) id."""
        tag = session_id[-2:]
        session = f"sk:{{{tag}}}:{session_id}"
        return cls(session, session + ":log", f"sk:{{{tag}}}:alarms", f"sk:{{{tag}}}:outbox")

    @property
    def all(self) -> tuple[str, str, str, str]:
        """Session, log, alarms, outbox: the four keys of a session function."""
        return self.session, self.log, self.alarms, self.outbox


def alarms(partition: str) -> str:
    """The sorted set of the partition's running sessions by their next alarm; also its channel."""
    return f"sk:{{{partition}}}:alarms"


def outbox(partition: str) -> str:
    """The stream of the partition's events that the audit has not taken yet."""
    return f"sk:{{{partition}}}:outbox"


def library(partition: str) -> str:
    """The key that processes watch while they load the library. It exists only inside a transaction."""
    return f"sk:{{{partition}}}:library"


def restored(partition: str) -> str:
    """The mark that the partition's sessions were all there, or were restored: see `audit.losses`."""
    return f"sk:{{{partition}}}:restored"


def restoring(partition: str) -> str:
    """The lease of the process that restores sessions. `partition` is the first of those that were lost."""
    return f"sk:{{{partition}}}:restoring"


def rights(partition: str) -> str:
    """The key at which the rights of a user are tried: see `synckairos.core.rights`. It never exists."""
    return f"sk:{{{partition}}}:rights"


def unheard_channel(key: str) -> str:
    """A channel in the slot of `key` that has no listeners; see `synckairos.core.wire.ConfirmedWire`."""
    return f"{key.partition('}')[0]}}}:written"


def probe_channel(partition: str, process: str) -> str:
    """The channel on which a process measures the Pub/Sub of the partition's primary."""
    return f"sk:{{{partition}}}:probe:{process}"


def rate_limit(bucket: str) -> str:
    """The key of a rate-limit bucket. Its name is 1-200 printable ASCII characters without braces."""
    return f"sk:rl:{{{bucket}}}"


def api_key(key_id: str) -> str:
    """What is kept of an API key. Its id is hex digits."""
    return f"sk:auth:key:{key_id}"


API_KEYS = "sk:auth:key:*"
"""The pattern of the names of all API keys."""


def api_key_used(key_id: str) -> str:
    """When an API key was used last."""
    return f"sk:auth:used:{key_id}"


def links(session_id: str) -> str:
    """The hash of the links to a session, by their ids."""
    return f"sk:auth:links:{session_id}"


REVOKED_TOKENS, REVOKED_GRANTS = "sk:auth:{revoked}:tokens", "sk:auth:{revoked}:grants"
"""The streams of revocations: of JWTs, which are kept, and of keys and links, which are only told."""
REVOKED_COMPLETE = "sk:auth:{revoked}:complete"
"""The mark that REVOKED_TOKENS has all that PostgreSQL has."""


def quota(tenant: str) -> tuple[str, str]:
    """The keys of what a tenant has: its count, and its sessions by when they were last looked at."""
    key = f"sk:quota:{{{_tag(tenant)}}}"
    return key, key + ":looked"


def quota_of_sockets(tenant: str) -> str:
    """The key with how many WebSockets of a tenant each process has."""
    return f"sk:quota:{{{_tag(tenant)}}}:sockets"


def _tag(tenant: str) -> str:
    """A tenant's name as a hash tag: no two names have the same."""
    quoted = quote(tenant, safe="")
    return quoted if len(quoted) <= 150 else "%" + hashlib.sha256(tenant.encode()).hexdigest()


def parse_session_key(key: str | bytes) -> str | None:
    """The id of `sk:{tt}:<id>`, or None when `key` is anything else."""
    if isinstance(key, bytes):
        try:
            key = key.decode("ascii")
        except UnicodeDecodeError:
            return None
    match = _SESSION_KEY.fullmatch(key)
    if match is None or not match[2].endswith(match[1]):
        return None
    return match[2]
