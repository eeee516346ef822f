"""The command `call`: one function of the library is called, and its reply printed as JSON.

It calls once and repeats nothing, as redis-cli would. What `serve` does around a call (request ids, repeats,
confirmations by replicas) it does not.
"""

from __future__ import annotations

import asyncio
import difflib
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec
from redis.exceptions import MovedError, RedisError, ResponseError

from synckairos.call.catalogue import Function, functions, unknown
from synckairos.config import Settings
from synckairos.core.connection import Connection
from synckairos.errors import StorageUnavailable, SyncKairosError, error_text, from_refusal
from synckairos.output import json_text
from synckairos.run import data_folder
from synckairos.settings_option import config_option, settings_or_exit

OPTIONS = "TENANT t, VERSION n, EPOCH e, ACTOR a, TRACE t, TRACEPARENT t, REQUEST id, SCHEMA n"
"""What `[options]` stands for: the common options of the library's transitions."""
_NO_FUNCTION = "function not found"
"""What a server says, in any case of letters, when it does not have a function."""


def _server_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say where the server is. They may stand before the function and behind it."""
    url = click.option(
        "--redis",
        "url",
        metavar="URL",
        help="Server to use instead of the one in the settings. Everybody on this machine can read it in the "
        "list of processes, but not REDIS_URL in the environment.",
    )
    return url(config_option(command))


class _Functions(click.Group):
    """A command for each function of the library, and for each other that a newer server may have."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click passes it
        return list(functions())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - likewise
        name = cmd_name.lower()
        if not name.startswith("sk_"):
            return None
        return _command(functions().get(name) or unknown(name))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - likewise
        """Each function with its arguments, which are longer than a column."""
        with formatter.section("Functions"):
            formatter.write_dl([(each.call, each.summary) for each in functions().values()], col_max=20)


@click.group(cls=_Functions, subcommand_metavar="FUNCTION [SUBJECT] [ARGUMENTS]...")
@_server_options
@click.pass_context
def call(ctx: click.Context, url: str | None, file: Path | None) -> None:
    """Call a FUNCTION of the library, and print its reply as JSON.

    The keys are made from the session's id: synckairos call sk_switch 7c9e6679-… CURRENT aaaaaaaa-…

    What is called is what lua/README.md describes, with all that it may change, and nobody is asked for a
    token. The server is that of the settings; without any, that of a `synckairos dev` which runs in this
    folder. On a terminal the reply is indented, otherwise it is one line. The exit code is 1 when the library
    refuses the call. `synckairos call FUNCTION --help` says more of one. Where [options] are, these may stand
    in any order: TENANT t, VERSION n, EPOCH e, ACTOR a, TRACE t, TRACEPARENT t, REQUEST id, SCHEMA n
    """
    ctx.obj = (url, file)


def _command(function: Function) -> click.Command:
    """The command of one function."""

    def carry_out(url: str | None, file: Path | None, arguments: tuple[str, ...], subject: str = "") -> None:
        above = click.get_current_context().obj or (None, None)
        settings = _settings(url or above[0], file or above[1])
        try:
            keys = function.keys_of(subject)
            reply = asyncio.run(_fcall(settings, function.name, keys, arguments))
        except SyncKairosError as error:
            raise click.ClickException(_sentence(error, arguments)) from None
        click.echo(shown(reply, pretty=sys.stdout.isatty()))

    subject = [click.Argument(["subject"], metavar=function.subject)] if function.subject else []
    rest = click.Argument(
        ["arguments"],
        nargs=-1,
        type=click.UNPROCESSED,
        metavar=function.arguments or "[no arguments]",
        shell_complete=lambda _ctx, _param, begun: [
            name for name in option_names(function) if name.startswith(begun.upper())
        ],
    )
    options = f"\n\n[options] are {OPTIONS}." if "[options]" in function.arguments else ""
    made = click.Command(
        function.name,
        callback=carry_out,
        params=[*subject, rest],
        help=f"{_unwrapped(function.text)}{options}",
        # A negative number, as in `ADD -5000`, is an argument.
        context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]},
    )
    for option in reversed(_options()):
        made.params.append(option)
    return made


