"""The parts with which a process follows the sessions of one Redis deployment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from synckairos.core.calls import Sessions
from synckairos.errors import SessionMoved
from synckairos.realtime.server_time import ServerClock
from synckairos.realtime.subscriptions import Subscriptions


@dataclass(frozen=True, slots=True)
class Deployment:
    """One Redis deployment. sessions: asks this deployment alone."""

    sessions: Sessions
    subscriptions: Subscriptions
    clock: ServerClock


class MovedTo(Protocol):
    """Finds the deployment to which a session has moved."""

    async def deployment(self, moved: SessionMoved) -> Deployment | None:
        """The deployment that has the session; None when this process has no way to it.

        Raises StorageUnavailable when it does not answer.
        """
