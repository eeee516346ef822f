"""The command line where a package is missing."""

import sys

import pytest
from click.testing import CliRunner

from synckairos.cli import main


@pytest.fixture
def without_rich(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if it were not installed."""
    for name in [name for name in sys.modules if name.startswith(("rich", "synckairos.watch"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "rich", None)
    monkeypatch.setitem(sys.modules, "rich.console", None)


@pytest.mark.usefixtures("without_rich")
def test_help_lists_every_command_and_says_what_is_not_available() -> None:
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0, result.output
    assert "serve" in result.output
    (line,) = [line for line in result.output.splitlines() if line.split()[:1] == ["watch"]]
    assert "Not available" in line


@pytest.mark.usefixtures("without_rich")
@pytest.mark.parametrize("arguments", [[], ["7", "--url", "http://127.0.0.1"], ["--help"]])
def test_a_command_whose_package_is_missing_says_so(arguments: list[str]) -> None:
    result = CliRunner().invoke(main, ["watch", *arguments])
    assert result.exit_code == 1
    assert "the Python package rich.console is missing" in result.output
