"""From the last release to this one and back behind a proxy, both at once in between, under traffic.

No request fails, no change is lost or done twice, and no socket misses or repeats any. How long things took
is shown by `python -m tests.operations.rolling`, and judged there alone.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.operations.rolling.traffic import DUE, SOCKETS, SWITCHED
from tests.operations.rolling.updates import WAYS, Way, carry_out

UPDATES = {name: way for name, way in WAYS.items() if way.from_last}


@pytest.mark.one_kind
@pytest.mark.parametrize("way", UPDATES.values(), ids=UPDATES)
async def test_nobody_notices_that_another_release_comes_and_goes(way: Way, tmp_path: Path) -> None:
    found = await carry_out(way, tmp_path)
    assert found.missing() == []
    assert found.switches > SWITCHED
    assert found.expiries == DUE
    assert found.closes[1001] >= SOCKETS - DUE  # the update has closed them, and they are back
