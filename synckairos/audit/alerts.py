"""Alerts for operators: an error in the log and, with SENTRY_DSN, an event in Sentry."""

from __future__ import annotations

from typing import Any

import sentry_sdk
import structlog

from synckairos import __version__
from synckairos.config import Settings
from synckairos.output import redacted

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

FLUSH_S = 2.0


def configure(settings: Settings, **options: Any) -> None:
    """Set up Sentry for this process, if SENTRY_DSN is set. `options` are passed to Sentry."""
    if settings.sentry_dsn is None:
        return
    # Only alerts are sent: no requests, no headers, and nothing that Sentry's integrations would add.
    sentry_sdk.init(
        settings.sentry_dsn,
        environment=settings.sentry_environment or settings.environment,
        release=f"synckairos@{__version__}",
        default_integrations=False,
        auto_enabling_integrations=False,
        include_local_variables=False,
        max_request_body_size="never",
        before_send=_without_secrets,
        **options,
    )


def _without_secrets(event: Any, _hint: Any) -> Any:
    """The event as it is sent: none of its texts has a secret in it."""
    return _redacted(event)


def _redacted(value: Any) -> Any:
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, dict):
        return {name: _redacted(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted(each) for each in value]
    return value


def alert(message: str, **context: Any) -> None:
    """Tell an operator about a problem. Events with the same message are one issue in Sentry."""
    log.error(message, **context)
    with sentry_sdk.new_scope() as scope:
        scope.set_context("details", context)
        scope.capture_message(message, level="error")


def close() -> None:
    """Wait until the alerts are sent, for at most FLUSH_S."""
    sentry_sdk.flush(FLUSH_S)
