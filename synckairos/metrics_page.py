"""`synckairos metrics`: the page of all metrics, made from the metrics themselves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import click
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from synckairos import metrics as defined

_HEAD = """# Metrics

Made by `synckairos metrics` from `synckairos/metrics.py`; a test compares both. [README.md](README.md) says
how to scrape them, what they cost, and which other names there are.

Times are seconds, sizes bytes. With several worker processes a scrape shows one number for all of them:
counters and histograms are sums, and the column "of several" says which of the values a gauge shows.
"""

_OF_SEVERAL = {"sum": "the sum", "min": "the smallest", "max": "the largest", "mostrecent": "the newest"}


def page() -> str:
    """The page, as Markdown."""
    return "\n".join((_HEAD, *_own(), "", "## Of the process", "", *_of_process(), ""))


def _own() -> Iterator[str]:
    yield from _table("metric", "type", "labels", "of several", "meaning")
    for metric in vars(defined).values():
        if isinstance(metric, Counter | Gauge | Histogram) and not _is_child(metric):
            yield from _row(metric)


def _is_child(metric: MetricWrapperBase) -> bool:
    return bool(metric._labelvalues)  # noqa: SLF001 - prometheus_client tells it nowhere else


def _row(metric: MetricWrapperBase) -> Iterator[str]:
    described = next(iter(metric.describe()))
    labels = ", ".join(f"`{name}`" for name in metric._labelnames)  # noqa: SLF001 - as above
    meaning, several = described.documentation, ""
    name = described.name + ("_total" if isinstance(metric, Counter) else "")
    if isinstance(metric, Gauge):
        several = _OF_SEVERAL[metric._multiprocess_mode.removeprefix("live")]  # noqa: SLF001 - as above
    if isinstance(metric, Histogram):
        bounds = metric._kwargs["buckets"]  # noqa: SLF001 - as above
        meaning += f". Buckets: {' '.join(f'{bound:g}' for bound in bounds)}"
    yield f"| `{name}` | {described.type} | {labels} | {several} | {meaning} |"


def _of_process() -> Iterator[str]:
    yield from (
        "With several worker processes these have the label `worker` (1, 2, 3), because a sum would hide one",
        "that leaks. Only Linux has them.",
        "",
    )
    yield from _table("metric", "type", "meaning")
    for collector in (ProcessCollector(registry=None), PlatformCollector(registry=None)):
        for metric in collector.collect():
            name = metric.name + ("_total" if metric.type == "counter" else "")
            yield f"| `{name}` | {metric.type} | {metric.documentation.removesuffix('.')} |"


def _table(*columns: str) -> Iterable[str]:
    return f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}"


@click.command()
def metrics() -> None:
    """Print the page of all metrics, as Markdown."""
    click.echo(page(), nl=False)
