"""The audit: every event's way from the outbox to PostgreSQL, and back when Redis has lost a session."""
