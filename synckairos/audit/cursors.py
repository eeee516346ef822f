"""The cursors of lists that are read in pages: the time of the last entry, and its place among those of then.

To clients a cursor is text without a meaning.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime


def write(at: datetime, place: str) -> str:
    """The cursor of an entry."""
    text = f"{at.isoformat()} {place}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read(text: str) -> tuple[datetime, str]:
    """Time (UTC) and place of the entry that a cursor was made of. Raises ValueError."""
    decoded = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode("ascii")
    at, _, place = decoded.partition(" ")
    return _moment(at), place


def _moment(text: str) -> datetime:
    """A moment in UTC, of ISO 8601 with any time zone. Raises ValueError."""
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError("a moment needs a time zone")
    try:
        return found.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("in UTC there is no such year") from error
