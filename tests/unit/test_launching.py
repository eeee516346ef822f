"""Programs that the tests start live as long as they are needed."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest

from tests.support.launching import launch


def test_a_program_outlives_the_thread_that_asked_for_it(tmp_path: Path) -> None:
    async def asked() -> subprocess.Popen[bytes]:
        return await asyncio.to_thread(launch, ["sleep", "60"], tmp_path / "log")

    program = asyncio.run(asked())  # it ends the threads of its loop
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            program.wait(0.3)
    finally:
        program.kill()
        program.wait()
