"""The command `synckairos failover`."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import click

from synckairos.config import Address
from synckairos.output import echo
from synckairos.settings_option import config_option, settings_or_exit


class _AddressType(click.ParamType[Address]):
    name = "host:port"

    def convert(
        self, value: str | Address, param: click.Parameter | None, ctx: click.Context | None
    ) -> Address:
        if isinstance(value, tuple):
            return value
        host, _, port = value.rpartition(":")
        if not host or not port.isdecimal():
            self.fail(f"{value!r} is no host:port", param, ctx)
        return host, int(port)


@click.command()
@click.option("--primary", type=_AddressType(), help="Which primary to replace; a cluster has several.")
@config_option
def failover(file: Path | None, primary: Address | None) -> None:
    """Replace the primary by one of its replicas, as before maintenance, without losing anything.

    Behind Sentinels (REDIS_SENTINEL_HOSTS) writes are held for about 0.4 s. Before that, it waits up to 20 s
    for the right moment. In a cluster (REDIS_CLUSTER_NODES) --primary says which one to replace; behind
    Sentinels a --primary that is not the primary is refused. If anything fails, the old primary goes on, and
    the exit code is 1.
    """
    from synckairos.failover import cluster, sentinels
    from synckairos.failover.handover import NotHandedOver, shown

    settings = settings_or_exit(os.environ, file)
    try:
        if settings.redis_cluster_nodes:
            done = asyncio.run(cluster.hand_over(settings, primary))
            echo(f"{shown(done.new)} took over from {shown(done.old)} within {done.paused_ms} ms")
        elif settings.redis_sentinel_hosts:
            asyncio.run(sentinels.hand_over(settings, echo, primary))
        else:
            raise click.UsageError(
                "one server has nobody to hand over to: set REDIS_SENTINEL_HOSTS and REDIS_SENTINEL_NAME, "
                "or REDIS_CLUSTER_NODES"
            )
    except NotHandedOver as error:
        raise click.ClickException(f"{error}. The old primary goes on.") from None
