"""The dashboard of the way from Redis to PostgreSQL."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from deploy.grafana.overview import UP
from deploy.grafana.panels import GREEN, RED, YELLOW, dashboard, lines, number

_STORED = 'sum(rate(synckairos_audit_stored_events_total{outcome="new"}[$__rate_interval]))'


def build(runbooks: str) -> Dashboard:
    """The dashboard, with links to runbooks at this address."""
    made = dashboard(
        "synckairos-audit",
        "SyncKairos: audit",
        "Whether every event reaches PostgreSQL: outboxes, queue, workers, access log, restores, webhooks.",
        runbooks,
    )
    for part in (_now, _way, _beside):
        made = part(made)
    return made


def _now(made: Dashboard) -> Dashboard:
    return (
        made.with_row(Row("Now"))
        .with_panel(
            number(
                "PostgreSQL",
                "Up when at least one process reaches it. While it is away, Redis keeps all events.",
                "none",
                {"reachable": "min(max by (server) (synckairos_postgres_up))"},
                words=UP,
                runbook="audit-backlog.md#batches-cannot-be-stored",
                span=4,
            )
        )
        .with_panel(
            number(
                "Workers",
                "Workers that answered the last scrape. Without one, batches stay in the queue.",
                "none",
                {"answering": 'sum(up{job="synckairos-worker"})'},
                colours=[(1, GREEN)],
                below=RED,
                runbook="audit-backlog.md#events-wait",
                span=4,
            )
        )
        .with_panel(
            number(
                "Events that wait",
                "Events in outboxes and in batches of the queue. More than 1,000 for five minutes warns "
                "somebody.",
                "short",
                {"waiting": "db_write_queue_size"},
                colours=[(100, YELLOW), (1000, RED)],
                runbook="audit-backlog.md#events-wait",
                span=4,
            )
        )
        .with_panel(
            number(
                "Until all are stored",
                "Events that wait, by how many are stored in a second now. Below 10 s all is well.",
                "s",
                {"to drain": f"db_write_queue_size / clamp_min({_STORED}, 0.1)"},
                colours=[(10, YELLOW), (300, RED)],
                runbook="audit-backlog.md#events-wait",
                span=4,
                decimals=1,
            )
        )
        .with_panel(
            number(
                "Batches given up",
                "Batches that failed six times. They are kept, and wait for synckairos audit retry.",
                "none",
                {"given up": 'max(synckairos_audit_batches{state="failed"}) or vector(0)'},
                colours=[(1, RED)],
                runbook="audit-backlog.md#batches-were-given-up",
                span=4,
            )
        )
        .with_panel(
            number(
                "Webhooks that wait",
                "Deliveries to webhooks that wait for an attempt.",
                "short",
                {"waiting": "max(synckairos_webhooks_waiting) or vector(0)"},
                colours=[(100, YELLOW)],
                runbook="audit-backlog.md#webhooks-fail",
                span=4,
            )
        )
    )


def _way(made: Dashboard) -> Dashboard:
    return (
        made.with_row(Row("From the outboxes to PostgreSQL"))
        .with_panel(
            lines(
                "Events that wait",
                "In the outboxes: archivers are behind, or Redis is. In the queue: workers are, or "
                "PostgreSQL is.",
                "short",
                {
                    "in outboxes": "max(synckairos_audit_outbox_events)",
                    "in the queue": "max(synckairos_audit_queued_events)",
                },
                bad_from=1000,
                stacked=True,
                runbook="audit-backlog.md#events-wait",
            )
        )
        .with_panel(
            lines(
                "Events a second",
                "Taken from the outboxes, and brought to PostgreSQL: new ones, and ones that were known "
                "already, "
                "as after a worker died. The lines have to meet.",
                "ops",
                {
                    "archived": "sum(rate(synckairos_audit_archived_events_total[$__rate_interval]))",
                    "stored: {{outcome}}": "sum by (outcome) "
                    "(rate(synckairos_audit_stored_events_total[$__rate_interval]))",
                },
                runbook="audit-backlog.md#events-wait",
            )
        )
        .with_panel(
            lines(
                "Batches",
                "In the queue, waiting for another attempt (scheduled), and given up and kept (failed).",
                "short",
                {"{{state}}": "max by (state) (synckairos_audit_batches)"},
                runbook="audit-backlog.md#batches-were-given-up",
            )
        )
        .with_panel(
            lines(
                "Failed attempts",
                "In a minute, by what happens next. More than 10 for five minutes warns somebody.",
                "cpm",
                {"{{next}}": "60 * sum by (next) (rate(synckairos_audit_failures_total[$__rate_interval]))"},
                bad_from=10,
                runbook="audit-backlog.md#batches-cannot-be-stored",
            )
        )
        .with_panel(
            lines(
                "Processor time of workers",
                "Of one core, by worker.",
                "percentunit",
                {
                    "{{instance}}": "rate(process_cpu_seconds_total"
                    '{job="synckairos-worker"}[$__rate_interval])'
                },
                bad_from=0.8,
                runbook="high-latency.md#a-process-is-busy",
            )
        )
        .with_panel(
            lines(
                "Memory of workers",
                "Resident memory, by worker.",
                "bytes",
                {"{{instance}}": 'process_resident_memory_bytes{job="synckairos-worker"}'},
            )
        )
    )


def _beside(made: Dashboard) -> Dashboard:
    return (
        made.with_row(Row("Access log, restores, webhooks"))
        .with_panel(
            lines(
                "Access log",
                "Refusals and actions a second that were stored, and that are missing because too many "
                "waited. "
                "None may be missing.",
                "ops",
                {
                    "stored": "sum(rate(synckairos_access_log_stored_entries_total[$__rate_interval]))",
                    "missing": "sum(rate(synckairos_access_log_dropped_total[$__rate_interval]))",
                },
                runbook="audit-backlog.md#events-wait",
            )
        )
        .with_panel(
            lines(
                "Restores",
                "Sessions that Redis had lost and that came back from PostgreSQL: in a second, and those "
                "that a "
                "restore under way has not looked at yet.",
                "short",
                {
                    "restored a second": "sum(rate(synckairos_sessions_restored_total[$__rate_interval]))",
                    "still to look at": "sum(synckairos_restore_remaining_sessions)",
                },
                runbook="total-loss.md#no-process-answers",
            )
        )
        .with_panel(
            lines(
                "Webhooks",
                "Deliveries that wait, and attempts that failed in a minute.",
                "short",
                {
                    "waiting": "max(synckairos_webhooks_waiting) or vector(0)",
                    "failed in a minute": "60 * "
                    "sum(rate(synckairos_webhook_failures_total[$__rate_interval])) or vector(0)",
                },
                runbook="audit-backlog.md#webhooks-fail",
            )
        )
    )
