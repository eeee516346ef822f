"""All routes in one table. The router, the `Allow` headers and OpenAPI are made from it."""

from __future__ import annotations

from synckairos.api.route import Route
from synckairos.api.routes import (
    access_log,
    clocks,
    docs,
    events,
    links,
    participants,
    presets,
    revocations,
    service,
    sessions,
    transitions,
    webhooks,
)

ROUTES: tuple[Route, ...] = (
    *sessions.ROUTES,
    *transitions.ROUTES,
    *participants.ROUTES,
    *clocks.ROUTES,
    *events.ROUTES,
    *links.ROUTES,
    *revocations.ROUTES,
    *webhooks.ROUTES,
    *presets.ROUTES,
    *access_log.ROUTES,
    *service.ROUTES,
    *docs.ROUTES,
)

__all__ = ["ROUTES", "Route"]
