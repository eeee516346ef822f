"""The tables of sessions, events, participants, accesses and refused events."""

from __future__ import annotations

from alembic import op

revision = "1"
down_revision = None
oldest = "1"

# Epochs are milliseconds as decimal text, so they are stored as numbers, which sort. Events and snapshots are
# `json` and not `jsonb`, because `json` keeps the exact text and accepts an escaped NUL, which jsonb refuses.
TABLES = (
    """
    CREATE TABLE sync_events (
        session_id uuid NOT NULL,
        version bigint NOT NULL CHECK (version > 0),
        epoch bigint NOT NULL,
        event text NOT NULL,
        server_time_ms bigint NOT NULL,
        status text NOT NULL,
        actor text,
        body json NOT NULL,
        archived_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (session_id, version, epoch)
    )
    """,
    # The first event of each epoch. These are few rows, and they are read whenever a session's events are.
    """
    CREATE INDEX sync_events_beginnings ON sync_events (session_id, epoch, version)
    WHERE event IN ('session.created', 'session.recovered')
    """,
    """
    CREATE TABLE sync_sessions (
        session_id uuid PRIMARY KEY,
        tenant_id text,
        sync_mode text,
        status text NOT NULL,
        epoch bigint NOT NULL,
        version bigint NOT NULL,
        snapshot json,
        snapshot_epoch bigint,
        snapshot_version bigint,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        CHECK ((snapshot IS NULL) = (snapshot_epoch IS NULL)),
        CHECK ((snapshot IS NULL) = (snapshot_version IS NULL))
    ) WITH (fillfactor = 70)
    """,
    "CREATE INDEX sync_sessions_of_tenant ON sync_sessions (tenant_id, created_at DESC, session_id DESC)",
    """
    CREATE INDEX sync_sessions_live ON sync_sessions (session_id)
    WHERE status IN ('pending', 'running', 'paused')
    """,
    """
    CREATE TABLE sync_participants (
        session_id uuid NOT NULL,
        participant_id uuid NOT NULL,
        group_id uuid,
        participant_index integer,
        time_used_ms bigint NOT NULL DEFAULT 0,
        cycle_count bigint NOT NULL DEFAULT 0,
        has_expired boolean NOT NULL DEFAULT false,
        removed boolean NOT NULL DEFAULT false,
        epoch bigint NOT NULL,
        version bigint NOT NULL,
        PRIMARY KEY (session_id, participant_id)
    ) WITH (fillfactor = 70)
    """,
    "CREATE INDEX sync_participants_by_person ON sync_participants (participant_id)",
    """
    CREATE TABLE sync_access_log (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        at timestamptz NOT NULL DEFAULT now(),
        actor text,
        tenant_id text,
        roles text[] NOT NULL DEFAULT '{}',
        action text NOT NULL,
        session_id uuid,
        allowed boolean NOT NULL,
        reason text,
        request_id text,
        address text,
        details json
    )
    """,
    "CREATE INDEX sync_access_log_by_time ON sync_access_log (at)",
    "CREATE INDEX sync_access_log_of_session ON sync_access_log (session_id, at)",
    "CREATE INDEX sync_access_log_of_tenant ON sync_access_log (tenant_id, at)",
    """
    CREATE TABLE sync_refused (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        refused_at timestamptz NOT NULL DEFAULT now(),
        source text NOT NULL,
        reason text NOT NULL,
        body bytea NOT NULL,
        digest bytea NOT NULL GENERATED ALWAYS AS (sha256(body)) STORED,
        UNIQUE (source, digest)
    )
    """,
)


def upgrade() -> None:
    """Make the tables."""
    for statement in TABLES:
        op.execute(statement)


def downgrade() -> None:
    """Drop the tables with all their rows."""
    for table in ("sync_refused", "sync_access_log", "sync_participants", "sync_sessions", "sync_events"):
        op.execute(f"DROP TABLE {table}")
