"""Tests in JavaScript as tests of pytest: each `test(…)` of a `*.test.mjs` file is one.

A file is run once, by the Node.js that Playwright brings along, however many of its tests are asked for. One
that has a line `// Needs <path>` is skipped where there is no such path.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from tests.web.node import program

PATIENCE_S = 120
_NEEDS = re.compile(r"^// Needs (\S+)", re.MULTILINE)
_TEST = re.compile(r'^test\("((?:[^"\\]|\\.)*)"', re.MULTILINE)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collects `*.test.mjs`."""
    if file_path.name.endswith(".test.mjs"):
        collected: pytest.Collector = JavaScriptFile.from_parent(parent, path=file_path)
        return collected
    return None


class JavaScriptFile(pytest.File):
    """A file of tests."""

    def collect(self) -> Iterator[pytest.Item]:
        """Its tests by their names, as they stand there."""
        for name in _TEST.findall(self.path.read_text(encoding="utf-8")):
            yield JavaScriptTest.from_parent(self, name=json.loads(f'"{name}"'))

    @cached_property
    def results(self) -> dict[str, dict[str, Any]]:
        """What came of each test. The name "" has what the run wrote beside its results."""
        reporter = Path(__file__).parent / "reporter.mjs"
        ran = subprocess.run(
            [program(), f"--test-reporter={reporter.as_uri()}", "--test-force-exit", str(self.path)],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        found: dict[str, dict[str, Any]] = {}
        rest = [ran.stderr]
        for line in ran.stdout.splitlines():
            try:
                result = json.loads(line)
            except json.JSONDecodeError:
                rest.append(line)
                continue
            if isinstance(result, dict) and "name" in result:
                found[result["name"]] = result
            else:
                rest.append(line)
        found[""] = {"error": "\n".join(rest)}
        return found


class JavaScriptTest(pytest.Item):
    """One test."""

    parent: JavaScriptFile

    def runtest(self) -> None:
        """Fails as it failed there."""
        for path in _NEEDS.findall(self.path.read_text(encoding="utf-8")):
            if not Path(path).exists():
                pytest.skip(f"there is no {path}")
        results = self.parent.results
        result = results.get(self.name)
        if result is None:
            raise JavaScriptFailure(f"it did not run:\n{results['']['error']}")
        if not result["passed"]:
            raise JavaScriptFailure(result["error"])

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """What JavaScript says of the failure, without the way here."""
        if isinstance(excinfo.value, JavaScriptFailure):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Where it stands."""
        return self.path, 0, self.name


class JavaScriptFailure(Exception):
    """A test failed in JavaScript."""
