"""The command `synckairos`. Results go to standard output, messages to standard error.

Each command is defined in the package that it is about. This module lists them.
"""

from __future__ import annotations

import importlib
import keyword
from typing import Any, ClassVar

import click

from synckairos import __version__
from synckairos.output import printable, redacted


class _Commands(click.Group):
    """All commands. The module of a command is imported only when that command or the help is asked for."""

    _LAZY: ClassVar = {
        "audit": "synckairos.audit.cli",
        "bench": "synckairos.bench.cli",
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

    def _lazy(self, name: str) -> click.Command | None:
        module = self._LAZY.get(name)
        try:
            found: click.Command | None = (
                getattr(importlib.import_module(module), _variable(name)) if module else None
            )
        except ModuleNotFoundError as error:
            if error.name in (module, "synckairos.bench"):
                return None
            return _unavailable(name, error)
        return found


def _variable(name: str) -> str:
    """The name of the function of a command. A keyword of Python has `_` at its end."""
    return f"{name}_" if keyword.iskeyword(name) else name.replace("-", "_")


def _unavailable(name: str, missing: ModuleNotFoundError) -> click.Command:
    """A placeholder for a command whose import failed, so that the help and all other commands still work."""
    problem = f"the Python package {missing.name} is missing: install synckairos again"

    def refuse(**_: object) -> None:
        raise click.ClickException(problem)

    return click.Command(
        name,
        callback=refuse,
        help=f"Not available: {problem}.",
        add_help_option=False,
        params=[click.Argument(["arguments"], nargs=-1, type=click.UNPROCESSED)],
        context_settings={"ignore_unknown_options": True},
    )


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="synckairos")
def main() -> None:
    """Turn timers that everybody sees run the same."""
