"""Finds keys that would stay for ever: they have no TTL and are not in the list of those that may stay.

`tests/conftest.py` calls this after every test, and a test that left such a key fails. A test that writes
such keys itself names them with `@pytest.mark.own_keys("elsewhere")`, regular expressions for full names.
"""

from __future__ import annotations

import re
import time
from typing import Any

import redis

MAY_STAY = [
    r"sk:\{[0-9a-f]{2}\}:alarms",  # Redis deletes it when it is empty, because no session runs
    r"sk:\{[0-9a-f]{2}\}:outbox",  # events that are not archived yet must not end; the length is limited
    r"sk:\{vt\}:(now|server)",  # clock and run id of the virtual-time library, in tests alone
    r"rq:.+",  # RQ's registries of queues, workers and jobs; it removes what they list
]
"""Regular expressions for full names."""

SETTLES_S = 0.1
"""After this time a key that was found is checked again, because some keys only exist during a command."""

_may_stay = re.compile("|".join(MAY_STAY).encode())


def take_leaks(client: redis.Redis) -> list[str]:
    """Deletes the keys of the client's database that have no TTL and may not stay. Returns their names.

    They are deleted so that the next test does not fail because of them.
    """
    found = _endless(client, client.scan_iter(count=1000))
    if found:
        time.sleep(SETTLES_S)
        found = _endless(client, found)
    if found:
        client.delete(*found)
    return sorted(name.decode(errors="backslashreplace") for name in found)


def _endless(client: redis.Redis, names: Any) -> list[bytes]:
    suspects = [name for name in names if not _may_stay.fullmatch(name)]
    asked = client.pipeline(transaction=False)
    for name in suspects:
        asked.pttl(name)
    return [name for name, left in zip(suspects, asked.execute(), strict=True) if left == -1]
