"""Updates under traffic: no request fails, no change is lost or done twice, no socket misses or repeats any.

How long things took is shown by `python -m tests.operations.rolling`, and judged there alone.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.operations.rolling.traffic import DUE, SOCKETS, SWITCHED
from tests.operations.rolling.updates import CROWD, Way, blue_green, carry_out, reload, rolling
from tests.support.proxies import PROXIES

UPDATES = {
    "reload": Way(None, [reload], CROWD),
    **{name: Way(name, [rolling, blue_green]) for name in PROXIES},
}


@pytest.mark.one_kind
@pytest.mark.parametrize("way", UPDATES.values(), ids=UPDATES)
async def test_nobody_notices_an_update(way: Way, tmp_path: Path) -> None:
    found = await carry_out(way, tmp_path, due_every_ms=400)
    assert found.missing() == []
    assert found.switches > SWITCHED
    assert found.expiries == DUE
    assert found.closes[1001] >= SOCKETS - DUE + way.crowd  # the update has closed them, and they are back
