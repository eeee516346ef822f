"""The audit: every event's way from the outbox to PostgreSQL, and back when Redis has lost a session."""

from synckairos.tracing import redis_py as redis_py  # before any module here imports redis-py
