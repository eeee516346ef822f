"""What is left of each error budget, as the rules in Prometheus have it.

The objectives, too, come from the series of those rules. So the report tells what this Prometheus warns of,
also when the file on this machine is another one.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from math import isfinite

import httpx
import msgspec

TIMEOUT_S = 30.0
LONGEST = 16 * 1024 * 1024
"""How many bytes an answer may have: some thousand times what the rules make."""
NOW = "1h"
"""The window of what the report calls now."""


class NoReport(Exception):
    """Prometheus does not answer, or with something else than these rules make; the text says what."""


class _Sample(msgspec.Struct):
    """A series with the moment (seconds since 1970) and its value, which Prometheus writes as text."""

    metric: dict[str, str]
    value: tuple[float, str]


class _Data(msgspec.Struct):
    result: list[_Sample]


class _Answer(msgspec.Struct):
    data: _Data


class Budget(msgspec.Struct, frozen=True):
    """The error budget of one objective. Ratios are from 0 to 1, and None where there were no events.

    slo, title: its name, and what is promised
    objective: how many of all events have to be good
    now: how many of the last hour's events were good
    burn_rate: how fast the last hour spends the budget; 1 spends it in exactly the window
    events: the events of the window, about
    used: which part of the budget the window has spent; above 1 when it spent more than there was
    left: 1 - used
    spent: whether nothing is left
    lasts_until: when nothing will be left if all goes on like the last hour (ISO 8601); None when the budget
        lasts longer than the window, or is spent
    """

    slo: str
    title: str
    objective: float
    now: float | None
    burn_rate: float | None
    events: float
    used: float | None
    left: float | None
    spent: bool
    lasts_until: str | None


class Report(msgspec.Struct, frozen=True):
    """All budgets.

    at: the moment they are of (ISO 8601)
    window_s: the seconds that a budget is for
    counted_s: for how many of them Prometheus has counted events
    """

    at: str
    window_s: float
    counted_s: float
    budgets: list[Budget]

    @property
    def spent(self) -> bool:
        """Whether a budget is spent."""
        return any(budget.spent for budget in self.budgets)


def ask(prometheus: str) -> Report:
    """The report of the Prometheus at this URL. Raises NoReport."""
    try:
        return _report(_Series(_query(prometheus, '{__name__=~"slo:.+"}')))
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise NoReport(f"the Prometheus at {prometheus} does not answer: {error}") from error
    except (ArithmeticError, OSError, RecursionError, ValueError) as error:
        raise NoReport(
            f"{prometheus} does not answer as a Prometheus with these rules does: {error}"
        ) from error


def _report(found: _Series) -> Report:
    """What the series say. Raises NoReport where there are no rules, and ValueError or others where odd."""
    window_s = found.single("slo:window:seconds")
    if window_s is None:
        raise NoReport(
            "this Prometheus has no series of objectives: load deploy/prometheus/rules/slo.yaml, or wait "
            "until its rules have been evaluated, once a minute"
        )
    at = datetime.fromtimestamp(found.at, UTC)
    return Report(
        at=_shown(at),
        window_s=window_s,
        counted_s=min(found.single("slo:counted:seconds") or 0.0, window_s),
        budgets=[_budget(found, slo, at, window_s) for slo in found.objectives],
    )


def _budget(found: _Series, slo: str, at: datetime, window_s: float) -> Budget:
    ratio = found.of("slo:error_ratio:sum" + NOW, slo)
    burn_rate = found.of("slo:burn_rate:sum" + NOW, slo)
    used = found.of("slo:error_budget_used:ratio", slo)
    left = None if used is None else 1.0 - used
    spent = left is not None and left <= 0
    return Budget(
        slo=slo,
        title=found.objectives[slo][0],
        objective=found.objectives[slo][1],
        now=None if ratio is None else 1.0 - ratio,
        burn_rate=burn_rate,
        events=found.of(f"slo:events:sum{window_s / 86400:.0f}d", slo) or 0.0,
        used=used,
        left=left,
        spent=spent,
        lasts_until=None if spent else _lasts_until(at, left, burn_rate, window_s),
    )


def _lasts_until(at: datetime, left: float | None, burn_rate: float | None, window_s: float) -> str | None:
    """When a budget is spent that goes on burning like this; None when it lasts longer than the window."""
    if left is None or not burn_rate or left > burn_rate:
        return None
    return _shown(at + timedelta(seconds=window_s * left / burn_rate))


class _Series:
    """The newest value of each series of the rules."""

    def __init__(self, samples: list[_Sample]) -> None:
        """Raises ValueError for a value that is no finite number."""
        self.at = max((each.value[0] for each in samples), default=0.0)
        self.objectives: dict[str, tuple[str, float]] = {}
        """Title and ratio, by name."""
        self._values: defaultdict[str, dict[str, float]] = defaultdict(dict)
        for each in samples:
            labels, value = each.metric, float(each.value[1])
            name, slo = labels.get("__name__", ""), labels.get("slo", "")
            if not isfinite(value):
                raise ValueError(f"{name} is {value:g}")
            self._values[name][slo] = value
            if name == "slo:objective:ratio":
                self.objectives[slo] = (labels.get("title", ""), value)

    def of(self, name: str, slo: str) -> float | None:
        """The value for an objective."""
        return self._values[name].get(slo)

    def single(self, name: str) -> float | None:
        """The value of a series that no objective has."""
        return self.of(name, "")


def _query(prometheus: str, expression: str) -> list[_Sample]:
    """The instant vector of a PromQL expression. Raises httpx.HTTPError, httpx.InvalidURL, ValueError."""
    with (
        httpx.Client(base_url=prometheus, timeout=TIMEOUT_S) as client,
        client.stream("GET", "/api/v1/query", params={"query": expression}) as reply,
    ):
        reply.raise_for_status()
        body = bytearray()
        for part in reply.iter_bytes():
            body += part
            if len(body) > LONGEST:
                raise ValueError(f"the answer has more than {LONGEST} bytes")
    return msgspec.json.decode(body, type=_Answer).data.result


def _shown(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
