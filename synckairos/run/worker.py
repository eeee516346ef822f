"""`synckairos worker`: stores batches, and sends to webhooks what they ask for."""

from __future__ import annotations

import contextlib
from pathlib import Path

import click

from synckairos.audit.settings import audit_settings_or_exit
from synckairos.settings_option import config_option


@click.command()
@config_option
def worker(file: Path | None) -> None:
    """Store the batches of the audit's queue in PostgreSQL, and send webhooks their events, until stopped.

    Run as many as are needed.
    """
    from synckairos import __version__, metrics
    from synckairos.audit import alerts
    from synckairos.audit import worker as audit_worker
    from synckairos.core.library import Library
    from synckairos.tracing import process
    from synckairos.webhooks.service import Sending

    settings = audit_settings_or_exit(file)
    alerts.configure(settings)
    with contextlib.ExitStack() as stack:
        stack.callback(process.start(settings, "synckairos-worker"))
        if settings.enable_metrics and settings.metrics_port is not None:
            metrics.build_info.labels(__version__, Library.assemble().version).set(1)
            try:
                stack.callback(metrics.serve(settings.host, settings.metrics_port))
            except OSError as error:
                raise click.ClickException(
                    f"METRICS_PORT {settings.metrics_port} cannot be listened on ({error.strerror}): "
                    "a service and each worker on a machine need ports of their own"
                ) from None
        try:
            audit_worker.work(settings, Sending(settings))
        except audit_worker.SchemaMissing as error:
            raise click.ClickException(str(error)) from None
