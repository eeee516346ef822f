"""The Python client of a SyncKairos service. The reference is README.md in this folder.

This package is for asyncio. `synckairos.client.blocking` has the same names for programs without asyncio.
"""

from synckairos.client.calls import SAME
from synckairos.client.client import SyncKairos
from synckairos.client.config import Config
from synckairos.client.errors import SyncKairosError
from synckairos.client.face import ClockFace, Due, clock_text
from synckairos.client.handle import Handle
from synckairos.client.model import Change, Group, Page, Participant, Payload, State, Summary, TimeControl
from synckairos.client.server_time import ServerTime
from synckairos.client.session import Session
from synckairos.client.time import ClockFilter, SlewedClock

__all__ = [
    "SAME",
    "Change",
    "ClockFace",
    "ClockFilter",
    "Config",
    "Due",
    "Group",
    "Handle",
    "Page",
    "Participant",
    "Payload",
    "ServerTime",
    "Session",
    "SlewedClock",
    "State",
    "Summary",
    "SyncKairos",
    "SyncKairosError",
    "TimeControl",
    "clock_text",
]
