"""What systemd reads."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from synckairos.config import Settings
from tests.operations.deploy_check.programs import Problems, said
from tests.operations.deploy_check.settings import unknown_command

EXPOSURE = 20
"""The most that `systemd-analyze security` may find in a unit, in tenths: 0 is best, 100 is worst."""


def units(_deploy: Path, files: Sequence[Path]) -> Problems:
    for file in files:
        with tempfile.TemporaryDirectory() as folder:
            # An instance, and with a program that is there.
            copy = Path(folder) / file.name.replace("@.", "@1.")
            text = file.read_text(encoding="utf-8")
            programs = re.findall(r"/opt/synckairos/bin/synckairos (\S+)", text)
            copy.write_text(text.replace("/opt/synckairos/bin/synckairos", "/bin/true"), encoding="utf-8")
            _, output = said("systemd-analyze", "verify", "--man=no", copy)
            # It also looks at the machine's own units, whose faults are none of ours.
            yield from (line for line in output.splitlines() if copy.name in line)
            code, output = said(
                "systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE}", "--no-pager", copy
            )
            if code:
                yield f"{file.name}: {output.splitlines()[-1]}; it may be {EXPOSURE / 10} at most"
        for name in programs:
            yield from unknown_command([name], file.name)
        for line in re.findall(r"^UnsetEnvironment=(.*)$", text, re.MULTILINE):
            yield from (
                f"{file.name}: {name} is not a setting"
                for name in line.split()
                if name.lower() not in Settings.__dataclass_fields__
            )
