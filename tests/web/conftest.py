"""Collects tests in JavaScript for pytest: each `test(…)` of a `*.test.mjs` file is one test.

A file is run once, by the Node.js that Playwright brings along, even when only some of its tests are
selected. A file with a line `// Needs <path>` is skipped where there is no such path.
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
_ANY_TEST = re.compile(r"""^\s*test\(["'`]""", re.MULTILINE)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collects `*.test.mjs`."""
    if file_path.name.endswith(".test.mjs"):
        collected: pytest.Collector = JavaScriptFile.from_parent(parent, path=file_path)
        return collected
    return None


class JavaScriptFile(pytest.File):
    """A file of tests."""

    def collect(self) -> Iterator[pytest.Item]:
        """The file's tests in their order."""
        text = self.path.read_text(encoding="utf-8")
        names = _TEST.findall(text)
        if len(names) < len(_ANY_TEST.findall(text)):
            raise self.CollectError(f'{self.path.name}: each test has to begin a line, with test("')
        for name in names:
            yield JavaScriptTest.from_parent(self, name=json.loads(f'"{name}"'))

    @cached_property
    def results(self) -> dict[str, dict[str, Any]]:
        """The result of each test by its name. The name "" has the other output of the run."""
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
    """One test of a JavaScript file."""

    parent: JavaScriptFile

    def runtest(self) -> None:
        """Fails with the error that the test had in JavaScript."""
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
        """The error from JavaScript, without a Python traceback."""
        if isinstance(excinfo.value, JavaScriptFailure):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        """The file and the name of the test."""
        return self.path, 0, self.name


class JavaScriptFailure(Exception):
    """A test failed in JavaScript."""
