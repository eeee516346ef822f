"""The command behind `sentinel/drill`."""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from synckairos import logs
from synckairos.config import Durability
from synckairos.drill.deployment import CannotStart, Kind
from synckairos.drill.drills import Drills, Plan, random_plan
from synckairos.drill.faults import FAULTS, FaultFailed
from synckairos.drill.up import configurations_option, redis_option
from synckairos.drill.verdict import Drill, as_json, judge_all, table
from synckairos.run.processes import Stop, Stopped

FAILED = 2
"""The exit code when a drill could not be carried out. 1 means that goals were missed."""


def _count(kind: str, what: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option(f"--{kind}", type=click.IntRange(0, 1000), help=f"How often {what}.")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@configurations_option
@redis_option
@_count("kill", "the primary is killed")
@_count("hang", "it stands still, and goes on after the failover")
@_count("partition", "it is cut off from the Sentinels and replicas")
@_count("half", "it is cut off together with one replica and one Sentinel")
@_count("planned", "it is replaced by `synckairos failover`")
@_count("asked", "a Sentinel is asked to replace it, while it is well")
@click.option(
    "--durability",
    type=click.Choice(["async", "replicated"]),
    default="async",
    show_default=True,
    help="DURABILITY of the services.",
)
@click.option("--random", "random_s", type=click.IntRange(1), help="Random faults for so many seconds.")
@click.option("--seed", type=int, help="What the random faults are made from; without it, a new one.")
@click.option(
    "--untimed",
    is_flag=True,
    help="Judge what was lost and what was said, and not how long it took: for a machine that is slow.",
)
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write figures and findings here, too.",
)
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    help="A new folder in which to keep recordings, data and logs. Without it they are removed.",
)
def drill(
    *,
    configurations: Path,
    kind: Kind | None,
    durability: Durability,
    random_s: int | None,
    seed: int | None,
    json_file: Path | None,
    keep: Path | None,
    untimed: bool,
    **counts: int | None,
) -> None:
    """Break a deployment under load, and say what callers and sockets noticed of it.

    Without a number for any kind, each is done once. The exit code is 0 when all goals were met, 1 when one
    was missed, and 2 when a drill could not be carried out.
    """
    if sys.platform != "linux":
        raise click.ClickException("the drill needs Linux, which has a loopback address for each server")
    logs.configure("warning", production=False)
    seed = random.SystemRandom().randrange(1 << 32) if seed is None else seed
    if random_s is not None:
        click.echo(f"seed {seed}")
        plans = _random_plans(random_s, seed)
    else:
        once = not any(counts.values())
        plans = iter([Plan(name) for name in FAULTS for _ in range(1 if once else counts[name] or 0)])
    about = {"server": kind or "valkey", "durability": durability, "seed": seed}
    with tempfile.TemporaryDirectory(prefix="synckairos-drill-") as temporary:
        folder = keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        drills: list[Drill] = []
        with Stop() as stop:
            try:
                prepared = Drills.prepared(kind or "valkey", configurations, durability, folder)
                stop.run(_carry_out(prepared, plans, drills, seed=seed, timed=not untimed))
            except (Stopped, KeyboardInterrupt):
                click.echo("stopped", err=True)
            except (CannotStart, FaultFailed) as error:
                click.echo(f"Error: {error}", err=True)
                _show(drills, json_file, about, timed=not untimed)
                sys.exit(FAILED)
    sys.exit(_show(drills, json_file, about, timed=not untimed))


def _random_plans(seconds: int, seed: int) -> Iterator[Plan]:
    rng = random.Random(seed)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield random_plan(rng)


async def _carry_out(
    prepared: AbstractAsyncContextManager[Drills],
    plans: Iterator[Plan],
    done: list[Drill],
    *,
    seed: int,
    timed: bool,
) -> None:
    """Carries out the plans one after the other, and says of each how it went."""
    async with prepared as drills:
        for plan in plans:
            drill = await drills.carry_out(plan, seed=seed, timed=timed)
            done.append(drill)
            lasting = "" if plan.for_s is None else f" for {plan.for_s:.1f} s"
            click.echo(f"{plan.kind}{lasting}: {'; '.join(drill.missed) or 'all goals met'}", err=True)


def _show(drills: list[Drill], json_file: Path | None, about: dict[str, Any], *, timed: bool) -> int:
    """Shows the table and what was missed. Returns the exit code."""
    missed = judge_all(drills, timed=timed)
    if json_file is not None:
        json_file.write_bytes(as_json(drills, missed, about))
    console = Console(width=None if sys.stdout.isatty() else 200)
    console.print(table(drills))
    for each in missed:
        click.echo(f"missed: {each}")
    return int(bool(missed) or not drills)


if __name__ == "__main__":
    drill()
