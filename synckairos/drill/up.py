"""The command behind `sentinel/up`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from synckairos.drill.deployment import CannotStart, Deployment, Kind
from synckairos.run.processes import WATCH_S, Stop, Stopped

configurations_option = click.option(
    "--configurations",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    hidden=True,
    help="The folder with redis.conf and sentinel.conf.",
)
redis_option = click.option(
    "--redis", "kind", flag_value="redis", help="Use the machine's redis-server in place of Valkey."
)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@configurations_option
@redis_option
@click.option(
    "--port",
    type=click.IntRange(1, 65530),
    help="First of six ports in a row: three servers, three Sentinels. Without it, free ones.",
)
def up(configurations: Path, kind: Kind | None, port: int | None) -> None:
    """Start one primary, two replicas and three Sentinels, until Ctrl-C.

    Prints the settings with which `synckairos serve` finds them. Nothing is left of them at the end.
    """
    with Stop() as stop:
        try:
            stop.run(_stay_up(kind or "valkey", configurations, port))
        except Stopped:
            pass
        except CannotStart as error:
            raise click.ClickException(str(error)) from None


async def _stay_up(kind: Kind, configurations: Path, port: int | None) -> None:
    async with Deployment.started(kind, configurations, first_port=port) as deployment:
        click.echo(f"REDIS_SENTINEL_HOSTS={deployment.sentinel_hosts}")
        click.echo(f"REDIS_SENTINEL_NAME={deployment.name}")
        for member in deployment.members:
            child = member.child
            assert child is not None
            click.echo(f"{member.name}: port {member.port}, process {child.pid}", err=True)
        ended: set[str] = set()
        while True:  # until this is cancelled
            await asyncio.sleep(WATCH_S)
            for member in deployment.members:
                if member.child is not None and not member.child.running and member.name not in ended:
                    ended.add(member.name)
                    click.echo(f"{member.name} has ended", err=True)


if __name__ == "__main__":
    up()
