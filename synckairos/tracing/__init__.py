"""Traces: what one switch took, from the request to the row in PostgreSQL. See README.md."""
