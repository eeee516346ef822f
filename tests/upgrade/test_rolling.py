"""From the last release to this one and back behind a proxy, both at once in between, under traffic.

No request fails, no change is lost or done twice, and no socket misses or repeats any. How long things took
is shown by `python -m tests.operations.rolling`, and judged there alone.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.operations.rolling.traffic import DUE, SOCKETS, SWITCHED
from tests.operations.rolling.updates import Way, blue_green, carry_out, rolling
from tests.support.proxies import PROXIES


@pytest.mark.one_kind
@pytest.mark.parametrize("behind", PROXIES)
async def test_nobody_notices_that_another_release_comes_and_goes(behind: str, tmp_path: Path) -> None:
    """All machines to this release and back, then all traffic to this release and back."""
    found = await carry_out(Way(behind, [rolling, rolling, blue_green], from_last=True), tmp_path)
    assert found.missing() == []
    assert found.switches > SWITCHED
    assert found.expiries == DUE
    assert found.closes[1001] >= SOCKETS - DUE  # the update has closed them, and they are back
