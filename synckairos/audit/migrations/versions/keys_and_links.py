"""The tables of API keys, of links to sessions, and of revoked tokens."""

from __future__ import annotations

from alembic import op

revision = "3"
down_revision = "2"
oldest = "1"

# Of a key and of a link only the hash of its secret is stored.
TABLES = (
    """
    CREATE TABLE sync_keys (
        key_id text PRIMARY KEY,
        digest text NOT NULL,
        tenant_id text NOT NULL,
        roles text[] NOT NULL,
        session_id uuid,
        participant_id uuid,
        made_at timestamptz NOT NULL,
        made_by text,
        expires_at timestamptz,
        revoked_at timestamptz,
        used_at timestamptz
    )
    """,
    "CREATE INDEX sync_keys_revoked ON sync_keys (revoked_at) WHERE revoked_at IS NOT NULL",
    """
    CREATE TABLE sync_links (
        link_id uuid PRIMARY KEY,
        digest text NOT NULL,
        tenant_id text,
        session_id uuid NOT NULL,
        session_made_ms bigint NOT NULL,
        role text NOT NULL,
        participant_id uuid,
        made_at timestamptz NOT NULL,
        made_by text,
        expires_at timestamptz NOT NULL,
        revoked_at timestamptz
    )
    """,
    "CREATE INDEX sync_links_of_session ON sync_links (session_id, expires_at)",
    "CREATE INDEX sync_links_revoked ON sync_links (revoked_at) WHERE revoked_at IS NOT NULL",
    # `stored_at` is the database's clock, by which processes ask for what is new.
    """
    CREATE TABLE sync_revocations (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        tenant_id text,
        jti text,
        sub text,
        issued_before double precision,
        made_at timestamptz NOT NULL,
        made_by text,
        stored_at timestamptz NOT NULL DEFAULT now(),
        CHECK ((jti IS NULL) <> (sub IS NULL)),
        CHECK ((sub IS NULL) = (issued_before IS NULL))
    )
    """,
    "CREATE INDEX sync_revocations_by_time ON sync_revocations (stored_at)",
)


def upgrade() -> None:
    """Make the tables."""
    for statement in TABLES:
        op.execute(statement)


def downgrade() -> None:
    """Drop the tables with all their rows."""
    for table in ("sync_revocations", "sync_links", "sync_keys"):
        op.execute(f"DROP TABLE {table}")
