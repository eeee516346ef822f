"""The command `doctor`: all checks side by side, and the report for people or machines.

The checks are bounded in time, so that the answer comes within seconds also when nothing answers; one that is
cut off keeps what it has found.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from synckairos import __version__, config, logs
from synckairos.config import Settings, SettingsError
from synckairos.doctor import configured, machine
from synckairos.doctor.findings import WORST, Area, Finding, Report, Setting
from synckairos.doctor.trouble import why
from synckairos.output import printable
from synckairos.run import data_folder
from synckairos.settings_option import config_option

P = ParamSpec("P")
T = TypeVar("T")


@click.command()
@config_option
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=data_folder.DEFAULT,
    show_default=True,
    help="Data folder of a synckairos dev. If one runs there, its servers are checked, unless a setting says "
    "where the servers are.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for machines.")
def doctor(file: Path | None, data_dir: Path, *, as_json: bool) -> None:
    """Check settings, servers and this machine, and say what to do about what is wrong.

    Nothing is changed. The exit code is 0 when nothing fails, also with warnings, and 1 when something does.
    """
    logs.configure("critical")  # the report says what is wrong, and says it once
    in_folder = configured.of_dev(os.environ, file, data_dir)
    shown = configured.configured(os.environ, file, in_folder)
    environ = {**os.environ, **in_folder}
    folder = data_dir.absolute() if in_folder else None
    if as_json:
        report = diagnose(environ, file, shown, folder)
        click.echo(msgspec.json.format(msgspec.json.encode(report), indent=2))
    else:
        # The settings come at once: with servers that do not answer the rest takes its time.
        terminal = _Terminal()
        terminal.settings(shown, file)
        with terminal.waiting():
            report = diagnose(environ, file, shown, folder)
        terminal.checks(report)
    sys.exit(1 if report.status == "failure" else 0)


def diagnose(
    environ: Mapping[str, str], file: Path | None, shown: list[Setting], folder: Path | None = None
) -> Report:
    """Check everything. Raises nothing that a check meets, and takes little more than CHECK_S.

    `folder`: the data folder that settings in `environ` come from, if so.
    """
    with asyncio.Runner() as runner:
        runner.get_loop().set_default_executor(_Abandoned())
        findings = runner.run(_examine(environ, file, folder))
    worst = max((finding.status for finding in findings), key=WORST.__getitem__)
    return Report(__version__, worst, shown, findings)


class _Abandoned(ThreadPoolExecutor):
    """Daemon threads: the program ends without waiting for them, even when a name server never answers."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()

        def run() -> None:
            try:
                result = fn(*args, **kwargs)
            except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
                future.set_exception(error)
            else:
                future.set_result(result)

        future.set_running_or_notify_cancel()
        threading.Thread(target=run, daemon=True).start()
        return future


async def _examine(environ: Mapping[str, str], file: Path | None, folder: Path | None) -> list[Finding]:
    """All areas side by side, their findings in the order of the areas."""
    try:
        settings, problems = config.load(environ, file), []
    except SettingsError as error:
        settings, problems = None, error.problems
    of_machine = Area("This machine")
    of_settings = Area("Settings")
    parts: list[Coroutine[Any, Any, list[Finding]]] = [
        of_machine.run(
            machine.python(of_machine),
            machine.packages(of_machine),
            machine.open_files(of_machine, settings),
            machine.processors(of_machine),
        ),
        of_settings.run(configured.check(of_settings, settings, problems, folder)),
    ]
    if settings is None:
        rest = Area("Servers")
        rest.warn("servers", "not checked: where they are is not known while settings are wrong")
        parts.append(rest.run())
    else:
        parts += [_servers(settings), _moved_to(settings), _audit(settings), machine.port(settings)]
    return [finding for part in await asyncio.gather(*map(_guarded, parts)) for finding in part]


async def _servers(settings: Settings) -> list[Finding]:
    from synckairos.doctor import servers  # it imports packages, which may be missing

    return await servers.redis_servers(settings)


async def _moved_to(settings: Settings) -> list[Finding]:
    if not settings.moved_to:
        return []
    from synckairos.doctor import moved_to  # likewise

    return await moved_to.moved_to(settings)


async def _audit(settings: Settings) -> list[Finding]:
    from synckairos.doctor import archive  # likewise

    return await archive.audit(settings)


async def _guarded(part: Coroutine[Any, Any, list[Finding]]) -> list[Finding]:
    """When one part fails unexpectedly, the others are still reported."""
    try:
        return await part
    except Exception as error:  # noqa: BLE001 - a doctor says what it met, whatever that is
        area = Area("Doctor")
        area.fail(
            "check", f"some of it could not be checked: {why(error)}", "see the findings about packages"
        )
        return area.findings


_STYLES: Mapping[str, str] = {"ok": "green", "warning": "yellow", "failure": "bold red"}


class _Terminal:
    """Settings and findings for people: in columns on a terminal, elsewhere one line each."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)

    def settings(self, settings: list[Setting], file: Path | None) -> None:
        """Every setting, and where it comes from."""
        self._heading(f"SyncKairos {__version__}: settings{f' (file: {file})' if file else ''}")
        self._rows([(setting.name, setting.value or "-", setting.source) for setting in settings])

    def waiting(self) -> AbstractContextManager[object]:
        """Says, on a terminal, that something is under way."""
        return self._console.status("asking the servers") if self._console.is_terminal else nullcontext()

    def checks(self, report: Report) -> None:
        """Every finding by areas, then what to do."""
        for area in dict.fromkeys(finding.area for finding in report.checks):
            self._heading(area)
            self._rows(
                [
                    (finding.status, finding.check, finding.message)
                    for finding in report.checks
                    if finding.area == area
                ]
            )
        wrong = sorted(
            (finding for finding in report.checks if finding.status != "ok"),
            key=lambda finding: -WORST[finding.status],
        )
        counts = [sum(finding.status == status for finding in wrong) for status in ("failure", "warning")]
        self._heading("What to do")
        for finding in wrong:
            self._rows([(finding.status, f"{finding.area}, {finding.check}", "")])
            self._rows([("", finding.remedy or finding.message, "")], len(finding.status))
        self._line(_summary(*counts))

    def _heading(self, text: str) -> None:
        self._line("")
        self._line(text, "bold")

    def _line(self, text: str, style: str = "") -> None:
        text = printable(text)
        if self._console.is_terminal:
            self._console.print(Text(text, style))
        else:
            click.echo(text)

    def _rows(self, rows: list[tuple[str, str, str]], first: int = 0) -> None:
        """Rows of three cells, the first two as wide as they have to be."""
        rows = [(printable(one), printable(two), printable(three)) for one, two, three in rows]
        first = max(first, *(len(row[0]) for row in rows))
        second = max(len(row[1]) for row in rows)
        if not self._console.is_terminal:
            for row in rows:
                click.echo(f"  {row[0]:{first}}  {row[1]:{second}}  {row[2]}".rstrip())
            return
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(width=0)
        table.add_column(width=first, no_wrap=True)
        table.add_column(overflow="fold")
        table.add_column(overflow="fold")
        for row in rows:
            table.add_row("", Text(row[0], _STYLES.get(row[0], "")), Text(row[1]), Text(row[2]))
        self._console.print(table)


def _summary(failures: int, warnings: int) -> str:
    if not failures and not warnings:
        return "Nothing: all is well."
    words = [
        f"{count} {word}{'' if count == 1 else 's'}"
        for count, word in ((failures, "failure"), (warnings, "warning"))
        if count
    ]
    return f"{' and '.join(words)}{'' if failures else ': the service works'}"
