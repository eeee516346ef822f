"""Patterns of events, filters of sessions, and secrets."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from synckairos.webhooks import model
from synckairos.webhooks.model import Webhook
from tests.support.pages import ROOT

WEBHOOK = Webhook("", None, "", None, None, "active", datetime.now(UTC), 0)


def test_all_events_of_the_library_can_be_asked_for() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "lua").rglob("*.lua"))
    made = set(re.findall(r"'((?:session|cycle|turn|participant|time|metadata)\.[a-z_]+)'", sources))
    assert {"session.created", "time.warning", "metadata.changed"} <= made
    assert made <= model.EVENTS


@pytest.mark.parametrize(
    ("patterns", "event", "wanted"),
    [
        (None, "session.created", True),
        (("session.expired",), "session.expired", True),
        (("session.expired",), "session.created", False),
        (("participant.*",), "participant.expired", True),
        (("participant.*",), "time.warning", False),
        (("time.warning", "session.*"), "session.reset", True),
        (("metadata.*",), "metadata.changed", True),
    ],
)
def test_which_events_are_wanted(patterns: tuple[str, ...] | None, event: str, wanted: bool) -> None:
    assert replace(WEBHOOK, events=patterns).wants(event) == wanted


def test_patterns_are_names_of_events_or_groups() -> None:
    assert model.unknown(["session.*", "turn.set", "turn.taken_back", "session.reopened"]) == []
    assert model.unknown(["*", "session", "session.exp*", "cycle.switched", "Session.*", "webhook.test"]) == [
        *(0, 1, 2, 4, 5)
    ]


@pytest.mark.parametrize(
    ("wanted", "metadata", "watched"),
    [
        (None, None, True),
        ({}, {}, True),
        ({"league": "A"}, {"league": "A", "round": 1}, True),
        ({"league": "A"}, {"league": "B"}, False),
        ({"league": "A", "round": 1}, {"league": "A"}, False),
        ({"league": "A"}, None, False),
        ({"n": 1}, {"n": True}, False),
        ({"n": 1}, {"n": 1.0}, True),
        ({"n": None}, {}, False),
        ({"n": None}, {"n": None}, True),
        ({"n": {"a": [1]}}, {"n": {"a": [1]}}, True),
        ({"n": {"a": [1]}}, {"n": {"a": [True]}}, False),
        ({"n": {}}, {"n": {"a": 1}}, False),
    ],
)
def test_which_sessions_are_wanted(
    wanted: dict[str, Any] | None, metadata: dict[str, Any] | None, watched: bool
) -> None:
    assert replace(WEBHOOK, sessions=wanted).watches(metadata) == watched


def test_secrets_have_the_form_of_standard_webhooks() -> None:
    def of(length: int) -> str:
        return "whsec_" + base64.b64encode(bytes(length)).decode()

    assert model.is_secret(model.new_secret())
    assert model.new_secret() != model.new_secret()
    assert [length for length in range(100) if model.is_secret(of(length))] == [*range(24, 65)]
    assert not any(
        map(model.is_secret, ["", "whsec_", of(32)[6:], of(32) + "!", of(32).replace("A", "-"), "é"])
    )
