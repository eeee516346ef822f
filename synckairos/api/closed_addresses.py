"""The addresses from which too many logins have failed, as far as this process knows."""

from __future__ import annotations

from synckairos.api.closed import Closed


class ClosedAddresses(Closed):
    """Addresses that may not log in for a while."""
