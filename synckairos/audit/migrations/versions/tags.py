"""The table of tags, by which sessions are listed."""

from __future__ import annotations

from alembic import op

revision = "5"
down_revision = "4"
oldest = "1"

# `owner` is the tenant, or '' for sessions without one, because a key has no null. A row stands for what a
# session's metadata said once: whoever lists by it asks the state.
TABLES = (
    """
    CREATE TABLE sync_tags (
        session_id uuid NOT NULL,
        tag text NOT NULL,
        owner text NOT NULL,
        created_at timestamptz NOT NULL,
        PRIMARY KEY (session_id, tag)
    )
    """,
    "CREATE INDEX sync_tags_of_tenant ON sync_tags (owner, tag, created_at DESC, session_id DESC)",
)


def upgrade() -> None:
    """Make the table."""
    for statement in TABLES:
        op.execute(statement)


def downgrade() -> None:
    """Drop the table with all its rows. They come back as sessions change."""
    op.execute("DROP TABLE sync_tags")
