"""The dashboard to look at first: is it well, and if not, where."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from deploy.grafana.panels import (
    GREEN,
    PICKED,
    RED,
    YELLOW,
    dashboard,
    instances,
    lines,
    number,
    percentiles,
    rows,
    states,
)

UP = {0: ("Down", RED), 1: ("Up", GREEN)}
_HTTP = "synckairos_http_request_seconds"
_USERS = f'{PICKED}, route=~"/v1/.*"'
"""Health checks are no users, and /ready answers 503 on purpose."""
_FAILED = (
    f'(sum(rate({_HTTP}_count{{{_USERS}, status=~"5.."}}[$__rate_interval])) or vector(0))'
    f" / sum(rate({_HTTP}_count{{{_USERS}}}[$__rate_interval]))"
)


def build(runbooks: str) -> Dashboard:
    """The dashboard, with links to runbooks at this address."""
    made = dashboard(
        "synckairos-overview",
        "SyncKairos: overview",
        "Whether the service is well, and where it is not: requests, clocks, sockets, Redis, processes.",
        runbooks,
    ).with_variable(instances())
    for part in (_now, _requests, _clocks, _sockets, _redis, _processes):
        made = part(made)
    return made


def _now(made: Dashboard) -> Dashboard:
    return (
        made.with_row(Row("Now"))
        .with_panel(
            number(
                "Services",
                "Addresses that answered the last scrape. With none, nobody is served.",
                "none",
                {"answering": 'sum(up{job="synckairos"})'},
                colours=[(1, GREEN)],
                below=RED,
                runbook="total-loss.md#no-process-answers",
            )
        )
        .with_panel(
            number(
                "Redis",
                "Up when at least one process reaches every primary. Clocks stand in Redis: without it "
                "nothing "
                "works.",
                "none",
                {"reachable": "min(max by (server) (synckairos_redis_up))"},
                words=UP,
                runbook="redis-failover.md#redis-does-not-answer",
            )
        )
        .with_panel(
            number(
                "PostgreSQL",
                "Up when at least one process reaches it. Sessions go on without it; the audit waits.",
                "none",
                {"reachable": "min(max by (server) (synckairos_postgres_up))"},
                words=UP,
                runbook="audit-backlog.md#batches-cannot-be-stored",
            )
        )
        .with_panel(
            number(
                "Alerts",
                "How many alerts fire. Alertmanager says which.",
                "none",
                {"firing": 'count(ALERTS{alertstate="firing"}) or vector(0)'},
                colours=[(1, RED)],
            )
        )
        .with_panel(
            number(
                "Active sessions",
                "Sessions in which something is due by itself, as one whose clock runs down.",
                "short",
                {"active": "max(synckairos_sessions)"},
            )
        )
        .with_panel(
            number(
                "Sockets",
                "Open WebSockets.",
                "short",
                {"open": f"sum(synckairos_websocket_connections{{{PICKED}}})"},
                runbook="disconnection-storm.md#sockets-end-abnormally",
            )
        )
        .with_panel(
            number(
                "Switches",
                "Switches a second, over HTTP and WebSocket.",
                "ops",
                {"switches": f"sum(rate(synckairos_switches_total{{{PICKED}}}[$__rate_interval]))"},
            )
        )
        .with_panel(
            number(
                "Failed requests",
                "Requests to /v1 that were answered with 5xx. Above 5 % for two minutes pages somebody.",
                "percentunit",
                {"failed": _FAILED},
                colours=[(0.001, YELLOW), (0.05, RED)],
                decimals=2,
                runbook="high-latency.md#requests-fail",
            )
        )
    )


def _requests(made: Dashboard) -> Dashboard:
    route = '{PICKED}, method="{method}", route="/v1/sessions/{{session_id}}{end}"'
    switch = route.format(PICKED=PICKED, method="POST", end="/switch")
    read = route.format(PICKED=PICKED, method="GET", end="")
    return (
        made.with_row(Row("Requests"))
        .with_panel(
            lines(
                "Requests by status",
                "Requests a second. 5xx are failures of the service, 4xx refusals.",
                "reqps",
                {"{{status}}": f"sum by (status) (rate({_HTTP}_count{{{PICKED}}}[$__rate_interval]))"},
                stacked=True,
                runbook="high-latency.md#requests-fail",
            )
        )
        .with_panel(
            percentiles(
                "Switch",
                "How long a switch takes. 99.9 % have to be answered within 50 ms.",
                f"{_HTTP}_bucket{{{switch}}}",
                bad_from=0.05,
                runbook="high-latency.md#requests-are-slow",
            )
        )
        .with_panel(
            percentiles(
                "Read",
                "How long reading a session takes. 99.9 % have to be answered within 10 ms.",
                f"{_HTTP}_bucket{{{read}}}",
                bad_from=0.01,
                runbook="high-latency.md#requests-are-slow",
            )
        )
        .with_panel(
            lines(
                "Slowest routes",
                "The five routes with the highest 99th percentile. Above 0.1 s over all routes for five "
                "minutes "
                "pages somebody.",
                "s",
                {
                    "{{route}}": "topk(5, histogram_quantile(0.99, sum by (route, le) "
                    f"(rate({_HTTP}_bucket{{{PICKED}}}[$__rate_interval]))))"
                },
                bad_from=0.1,
                runbook="high-latency.md#requests-are-slow",
            )
        )
        .with_panel(
            lines(
                "Errors by code",
                "Errors a second, answered over HTTP and WebSocket.",
                "ops",
                {"{{code}}": f"sum by (code) (rate(synckairos_errors_total{{{PICKED}}}[$__rate_interval]))"},
                runbook="high-latency.md#requests-fail",
            )
        )
        .with_panel(
            lines(
                "Turned away by a limit",
                "Requests a second that a rate limit refused. One client that does it wrong shows here "
                "first.",
                "reqps",
                {
                    "{{limit}}": "sum by (limit) "
                    f"(rate(synckairos_rate_limited_total{{{PICKED}}}[$__rate_interval]))"
                },
            )
        )
    )


def _clocks(made: Dashboard) -> Dashboard:
    return (
        made.with_row(Row("Clocks"))
        .with_panel(
            percentiles(
                "How late clocks expire",
                "From the deadline of a clock to the call that ends it. 99.9 % have to be carried out "
                "within 50 ms.",
                f"synckairos_expiry_lateness_seconds_bucket{{{PICKED}}}",
                bad_from=0.05,
                runbook="high-latency.md#clocks-do-not-expire",
            )
        )
        .with_panel(
            lines(
                "What was due",
                "Calls a second for alarms that were due, by their effect. None is one that another "
                "process was "
                "first to carry out.",
                "ops",
                {
                    "{{kind}}": "sum by (kind) "
                    f"(rate(synckairos_expiries_total{{{PICKED}}}[$__rate_interval]))"
                },
            )
        )
        .with_panel(
            lines(
                "Overdue",
                "Alarms that are due for more than 5 s, and sessions that run for more than a minute after "
                "their deadline. Both have to be 0.",
                "short",
                {
                    "alarms": "max(synckairos_overdue_alarms)",
                    "sessions": "max(synckairos_overdue_sessions)",
                },
                bad_from=1,
                runbook="high-latency.md#clocks-do-not-expire",
            )
        )
    )


def _sockets(made: Dashboard) -> Dashboard:
    return (
        made.with_row(Row("Sockets"))
        .with_panel(
            percentiles(
                "Delivery",
                "From an event until it was written to the last of its sockets. 99.9 % have to be there "
                "within "
                "100 ms.",
                f"synckairos_websocket_delivery_seconds_bucket{{{PICKED}}}",
                bad_from=0.1,
                runbook="high-latency.md#requests-are-slow",
            )
        )
        .with_panel(
            lines(
                "Open sockets",
                "WebSockets of each service.",
                "short",
                {"{{instance}}": f"sum by (instance) (synckairos_websocket_connections{{{PICKED}}})"},
                stacked=True,
            )
        )
        .with_panel(
            lines(
                "Closed sockets",
                "Sockets closed in a minute, by code. 1000, 1001, 1005 and 4404 are normal; more than 100 "
                "others page somebody.",
                "cpm",
                {
                    "{{code}}": "60 * sum by (code) "
                    f"(rate(synckairos_websocket_closes_total{{{PICKED}}}[$__rate_interval]))"
                },
                bad_from=100,
                runbook="disconnection-storm.md#sockets-end-abnormally",
            )
        )
        .with_panel(
            percentiles(
                "Round trip to clients",
                "From a ping to the client's answer. It is the network's time, and the client's.",
                f"synckairos_websocket_round_trip_seconds_bucket{{{PICKED}}}",
            )
        )
        .with_panel(
            lines(
                "Clients with a wrong clock",
                "Connected clients whose clock is wrong by more than 0.1 s. They show clocks right all the "
                "same; "
                "many of them point at the servers' own time.",
                "short",
                {"{{instance}}": f"sum by (instance) (synckairos_clients_with_wrong_clock{{{PICKED}}})"},
                bad_from=10,
                runbook="disconnection-storm.md#clocks-of-clients-are-wrong",
            )
        )
        .with_panel(
            lines(
                "Gaps closed",
                "Gaps in what a socket was sent, a second: closed from the session's log, or by its whole "
                "state.",
                "ops",
                {
                    "from the log or by a state": "sum(rate(synckairos_relay_gaps_total"
                    f"{{{PICKED}}}[$__rate_interval])) or vector(0)"
                },
            )
        )
    )


def _redis(made: Dashboard) -> Dashboard:
    return (
        made.with_row(Row("Redis"))
        .with_panel(
            lines(
                "Slowest calls",
                "The 99th percentile of calls to Redis with their retries: the five slowest functions and "
                "commands.",
                "s",
                {
                    "{{call}}": "topk(5, histogram_quantile(0.99, sum by (call, le) "
                    f"(rate(synckairos_redis_call_seconds_bucket{{{PICKED}}}[$__rate_interval]))))"
                },
                runbook="high-latency.md#requests-are-slow",
            )
        )
        .with_panel(
            percentiles(
                "Pub/Sub",
                "From sending a probe's message until it came back. It has a value without traffic, too.",
                f"synckairos_redis_pubsub_latency_seconds_bucket{{{PICKED}}}",
            )
        )
        .with_panel(
            states(
                "Breakers",
                "What a process does not ask at the moment, because it failed again and again.",
                {"{{dependency}}": "max by (dependency) (synckairos_breaker_state)"},
                {0: ("closed", GREEN), 1: ("half open", YELLOW), 2: ("open", RED)},
                runbook="redis-failover.md#redis-does-not-answer",
            )
        )
        .with_panel(
            lines(
                "Memory used of the limit",
                "What each primary uses of its maxmemory. A full one refuses new sessions; 0 without a "
                "limit.",
                "percentunit",
                {
                    "{{server}}": "max by (server) (synckairos_redis_memory_bytes) "
                    "/ max by (server) (synckairos_redis_memory_limit_bytes)"
                },
                bad_from=0.8,
                most=1,
                runbook="full-memory.md#memory-fills",
            )
        )
        .with_panel(
            lines(
                "Memory",
                "What each primary uses.",
                "bytes",
                {"{{server}}": "max by (server) (synckairos_redis_memory_bytes)"},
                runbook="full-memory.md#memory-fills",
            )
        )
        .with_panel(
            lines(
                "Replicas and Sentinels",
                "Seconds since a replica last confirmed what it has, and Sentinels that answer against those "
                "that are needed.",
                "short",
                {
                    "lag of {{replica}} (s)": "max by (replica) (synckairos_replication_lag_seconds)",
                    "Sentinels that answer": "min(synckairos_sentinels_ok)",
                    "Sentinels needed": "max(synckairos_sentinels_needed)",
                },
                runbook="redis-failover.md#too-few-sentinels",
            )
        )
    )


def _processes(made: Dashboard) -> Dashboard:
    return (
        made.with_row(Row("Processes"))
        .with_panel(
            lines(
                "Processor time",
                "Of one core, by process. One that is busy for more than 80 % answers late.",
                "percentunit",
                {
                    "{{job}} {{instance}} {{worker}}": "rate(process_cpu_seconds_total"
                    '{job=~"synckairos.*"}[$__rate_interval])'
                },
                bad_from=0.8,
                runbook="high-latency.md#a-process-is-busy",
            )
        )
        .with_panel(
            lines(
                "Memory of processes",
                "Resident memory. One that only grows leaks.",
                "bytes",
                {"{{job}} {{instance}} {{worker}}": 'process_resident_memory_bytes{job=~"synckairos.*"}'},
            )
        )
        .with_panel(
            rows(
                "Versions",
                "Releases of the services, and of the function library that each brings along.",
                "none",
                "count by (job, instance, version, library) (synckairos_build_info)",
            )
        )
    )
