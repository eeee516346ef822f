"""All probes of a process."""

from __future__ import annotations

from synckairos import __version__, metrics
from synckairos.audit.store import Store
from synckairos.config import Settings
from synckairos.core.connection import Connection
from synckairos.probes.alarms import Alarms
from synckairos.probes.postgres import Postgres
from synckairos.probes.probe import Probe
from synckairos.probes.pubsub import PubSub
from synckairos.probes.redis import Primaries
from synckairos.probes.webhooks import Webhooks
from synckairos.realtime.server_time import ServerClock
from synckairos.realtime.subscriptions import Subscriptions


def probes(
    settings: Settings,
    connection: Connection,
    clock: ServerClock,
    subscriptions: Subscriptions,
    store: Store | None,
) -> list[Probe]:
    """The probes, which are not started yet; none where nobody asks for metrics."""
    if not settings.enable_metrics:
        return []
    metrics.build_info.labels(__version__, connection.library.version).set(1)
    found: list[Probe] = [Primaries(connection), Alarms(connection, clock), PubSub(connection, subscriptions)]
    if store is not None and settings.database_url is not None:
        found += [Postgres(store, settings.database_url), Webhooks(store)]
    return found
