"""What an operator has to look at: an error in the log and, with SENTRY_DSN, an event in Sentry."""

from __future__ import annotations

from typing import Any

import sentry_sdk
import structlog

from synckairos import __version__
from synckairos.config import Settings

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

FLUSH_S = 2.0


def configure(settings: Settings, **options: Any) -> None:
    """Set Sentry up for this process, where it is configured. `options` are its own."""
    if settings.sentry_dsn is None:
        return
    # Only what is raised here is sent: no requests, no headers, nothing that the integrations would add.
    sentry_sdk.init(
        settings.sentry_dsn,
        environment=settings.sentry_environment or settings.environment,
        release=f"synckairos@{__version__}",
        default_integrations=False,
        auto_enabling_integrations=False,
        send_default_pii=False,
        **options,
    )


def alert(message: str, **context: Any) -> None:
    """Say that something needs a person. Events with the same message are one issue in Sentry."""
    log.error(message, **context)
    with sentry_sdk.new_scope() as scope:
        scope.set_context("details", context)
        scope.capture_message(message, level="error")


def close() -> None:
    """Wait a moment until what was raised is sent."""
    sentry_sdk.flush(FLUSH_S)
