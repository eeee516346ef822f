"""The command `rates`: what a service is doing right now, from two looks at its metrics.

An operator without a Prometheus at hand, or with one that looks too rarely, sees here which counter grows.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import click
import httpx
from prometheus_client.parser import text_string_to_metric_families

from synckairos.output import echo

Series = tuple[str, str]
"""The name of a metric, and its labels as Prometheus writes them."""

ANSWER_S = 10.0
"""How long a service may take to answer."""
LONGEST = 64 * 1024 * 1024
"""How many bytes an answer may have: some hundred times what a service has to say."""
COUNTED = {"counter": ("_total",), "histogram": ("_sum", "_count"), "summary": ("_sum", "_count")}


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--url",
    required=True,
    envvar="METRICS",
    help="Where the metrics are, as in http://127.0.0.1:9464/metrics.  [default: METRICS in the environment]",
)
@click.option(
    "--seconds", type=click.FloatRange(0.1, 3600), default=5.0, show_default=True, help="For how long."
)
def rates(names: tuple[str, ...], url: str, seconds: float) -> None:
    """Show what a service does: how often a second each counter grows, the fastest first.

    Of what is measured in seconds, the mean is shown too. NAME: only metrics with such a name, or one that
    begins like that.
    """
    before, began = _look(url), time.monotonic()
    time.sleep(seconds)
    now, took_s = _look(url), time.monotonic() - began
    found = rows(before, now, took_s, names)
    for row in found:
        echo(row)
    if not found:
        echo("nothing of it grew")


def _look(url: str) -> dict[Series, float]:
    """The counted samples of a scrape. Raises ClickException when there are none to be had."""
    if not url.startswith(("http://", "https://")):
        raise click.ClickException(f"{url} is no URL of http or https")
    body = bytearray()
    try:
        with httpx.stream("GET", url, timeout=ANSWER_S) as reply:
            reply.raise_for_status()
            for part in reply.iter_bytes():
                body += part
                if len(body) > LONGEST:
                    raise click.ClickException(f"{url} answers with more than {LONGEST} bytes")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise click.ClickException(f"{url} does not answer: {error}") from None
    try:
        families = list(text_string_to_metric_families(body.decode()))
    except (LookupError, ValueError) as error:
        raise click.ClickException(f"{url} has no metrics: {error}") from None
    return {
        (
            sample.name,
            ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items())),
        ): sample.value
        for family in families
        for sample in family.samples
        if sample.name.endswith(COUNTED.get(family.type, ()))
    }


def rows(
    before: Mapping[Series, float], now: Mapping[Series, float], took_s: float, names: tuple[str, ...]
) -> list[str]:
    """A row for each series that grew, the fastest first."""
    grown = {series: value - before.get(series, 0.0) for series, value in now.items()}
    found: list[tuple[float, str]] = []
    for (name, labels), growth in grown.items():
        if not growth > 0 or not name.startswith(names or ("",)) or name.endswith("_sum"):
            continue
        row = f"{growth / took_s:12.2f} /s  {name.removesuffix('_count')}{{{labels}}}"
        if name.endswith("_count"):
            spent_s = grown.get((name.removesuffix("_count") + "_sum", labels), 0.0)
            row += f"  {1000 * spent_s / growth:,.1f} ms each"
        found.append((growth, row))
    return [row for _, row in sorted(found, key=lambda each: -each[0])]
