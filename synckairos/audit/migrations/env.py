"""Alembic runs this for each migration, on the connection that `synckairos.audit.schema` gives it."""

from __future__ import annotations

from alembic import context

from synckairos.audit.revision import VERSION_TABLE

# The caller has begun a transaction on this connection, and also ends it.
context.configure(connection=context.config.attributes["connection"], version_table=VERSION_TABLE)
with context.begin_transaction():
    context.run_migrations()
