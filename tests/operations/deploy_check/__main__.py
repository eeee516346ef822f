"""Checks all of `deploy/`: `make deploy-check`. The exit code is 1 when something is wrong.

python -m tests.operations.deploy_check [FOLDER]      FOLDER: a copy of deploy/, instead of it
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.operations.deploy_check.checks import CHECKS, unread
from tests.operations.deploy_check.programs import ProgramMissing
from tests.support.pages import ROOT


def main(deploy: Path) -> int:
    """Runs all checks on a folder and says what they find. Returns the exit code."""
    wrong = [f"{file}: no check reads it" for file in unread(deploy)]
    for check in CHECKS:
        try:
            problems = check.run(deploy)
        except ProgramMissing as error:
            problems = [str(error)]
        sys.stdout.write(
            f"{'wrong' if problems else 'ok   '} {check.name}: {len(check.found(deploy))} files\n"
        )
        wrong += problems
    for problem in wrong:
        sys.stderr.write(f"{problem}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else ROOT / "deploy"))
