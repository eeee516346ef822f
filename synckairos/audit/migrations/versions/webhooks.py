"""The tables of webhooks, of what is sent to them, and of which events were looked through for them."""

from __future__ import annotations

from alembic import op

revision = "4"
down_revision = "3"
oldest = "1"

TABLES = (
    # `since_ms` is the time of Redis when it was made: what was committed before is not sent.
    """
    CREATE TABLE sync_webhooks (
        webhook_id uuid PRIMARY KEY,
        tenant_id text CHECK (tenant_id <> ''),
        owner text NOT NULL GENERATED ALWAYS AS (coalesce(tenant_id, '')) STORED,
        url text NOT NULL,
        events text[],
        sessions json,
        secret text NOT NULL,
        status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'ended', 'disabled')),
        created_at timestamptz NOT NULL DEFAULT now(),
        made_by text,
        since_ms bigint NOT NULL,
        failing_since timestamptz
    )
    """,
    "CREATE INDEX sync_webhooks_of_tenant ON sync_webhooks (owner, created_at)",
    # What a worker tells in the transaction in which it stores events: which sessions to look at.
    """
    CREATE TABLE sync_webhook_changes (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        session_id uuid NOT NULL,
        first_version bigint NOT NULL,
        noted_at timestamptz NOT NULL DEFAULT now(),
        not_before timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE INDEX sync_webhook_changes_due ON sync_webhook_changes (not_before, id)",
    "CREATE INDEX sync_webhook_changes_of_session ON sync_webhook_changes (session_id)",
    # Which versions of each epoch were looked through, so that none is sent twice and none is passed over.
    """
    CREATE TABLE sync_webhook_sessions (
        session_id uuid NOT NULL,
        epoch bigint NOT NULL,
        owner text NOT NULL,
        seen int8multirange NOT NULL,
        PRIMARY KEY (session_id, epoch)
    ) WITH (fillfactor = 70)
    """,
    "CREATE INDEX sync_webhook_sessions_of_tenant ON sync_webhook_sessions (owner)",
    # `epochs` and `versions` name its events; `body` is that of a test, which has none. Of a session's
    # deliveries that wait, only the one with the lowest place has a `next_attempt_at`.
    """
    CREATE TABLE sync_webhook_deliveries (
        delivery_id uuid PRIMARY KEY,
        place bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
        webhook_id uuid NOT NULL REFERENCES sync_webhooks ON DELETE CASCADE,
        session_id uuid,
        epochs bigint[] NOT NULL DEFAULT '{}',
        versions bigint[] NOT NULL DEFAULT '{}',
        body text,
        status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'delivered', 'failed')),
        attempts integer NOT NULL DEFAULT 0,
        failures integer NOT NULL DEFAULT 0,
        response_status integer,
        problem text,
        created_at timestamptz NOT NULL DEFAULT now(),
        next_attempt_at timestamptz,
        claim uuid,
        claimed_until timestamptz,
        sealed boolean NOT NULL DEFAULT false,
        done_at timestamptz
    ) WITH (fillfactor = 80)
    """,
    "CREATE INDEX sync_webhook_deliveries_of_webhook ON sync_webhook_deliveries (webhook_id, place)",
    """
    CREATE INDEX sync_webhook_deliveries_due ON sync_webhook_deliveries (webhook_id, next_attempt_at, place)
    WHERE status = 'pending' AND next_attempt_at IS NOT NULL
    """,
    """
    CREATE INDEX sync_webhook_deliveries_waiting ON sync_webhook_deliveries (webhook_id, session_id, place)
    WHERE status = 'pending'
    """,
    """
    CREATE INDEX sync_webhook_deliveries_done ON sync_webhook_deliveries (done_at)
    WHERE done_at IS NOT NULL
    """,
    # `sure_at`: until when every batch was stored by a worker that tells of it. `beat_at`: when one of those
    # that send looked last.
    """
    CREATE TABLE sync_webhook_state (
        one boolean PRIMARY KEY DEFAULT true CHECK (one),
        sure_at timestamptz NOT NULL,
        beat_at timestamptz NOT NULL
    )
    """,
    "INSERT INTO sync_webhook_state (sure_at, beat_at) VALUES ('-infinity', '-infinity')",
)


def upgrade() -> None:
    """Make the tables."""
    for statement in TABLES:
        op.execute(statement)


def downgrade() -> None:
    """Drop the tables with all their rows: nothing is sent any more."""
    for table in ("state", "deliveries", "sessions", "changes"):
        op.execute(f"DROP TABLE sync_webhook_{table}")
    op.execute("DROP TABLE sync_webhooks")
