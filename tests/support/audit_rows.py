"""Events and snapshots of the audit, for tests."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

EPOCH = 1_795_306_409_736


def participant(participant_id: str, **fields: Any) -> dict[str, Any]:
    """A participant in the form that events have."""
    return {
        "participant_id": participant_id,
        "participant_index": 0,
        "group_id": None,
        "time_used_ms": 0,
        "cycle_count": 0,
        "has_expired": False,
        **fields,
    }


def event(
    session_id: str, version: int, name: str = "cycle.switched", *, epoch: int = EPOCH, **payload: Any
) -> bytes:
    """An event. `payload` has further fields of its payload."""
    return json.dumps(
        {
            "v": 1,
            "type": "STATE_UPDATE",
            "session_id": session_id,
            "version": version,
            "epoch": str(epoch),
            "server_time_ms": EPOCH + version,
            "payload": {"event": name, "status": "running", "participants": [], "actor": None, **payload},
        },
        separators=(",", ":"),
    ).encode()


def snapshot(
    session_id: str, version: int, *, epoch: int = EPOCH, created_at: datetime | None = None, **fields: Any
) -> bytes:
    """An exported state with the fields that the store reads."""
    at = (created_at or datetime.fromtimestamp(EPOCH / 1000, UTC)).isoformat(timespec="milliseconds")
    state = {
        "session_id": session_id,
        "sync_mode": "per_participant",
        "status": "running",
        "version": version,
        "epoch": str(epoch),
        "created_at": at.replace("+00:00", "Z"),
        "updated_at": at.replace("+00:00", "Z"),
        "tenant_id": None,
        "internal": {},
        **fields,
    }
    return json.dumps(state, separators=(",", ":")).encode()
