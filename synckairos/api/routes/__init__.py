"""All routes, in one table: the router, the `Allow` headers and OpenAPI are made from it."""

from __future__ import annotations

from synckairos.api.route import Route
from synckairos.api.routes import presets, service, sessions

ROUTES: tuple[Route, ...] = (*sessions.ROUTES, *presets.ROUTES, *service.ROUTES)

__all__ = ["ROUTES", "Route"]