def option_names(function: Function) -> list[str]:
    """The names of the options that a function takes, in the order in which its page has them."""
    taken = function.arguments.replace("[options]", OPTIONS)
    return list(dict.fromkeys(re.findall(r"\b[A-Z]{3,}\b", taken)))


def _options() -> list[click.Parameter]:
    """The options of `_server_options`, for a command that is put together by hand."""

    @click.command()
    @_server_options
    def holder(**_: object) -> None:
        """Hold them."""

    return holder.params


def _unwrapped(text: str) -> str:
    """A text whose paragraphs click does not wrap anew."""
    return "\n\n".join(f"\b\n{part}" for part in text.split("\n\n"))


def _settings(url: str | None, file: Path | None) -> Settings:
    environ = dict(os.environ)
    if url:
        environ.update(REDIS_URL=url, REDIS_SENTINEL_HOSTS="", REDIS_SENTINEL_NAME="", REDIS_CLUSTER_NODES="")
    elif file is None and not any(environ.get(name, "").strip() for name in data_folder.SERVERS):
        of_dev = data_folder.addresses(data_folder.DEFAULT) or {}
        environ.update({name: value for name, value in of_dev.items() if name == "REDIS_URL"})
    return settings_or_exit(environ, file)


async def _fcall(settings: Settings, name: str, keys: Sequence[str], arguments: Sequence[str]) -> Any:
    """The reply of one call at the primary of the keys. Raises SyncKairosError and ClickException."""
    async with Connection.to(settings) as connection:
        try:
            client = await connection.primary_for(keys[0]) if keys else (await connection.primaries())[0]
            try:
                return await client.execute_command("FCALL", name, len(keys), *keys, *arguments)
            except MovedError as error:  # the cluster has moved the slot since this process looked
                connection.redirect(error.host, error.port, error.slot_id)
                client = await connection.primary_for(keys[0])
                return await client.execute_command("FCALL", name, len(keys), *keys, *arguments)
        except ResponseError as error:
            # redis-py takes the first word out of the text of some errors.
            text = f"{error.status_code or ''} {error}".lstrip()
            raise (from_refusal(text) or _of_the_server(name, text)) from None
        except (StorageUnavailable, RedisError, OSError) as error:
            why = error_text(error.__cause__ or error)
            raise click.ClickException(f"Redis does not answer: {why}") from None


def _of_the_server(name: str, text: str) -> click.ClickException:
    """What the server itself says of a call that it did not carry out."""
    if _NO_FUNCTION not in text.lower():
        return click.ClickException(f"Redis refuses the call: {text}")
    if name in functions():
        return click.ClickException(
            f"the server has no function {name}: it has no library, or an older one; "
            "`synckairos functions load` loads it"
        )
    near = difflib.get_close_matches(name, functions(), n=1)
    meant = f"; did you mean {near[0]}?" if near else ""
    return click.ClickException(
        f"there is no function {name}{meant} (`synckairos call --help` lists all of them)"
    )


def _sentence(error: SyncKairosError, arguments: Sequence[str]) -> str:
    """A refusal for people: its sentence and code, and below it what the sentence does not say."""
    lines = [
        f"  {each['field']}: {each['message']}" if each["field"] else f"  {each['message']}"
        for each in error.details
        if each["message"] not in error.message
    ]
    return "\n".join([f"{error.message} ({error.code})", *lines, *error.carets(_object(arguments))])


def _object(arguments: Sequence[str]) -> dict[str, Any]:
    """The config or the participant that was given, if it was one."""
    try:
        return msgspec.json.decode(arguments[0], type=dict[str, Any]) if arguments else {}
    except msgspec.DecodeError:
        return {}


def shown(reply: Any, *, pretty: bool) -> str:
    """A reply as JSON: states and events as they are, other text as a string, nil as null."""
    text = _json(reply)
    if pretty:
        text = msgspec.json.format(text, indent=2)
    return json_text(text)


def _json(reply: Any) -> str:
    if isinstance(reply, list):
        return f"[{','.join(map(_json, reply))}]"
    if not isinstance(reply, bytes):
        return msgspec.json.encode(reply).decode()
    text = reply.decode()
    if text.startswith(("{", "[")):
        try:
            msgspec.json.decode(text)
        except msgspec.DecodeError:
            pass
        else:
            return text
    return msgspec.json.encode(text).decode()
