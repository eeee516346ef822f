"""An example of each call, for the description of the API. A test makes the calls, so they are right.

The ids are those of one made-up game: whoever reads can follow it from its creation to its end.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

SESSION = "7c9e6679-7425-40de-944b-e07fc1f90ae9"
ANNA = "aaaaaaaa-0000-4000-8000-000000000001"
BEN = "bbbbbbbb-0000-4000-8000-000000000002"
CLEO = "cccccccc-0000-4000-8000-000000000003"
OWLS = "dddddddd-0000-4000-8000-000000000004"
LINK = "lnk_5f0c6c5e6f0b5c53"
WEBHOOK = "eeeeeeee-0000-4000-8000-000000000005"
DELIVERY = "ffffffff-0000-4000-8000-000000000006"

PLACES = {
    "session_id": SESSION,
    "participant_id": BEN,
    "group_id": OWLS,
    "link_id": LINK,
    "webhook_id": WEBHOOK,
    "delivery_id": DELIVERY,
}
"""What stands in the paths of examples."""


@dataclass(frozen=True, slots=True)
class Example:
    """One call. body: None for none. path: what differs from PLACES."""

    body: Any = None
    query: str = ""
    path: dict[str, str] = field(default_factory=dict)


_PLAIN = Example()

EXAMPLES: dict[str, Example] = {
    "create_session": Example({"preset": "blitz", "participants": ["Anna", "Ben"], "title": "Club night"}),
    "list_sessions": Example(query="status=running&limit=20"),
    "get_session": _PLAIN,
    "delete_session": _PLAIN,
    "start_session": _PLAIN,
    "switch_cycle": Example({"current_participant_id": ANNA}),
    "pause_session": _PLAIN,
    "resume_session": _PLAIN,
    "takeback_turns": Example({"turns": 1}),
    "set_turn": Example({"active_participant_id": BEN}),
    "schedule_session": Example({"starts_at_ms": None, "ends_at_ms": 1_800_000_000_000}),
    "patch_metadata": Example({"metadata": {"title": "Club night, round 2", "message": None}}),
    "complete_session": _PLAIN,
    "cancel_session": _PLAIN,
    "reopen_session": _PLAIN,
    "reset_session": _PLAIN,
    "join_session": Example({"participant_id": CLEO, "total_time_ms": 180_000}),
    "leave_session": Example(path={"participant_id": CLEO}),
    "adjust_participant": Example({"add_ms": 60_000, "reason": "a phone rang"}),
    "adjust_group": Example({"add_ms": 60_000}),
    "adjust_clock": Example({"add_ms": 10_000, "within_ms": 10_000}),
    "get_events": Example(query="since=0"),
    "get_timeline": Example(query="since=0"),
    "make_link": Example({"role": "player", "participant_id": BEN, "expires_in_s": 86_400}),
    "list_links": _PLAIN,
    "revoke_link": _PLAIN,
    "revoke_links": _PLAIN,
    "revoke_tokens": Example({"sub": "anna@club.example"}),
    "make_webhook": Example(
        {"url": "https://club.example/hook", "events": ["session.*", "participant.expired"]}
    ),
    "list_webhooks": _PLAIN,
    "remove_webhook": _PLAIN,
    "test_webhook": _PLAIN,
    "list_deliveries": Example(query="limit=20"),
    "retry_delivery": _PLAIN,
    "list_presets": _PLAIN,
    "get_access_log": _PLAIN,
    "get_time": _PLAIN,
    "get_health": _PLAIN,
    "get_ready": _PLAIN,
    "debug_session": _PLAIN,
    "get_metrics": _PLAIN,
    "get_openapi": _PLAIN,
    "get_docs": _PLAIN,
}
"""The examples by the names of the routes."""


def path_of(template: str, example: Example) -> str:
    """The path of an example, with its query."""
    path = template
    for name, value in {**PLACES, **example.path}.items():
        path = path.replace(f"{{{name}}}", value)
    return f"{path}?{example.query}" if example.query else path
