"""Looks for secrets in what tests print: a test whose output has one of them fails, whatever it is about.

Servers and programs of tests are given passwords of their own, which are registered here. Tokens and keys are
found by what they look like. A program's standard output is left out: a command may have to print a secret.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Mapping
from urllib.parse import urlsplit

import pytest

CANARY = "canary-in-a-coal-mine"
"""A secret for tests that give one to every setting which is secret."""
SHORTEST = 12
"""Shorter ones are words that tests may print for other reasons."""

_TOKENS = re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}|\bsk_[A-Za-z0-9-]{4,}_[\w-]{20,}")
_NAMED = re.compile(r"SECRET|PASSWORD|TOKEN")
_secrets: set[str] = {CANARY}


def hide(*secrets: str | None) -> None:
    """Has each test fail that prints one of these from now on."""
    _secrets.update(secret for secret in secrets if secret and len(secret) >= SHORTEST)


def hide_those_of(environ: Mapping[str, str]) -> None:
    """Hides the secrets among the settings of a program."""
    for name, value in environ.items():
        if "://" in value:
            hide(urlsplit(value.partition(",")[0]).password)
        elif _NAMED.search(name):
            hide(value)


def seen(text: str) -> list[str]:
    """The secrets in a text, each with what stands before it, and not in full."""
    found = [(place, secret) for secret in _secrets if (place := text.find(secret)) >= 0]
    found += [(match.start(), match[0]) for match in _TOKENS.finditer(text)]
    return [f"{text[max(0, place - 60) : place]}{secret[:4]}…" for place, secret in found]


_ON_PURPOSE = "The console: "
"""The line of `synckairos dev --auth` that has an admin's link, for whoever started it, begins with this."""


def search(lines: Iterable[str]) -> None:
    """Fails when a secret is in what a program has said."""
    found = seen("".join(line for line in lines if not line.startswith(_ON_PURPOSE)))
    assert not found, f"secrets in what a program said: {found}"


class Canaries:
    """A plugin that searches what pytest has captured of each test."""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Has the end of a test fail when the test, its fixtures or what they started printed a secret."""
        report = yield
        if call.when == "teardown" and report.passed:
            found = seen("\n".join(text for name, text in report.sections if name.startswith("Captured")))
            if found:
                report.outcome = "failed"
                report.longrepr = f"secrets were printed: {found}"
        return report
