"""What a run of a fuzzer has found, and its figures."""

from __future__ import annotations

import json
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

MOST_TEXT = 2000
MOST_FAILURES = 20
"""After so many the run ends: more would say nothing new."""


class TooManyFailures(Exception):
    """The run ends early."""


class Report:
    """Cases, what they were answered, and failures.

    name: of the fuzzer
    seed: with which the run can be repeated
    """

    def __init__(self, name: str, seed: int) -> None:
        self.name, self.seed = name, seed
        self.cases = 0
        self.looks = 0
        """How often the invariants were looked at."""
        self.answers: Counter[str] = Counter()
        self.failures: list[str] = []
        self.figures: dict[str, Any] = {}
        """Of this fuzzer alone."""
        self._begun = time.monotonic()

    def fail(self, what: str, *about: object) -> None:
        """Note something that must not happen. Raises TooManyFailures."""
        text = "\n  ".join([what, *(repr(each)[:MOST_TEXT] for each in about)])
        self.failures.append(f"seed {self.seed}, case {self.cases}: {text}")
        if len(self.failures) >= MOST_FAILURES:
            raise TooManyFailures

    @contextmanager
    def running(self) -> Iterator[None]:
        """The run. What breaks it off is a failure, and its figures so far are told."""
        try:
            yield
        except TooManyFailures:
            pass
        except Exception:  # noqa: BLE001 - whatever it is, it was found
            self.failures.append(f"seed {self.seed}, case {self.cases}: {traceback.format_exc()}")

    def last_line(self) -> str:
        """The figures as one line of JSON."""
        seconds = time.monotonic() - self._begun
        figures = {
            "fuzzer": self.name,
            "seed": self.seed,
            "cases": self.cases,
            "seconds": round(seconds, 1),
            "looks": self.looks,
            "answers": dict(self.answers.most_common()),
            **self.figures,
            "failures": len(self.failures),
        }
        return json.dumps(figures)
